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
from pytensor.tensor.random.type import RandomGeneratorType
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.jit import compile_source

__all__ = [
    "CONCENTRATION",
    "DERIVE",
    "DRAW_BASE",
    "HYPERPARAMETERS",
    "KERNEL",
    "LOG_POSTERIOR",
    "WEIGHTS",
    "WEIGHT_VALUE",
    "Compiled",
    "KernelPart",
    "Layout",
    "compile_concentration",
    "compile_derive",
    "compile_draw_base",
    "compile_hyperparameters",
    "compile_kernel",
    "compile_log_posterior",
    "compile_vector",
    "funcify",
    "read_all",
    "with_generators",
    "write_values",
]

_ROW = float64[::1]
_MATRIX = float64[:, ::1]

KERNEL = types.void(int64, int64[::1], int64, _MATRIX, _MATRIX, _ROW, _ROW)
"""``kernel(i, rows, n, items, columns, shared, out)``: log F of item i under rows[:n]."""
LOG_POSTERIOR = float64(_ROW, int64[::1], int64, _MATRIX, _ROW, _MATRIX)
"""``log_posterior(value, members, n, items, shared, scratch)``: log g0 plus log F of members."""
DERIVE = types.void(_MATRIX, int64, int64, _ROW, _MATRIX)
"""``derive(values, first, last, shared, columns)``: component columns of rows first..last-1."""
DRAW_BASE = types.void(types.npy_rng, _ROW, _MATRIX, int64)
"""``draw_base(rng, shared, values, first)``: K draws from G0 into rows first, first+1, …"""
CONCENTRATION = float64(_ROW, _ROW, _MATRIX)
"""``concentration(theta, shared, parameters)``: fills the urn's parameters, returns log prior."""
HYPERPARAMETERS = float64(_ROW, int64[::1], int64, _MATRIX, _ROW)
"""``hyperparameters(h, rows, n, values, shared)``: fills the entries of shared that depend on h,
returns log p(h) plus log g0 of rows[:n]."""
WEIGHTS = types.void(_ROW, _ROW, _ROW)
"""``weights(weight_value, shared, out)``: the K weights."""
WEIGHT_VALUE = types.void(_ROW, _ROW, _ROW)
"""``weight_value(weight_rv, shared, out)``: value of the weight variable in value space."""


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

    def read(self, row: str, leaf: TensorVariable) -> str:
        """Source code that reads `leaf` from the packed vector named `row`."""
        return _read(row, self.offsets[self.leaves.index(leaf)], leaf.type.shape)


@dataclass(frozen=True)
class Compiled:
    """A graph as a numba function, and the key of PyTensor's disk cache for it."""

    function: Any
    key: str | None


def funcify(
    leaves: Sequence[TensorVariable],
    outputs: Sequence[Variable],
    generators: Sequence[Variable] = (),
) -> Compiled:
    """Rewrite for numba; generators come first among the arguments and are advanced in place."""
    inputs, graphs = _scalars(leaves, outputs)
    mutable = [In(g, mutable=True, borrow=True) for g in generators]
    function = pm.pytensorf.compile(
        [*mutable, *inputs], graphs, mode="NUMBA", on_unused_input="ignore", random_seed=False
    )
    return Compiled(*numba_funcify_ensure_cache(function.maker.fgraph))


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
        offset, width = layout.offsets[layout.leaves.index(leaf)], prod(leaf.type.shape)
        if leaf.ndim == 0:
            lines.append(f"{row}[{offset}] = result[{j}]")
        else:
            flat = f"np.ascontiguousarray(result[{j}]).reshape({width})"
            lines.append(f"{row}[{offset}:{offset + width}] = {flat}")
    return "\n".join(" " * indent + line for line in lines)


def read_all(**rows: Layout) -> str:
    """Arguments of a compiled graph: all leaves of each packed row, in order."""
    return ", ".join(
        layout.read(row, leaf) for row, layout in rows.items() for leaf in layout.leaves
    )


@dataclass(frozen=True)
class KernelPart:
    """Compiled function of one row of data, such as its log density under a component.

    Attributes
    ----------
    compiled : Compiled
        Function of the row first, then of what else it depends on.
    row : Layout
        What it reads of the row.
    range_at : int or None
        None where the row is the item's own; else the column of the item's row that holds the
        first of its rows of observations, the next column holding the end of them.
    """

    compiled: Compiled
    row: Layout
    range_at: int | None

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
        call = f"total += kernel_{p}({read_all(row=part.row, column=columns, shared=shared)})[0]"
        lines += part.over_rows([call])
    return "\n".join(" " * indent + line for line in lines)


def _join_keys(compiled: Iterable[Compiled]) -> str | None:
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
    names = {f"kernel_{p}": part.compiled.function for p, part in enumerate(parts)}
    return compile_source(source, "kernel", names, KERNEL, _join_keys(p.compiled for p in parts))


def compile_derive(
    graphs: Sequence[Variable], columns: Layout, values: Layout, shared: Layout
) -> Any:
    """Compile component columns from rows of atoms (DERIVE)."""
    compiled = funcify((*values.leaves, *shared.leaves), graphs)
    source = f"""
def derive(values, first, last, shared, columns):
    for k in range(first, last):
        value = values[k]
        column = columns[k]
        result = function({read_all(value=values, shared=shared)})
{write_values("column", columns, columns.leaves, indent=8)}
"""
    names = {"function": compiled.function, "np": np}
    return compile_source(source, "derive", names, DERIVE, compiled.key)


def compile_log_posterior(
    parts: Sequence[KernelPart],
    row_graphs: Sequence[Variable],
    columns: Layout,
    values: Layout,
    shared: Layout,
) -> Any:
    """Compile log g0 plus log F of a cluster's items: what atom updates sample (LOG_POSTERIOR)."""
    prior = funcify((*values.leaves, *shared.leaves), row_graphs)
    source = f"""
def log_posterior(value, members, n, items, shared, scratch):
    result = prior({read_all(value=values, shared=shared)})
    total = result[{len(row_graphs) - 1}]
    if not total > -np.inf:
        return -np.inf
    column = scratch[0]
{write_values("column", columns, columns.leaves, indent=4)}
    for j in range(n):
        item = items[members[j]]
{_add_log_kernel(parts, columns, shared, indent=8)}
    return total if total == total else -np.inf
"""
    names = {f"kernel_{p}": part.compiled.function for p, part in enumerate(parts)}
    names |= {"prior": prior.function, "np": np}
    key = _join_keys([prior, *(part.compiled for part in parts)])
    return compile_source(source, "log_posterior", names, LOG_POSTERIOR, key)


def with_generators(
    draws: Sequence[Variable],
) -> tuple[list[Variable], list[TensorVariable]]:
    """Make the generators behind random draws inputs of their graphs."""
    found = [
        v
        for v in ancestors(list(draws))
        if v.owner is None and isinstance(v.type, RandomGeneratorType)
    ]
    generators = [g.type(name=f"rng_{j}") for j, g in enumerate(found)]
    return generators, clone_replace(list(draws), dict(zip(found, generators, strict=True)))


def compile_draw_base(
    draws: Sequence[Variable],
    hyper_leaves: Sequence[TensorVariable],
    n_components: int,
    values: Layout,
    shared: Layout,
) -> Any:
    """Compile K draws from G0 into rows of atoms (DRAW_BASE)."""
    generators, draws = with_generators(draws)
    compiled = funcify(hyper_leaves, draws, generators)
    arguments = ", ".join(
        ["rng"] * len(generators) + [shared.read("shared", leaf) for leaf in hyper_leaves]
    )
    widths = [prod(leaf.type.shape) for leaf in values.leaves]
    writes = "\n".join(
        f"    values[first:first + {n_components}, {offset}:{offset + width}] = "
        f"np.ascontiguousarray(result[{j}]).reshape(({n_components}, {width}))"
        for j, (width, offset) in enumerate(zip(widths, values.offsets, strict=True))
    )
    source = f"""
def draw_base(rng, shared, values, first):
    result = function({arguments})
{writes}
"""
    names = {"function": compiled.function, "np": np}
    return compile_source(source, "draw_base", names, DRAW_BASE, compiled.key)


def compile_concentration(
    log_prior: Variable, parameters: Variable, theta: Sequence[TensorVariable], shared: Layout
) -> Any:
    """Compile log prior of the concentration and the urn's parameters (CONCENTRATION)."""
    compiled = funcify((*theta, *shared.leaves), [log_prior, parameters])
    source = f"""
def concentration(theta, shared, parameters):
    result = function({read_all(theta=Layout.of(theta), shared=shared)})
    parameters[:, :] = result[1]
    return result[0] if result[0] == result[0] else -np.inf
"""
    names = {"function": compiled.function, "np": np}
    return compile_source(source, "concentration", names, CONCENTRATION, compiled.key)


def compile_hyperparameters(
    log_prior: Variable,
    leaves: Sequence[TensorVariable],
    entries: dict[TensorVariable, TensorVariable],
    log_base: Variable,
    values: Layout,
    shared: Layout,
) -> Any:
    """Compile log p(h) plus log g0 of rows of atoms given h (HYPERPARAMETERS)."""
    h = Layout.of(leaves)
    derived = funcify((*h.leaves, *shared.leaves), [*entries.values(), log_prior])
    base = funcify((*values.leaves, *shared.leaves), [log_base])
    source = f"""
def hyperparameters(h, rows, n, values, shared):
    result = derived({read_all(h=h, shared=shared)})
    total = result[{len(entries)}]
{write_values("shared", shared, list(entries), indent=4)}
    if not total > -np.inf:
        return -np.inf
    for j in range(n):
        value = values[rows[j]]
        total += base({read_all(value=values, shared=shared)})[0]
    return total if total == total else -np.inf
"""
    names = {"derived": derived.function, "base": base.function, "np": np}
    key = _join_keys([derived, base])
    return compile_source(source, "hyperparameters", names, HYPERPARAMETERS, key)


def compile_vector(
    graph: Variable, name: str, leaves: Sequence[TensorVariable], shared: Layout
) -> Any:
    """Compile a vector computed from another and from shared entries (WEIGHTS, WEIGHT_VALUE)."""
    compiled = funcify((*leaves, *shared.leaves), [graph])
    source = f"""
def {name}(row, shared, out):
    out[:] = function({read_all(row=Layout.of(leaves), shared=shared)})[0]
"""
    return compile_source(source, name, {"function": compiled.function}, WEIGHTS, compiled.key)
