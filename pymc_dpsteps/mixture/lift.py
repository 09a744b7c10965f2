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

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.mixture.rules import RULES, Axis, LiftError, is_constant, node_name

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
        if axis is Axis.ITEM and not self.depends_on_allocation(x):
            return self._item_leaf(x)
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
            raise LiftError(f"{node_name(x)} holds a different constant for each component")
        return pt.constant(rows[0])


def _placeholder(x: Variable, shape: tuple[int | None, ...], dtype: str) -> TensorVariable:
    return pt.tensor(name=x.name, shape=shape, dtype=dtype)
