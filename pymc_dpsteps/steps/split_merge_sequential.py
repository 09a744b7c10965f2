"""Sequential allocation of the items of S, the atoms integrated out.

Dahl, D. B. and Newcomb, S. (2022). Sequentially allocated merge-split samplers for conjugate
Bayesian nonparametric models. Journal of Statistical Computation and Simulation 92, 1487–1511,
section 2. Starting from the two clusters {i} and {j}, the items of S join, in random order and one
after the other, either of them by its count and its predictive density of the item.
"""

from math import log

import numpy as np

from pymc_dpsteps.jit import njit
from pymc_dpsteps.steps.split_merge_moves import Scratch, choose_side
from pymc_dpsteps.steps.state import State, log_marginal_of, update_of

__all__ = ["allocate_sequentially"]


@njit
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
    z, members, side, stats = state.z, scratch.members, scratch.side, state.stats
    log_marginal, update = log_marginal_of(state), update_of(state)
    items, shared, datum = state.items, state.shared, state.datum
    first, second = len(state.counts), len(state.counts) + 1
    first_slot = z[members[0]]
    stats[first:] = 0.0
    update(stats[first], members[0], 1.0, items, shared, datum)
    update(stats[second], members[1], 1.0, items, shared, datum)
    log_first, log_second = log_marginal(stats[first], shared), log_marginal(stats[second], shared)
    side[0], side[1] = 1, 0
    n_first, n_second = 1, 1
    log_q = 0.0
    for p in range(2, n):
        drawn = int(rng.integers(p, n))
        k = members[drawn]
        members[p], members[drawn] = k, members[p]
        update(stats[first], k, 1.0, items, shared, datum)
        update(stats[second], k, 1.0, items, shared, datum)
        log_first_with = log_marginal(stats[first], shared)
        log_second_with = log_marginal(stats[second], shared)
        log_odds = log((n_first - discount) / (n_second - discount))
        log_odds += log_first_with - log_first - (log_second_with - log_second)
        side[p], log_p = choose_side(rng, log_odds, replay, int(z[k] == first_slot))
        log_q += log_p
        if side[p] == 1:
            update(stats[second], k, -1.0, items, shared, datum)
            log_first = log_first_with
            n_first += 1
        else:
            update(stats[first], k, -1.0, items, shared, datum)
            log_second = log_second_with
            n_second += 1
    return log_q
