"""Generated source: compiled PyTensor graphs wrapped to read and write packed rows.

Each wrapper has one signature for all models and is what a sweep calls by address.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numba import float64, int64, types
from pytensor.compile.io import In
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.link.numba.dispatch.basic import numba_funcify_ensure_cache
from pytensor.scalar import get_scalar_type
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.jit import compile_source, source_key
from pymc_dpsteps.linalg import squared_distance
from pymc_dpsteps.mixture.distances import Distance
from pymc_dpsteps.mixture.small_matrices import small_matrix_mode

__all__ = [
    "DERIVE",
    "KERNEL",
    "KERNEL_OF_ITEMS",
    "LOG_POSTERIOR",
    "Compiled",
    "KernelPart",
    "Layout",
    "compile_derive",
    "compile_kernel",
    "compile_kernel_of_items",
    "compile_log_posterior",
    "funcify",
    "join_keys",
    "write_values",
]

_ROW = float64[::1]
_MATRIX = float64[:, ::1]

KERNEL = types.void(int64, int64[::1], int64, _MATRIX, _MATRIX, _ROW, _ROW)
"""``kernel(i, rows, n, items, columns, shared, out)``: log F of item i under rows[:n]."""
KERNEL_OF_ITEMS = types.void(int64, int64, int64, _MATRIX, _MATRIX, _ROW, _ROW)
"""``kernel(first, n, k, items, columns, shared, out)``: log F of items first, ... under row k."""
LOG_POSTERIOR = float64(_ROW, int64[::1], int64, _MATRIX, _ROW, _MATRIX)
"""``log_posterior(value, members, n, items, shared, scratch)``: log g0 plus log F of members."""
DERIVE = types.void(_MATRIX, int64, int64, _ROW, _MATRIX)
"""``derive(values, first, last, shared, columns)``: component columns of rows first..last-1."""


@dataclass(frozen=True)
class Layout:
    """Where each leaf lies in a packed row: offsets in order, shapes, total width."""

    leaves: tuple[TensorVariable, ...]
    offsets: tuple[int, ...]
    width: int

    @classmethod
    def of(cls, leaves: Iterable[TensorVariable]) -> Layout:
        """Lay out leaves side by side."""
        leaves = tuple(leaves)
        ends = np.cumsum([0] + [prod(leaf.type.shape) for leaf in leaves])
        return cls(leaves, tuple(int(e) for e in ends[:-1]), int(ends[-1]))

    def at(self, leaf: Variable) -> int:
        """Offset of `leaf`."""
        return self.offsets[self.leaves.index(leaf)]

    def read(self, row: str, leaf: TensorVariable) -> str:
        """Source code that reads `leaf` from the packed vector named `row`."""
        return _read(row, self.at(leaf), leaf.type.shape)


@dataclass(frozen=True)
class Compiled:
    """A graph as a numba function, and the key of PyTensor's disk cache for it.

    The function takes `leaves`, those of its leaves that the graph depends on.
    """

    function: Any
    key: str | None
    leaves: tuple[TensorVariable, ...]

    def arguments(self, **rows: Layout) -> str:
        """Source code that reads the leaves from packed vectors of the given names."""
        return ", ".join(
            layout.read(row, leaf)
            for leaf in self.leaves
            for row, layout in rows.items()
            if leaf in layout.leaves
        )


def funcify(
    leaves: Sequence[TensorVariable],
    outputs: Sequence[Variable],
    generators: Sequence[Variable] = (),
) -> Compiled:
    """Rewrite for numba; generators come first among the arguments and are advanced in place."""
    used = set(ancestors(outputs))
    leaves = tuple(leaf for leaf in leaves if leaf in used)
    inputs, graphs = _scalars(leaves, outputs)
    mutable = [In(g, mutable=True, borrow=True) for g in generators]
    function = pm.pytensorf.compile(
        [*mutable, *inputs],
        graphs,
        mode=small_matrix_mode(),
        on_unused_input="ignore",
        random_seed=False,
    )
    jitted, key = numba_funcify_ensure_cache(function.maker.fgraph)
    return Compiled(jitted, key, leaves)


def _scalars(
    leaves: Sequence[TensorVariable], outputs: Sequence[Variable]
) -> tuple[list[Variable], list[Variable]]:
    """Pass 0-d leaves and outputs as PyTensor scalars: numba then allocates no 0-d arrays."""
    inputs: list[Variable] = []
    replace: dict[Variable, Variable] = {}
    for leaf in leaves:
        if leaf.ndim == 0:
            scalar = get_scalar_type("float64")(leaf.name)
            replace[leaf] = pt.tensor_from_scalar(scalar).astype(leaf.dtype)
        else:
            scalar = pt.tensor(name=leaf.name, shape=leaf.type.shape, dtype="float64")
            replace[leaf] = scalar.astype(leaf.dtype)
        inputs.append(scalar)
    graphs = clone_replace(list(outputs), replace) if replace else list(outputs)
    return inputs, [
        pt.scalar_from_tensor(g.astype("float64")) if g.ndim == 0 else g.astype("float64")
        for g in graphs
    ]


def _read(row: str, offset: int, shape: tuple[int, ...]) -> str:
    if shape == ():
        return f"{row}[{offset}]"
    dims = ", ".join(map(str, shape))
    part = f"{row}[{offset}:{offset + prod(shape)}]"
    return part if len(shape) == 1 else f"{part}.reshape(({dims}))"


def write_values(row: str, layout: Layout, leaves: Sequence[TensorVariable], indent: int) -> str:
    """Source code that stores `result`, one entry for each of `leaves`, in a packed vector."""
    lines = []
    for j, leaf in enumerate(leaves):
        offset, width = layout.at(leaf), prod(leaf.type.shape)
        if leaf.ndim == 0:
            lines.append(f"{row}[{offset}] = result[{j}]")
        elif leaf.ndim == 1:  # a loop costs less than to cut a slice
            lines.append(f"for q in range({width}):")
            lines.append(f"    {row}[{offset} + q] = result[{j}][q]")
        else:
            flat = f"np.ascontiguousarray(result[{j}]).reshape({width})"
            lines.append(f"{row}[{offset}:{offset + width}] = {flat}")
    return "\n".join(" " * indent + line for line in lines)


@dataclass(frozen=True)
class KernelPart:
    """Compiled function of one row of data, such as its log density under a component.

    Attributes
    ----------
    compiled : Compiled
        Function of leaves of the row, of what else it depends on, and of the distances.
    row : Layout
        What it reads of the row.
    range_at : int or None
        None where the row is the item's own; else the column of the item's row that holds the
        first of its rows of observations, the next column holding the end of them.
    distances : tuple of Distance
        Squared distances that it takes as scalars; they are computed from leaves.
    """

    compiled: Compiled
    row: Layout
    range_at: int | None
    distances: tuple[Distance, ...] = ()

    def over_rows(self, lines: Sequence[str]) -> list[str]:
        """Source code that does `lines` for every ``row`` of ``item``."""
        if self.range_at is None:
            return ["row = item", *lines]
        loop = f"for r in range(int(item[{self.range_at}]), int(item[{self.range_at + 1}])):"
        return [loop, "    row = items[r]", *("    " + line for line in lines)]


def _add_log_kernel(
    parts: Sequence[KernelPart], columns: Layout, shared: Layout, indent: int
) -> str:
    """Source code that adds log F of ``item`` under ``column`` to ``total``."""
    lines = []
    for p, part in enumerate(parts):
        rows = {"row": part.row, "column": columns, "shared": shared}
        distance = Layout.of(d.placeholder for d in part.distances)
        call = part.compiled.arguments(distance=distance, **rows)
        computed = "".join(f"{_distance(d, rows)}, " for d in part.distances)
        lines += part.over_rows([f"distance = ({computed})", f"total += kernel_{p}({call})[0]"])
    return "\n".join(" " * indent + line for line in lines)


def _distance(distance: Distance, rows: dict[str, Layout]) -> str:
    """Source code that computes a squared distance where its leaves lie."""
    places = [
        f"{row}, {layout.at(leaf)}"
        for leaf in distance.graphs
        for row, layout in rows.items()
        if leaf in layout.leaves
    ]
    d = distance.x.type.shape[0]
    return f"squared_distance({d}, {', '.join(places)})"


def _kernel_names(parts: Sequence[KernelPart]) -> dict[str, Any]:
    """What the source of the kernel calls."""
    compiled = {f"kernel_{p}": part.compiled.function for p, part in enumerate(parts)}
    return {**compiled, "squared_distance": squared_distance}


def _kernel_key(parts: Sequence[KernelPart], *others: Compiled) -> str | None:
    """What is behind the names of a source that computes the kernel, for the disk cache."""
    key = join_keys([*(part.compiled for part in parts), *others])
    return None if key is None else f"{key}:{source_key(squared_distance.py_func.__module__)}"


def join_keys(compiled: Iterable[Compiled]) -> str | None:
    """Key of several graphs, or None where one of them cannot be cached."""
    keys = [c.key for c in compiled]
    return None if None in keys else ":".join(str(key) for key in keys)


def compile_kernel(parts: Sequence[KernelPart], columns: Layout, shared: Layout) -> Any:
    """Compile log F of one item under several rows of atoms (KERNEL)."""
    source = f"""
def kernel(i, rows, n, items, columns, shared, out):
    item = items[i]
    for j in range(n):
        column = columns[rows[j]]
        total = 0.0
{_add_log_kernel(parts, columns, shared, indent=8)}
        out[j] = total
"""
    names, key = _kernel_names(parts), _kernel_key(parts)
    return compile_source(source, "kernel", names, KERNEL, key, lean=True)


def compile_kernel_of_items(parts: Sequence[KernelPart], columns: Layout, shared: Layout) -> Any:
    """Compile log F of n items in a row under one row of atoms (KERNEL_OF_ITEMS).

    The loop over items is the inner one, for the compiler to make vector instructions of.
    """
    source = f"""
def kernel_of_items(first, n, k, items, columns, shared, out):
    column = columns[k]
    for j in range(n):
        item = items[first + j]
        total = 0.0
{_add_log_kernel(parts, columns, shared, indent=8)}
        out[j] = total
"""
    names, key = _kernel_names(parts), _kernel_key(parts)
    return compile_source(source, "kernel_of_items", names, KERNEL_OF_ITEMS, key, lean=True)


def _copies(graphs: Sequence[Variable], columns: Layout, values: Layout, indent: int) -> str:
    """Source code that copies the columns that are atoms as they are from ``value``."""
    lines = []
    for graph, leaf in zip(graphs, columns.leaves, strict=True):
        if graph in values.leaves:
            lines.append(f"for q in range({prod(leaf.type.shape)}):")
            lines.append(f"    column[{columns.at(leaf)} + q] = value[{values.at(graph)} + q]")
    return "\n".join(" " * indent + line for line in lines)


def _computed(
    graphs: Sequence[Variable], columns: Layout, values: Layout
) -> tuple[list[Variable], list[TensorVariable]]:
    """The other columns: their graphs and leaves."""
    pairs = zip(graphs, columns.leaves, strict=True)
    rest = [(graph, leaf) for graph, leaf in pairs if graph not in values.leaves]
    return [graph for graph, _ in rest], [leaf for _, leaf in rest]


def compile_derive(
    graphs: Sequence[Variable], columns: Layout, values: Layout, shared: Layout
) -> Any:
    """Compile component columns from rows of atoms (DERIVE)."""
    computed, leaves = _computed(graphs, columns, values)
    compiled = funcify((*values.leaves, *shared.leaves), computed)
    source = f"""
def derive(values, first, last, shared, columns):
    for k in range(first, last):
        value = values[k]
        column = columns[k]
        result = function({compiled.arguments(value=values, shared=shared)})
{write_values("column", columns, leaves, indent=8)}
{_copies(graphs, columns, values, indent=8)}
"""
    names = {"function": compiled.function, "np": np}
    return compile_source(source, "derive", names, DERIVE, compiled.key)


def compile_log_posterior(
    parts: Sequence[KernelPart],
    graphs: Sequence[Variable],
    log_base: Variable,
    columns: Layout,
    values: Layout,
    shared: Layout,
) -> Any:
    """Compile log g0 plus log F of a cluster's items: what atom updates sample (LOG_POSTERIOR)."""
    computed, leaves = _computed(graphs, columns, values)
    prior = funcify((*values.leaves, *shared.leaves), [*computed, log_base])
    source = f"""
def log_posterior(value, members, n, items, shared, scratch):
    result = prior({prior.arguments(value=values, shared=shared)})
    total = result[{len(computed)}]
    if not total > -np.inf:
        return -np.inf
    column = scratch[0]
{write_values("column", columns, leaves, indent=4)}
{_copies(graphs, columns, values, indent=4)}
    for j in range(n):
        item = items[members[j]]
{_add_log_kernel(parts, columns, shared, indent=8)}
    return total if total == total else -np.inf
"""
    names = {**_kernel_names(parts), "prior": prior.function, "np": np}
    key = _kernel_key(parts, prior)
    return compile_source(source, "log_posterior", names, LOG_POSTERIOR, key)
