"""Sequential allocation of the items of S, the atoms integrated out.

Dahl, D. B. and Newcomb, S. (2022). Sequentially allocated merge-split samplers for conjugate
Bayesian nonparametric models. Journal of Statistical Computation and Simulation 92, 1487–1511,
section 2. Starting from the two clusters {i} and {j}, the items of S join, in random order and one
after the other, either of them by its count and its predictive density of the item.
"""

from math import log

import numpy as np

from pymc_dpsteps.jit import njit_lean
from pymc_dpsteps.steps.split_merge_moves import Scratch, choose_side
from pymc_dpsteps.steps.split_merge_restricted import start_sides
from pymc_dpsteps.steps.state import State, log_predictive_of, shift_of

__all__ = ["allocate_sequentially"]


@njit_lean
def allocate_sequentially(
    rng: np.random.Generator,
    n: int,
    discount: float,
    replay: bool,
    state: State,
    scratch: Scratch,
) -> float:
    """Allocate all of S; with `replay`, to the present split.

    Leaves the statistics of i's and j's sides in rows K and K + 1. Returns the log
    probability of the allocation given its order.
    """
    z, members, side = state.z, scratch.members, scratch.side
    stats, cache, items = state.stats, state.cache, state.items
    shared, datum, out = state.shared, state.datum, state.log_density
    shift, log_predictive = shift_of(state), log_predictive_of(state)
    rows = state.candidates[:2]
    start_sides(rows, state)
    for p in range(2):
        shift(stats[rows[p]], cache[rows[p]], members[p], 1.0, items, shared, datum)
    first_slot = z[members[0]]
    side[0], side[1] = 1, 0
    n_first, n_second = 1, 1
    log_q = 0.0
    for p in range(2, n):
        drawn = p + int(rng.random() * (n - p))
        k = members[drawn]
        members[p], members[drawn] = k, members[p]
        log_predictive(k, rows, 2, stats, cache, items, shared, datum, out)
        log_odds = log((n_first - discount) / (n_second - discount)) + out[0] - out[1]
        side[p], log_p = choose_side(rng, log_odds, replay, int(z[k] == first_slot))
        log_q += log_p
        n_first += side[p]
        n_second += 1 - side[p]
        row = rows[1 - side[p]]
        shift(stats[row], cache[row], k, 1.0, items, shared, datum)
    return log_q
