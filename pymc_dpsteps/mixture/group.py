"""Kernel variables with several observations per item, or with none for some.

Repeated measurements are written ``y ~ F(atom[z[group]])``; of data with missing entries PyMC
keeps the observed ones, ``F(atom[z])[mask]``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.subtensor import AdvancedSubtensor, indices_from_subtensor
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.mixture.rules import is_constant
from pymc_dpsteps.mixture.structure import MixtureError

__all__ = ["group_of", "without_masks"]


def group_of(factor: TensorVariable, allocation: TensorVariable) -> np.ndarray | None:
    """Item of every row of a log-density, or None where its rows are the items themselves.

    The rows belong to groups where something with a row per item is indexed by a constant vector
    of items, as the allocation is in ``atom[z[group]]``.
    """
    groups: list[np.ndarray] = []
    (n_items,) = allocation.type.shape
    for x in ancestors([factor]):
        if x.owner is None or not isinstance(x.owner.op, AdvancedSubtensor):
            continue
        source, *index_inputs = x.owner.inputs
        first = indices_from_subtensor(index_inputs, x.owner.op.idx_list)[0]
        if not _goes_from_items(source, first, allocation, n_items):
            continue
        index = np.asarray(first.eval(), dtype=np.int64)
        if np.array_equal(index, np.arange(n_items)):
            continue  # x[arange(N), j] stays with the items
        if not any(np.array_equal(index, known) for known in groups):
            groups.append(index)
    if not groups:
        return None
    if len(groups) > 1:
        raise MixtureError(
            f"A likelihood indexes the items of {allocation.name} by {len(groups)} different "
            "vectors; one vector, with the item of every observation, is expected."
        )
    (group,) = groups
    if group.min() < -n_items or group.max() >= n_items:
        raise MixtureError(
            f"The vector that indexes {allocation.name} has values from {group.min()} to "
            f"{group.max()}, but there are {n_items} items."
        )
    return group % n_items


def without_masks(graphs: Sequence[TensorVariable]) -> list[TensorVariable]:
    """Write ``x[mask]``, by which PyMC picks what is observed, as ``x[rows, columns, …]``."""
    replace = {}
    for x in ancestors(graphs):
        if x.owner is None or not isinstance(x.owner.op, AdvancedSubtensor):
            continue
        source, *index_inputs = x.owner.inputs
        first, *rest = indices_from_subtensor(index_inputs, x.owner.op.idx_list)
        if not rest and isinstance(first, Constant) and first.dtype == "bool":
            replace[x] = pt.specify_shape(source[first.data.nonzero()], x.type.shape)
    if not replace:
        return list(graphs)
    return list(clone_replace(list(graphs), replace, rebuild_strict=False))


def _goes_from_items(
    source: Variable, index: Variable | slice, allocation: TensorVariable, n_items: int | None
) -> bool:
    return (
        isinstance(index, Variable)
        and index.ndim == 1
        and source.type.shape[0] == n_items
        and allocation in ancestors([source])
        and is_constant(index)
    )
