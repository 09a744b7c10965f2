"""Neal's Algorithm 5: Metropolis–Hastings with proposals from the conditional prior.

Neal, R. M. (2000). Markov chain sampling methods for Dirichlet process mixture models. Journal of
Computational and Graphical Statistics 9, 249–265, section 5, Algorithm 5.

The urn proposes where item i goes, given the other items: a cluster c with probability
proportional to its weight w_c, or a new one, proportional to W_new, with atoms from G0. As the
proposal is the conditional prior, the ratio of acceptance is that of the likelihoods,
F(y_i | proposed) / F(y_i | current). Each item has R such updates, then the atoms are updated.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pymc_dpsteps.jit import njit, njit_lean
from pymc_dpsteps.steps.arguments import whole_number
from pymc_dpsteps.steps.marginal import (
    MarginalStep,
    accept,
    open_cluster,
    pick_by_prior,
    weigh,
)
from pymc_dpsteps.steps.occupancy import vacate
from pymc_dpsteps.steps.state import State, chain_at, is_crp, kernel_of, predictive_of
from pymc_dpsteps.steps.updates import fill_pool, prepare, update_rest

__all__ = ["Neal5"]


@njit_lean
def neal5_sweep(rng: np.random.Generator, state: State, R: int) -> tuple[int, int]:
    """Update every item R times; returns the numbers of clusters opened and closed.

    Proposals do not depend on where the item is, so all R are drawn first and the kernel is
    called once. The slot of a new cluster matters only at the end, and is chosen then.
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
        prior[n_active] = new_weight
        n = n_active + (new_weight > 0.0)
        if next_row + R > pool_end:
            fill_pool(rng, state)
            next_row = n_slots
        rows = candidates[n_active:]
        rows[0] = own
        for r in range(1, R + 1):
            j = pick_by_prior(rng, prior, n)
            if j < n_active:
                rows[r] = candidates[j]
            else:
                rows[r] = next_row
                next_row += 1
        kernel(i, rows, R + 1, state.items, state.columns, state.shared, log_density)
        current = 0
        for r in range(1, R + 1):
            if accept(rng, log_density[r], log_density[current]):
                current = r
        row = rows[current]
        slot = row
        if row >= n_slots or counts[row] == 0:
            slot = open_cluster(rng, state, row)
        z[i] = slot
        counts[slot] += 1
        births += row >= n_slots
        deaths += alone and row != own
    return births, deaths


@njit
def neal5_step(
    chain: int, R: int, swap: bool, slice_atoms: bool, weights: int
) -> tuple[int, int, int]:
    """One iteration: the sweep, then what all algorithms share."""
    rng, state = chain_at(chain)
    prepare(state)
    births, deaths = neal5_sweep(rng, state, R)
    return births, deaths, update_rest(rng, state, swap, slice_atoms, weights)


class Neal5(MarginalStep):
    """Neal's (2000) Algorithm 5, for any kernel, base measure and prior of the allocation.

    Parameters
    ----------
    vars : variable or list of variables, optional
        The allocation; needed only where the model has several.
    R : int, default 4
        Number of Metropolis–Hastings updates of each item in an iteration.
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

    name = "neal5"

    def __init__(self, vars: Any = None, *, R: int = 4, **kwargs: Any) -> None:
        self.R = whole_number(self, "R is the number of updates of each item", R)
        super().__init__(vars, **kwargs)

    def _draws_at_once(self) -> int:
        return max(self.R, super()._draws_at_once())

    def _iterate(self, rest: tuple[bool, bool, int]) -> tuple[int, int, int]:
        births, deaths, evaluations = neal5_step(self._chain, self.R, *rest)
        return births, deaths, evaluations
