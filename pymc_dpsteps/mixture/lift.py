"""From a vectorised log-density to the density of one item in one component.

A PyMC log-density is a graph over whole vectors: ``logp(y, mu[z], sigma[z])`` has shape ``(N,)``.
A sampler of allocations needs its element ``i`` with ``z[i]`` set to a candidate slot ``k``.
`Lifter` walks the graph from the output to its leaves and takes one element of the leading axis
at every node, with one rule per PyTensor op:

- along the *item* axis, ``x[z]`` becomes row ``k`` of ``x``: the walk turns to the component axis;
- along the *observation* axis of a variable with several rows per item, ``x[group]`` becomes the
  element of `x` at the observation's item, and ``x[z[group]]`` row ``k`` of ``x``;
- along the *component* axis, it ends at the atoms (value variables with a leading component axis).

Whatever does not depend on the allocation is a leaf as a whole and computed outside the sweep.
The walk refuses an element that depends on other elements, with the variable and the node in
the message, so what it returns is the exact conditional density.

Lifting by explicit rules, and not by PyTensor's global rewrites, is what makes refusals precise
and the result independent of rewrite order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.subtensor import AdvancedSubtensor
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.mixture.rules import (
    RULES,
    Axis,
    LiftError,
    is_constant,
    node_name,
    strip_cast,
)

__all__ = ["Lifter"]


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
    group : numpy.ndarray, optional
        Item of every observation, shape ``(M,)``, where the leading axis is that of observations.

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
        group: np.ndarray | None = None,
    ) -> None:
        self.allocation = allocation
        self.group = group
        self.value_vars = set(value_vars)
        self.n_components = n_components
        self.items: dict[Variable, TensorVariable] = {}
        self.shared: dict[Variable, TensorVariable] = {}
        self.atoms: dict[Variable, TensorVariable] = {}
        self.indexed: list[TensorVariable] = []
        self._depends: dict[Variable, bool] = {}
        self._taken: dict[tuple[Variable, Axis], Variable] = {}

    def for_group(self, group: np.ndarray) -> Lifter:
        """A lifter along observations, with the same atoms and shared graphs."""
        within = Lifter(self.allocation, tuple(self.value_vars), self.n_components, group)
        within.shared, within.atoms, within.indexed = self.shared, self.atoms, self.indexed
        return within

    def depends_on_allocation(self, x: Variable) -> bool:
        """Whether the value of `x` depends on the allocation."""
        if x not in self._depends:
            self._depends[x] = self.allocation in ancestors([x])
        return self._depends[x]

    def is_group(self, index: Variable, x: Variable) -> bool:
        """Whether ``x[index]`` goes from items to observations."""
        if self.group is None or not self.depends_on_allocation(x) or not is_constant(index):
            return False
        (n_items,) = self.allocation.type.shape
        value = np.asarray(index.eval())
        return x.type.shape[0] == n_items and np.array_equal(value % n_items, self.group)

    def is_label(self, index: Variable, axis: Axis) -> bool:
        """Whether an index along `axis` is the allocation, of items or of observations."""
        index = strip_cast(index)
        if self.group is None or axis is Axis.GATHERED:
            return index is self.allocation
        node = index.owner
        return (
            node is not None
            and isinstance(node.op, AdvancedSubtensor)
            and strip_cast(node.inputs[0]) is self.allocation
        )

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
            raise LiftError(f"{node_name(x)} combines several items")
        if isinstance(x, Constant) or not isinstance(x, TensorVariable):
            return x
        if is_constant(x):
            return x
        if x not in self.shared:
            self.shared[x] = _placeholder(x, x.type.shape, x.type.dtype)
        return self.shared[x]

    def _take(self, x: Variable, axis: Axis) -> Any:
        if x is self.allocation:
            raise LiftError(
                f"{x.name} enters as a number; an allocation may only be used as an index"
            )
        if axis is not Axis.COMPONENT and not self.depends_on_allocation(x):
            return self._item_leaf(x, axis)
        if axis is Axis.COMPONENT:
            if x in self.value_vars:
                if x.type.shape[0] == 1 and self.n_components != 1:
                    return self.whole(x[0])
                return self._atom_leaf(x)
            if not self.value_vars.intersection(ancestors([x])):
                return self._fixed_row(x)
        node = x.owner
        if node is None:
            raise LiftError(f"{x} has one value per component that is not a variable of the model")
        for op_type, rule in RULES:
            if isinstance(node.op, op_type):
                return rule(self, node, axis)
        raise LiftError(f"{node_name(x)} is not an operation that can be taken element by element")

    def _item_leaf(self, x: Variable, axis: Axis) -> Any:
        n_items = self.allocation.type.shape[0]
        n_rows = len(self.group) if self.group is not None and axis is Axis.ITEM else n_items
        if x.type.shape[0] == 1 and n_rows != 1:
            return self.whole(x[0])
        if axis is Axis.GATHERED:
            x = x[self.group]
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
            raise LiftError(f"{node_name(x)} holds a different constant for each component")
        return pt.constant(rows[0])


def _placeholder(x: Variable, shape: tuple[int | None, ...], dtype: str) -> TensorVariable:
    return pt.tensor(name=x.name, shape=shape, dtype=dtype)
