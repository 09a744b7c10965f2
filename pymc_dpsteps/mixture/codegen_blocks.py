"""Generated source of conjugate blocks: statistics, marginal likelihood and draws of atoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import float64, int64, types
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.jit import compile_source, source_key
from pymc_dpsteps.mixture.codegen import (
    Compiled,
    KernelPart,
    Layout,
    write_values,
)
from pymc_dpsteps.mixture.structure import Block

__all__ = [
    "DRAW_ATOMS",
    "DRAW_POSTERIOR",
    "LOG_MARGINAL",
    "LOG_PREDICTIVE",
    "REFRESH",
    "SHIFT",
    "UPDATE",
    "LaidOutBlock",
    "compile_draw_atoms",
    "compile_draw_posterior",
    "compile_log_marginal",
    "compile_log_predictive",
    "compile_refresh",
    "compile_shift",
    "compile_update",
]

_ROW = float64[::1]
_MATRIX = float64[:, ::1]

UPDATE = types.void(_ROW, int64, float64, _MATRIX, _ROW, _ROW)
"""``update(stats, i, sign, items, shared, datum)``: add or remove item i."""
LOG_MARGINAL = float64(_ROW, _ROW)
"""``log_marginal(stats, shared)``: log of the integral of G0 times the items' densities."""
REFRESH = types.void(_ROW, _ROW, _ROW)
"""``refresh(stats, cache, shared)``: what the predictive density needs of a cluster."""
SHIFT = types.void(_ROW, _ROW, int64, float64, _MATRIX, _ROW, _ROW)
"""``shift(stats, cache, i, sign, items, shared, datum)``: add or remove item i."""
LOG_PREDICTIVE = types.void(int64, int64[::1], int64, _MATRIX, _MATRIX, _MATRIX, _ROW, _ROW, _ROW)
"""``log_predictive(i, rows, n, table, cache, items, shared, datum, out)``: log density of item i
given the items of each of rows[:n] of the statistics; the last row of `table` is scratch."""
DRAW_POSTERIOR = types.void(types.npy_rng, _ROW, _ROW, _ROW)
"""``draw_posterior(rng, stats, shared, value)``: atoms given the statistics of their items."""
DRAW_ATOMS = types.void(types.npy_rng, _ROW, int64[::1], int64, _MATRIX, _ROW, _ROW, _ROW)
"""``draw_atoms(rng, value, members, n, items, shared, stats, datum)``: one Gibbs scan of a
component's blocks given its items; `stats` and `datum` are scratch."""
_COLLECT = types.void(_ROW, int64[::1], int64, _MATRIX, _ROW, _ROW, _ROW)


@dataclass(frozen=True)
class LaidOutBlock:
    """A block with its graphs cut to leaves, compiled, and its place among the statistics.

    Attributes
    ----------
    block : Block
        What was recognised.
    data : list of KernelPart
        For every kind of row, what the statistics take of it, written to ``datum``.
    hyper, values : Compiled
        Compiled graphs: hyper of component and shared, or None where `hyper_leaf` holds it;
        values of the draw and shared.
    hyper_leaf : TensorVariable or None
        Entry of the shared vector.
    first, first_cache : int
        Where its statistics and its cache start.
    """

    block: Block
    data: list[KernelPart]
    hyper: Compiled | None
    values: Compiled
    hyper_leaf: TensorVariable | None
    first: int
    first_cache: int

    @property
    def one_observation(self) -> bool:
        """Whether an item is one observation: the predictive density is then in closed form.

        Otherwise it is a ratio of marginal likelihoods, and the cache is the cluster's own.
        """
        block = self.block
        return (
            len(self.data) == 1
            and self.data[0].range_at is None
            and len(block.data[0].graphs) == block.n_datum * block.copies
        )

    @property
    def n_cache(self) -> int:
        """Length of its cache."""
        block = self.block
        return block.copies * block.family.n_cache(block.d) if self.one_observation else 1


def _key(blocks: Sequence[LaidOutBlock]) -> str | None:
    """What is behind the names of the source, for the disk cache."""
    parts: list[str] = []
    for b in blocks:
        family = b.block.family
        functions = (
            family.update,
            family.log_marginal,
            family.draw,
            family.refresh,
            family.log_predictive,
        )
        compiled = (*(part.code for part in b.data), b.hyper, b.values)
        graphs = [c.key for c in compiled if c is not None]
        if None in graphs:
            return None
        parts.extend(str(key) for key in graphs)
        parts.extend(f"{family.name}:{source_key(f.py_func.__module__)}" for f in functions)
    return ":".join(parts)


def _names(blocks: Sequence[LaidOutBlock]) -> dict[str, Any]:
    names: dict[str, Any] = {"np": np}
    for j, b in enumerate(blocks):
        family = b.block.family
        for part in b.data:
            names |= part.code.names
        names |= {
            f"hyper_{j}": None if b.hyper is None else b.hyper.function,
            f"values_{j}": b.values.function,
            f"update_{j}": family.update,
            f"log_marginal_{j}": family.log_marginal,
            f"draw_{j}": family.draw,
            f"refresh_{j}": family.refresh,
            f"shift_{j}": family.shift,
            f"log_predictive_{j}": family.log_predictive,
        }
    return names


def _compile(
    source: str, name: str, blocks: Sequence[LaidOutBlock], signature: Any, *, hyper: bool = True
) -> Any:
    """Compile source, lean if what it takes of the data, and of `hyper`, allocates nothing."""
    lean = all(part.code.lean for b in blocks for part in b.data)
    lean = lean and not (hyper and any(b.hyper is not None for b in blocks))
    return compile_source(source, name, _names(blocks), signature, _key(blocks), lean=lean)


def _stats(b: LaidOutBlock, copy: str) -> str:
    """Source code of the statistics of one copy."""
    width = b.block.family.n_stats(b.block.d)
    return f"stats[{b.first} + {copy} * {width}:{b.first} + ({copy} + 1) * {width}]"


def _hyper(j: int, b: LaidOutBlock, values: Layout, shared: Layout) -> str:
    """Source code of the prior's parameters of all copies."""
    if b.hyper_leaf is not None:
        return shared.read("shared", b.hyper_leaf)
    assert b.hyper is not None
    return f"hyper_{j}({b.hyper.arguments(value=values, shared=shared)})[0]"


def _before(blocks: Sequence[LaidOutBlock]) -> str:
    """Source code of what the blocks' data need done once."""
    lines = [line for b in blocks for part in b.data for line in part.code.before]
    return "\n".join("    " + line for line in lines)


def _update(j: int, b: LaidOutBlock, sign: str, indent: int) -> str:
    """Source code that adds or removes the item whose row is ``item``."""
    block = b.block
    lines = []
    for p, part in enumerate(b.data):
        n = len(block.data[p].graphs)
        change = [
            *part.code.lines,
            f"for t in range({n // (block.n_datum * block.copies)}):",
            f"    for c in range({block.copies}):",
            f"        first = (t * {block.copies} + c) * {block.n_datum}",
            f"        update_{j}({block.d}, {_stats(b, 'c')}, "
            f"datum[first:first + {block.n_datum}], {sign})",
        ]
        lines += part.over_rows(change)
    return "\n".join(" " * indent + line for line in lines)


def _draw(j: int, b: LaidOutBlock, values: Layout, shared: Layout) -> str:
    """Source code that draws the block's atoms into ``value``."""
    block, natural = b.block, Layout.of([b.block.natural])
    n_hyper, n_natural = (f(block.d) for f in (block.family.n_hyper, block.family.n_natural))
    lines = [
        f"hyper = {_hyper(j, b, values, shared)}",
        f"natural = np.empty({block.copies * n_natural})",
        f"for c in range({block.copies}):",
        f"    draw_{j}(rng, {block.d}, {_stats(b, 'c')}, "
        f"hyper[c * {n_hyper}:(c + 1) * {n_hyper}], "
        f"natural[c * {n_natural}:(c + 1) * {n_natural}])",
        f"result = values_{j}({b.values.arguments(natural=natural, shared=shared)})",
    ]
    source = "\n".join("    " + line for line in lines)
    rows = [atom.placeholder for atom in block.atoms]
    return f"{source}\n{write_values('value', values, rows, indent=4)}"


def compile_update(blocks: Sequence[LaidOutBlock], values: Layout, shared: Layout) -> Any:
    """Compile the statistics' change by one item (UPDATE); blocks must be free of other atoms."""
    body = "\n".join(_update(j, b, "sign", 4) for j, b in enumerate(blocks))
    source = f"""
def update(stats, i, sign, items, shared, datum):
    item = items[i]
{_before(blocks)}
{body}
"""
    return _compile(source, "update", blocks, UPDATE, hyper=False)


def _of_copies(j: int, b: LaidOutBlock, call: str, values: Layout, shared: Layout) -> list[str]:
    """Source code that does `call` for the statistics and the prior of every copy c."""
    block = b.block
    n_hyper = block.family.n_hyper(block.d)
    return [
        f"hyper = {_hyper(j, b, values, shared)}",
        f"for c in range({block.copies}):",
        "    "
        + call.format(
            f"{block.d}, {_stats(b, 'c')}, hyper[c * {n_hyper}:(c + 1) * {n_hyper}]",
            _cache(b, "c"),
        ),
    ]


def _cache(b: LaidOutBlock, copy: str) -> str:
    """Source code of the cache of one copy."""
    width = b.block.family.n_cache(b.block.d)
    return f"cache[{b.first_cache} + {copy} * {width}:{b.first_cache} + ({copy} + 1) * {width}]"


def _refresh(j: int, b: LaidOutBlock, values: Layout, shared: Layout, indent: int) -> str:
    """Source code that computes the cache of a cluster from its statistics."""
    if b.one_observation:
        lines = _of_copies(j, b, f"refresh_{j}({{}}, {{}})", values, shared)
    else:
        call = f"cache[{b.first_cache}] += log_marginal_{j}({{}})"
        lines = [f"cache[{b.first_cache}] = 0.0", *_of_copies(j, b, call, values, shared)]
    return "\n".join(" " * indent + line for line in lines)


def compile_refresh(blocks: Sequence[LaidOutBlock], values: Layout, shared: Layout) -> Any:
    """Compile what the predictive density needs of a cluster (REFRESH)."""
    body = "\n".join(_refresh(j, b, values, shared, 4) for j, b in enumerate(blocks))
    source = f"""
def refresh(stats, cache, shared):
{body}
"""
    return _compile(source, "refresh", blocks, REFRESH)


def compile_shift(blocks: Sequence[LaidOutBlock], values: Layout, shared: Layout) -> Any:
    """Compile the change of a cluster's statistics and cache by one item (SHIFT)."""
    parts = []
    for j, b in enumerate(blocks):
        parts.append(_update(j, b, "sign", 4))
        if b.one_observation and b.block.family.shift is not None:
            call = f"shift_{j}({{}}, {{}}, datum, c * {b.block.n_datum}, sign)"
            lines = _of_copies(j, b, call, values, shared)
            parts.append("\n".join("    " + line for line in lines))
        else:
            parts.append(_refresh(j, b, values, shared, 4))
    body = "\n".join(parts)
    source = f"""
def shift(stats, cache, i, sign, items, shared, datum):
    item = items[i]
{_before(blocks)}
{body}
"""
    return _compile(source, "shift", blocks, SHIFT)


def _add_log_predictive(j: int, b: LaidOutBlock, values: Layout, shared: Layout) -> list[str]:
    """Source code that adds the log density of ``item`` given every row to ``out``."""
    block = b.block
    if b.one_observation:
        (part,), width = b.data, block.family.n_cache(block.d)
        return [
            "row = item",
            *part.code.lines,
            "for a in range(n):",
            "    cached = cache[rows[a]]",
            f"    for c in range({block.copies}):",
            f"        first = {b.first_cache} + c * {width}",
            f"        out[a] += log_predictive_{j}({block.d}, cached, first, datum, "
            f"c * {block.n_datum})",
        ]
    end = b.first + block.n_stats
    return [
        "stats = table[-1]",
        "for a in range(n):",
        f"    for q in range({b.first}, {end}):",
        "        stats[q] = table[rows[a], q]",
        _update(j, b, "1.0", 4),
        f"    out[a] -= cache[rows[a], {b.first_cache}]",
        *(
            "    " + line
            for line in _of_copies(j, b, f"out[a] += log_marginal_{j}({{}})", values, shared)
        ),
    ]


def compile_log_predictive(blocks: Sequence[LaidOutBlock], values: Layout, shared: Layout) -> Any:
    """Compile the predictive density of an item given several clusters (LOG_PREDICTIVE)."""
    body = "\n".join(
        "    " + line.replace("\n", "\n    ")
        for j, b in enumerate(blocks)
        for line in _add_log_predictive(j, b, values, shared)
    )
    source = f"""
def log_predictive(i, rows, n, table, cache, items, shared, datum, out):
    item = items[i]
{_before(blocks)}
    for a in range(n):
        out[a] = 0.0
{body}
"""
    return _compile(source, "log_predictive", blocks, LOG_PREDICTIVE)


def compile_log_marginal(blocks: Sequence[LaidOutBlock], values: Layout, shared: Layout) -> Any:
    """Compile the log marginal likelihood of a cluster (LOG_MARGINAL)."""
    body = "\n".join(
        "    " + line
        for j, b in enumerate(blocks)
        for line in _of_copies(j, b, f"total += log_marginal_{j}({{}})", values, shared)
    )
    source = f"""
def log_marginal(stats, shared):
    total = 0.0
{body}
    return total
"""
    return _compile(source, "log_marginal", blocks, LOG_MARGINAL)


def compile_draw_posterior(blocks: Sequence[LaidOutBlock], values: Layout, shared: Layout) -> Any:
    """Compile the draw of a component's atoms given its statistics (DRAW_POSTERIOR)."""
    body = "\n".join(_draw(j, b, values, shared) for j, b in enumerate(blocks))
    source = f"""
def draw_posterior(rng, stats, shared, value):
{body}
"""
    return compile_source(source, "draw_posterior", _names(blocks), DRAW_POSTERIOR, _key(blocks))


def compile_draw_atoms(blocks: Sequence[LaidOutBlock], values: Layout, shared: Layout) -> Any:
    """Compile the draw of all blocks of a component in turn given its items (DRAW_ATOMS)."""
    names, key = _names(blocks), _key(blocks)
    parts = []
    for j, b in enumerate(blocks):
        collect = f"""
def collect(value, members, n, items, shared, stats, datum):
    stats[{b.first}:{b.first + b.block.n_stats}] = 0.0
{_before([b])}
    for member in range(n):
        item = items[members[member]]
{_update(j, b, "1.0", 8)}
"""
        names[f"collect_{j}"] = _compile(collect, "collect", blocks, _COLLECT, hyper=False)
        key = None if key is None else key + collect  # the places in a row are there, not below
        parts.append(f"""    collect_{j}(value, members, n, items, shared, stats, datum)
{_draw(j, b, values, shared)}""")
    body = "\n".join(parts)
    source = f"""
def draw_atoms(rng, value, members, n, items, shared, stats, datum):
{body or "    return"}
"""
    return compile_source(source, "draw_atoms", names, DRAW_ATOMS, key)
