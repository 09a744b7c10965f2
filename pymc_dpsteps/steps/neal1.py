"""Neal's Algorithm 1: Gibbs sampling of θ_i for conjugate pairs.

Neal, R. M. (2000). Markov chain sampling methods for Dirichlet process mixture models. Journal of
Computational and Graphical Statistics 9, 249–265, section 3, equation 3.2; Escobar (1994).

θ_i given all others is one of their values, with weight ``w_k F(y_i | φ_k)``, or a new one, with
weight ``W_new ∫ F(y_i | φ) dG0(φ)``, drawn from the posterior H_i given y_i alone. A cluster's
value never changes while it has more than one member.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from pymc_dpsteps.jit import njit, njit_lean
from pymc_dpsteps.steps.marginal import MarginalStep, weigh
from pymc_dpsteps.steps.occupancy import occupy, vacate
from pymc_dpsteps.steps.state import (
    State,
    chain_at,
    choose_slot_of,
    derive_of,
    draw_posterior_of,
    is_crp,
    kernel_of,
    log_predictive_of,
    predictive_of,
    refresh_of,
    update_of,
)
from pymc_dpsteps.steps.updates import pick, prepare, update_rest

__all__ = ["GIBBS_STATISTICS", "Neal1", "gibbs_step"]

GIBBS_STATISTICS = ("update", "refresh", "log_predictive", "draw_posterior")
"""What a Gibbs sweep uses of the sufficient statistics."""


@njit_lean
def gibbs_sweep(rng: np.random.Generator, state: State) -> tuple[int, int]:
    """Reassign every item once; returns the numbers of clusters opened and closed."""
    z, counts, log_density, prior = state.z, state.counts, state.log_density, state.prior
    kernel, predictive, choose_slot = kernel_of(state), predictive_of(state), choose_slot_of(state)
    update, log_predictive = update_of(state), log_predictive_of(state)
    draw_posterior, derive = draw_posterior_of(state), derive_of(state)
    items, shared, datum = state.items, state.shared, state.datum
    stats, cache, active = state.stats, state.cache, state.active
    crp, parameters, weights = is_crp(state), state.parameters, state.weights
    nobody, alone = len(counts), len(counts) + 1  # statistics of no item, and of one by itself
    stats[nobody] = 0.0
    refresh_of(state)(stats[nobody], cache[nobody], shared)
    state.candidates[0] = nobody
    births = deaths = 0
    for i in range(len(z)):
        own = z[i]
        counts[own] -= 1
        singleton = counts[own] == 0
        if singleton:
            vacate(state, own)
        n_active = state.n_active[0]
        new_weight = weigh(crp, predictive, counts, active, n_active, parameters, weights, prior)
        kernel(i, active, n_active, items, state.columns, shared, log_density)
        log_predictive(
            i, state.candidates, 1, stats, cache, items, shared, datum, log_density[n_active:]
        )
        prior[n_active] = new_weight
        j = pick(rng, log_density, prior, n_active + 1)
        if j == n_active:
            slot = choose_slot(rng.random(), counts, n_active, parameters, weights)
            stats[alone] = 0.0
            update(stats[alone], i, 1.0, items, shared, datum)
            draw_posterior(rng, stats[alone], shared, state.values[slot])
            derive(state.values, slot, slot + 1, shared, state.columns)
            occupy(state, slot)
            births += 1
        else:
            slot = active[j]
        deaths += singleton
        z[i] = slot
        counts[slot] += 1
    return births, deaths


@njit
def gibbs_step(chain: int, swap: bool, update_atoms: bool, weights: int) -> tuple[int, int, int]:
    """One iteration: the sweep, then what all algorithms share."""
    rng, state = chain_at(chain)
    prepare(state)
    births, deaths = gibbs_sweep(rng, state)
    return births, deaths, update_rest(rng, state, swap, update_atoms, weights)


class Neal1(MarginalStep):
    """Neal's (2000) Algorithm 1, for conjugate pairs and any prior of the allocation.

    Of historical and didactic interest: since the value of a cluster changes only when the
    cluster dies and is born again, it mixes slowly. `Neal2` and `Neal3` are better.

    Parameters
    ----------
    vars : variable or list of variables, optional
        The allocation; needed only where the model has several.
    concentration, init, model, rng
        See `MixtureStep`. There is no option ``atoms``: the algorithm has no update of its own
        for them.

    Raises
    ------
    MixtureError
        If the model is not a mixture of a conjugate pair, or its weights have a law that cannot
        be integrated out.

    References
    ----------
    .. [1] Neal, R. M. (2000). Markov chain sampling methods for Dirichlet process mixture
       models. Journal of Computational and Graphical Statistics 9, 249–265, section 3.
    .. [2] Escobar, M. D. (1994). Estimating normal means with a Dirichlet process prior. Journal
       of the American Statistical Association 89, 268–277.
    """

    name = "neal1"
    needs_conjugate: ClassVar[bool] = True
    uses_statistics: ClassVar[tuple[str, ...]] = GIBBS_STATISTICS
    atoms_options: ClassVar[tuple[str | None, ...]] = ("auto",)
    updates_atoms: ClassVar[bool] = False

    def _iterate(self, rest: tuple[bool, bool, int]) -> tuple[int, int, int]:
        births, deaths, evaluations = gibbs_step(self._chain, *rest)
        return births, deaths, evaluations
