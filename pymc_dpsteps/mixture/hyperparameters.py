"""Hyperparameters of the base measure: the variables that the data reach through the atoms alone.

With h the hyperparameters and φ the atoms, ``p(h | everything else) ∝ p(h) Π_k g0(φ_k | h)``. Over
all K slots this ties h to the atoms of empty slots, which say nothing about the data; with those
integrated out the product runs over occupied slots only. A step that draws h from that law and
then the empty atoms from G0 given h draws the two as one block.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.mixture.cut import Leaves, hoist
from pymc_dpsteps.mixture.structure import Mixture

__all__ = ["hyperparameter_graphs", "read_hyperparameters"]


def read_hyperparameters(
    model: pm.Model,
    atoms: Sequence[TensorVariable],
    others: Iterable[TensorVariable],
    touched: dict[TensorVariable, set[Variable]],
) -> tuple[TensorVariable, ...]:
    """Continuous free variables on which the law of the atoms depends, and nothing else does.

    Hyperparameters of hyperparameters count as well, as long as no factor outside the set and
    the atoms' priors depends on any of them.

    Parameters
    ----------
    model : pm.Model
        The frozen model.
    atoms : sequence of TensorVariable
        Random variables of the base measure.
    others : iterable of TensorVariable
        Variables that are something else: allocation, weights, kernel variables.
    touched : dict
        Random variable or potential -> what its density depends on.

    Returns
    -------
    tuple of TensorVariable
        In the order of the model's free variables.
    """
    values = model.rvs_to_values
    candidates = [
        rv
        for rv in model.free_RVs
        if rv not in {*atoms, *others} and np.dtype(rv.dtype).kind == "f"
    ]
    found: set[TensorVariable] = set()
    pending = list(atoms)
    while pending:
        factor = touched[pending.pop()]
        parents = [rv for rv in candidates if values[rv] in factor and rv not in found]
        found.update(parents)
        pending.extend(parents)
    while shared := {
        rv
        for rv in found
        if any(values[rv] in met for term, met in touched.items() if term not in {*found, *atoms})
    }:
        found -= shared
    return tuple(rv for rv in candidates if rv in found)


def hyperparameter_graphs(
    mixture: Mixture, hyperparameters: Sequence[TensorVariable], hoisted: Leaves
) -> tuple[list[TensorVariable], TensorVariable, dict[TensorVariable, TensorVariable]]:
    """What a change of the hyperparameters changes.

    Parameters
    ----------
    mixture : Mixture
        The model.
    hyperparameters : sequence of TensorVariable
        Those that the step updates.
    hoisted : dict
        Graph of the frozen model -> entry of the shared vector; what the new graphs need of other
        variables is added.

    Returns
    -------
    leaves : list of TensorVariable
        Placeholders of their values in value space.
    log_prior : TensorVariable
        Their log prior in value space, Jacobian included, as a graph of `leaves` and entries.
    entries : dict
        Entry of the shared vector that depends on them -> its graph, likewise.
    """
    model = mixture.model
    values = [model.rvs_to_values[rv] for rv in hyperparameters]
    leaves = [pt.tensor(name=v.name, shape=v.type.shape, dtype=v.type.dtype) for v in values]
    depend = {
        leaf: source
        for source, leaf in hoisted.items()
        if not set(values).isdisjoint(ancestors([source]))
    }
    log_prior: TensorVariable = pt.constant(0.0)
    for factor in model.logp(vars=list(hyperparameters), sum=False) if hyperparameters else []:
        log_prior = log_prior + factor.sum()
    graphs = [log_prior.astype("float64"), *depend.values()]
    if leaves:
        graphs = list(clone_replace(graphs, dict(zip(values, leaves, strict=True))))
    log_prior, *graphs = hoist(graphs, set(leaves), hoisted)
    return leaves, log_prior, dict(zip(depend, graphs, strict=True))
