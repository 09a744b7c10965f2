"""Blocked Gibbs sampling: the allocation given explicit weights.

Ishwaran, H. and James, L. F. (2001). Gibbs sampling methods for stick-breaking priors. Journal of
the American Statistical Association 96, 161–173, section 5.2. Given weights and atoms the items
are independent: P(z_i = k) is proportional to w_k F(y_i | atoms of k).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pymc_dpsteps.jit import njit
from pymc_dpsteps.mixture.structure import MixtureError
from pymc_dpsteps.steps.base import MixtureStep
from pymc_dpsteps.steps.occupancy import recount
from pymc_dpsteps.steps.state import State, kernel_of, weights_of
from pymc_dpsteps.steps.updates import pick, prepare, update_rest

__all__ = ["BlockedGibbs"]


@njit
def blocked_sweep(rng: np.random.Generator, state: State) -> tuple[int, int]:
    """Reassign all items given weights and atoms; returns clusters opened and closed."""
    n_slots = len(state.counts)
    weights_of(state)(state.weight_value, state.shared, state.weights)
    kernel = kernel_of(state)
    for k in range(n_slots):
        state.candidates[k] = k
    for i in range(len(state.z)):
        kernel(
            i,
            state.candidates,
            n_slots,
            state.items,
            state.columns,
            state.shared,
            state.log_density,
        )
        state.z[i] = pick(rng, state.log_density, state.weights, n_slots)
    return recount(state)


@njit
def blocked_step(
    rng: np.random.Generator, state: State, swap: bool, slice_atoms: bool, weights: int
) -> tuple[int, int, int]:
    """One iteration: the sweep, then what all algorithms share."""
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
        births, deaths, evaluations = blocked_step(self.rng, self._state, *rest)
        return births, deaths, evaluations
