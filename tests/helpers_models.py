"""Checks of whole models: exact posteriors of small ones, agreement of two algorithms on others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pymc as pm
from scipy.special import logsumexp

import pymc_dpsteps as dps
from pymc_dpsteps.partitions import n_clusters, sum_squared_proportions
from tests.helpers_chain import Draws, assert_agreement, partition_functionals, run_chain
from tests.helpers_exact import Enumeration, LogPrior, all_labels, slot_counts


def enumerate_clusters(
    n_items: int,
    n_components: int,
    log_prior: LogPrior,
    log_marginal: Callable[[tuple[int, ...]], float],
    of_first: Callable[[tuple[int, ...]], float],
) -> Enumeration:
    """Posterior of labels where the atoms can be integrated out, cluster by cluster.

    `log_marginal` is the log density of the data of a cluster's items, `of_first` the posterior
    mean of something in the cluster of the first item.
    """
    labels = all_labels(n_items, n_components)
    counts = slot_counts(labels, n_components)
    log_posterior = log_prior(counts)
    known: dict[tuple[int, ...], float] = {}
    first = np.empty(len(labels))
    for r, z in enumerate(labels):
        for k in np.unique(z):
            members = tuple(np.flatnonzero(z == k).tolist())
            if members not in known:
                known[members] = log_marginal(members)
            log_posterior[r] += known[members]
        first[r] = of_first(tuple(np.flatnonzero(z == z[0]).tolist()))
    probability = np.exp(log_posterior - logsumexp(log_posterior))
    return Enumeration(labels, counts, probability, first)


def exact_functionals(labels: Draws, n_components: int, probability: Draws) -> dict[str, float]:
    """Expectations of `partition_functionals` where label vectors have these probabilities."""
    mean = float(probability @ (slot_counts(labels, n_components) > 0).sum(axis=1))
    found = partition_functionals(labels, n_components, mean)
    return {name: float(probability @ x) for name, x in found.items()}


def invariant_functionals(model: pm.Model, chain: dict[str, Draws]) -> dict[str, Draws]:
    """Label-invariant functionals of a chain: clusters, their squares, density, concentration."""
    names = [v.name for v in model.value_vars]
    log_density = model.compile_fn(
        model.logp(vars=model.observed_RVs), inputs=model.value_vars, on_unused_input="ignore"
    )
    rows = zip(*(chain[name] for name in names), strict=True)
    (z,) = (chain[rv.name] for rv in model.free_RVs if rv.dtype == "int64")
    return {
        "k": n_clusters(z),
        "sum of squared proportions": sum_squared_proportions(z),
        "log-likelihood": np.array([log_density(dict(zip(names, x, strict=True))) for x in rows]),
        "log alpha": chain["alpha_log__"],
    }


def assert_neal8_agrees_with_blocked_gibbs(model: pm.Model, sweeps: int, **options: Any) -> None:
    """Means of label-invariant functionals within five standard errors of each other."""
    names = [v.name for v in model.value_vars]
    found = [
        invariant_functionals(model, run_chain(step(model=model), model, names, sweeps, **options))
        for step in (dps.Neal8, dps.BlockedGibbs)
    ]
    assert_agreement(*found)
