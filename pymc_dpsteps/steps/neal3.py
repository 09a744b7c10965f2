"""Neal's Algorithm 3: collapsed Gibbs sampling, the atoms integrated out, for conjugate pairs.

Neal, R. M. (2000). Markov chain sampling methods for Dirichlet process mixture models. Journal of
Computational and Graphical Statistics 9, 249–265, section 3, equation 3.7; MacEachern (1994).

Item i joins cluster k with weight ``w_k p(y_i | y of k without i)`` or opens a new one with
weight ``W_new p(y_i)``. A predictive density needs of a cluster what its sufficient statistics
give, once per change of the cluster. The atoms are drawn afterwards for the trace.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from pymc_dpsteps.jit import njit, njit_inline, njit_lean
from pymc_dpsteps.steps.marginal import MarginalStep, weigh
from pymc_dpsteps.steps.occupancy import occupy, vacate
from pymc_dpsteps.steps.state import (
    State,
    chain_at,
    choose_slot_of,
    is_crp,
    log_predictive_of,
    predictive_of,
    shift_of,
)
from pymc_dpsteps.steps.statistics import collect_statistics
from pymc_dpsteps.steps.updates import pick, prepare, update_rest

__all__ = ["Neal3"]


@njit_inline
def _copy(rows: np.ndarray, source: int, target: int) -> None:
    for q in range(rows.shape[1]):
        rows[target, q] = rows[source, q]


@njit_lean
def collapsed_sweep(rng: np.random.Generator, state: State) -> tuple[int, int]:
    """Reassign every item once; returns the numbers of clusters opened and closed."""
    z, counts, log_density, prior = state.z, state.counts, state.log_density, state.prior
    stats, cache, active, rows = state.stats, state.cache, state.active, state.candidates
    items, shared, datum = state.items, state.shared, state.datum
    predictive, choose_slot = predictive_of(state), choose_slot_of(state)
    crp, parameters, weights = is_crp(state), state.parameters, state.weights
    shift, log_predictive = shift_of(state), log_predictive_of(state)
    nobody, before = len(counts), len(counts) + 1  # rows: of no item, and of the item's cluster
    births = deaths = 0
    for i in range(len(z)):
        own = z[i]
        counts[own] -= 1
        _copy(stats, own, before)
        _copy(cache, own, before)
        shift(stats[own], cache[own], i, -1.0, items, shared, datum)
        singleton = counts[own] == 0
        if singleton:
            vacate(state, own)
        n_active = state.n_active[0]
        new_weight = weigh(crp, predictive, counts, active, n_active, parameters, weights, prior)
        prior[n_active] = new_weight
        for j in range(n_active):
            rows[j] = active[j]
        rows[n_active] = nobody
        log_predictive(i, rows, n_active + 1, stats, cache, items, shared, datum, log_density)
        j = pick(rng, log_density, prior, n_active + 1)
        if j == n_active:
            slot = choose_slot(rng.random(), counts, n_active, parameters, weights)
            occupy(state, slot)
            stats[slot] = 0.0
            _copy(cache, nobody, slot)
            births += not singleton
        else:
            slot = active[j]
            deaths += singleton
        z[i] = slot
        counts[slot] += 1
        if slot == own and not singleton:  # most items stay where they are
            _copy(stats, before, own)
            _copy(cache, before, own)
            continue
        shift(stats[slot], cache[slot], i, 1.0, items, shared, datum)
    return births, deaths


@njit
def neal3_step(chain: int, swap: bool, update_atoms: bool, weights: int) -> tuple[int, int, int]:
    """One iteration: the sweep, then what all algorithms share."""
    rng, state = chain_at(chain)
    prepare(state)
    collect_statistics(state)
    births, deaths = collapsed_sweep(rng, state)
    return births, deaths, update_rest(rng, state, swap, update_atoms, weights)


class Neal3(MarginalStep):
    """Neal's (2000) Algorithm 3, for conjugate pairs and any prior of the allocation.

    Parameters
    ----------
    vars : variable or list of variables, optional
        The allocation; needed only where the model has several.
    concentration, init, model, rng
        See `MixtureStep`. There is no option ``atoms``: what is integrated out must be drawn
        afresh.

    Raises
    ------
    MixtureError
        If the model is not a mixture of a conjugate pair, or its weights have a law that cannot
        be integrated out.

    References
    ----------
    .. [1] Neal, R. M. (2000). Markov chain sampling methods for Dirichlet process mixture
       models. Journal of Computational and Graphical Statistics 9, 249–265, section 3.
    .. [2] MacEachern, S. N. (1994). Estimating normal means with a conjugate style Dirichlet
       process prior. Communications in Statistics: Simulation and Computation 23, 727–741.
    """

    name = "neal3"
    needs_conjugate: ClassVar[bool] = True
    uses_statistics: ClassVar[tuple[str, ...]] = ("update", "refresh", "shift", "log_predictive")
    atoms_options: ClassVar[tuple[str | None, ...]] = ("auto",)

    def _iterate(self, rest: tuple[bool, bool, int]) -> tuple[int, int, int]:
        births, deaths, evaluations = neal3_step(self._chain, *rest)
        return births, deaths, evaluations
