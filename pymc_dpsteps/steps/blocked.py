"""Blocked Gibbs sampling: the allocation given explicit weights.

Ishwaran, H. and James, L. F. (2001). Gibbs sampling methods for stick-breaking priors. Journal of
the American Statistical Association 96, 161–173, section 5.2. Given weights and atoms the items
are independent: P(z_i = k) is proportional to w_k F(y_i | atoms of k).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pymc_dpsteps.exponential import exp_negative
from pymc_dpsteps.jit import njit
from pymc_dpsteps.mixture.structure import MixtureError
from pymc_dpsteps.steps.base import MixtureStep
from pymc_dpsteps.steps.many_items import over_items, update_rest_in_threads
from pymc_dpsteps.steps.occupancy import recount
from pymc_dpsteps.steps.state import State, chain_at, kernel_of_items, weights_of_point
from pymc_dpsteps.steps.updates import prepare, update_rest

__all__ = ["BlockedGibbs"]

# Densities kept at a time, 64 KiB of them, and the least number of items they are of.
_TILE, _LEAST_ITEMS = 8192, 16


@njit
def assign(uniforms: np.ndarray, first: int, last: int, state: State) -> None:
    """Reassign items first, ..., last - 1 given weights and atoms, by a uniform number each.

    A tile of items at a time, so small that its densities under all components stay in cache, and
    items innermost, so that the loops become vector instructions.
    """
    n_slots = len(state.counts)
    kernel = kernel_of_items(state)
    size = max(_TILE // n_slots, _LEAST_ITEMS)
    density = np.empty((n_slots, size))  # first logarithms, then cumulated
    largest, total, slot = np.empty(size), np.empty(size), np.empty(size)
    log_weights = np.log(state.weights)
    for start in range(first, last, size):
        n = min(size, last - start)
        largest[:] = -np.inf
        total[:] = 0.0
        slot[:] = 0.0
        for k in range(n_slots):
            row = density[k]
            kernel(start, n, k, state.items, state.columns, state.shared, row)
            for j in range(n):
                row[j] += log_weights[k]
                largest[j] = row[j] if row[j] > largest[j] else largest[j]
        for k in range(n_slots):
            row = density[k]
            for j in range(n):
                total[j] += exp_negative(row[j] - largest[j])
                row[j] = total[j]
        for j in range(n):
            if not total[j] > 0.0:  # no component can explain the item, as only at a start
                density[:, j] = np.cumsum(state.weights)
                total[j] = density[-1, j]
        for k in range(n_slots - 1):
            row = density[k]
            for j in range(n):
                slot[j] += 1.0 if row[j] <= uniforms[start + j] * total[j] else 0.0
        for j in range(n):
            state.z[start + j] = int(slot[j])


@njit
def blocked_sweep(rng: np.random.Generator, state: State) -> tuple[int, int]:
    """Reassign all items given weights and atoms; returns clusters opened and closed."""
    weights_of_point(state)
    assign(rng.random(len(state.z)), 0, len(state.z), state)
    return recount(state)


@njit
def blocked_step(chain: int, swap: bool, slice_atoms: bool, weights: int) -> tuple[int, int, int]:
    """One iteration: the sweep, then what all algorithms share."""
    rng, state = chain_at(chain)
    prepare(state)
    births, deaths = blocked_sweep(rng, state)
    return births, deaths, update_rest(rng, state, swap, slice_atoms, weights)


class BlockedGibbs(MixtureStep):
    """Blocked Gibbs sampler of Ishwaran and James (2001), for models with explicit weights.

    Parameters
    ----------
    vars : variable or list of variables, optional
        The allocation; needed only where the model has several.
    concentration, atoms, init, model, rng
        See `MixtureStep`.

    Raises
    ------
    MixtureError
        If the model is not a mixture that can be sampled exactly, or has no explicit weights.

    Notes
    -----
    Weights whose law is known (`pm.StickBreakingWeights`, `pm.Dirichlet`, sticks from `pm.Beta`)
    are redrawn by this step; any others are left to PyMC's own step methods.

    References
    ----------
    .. [1] Ishwaran, H. and James, L. F. (2001). Gibbs sampling methods for stick-breaking
       priors. Journal of the American Statistical Association 96, 161–173.
    """

    name = "blocked_gibbs"
    uses_kernel_of_items = True

    def __init__(self, vars: Any = None, **kwargs: Any) -> None:
        super().__init__(vars, **kwargs)

    def _check_prior(self) -> None:
        if self._mixture.prior.weights is None:
            raise MixtureError(
                f"BlockedGibbs needs explicit weights, but {self._mixture.allocation.name} has a "
                "Chinese restaurant prior, which has none. Use dps.Neal8(), or write "
                "w = pm.StickBreakingWeights('w', alpha, K=K - 1) and z = pm.Categorical('z', w)."
            )

    def _pool_size(self) -> int:
        return self._mixture.n_components

    def _iterate(self, rest: tuple[bool, bool, int]) -> tuple[int, int, int]:
        state, rng = self._state, self.rng
        if len(state.z) < self.threads_from:
            births, deaths, evaluations = blocked_step(self._chain, *rest)
            return births, deaths, evaluations
        prepare(state)
        weights_of_point(state)
        uniforms = rng.random(len(state.z))
        over_items(lambda first, last: assign(uniforms, first, last, state), state, self.threads)
        births, deaths = recount(state)
        return births, deaths, update_rest_in_threads(self._chain, rng, state, *rest, self.threads)
