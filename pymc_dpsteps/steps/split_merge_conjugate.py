"""Split–merge proposals with the atoms integrated out, for conjugate pairs.

What Jain and Neal (2004) and Dahl and Newcomb (2022) share. With m(·) the marginal likelihood of
the items of a cluster and q the probability that the form of the proposal would have made this
split, a split is accepted with probability min(1, r) and a merge with min(1, 1 / r),

    r = p(z_split) / p(z_merged) (K - k_merged) × m(i's side) m(j's side) / m(all) / q(z_split).

A merge proposes nothing random. The atoms of the changed clusters are drawn afterwards.
"""

from __future__ import annotations

import numpy as np

from pymc_dpsteps.jit import njit
from pymc_dpsteps.steps.split_merge_moves import (
    INFORMED,
    Scratch,
    accept_move,
    choose_pair,
    empty_slot,
    log_pair_ratio,
    log_prior_ratio,
    move_only_item,
    settle,
)
from pymc_dpsteps.steps.split_merge_restricted import restricted_gibbs
from pymc_dpsteps.steps.split_merge_sequential import allocate_sequentially
from pymc_dpsteps.steps.state import (
    State,
    chain_at,
    derive_of,
    draw_posterior_of,
    log_marginal_of,
    update_of,
)
from pymc_dpsteps.steps.updates import copy_row, prepare, update_rest

__all__ = ["conjugate_step"]


@njit
def draw_atoms(rng: np.random.Generator, stats_row: int, row: int, state: State) -> None:
    """Draw the atoms of a row from their posterior given the statistics in another."""
    draw_posterior_of(state)(rng, state.stats[stats_row], state.shared, state.values[row])
    derive_of(state)(state.values, row, row + 1, state.shared, state.columns)


@njit
def conjugate_move(
    rng: np.random.Generator,
    t: int,
    sequential: bool,
    discount: float,
    state: State,
    scratch: Scratch,
) -> int:
    """One proposal. Returns +1 for a split, -1 for a merge, 0 if rejected."""
    informed = rng.random() < INFORMED
    n = choose_pair(rng, state, scratch, informed)
    members, stats = scratch.members, state.stats
    first_slot, second_slot = state.z[members[0]], state.z[members[1]]
    split = first_slot == second_slot
    if split:
        first_slot = empty_slot(rng, state)
        if first_slot < 0:
            return 0
    first, second = len(state.counts), len(state.counts) + 1  # rows of scratch
    merged = second + 1
    update, log_marginal = update_of(state), log_marginal_of(state)
    stats[first] = 0.0
    for p in range(n):
        update(stats[first], members[p], 1.0, state.items, state.shared, state.datum)
    log_merged = log_marginal(stats[first], state.shared)
    draw_atoms(rng, first, merged, state)
    if sequential:
        log_q = allocate_sequentially(rng, n, discount, not split, state, scratch)
    else:
        log_q = restricted_gibbs(rng, n, t, discount, not split, state, scratch)

    n_first = scratch.side[:n].sum()
    log_split = log_prior_ratio(state, first_slot, second_slot, n_first, n - n_first) - log_q
    log_split += log_marginal(stats[first], state.shared)
    log_split += log_marginal(stats[second], state.shared)
    rows = (first_slot, second_slot, merged)
    if split:
        rows = (first, second, second_slot)
        draw_atoms(rng, first, first, state)
        draw_atoms(rng, second, second, state)
    if informed:
        slots = (first_slot, second_slot)
        log_split += log_pair_ratio(state, members[0], slots, rows, n_first, n - n_first)
    if not accept_move(rng, split, log_split, log_merged):
        return 0
    settle(state, scratch, n, first_slot, second_slot)
    if split:
        copy_row(state, first, first_slot)
        copy_row(state, second, second_slot)
        return 1
    copy_row(state, merged, second_slot)
    return -1


@njit
def conjugate_step(
    chain: int,
    scratch: Scratch,
    t: int,
    moves: int,
    sequential: bool,
    crp: bool,
    swap: bool,
    update_atoms: bool,
    weights: int,
) -> tuple[int, int, int]:
    """One iteration: the proposals, then what all algorithms share."""
    rng, state = chain_at(chain)
    prepare(state)
    discount = state.parameters[0, 1] if crp else 0.0
    splits = merges = 0
    if len(state.z) == 1:
        moves = 0
        if crp:
            move_only_item(rng, state)
    for _ in range(moves):
        outcome = conjugate_move(rng, t, sequential, discount, state, scratch)
        splits += outcome == 1
        merges += outcome == -1
    return splits, merges, update_rest(rng, state, swap, update_atoms, weights)
