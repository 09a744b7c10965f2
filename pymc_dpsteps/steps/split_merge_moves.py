"""What the forms of a split–merge proposal share: the pair, the slots, the prior ratio, the move.

Two items i, j pick the move: in one cluster it is split between them, in two these are merged.
S is what else is in their clusters.

Most pairs of items are in clusters that nothing will merge, and of many items a small cluster has
next to none. So one pair in four, at random, is uniform, and the others are of two kinds.

*Informed*, one in four: i is uniform, j's cluster c has probability proportional to
n_c F(y_i | φ_c), as if i alone were reassigned, and j is a uniform item of it.

*Small*, two in four, for small clusters that come and go inside large ones: i is a uniform item of
a uniformly chosen cluster, j is informed, and a proposal counts i's side as 0.9 items less than it
has. So the sizes of i's side are about uniform on the scale of their logarithm, as posteriors have
them, where the urn would make them uniform.

The probability of these pairs differs between the states before and after a move, and is part of
its acceptance.
"""

from __future__ import annotations

from math import exp, log, log1p
from typing import NamedTuple

import numpy as np

from pymc_dpsteps.exponential import exp_negative
from pymc_dpsteps.jit import njit_inline, njit_lean
from pymc_dpsteps.steps.occupancy import count, occupy, vacate
from pymc_dpsteps.steps.state import State, kernel_of
from pymc_dpsteps.steps.updates import copy_row, pick
from pymc_dpsteps.urns.crp import choose_slot

__all__ = [
    "Scratch",
    "allocate_scratch",
    "choose_kind",
    "choose_pair",
    "choose_side",
    "empty_slot",
    "log_pair_ratio",
    "move_only_item",
    "part",
    "random_sides",
    "settle",
]


UNIFORM, INFORMED, SMALL = 0, 1, 2  # kinds of pairs
SMALL_DISCOUNT = 0.9
_TRIES = 64  # expected, up to which a member of a cluster is looked for at random


class Scratch(NamedTuple):
    """Arrays of one proposal; n items in the clusters of i and j.

    Attributes
    ----------
    members : (N + 1,) int64
        i, j, then S, in its first n entries; the last one is for lists that are written first and
        counted afterwards.
    side : (N + 1,) int64
        By place in `members`: 1 on i's side, 0 on j's. At first those of the present clusters.
    parts : (N + 1,) int64
        The members of i's side, then those of j's.
    others : (N + 1,) int64
        The members of j's side, where they are listed one by one.
    sizes, partner : (K,) int64
        Items of each slot in the proposed state, and which slots trade contents to get there.
    """

    members: np.ndarray
    side: np.ndarray
    parts: np.ndarray
    others: np.ndarray
    sizes: np.ndarray
    partner: np.ndarray


def allocate_scratch(n_items: int, n_slots: int) -> Scratch:
    """Allocate for N items and K slots."""
    lengths = (*[n_items + 1] * 4, *[n_slots] * 2)
    return Scratch(*(np.zeros(length, dtype=np.int64) for length in lengths))


@njit_lean
def choose_kind(rng: np.random.Generator) -> int:
    """Choose of which kind a pair is."""
    u = rng.random()
    return SMALL if u < 0.5 else INFORMED if u < 0.75 else UNIFORM


@njit_lean
def choose_pair(rng: np.random.Generator, kind: int, state: State, scratch: Scratch) -> int:
    """Choose i and j and list the members of their clusters, with their sides; returns n."""
    z, members, side = state.z, scratch.members, scratch.side
    if kind == SMALL:
        slot = state.active[int(rng.random() * state.n_active[0])]
        i = member(rng, slot, -1, state)
    else:
        i = int(rng.random() * len(z))
    if kind == UNIFORM:
        j = int(rng.random() * (len(z) - 1))
        j += j >= i
    else:
        j = informed_partner(rng, i, state)
    first, second = z[i], z[j]
    members[0], members[1] = i, j
    side[0], side[1] = 1, 0
    n = 2
    for k in range(len(z)):  # without branches: which way one goes is anybody's guess
        members[n], side[n] = k, z[k] == first
        n += (z[k] == first or z[k] == second) and k != i and k != j
    return n


@njit_lean
def member(rng: np.random.Generator, slot: int, but: int, state: State) -> int:
    """A uniform item of a slot, other than item `but`."""
    z = state.z
    n = state.counts[slot] - (but >= 0 and z[but] == slot)
    if n * _TRIES > len(z):
        while True:
            j = int(rng.random() * len(z))
            if z[j] == slot and j != but:
                return j
    rank = int(rng.random() * n)
    for j in range(len(z)):
        if z[j] == slot and j != but:
            if rank == 0:
                return j
            rank -= 1
    return -1  # not reached


@njit_lean
def informed_partner(rng: np.random.Generator, i: int, state: State) -> int:
    """An item j != i with probability proportional to F(y_i | atoms of j's cluster)."""
    z, prior, log_density = state.z, state.prior, state.log_density
    n = 0
    for a in range(state.n_active[0]):
        k = state.active[a]
        others = state.counts[k] - (k == z[i])
        if others > 0:
            state.candidates[n], prior[n] = k, others
            n += 1
    kernel = kernel_of(state)
    kernel(i, state.candidates, n, state.items, state.columns, state.shared, log_density)
    chosen = pick(rng, log_density, prior, n)
    return member(rng, state.candidates[chosen], i, state)


@njit_lean
def log_pair_ratio(
    state: State,
    kind: int,
    i: int,
    slots: tuple[int, int],
    rows: tuple[int, int, int],
    n_first: int,
    n_second: int,
) -> float:
    """Log probability of the pair where it is split, less that where it is merged.

    `rows` hold the atoms of i's side, of j's side and of both merged.
    """
    if kind == UNIFORM:
        return 0.0
    candidates, prior, log_density = state.candidates, state.prior, state.log_density
    n = 0
    for a in range(state.n_active[0]):
        k = state.active[a]
        if k != slots[0] and k != slots[1]:
            candidates[n], prior[n] = k, state.counts[k]
            n += 1
    for side in range(3):
        candidates[n + side] = rows[side]
    kernel = kernel_of(state)
    kernel(i, candidates, n + 3, state.items, state.columns, state.shared, log_density)
    prior[n], prior[n + 1] = n_first - 1, n_second
    split = log_density[n + 1] - log_sum(log_density, prior, n + 2)
    log_density[n], prior[n] = log_density[n + 2], n_first + n_second - 1
    merged = log_density[n] - log_sum(log_density, prior, n + 1)
    if kind == SMALL:  # n clusters beside, and one or two
        split -= log((n + 2.0) * n_first)
        merged -= log((n + 1.0) * (n_first + n_second))
    return split - merged


@njit_lean
def log_sum(log_density: np.ndarray, prior: np.ndarray, n: int) -> float:
    """Log of the sum over j < n of prior[j] exp(log_density[j])."""
    largest = -np.inf
    for j in range(n):
        if prior[j] > 0.0 and log_density[j] > largest:
            largest = log_density[j]
    total = 0.0
    for j in range(n):
        if prior[j] > 0.0 and log_density[j] > -np.inf:
            total += prior[j] * exp(log_density[j] - largest)
    return largest + log(total)


@njit_lean
def empty_slot(rng: np.random.Generator, state: State) -> int:
    """Choose an empty slot uniformly, as the Chinese restaurant does; -1 if there is none."""
    return choose_slot(
        rng.random(), state.counts, state.n_active[0], state.parameters, state.weights
    )


@njit_lean
def move_only_item(rng: np.random.Generator, state: State) -> None:
    """Put the only item there is into a uniformly chosen slot: no split or merge would move it.

    For exchangeable slots. Where they are not, label swaps do this.
    """
    old, slot = state.z[0], int(rng.random() * len(state.counts))
    if slot != old:
        copy_row(state, old, slot)
        state.z[0] = slot
        count(state)


@njit_lean
def random_sides(rng: np.random.Generator, scratch: Scratch, n: int) -> None:
    """Put i and j on their sides and every item of S on either with probability 1/2."""
    scratch.side[0], scratch.side[1] = 1, 0
    for p in range(2, n):
        scratch.side[p] = rng.random() < 0.5


@njit_lean
def part(scratch: Scratch, n: int) -> int:
    """List the members side by side; returns how many are on i's side."""
    members, side, parts = scratch.members, scratch.side, scratch.parts
    n_first = 0
    for p in range(n):
        n_first += side[p]
    first, second = 0, n_first
    for p in range(n):
        if side[p] == 1:
            parts[first] = members[p]
            first += 1
        else:
            parts[second] = members[p]
            second += 1
    return n_first


@njit_inline
def choose_side(
    rng: np.random.Generator, log_odds: float, replay: bool, recorded: int
) -> tuple[int, float]:
    """Side of one item given the log odds of i's, and the log probability of that choice.

    With `replay` the side is the recorded one, and nothing is drawn. Odds that are not a number,
    where the item fits neither side, are even.
    """
    log_odds = log_odds if log_odds == log_odds else 0.0
    likelier = int(log_odds > 0.0)
    odds = exp_negative(-abs(log_odds))  # of the other side
    side = recorded
    if not replay:
        side = likelier if rng.random() * (1.0 + odds) < 1.0 else 1 - likelier
    return side, (0.0 if side == likelier else -abs(log_odds)) - log1p(odds)


@njit_lean
def settle(state: State, scratch: Scratch, n: int, first_slot: int, second_slot: int) -> None:
    """Make the chain split as `scratch` says if i and j are together, else merge them."""
    z, counts, members = state.z, state.counts, scratch.members
    split = z[members[0]] == z[members[1]]
    for p in range(n):
        z[members[p]] = first_slot if split and scratch.side[p] == 1 else second_slot
    if split:
        occupy(state, first_slot)
        counts[first_slot] = scratch.side[:n].sum()
        counts[second_slot] = n - counts[first_slot]
    else:
        vacate(state, first_slot)
        counts[first_slot], counts[second_slot] = 0, n
