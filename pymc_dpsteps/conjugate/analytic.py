"""Operations by which a function is one formula here and another there."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import pytensor.scalar as ps
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import toposort
from pytensor.tensor.elemwise import CAReduce, Elemwise
from pytensor.tensor.math import Argmax
from pytensor.tensor.sort import ArgSortOp, SortOp

__all__ = ["piecewise"]

_PIECEWISE = (
    ArgSortOp,
    Argmax,
    SortOp,
    ps.Abs,
    ps.BinaryBitOp,
    ps.Ceil,
    ps.Clip,
    ps.Floor,
    ps.IntDiv,
    ps.LogicalComparison,
    ps.Mod,
    ps.RoundHalfAwayFromZero,
    ps.RoundHalfToEven,
    ps.ScalarMaximum,
    ps.ScalarMinimum,
    ps.Sign,
    ps.Trunc,
    ps.UnaryBitOp,
)


def piecewise(graphs: Sequence[Variable], varying: Set[Variable]) -> str | None:
    """Name of an operation that is not an analytic function of `varying`, if there is one."""
    depends = set(varying)
    for node in toposort(graphs, blockers=varying):
        if depends.isdisjoint(node.inputs):
            continue
        depends.update(node.outputs)
        op: Any = node.op
        scalar = op.scalar_op if isinstance(op, Elemwise | CAReduce) else op
        if (
            isinstance(scalar, _PIECEWISE)
            or (isinstance(scalar, ps.Switch) and node.inputs[0] in depends)
            or (isinstance(scalar, ps.Cast) and scalar.o_type.dtype.startswith(("int", "uint")))
        ):
            return type(scalar).__name__.removeprefix("Scalar")
    return None
