"""Generated source: compiled PyTensor graphs wrapped to read and write packed rows.

Each wrapper has one signature for all models and is what a sweep calls by address.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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
from pymc_dpsteps.mixture.loop_elements import NoLoops, Place
from pymc_dpsteps.mixture.loops import Code, write_loops
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
        lines += _store(row, layout.at(leaf), f"result[{j}]", leaf.type.shape)
    return "\n".join(" " * indent + line for line in lines)


def _store(row: str, offset: int, value: str, shape: tuple[int, ...]) -> list[str]:
    width = prod(shape)
    if shape == ():
        return [f"{row}[{offset}] = {value}"]
    if len(shape) == 1:  # a loop costs less than to cut a slice
        return [f"for q in range({width}):", f"    {row}[{offset} + q] = {value}[q]"]
    return [f"{row}[{offset}:{offset + width}] = np.ascontiguousarray({value}).reshape({width})"]


def write_code(
    prefix: str,
    outputs: Sequence[Variable],
    rows: dict[str, Layout],
    targets: Sequence[Place | None],
    numbers: dict[TensorVariable, Place] | None = None,
) -> Code:
    """Source that computes graphs of leaves: as loops where possible, else by PyTensor.

    Parameters
    ----------
    prefix : str
        Begins all names that the source introduces.
    outputs : sequence of Variable
    rows : dict
        Layouts of the packed vectors by the names they have in the source.
    targets : sequence
        For every output, where it is written to; None for a number wanted as an expression.
    numbers : dict, optional
        Leaves that the source has as numbers.

    Returns
    -------
    Code
    """
    numbers = numbers or {}
    places = {x: Place(row, rows[row].at(x)) for row in rows for x in rows[row].leaves}
    try:
        return write_loops(prefix, outputs, {**places, **numbers}, targets)
    except NoLoops:
        pass
    compiled = funcify((*numbers, *places), outputs)
    arguments = [
        numbers[x].row if x in numbers else _read(places[x].row, places[x].first, x.type.shape)
        for x in compiled.leaves
    ]
    result = f"{prefix}result"
    lines = [f"{result} = {prefix}function({', '.join(arguments)})"]
    expressions = []
    for j, (x, target) in enumerate(zip(outputs, targets, strict=True)):
        if target is None:
            expressions.append(f"{result}[{j}]")
        else:
            lines += _store(target.row, target.first, f"{result}[{j}]", x.type.shape)
    names = {f"{prefix}function": compiled.function, "np": np}
    return Code(tuple(lines), tuple(expressions), names, compiled.key, allocates=True)


@dataclass(frozen=True)
class KernelPart:
    """What the kernel takes of one kind of row of data.

    Attributes
    ----------
    code : Code
        Computes a log density, or what a cluster's statistics take, from ``row``, ``column``
        and ``shared``.
    range_at : int or None
        None where the row is the item's own; else the column of the item's row that holds the
        first of its rows of observations, the next column holding the end of them.
    """

    code: Code
    range_at: int | None

    @classmethod
    def of_kernel(
        cls,
        prefix: str,
        graph: TensorVariable,
        distances: Sequence[Distance],
        rows: dict[str, Layout],
        range_at: int | None,
    ) -> KernelPart:
        """A log density that depends on squared distances between leaves."""
        numbers = {d.placeholder: Place(f"{prefix}distance_{j}") for j, d in enumerate(distances)}
        code = write_code(prefix, [graph], rows, [None], numbers)
        lines, names, before = list(code.lines), dict(code.names), list(code.before)
        for d, place in reversed(list(zip(distances, numbers.values(), strict=True))):
            lines[:0] = _distance(d, place.row, rows)
            if d.x.type.shape[0] > _UNROLLED:
                names["squared_distance"] = squared_distance
                before.append(f"{place.row}_scratch = np.empty({d.x.type.shape[0]})")
        key = None if code.key is None else f"{code.key}:{source_key('pymc_dpsteps.linalg')}"
        code = replace(code, lines=tuple(lines), names=names, key=key, before=tuple(before))
        return cls(code, range_at)

    def over_rows(self, lines: Sequence[str]) -> list[str]:
        """Source code that does `lines` for every ``row`` of ``item``."""
        if self.range_at is None:
            return ["row = item", *lines]
        loop = f"for r in range(int(item[{self.range_at}]), int(item[{self.range_at + 1}])):"
        return [loop, "    row = items[r]", *("    " + line for line in lines)]


_UNROLLED = 8  # dimensions up to which a distance is written out


def _distance(distance: Distance, name: str, rows: dict[str, Layout]) -> list[str]:
    """Source code that computes a squared distance where its leaves lie."""
    root, x, centre = (
        Place(row, layout.at(leaf))
        for leaf in distance.graphs
        for row, layout in rows.items()
        if leaf in layout.leaves
    )
    d = distance.x.type.shape[0]
    if d > _UNROLLED:
        places = ", ".join(f"{p.row}, {p.first}" for p in (root, x, centre))
        return [f"{name} = squared_distance({d}, {places}, {name}_scratch, 0)"]
    lines = []
    for i in range(d):
        terms = [f"{x.element(str(i))} - {centre.element(str(i))}"]
        for j in range(i):
            terms.append(f"{root.element(str(_packed(d, i, j)))} * {name}_{j}")
        lines.append(f"{name}_{i} = ({' - '.join(terms)}) * {root.element(str(_packed(d, i, i)))}")
    return [*lines, f"{name} = " + " + ".join(f"{name}_{i} * {name}_{i}" for i in range(d))]


def _packed(d: int, i: int, j: int) -> int:
    """Place of an entry of a `packed_root`."""
    return j * d - j * (j - 1) // 2 + i - j


def _add_log_kernel(parts: Sequence[KernelPart], indent: int) -> str:
    """Source code that adds log F of ``item`` under ``column`` to ``total``."""
    lines = []
    for part in parts:
        (log_density,) = part.code.expressions
        lines += part.over_rows([*part.code.lines, f"total += {log_density}"])
    return _indented(lines, indent)


def _before(codes: Iterable[Code]) -> str:
    """Source code of what is done once."""
    return "\n".join("    " + line for code in codes for line in code.before)


def _compile(
    source: str, name: str, codes: Sequence[Code], signature: Any, *, lean: bool = False
) -> Any:
    """Compile source that contains generated code, lean if its scratch needs no memory."""
    names = {"np": np}
    for code in codes:
        names |= code.names
    lean = lean and all(code.lean for code in codes)
    return compile_source(source, name, names, signature, join_keys(codes), lean=lean)


def join_keys(compiled: Iterable[Compiled | Code]) -> str | None:
    """Key of several graphs, or None where one of them cannot be cached."""
    keys = [c.key for c in compiled]
    return None if None in keys else ":".join(str(key) for key in keys)


def compile_kernel(parts: Sequence[KernelPart]) -> Any:
    """Compile log F of one item under several rows of atoms (KERNEL)."""
    codes = [part.code for part in parts]
    source = f"""
def kernel(i, rows, n, items, columns, shared, out):
    item = items[i]
{_before(codes)}
    for j in range(n):
        column = columns[rows[j]]
        total = 0.0
{_add_log_kernel(parts, indent=8)}
        out[j] = total
"""
    return _compile(source, "kernel", codes, KERNEL, lean=True)


def compile_kernel_of_items(parts: Sequence[KernelPart]) -> Any:
    """Compile log F of n items in a row under one row of atoms (KERNEL_OF_ITEMS).

    The loop over items is the inner one, for the compiler to make vector instructions of.
    """
    codes = [part.code for part in parts]
    source = f"""
def kernel_of_items(first, n, k, items, columns, shared, out):
    column = columns[k]
{_before(codes)}
    for j in range(n):
        item = items[first + j]
        total = 0.0
{_add_log_kernel(parts, indent=8)}
        out[j] = total
"""
    return _compile(source, "kernel_of_items", codes, KERNEL_OF_ITEMS, lean=True)


def _places(columns: Layout) -> list[Place]:
    return [Place("column", offset) for offset in columns.offsets]


def compile_derive(
    graphs: Sequence[Variable], columns: Layout, values: Layout, shared: Layout
) -> Any:
    """Compile component columns from rows of atoms (DERIVE)."""
    rows = {"value": values, "shared": shared}
    code = write_code("derive_", graphs, rows, _places(columns))
    source = f"""
def derive(values, first, last, shared, columns):
{_before([code])}
    for k in range(first, last):
        value = values[k]
        column = columns[k]
{_indented(code.lines, 8)}
"""
    return _compile(source, "derive", [code], DERIVE)


def _indented(lines: Sequence[str], indent: int) -> str:
    return "\n".join(" " * indent + line for line in lines)


def compile_log_posterior(
    parts: Sequence[KernelPart],
    graphs: Sequence[Variable],
    log_base: Variable,
    columns: Layout,
    values: Layout,
    shared: Layout,
) -> Any:
    """Compile log g0 plus log F of a cluster's items: what atom updates sample (LOG_POSTERIOR)."""
    rows = {"value": values, "shared": shared}
    prior = write_code("prior_", [*graphs, log_base], rows, [*_places(columns), None])
    codes = [prior, *(part.code for part in parts)]
    source = f"""
def log_posterior(value, members, n, items, shared, scratch):
    column = scratch[0]
{_before(codes)}
{_indented(prior.lines, 4)}
    total = {prior.expressions[0]}
    if not total > -np.inf:
        return -np.inf
    for j in range(n):
        item = items[members[j]]
{_add_log_kernel(parts, indent=8)}
    return total if total == total else -np.inf
"""
    return _compile(source, "log_posterior", codes, LOG_POSTERIOR)
