"""Restricted Gibbs scan with the atoms integrated out.

Jain, S. and Neal, R. M. (2004). A split–merge Markov chain Monte Carlo procedure for the Dirichlet
process mixture model. Journal of Computational and Graphical Statistics 13, 158–182, section 4.2,
equations 3.14 to 3.16. The launch state is a random split after t scans; a last scan proposes.
"""

from math import log

import numpy as np

from pymc_dpsteps.jit import njit
from pymc_dpsteps.steps.split_merge_moves import Scratch, choose_side, random_sides
from pymc_dpsteps.steps.state import State, log_marginal_of, update_of

__all__ = ["restricted_gibbs"]


@njit
def restricted_gibbs(
    rng: np.random.Generator,
    n: int,
    t: int,
    discount: float,
    replay: bool,
    state: State,
    scratch: Scratch,
) -> float:
    """Build a launch state and scan it once more; with `replay`, to the present split.

    Leaves the statistics of i's and j's sides in rows K and K + 1. Returns the log probability
    of the last scan.
    """
    first = len(state.counts)
    update = update_of(state)
    state.stats[first:] = 0.0
    random_sides(rng, scratch, n)
    for p in range(n):
        row = state.stats[first + 1 - scratch.side[p]]
        update(row, scratch.members[p], 1.0, state.items, state.shared, state.datum)
    for _ in range(t):
        scan_sides(rng, n, discount, False, state, scratch)
    return scan_sides(rng, n, discount, replay, state, scratch)


@njit
def scan_sides(
    rng: np.random.Generator,
    n: int,
    discount: float,
    replay: bool,
    state: State,
    scratch: Scratch,
) -> float:
    """Reassign every item of S given all others; returns the log probability of the scan."""
    z, members, side, stats = state.z, scratch.members, scratch.side, state.stats
    log_marginal, update = log_marginal_of(state), update_of(state)
    items, shared, datum = state.items, state.shared, state.datum
    first, second = len(state.counts), len(state.counts) + 1
    first_slot = z[members[0]]
    n_first = side[:n].sum()
    log_first, log_second = log_marginal(stats[first], shared), log_marginal(stats[second], shared)
    log_q = 0.0
    for p in range(2, n):
        k = members[p]
        if side[p] == 1:
            log_first_with = log_first
            update(stats[first], k, -1.0, items, shared, datum)
            log_first = log_marginal(stats[first], shared)
            update(stats[second], k, 1.0, items, shared, datum)
            log_second_with = log_marginal(stats[second], shared)
        else:
            log_second_with = log_second
            update(stats[second], k, -1.0, items, shared, datum)
            log_second = log_marginal(stats[second], shared)
            update(stats[first], k, 1.0, items, shared, datum)
            log_first_with = log_marginal(stats[first], shared)
        n_first -= side[p]
        log_odds = log((n_first - discount) / (n - 1 - n_first - discount))
        log_odds += log_first_with - log_first - (log_second_with - log_second)
        old = side[p]
        side[p], log_p = choose_side(rng, log_odds, replay, int(z[k] == first_slot))
        log_q += log_p
        n_first += side[p]
        if side[p] == old:  # the other side, which holds the item for the moment, loses it
            update(stats[second if old == 1 else first], k, -1.0, items, shared, datum)
            update(stats[first if old == 1 else second], k, 1.0, items, shared, datum)
        if side[p] == 1:
            log_first = log_first_with
        else:
            log_second = log_second_with
    return log_q
