"""Sufficient statistics of the clusters, for algorithms that integrate the atoms out."""

from pymc_dpsteps.jit import njit_lean
from pymc_dpsteps.steps.state import State, refresh_of, update_of

__all__ = ["collect_statistics"]


@njit_lean
def collect_statistics(state: State) -> None:
    """Sufficient statistics and cache of all occupied slots and of no item, from scratch.

    Once per sweep, so that rounding errors of adding and removing do not build up. Those of no
    item are in row K.
    """
    update, refresh = update_of(state), refresh_of(state)
    stats, nobody = state.stats, len(state.counts)
    stats[:] = 0.0
    for i in range(len(state.z)):
        update(stats[state.z[i]], i, 1.0, state.items, state.shared, state.datum)
    for a in range(state.n_active[0]):
        k = state.active[a]
        refresh(stats[k], state.cache[k], state.shared)
    refresh(stats[nobody], state.cache[nobody], state.shared)
