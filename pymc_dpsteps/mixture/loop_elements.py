"""Elements of small arrays as source code: read in their place, or computed where they are used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.link.numba.dispatch.basic import numba_funcify_ensure_cache
from pytensor.tensor.basic import Alloc, ExtractDiag, ScalarFromTensor, TensorFromScalar
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.shape import Reshape
from pytensor.tensor.subtensor import AdvancedSubtensor, Subtensor, indices_from_subtensor
from pytensor.tensor.variable import TensorVariable

__all__ = ["VIEWS", "Elements", "NoLoops", "Place", "constant_indices", "flat", "shape_of"]

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


class Elements:
    """Source code of elements, and what is behind the names in it.

    Attributes
    ----------
    stored : dict
        Where variables that are computed already lie.
    names : dict
        What is behind the global names of the source.
    keys : list of str or None
        Identify that, for the disk cache.
    """

    def __init__(self, prefix: str, leaves: Mapping[TensorVariable, Place]) -> None:
        self.prefix = prefix
        self.leaves = leaves
        self.names: dict[str, Any] = {"np": np}
        self.keys: list[str | None] = []
        self.stored: dict[Variable, Place] = {}

    def element(self, x: Variable, index: Sequence[str]) -> str:
        """Source code of one element of `x`."""
        index = ["0" if size == 1 else at for size, at in zip(shape_of(x), index, strict=True)]
        place = self.leaves.get(x) or self.stored.get(x)
        if place is not None:
            source = place.element(flat(shape_of(x), index))
            return source if place.is_number else _cast(source, x.type.dtype)
        if isinstance(x, Constant):
            return self._constant(x, index)
        node = x.owner
        if isinstance(node.op, Elemwise):
            return self.apply(node, index)
        return VIEWS[type(node.op)](self, node, index)

    def _constant(self, x: Constant, index: Sequence[str]) -> str:
        value = np.asarray(x.data)
        if value.dtype.name not in _NUMBERS:
            raise NoLoops
        first = value.ravel()[0]
        if value.size == 1 or (value == first).all():
            return _number(first)
        return f"{self.constant(value.ravel())}[{flat(value.shape, index)}]"

    def apply(self, node: Apply, index: Sequence[str]) -> str:
        """Source code that applies an operation on elements."""
        scalar = node.op.make_scalar_node(*node.inputs)
        function, key = numba_funcify_ensure_cache(node.op.scalar_op, node=scalar)
        arguments = ", ".join(self.element(x, index) for x in node.inputs)
        return f"{self.named(function, key)}({arguments})"

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


# Operations whose elements are elements of their inputs: the source of one of them.


def _transposed(graph: Elements, node: Apply, index: Sequence[str]) -> str:
    at = ["0"] * node.inputs[0].type.ndim
    for axis, source in enumerate(node.op.new_order):
        if source != "x":
            at[source] = index[axis]
    return graph.element(node.inputs[0], at)


def _allocated(graph: Elements, node: Apply, index: Sequence[str]) -> str:
    x = node.inputs[0]
    return graph.element(x, index[len(index) - x.type.ndim :])


def _same(graph: Elements, node: Apply, index: Sequence[str]) -> str:
    return graph.element(node.inputs[0], index)


def _diagonal(graph: Elements, node: Apply, index: Sequence[str]) -> str:
    if node.op.offset != 0 or node.inputs[0].type.ndim != 2:
        raise NoLoops
    return graph.element(node.inputs[0], (index[0], index[0]))


def _indexed(graph: Elements, node: Apply, index: Sequence[str]) -> str:
    """An element at constant indices; where these are no pattern, from a table of places."""
    x = node.inputs[0]
    taken = constant_indices(node.op, node.inputs)
    places = np.arange(prod(shape_of(x))).reshape(shape_of(x))[taken]
    at = flat(places.shape, index)
    steps = np.unique(np.diff(places.ravel()))
    if len(steps) > 1:
        return _at_place(graph, x, f"{graph.constant(places.ravel())}[{at}]")
    step = int(steps[0]) if len(steps) == 1 else 1
    return _at_place(graph, x, f"({places.ravel()[0]} + {step} * ({at}))")


def _reshaped(graph: Elements, node: Apply, index: Sequence[str]) -> str:
    return _at_place(graph, node.inputs[0], f"({flat(shape_of(node.outputs[0]), index)})")


def _at_place(graph: Elements, x: Variable, place: str) -> str:
    """Element of `x` at a place by rows."""
    at: list[str] = []
    for size in reversed(shape_of(x)):
        at.insert(0, f"({place} % {size})")
        place = f"({place} // {size})"
    if at:
        at[0] = at[0].rsplit(" % ", 1)[0] + ")"
    return graph.element(x, at)


VIEWS: dict[type, Callable[[Elements, Apply, Sequence[str]], str]] = {
    DimShuffle: _transposed,
    Alloc: _allocated,
    TensorFromScalar: _same,
    ScalarFromTensor: _same,
    ExtractDiag: _diagonal,
    Subtensor: _indexed,
    AdvancedSubtensor: _indexed,
    Reshape: _reshaped,
}


def shape_of(x: Variable) -> tuple[int, ...]:
    """Shape of an array of numbers; NoLoops where it is unknown or too large."""
    shape = getattr(x.type, "shape", ())
    if None in shape or prod(shape) > _MAX_SIZE or x.type.dtype not in _NUMBERS:
        raise NoLoops(f"{x.type}")
    return tuple(shape)


def constant_indices(op: Any, inputs: Sequence[Variable]) -> tuple[Any, ...]:
    """Indices of an indexing operation, which must be known; NoLoops where they are not."""

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


def flat(shape: Sequence[int], index: Sequence[str]) -> str:
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
