"""How one element along the leading axis is taken, per PyTensor operation.

A rule gets the lifter, a node of the graph and the axis, and returns the element of the node's
output as a graph of elements of its inputs, or raises `LiftError` where elements mix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
import pytensor.tensor as pt
from pymc.logprob.utils import CheckParameterValue
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.rewriting import inline_ofg_node
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.raise_op import CheckAndRaise
from pytensor.scalar import Cast
from pytensor.tensor.basic import (
    Alloc,
    ExtractDiag,
    Join,
    MakeVector,
    ScalarFromTensor,
    TensorFromScalar,
)
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.extra_ops import CumOp
from pytensor.tensor.math import All, Dot
from pytensor.tensor.pad import Pad
from pytensor.tensor.shape import Reshape, SpecifyShape
from pytensor.tensor.subtensor import (
    AdvancedIncSubtensor,
    AdvancedSubtensor,
    IncSubtensor,
    Subtensor,
    indices_from_subtensor,
)

if TYPE_CHECKING:
    from pymc_dpsteps.mixture.lift import Lifter

__all__ = ["RULES", "Axis", "ComponentError", "LiftError", "is_constant", "node_name", "strip_cast"]


class Axis(Enum):
    """The leading axis along which an element is taken."""

    ITEM = "item"
    GATHERED = "item of an observation"
    COMPONENT = "component"


class LiftError(ValueError):
    """An element along the leading axis depends on other elements of that axis."""


class ComponentError(LiftError):
    """An atom's row depends on other rows; `indexed` is what the allocation indexes."""

    def __init__(self, message: str, indexed: Variable) -> None:
        super().__init__(message)
        self.indexed = indexed


def _elemwise(lift: Lifter, node: Apply, axis: Axis) -> Any:
    if isinstance(node.op.scalar_op, Cast) and node.inputs[0] is lift.allocation:
        return lift.take(node.inputs[0], axis)
    return node.op(*[lift.take(x, axis) for x in node.inputs])


def _dimshuffle(lift: Lifter, node: Apply, axis: Axis) -> Any:
    (x,) = node.inputs
    first, *rest = node.op.new_order
    if first == "x":
        return lift.whole(x).dimshuffle(rest)
    if first != 0:
        raise LiftError(f"{node_name(node.out)} moves the leading axis")
    return lift.take(x, axis).dimshuffle([d if d == "x" else d - 1 for d in rest])


def _blockwise(lift: Lifter, node: Apply, axis: Axis) -> Any:
    if node.op.batch_ndim(node) == 0:
        if isinstance(node.op.core_op, Dot):
            return _dot(lift, node, axis)
        raise LiftError(f"{node_name(node.out)} mixes the elements of the leading axis")
    outputs = node.op(*[lift.take(x, axis) for x in node.inputs], return_list=True)
    return outputs[node.outputs.index(node.out)]


def _reduce(lift: Lifter, node: Apply, axis: Axis) -> Any:
    axes = node.op.axis
    if axes is None or 0 in axes:
        raise LiftError(f"{node_name(node.out)} reduces over the leading axis")
    return node.op.clone(axis=tuple(a - 1 for a in axes))(lift.take(node.inputs[0], axis))


def _check(lift: Lifter, node: Apply, axis: Axis) -> Any:
    """A failed parameter check is a density of zero inside the sweep, not an error."""
    x, *conditions = node.inputs
    value = lift.take(x, axis)
    if not isinstance(node.op, CheckParameterValue):
        return value
    for condition in _boolean_tensors(conditions):
        varies = (
            lift.depends_on_allocation(condition)
            if axis is not Axis.COMPONENT
            else bool(lift.value_vars.intersection(ancestors([condition])))
        )
        if varies and condition.ndim > 0 and not all(condition.type.broadcastable):
            value = pt.switch(pt.all(lift.take(condition, axis)), value, -np.inf)
    return value


def _boolean_tensors(conditions: Sequence[Variable]) -> list[Variable]:
    """Undo the ``all(stack(all(c_1), all(c_2), …))`` in which PyMC wraps its checks."""
    found: list[Variable] = []
    stack = list(conditions)
    while stack:
        x = stack.pop()
        op = x.owner.op if x.owner is not None else None
        if isinstance(op, ScalarFromTensor | TensorFromScalar | MakeVector) or (
            isinstance(op, All) and x.ndim == 0
        ):
            stack.extend(x.owner.inputs)
        else:
            found.append(x)
    return found


def _alloc(lift: Lifter, node: Apply, axis: Axis) -> Any:
    x, *shape = node.inputs
    taken = lift.take(x, axis) if x.ndim == node.out.ndim else lift.whole(x)
    rest = [lift.whole(s) for s in shape[1:]]
    return pt.alloc(taken, *rest) if rest else taken


def _advanced_subtensor(lift: Lifter, node: Apply, axis: Axis) -> Any:
    x, *index_inputs = node.inputs
    first, *rest = indices_from_subtensor(index_inputs, node.op.idx_list)
    if _is_full_slice(first):
        return lift.take(x, axis)[tuple(_map_index(r, lift.whole) for r in rest)]
    if isinstance(first, slice):
        raise LiftError(f"{node_name(node.out)} picks other elements of the leading axis")

    def along(index: Variable, axis: Axis) -> Any:
        return lift.take(index, axis) if index.ndim == first.ndim else lift.whole(index)

    if axis is Axis.ITEM and lift.is_group(first, x):
        row = lift.take(x, Axis.GATHERED)
        return row[tuple(_map_index(r, lambda index: along(index, axis)) for r in rest)]
    if _counts_rows(first, x):  # x[arange(N), j]: row i of x, and j[i] within it
        row = lift.take(x, axis)
        return row[tuple(_map_index(r, lambda index: along(index, axis)) for r in rest)]
    if axis is Axis.COMPONENT or lift.depends_on_allocation(x):
        raise LiftError(f"{node_name(node.out)} picks other elements of the leading axis")
    if not lift.is_label(first, axis):
        raise LiftError(
            f"{node_name(node.out)} indexes by a function of {lift.allocation.name}, not by "
            f"{lift.allocation.name} itself"
        )
    lift.indexed.append(x)
    try:
        row = lift.take(x, Axis.COMPONENT)
    except LiftError as error:
        raise ComponentError(str(error), x) from error
    if not rest:
        return row
    return row[tuple(_map_index(r, lambda index: along(index, axis)) for r in rest)]


def _specify_shape(lift: Lifter, node: Apply, axis: Axis) -> Any:
    return pt.specify_shape(lift.take(node.inputs[0], axis), node.out.type.shape[1:])


def _counts_rows(index: Variable, x: Variable) -> bool:
    """Whether `index` is the constant 0, 1, 2, … along the leading axis of `x`."""
    if not is_constant(index):
        return False
    value = np.asarray(index.eval())
    rows = np.arange(x.type.shape[0] or 0)
    return value.shape[:1] == rows.shape and np.array_equal(value.ravel(), rows)


def _subtensor(lift: Lifter, node: Apply, axis: Axis) -> Any:
    x, *index_inputs = node.inputs
    first, *rest = indices_from_subtensor(index_inputs, node.op.idx_list)
    if not _is_full_slice(first):
        raise LiftError(f"{node_name(node.out)} picks other elements of the leading axis")
    return lift.take(x, axis)[tuple(_map_index(r, lift.whole) for r in rest)]


def _inc_subtensor(lift: Lifter, node: Apply, axis: Axis) -> Any:
    x, y, *index_inputs = node.inputs
    first, *rest = indices_from_subtensor(index_inputs, node.op.idx_list)
    if not _is_full_slice(first):
        raise LiftError(f"{node_name(node.out)} picks other elements of the leading axis")
    target = lift.take(x, axis)[tuple(_map_index(r, lift.whole) for r in rest)]
    value = lift.take(y, axis) if y.ndim > target.ndim else lift.whole(y)
    update = pt.set_subtensor if node.op.set_instead_of_inc else pt.inc_subtensor
    return update(target, value)


def _join(lift: Lifter, node: Apply, axis: Axis) -> Any:
    along = node.op.axis
    along = along + node.out.ndim if along < 0 else along
    if along == 0:
        raise LiftError(f"{node_name(node.out)} joins along the leading axis")
    return pt.join(along - 1, *[lift.take(x, axis) for x in node.inputs])


def _extract_diag(lift: Lifter, node: Apply, axis: Axis) -> Any:
    op = node.op
    if 0 in (op.axis1, op.axis2):
        raise LiftError(f"{node_name(node.out)} takes a diagonal across the leading axis")
    return pt.diagonal(lift.take(node.inputs[0], axis), op.offset, op.axis1 - 1, op.axis2 - 1)


def _dot(lift: Lifter, node: Apply, axis: Axis) -> Any:
    left, right = node.inputs
    if left.ndim != 2:
        raise LiftError(f"{node_name(node.out)} sums over the leading axis")
    return pt.dot(lift.take(left, axis), lift.whole(right))


def _reshape(lift: Lifter, node: Apply, axis: Axis) -> Any:
    x, shape = node.inputs
    if is_constant(shape):
        rows, *rest = shape.eval()
        if rows == x.type.shape[0]:
            return lift.take(x, axis).reshape(tuple(int(r) for r in rest))
    raise LiftError(f"{node_name(node.out)} regroups the elements of the leading axis")


def _pad(lift: Lifter, node: Apply, axis: Axis) -> Any:
    x, _, *values = node.inputs
    widths = node.op.static_pad_width
    if node.op.pad_mode != "constant" or widths is None or tuple(widths[0]) != (0, 0):
        raise LiftError(f"{node_name(node.out)} pads the leading axis")
    (value,) = map(lift.whole, values)
    return pt.pad(lift.take(x, axis), list(widths[1:]), mode="constant", constant_values=value)


def _cumulate(lift: Lifter, node: Apply, axis: Axis) -> Any:
    along = node.op.axis
    if along is None or along == 0:
        raise LiftError(f"{node_name(node.out)} runs along the leading axis")
    return CumOp(along - 1, node.op.mode)(lift.take(node.inputs[0], axis))


def _inline(lift: Lifter, node: Apply, axis: Axis) -> Any:
    return lift.take(inline_ofg_node(node)[node.outputs.index(node.out)], axis)


Rule = Callable[["Lifter", Apply, Axis], Any]
RULES: tuple[tuple[Any, Rule], ...] = (
    (Elemwise, _elemwise),
    (DimShuffle, _dimshuffle),
    (Blockwise, _blockwise),
    (CAReduce, _reduce),
    (CheckAndRaise, _check),
    (Alloc, _alloc),
    (SpecifyShape, _specify_shape),
    (Reshape, _reshape),
    (Pad, _pad),
    (AdvancedSubtensor, _advanced_subtensor),
    (Subtensor, _subtensor),
    (AdvancedIncSubtensor | IncSubtensor, _inc_subtensor),
    (Join, _join),
    (ExtractDiag, _extract_diag),
    (Dot, _dot),
    (CumOp, _cumulate),
    (OpFromGraph, _inline),
)


def node_name(x: Variable) -> str:
    """Name of the operation that makes `x`, and of `x` where it has one."""
    return f"{x.owner.op} (in {x.name})" if x.owner is not None and x.name else str(x.owner or x)


def is_constant(x: Variable) -> bool:
    """Whether `x` is computed from constants alone."""
    return all(isinstance(v, Constant) for v in ancestors([x]) if v.owner is None)


def strip_cast(x: Variable) -> Variable:
    """The variable without changes of its dtype."""
    while (
        x.owner is not None
        and isinstance(x.owner.op, Elemwise)
        and isinstance(x.owner.op.scalar_op, Cast)
    ):
        (x,) = x.owner.inputs
    return x


def _is_full_slice(index: Any) -> bool:
    return isinstance(index, slice) and index == slice(None)


def _map_index(index: Any, function: Callable[[Variable], Any]) -> Any:
    if isinstance(index, slice):
        parts = (index.start, index.stop, index.step)
        return slice(*(function(p) if isinstance(p, Variable) else p for p in parts))
    return function(index) if isinstance(index, Variable) else index
