"""Which two clusters a transfer changes. See `transfer`."""

from __future__ import annotations

from math import log

import numpy as np

from pymc_dpsteps.exponential import exp_negative
from pymc_dpsteps.jit import njit_lean
from pymc_dpsteps.steps.marginal import pick_by_prior
from pymc_dpsteps.steps.split_merge_moves import empty_slot
from pymc_dpsteps.steps.state import State, kernel_of
from pymc_dpsteps.steps.transfer_walk import WITNESSES, Work

__all__ = ["BEGINNING", "choose_slots", "log_choice"]

BEGINNING = 0.25  # probability that s is a cluster that does not exist yet
_TINY, _LARGE = 10.0, 4.0  # what clusters are left to other updates


@njit_lean
def choose_slots(
    rng: np.random.Generator, begins: bool, state: State, work: Work
) -> tuple[int, int]:
    """Choose s, an empty slot if it begins, and b."""
    n = state.n_active[0]
    if begins:
        for a in range(n):
            state.prior[a] = state.counts[state.active[a]]
        return empty_slot(rng, state), state.active[pick_by_prior(rng, state.prior, n)]
    for a in range(n):
        state.prior[a] = preference(state.counts[state.active[a]], n, len(state.z))
    first = state.active[pick_by_prior(rng, state.prior, n)]
    n, place, _ = list_clusters((first, first), (first, first), state.counts, state)
    weigh_others(place, n, state, work)
    return first, state.candidates[pick_by_prior(rng, work.near, n)]


@njit_lean
def log_choice(
    begins: bool,
    slots: tuple[int, int],
    rows: tuple[int, int],
    sizes: np.ndarray,
    state: State,
    work: Work,
) -> float:
    """Log probability of choosing two slots, of atoms in `rows`, where all are of `sizes`."""
    n_items = len(state.z)
    if begins:
        return log(BEGINNING * sizes[slots[1]] / n_items)
    n, first, second = list_clusters(slots, rows, sizes, state)
    total = 0.0
    for a in range(n):
        total += preference(state.prior[a], n, n_items)
    chosen = preference(sizes[slots[0]], n, n_items) / total
    weigh_others(first, n, state, work)
    return log((1.0 - BEGINNING) * chosen * work.near[second])


@njit_lean
def preference(size: float, n_clusters: int, n_items: int) -> float:
    """Weight of a cluster in the choice of s."""
    return size / (size + _TINY) / (1.0 + (_LARGE * size * n_clusters / n_items) ** 2)


@njit_lean
def list_clusters(
    slots: tuple[int, int], rows: tuple[int, int], sizes: np.ndarray, state: State
) -> tuple[int, int, int]:
    """List the rows of clusters in `state.candidates` and their sizes in `state.prior`.

    Returns how many they are, and the places of two whose atoms are in `rows`.
    """
    n = first = second = 0
    for k in range(len(sizes)):
        if sizes[k] > 0:
            state.candidates[n], state.prior[n] = k, sizes[k]
            if k == slots[0]:
                first, state.candidates[n] = n, rows[0]
            elif k == slots[1]:
                second, state.candidates[n] = n, rows[1]
            n += 1
    return n, first, second


@njit_lean
def weigh_others(first: int, n: int, state: State, work: Work) -> None:
    """Write to `work.near` the probability of each of n listed clusters to be b beside the first.

    By place in `state.candidates`; sizes are in `state.prior`, the witnesses in `work.witnesses`.
    """
    out, near, kernel = state.log_density, work.near, kernel_of(state)
    near[:n] = 0.0
    for p in range(WITNESSES):
        i = work.witnesses[p]
        kernel(i, state.candidates, n, state.items, state.columns, state.shared, out)
        largest = -np.inf
        for a in range(n):
            largest = max(largest, out[a])
        total = 0.0
        for a in range(n):
            out[a] = state.prior[a] * exp_negative(out[a] - largest)
            total += out[a]
        if total > 0.0:
            for a in range(n):
                near[a] += out[first] / total * out[a] / total
    near[first] = state.prior[first] = 0.0
    mass, size = near[:n].sum(), state.prior[:n].sum()
    for a in range(n):
        by_size = state.prior[a] / size
        near[a] = 0.5 * (near[a] / mass + by_size) if mass > 0.0 else by_size
