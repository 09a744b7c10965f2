"""Sequential allocation of the items of S, the atoms integrated out.

Dahl, D. B. and Newcomb, S. (2022). Sequentially allocated merge-split samplers for conjugate
Bayesian nonparametric models. Journal of Statistical Computation and Simulation 92, 1487–1511,
section 2. Starting from the two clusters {i} and {j}, the items of S join, in random order and one
after the other, either of them by its count and its predictive density of the item.

Any densities that follow from the items placed so far make a valid proposal. Those here follow a
side when it has grown by one part in `_GROWTH`: to the eye the same, at a fraction of the cost.
"""

from math import log

import numpy as np

from pymc_dpsteps.jit import njit_lean
from pymc_dpsteps.steps.split_merge_moves import Scratch, choose_side
from pymc_dpsteps.steps.state import State, log_predictive_of, refresh_of, update_of

__all__ = ["allocate_sequentially"]

_GROWTH = 32


@njit_lean
def allocate_sequentially(
    rng: np.random.Generator,
    n: int,
    discounts: tuple[float, float],
    replay: bool,
    least: float,
    state: State,
    scratch: Scratch,
) -> float:
    """Allocate all of S; with `replay`, to the present split.

    Leaves the statistics of i's and j's sides in rows K and K + 1. Returns the log
    probability of the allocation given its order, or what is below `least` as soon as that is.
    """
    members, side, stats, cache = scratch.members, scratch.side, state.stats, state.cache
    items, shared, datum, out = state.items, state.shared, state.datum, state.log_density
    update, log_predictive, refresh = update_of(state), log_predictive_of(state), refresh_of(state)
    row = len(state.counts)
    rows = state.candidates[:2]  # what the densities are made of
    for p in range(2):
        rows[p] = row + 2 + p
        stats[row + p] = 0.0
        update(stats[row + p], members[p], 1.0, items, shared, datum)
    placed, due = state.prior[:2], state.prior[2:4]
    placed[:] = 1.0
    due[:] = 1.0
    log_q = 0.0
    for p in range(2, n):
        drawn = p + int(rng.random() * (n - p))
        members[p], members[drawn] = members[drawn], members[p]
        side[p], side[drawn] = side[drawn], side[p]
        for s in range(2):
            if placed[s] >= due[s]:
                for c in range(stats.shape[1]):
                    stats[rows[s], c] = stats[row + s, c]
                refresh(stats[rows[s]], cache[rows[s]], shared)
                due[s] = placed[s] + max(placed[s] / _GROWTH, 1.0)
        log_predictive(members[p], rows, 2, stats, cache, items, shared, datum, out)
        log_odds = log((placed[0] - discounts[0]) / (placed[1] - discounts[1])) + out[0] - out[1]
        side[p], log_p = choose_side(rng, log_odds, replay, side[p])
        log_q += log_p
        if log_q < least:
            break
        placed[1 - side[p]] += 1.0
        update(stats[row + 1 - side[p]], members[p], 1.0, items, shared, datum)
    return log_q
