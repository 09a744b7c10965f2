"""Neal's Algorithm 8: Gibbs sampling with auxiliary components.

Neal, R. M. (2000). Markov chain sampling methods for Dirichlet process mixture models. Journal of
Computational and Graphical Statistics 9, 249–265, section 6, Algorithm 8.

Each item is reassigned given the atoms of all other clusters and m auxiliary components drawn
from G0. Where the item was alone in its cluster, its own atoms are one of the m. Written against
the urn interface it serves every prior of the allocation: the m auxiliaries share the urn's
total weight of a new cluster, and the urn then chooses the slot. No slot of an empty cluster
needs its atoms during the sweep, so labels and auxiliaries stay apart.

The auxiliaries may serve the next item as well: "ReUse" of Favaro and Teh (2013), Statistical
Science 28, 335–359. Let E be m independent draws from G0, a part of the state. A cluster of one
that loses its item puts its atoms in place of a randomly chosen one of E; the item chooses with
weights n_c F(y_i | atoms of c) and W_new / m F(y_i | E_j); if it takes E_j, that is drawn anew.
Before the choice, the law of E and of the rest is in proportion to the law of E times the sum of
these weights; so after it the item's posterior times the law of E is what it was.

Auxiliaries are first taken from the atoms of empty slots, which are draws from G0 given all else,
and are drawn anew after the sweep.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pymc.step_methods.compound import Competence
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.jit import njit, njit_lean
from pymc_dpsteps.steps.arguments import whole_number
from pymc_dpsteps.steps.marginal import MarginalStep, open_cluster, weigh
from pymc_dpsteps.steps.occupancy import vacate
from pymc_dpsteps.steps.state import State, chain_at, is_crp, kernel_of, predictive_of
from pymc_dpsteps.steps.updates import (
    copy_row,
    fill_pool,
    pick,
    pool_empty,
    prepare,
    update_rest,
)

__all__ = ["Neal8"]


@njit_lean
def neal8_sweep(rng: np.random.Generator, state: State, m: int, reuse: bool) -> tuple[int, int]:
    """Reassign every item once; returns the numbers of clusters opened and closed."""
    z, counts, active, weights = state.z, state.counts, state.active, state.weights
    candidates, prior, log_density = state.candidates, state.prior, state.log_density
    kernel, predictive = kernel_of(state), predictive_of(state)
    crp, parameters = is_crp(state), state.parameters
    n_slots = len(counts)
    pool_end = pool_empty(state)
    # The first of m rows, and the next row of new draws.
    auxiliary, next_row = n_slots, n_slots + (m if reuse else 0)
    births = deaths = 0
    for i in range(len(z)):
        own = z[i]
        counts[own] -= 1
        alone, kept = counts[own] == 0, -1  # and the row that keeps the atoms of a cluster of one
        if alone:
            vacate(state, own)
        n_active = state.n_active[0]
        new_weight = weigh(crp, predictive, counts, active, n_active, parameters, weights, prior)
        for j in range(n_active):
            candidates[j] = active[j]
        n = n_active
        if new_weight > 0.0:
            if next_row + (1 if reuse else m) > pool_end:
                fill_pool(rng, state)
                pool_end = len(state.values)
                auxiliary, next_row = n_slots, n_slots + m
            elif not reuse:
                auxiliary, next_row = next_row, next_row + m
            if alone:
                kept = auxiliary + int(rng.random() * m)
                copy_row(state, own, kept)
            for j in range(m):
                candidates[n + j] = auxiliary + j
                prior[n + j] = new_weight / m
            n += m
        kernel(i, candidates, n, state.items, state.columns, state.shared, log_density)
        chosen = pick(rng, log_density, prior, n)
        row = candidates[chosen]
        slot = row
        if chosen >= n_active:
            slot = open_cluster(rng, state, row)
            births += row != kept
            if reuse:
                copy_row(state, next_row, row)
                next_row += 1
        z[i] = slot
        counts[slot] += 1
        deaths += alone and row != kept
    return births, deaths


@njit
def neal8_step(
    chain: int, m: int, reuse: bool, swap: bool, slice_atoms: bool, weights: int
) -> tuple[int, int, int]:
    """One iteration: the sweep, then what all algorithms share."""
    rng, state = chain_at(chain)
    prepare(state)
    births, deaths = neal8_sweep(rng, state, m, reuse)
    return births, deaths, update_rest(rng, state, swap, slice_atoms, weights)


class Neal8(MarginalStep):
    """Neal's (2000) Algorithm 8, for any kernel, base measure and prior of the allocation.

    Parameters
    ----------
    vars : variable or list of variables, optional
        The allocation; needed only where the model has several.
    m : int, default 3
        Number of auxiliary components. More make a sweep dearer and mix better.
    reuse : bool, default True
        Keep the auxiliary components for the next item, and draw anew only one that an item took
        ("ReUse" of Favaro and Teh 2013); all are drawn anew for every sweep. Item by item their
        law is the same, and draws from G0 may be the greater part of a sweep. False draws m for
        every item, as Neal wrote it.
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
       models. Journal of Computational and Graphical Statistics 9, 249–265, section 6.
    .. [2] Favaro, S. and Teh, Y. W. (2013). MCMC for normalized random measure mixture models.
       Statistical Science 28, 335–359.
    """

    name = "neal8"

    def __init__(self, vars: Any = None, *, m: int = 3, reuse: bool = True, **kwargs: Any) -> None:
        self.m = whole_number(self, "m is the number of auxiliary components", m)
        self.reuse = reuse
        super().__init__(vars, **kwargs)

    @staticmethod
    def competence(var: TensorVariable, has_grad: bool) -> Competence:
        """See `pymc_dpsteps.steps.registry.competence`."""
        from pymc_dpsteps.steps.registry import competence

        return competence(var, has_grad)

    def _draws_at_once(self) -> int:
        return self.m + 1 if self.reuse else max(self.m, super()._draws_at_once())

    def _iterate(self, rest: tuple[bool, bool, int]) -> tuple[int, int, int]:
        births, deaths, evaluations = neal8_step(self._chain, self.m, self.reuse, *rest)
        return births, deaths, evaluations
