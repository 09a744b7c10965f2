"""Compile a mixture's kernel and base measure to functions that a sweep can call.

A lifted graph mixes what varies with the item, with the component, and with neither. It is cut
where these meet: what depends on the item alone becomes a column of the item matrix, on the
component alone a column of the component matrix (a scale's logarithm is taken once per update
of an atom, not once per item), on neither an entry of the shared vector. What remains is the
kernel, compiled on scalars, so that a call allocates nothing.

Packed state, the same for every model:

- ``items`` (N, P): per-item columns;
- ``values`` (rows, Q): atoms in value space, a component per row;
- ``columns`` (rows, C): what the kernel reads of a component, computed from ``values``;
- ``shared`` (S,): everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from numba import float64, int64, types
from pytensor.compile.io import In
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.replace import clone_replace, vectorize_graph
from pytensor.graph.traversal import ancestors, walk
from pytensor.link.numba.dispatch.basic import numba_funcify_ensure_cache
from pytensor.scalar import get_scalar_type
from pytensor.tensor.random.type import RandomGeneratorType
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.jit import address_of, compile_source
from pymc_dpsteps.mixture.structure import Mixture

__all__ = [
    "CONCENTRATION",
    "DERIVE",
    "DRAW_BASE",
    "KERNEL",
    "LOG_POSTERIOR",
    "CompiledMixture",
    "compile_mixture",
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
WEIGHTS = types.void(_ROW, _ROW, _ROW)
"""``weights(weight_value, shared, out)``: the K weights."""
WEIGHT_VALUE = types.void(_ROW, _ROW, _ROW)
"""``weight_value(weight_rv, shared, out)``: value of the weight variable in value space."""

_Leaves = dict[Variable, TensorVariable]


@dataclass(frozen=True)
class _Compiled:
    """A graph as a numba function, and the key of PyTensor's disk cache for it."""

    function: Any
    key: str | None


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
class CompiledMixture:
    """Compiled functions of a mixture, and how its state is packed.

    Attributes
    ----------
    addresses : numpy.ndarray
        Machine addresses, int64, of the functions with the signatures KERNEL, LOG_POSTERIOR,
        DERIVE, DRAW_BASE, CONCENTRATION, WEIGHTS, WEIGHT_VALUE, in this order.
    functions : tuple
        The dispatchers behind the addresses.
    n_values, n_columns : int
        Widths Q and C of the value and column matrices.
    n_parameters : int
        Rows of the urn's parameter matrix.
    context_names : tuple of str
        Value variables of the model outside the step on which items or shared depend.
    context : callable
        ``context(*values of context_names) -> (items, shared)``.
    """

    addresses: np.ndarray
    functions: tuple[Any, ...]
    n_values: int
    n_columns: int
    n_parameters: int
    context_names: tuple[str, ...]
    context: Callable[..., tuple[np.ndarray, np.ndarray]]


def compile_mixture(mixture: Mixture, concentration: Sequence[TensorVariable]) -> CompiledMixture:
    """Compile kernel, base measure and concentration of a mixture.

    Parameters
    ----------
    mixture : Mixture
        A model as read by `read_mixture`.
    concentration : sequence of TensorVariable
        The concentration variables that the step updates; the others are context.

    Returns
    -------
    CompiledMixture
    """
    model = mixture.model
    hoisted: _Leaves = {source: leaf for source, leaf in mixture.shared.items()}
    item_sources = {leaf: source for source, leaf in mixture.items.items()}
    atom_rows = [atom.placeholder for atom in mixture.atoms]

    # Kernel: cut off what is shared, then what is the component's, then what is the item's.
    varying = {*item_sources, *atom_rows}
    kernel, log_base = _hoist([mixture.log_kernel, mixture.log_base], varying, hoisted)
    shared_leaves = set(hoisted.values())
    component_leaves: _Leaves = {}
    item_leaves: _Leaves = {}
    (kernel,) = _cut([kernel], set(item_sources), component_leaves, keep=shared_leaves)
    in_columns = set(component_leaves.values())
    (kernel,) = _cut([kernel], in_columns, item_leaves, keep=shared_leaves)

    draws, hyper_leaves = _base_draws(mixture, hoisted)
    theta, log_prior, parameters = _concentration_graphs(mixture, concentration, hoisted)
    weights_leaf, weights = _weights_graph(mixture, hoisted)

    shared = Layout.of(hoisted.values())
    items = Layout.of(item_leaves.values())
    columns = Layout.of(component_leaves.values())
    values = Layout.of(atom_rows)
    kernel_function = _funcify((*items.leaves, *columns.leaves, *shared.leaves), [kernel])
    row_graphs = [*component_leaves, log_base]

    functions = (
        _compile_kernel(kernel_function, items, columns, shared),
        _compile_log_posterior(kernel_function, row_graphs, items, columns, values, shared),
        _compile_derive(row_graphs[:-1], columns, values, shared),
        _compile_draw_base(draws, hyper_leaves, mixture.n_components, values, shared),
        _compile_concentration(log_prior, parameters, theta, shared),
        _compile_vector(weights, "weights", weights_leaf, shared),
        _compile_vector(*_weight_value_graph(mixture), shared=shared),
    )
    signatures = (KERNEL, LOG_POSTERIOR, DERIVE, DRAW_BASE, CONCENTRATION, WEIGHTS, WEIGHT_VALUE)
    names, context = _compile_context(mixture, item_sources, item_leaves, hoisted)
    return CompiledMixture(
        addresses=np.array(
            [address_of(f, s) for f, s in zip(functions, signatures, strict=True)], dtype=np.int64
        ),
        functions=functions,
        n_values=values.width,
        n_columns=max(columns.width, 1),
        n_parameters=mixture.prior.parameters.type.shape[0],
        context_names=names,
        context=context,
    )


def _cut(
    graphs: Sequence[Variable],
    varying: set[Variable],
    leaves: _Leaves,
    keep: set[TensorVariable] | None = None,
) -> list[TensorVariable]:
    """Replace maximal subgraphs that do not depend on `varying` by new leaves.

    Constants and the variables in `keep` stay in place; new leaves are added to `leaves`,
    subgraph -> leaf.
    """
    keep = keep or set()
    varies: dict[Variable, bool] = {}

    def depends(x: Variable) -> bool:
        if x not in varies:
            varies[x] = x in varying or (
                x.owner is not None and any(depends(y) for y in x.owner.inputs)
            )
        return varies[x]

    replace: dict[Variable, Variable] = {}
    stack, seen = list(graphs), set()
    while stack:
        x = stack.pop()
        if x in seen or x in keep or isinstance(x, Constant) or not isinstance(x, TensorVariable):
            continue
        seen.add(x)
        if depends(x):
            stack.extend(x.owner.inputs if x.owner is not None else [])
        elif not _is_constant(x) and not (keep and _only_of(x, keep)):
            if x not in leaves:
                leaves[x] = pt.tensor(name=x.name, shape=x.type.shape, dtype=x.type.dtype)
            replace[x] = leaves[x]
    return list(clone_replace(list(graphs), replace)) if replace else list(graphs)


def _hoist(graphs: Sequence[Variable], varying: set[Variable], hoisted: _Leaves) -> list[Any]:
    """Cut what is shared; `hoisted` maps the model's own graphs, not placeholders, to leaves."""
    sources = {leaf: source for source, leaf in hoisted.items()}
    cut: _Leaves = {}
    result = _cut(graphs, varying, cut)
    merged: _Leaves = {}
    for graph, leaf in cut.items():
        (source,) = clone_replace([graph], sources) if sources else [graph]
        if graph in sources:
            merged[leaf] = graph  # already a leaf of its own
        else:
            hoisted[source] = leaf
    return list(clone_replace(result, merged)) if merged else result


def _is_constant(x: Variable) -> bool:
    return all(isinstance(v, Constant) for v in ancestors([x]) if v.owner is None)


def _only_of(x: Variable, leaves: set[TensorVariable]) -> bool:
    roots = [v for v in ancestors([x]) if v.owner is None and not isinstance(v, Constant)]
    return all(v in leaves for v in roots)


def _concentration_graphs(
    mixture: Mixture, concentration: Sequence[TensorVariable], hoisted: _Leaves
) -> tuple[list[TensorVariable], TensorVariable, TensorVariable]:
    """Log prior and urn parameters as functions of the concentration variables' values."""
    model = mixture.model
    log_prior = pt.constant(0.0)
    for factor in model.logp(vars=list(concentration), sum=False) if concentration else []:
        log_prior = log_prior + factor
    (parameters,) = model.replace_rvs_by_values([mixture.prior.parameters])
    leaves = {
        model.rvs_to_values[rv]: pt.tensor(name=rv.name, shape=(), dtype=rv.dtype)
        for rv in concentration
    }
    graphs = [log_prior.astype("float64"), parameters.astype("float64")]
    graphs = list(clone_replace(graphs, leaves)) if leaves else graphs
    log_prior, parameters = _hoist(graphs, set(leaves.values()), hoisted)
    return list(leaves.values()), log_prior, parameters


def _weights_graph(
    mixture: Mixture, hoisted: _Leaves
) -> tuple[list[TensorVariable], TensorVariable]:
    """The weights as a function of the weight variable's value; empty for the CRP."""
    model, prior = mixture.model, mixture.prior
    if prior.weights is None:
        return [], pt.zeros(0)
    (weights,) = model.replace_rvs_by_values([prior.weights])
    leaves: _Leaves = {}
    if prior.weight_rv is not None:
        value = model.rvs_to_values[prior.weight_rv]
        leaves[value] = pt.tensor(name=value.name, shape=value.type.shape, dtype=value.dtype)
        (weights,) = clone_replace([weights], leaves)
    (weights,) = _hoist([weights], set(leaves.values()), hoisted)
    return list(leaves.values()), weights


def _weight_value_graph(mixture: Mixture) -> tuple[TensorVariable, str, list[TensorVariable]]:
    rv = mixture.prior.weight_rv
    if rv is None:
        return pt.zeros(0), "weight_value", []
    leaf = pt.tensor(name=rv.name, shape=rv.type.shape, dtype=rv.dtype)
    transform = mixture.model.rvs_to_transforms[rv]
    value = leaf if transform is None else transform.forward(leaf, *rv.owner.inputs)
    return value, "weight_value", [leaf]


def _base_draws(mixture: Mixture, hoisted: _Leaves) -> tuple[list[Any], list[TensorVariable]]:
    """K draws from G0 in value space, as graphs of generators and of hyperparameter leaves."""
    model = mixture.model
    atom_rvs = [atom.rv for atom in mixture.atoms]
    draws = []
    for rv in atom_rvs:
        transform = model.rvs_to_transforms[rv]
        draws.append(rv if transform is None else transform.forward(rv, *rv.owner.inputs))

    def parents(x: Variable) -> list[Variable] | None:
        is_hyper = x in model.basic_RVs and x not in atom_rvs
        return None if is_hyper or x.owner is None else list(x.owner.inputs)

    hyper = [x for x in walk(draws, parents) if x in model.basic_RVs and x not in atom_rvs]
    leaves: dict[Variable, TensorVariable] = {}
    for rv in hyper:
        (source,) = model.replace_rvs_by_values([rv])
        leaf = hoisted.get(source)
        if leaf is None:
            leaf = hoisted[source] = pt.tensor(name=rv.name, shape=rv.type.shape, dtype=rv.dtype)
        leaves[rv] = leaf
    return (list(clone_replace(draws, leaves)) if leaves else draws), list(leaves.values())


def _funcify(
    leaves: Sequence[TensorVariable],
    outputs: Sequence[Variable],
    generators: Sequence[Variable] = (),
) -> _Compiled:
    """Rewrite for numba; generators come first among the arguments and are advanced in place."""
    inputs, graphs = _scalars(leaves, outputs)
    mutable = [In(g, mutable=True, borrow=True) for g in generators]
    function = pm.pytensorf.compile(
        [*mutable, *inputs], graphs, mode="NUMBA", on_unused_input="ignore", random_seed=False
    )
    return _Compiled(*numba_funcify_ensure_cache(function.maker.fgraph))


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


def _write_columns(columns: Layout, indent: int) -> str:
    """Source code that stores `result`, one entry per leaf, in the vector named ``column``."""
    lines = []
    for j, (leaf, offset) in enumerate(zip(columns.leaves, columns.offsets, strict=True)):
        width = prod(leaf.type.shape)
        if leaf.ndim == 0:
            lines.append(f"column[{offset}] = result[{j}]")
        else:
            flat = f"np.ascontiguousarray(result[{j}]).reshape({width})"
            lines.append(f"column[{offset}:{offset + width}] = {flat}")
    return "\n".join(" " * indent + line for line in lines)


def _arguments(**rows: Layout) -> str:
    """Arguments of a compiled graph: all leaves of each packed row, in order."""
    return ", ".join(layout.read(row, leaf) for row, layout in rows.items() for leaf in layout.leaves)


def _compile_kernel(kernel: _Compiled, items: Layout, columns: Layout, shared: Layout) -> Any:
    arguments = _arguments(item=items, column=columns, shared=shared)
    source = f"""
def kernel(i, rows, n, items, columns, shared, out):
    item = items[i]
    for j in range(n):
        column = columns[rows[j]]
        out[j] = function({arguments})[0]
"""
    return compile_source(source, "kernel", {"function": kernel.function}, KERNEL, kernel.key)


def _compile_derive(
    graphs: Sequence[Variable], columns: Layout, values: Layout, shared: Layout
) -> Any:
    compiled = _funcify((*values.leaves, *shared.leaves), graphs)
    source = f"""
def derive(values, first, last, shared, columns):
    for k in range(first, last):
        value = values[k]
        column = columns[k]
        result = function({_arguments(value=values, shared=shared)})
{_write_columns(columns, indent=8)}
"""
    names = {"function": compiled.function, "np": np}
    return compile_source(source, "derive", names, DERIVE, compiled.key)


def _compile_log_posterior(
    kernel: _Compiled,
    row_graphs: Sequence[Variable],
    items: Layout,
    columns: Layout,
    values: Layout,
    shared: Layout,
) -> Any:
    row = _funcify((*values.leaves, *shared.leaves), row_graphs)
    arguments = _arguments(item=items, column=columns, shared=shared)
    source = f"""
def log_posterior(value, members, n, items, shared, scratch):
    result = row_function({_arguments(value=values, shared=shared)})
    total = result[{len(row_graphs) - 1}]
    if not total > -np.inf:
        return -np.inf
    column = scratch[0]
{_write_columns(columns, indent=4)}
    for j in range(n):
        item = items[members[j]]
        total += kernel_function({arguments})[0]
    return total if total == total else -np.inf
"""
    names = {"row_function": row.function, "kernel_function": kernel.function, "np": np}
    key = None if row.key is None or kernel.key is None else f"{row.key}:{kernel.key}"
    return compile_source(source, "log_posterior", names, LOG_POSTERIOR, key)


def _compile_draw_base(
    draws: Sequence[Variable],
    hyper_leaves: Sequence[TensorVariable],
    n_components: int,
    values: Layout,
    shared: Layout,
) -> Any:
    found = [
        v
        for v in ancestors(list(draws))
        if v.owner is None and isinstance(v.type, RandomGeneratorType)
    ]
    generators = [g.type(name=f"rng_{j}") for j, g in enumerate(found)]
    draws = clone_replace(list(draws), dict(zip(found, generators, strict=True)))
    compiled = _funcify(hyper_leaves, draws, generators)
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


def _compile_concentration(
    log_prior: Variable, parameters: Variable, theta: Sequence[TensorVariable], shared: Layout
) -> Any:
    compiled = _funcify((*theta, *shared.leaves), [log_prior, parameters])
    source = f"""
def concentration(theta, shared, parameters):
    result = function({_arguments(theta=Layout.of(theta), shared=shared)})
    parameters[:, :] = result[1]
    return result[0] if result[0] == result[0] else -np.inf
"""
    names = {"function": compiled.function, "np": np}
    return compile_source(source, "concentration", names, CONCENTRATION, compiled.key)


def _compile_vector(
    graph: Variable, name: str, leaves: Sequence[TensorVariable], shared: Layout
) -> Any:
    compiled = _funcify((*leaves, *shared.leaves), [graph])
    source = f"""
def {name}(row, shared, out):
    out[:] = function({_arguments(row=Layout.of(leaves), shared=shared)})[0]
"""
    return compile_source(source, name, {"function": compiled.function}, WEIGHTS, compiled.key)


def _compile_context(
    mixture: Mixture,
    item_sources: dict[TensorVariable, Variable],
    item_leaves: _Leaves,
    hoisted: _Leaves,
) -> tuple[tuple[str, ...], Callable[..., tuple[np.ndarray, np.ndarray]]]:
    """Compile the function that computes the item matrix and the shared vector."""
    n_items = mixture.n_items
    shared_sources = {leaf: source for source, leaf in hoisted.items()}
    item_columns = [
        source
        if (source := item_sources.get(graph)) is not None
        else vectorize_graph(graph, {**item_sources, **shared_sources})
        for graph in item_leaves
    ]
    items = pt.concatenate(
        [pt.zeros((n_items, 0))]
        + [c.astype("float64").reshape((n_items, -1)) for c in item_columns],
        axis=1,
    )
    shared = pt.concatenate(
        [pt.zeros(0)] + [s.astype("float64").reshape((-1,)) for s in hoisted]
    )
    value_vars = set(mixture.model.value_vars)
    inputs = [v for v in mixture.model.value_vars if v in set(ancestors([items, shared]))]
    assert value_vars.issuperset(inputs)
    function = pm.pytensorf.compile(
        inputs, [items, shared], mode="NUMBA" if inputs else "FAST_COMPILE"
    )

    def context(*values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        item_matrix, shared_vector = function(*values)
        return np.ascontiguousarray(item_matrix), np.ascontiguousarray(shared_vector)

    return tuple(v.name for v in inputs), context
