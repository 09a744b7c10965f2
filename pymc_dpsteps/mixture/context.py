"""Compile what the sweep reads of data and of variables outside the step."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import vectorize_graph
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.mixture.codegen import Layout
from pymc_dpsteps.mixture.cut import Leaves
from pymc_dpsteps.mixture.pieces import Pieces
from pymc_dpsteps.mixture.structure import Mixture

__all__ = ["compile_context", "context_graphs"]


def context_graphs(
    mixture: Mixture,
    pieces: Pieces,
    hoisted: Leaves,
    in_sweep: Collection[TensorVariable],
) -> tuple[TensorVariable, TensorVariable]:
    """The item matrix and the shared vector as graphs of the frozen model.

    Entries of the shared vector `in_sweep` are left zero: the sweep computes them itself.
    """
    shared_sources = {leaf: source for source, leaf in hoisted.items()}
    n_rows = [mixture.n_items, *(len(term.group) for term in mixture.grouped)]
    first, *blocks = [
        _matrix(columns, sources, shared_sources, n)
        for columns, sources, n in zip(pieces.rows, pieces.sources, n_rows, strict=True)
    ]
    order = [np.argsort(term.group, kind="stable") for term in mixture.grouped]
    blocks = [
        pt.concatenate([first, *_ranges(mixture)], axis=1),
        *(block[rows] for block, rows in zip(blocks, order, strict=True)),
    ]
    width = max(block.type.shape[1] for block in blocks)
    items = pt.concatenate(
        [pt.pad(b, [(0, 0), (0, width - b.type.shape[1])], mode="constant") for b in blocks]
        if len(blocks) > 1
        else blocks,
        axis=0,
    )
    entries = [pt.zeros(leaf.type.shape) if leaf in in_sweep else s for s, leaf in hoisted.items()]
    shared = pt.concatenate([pt.zeros(0)] + [s.astype("float64").reshape((-1,)) for s in entries])
    return items, shared


def compile_context(
    mixture: Mixture, items: TensorVariable, shared: TensorVariable
) -> tuple[tuple[str, ...], Callable[..., tuple[np.ndarray, np.ndarray]]]:
    """Compile the function that computes the item matrix and the shared vector.

    Where the shared vector alone depends on variables, the item matrix is computed once, and always
    the same array.
    """
    of_items = set(ancestors([items]))
    inputs = [v for v in mixture.model.value_vars if v in of_items | set(ancestors([shared]))]
    fixed: list[np.ndarray] = []
    outputs = [items, shared]
    if inputs and of_items.isdisjoint(inputs):
        found = pm.pytensorf.compile([], [items], mode="FAST_COMPILE")()
        fixed = [np.ascontiguousarray(x) for x in found]
        outputs = [shared]
    function = pm.pytensorf.compile(inputs, outputs, mode="NUMBA" if inputs else "FAST_COMPILE")

    def context(*values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        item_matrix, shared_vector = fixed + list(function(*values))
        return np.ascontiguousarray(item_matrix), np.ascontiguousarray(shared_vector)

    return tuple(v.name for v in inputs), context


def _matrix(
    leaves: Leaves,
    sources: dict[TensorVariable, Variable],
    shared_sources: dict[TensorVariable, Variable],
    n_rows: int,
) -> TensorVariable:
    """The leaves of all rows as columns, from the model's own graphs."""
    columns = [
        source
        if (source := sources.get(graph)) is not None
        else vectorize_graph(graph, {**sources, **shared_sources})
        for graph in leaves
    ]
    width = Layout.of(leaves.values()).width
    matrix = pt.concatenate(
        [pt.zeros((n_rows, 0))] + [c.astype("float64").reshape((n_rows, -1)) for c in columns],
        axis=1,
    )
    return pt.specify_shape(matrix, (n_rows, width))


def _ranges(mixture: Mixture) -> list[np.ndarray]:
    """For every grouped term the first row of an item's observations and the end of them."""
    ranges = []
    first = mixture.n_items
    for term in mixture.grouped:
        ends = first + np.cumsum(np.bincount(term.group, minlength=mixture.n_items))
        ranges.append(np.column_stack([np.append(first, ends[:-1]), ends]).astype(float))
        first += len(term.group)
    return ranges
