"""Neal's Algorithm 7: Metropolis–Hastings to and from new clusters, and partial Gibbs sampling.

Neal, R. M. (2000). Markov chain sampling methods for Dirichlet process mixture models. Journal of
Computational and Graphical Statistics 9, 249–265, section 5, Algorithm 7.

With the weights w_c of the clusters of the other items, their sum W_old and the weight W_new of a
new cluster, an item that shares its cluster c proposes a new one with atoms phi* from G0, and one
that is alone proposes a cluster c with probability w_c / W_old. Each move is the reverse of the
other. With s the slot of the new cluster, which the urn chooses with probability w_s / W_new, the
ratio of acceptance of the first is

    w_s G0(phi*) F(y_i | phi*)      w_c / W_old             W_new  F(y_i | phi*)
    --------------------------  ----------------------  =  ------  -------------,
        w_c F(y_i | phi_c)      G0(phi*) w_s / W_new        W_old  F(y_i | phi_c)

and that of the second its inverse. For the Dirichlet process W_new / W_old = alpha / (n - 1).
Then every item that is not alone is moved among the existing clusters by Gibbs sampling.
"""

from __future__ import annotations

import numpy as np

from pymc_dpsteps.jit import njit, njit_lean
from pymc_dpsteps.steps.marginal import (
    MarginalStep,
    accept,
    open_cluster,
    pick_by_prior,
    weigh,
)
from pymc_dpsteps.steps.occupancy import vacate
from pymc_dpsteps.steps.state import State, chain_at, is_crp, kernel_of, predictive_of
from pymc_dpsteps.steps.updates import fill_pool, pick, prepare, update_rest

__all__ = ["Neal7"]


@njit_lean
def open_or_close(rng: np.random.Generator, state: State) -> tuple[int, int]:
    """First pass: every item proposes to open a cluster, or to close its own.

    Returns the numbers of clusters opened and closed.
    """
    z, counts, active, weights = state.z, state.counts, state.active, state.weights
    candidates, prior, log_density = state.candidates, state.prior, state.log_density
    kernel, predictive = kernel_of(state), predictive_of(state)
    crp, parameters = is_crp(state), state.parameters
    n_slots, pool_end = len(counts), len(state.values)
    next_row = pool_end
    births = deaths = 0
    for i in range(len(z)):
        own = z[i]
        counts[own] -= 1
        alone = counts[own] == 0
        if alone:
            vacate(state, own)
        n_active = state.n_active[0]
        new_weight = weigh(crp, predictive, counts, active, n_active, parameters, weights, prior)
        for j in range(n_active):
            candidates[j] = active[j]
        old_weight = prior[:n_active].sum()
        proposed, log_odds = own, 0.0  # no proposal: nobody to join, or no slot left to open
        if alone and n_active > 0:
            proposed = candidates[pick_by_prior(rng, prior, n_active)]
            log_odds = np.log(old_weight / new_weight)
        elif not alone and new_weight > 0.0:
            if next_row == pool_end:
                fill_pool(rng, state)
                next_row = n_slots
            proposed = next_row
            next_row += 1
            log_odds = np.log(new_weight / old_weight)
        row = own
        if proposed != own:
            candidates[0], candidates[1] = own, proposed
            kernel(i, candidates, 2, state.items, state.columns, state.shared, log_density)
            if accept(rng, log_density[1] + log_odds, log_density[0]):
                row = proposed
        slot = row
        if row >= n_slots or counts[row] == 0:
            slot = open_cluster(rng, state, row)
        z[i] = slot
        counts[slot] += 1
        births += row >= n_slots
        deaths += alone and row != own
    return births, deaths


@njit_lean
def move_among_existing(rng: np.random.Generator, state: State) -> None:
    """Second pass: Gibbs sampling of every item that is not alone, among existing clusters."""
    z, counts, active, weights = state.z, state.counts, state.active, state.weights
    prior, log_density = state.prior, state.log_density
    kernel, predictive = kernel_of(state), predictive_of(state)
    crp, parameters = is_crp(state), state.parameters
    n_active = state.n_active[0]
    for i in range(len(z)):
        if counts[z[i]] == 1:
            continue
        counts[z[i]] -= 1
        weigh(crp, predictive, counts, active, n_active, parameters, weights, prior)
        kernel(i, active, n_active, state.items, state.columns, state.shared, log_density)
        z[i] = active[pick(rng, log_density, prior, n_active)]
        counts[z[i]] += 1


@njit
def neal7_step(chain: int, swap: bool, slice_atoms: bool, weights: int) -> tuple[int, int, int]:
    """One iteration: both passes, then what all algorithms share."""
    rng, state = chain_at(chain)
    prepare(state)
    births, deaths = open_or_close(rng, state)
    move_among_existing(rng, state)
    return births, deaths, update_rest(rng, state, swap, slice_atoms, weights)


class Neal7(MarginalStep):
    """Neal's (2000) Algorithm 7, for any kernel, base measure and prior of the allocation.

    Parameters
    ----------
    vars : variable or list of variables, optional
        The allocation; needed only where the model has several.
    concentration, atoms, init, model, rng
        See `MixtureStep`.

    Raises
    ------
    MixtureError
        If the model is not a mixture that can be sampled exactly, or its weights have a law
        that cannot be integrated out (then use `BlockedGibbs`).

    References
    ----------
    .. [1] Neal, R. M. (2000). Markov chain sampling methods for Dirichlet process mixture
       models. Journal of Computational and Graphical Statistics 9, 249–265, section 5.
    """

    name = "neal7"

    def _iterate(self, rest: tuple[bool, bool, int]) -> tuple[int, int, int]:
        births, deaths, evaluations = neal7_step(self._chain, *rest)
        return births, deaths, evaluations
