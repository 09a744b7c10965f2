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

from collections.abc import Callable, Sequence
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
from pymc_dpsteps.mixture.context import compile_context
from pymc_dpsteps.mixture.cut import Leaves, hoist
from pymc_dpsteps.mixture.hyperparameters import hyperparameter_graphs
from pymc_dpsteps.mixture.pieces import Pieces, cut_mixture
from pymc_dpsteps.mixture.structure import Block, Conjugacy, Mixture

__all__ = ["CompiledMixture", "compile_mixture"]

_N_FUNCTIONS = 12


@dataclass(frozen=True)
class CompiledMixture:
    """Compiled functions of a mixture, and how its state is packed.

    Attributes
    ----------
    addresses : numpy.ndarray
        Machine addresses, int64, of the functions with the signatures KERNEL, LOG_POSTERIOR,
        DERIVE, DRAW_BASE, CONCENTRATION, WEIGHTS, WEIGHT_VALUE, DRAW_ATOMS, HYPERPARAMETERS and,
        where the atoms can be integrated out, UPDATE, LOG_MARGINAL, DRAW_POSTERIOR (else 0).
    functions : tuple
        The dispatchers behind the addresses.
    n_values, n_columns : int
        Widths Q and C of the value and column matrices.
    n_parameters : int
        Rows of the urn's parameter matrix.
    sliced : numpy.ndarray
        Columns of the value matrix, int64, that no conjugate block draws.
    n_stats, n_datum : int
        Lengths of a cluster's statistics and of the scratch for one item's data.
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
    sliced: np.ndarray
    n_stats: int
    n_datum: int
    context_names: tuple[str, ...]
    context: Callable[..., tuple[np.ndarray, np.ndarray]]


def compile_mixture(
    mixture: Mixture,
    concentration: Sequence[TensorVariable],
    conjugacy: Conjugacy,
    *,
    hyperparameters: Sequence[TensorVariable] = (),
    collapsed: bool,
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
    collapsed : bool
        Whether to compile the statistics and the marginal likelihood as well.

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
        KernelPart(
            codegen.funcify(
                (
                    *(d.placeholder for d in kernel.distances),
                    *row.leaves,
                    *columns.leaves,
                    *shared.leaves,
                ),
                [kernel.graph],
            ),
            row,
            None if j == 0 else items.width + 2 * (j - 1),
            kernel.distances,
        )
        for j, (kernel, row) in enumerate(zip(pieces.kernels, [items, *rows], strict=True))
    ]
    log_base = pieces.log_base
    row_graphs = [*pieces.component, log_base]
    laid_out = _lay_out(pieces, hoisted, items, rows, values, shared)

    functions: tuple[Any, ...] = (
        codegen.compile_kernel(parts, columns, shared),
        codegen.compile_log_posterior(parts, row_graphs, columns, values, shared),
        codegen.compile_derive(row_graphs[:-1], columns, values, shared),
        codegen_priors.compile_draw_base(draws, hyper_leaves, mixture.n_components, values, shared),
        codegen_priors.compile_concentration(log_prior, parameters, theta, shared),
        codegen_priors.compile_vector(weights, "weights", weights_leaf, shared),
        codegen_priors.compile_vector(*_weight_value_graph(mixture), shared=shared),
        codegen_blocks.compile_draw_atoms(laid_out, values, shared),
        codegen_priors.compile_hyperparameters(log_prior_h, h, entries, log_base, values, shared),
    )
    signatures: tuple[Any, ...] = (
        codegen.KERNEL,
        codegen.LOG_POSTERIOR,
        codegen.DERIVE,
        codegen_priors.DRAW_BASE,
        codegen_priors.CONCENTRATION,
        codegen_priors.WEIGHTS,
        codegen_priors.WEIGHT_VALUE,
        codegen_blocks.DRAW_ATOMS,
        codegen_priors.HYPERPARAMETERS,
    )
    if collapsed:
        functions += (
            codegen_blocks.compile_update(laid_out, shared),
            codegen_blocks.compile_log_marginal(laid_out, values, shared),
            codegen_blocks.compile_draw_posterior(laid_out, values, shared),
        )
        signatures += (
            codegen_blocks.UPDATE,
            codegen_blocks.LOG_MARGINAL,
            codegen_blocks.DRAW_POSTERIOR,
        )
    names, context = compile_context(mixture, pieces, hoisted, entries)
    addresses = np.zeros(_N_FUNCTIONS, dtype=np.int64)
    addresses[: len(functions)] = [
        address_of(f, s) for f, s in zip(functions, signatures, strict=True)
    ]
    return CompiledMixture(
        addresses=addresses,
        functions=functions,
        n_values=values.width,
        n_columns=max(columns.width, 1),
        n_parameters=mixture.prior.parameters.type.shape[0],
        sliced=_columns_outside(conjugacy.blocks, values),
        n_stats=sum(b.n_stats for b in conjugacy.blocks),
        n_datum=max((len(d.graphs) for b in conjugacy.blocks for d in b.data), default=0),
        context_names=names,
        context=context,
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
    first = 0
    leaves = set(hoisted.values())
    for block, graphs in zip(pieces.blocks, pieces.data, strict=True):
        given = values.leaves if block.given else ()
        layouts = [items if d.group is None else rows[d.group] for d in block.data]
        in_shared = block.hyper in leaves
        result.append(
            LaidOutBlock(
                block=block,
                data=[
                    KernelPart(
                        codegen.funcify((*row.leaves, *given, *shared.leaves), d),
                        row,
                        None if of.group is None else items.width + 2 * of.group,
                    )
                    for d, of, row in zip(graphs, block.data, layouts, strict=True)
                ],
                hyper=None
                if in_shared
                else codegen.funcify((*values.leaves, *shared.leaves), [block.hyper]),
                values=codegen.funcify((block.natural, *shared.leaves), block.values),
                hyper_leaf=block.hyper if in_shared else None,
                first=first,
            )
        )
        first += block.n_stats
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
    return list(leaves.values()), log_prior, parameters


def _weights_graph(
    mixture: Mixture, hoisted: Leaves
) -> tuple[list[TensorVariable], TensorVariable]:
    """The weights as a function of the weight variable's value; empty for the CRP."""
    model, prior = mixture.model, mixture.prior
    if prior.weights is None:
        return [], pt.zeros(0)
    (weights,) = model.replace_rvs_by_values([prior.weights])
    leaves: Leaves = {}
    if prior.weight_rv is not None:
        value = model.rvs_to_values[prior.weight_rv]
        leaves[value] = pt.tensor(name=value.name, shape=value.type.shape, dtype=value.dtype)
        (weights,) = clone_replace([weights], leaves)
    (weights,) = hoist([weights], set(leaves.values()), hoisted)
    return list(leaves.values()), weights


def _weight_value_graph(mixture: Mixture) -> tuple[TensorVariable, str, list[TensorVariable]]:
    rv = mixture.prior.weight_rv
    if rv is None:
        return pt.zeros(0), "weight_value", []
    leaf = pt.tensor(name=rv.name, shape=rv.type.shape, dtype=rv.dtype)
    return mixture.in_value_space(rv, leaf), "weight_value", [leaf]
