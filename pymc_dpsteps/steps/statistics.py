"""Sufficient statistics of the clusters, for algorithms that integrate the atoms out."""

from pymc_dpsteps.jit import njit, njit_inline
from pymc_dpsteps.steps.state import State, log_marginal_of, update_of

__all__ = ["change_statistics", "collect_statistics"]


@njit_inline
def change_statistics(state: State, row: int, i: int, sign: float) -> None:
    """Add (sign 1) or remove (sign -1) item i in a row of the sufficient statistics."""
    update_of(state)(state.stats[row], i, sign, state.items, state.shared, state.datum)


@njit
def collect_statistics(state: State) -> None:
    """Sufficient statistics and log marginal likelihoods of all occupied slots, from scratch.

    Once per sweep, so that rounding errors of adding and removing do not build up.
    """
    state.stats[:] = 0.0
    for i in range(len(state.z)):
        change_statistics(state, state.z[i], i, 1.0)
    log_marginal = log_marginal_of(state)
    for a in range(state.n_active[0]):
        k = state.active[a]
        state.log_marginals[k] = log_marginal(state.stats[k], state.shared)
