"""Bookkeeping of the occupied slots."""

from pymc_dpsteps.jit import njit, njit_lean
from pymc_dpsteps.steps.state import State

__all__ = ["count", "list_active", "occupy", "recount", "vacate"]


@njit_lean
def occupy(state: State, k: int) -> None:
    """Mark the empty slot k as occupied."""
    state.active[state.n_active[0]] = k
    state.position[k] = state.n_active[0]
    state.n_active[0] += 1


@njit_lean
def vacate(state: State, k: int) -> None:
    """Mark slot k as empty."""
    last = state.active[state.n_active[0] - 1]
    state.active[state.position[k]] = last
    state.position[last] = state.position[k]
    state.n_active[0] -= 1


@njit_lean
def list_active(state: State) -> None:
    """Recompute the list of occupied slots from the counts."""
    state.n_active[0] = 0
    for k in range(len(state.counts)):
        if state.counts[k] > 0:
            occupy(state, k)


@njit_lean
def count(state: State) -> None:
    """Recompute counts and the list of occupied slots from the allocation."""
    state.counts[:] = 0
    for i in range(len(state.z)):
        state.counts[state.z[i]] += 1
    list_active(state)


@njit
def recount(state: State) -> tuple[int, int]:
    """Recompute as `count` does; returns the numbers of clusters opened and closed."""
    occupied = state.counts > 0
    count(state)
    births = deaths = 0
    for k in range(len(occupied)):
        births += state.counts[k] > 0 and not occupied[k]
        deaths += state.counts[k] == 0 and occupied[k]
    return births, deaths
