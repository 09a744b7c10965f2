"""Generated source of priors: base measure, hyperparameters, concentration and weights."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numba import float64, int64, types
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.type import RandomGeneratorType
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.jit import compile_source
from pymc_dpsteps.mixture.codegen import Layout, funcify, join_keys, write_values

__all__ = [
    "CONCENTRATION",
    "DRAW_BASE",
    "HYPERPARAMETERS",
    "WEIGHTS",
    "WEIGHT_VALUE",
    "compile_concentration",
    "compile_draw_base",
    "compile_hyperparameters",
    "compile_vector",
    "with_generators",
]

_ROW = float64[::1]
_MATRIX = float64[:, ::1]

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
    read = [shared.read("shared", leaf) for leaf in compiled.leaves]
    arguments = ", ".join(["rng"] * len(generators) + read)
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
    """Compile log prior of the concentration and the urn's parameters (CONCENTRATION).

    Without concentration variables the parameters are an entry of the shared vector.
    """
    if not theta:
        source = f"""
def concentration(theta, shared, parameters):
    parameters[:, :] = {shared.read("shared", parameters)}
    return 0.0
"""
        return compile_source(source, "concentration", {}, CONCENTRATION, "entry")
    compiled = funcify((*theta, *shared.leaves), [log_prior, parameters])
    source = f"""
def concentration(theta, shared, parameters):
    result = function({compiled.arguments(theta=Layout.of(theta), shared=shared)})
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
    if not leaves:
        source = "def hyperparameters(h, rows, n, values, shared):\n    return 0.0"
        return compile_source(source, "hyperparameters", {}, HYPERPARAMETERS, "none")
    h = Layout.of(leaves)
    derived = funcify((*h.leaves, *shared.leaves), [*entries.values(), log_prior])
    base = funcify((*values.leaves, *shared.leaves), [log_base])
    source = f"""
def hyperparameters(h, rows, n, values, shared):
    result = derived({derived.arguments(h=h, shared=shared)})
    total = result[{len(entries)}]
{write_values("shared", shared, list(entries), indent=4)}
    if not total > -np.inf:
        return -np.inf
    for j in range(n):
        value = values[rows[j]]
        total += base({base.arguments(value=values, shared=shared)})[0]
    return total if total == total else -np.inf
"""
    names = {"derived": derived.function, "base": base.function, "np": np}
    key = join_keys([derived, base])
    return compile_source(source, "hyperparameters", names, HYPERPARAMETERS, key)


def compile_vector(
    graph: Variable | None, name: str, leaves: Sequence[TensorVariable], shared: Layout
) -> Any:
    """Compile a vector computed from another and from shared entries (WEIGHTS, WEIGHT_VALUE).

    Without a graph nothing is computed.
    """
    if graph is None:
        source = f"def {name}(row, shared, out):\n    return"
        return compile_source(source, name, {}, WEIGHTS, "nothing")
    compiled = funcify((*leaves, *shared.leaves), [graph])
    source = f"""
def {name}(row, shared, out):
    out[:] = function({compiled.arguments(row=Layout.of(leaves), shared=shared)})[0]
"""
    return compile_source(source, name, {"function": compiled.function}, WEIGHTS, compiled.key)
