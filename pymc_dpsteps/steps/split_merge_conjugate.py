"""Split–merge proposals with the atoms integrated out, for conjugate pairs.

What Jain and Neal (2004) and Dahl and Newcomb (2022) share. With m(·) the marginal likelihood of
the items of a cluster and q the probability that the form of the proposal would have made this
split, a split is accepted with probability min(1, r) and a merge with min(1, 1 / r),

    r = p(z_split) / p(z_merged) (K - k_merged) × m(i's side) m(j's side) / m(all) / q(z_split).

A merge proposes nothing random. Since q ≤ 1, most merges are refused before q is known. The atoms
of the changed clusters are drawn afterwards.
"""

from __future__ import annotations

import numpy as np

from pymc_dpsteps.jit import njit_lean
from pymc_dpsteps.steps.split_merge_moves import Scratch
from pymc_dpsteps.steps.split_merge_restricted import restricted_gibbs
from pymc_dpsteps.steps.split_merge_sequential import allocate_sequentially
from pymc_dpsteps.steps.state import (
    State,
    derive_of,
    draw_posterior_of,
    log_marginal_of,
    update_of,
)
from pymc_dpsteps.steps.updates import copy_row

__all__ = ["allocate", "propose_merge", "propose_split"]


@njit_lean
def draw_atoms(rng: np.random.Generator, stats_row: int, row: int, state: State) -> None:
    """Draw the atoms of a row from their posterior given the statistics in another."""
    draw_posterior_of(state)(rng, state.stats[stats_row], state.shared, state.values[row])
    derive_of(state)(state.values, row, row + 1, state.shared, state.columns)


@njit_lean
def add_members(n: int, chosen: int, row: int, state: State, scratch: Scratch) -> float:
    """Statistics of one side, or of both where `chosen` is 2, in a row; returns their log m."""
    update, stats = update_of(state), state.stats[row]
    stats[:] = 0.0
    for p in range(n):
        if chosen == 2 or scratch.side[p] == chosen:
            update(stats, scratch.members[p], 1.0, state.items, state.shared, state.datum)
    return log_marginal_of(state)(stats, state.shared)


@njit_lean
def propose_split(
    rng: np.random.Generator,
    row: int,
    n: int,
    slot: int,
    t: int,
    sequential: bool,
    discounts: tuple[float, float],
    state: State,
    scratch: Scratch,
) -> tuple[float, float]:
    """Propose to split the members, which are in `slot`.

    Leaves the sides in `scratch` and the atoms of i's side, of j's and of both in rows row,
    row + 1 and row + 2. Returns log m less log q of the split state, and log m of the merged one.
    """
    first, log_marginal = len(state.counts), log_marginal_of(state)
    log_merged = add_members(n, 2, first, state, scratch)
    log_q = allocate(rng, n, t, sequential, discounts, False, -np.inf, state, scratch)
    log_split = -log_q
    for side in range(2):
        log_split += log_marginal(state.stats[first + side], state.shared)
        draw_atoms(rng, first + side, row + side, state)
    copy_row(state, slot, row + 2)
    return log_split, log_merged


@njit_lean
def propose_merge(
    rng: np.random.Generator,
    row: int,
    n: int,
    slots: tuple[int, int],
    state: State,
    scratch: Scratch,
) -> tuple[float, float]:
    """Propose to merge the members, which are in two slots.

    Leaves the atoms of i's side, of j's and of both in rows row, row + 1 and row + 2. Returns
    log m of the split state and of the merged one.
    """
    first = len(state.counts)
    log_merged = add_members(n, 2, first, state, scratch)
    draw_atoms(rng, first, row + 2, state)
    log_split = 0.0
    for side in range(2):
        log_split += add_members(n, 1 - side, first + side, state, scratch)
        copy_row(state, slots[side], row + side)
    return log_split, log_merged


@njit_lean
def allocate(
    rng: np.random.Generator,
    n: int,
    t: int,
    sequential: bool,
    discounts: tuple[float, float],
    replay: bool,
    least: float,
    state: State,
    scratch: Scratch,
) -> float:
    """Log probability of the sides: drawn, or with `replay` those of the present split.

    May stop where it is below `least`.
    """
    if sequential:
        return allocate_sequentially(rng, n, discounts, replay, least, state, scratch)
    return restricted_gibbs(rng, n, t, discounts, replay, state, scratch)
