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
    "UPDATE",
    "LaidOutBlock",
    "compile_draw_atoms",
    "compile_draw_posterior",
    "compile_log_marginal",
    "compile_update",
]

_ROW = float64[::1]
_MATRIX = float64[:, ::1]

UPDATE = types.void(_ROW, int64, float64, _MATRIX, _ROW, _ROW)
"""``update(stats, i, sign, items, shared, datum)``: add or remove item i."""
LOG_MARGINAL = float64(_ROW, _ROW)
"""``log_marginal(stats, shared)``: log of the integral of G0 times the items' densities."""
DRAW_POSTERIOR = types.void(types.npy_rng, _ROW, _ROW, _ROW)
"""``draw_posterior(rng, stats, shared, value)``: atoms given the statistics of their items."""
DRAW_ATOMS = types.void(types.npy_rng, _ROW, int64[::1], int64, _MATRIX, _ROW, _ROW, _ROW)
"""``draw_atoms(rng, value, members, n, items, shared, stats, datum)``: one Gibbs scan of a
component's blocks given its items; `stats` and `datum` are scratch."""


@dataclass(frozen=True)
class LaidOutBlock:
    """A block with its graphs cut to leaves, compiled, and its place among the statistics.

    Attributes
    ----------
    block : Block
        What was recognised.
    data : list of KernelPart
        For every kind of row, what the statistics take of it.
    hyper, values : Compiled
        Compiled graphs: hyper of component and shared, or None where `hyper_leaf` holds it;
        values of the draw and shared.
    hyper_leaf : TensorVariable or None
        Entry of the shared vector.
    first : int
        Where its statistics start.
    """

    block: Block
    data: list[KernelPart]
    hyper: Compiled | None
    values: Compiled
    hyper_leaf: TensorVariable | None
    first: int


def _key(blocks: Sequence[LaidOutBlock]) -> str | None:
    """What is behind the names of the source, for the disk cache."""
    parts: list[str] = []
    for b in blocks:
        family = b.block.family
        functions = (family.update, family.log_marginal, family.draw)
        compiled = (*(part.compiled for part in b.data), b.hyper, b.values)
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
        names |= {
            **{f"data_{j}_{p}": part.compiled.function for p, part in enumerate(b.data)},
            f"hyper_{j}": None if b.hyper is None else b.hyper.function,
            f"values_{j}": b.values.function,
            f"update_{j}": family.update,
            f"log_marginal_{j}": family.log_marginal,
            f"draw_{j}": family.draw,
        }
    return names


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


def _update(j: int, b: LaidOutBlock, sign: str, indent: int, **given: Layout) -> str:
    """Source code that adds or removes the item whose row is ``item``."""
    block = b.block
    lines = []
    for p, part in enumerate(b.data):
        n = len(block.data[p].graphs)
        change = [f"result = data_{j}_{p}({part.compiled.arguments(row=part.row, **given)})"]
        change += [f"datum[{q}] = result[{q}]" for q in range(n)]
        change += [
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


def compile_update(blocks: Sequence[LaidOutBlock], shared: Layout) -> Any:
    """Compile the statistics' change by one item (UPDATE); blocks must be free of other atoms."""
    body = "\n".join(_update(j, b, "sign", 4, shared=shared) for j, b in enumerate(blocks))
    source = f"""
def update(stats, i, sign, items, shared, datum):
    item = items[i]
{body}
"""
    return compile_source(source, "update", _names(blocks), UPDATE, _key(blocks))


def compile_log_marginal(blocks: Sequence[LaidOutBlock], values: Layout, shared: Layout) -> Any:
    """Compile the log marginal likelihood of a cluster (LOG_MARGINAL)."""
    lines = []
    for j, b in enumerate(blocks):
        n_hyper = b.block.family.n_hyper(b.block.d)
        lines += [
            f"    hyper = {_hyper(j, b, values, shared)}",
            f"    for c in range({b.block.copies}):",
            f"        total += log_marginal_{j}({b.block.d}, {_stats(b, 'c')}, "
            f"hyper[c * {n_hyper}:(c + 1) * {n_hyper}])",
        ]
    body = "\n".join(lines)
    source = f"""
def log_marginal(stats, shared):
    total = 0.0
{body}
    return total
"""
    return compile_source(source, "log_marginal", _names(blocks), LOG_MARGINAL, _key(blocks))


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
    parts = []
    for j, b in enumerate(blocks):
        given = {"value": values} if b.block.given else {}
        update = _update(j, b, "1.0", 8, **given, shared=shared)
        parts.append(f"""    stats[{b.first}:{b.first + b.block.n_stats}] = 0.0
    for member in range(n):
        item = items[members[member]]
{update}
{_draw(j, b, values, shared)}""")
    body = "\n".join(parts)
    source = f"""
def draw_atoms(rng, value, members, n, items, shared, stats, datum):
{body or "    return"}
"""
    return compile_source(source, "draw_atoms", _names(blocks), DRAW_ATOMS, _key(blocks))
