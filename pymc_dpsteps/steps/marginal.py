"""What the algorithms share that integrate the weights out.

Each takes an item out of its cluster and puts it back, into an occupied slot or into a new
cluster whose slot the urn chooses. A new cluster takes its atoms from the pool of draws from G0,
row by row; atoms of empty slots are never looked at, so labels and fresh atoms stay apart. What
happens to every item is written out in each sweep: handing the state to a function costs 250 ns,
as much as the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pymc_dpsteps.jit import njit_inline, njit_lean
from pymc_dpsteps.mixture.structure import MixtureError, PriorKind
from pymc_dpsteps.steps.base import MixtureStep
from pymc_dpsteps.steps.occupancy import occupy
from pymc_dpsteps.steps.state import State, choose_slot_of
from pymc_dpsteps.steps.updates import copy_row
from pymc_dpsteps.urns.crp import weigh as crp_weigh

__all__ = ["MarginalStep", "accept", "open_cluster", "pick_by_prior", "weigh"]

_POOL = 256  # a call costs as much as several draws, and every item needs new ones


@njit_inline
def weigh(
    crp: bool,
    predictive: Any,
    counts: np.ndarray,
    active: np.ndarray,
    n_active: int,
    parameters: np.ndarray,
    weights: np.ndarray,
    prior: np.ndarray,
) -> float:
    """Write the weights of occupied slots, one after the other; return that of a new cluster.

    The rule of the Chinese restaurant process is compiled into the sweep. To call an urn by its
    address costs 90 ns more, a third of what an item costs.
    """
    if crp:
        return crp_weigh(counts, active, n_active, parameters, prior)
    new_weight = predictive(counts, active, n_active, parameters, weights)
    for j in range(n_active):
        prior[j] = weights[active[j]]
    return new_weight


@njit_lean
def open_cluster(rng: np.random.Generator, state: State, row: int) -> int:
    """Open a cluster with the atoms of `row` for an item that is out; returns its slot.

    The urn chooses the slot, by the weights that the last call of `predictive` left. An item that
    was alone and keeps its atoms gets a slot anew as well: a Gibbs update of its label.
    """
    slot = choose_slot_of(state)(
        rng.random(), state.counts, state.n_active[0], state.parameters, state.weights
    )
    if slot != row:
        copy_row(state, row, slot)
    occupy(state, slot)
    return slot


@njit_lean
def pick_by_prior(rng: np.random.Generator, prior: np.ndarray, n: int) -> int:
    """Index j < n with probability proportional to prior[j]."""
    threshold = rng.random() * prior[:n].sum()
    for j in range(n - 1):
        threshold -= prior[j]
        if threshold < 0.0:
            return j
    return n - 1


@njit_inline
def accept(rng: np.random.Generator, proposed: float, current: float) -> bool:
    """Accept with probability min(1, exp(proposed - current)), after Metropolis and Hastings.

    Outside the posterior's support, where only a start can be, every proposal is accepted.
    """
    return not current > -np.inf or np.log(rng.random()) < proposed - current


class MarginalStep(MixtureStep):
    """Base of the step methods that integrate the weights out. See `MixtureStep`."""

    def _check_prior(self) -> None:
        if self._mixture.prior.kind is PriorKind.WEIGHTS:
            raise MixtureError(
                f"{type(self).__name__} integrates the weights of {self._mixture.allocation.name} "
                "out, but their law is unknown: expected pm.StickBreakingWeights, pm.Dirichlet, "
                "or sticks v ~ pm.Beta of length K - 1 with w = v_k prod(1 - v_l), the last "
                "weight taking the rest. Use dps.BlockedGibbs(), which samples given the weights."
            )

    def _draws_at_once(self) -> int:
        """Least number of draws from G0 to make at a time."""
        return _POOL

    def _pool_size(self) -> int:
        n_components = self._mixture.n_components
        return -(-self._draws_at_once() // n_components) * n_components
