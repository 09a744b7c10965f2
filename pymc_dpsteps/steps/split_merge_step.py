"""One iteration of split–merge, whatever the form of its proposals."""

from __future__ import annotations

from math import log

import numpy as np

from pymc_dpsteps.jit import njit, njit_lean
from pymc_dpsteps.steps.split_merge_conjugate import allocate, propose_merge, propose_split
from pymc_dpsteps.steps.split_merge_labels import propose_slots, relabel
from pymc_dpsteps.steps.split_merge_moves import (
    SMALL,
    SMALL_DISCOUNT,
    Scratch,
    choose_kind,
    choose_pair,
    empty_slot,
    log_pair_ratio,
    move_only_item,
    settle,
)
from pymc_dpsteps.steps.split_merge_nonconjugate import propose_by_scans
from pymc_dpsteps.steps.split_merge_plug_in import propose_by_values
from pymc_dpsteps.steps.state import State, chain_at
from pymc_dpsteps.steps.updates import copy_row, fill_pool, prepare, update_rest

__all__ = ["FORMS", "ROWS", "split_merge_step"]

FORMS = ("restricted_gibbs", "sequential", "plug_in", "nonconjugate")
_SEQUENTIAL, _PLUG_IN, _NONCONJUGATE = 1, 2, 3
ROWS = 3  # of atoms that a proposal needs: i's side, j's side, both


@njit_lean
def move(
    rng: np.random.Generator,
    row: int,
    form: int,
    t: int,
    discount: float,
    sticks: bool,
    state: State,
    scratch: Scratch,
) -> tuple[int, int]:
    """One proposal. Returns +1 for a split, -1 for a merge, 0 if rejected; and evaluations."""
    kind = choose_kind(rng)
    n = choose_pair(rng, kind, state, scratch)
    discounts = (max(discount, SMALL_DISCOUNT) if kind == SMALL else discount, discount)
    first_slot, second_slot = state.z[scratch.members[0]], state.z[scratch.members[1]]
    split = first_slot == second_slot
    if split:
        first_slot = empty_slot(rng, state)
        if first_slot < 0:
            return 0, 0
    slots, evaluations = (first_slot, second_slot), 0
    pair = form != _PLUG_IN and form != _NONCONJUGATE
    sequential = form == _SEQUENTIAL
    if form == _PLUG_IN:
        log_split, log_merged, evaluations = propose_by_values(
            rng, row, n, slots, discounts, not split, state, scratch
        )
    elif form == _NONCONJUGATE:
        log_split, log_merged, evaluations = propose_by_scans(
            rng, row, n, slots, t, discounts, not split, state, scratch
        )
    elif split:
        log_split, log_merged = propose_split(
            rng, row, n, second_slot, t, sequential, discounts, state, scratch
        )
    else:
        log_split, log_merged = propose_merge(rng, row, n, slots, state, scratch)
    n_first = scratch.side[:n].sum()
    for k in range(len(state.counts)):
        scratch.sizes[k] = state.counts[k]
    scratch.sizes[first_slot] = n_first if split else 0
    scratch.sizes[second_slot] = n - scratch.sizes[first_slot]
    log_slots = propose_slots(rng, sticks, state, scratch)
    log_split += log_slots if split else -log_slots
    i, rows = scratch.members[0], (row, row + 1, row + 2)
    log_split += log_pair_ratio(state, kind, i, slots, rows, n_first, n - n_first)
    log_u = log(rng.random())
    if pair and not split:
        least = log_split + log_u - log_merged
        if least >= 0.0:
            return 0, evaluations
        log_split -= allocate(rng, n, t, sequential, discounts, True, least, state, scratch)
    proposed, current = (log_split, log_merged) if split else (log_merged, log_split)
    if current > -np.inf and not log_u < proposed - current:
        return 0, evaluations
    settle(state, scratch, n, first_slot, second_slot)
    if split:
        copy_row(state, row, first_slot)
        copy_row(state, row + 1, second_slot)
    else:
        copy_row(state, row + 2, second_slot)
    if sticks:
        relabel(state, scratch.partner)
    return (1 if split else -1), evaluations


@njit
def split_merge_step(
    chain: int,
    scratch: Scratch,
    form: int,
    t: int,
    moves: int,
    crp: bool,
    sticks: bool,
    swap: bool,
    update_atoms: bool,
    weights: int,
) -> tuple[int, int, int]:
    """One iteration: the proposals, then what all algorithms share."""
    rng, state = chain_at(chain)
    prepare(state)
    discount = state.parameters[0, 1] if crp else 0.0
    splits = merges = evaluations = 0
    used = ROWS if form == _PLUG_IN or form == _NONCONJUGATE else 0  # draws from G0
    row = len(state.values) if used > 0 else len(state.counts)
    if len(state.z) == 1:
        moves = 0
        if crp:
            move_only_item(rng, state)
    for _ in range(moves):
        if row + ROWS > len(state.values):
            fill_pool(rng, state)
            row = len(state.counts)
        outcome, cost = move(rng, row, form, t, discount, sticks, state, scratch)
        row += used
        splits += outcome == 1
        merges += outcome == -1
        evaluations += cost
    evaluations += update_rest(rng, state, swap, update_atoms, weights)
    return splits, merges, evaluations
