"""From a vectorised log-density to the density of one item in one component.

A PyMC log-density is a graph over whole vectors: ``logp(y, mu[z], sigma[z])`` has shape ``(N,)``.
A sampler of allocations needs its element ``i`` with ``z[i]`` set to a candidate slot ``k``.
`Lifter` walks the graph from the output to its leaves and takes one element of the leading axis
at every node, with one rule per PyTensor op:

- along the *item* axis, ``x[z]`` becomes row ``k`` of ``x``: the walk turns to the component axis;
- along the *component* axis, it ends at the atoms (value variables with a leading component axis).

Whatever does not depend on the allocation is a leaf as a whole and computed outside the sweep.
The walk refuses an element that depends on other elements, with the variable and the node in
the message, so what it returns is the exact conditional density.

Lifting by explicit rules, and not by PyTensor's global rewrites, is what makes refusals precise
and the result independent of rewrite order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

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
from pytensor.tensor.shape import SpecifyShape
from pytensor.tensor.subtensor import (
    AdvancedIncSubtensor,
    AdvancedSubtensor,
    IncSubtensor,
    Subtensor,
    indices_from_subtensor,
)
from pytensor.tensor.variable import TensorVariable

__all__ = ["Axis", "LiftError", "Lifter"]


class Axis(Enum):
    """The leading axis along which an element is taken."""

    ITEM = "item"
    COMPONENT = "component"


class LiftError(ValueError):
    """An element along the leading axis depends on other elements of that axis."""


class Lifter:
    """Takes one element along the item or the component axis of log-density graphs.

    Parameters
    ----------
    allocation : TensorVariable
        Value variable of the allocation, an integer vector of shape ``(N,)``.
    value_vars : sequence of TensorVariable
        Value variables of the model's free random variables.
    n_components : int
        Length K of the component axis.

    Attributes
    ----------
    items : dict
        Source graph with leading axis N -> placeholder of its element i.
    shared : dict
        Source graph without item or component axis -> placeholder.
    atoms : dict
        Value variable with leading axis K -> placeholder of its row k.
    """

    def __init__(
        self,
        allocation: TensorVariable,
        value_vars: Sequence[TensorVariable],
        n_components: int,
    ) -> None:
        self.allocation = allocation
        self.value_vars = set(value_vars)
        self.n_components = n_components
        self.items: dict[Variable, TensorVariable] = {}
        self.shared: dict[Variable, TensorVariable] = {}
        self.atoms: dict[Variable, TensorVariable] = {}
        self.indexed: list[TensorVariable] = []
        self._depends: dict[Variable, bool] = {}
        self._taken: dict[tuple[Variable, Axis], Variable] = {}

    def depends_on_allocation(self, x: Variable) -> bool:
        """Whether the value of `x` depends on the allocation."""
        if x not in self._depends:
            self._depends[x] = self.allocation in ancestors([x])
        return self._depends[x]

    def take(self, x: Variable, axis: Axis) -> TensorVariable:
        """Element of `x` at the running index of `axis`, as a graph of placeholders.

        Raises
        ------
        LiftError
            If that element depends on other elements along `axis`.
        """
        key = (x, axis)
        if key not in self._taken:
            self._taken[key] = self._take(x, axis)
        return self._taken[key]

    def whole(self, x: Variable) -> Variable:
        """Use `x` as it is: it may depend neither on the allocation nor on atoms by row."""
        if self.depends_on_allocation(x):
            raise LiftError(f"{_node(x)} combines several items")
        if isinstance(x, Constant) or not isinstance(x, TensorVariable):
            return x
        if all(isinstance(v, Constant) for v in ancestors([x]) if v.owner is None):
            return x
        if x not in self.shared:
            self.shared[x] = _placeholder(x, x.type.shape, x.type.dtype)
        return self.shared[x]

    def _take(self, x: Variable, axis: Axis) -> Any:
        if x is self.allocation:
            raise LiftError(
                f"{x.name} enters as a number; an allocation may only be used as an index"
            )
        if axis is Axis.ITEM and not self.depends_on_allocation(x):
            return self._item_leaf(x)
        if axis is Axis.COMPONENT:
            if x in self.value_vars:
                return self._atom_leaf(x)
            if not self.value_vars.intersection(ancestors([x])):
                return self._fixed_row(x)
        node = x.owner
        if node is None:
            raise LiftError(f"{x} has one value per component that is not a variable of the model")
        for op_type, rule in _RULES:
            if isinstance(node.op, op_type):
                return rule(self, node, axis)
        raise LiftError(f"{_node(x)} is not an operation that can be taken element by element")

    def _item_leaf(self, x: Variable) -> Any:
        if x.type.shape[0] == 1 and self.allocation.type.shape[0] != 1:
            return self.whole(x[0])
        if x not in self.items:
            self.items[x] = _placeholder(x, x.type.shape[1:], x.type.dtype)
        return self.items[x]

    def _atom_leaf(self, x: Variable) -> Any:
        if x.type.shape[0] != self.n_components:
            raise LiftError(
                f"{x.name} has {x.type.shape[0]} rows along the component axis where the "
                f"allocation's prior has {self.n_components} slots"
            )
        if x not in self.atoms:
            self.atoms[x] = _placeholder(x, x.type.shape[1:], x.type.dtype)
        return self.atoms[x]

    def _fixed_row(self, x: Variable) -> Any:
        """Row of a constant: the same for all components, or they are not exchangeable."""
        if x.type.shape[0] == 1:
            return x[0]
        rows = x.eval()
        if len(rows) > 0 and not np.array_equal(rows, np.broadcast_to(rows[0], rows.shape)):
            raise LiftError(f"{_node(x)} holds a different constant for each component")
        return pt.constant(rows[0])


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
        raise LiftError(f"{_node(node.out)} moves the leading axis")
    return lift.take(x, axis).dimshuffle([d if d == "x" else d - 1 for d in rest])


def _blockwise(lift: Lifter, node: Apply, axis: Axis) -> Any:
    if node.op.batch_ndim(node) == 0:
        raise LiftError(f"{_node(node.out)} mixes the elements of the leading axis")
    outputs = node.op(*[lift.take(x, axis) for x in node.inputs], return_list=True)
    return outputs[node.outputs.index(node.out)]


def _reduce(lift: Lifter, node: Apply, axis: Axis) -> Any:
    axes = node.op.axis
    if axes is None or 0 in axes:
        raise LiftError(f"{_node(node.out)} reduces over the leading axis")
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
            if axis is Axis.ITEM
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
        raise LiftError(f"{_node(node.out)} picks other elements of the leading axis")

    def along(index: Variable, axis: Axis) -> Any:
        return lift.take(index, axis) if index.ndim == first.ndim else lift.whole(index)

    if _counts_rows(first, x):  # x[arange(N), j]: row i of x, and j[i] within it
        row = lift.take(x, axis)
        return row[tuple(_map_index(r, lambda index: along(index, axis)) for r in rest)]
    if axis is Axis.COMPONENT or lift.depends_on_allocation(x):
        raise LiftError(f"{_node(node.out)} picks other elements of the leading axis")
    if _strip_cast(first) is not lift.allocation:
        raise LiftError(
            f"{_node(node.out)} indexes by a function of {lift.allocation.name}, not by "
            f"{lift.allocation.name} itself"
        )
    lift.indexed.append(x)
    row = lift.take(x, Axis.COMPONENT)
    if not rest:
        return row
    return row[tuple(_map_index(r, lambda index: along(index, Axis.ITEM)) for r in rest)]


def _specify_shape(lift: Lifter, node: Apply, axis: Axis) -> Any:
    return lift.take(node.inputs[0], axis)


def _counts_rows(index: Variable, x: Variable) -> bool:
    """Whether `index` is the constant 0, 1, 2, … along the leading axis of `x`."""
    if any(not isinstance(v, Constant) for v in ancestors([index]) if v.owner is None):
        return False
    value = np.asarray(index.eval())
    rows = np.arange(x.type.shape[0] or 0)
    return value.shape[:1] == rows.shape and np.array_equal(value.ravel(), rows)


def _subtensor(lift: Lifter, node: Apply, axis: Axis) -> Any:
    x, *index_inputs = node.inputs
    first, *rest = indices_from_subtensor(index_inputs, node.op.idx_list)
    if not _is_full_slice(first):
        raise LiftError(f"{_node(node.out)} picks other elements of the leading axis")
    return lift.take(x, axis)[tuple(_map_index(r, lift.whole) for r in rest)]


def _inc_subtensor(lift: Lifter, node: Apply, axis: Axis) -> Any:
    x, y, *index_inputs = node.inputs
    first, *rest = indices_from_subtensor(index_inputs, node.op.idx_list)
    if not _is_full_slice(first):
        raise LiftError(f"{_node(node.out)} picks other elements of the leading axis")
    target = lift.take(x, axis)[tuple(_map_index(r, lift.whole) for r in rest)]
    value = lift.take(y, axis) if y.ndim > target.ndim else lift.whole(y)
    update = pt.set_subtensor if node.op.set_instead_of_inc else pt.inc_subtensor
    return update(target, value)


def _join(lift: Lifter, node: Apply, axis: Axis) -> Any:
    along = node.op.axis
    along = along + node.out.ndim if along < 0 else along
    if along == 0:
        raise LiftError(f"{_node(node.out)} joins along the leading axis")
    return pt.join(along - 1, *[lift.take(x, axis) for x in node.inputs])


def _extract_diag(lift: Lifter, node: Apply, axis: Axis) -> Any:
    op = node.op
    if 0 in (op.axis1, op.axis2):
        raise LiftError(f"{_node(node.out)} takes a diagonal across the leading axis")
    return pt.diagonal(lift.take(node.inputs[0], axis), op.offset, op.axis1 - 1, op.axis2 - 1)


def _dot(lift: Lifter, node: Apply, axis: Axis) -> Any:
    left, right = node.inputs
    if left.ndim != 2:
        raise LiftError(f"{_node(node.out)} sums over the leading axis")
    return pt.dot(lift.take(left, axis), lift.whole(right))


def _cumulate(lift: Lifter, node: Apply, axis: Axis) -> Any:
    along = node.op.axis
    if along is None or along == 0:
        raise LiftError(f"{_node(node.out)} runs along the leading axis")
    return CumOp(along - 1, node.op.mode)(lift.take(node.inputs[0], axis))


def _inline(lift: Lifter, node: Apply, axis: Axis) -> Any:
    return lift.take(inline_ofg_node(node)[node.outputs.index(node.out)], axis)


_Rule = Callable[[Lifter, Apply, Axis], Any]
_RULES: tuple[tuple[Any, _Rule], ...] = (
    (Elemwise, _elemwise),
    (DimShuffle, _dimshuffle),
    (Blockwise, _blockwise),
    (CAReduce, _reduce),
    (CheckAndRaise, _check),
    (Alloc, _alloc),
    (SpecifyShape, _specify_shape),
    (AdvancedSubtensor, _advanced_subtensor),
    (Subtensor, _subtensor),
    (AdvancedIncSubtensor | IncSubtensor, _inc_subtensor),
    (Join, _join),
    (ExtractDiag, _extract_diag),
    (Dot, _dot),
    (CumOp, _cumulate),
    (OpFromGraph, _inline),
)


def _placeholder(x: Variable, shape: tuple[int | None, ...], dtype: str) -> TensorVariable:
    return pt.tensor(name=x.name, shape=shape, dtype=dtype)


def _node(x: Variable) -> str:
    return f"{x.owner.op} (in {x.name})" if x.owner is not None and x.name else str(x.owner or x)


def _strip_cast(x: Variable) -> Variable:
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
