"""Compile a mixture's kernel and base measure to functions that a sweep can call.

A lifted graph mixes what varies with the item, with the component, and with neither. It is cut
where these meet: what depends on the item alone becomes a column of the item matrix, on the
component alone a column of the component matrix (a scale's logarithm is taken once per update
of an atom, not once per item), on neither an entry of the shared vector. What remains is the
kernel, compiled on scalars, so that a call allocates nothing.

Packed state, the same for every model:

- ``items`` (N, P): per-item columns; with several observations per item, these follow as rows of
  their own, sorted by item, and an item's row holds where its own begin and end;
- ``values`` (rows, Q): atoms in value space, a component per row;
- ``columns`` (rows, C): what the kernel reads of a component, computed from ``values``;
- ``shared`` (S,): everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.jit import address_of
from pymc_dpsteps.mixture import codegen, codegen_blocks, codegen_priors
from pymc_dpsteps.mixture.codegen import KernelPart, Layout
from pymc_dpsteps.mixture.codegen_blocks import LaidOutBlock
from pymc_dpsteps.mixture.context import compile_context, context_graphs
from pymc_dpsteps.mixture.cut import Leaves, hoist
from pymc_dpsteps.mixture.hyperparameters import hyperparameter_graphs
from pymc_dpsteps.mixture.loop_elements import Place
from pymc_dpsteps.mixture.pieces import Pieces, as_entry, cut_mixture
from pymc_dpsteps.mixture.rules import is_constant
from pymc_dpsteps.mixture.structure import Block, Conjugacy, Mixture

__all__ = ["SIGNATURES", "CompiledMixture", "compile_mixture"]

SIGNATURES: dict[str, Any] = {
    "kernel": codegen.KERNEL,
    "log_posterior": codegen.LOG_POSTERIOR,
    "derive": codegen.DERIVE,
    "draw_base": codegen_priors.DRAW_BASE,
    "concentration": codegen_priors.CONCENTRATION,
    "weights": codegen_priors.WEIGHTS,
    "weight_value": codegen_priors.WEIGHT_VALUE,
    "hyperparameters": codegen_priors.HYPERPARAMETERS,
    "draw_atoms": codegen_blocks.DRAW_ATOMS,
    "update": codegen_blocks.UPDATE,
    "log_marginal": codegen_blocks.LOG_MARGINAL,
    "draw_posterior": codegen_blocks.DRAW_POSTERIOR,
    "refresh": codegen_blocks.REFRESH,
    "shift": codegen_blocks.SHIFT,
    "log_predictive": codegen_blocks.LOG_PREDICTIVE,
    "kernel_of_items": codegen.KERNEL_OF_ITEMS,
}
"""Signature of every compiled function of a mixture, in the order of their addresses."""

# Those that need atoms that can be integrated out.
_STATISTICS = {
    "update": codegen_blocks.compile_update,
    "log_marginal": codegen_blocks.compile_log_marginal,
    "draw_posterior": codegen_blocks.compile_draw_posterior,
    "refresh": codegen_blocks.compile_refresh,
    "shift": codegen_blocks.compile_shift,
    "log_predictive": codegen_blocks.compile_log_predictive,
}


@dataclass(frozen=True)
class CompiledMixture:
    """Compiled functions of a mixture, and how its state is packed.

    Attributes
    ----------
    addresses : numpy.ndarray
        Machine addresses, int64, of the functions in the order of `SIGNATURES`; 0 for those that
        were not asked for.
    functions : dict
        The dispatchers behind the addresses, by name.
    n_values, n_columns : int
        Widths Q and C of the value and column matrices.
    n_parameters : int
        Rows of the urn's parameter matrix.
    sliced : numpy.ndarray
        Columns of the value matrix, int64, that no conjugate block draws.
    n_stats, n_cache, n_datum : int
        Lengths of a cluster's statistics, of its cache and of the scratch for one item's data.
    context_names : tuple of str
        Value variables of the model outside the step on which items or shared depend.
    context : callable
        ``context(*values of context_names) -> (items, shared)``.
    context_graphs : tuple of TensorVariable
        Items and shared as graphs of the mixture's model.
    """

    addresses: np.ndarray
    functions: dict[str, Any]
    n_values: int
    n_columns: int
    n_parameters: int
    sliced: np.ndarray
    n_stats: int
    n_cache: int
    n_datum: int
    context_names: tuple[str, ...]
    context: Callable[..., tuple[np.ndarray, np.ndarray]]
    context_graphs: tuple[TensorVariable, TensorVariable]


def compile_mixture(
    mixture: Mixture,
    concentration: Sequence[TensorVariable],
    conjugacy: Conjugacy,
    *,
    hyperparameters: Sequence[TensorVariable] = (),
    statistics: Collection[str] = (),
    of_items: bool = False,
) -> CompiledMixture:
    """Compile kernel, base measure, conjugate blocks and concentration of a mixture.

    Parameters
    ----------
    mixture : Mixture
        A model as read by `read_mixture`.
    concentration : sequence of TensorVariable
        The concentration variables that the step updates; the others are context.
    conjugacy : Conjugacy
        What of the atoms is drawn exactly.
    hyperparameters : sequence of TensorVariable
        The hyperparameters of G0 that the step updates; the others are context.
    statistics : collection of str
        Which of the functions to compile that integrate the atoms out: "update",
        "log_marginal", "draw_posterior", "refresh", "shift", "log_predictive".
    of_items : bool, default False
        Whether to compile the kernel of many items under one component as well.

    Returns
    -------
    CompiledMixture
    """
    hoisted: Leaves = {**mixture.shared, **conjugacy.shared}
    pieces = cut_mixture(mixture, conjugacy, hoisted)
    atom_rows = [atom.placeholder for atom in mixture.atoms]
    draws, hyper_leaves = _base_draws(mixture, hoisted)
    theta, log_prior, parameters = _concentration_graphs(mixture, concentration, hoisted)
    weights_leaf, weights = _weights_graph(mixture, hoisted)
    h, log_prior_h, entries = hyperparameter_graphs(mixture, hyperparameters, hoisted)

    shared = Layout.of(hoisted.values())
    columns = Layout.of(pieces.component.values())
    values = Layout.of(atom_rows)
    items, *rows = [Layout.of(leaves.values()) for leaves in pieces.rows]
    parts = [
        KernelPart.of_kernel(
            f"kernel_{j}_",
            kernel.graph,
            kernel.distances,
            {"row": row, "column": columns, "shared": shared},
            None if j == 0 else items.width + 2 * (j - 1),
        )
        for j, (kernel, row) in enumerate(zip(pieces.kernels, [items, *rows], strict=True))
    ]
    log_base = pieces.log_base
    in_columns = list(pieces.component)
    laid_out = _lay_out(pieces, hoisted, items, rows, values, shared)

    functions: dict[str, Any] = {
        "kernel": codegen.compile_kernel(parts),
        "log_posterior": codegen.compile_log_posterior(
            parts, in_columns, log_base, columns, values, shared
        ),
        "derive": codegen.compile_derive(in_columns, columns, values, shared),
        "draw_base": codegen_priors.compile_draw_base(
            draws, hyper_leaves, mixture.n_components, values, shared
        ),
        "concentration": codegen_priors.compile_concentration(log_prior, parameters, theta, shared),
        "weights": codegen_priors.compile_vector(weights, "weights", weights_leaf, shared),
        "weight_value": codegen_priors.compile_vector(*_weight_value_graph(mixture), shared=shared),
        "hyperparameters": codegen_priors.compile_hyperparameters(
            log_prior_h, h, entries, log_base, values, shared
        ),
        "draw_atoms": codegen_blocks.compile_draw_atoms(laid_out, values, shared),
    }
    if of_items:
        functions["kernel_of_items"] = codegen.compile_kernel_of_items(parts)
    for name in statistics:
        functions[name] = _STATISTICS[name](laid_out, values, shared)
    graphs = context_graphs(mixture, pieces, hoisted, entries)
    names, context = compile_context(mixture, *graphs)
    addresses = np.array(
        [
            address_of(functions[name], signature) if name in functions else 0
            for name, signature in SIGNATURES.items()
        ]
    )
    return CompiledMixture(
        addresses=addresses,
        functions=functions,
        n_values=values.width,
        n_columns=max(columns.width, 1),
        n_parameters=mixture.prior.parameters.type.shape[0],
        sliced=_columns_outside(conjugacy.blocks, values),
        n_stats=sum(b.n_stats for b in conjugacy.blocks),
        n_cache=sum(b.n_cache for b in laid_out),
        n_datum=max((len(d.graphs) for b in conjugacy.blocks for d in b.data), default=0),
        context_names=names,
        context=context,
        context_graphs=graphs,
    )


def _lay_out(
    pieces: Pieces,
    hoisted: Leaves,
    items: Layout,
    rows: Sequence[Layout],
    values: Layout,
    shared: Layout,
) -> list[LaidOutBlock]:
    """Compile the blocks' graphs and give each its place among the statistics."""
    result = []
    first = first_cache = 0
    leaves = set(hoisted.values())
    for j, (block, graphs) in enumerate(zip(pieces.blocks, pieces.data, strict=True)):
        given = values if block.given else Layout.of(())
        layouts = [items if d.group is None else rows[d.group] for d in block.data]
        in_shared = block.hyper in leaves
        result.append(
            LaidOutBlock(
                block=block,
                data=[
                    KernelPart(
                        codegen.write_code(
                            f"data_{j}_{p}_",
                            d,
                            {"row": row, "value": given, "shared": shared},
                            [Place("datum", q) for q in range(len(d))],
                        ),
                        None if of.group is None else items.width + 2 * of.group,
                    )
                    for p, (d, of, row) in enumerate(zip(graphs, block.data, layouts, strict=True))
                ],
                hyper=None
                if in_shared
                else codegen.funcify((*values.leaves, *shared.leaves), [block.hyper]),
                values=codegen.funcify((block.natural, *shared.leaves), block.values),
                hyper_leaf=block.hyper if in_shared else None,
                first=first,
                first_cache=first_cache,
            )
        )
        first += block.n_stats
        first_cache += result[-1].n_cache
    return result


def _columns_outside(blocks: Sequence[Block], values: Layout) -> np.ndarray:
    drawn = {atom.placeholder for block in blocks for atom in block.atoms}
    ends = [*values.offsets[1:], values.width]
    return np.array(
        [
            q
            for leaf, first, end in zip(values.leaves, values.offsets, ends, strict=True)
            if leaf not in drawn
            for q in range(first, end)
        ],
        dtype=np.int64,
    )


def _base_draws(mixture: Mixture, hoisted: Leaves) -> tuple[list[Any], list[TensorVariable]]:
    """K draws from G0 in value space, as graphs of generators and of hyperparameter leaves."""
    model = mixture.model
    atom_rvs = [atom.rv for atom in mixture.atoms]
    draws = [mixture.in_value_space(rv) for rv in atom_rvs]
    hyper = set(model.basic_RVs).difference(atom_rvs)
    leaves: dict[Variable, TensorVariable] = {}
    for rv in [x for x in ancestors(draws, blockers=hyper) if x in hyper]:
        (source,) = model.replace_rvs_by_values([rv])
        leaf = hoisted.get(source)
        if leaf is None:
            leaf = hoisted[source] = pt.tensor(name=rv.name, shape=rv.type.shape, dtype=rv.dtype)
        leaves[rv] = leaf
    return (list(clone_replace(draws, leaves)) if leaves else draws), list(leaves.values())


def _concentration_graphs(
    mixture: Mixture, concentration: Sequence[TensorVariable], hoisted: Leaves
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
    log_prior, parameters = hoist(graphs, set(leaves.values()), hoisted)
    if not leaves and is_constant(parameters):
        parameters = as_entry(parameters, hoisted)
    return list(leaves.values()), log_prior, parameters


def _weights_graph(
    mixture: Mixture, hoisted: Leaves
) -> tuple[list[TensorVariable], TensorVariable | None]:
    """The weights as a function of the weight variable's value; None for the CRP."""
    model, prior = mixture.model, mixture.prior
    if prior.weights is None:
        return [], None
    (weights,) = model.replace_rvs_by_values([prior.weights])
    leaves: Leaves = {}
    if prior.weight_rv is not None:
        value = model.rvs_to_values[prior.weight_rv]
        leaves[value] = pt.tensor(name=value.name, shape=value.type.shape, dtype=value.dtype)
        (weights,) = clone_replace([weights], leaves)
    (weights,) = hoist([weights], set(leaves.values()), hoisted)
    return list(leaves.values()), weights


def _weight_value_graph(
    mixture: Mixture,
) -> tuple[TensorVariable | None, str, list[TensorVariable]]:
    rv = mixture.prior.weight_rv
    if rv is None:
        return None, "weight_value", []
    leaf = pt.tensor(name=rv.name, shape=rv.type.shape, dtype=rv.dtype)
    return mixture.in_value_space(rv, leaf), "weight_value", [leaf]
