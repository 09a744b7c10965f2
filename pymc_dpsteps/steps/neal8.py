"""Neal's Algorithm 8: Gibbs sampling with auxiliary components.

Neal, R. M. (2000). Markov chain sampling methods for Dirichlet process mixture models. Journal of
Computational and Graphical Statistics 9, 249–265, section 6, equation 6.2.

Each item is reassigned given the atoms of all other clusters and m auxiliary components drawn
from G0. Where the item was alone in its cluster, its own atoms are one of the m. Written against
the urn interface it serves every prior of the allocation: the m auxiliaries share the urn's
total weight of a new cluster, and the urn then chooses the slot. No slot of an empty cluster
needs its atoms during the sweep, so labels and auxiliaries stay apart.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from pymc.step_methods.compound import Competence
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.jit import njit
from pymc_dpsteps.mixture.structure import MixtureError, PriorKind
from pymc_dpsteps.steps.base import MixtureStep
from pymc_dpsteps.steps.state import State, choose_slot_of, kernel_of, predictive_of
from pymc_dpsteps.steps.updates import (
    copy_row,
    fill_pool,
    occupy,
    pick,
    prepare,
    update_rest,
    vacate,
)

__all__ = ["Neal8"]


@njit
def neal8_sweep(rng: np.random.Generator, state: State, m: int) -> tuple[int, int]:
    """Reassign every item once; returns the numbers of clusters opened and closed."""
    z, counts, candidates, log_density = state.z, state.counts, state.candidates, state.log_density
    prior = state.prior
    kernel, predictive, choose_slot = kernel_of(state), predictive_of(state), choose_slot_of(state)
    pool_end = len(state.values)
    next_row = pool_end
    births = deaths = 0
    for i in range(len(z)):
        own = z[i]
        counts[own] -= 1
        singleton = counts[own] == 0
        if singleton:
            vacate(state, own)
        n_active = state.n_active[0]
        new_weight = predictive(counts, state.active, n_active, state.parameters, state.weights)
        for j in range(n_active):
            candidates[j] = state.active[j]
            prior[j] = state.weights[state.active[j]]
        n = n_active
        if new_weight > 0.0:
            if next_row + m > pool_end:
                fill_pool(rng, state)
                next_row = len(counts)
            for j in range(m):
                if j == 0 and singleton:
                    candidates[n] = own
                else:
                    candidates[n] = next_row
                    next_row += 1
                prior[n] = new_weight / m
                n += 1
        kernel(i, candidates, n, state.items, state.columns, state.shared, log_density)
        j = pick(rng, log_density, prior, n)
        chosen = candidates[j]
        if j >= n_active:
            slot = choose_slot(rng.random(), counts, n_active, state.parameters, state.weights)
            if slot != chosen:
                copy_row(state, chosen, slot)
            occupy(state, slot)
            births += chosen != own
        else:
            slot = chosen
        deaths += singleton and chosen != own
        z[i] = slot
        counts[slot] += 1
    return births, deaths


@njit
def neal8_step(
    rng: np.random.Generator, state: State, m: int, swap: bool, slice_atoms: bool, weights: int
) -> tuple[int, int, int]:
    """One iteration: the sweep, then what all algorithms share."""
    prepare(state)
    births, deaths = neal8_sweep(rng, state, m)
    return births, deaths, update_rest(rng, state, swap, slice_atoms, weights)


class Neal8(MixtureStep):
    """Neal's (2000) Algorithm 8, for any kernel, base measure and prior of the allocation.

    Parameters
    ----------
    vars : variable or list of variables, optional
        The allocation; needed only where the model has several.
    m : int, default 3
        Number of auxiliary components. More make a sweep dearer and mix better.
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
    """

    name = "neal8"

    def __init__(self, vars: Any = None, *, m: int = 3, **kwargs: Any) -> None:
        whole = isinstance(m, Real) and not isinstance(m, bool) and float(m).is_integer()
        if not whole or m < 1:
            raise ValueError(
                f"Neal8: m is the number of auxiliary components; found {m!r}, "
                "expected an integer of at least 1."
            )
        self.m = int(m)
        super().__init__(vars, **kwargs)

    @staticmethod
    def competence(var: TensorVariable, has_grad: bool) -> Competence:
        """See `pymc_dpsteps.steps.registry.competence`."""
        from pymc_dpsteps.steps.registry import competence

        return competence(var, has_grad)

    def _check_prior(self) -> None:
        prior = self._mixture.prior
        if prior.kind is PriorKind.WEIGHTS:
            raise MixtureError(
                f"Neal8 integrates the weights of {self._mixture.allocation.name} out, but their "
                "law is unknown: expected pm.StickBreakingWeights, pm.Dirichlet, or sticks "
                "v ~ pm.Beta of length K - 1 with w = v_k prod(1 - v_l), the last weight taking "
                "the rest. Use dps.BlockedGibbs(), which samples given the weights."
            )

    def _pool_size(self) -> int:
        n_components = self._mixture.n_components
        return -(-self.m // n_components) * n_components

    def _iterate(self, rest: tuple[bool, bool, int]) -> tuple[int, int, int]:
        births, deaths, evaluations = neal8_step(self.rng, self._state, self.m, *rest)
        return births, deaths, evaluations
