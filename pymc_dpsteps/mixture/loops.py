"""Graphs of small vectors and matrices as loops over packed rows.

PyTensor's numba code makes a new array for every vector, which takes longer than the arithmetic
on a few numbers. Here a graph whose shapes are all known becomes source that reads where its
leaves lie, writes to where its results go, and keeps what is between in a scratch row. Operations
on elements are fused by PyTensor and compiled by it as functions of numbers; indexing costs
nothing, since every element is read in its place. A graph with other operations than those below
is left to PyTensor as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.scalar import AND, OR, Add, ScalarMaximum
from pytensor.tensor.basic import Join
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import CAReduce, Elemwise
from pytensor.tensor.math import Dot
from pytensor.tensor.subtensor import AdvancedIncSubtensor, IncSubtensor
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.jit import source_key
from pymc_dpsteps.mixture.loop_elements import (
    VIEWS,
    Elements,
    NoLoops,
    Place,
    constant_indices,
    flat,
    shape_of,
)
from pymc_dpsteps.mixture.small_matrices import SmallMatrixOp, small_matrix_mode

__all__ = ["Code", "write_loops"]


@dataclass(frozen=True)
class Code:
    """Source that computes graphs, and what it needs.

    Attributes
    ----------
    lines : tuple of str
        Statements.
    expressions : tuple of str
        The outputs without a target, in order.
    names : dict
        What is behind the global names of the source.
    key : str or None
        Identifies that, for the disk cache; None where it cannot be cached.
    before : tuple of str
        Statements to be done once, before all others.
    allocates : bool
        Whether what it calls may make arrays: then references must be counted.
    """

    lines: tuple[str, ...]
    expressions: tuple[str, ...]
    names: dict[str, Any]
    key: str | None
    before: tuple[str, ...] = ()
    allocates: bool = False

    @property
    def lean(self) -> bool:
        """Whether it allocates nothing; see `jit.njit_lean`."""
        return not self.before and not self.allocates


def write_loops(
    prefix: str,
    outputs: Sequence[Variable],
    leaves: Mapping[TensorVariable, Place],
    targets: Sequence[Place | None],
) -> Code:
    """Source of graphs as loops.

    Parameters
    ----------
    prefix : str
        Begins all names that the source introduces.
    outputs : sequence of Variable
    leaves : mapping
        Where the leaves lie.
    targets : sequence
        For every output, where it is written to; None for a number that is wanted as an
        expression.

    Returns
    -------
    Code

    Raises
    ------
    NoLoops
        If there is no such source.
    """
    graph = _Graph(prefix, outputs, leaves, targets)
    scratch = (f"{prefix}scratch = np.empty({graph.scratch})",) if graph.scratch else ()
    key = None if None in graph.keys else ":".join(str(key) for key in graph.keys)
    return Code(tuple(graph.lines), tuple(graph.expressions), graph.names, key, scratch)


class _Graph(Elements):
    """The state of writing one graph."""

    def __init__(
        self,
        prefix: str,
        outputs: Sequence[Variable],
        leaves: Mapping[TensorVariable, Place],
        targets: Sequence[Place | None],
    ) -> None:
        super().__init__(prefix, leaves)
        self.lines: list[str] = []
        self.expressions: list[str] = []
        self.scratch = 0  # its size so far
        self.targets: dict[Variable, Place] = {}
        self.fgraph = _rewritten(outputs, leaves)
        for x, target in zip(self.fgraph.outputs, targets, strict=True):
            if target is not None and x not in leaves:
                self.targets.setdefault(x, target)
        for node in self.fgraph.toposort():
            self._node(node)
        for x, target in zip(self.fgraph.outputs, targets, strict=True):
            if target is None:
                self.expressions.append(self.element(x, ("0",) * x.type.ndim))
            elif self.stored.get(x) != target:
                self._copy(x, target)

    def _node(self, node: Apply) -> None:
        """Write what computes a node, unless its elements are computed where they are used."""
        op = getattr(node.op, "core_op", node.op)
        if isinstance(op, Elemwise):
            if len(node.outputs) > 1 or not self._is_summed(node.outputs[0]):
                self._elemwise(node)
        elif isinstance(op, CAReduce):
            self._reduce(node)
        elif isinstance(op, SmallMatrixOp) and op.in_rows is not None:
            self._small(node, op)
        elif isinstance(op, Dot):
            self._dot(node)
        elif isinstance(op, Join):
            self._join(node)
        elif isinstance(op, AdvancedIncSubtensor | IncSubtensor):
            self._set(node)
        elif type(op) not in VIEWS:
            raise NoLoops(str(op))

    def _is_summed(self, x: Variable) -> bool:
        clients = self.fgraph.clients[x]
        return len(clients) == 1 and isinstance(clients[0][0].op, CAReduce)

    def _new(self, x: Variable) -> Place:
        """Where to store `x`."""
        if x in self.targets:
            self.stored[x] = self.targets[x]
        elif prod(shape_of(x)) == 1:
            self.stored[x] = Place(f"{self.prefix}number_{len(self.stored)}")
        else:
            self.stored[x] = self._allocate(x)
        return self.stored[x]

    def _allocate(self, x: Variable) -> Place:
        """A place for an array in the scratch row."""
        place = Place(f"{self.prefix}scratch", self.scratch)
        self.scratch += prod(shape_of(x))
        return place

    def _loop(self, shape: Sequence[int], name: str = "q") -> tuple[list[str], str]:
        """Indices that run over a shape, and the indentation within; opens the loops."""
        index, indent = [], ""
        for axis, size in enumerate(shape):
            index.append("0" if size == 1 else f"{name}{axis}")
            if size != 1:
                self.lines.append(f"{indent}for {name}{axis} in range({size}):")
                indent += "    "
        return index, indent

    def _copy(self, x: Variable, target: Place) -> None:
        shape = shape_of(x)
        index, indent = self._loop(shape)
        value = self.element(x, index)
        self.lines.append(f"{indent}{target.element(flat(shape, index))} = {value}")

    def _elemwise(self, node: Apply) -> None:
        shape = shape_of(node.outputs[0])
        index, indent = self._loop(shape)
        call = self.apply(node, index)
        places = [self._new(x).element(flat(shape, index)) for x in node.outputs]
        self.lines.append(f"{indent}{', '.join(places)} = {call}")

    def _reduce(self, node: Apply) -> None:
        (x,), (out,) = node.inputs, node.outputs
        axes = range(x.type.ndim) if node.op.axis is None else node.op.axis
        match node.op.scalar_op:
            case Add():
                start, change = "0.0", "{0} += {1}"
            case AND():
                start, change = "True", "{0} = {0} and {1}"
            case OR():
                start, change = "False", "{0} = {0} or {1}"
            case ScalarMaximum():
                start, change = "-np.inf", "{0} = max({0}, {1})"
            case _:
                raise NoLoops(str(node.op))
        place = self._new(out)
        kept = [a for a in range(x.type.ndim) if a not in axes]
        outer, indent = self._loop([shape_of(x)[a] for a in kept], "o")
        total = place.element(flat(shape_of(out), outer))
        self.lines.append(f"{indent}{total} = {start}")
        index = ["0"] * x.type.ndim
        for a, at in zip(kept, outer, strict=True):
            index[a] = at
        for a in axes:
            if shape_of(x)[a] != 1:
                self.lines.append(f"{indent}for q{a} in range({shape_of(x)[a]}):")
                indent, index[a] = indent + "    ", f"q{a}"
        self.lines.append(indent + change.format(total, self.element(x, index)))

    def _small(self, node: Apply, op: SmallMatrixOp) -> None:
        (out,) = node.outputs
        inputs = [self._in_place(x) for x in node.inputs]
        d = shape_of(node.inputs[0])[-1]
        if isinstance(node.op, Blockwise) and node.op.batch_ndim(node) > 0:
            raise NoLoops
        place = self._new(out)
        function = self.named(op.in_rows, source_key(op.in_rows.py_func.__module__))
        read = "".join(f", {i.row}, {i.first}" for i in inputs)
        if place.is_number:
            self.lines.append(f"{place.row} = {function}({d}{read})")
        else:
            self.lines.append(f"{function}({d}{read}, {place.row}, {place.first})")

    def _in_place(self, x: Variable) -> Place:
        """`x` as it lies by rows somewhere."""
        if x in self.stored and not self.stored[x].is_number:
            return self.stored[x]
        if x in self.leaves:
            return self.leaves[x]
        if isinstance(x, Constant) and x.data.size > 1:
            return Place(self.constant(np.asarray(x.data, dtype=np.float64).ravel()), 0)
        place = self._allocate(x)
        self._copy(x, place)
        return place

    def _dot(self, node: Apply) -> None:
        (a, b), (out,) = node.inputs, node.outputs
        if a.type.ndim != 2 or b.type.ndim != 2:
            raise NoLoops
        place = self._new(out)
        (i, j), indent = self._loop(shape_of(out), "o")
        total = place.element(flat(shape_of(out), (i, j)))
        self.lines.append(f"{indent}{total} = 0.0")
        self.lines.append(f"{indent}for q in range({shape_of(a)[1]}):")
        term = f"{self.element(a, (i, 'q'))} * {self.element(b, ('q', j))}"
        self.lines.append(f"{indent}    {total} += {term}")

    def _join(self, node: Apply) -> None:
        (out,) = node.outputs
        if node.op.axis != 0 or prod(shape_of(out)) == 1:
            raise NoLoops(str(node.op))
        place = self._new(out)
        first = place.first
        for x in node.inputs:
            self._copy(x, Place(place.row, first))
            first += prod(shape_of(x))

    def _set(self, node: Apply) -> None:
        """Write an array with some entries replaced or increased."""
        base, y, *rest = node.inputs
        index = constant_indices(node.op, [base, *rest])
        places = np.arange(prod(shape_of(base))).reshape(shape_of(base))[index]
        if not node.op.set_instead_of_inc and len(np.unique(places)) < places.size:
            raise NoLoops
        place = self._new(node.outputs[0])
        if place.is_number:
            raise NoLoops
        self._copy(base, place)
        shape = places.shape
        at, indent = self._loop(shape)
        where = f"{self.constant(places.ravel())}[{flat(shape, at)}]"
        sign = "=" if node.op.set_instead_of_inc else "+="
        value = self.element(y, at[len(at) - y.type.ndim :])
        self.lines.append(f"{indent}{place.element(where)} {sign} {value}")


def _rewritten(
    outputs: Sequence[Variable], leaves: Mapping[TensorVariable, Place]
) -> FunctionGraph:
    """PyTensor's rewrites, without those that make array operations of the graph's parts."""
    fgraph = FunctionGraph(
        list(leaves), [x.astype("float64") for x in outputs], clone=True, copy_inputs=False
    )
    mode = small_matrix_mode().excluding(
        "inplace", "fuse_indexed_into_elemwise", "introduce_explicit_core_shape_blockwise"
    )
    mode.optimizer.rewrite(fgraph)
    return fgraph
