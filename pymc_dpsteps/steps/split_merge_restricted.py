"""Restricted Gibbs scan with the atoms integrated out.

Jain, S. and Neal, R. M. (2004). A split–merge Markov chain Monte Carlo procedure for the Dirichlet
process mixture model. Journal of Computational and Graphical Statistics 13, 158–182, section 4.2,
equations 3.14 to 3.16. The launch state is a random split after t scans; a last scan proposes.
"""

from math import log

import numpy as np

from pymc_dpsteps.jit import njit_lean
from pymc_dpsteps.steps.split_merge_moves import Scratch, choose_side, random_sides
from pymc_dpsteps.steps.state import State, log_predictive_of, refresh_of, shift_of

__all__ = ["restricted_gibbs"]


@njit_lean
def restricted_gibbs(
    rng: np.random.Generator,
    n: int,
    t: int,
    discounts: tuple[float, float],
    replay: bool,
    state: State,
    scratch: Scratch,
) -> float:
    """Build a launch state and scan it once more; with `replay`, to the present split.

    Leaves the statistics of i's and j's sides in rows K and K + 1. Returns the log probability
    of the last scan.
    """
    shift = shift_of(state)
    rows = state.candidates[:2]
    start_sides(rows, state)
    random_sides(rng, scratch, n)
    for p in range(n):
        k, row = scratch.members[p], rows[1 - scratch.side[p]]
        shift(state.stats[row], state.cache[row], k, 1.0, state.items, state.shared, state.datum)
    for _ in range(t):
        scan_sides(rng, rows, n, discounts, False, state, scratch)
    return scan_sides(rng, rows, n, discounts, replay, state, scratch)


@njit_lean
def start_sides(rows: np.ndarray, state: State) -> None:
    """Make the statistics of both sides those of no item, and list their rows, K and K + 1."""
    refresh = refresh_of(state)
    for p in range(2):
        rows[p] = len(state.counts) + p
        state.stats[rows[p]] = 0.0
        refresh(state.stats[rows[p]], state.cache[rows[p]], state.shared)


@njit_lean
def scan_sides(
    rng: np.random.Generator,
    rows: np.ndarray,
    n: int,
    discounts: tuple[float, float],
    replay: bool,
    state: State,
    scratch: Scratch,
) -> float:
    """Reassign every item of S given all others; returns the log probability of the scan."""
    z, members, side = state.z, scratch.members, scratch.side
    stats, cache, items = state.stats, state.cache, state.items
    shared, datum, out = state.shared, state.datum, state.log_density
    shift, log_predictive = shift_of(state), log_predictive_of(state)
    first_slot = z[members[0]]
    n_first = side[:n].sum()
    log_q = 0.0
    for p in range(2, n):
        k, row = members[p], rows[1 - side[p]]
        shift(stats[row], cache[row], k, -1.0, items, shared, datum)
        n_first -= side[p]
        log_predictive(k, rows, 2, stats, cache, items, shared, datum, out)
        log_odds = log((n_first - discounts[0]) / (n - 1 - n_first - discounts[1]))
        log_odds += out[0] - out[1]
        side[p], log_p = choose_side(rng, log_odds, replay, int(z[k] == first_slot))
        log_q += log_p
        n_first += side[p]
        row = rows[1 - side[p]]
        shift(stats[row], cache[row], k, 1.0, items, shared, datum)
    return log_q
