"""Sufficient statistics of the clusters, for algorithms that integrate the atoms out."""

from pymc_dpsteps.jit import njit
from pymc_dpsteps.steps.state import State, log_marginal_of, update_of

__all__ = ["collect_statistics"]


@njit
def collect_statistics(state: State) -> None:
    """Sufficient statistics and log marginal likelihoods of all occupied slots, from scratch.

    Once per sweep, so that rounding errors of adding and removing do not build up.
    """
    update, log_marginal = update_of(state), log_marginal_of(state)
    stats = state.stats
    stats[:] = 0.0
    for i in range(len(state.z)):
        update(stats[state.z[i]], i, 1.0, state.items, state.shared, state.datum)
    for a in range(state.n_active[0]):
        k = state.active[a]
        state.log_marginals[k] = log_marginal(state.stats[k], state.shared)
