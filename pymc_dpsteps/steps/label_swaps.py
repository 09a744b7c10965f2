"""Metropolis swaps of labels, for priors whose slots are not exchangeable."""

import numpy as np

from pymc_dpsteps.jit import njit_lean
from pymc_dpsteps.steps.occupancy import list_active
from pymc_dpsteps.steps.state import State, log_swap_of

__all__ = ["follow_labels", "keep_labels", "swap_labels", "trade"]


@njit_lean
def swap_rows(state: State, j: int, l: int) -> None:
    """Exchange the atoms of two rows."""
    for q in range(state.values.shape[1]):
        state.values[j, q], state.values[l, q] = state.values[l, q], state.values[j, q]
    for c in range(state.columns.shape[1]):
        state.columns[j, c], state.columns[l, c] = state.columns[l, c], state.columns[j, c]


@njit_lean
def keep_labels(state: State) -> None:
    """Note in `candidates` where the content of each slot is: so far, where it was."""
    for k in range(len(state.counts)):
        state.candidates[k] = k


@njit_lean
def trade(state: State, j: int, l: int) -> None:
    """Exchange counts and atoms of two slots, and note it; items follow in `follow_labels`."""
    label = state.candidates
    state.counts[j], state.counts[l] = state.counts[l], state.counts[j]
    swap_rows(state, j, l)
    for k in range(len(state.counts)):
        if label[k] == j:
            label[k] = l
        elif label[k] == l:
            label[k] = j


@njit_lean
def follow_labels(state: State) -> None:
    """Give all items the slots that their clusters traded for."""
    for i in range(len(state.z)):
        state.z[i] = state.candidates[state.z[i]]
    list_active(state)


@njit_lean
def swap_labels(rng: np.random.Generator, state: State) -> int:
    """Metropolis label swaps (Papaspiliopoulos and Roberts 2008, section 3.4), weights integrated.

    One pass over neighbours and one random pair of an occupied slot with any other. Atoms are
    exchangeable a priori, so the ratio is that of p(z).
    """
    n_slots = len(state.counts)
    if n_slots < 2:
        return 0
    log_swap = log_swap_of(state)
    keep_labels(state)
    swapped = 0
    for attempt in range(n_slots):
        if attempt < n_slots - 1:
            j, l = attempt, attempt + 1
        else:
            list_active(state)
            j = int(state.active[int(rng.random() * state.n_active[0])])
            l = int(rng.random() * (n_slots - 1))
            l += l >= j
            j, l = min(j, l), max(j, l)
        if state.counts[j] == 0 and state.counts[l] == 0:
            continue
        if np.log(rng.random()) < log_swap(state.counts, j, l, state.parameters):
            trade(state, j, l)
            swapped += 1
    if swapped > 0:
        follow_labels(state)
    return swapped
