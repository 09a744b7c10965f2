"""Split–merge proposals with the atoms integrated out, for conjugate pairs.

What Jain and Neal (2004) and Dahl and Newcomb (2022) share. With m(·) the marginal likelihood of
the items of a cluster and q the probability that the form of the proposal would have made this
split, a split is accepted with probability min(1, r) and a merge with min(1, 1 / r),

    r = p(z_split) / p(z_merged) (K - k_merged) × m(i's side) m(j's side) / m(all) / q(z_split).

A merge proposes nothing random. The atoms of the changed clusters are drawn afterwards.
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

__all__ = ["propose_partition"]


@njit_lean
def draw_atoms(rng: np.random.Generator, stats_row: int, row: int, state: State) -> None:
    """Draw the atoms of a row from their posterior given the statistics in another."""
    draw_posterior_of(state)(rng, state.stats[stats_row], state.shared, state.values[row])
    derive_of(state)(state.values, row, row + 1, state.shared, state.columns)


@njit_lean
def propose_partition(
    rng: np.random.Generator,
    row: int,
    n: int,
    slots: tuple[int, int],
    t: int,
    sequential: bool,
    discount: float,
    replay: bool,
    state: State,
    scratch: Scratch,
) -> tuple[float, float]:
    """Propose to split the members, or with `replay` to merge them.

    Leaves the sides in `scratch` and the atoms of i's side, of j's and of both in rows row,
    row + 1 and row + 2. Returns log m less log q of the split state and of the merged one.
    """
    members, stats = scratch.members, state.stats
    first, second = len(state.counts), len(state.counts) + 1  # rows of statistics to spare
    update, log_marginal = update_of(state), log_marginal_of(state)
    stats[first] = 0.0
    for p in range(n):
        update(stats[first], members[p], 1.0, state.items, state.shared, state.datum)
    log_merged = log_marginal(stats[first], state.shared)
    if replay:
        draw_atoms(rng, first, row + 2, state)
    else:
        copy_row(state, slots[1], row + 2)
    if sequential:
        log_q = allocate_sequentially(rng, n, discount, replay, state, scratch)
    else:
        log_q = restricted_gibbs(rng, n, t, discount, replay, state, scratch)
    log_split = log_marginal(stats[first], state.shared)
    log_split += log_marginal(stats[second], state.shared) - log_q
    for side in range(2):
        if replay:
            copy_row(state, slots[side], row + side)
        else:
            draw_atoms(rng, first + side, row + side, state)
    return log_split, log_merged
