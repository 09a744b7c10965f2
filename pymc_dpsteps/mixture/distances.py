"""Mahalanobis distances taken out of a kernel, for a hand-written loop to compute.

All that a normal or Student-t density of a vector needs of the data is ``|L⁻¹ (x - m)|²`` with L
the Cholesky factor of the component's covariance. Where x belongs to the item, and L and m to the
component or to all, L is computed once per update of the component, and what is left for every
item is to solve ``L v = x - m`` in packed rows, which divides by nothing and allocates nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pytensor.tensor as pt
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.scalar import Pow, Sqr, Sub
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.math import Sum
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.mixture.rules import is_constant
from pymc_dpsteps.mixture.small_matrices import (
    PackedRoot,
    core_op,
    is_small,
    solves_lower,
)

__all__ = ["Distance", "take_distances"]


@dataclass(frozen=True)
class Distance:
    """A squared distance ``|L⁻¹ (x - m)|²`` in a kernel.

    Attributes
    ----------
    placeholder : TensorVariable
        Scalar that stands for it in the kernel's graph.
    packed_root : TensorVariable
        L by columns, its diagonal inverted, shape (d (d + 1) / 2,).
    x, centre : TensorVariable
        x and m, shape (d,).
    """

    placeholder: TensorVariable
    packed_root: TensorVariable
    x: TensorVariable
    centre: TensorVariable

    @property
    def graphs(self) -> tuple[TensorVariable, TensorVariable, TensorVariable]:
        """What it is computed from."""
        return self.packed_root, self.x, self.centre


def take_distances(
    graph: TensorVariable, items: Collection[Variable], atoms: Collection[Variable]
) -> tuple[TensorVariable, tuple[Distance, ...]]:
    """Replace the distances in a lifted log-density by placeholders.

    Parameters
    ----------
    graph : TensorVariable
        Log-density of one row of data.
    items, atoms : collection of Variable
        Placeholders of what belongs to the row of data, and to the component.

    Returns
    -------
    graph : TensorVariable
        With a placeholder for every distance found.
    distances : tuple of Distance
    """
    found: dict[Variable, Distance] = {}
    for x in ancestors([graph]):
        solution = _sum_of_squares(x)
        if solution is None or not solves_lower(core_op(solution), b_ndim=1):
            continue
        root, difference = solution.owner.inputs
        sides = _sides(difference, items, atoms)
        if sides is None or not is_small(root) or _uses(root, items):
            continue
        placeholder = pt.tensor(name="distance", shape=(), dtype="float64")
        found[x] = Distance(placeholder, PackedRoot()(root), *sides)
    if not found:
        return graph, ()
    (graph,) = clone_replace([graph], {x: d.placeholder for x, d in found.items()})
    return graph, tuple(found.values())


def _sum_of_squares(x: Variable) -> TensorVariable | None:
    """The computed vector v where x is the sum of v²."""
    if x.owner is None or not isinstance(x.owner.op, Sum) or x.ndim != 0:
        return None
    (squares,) = x.owner.inputs
    node = squares.owner
    if squares.ndim != 1 or node is None or not isinstance(node.op, Elemwise):
        return None
    base, *exponent = node.inputs
    is_square = isinstance(node.op.scalar_op, Sqr) or (
        isinstance(node.op.scalar_op, Pow) and is_constant(exponent[0]) and exponent[0].eval() == 2
    )
    return base if is_square and base.owner is not None else None


def _sides(
    difference: TensorVariable, items: Collection[Variable], atoms: Collection[Variable]
) -> tuple[TensorVariable, TensorVariable] | None:
    """X and m where the vector is their difference, in either order."""
    shape = difference.type.shape
    node = difference.owner
    if node is not None and isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, Sub):
        pair = tuple(node.inputs)
    else:
        pair = (difference, pt.constant(0.0, ndim=1))
    if None in shape:
        return None
    for x, centre in (pair, pair[::-1]):
        if not _uses(x, atoms) and not _uses(centre, items):
            x, centre = (side.astype("float64") for side in (x, centre))
            return tuple(
                side if side.type.shape == shape else pt.broadcast_to(side, shape)
                for side in (x, centre)
            )
    return None


def _uses(graph: Variable, leaves: Collection[Variable]) -> bool:
    return any(v in leaves for v in ancestors([graph]) if not isinstance(v, Constant))
