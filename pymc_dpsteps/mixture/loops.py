"""Graphs of small vectors and matrices as loops over packed rows.

PyTensor's numba code makes a new array for every vector, which takes longer than the arithmetic
on a few numbers. Here a graph whose shapes are all known becomes source that reads where its
leaves lie, writes to where its results go, and keeps what is between in a scratch row. Operations
on elements are fused by PyTensor and compiled by it as functions of numbers; indexing costs
nothing, since every element is read in its place. A graph with other operations than those below
is left to PyTensor as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.link.numba.dispatch.basic import numba_funcify_ensure_cache
from pytensor.scalar import AND, OR, Add, ScalarMaximum
from pytensor.tensor.basic import Alloc, ExtractDiag, Join, ScalarFromTensor, TensorFromScalar
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.math import Dot
from pytensor.tensor.shape import Reshape
from pytensor.tensor.subtensor import (
    AdvancedIncSubtensor,
    AdvancedSubtensor,
    IncSubtensor,
    Subtensor,
    indices_from_subtensor,
)
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.jit import source_key
from pymc_dpsteps.mixture.small_matrices import SmallMatrixOp, small_matrix_mode

__all__ = ["Code", "NoLoops", "Place", "write_loops"]

_MAX_SIZE = 4096  # a longer row of numbers is worth arrays
_NUMBERS = {"float64", "float32", "int64", "int32", "int16", "int8", "uint8", "bool"}


class NoLoops(ValueError):
    """A graph that cannot be written as loops."""


@dataclass(frozen=True)
class Place:
    """Where the source has an array, by rows from a place in a vector, or a single number.

    Attributes
    ----------
    row : str
        Name of the vector or of the number.
    first : int
        Place of the first entry; -1 for a number.
    """

    row: str
    first: int = -1

    @property
    def is_number(self) -> bool:
        """Whether it is a number."""
        return self.first < 0

    def element(self, flat: str) -> str:
        """Source code of the element at a place by rows."""
        return self.row if self.is_number else f"{self.row}[{self.first} + {flat}]"


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


class _Graph:
    """The state of writing one graph."""

    def __init__(
        self,
        prefix: str,
        outputs: Sequence[Variable],
        leaves: Mapping[TensorVariable, Place],
        targets: Sequence[Place | None],
    ) -> None:
        self.prefix = prefix
        self.leaves = leaves
        self.lines: list[str] = []
        self.expressions: list[str] = []
        self.names: dict[str, Any] = {"np": np}
        self.keys: list[str | None] = []
        self.scratch = 0  # its size so far
        self.stored: dict[Variable, Place] = {}
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

    def constant(self, value: np.ndarray) -> str:
        """Name of a constant array."""
        for name, other in self.names.items():
            if isinstance(other, np.ndarray) and other.dtype == value.dtype:
                if np.array_equal(other, value):
                    return name
        key = f"{value.dtype}{value.shape}".encode() + value.tobytes()
        return self.named(np.ascontiguousarray(value), sha256(key).hexdigest())

    def named(self, what: Any, key: str | None) -> str:
        """Name of a function or constant."""
        name = f"{self.prefix}{len(self.names)}"
        self.names[name] = what
        self.keys.append(key)
        return name

    # Elements --------------------------------------------------------------------------------

    def element(self, x: Variable, index: Sequence[str]) -> str:
        """Source code of one element of `x`."""
        index = ["0" if size == 1 else at for size, at in zip(_shape(x), index, strict=True)]
        place = self.leaves.get(x) or self.stored.get(x)
        if place is not None:
            source = place.element(_flat(_shape(x), index))
            return source if place.is_number else _cast(source, x.type.dtype)
        if isinstance(x, Constant):
            return self._constant(x, index)
        node = x.owner
        if isinstance(node.op, Elemwise):
            return self._apply(node, index)
        return _VIEWS[type(node.op)](self, node, index)

    def _constant(self, x: Constant, index: Sequence[str]) -> str:
        value = np.asarray(x.data)
        if value.dtype.name not in _NUMBERS:
            raise NoLoops
        first = value.ravel()[0]
        if value.size == 1 or (value == first).all():
            return _number(first)
        return f"{self.constant(value.ravel())}[{_flat(value.shape, index)}]"

    def _apply(self, node: Apply, index: Sequence[str]) -> str:
        """Source code that applies an operation on elements."""
        scalar = node.op.make_scalar_node(*node.inputs)
        function, key = numba_funcify_ensure_cache(node.op.scalar_op, node=scalar)
        arguments = ", ".join(self.element(x, index) for x in node.inputs)
        return f"{self.named(function, key)}({arguments})"

    # Statements ------------------------------------------------------------------------------

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
        elif type(op) not in _VIEWS:
            raise NoLoops(str(op))

    def _is_summed(self, x: Variable) -> bool:
        clients = self.fgraph.clients[x]
        return len(clients) == 1 and isinstance(clients[0][0].op, CAReduce)

    def _new(self, x: Variable) -> Place:
        """Where to store `x`."""
        if x in self.targets:
            self.stored[x] = self.targets[x]
        elif prod(_shape(x)) == 1:
            self.stored[x] = Place(f"{self.prefix}number_{len(self.stored)}")
        else:
            self.stored[x] = self._allocate(x)
        return self.stored[x]

    def _allocate(self, x: Variable) -> Place:
        """A place for an array in the scratch row."""
        place = Place(f"{self.prefix}scratch", self.scratch)
        self.scratch += prod(_shape(x))
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
        shape = _shape(x)
        index, indent = self._loop(shape)
        value = self.element(x, index)
        self.lines.append(f"{indent}{target.element(_flat(shape, index))} = {value}")

    def _elemwise(self, node: Apply) -> None:
        shape = _shape(node.outputs[0])
        index, indent = self._loop(shape)
        call = self._apply(node, index)
        places = [self._new(x).element(_flat(shape, index)) for x in node.outputs]
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
        outer, indent = self._loop([_shape(x)[a] for a in kept], "o")
        total = place.element(_flat(_shape(out), outer))
        self.lines.append(f"{indent}{total} = {start}")
        index = ["0"] * x.type.ndim
        for a, at in zip(kept, outer, strict=True):
            index[a] = at
        for a in axes:
            if _shape(x)[a] != 1:
                self.lines.append(f"{indent}for q{a} in range({_shape(x)[a]}):")
                indent, index[a] = indent + "    ", f"q{a}"
        self.lines.append(indent + change.format(total, self.element(x, index)))

    def _small(self, node: Apply, op: SmallMatrixOp) -> None:
        (out,) = node.outputs
        inputs = [self._in_place(x) for x in node.inputs]
        d = _shape(node.inputs[0])[-1]
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
        (i, j), indent = self._loop(_shape(out), "o")
        total = place.element(_flat(_shape(out), (i, j)))
        self.lines.append(f"{indent}{total} = 0.0")
        self.lines.append(f"{indent}for q in range({_shape(a)[1]}):")
        term = f"{self.element(a, (i, 'q'))} * {self.element(b, ('q', j))}"
        self.lines.append(f"{indent}    {total} += {term}")

    def _join(self, node: Apply) -> None:
        (out,) = node.outputs
        if node.op.axis != 0 or prod(_shape(out)) == 1:
            raise NoLoops(str(node.op))
        place = self._new(out)
        first = place.first
        for x in node.inputs:
            self._copy(x, Place(place.row, first))
            first += prod(_shape(x))

    def _set(self, node: Apply) -> None:
        """Write an array with some entries replaced or increased."""
        base, y, *rest = node.inputs
        index = _constant_indices(node.op, [base, *rest])
        places = np.arange(prod(_shape(base))).reshape(_shape(base))[index]
        if not node.op.set_instead_of_inc and len(np.unique(places)) < places.size:
            raise NoLoops
        place = self._new(node.outputs[0])
        if place.is_number:
            raise NoLoops
        self._copy(base, place)
        shape = places.shape
        at, indent = self._loop(shape)
        where = f"{self.constant(places.ravel())}[{_flat(shape, at)}]"
        sign = "=" if node.op.set_instead_of_inc else "+="
        value = self.element(y, at[len(at) - y.type.ndim :])
        self.lines.append(f"{indent}{place.element(where)} {sign} {value}")


# Operations whose elements are elements of their inputs: the source of one of them.


def _transposed(graph: _Graph, node: Apply, index: Sequence[str]) -> str:
    at = ["0"] * node.inputs[0].type.ndim
    for axis, source in enumerate(node.op.new_order):
        if source != "x":
            at[source] = index[axis]
    return graph.element(node.inputs[0], at)


def _allocated(graph: _Graph, node: Apply, index: Sequence[str]) -> str:
    x = node.inputs[0]
    return graph.element(x, index[len(index) - x.type.ndim :])


def _same(graph: _Graph, node: Apply, index: Sequence[str]) -> str:
    return graph.element(node.inputs[0], index)


def _diagonal(graph: _Graph, node: Apply, index: Sequence[str]) -> str:
    if node.op.offset != 0 or node.inputs[0].type.ndim != 2:
        raise NoLoops
    return graph.element(node.inputs[0], (index[0], index[0]))


def _indexed(graph: _Graph, node: Apply, index: Sequence[str]) -> str:
    """An element at constant indices; where these are no pattern, from a table of places."""
    x = node.inputs[0]
    places = np.arange(prod(_shape(x))).reshape(_shape(x))[_constant_indices(node.op, node.inputs)]
    flat = _flat(places.shape, index)
    steps = np.unique(np.diff(places.ravel()))
    if len(steps) > 1:
        return _at_place(graph, x, f"{graph.constant(places.ravel())}[{flat}]")
    step = int(steps[0]) if len(steps) == 1 else 1
    return _at_place(graph, x, f"({places.ravel()[0]} + {step} * ({flat}))")


def _reshaped(graph: _Graph, node: Apply, index: Sequence[str]) -> str:
    return _at_place(graph, node.inputs[0], f"({_flat(_shape(node.outputs[0]), index)})")


def _at_place(graph: _Graph, x: Variable, place: str) -> str:
    """Element of `x` at a place by rows."""
    at: list[str] = []
    for size in reversed(_shape(x)):
        at.insert(0, f"({place} % {size})")
        place = f"({place} // {size})"
    if at:
        at[0] = at[0].rsplit(" % ", 1)[0] + ")"
    return graph.element(x, at)


_VIEWS: dict[type, Callable[[_Graph, Apply, Sequence[str]], str]] = {
    DimShuffle: _transposed,
    Alloc: _allocated,
    TensorFromScalar: _same,
    ScalarFromTensor: _same,
    ExtractDiag: _diagonal,
    Subtensor: _indexed,
    AdvancedSubtensor: _indexed,
    Reshape: _reshaped,
}


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


def _shape(x: Variable) -> tuple[int, ...]:
    shape = getattr(x.type, "shape", ())
    if None in shape or prod(shape) > _MAX_SIZE or x.type.dtype not in _NUMBERS:
        raise NoLoops(f"{x.type}")
    return tuple(shape)


def _constant_indices(op: Any, inputs: Sequence[Variable]) -> tuple[Any, ...]:
    def value(x: Any) -> Any:
        if isinstance(x, slice):
            return slice(value(x.start), value(x.stop), value(x.step))
        if x is None or isinstance(x, int):
            return x
        if not isinstance(x, Constant):
            raise NoLoops
        data = np.asarray(x.data)
        return int(data) if data.ndim == 0 else data

    return tuple(value(x) for x in indices_from_subtensor(inputs[1:], op.idx_list))


def _flat(shape: Sequence[int], index: Sequence[str]) -> str:
    """Place by rows of an element."""
    terms = []
    for axis, at in enumerate(index):
        stride = prod(shape[axis + 1 :])
        if at != "0":
            terms.append(at if stride == 1 else f"{at} * {stride}")
    return " + ".join(terms) or "0"


def _number(x: Any) -> str:
    if x.dtype == np.bool_:
        return str(bool(x))
    if np.issubdtype(x.dtype, np.integer):
        return str(int(x))
    if np.isfinite(x):
        return repr(float(x))
    return "np.nan" if np.isnan(x) else "np.inf" if x > 0 else "-np.inf"


def _cast(source: str, dtype: str) -> str:
    """A number from a packed vector as what its leaf is."""
    if dtype == "bool":
        return f"({source} != 0.0)"
    return source if dtype.startswith("float") else f"int({source})"
