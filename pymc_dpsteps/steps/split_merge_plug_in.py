"""Sequential allocation with the atoms in the state, for any kernel and base measure.

As in Dahl and Newcomb (2022) the items of S join, in random order and one after the other, i's
side or j's. Where the atoms cannot be integrated out, the predictive density of an item is
F(y | φ) at a value φ of each side that follows the items placed so far: drawn from its
conditional given the first few, then moved towards the mode by a Newton step whenever the side
has doubled. Such a plug-in density is overconfident while a side is small. So with n_c the
counts of the sides, c joins with probability

    (1 - 1 / min n) n_c F(y | φ_c) / Σ n F(y | φ) + (1 / min n) n_c / Σ n,

the urn alone at first. The values φ are auxiliary: those of a merge are made along the present
sides just as those of a split are along the proposed ones, and their densities cancel. Last, the
atoms of both sides are proposed given their items by `scan_atoms`, and a split is accepted with
probability min(1, r), a merge with min(1, 1 / r), where

    r = p(z_split) / p(z_merged) (K - k_merged)
        × g0(φ_i) Π_{i's side} F  g0(φ_j) Π_{j's side} F / (g0(φ) Π F)
        × q(φ | S) / (q(sides) q(φ_i | i's side) q(φ_j | j's side)).
"""

from __future__ import annotations

from math import exp, log

import numpy as np

from pymc_dpsteps.jit import njit_lean
from pymc_dpsteps.steps.split_merge_moves import Scratch
from pymc_dpsteps.steps.split_merge_nonconjugate import (
    approximate_conditional,
    log_density,
    scan_atoms,
)
from pymc_dpsteps.steps.state import State, derive_of, kernel_of
from pymc_dpsteps.steps.updates import update_row

__all__ = ["propose_by_values"]

_DRAWN = 4  # the value follows the first items by draws, all others by Newton steps
_GROWTH, _GROWTH_MERGED = 2, 4


@njit_lean
def follow(
    rng: np.random.Generator, row: int, members: np.ndarray, growth: int, state: State
) -> tuple[int, int]:
    """Move the value of a side to its members.

    Returns the number of members at which that is due again, and the density evaluations.
    """
    n = len(members)
    if n <= _DRAWN:
        return n + 1, update_row(rng, row, members, state)
    x = state.values[row]
    for q in range(len(x)):
        x[q], _ = approximate_conditional(x, q, members, 1, state)
    derive_of(state)(state.values, row, row + 1, state.shared, state.columns)
    return growth * n, 3 * len(x)


@njit_lean
def allocate_by_values(
    rng: np.random.Generator,
    row: int,
    n: int,
    discounts: tuple[float, float],
    replay: bool,
    state: State,
    scratch: Scratch,
) -> tuple[float, int]:
    """Allocate all of S; with `replay`, to the present split.

    Rows row, row + 1 and row + 2 start as draws from G0, and follow i's side, j's side and both.
    Leaves the members of i's side at the front of `scratch.parts`, those of j's in
    `scratch.others`. Returns the log probability of the sides, and the density evaluations.
    """
    z, members, side, out = state.z, scratch.members, scratch.side, state.log_density
    first, second, candidates = scratch.parts, scratch.others, state.candidates
    kernel = kernel_of(state)
    first_slot = z[members[0]]
    first[0], second[0] = members[0], members[1]
    side[0], side[1] = 1, 0
    n_first, n_second = 1, 1
    due_first, evaluations = follow(rng, row, first[:1], _GROWTH, state)
    due_second, cost = follow(rng, row + 1, second[:1], _GROWTH, state)
    evaluations += cost
    due_merged, cost = follow(rng, row + 2, members[:2], _GROWTH_MERGED, state)
    evaluations += cost
    log_q = 0.0
    for p in range(2, n):
        drawn = p + int(rng.random() * (n - p))
        k = members[drawn]
        members[p], members[drawn] = k, members[p]
        candidates[0], candidates[1] = row, row + 1
        kernel(k, candidates, 2, state.items, state.columns, state.shared, out)
        urn = (n_first - discounts[0]) / (p - discounts[0] - discounts[1])
        likelihood = 1.0 / (1.0 + (1.0 - urn) / urn * exp(out[1] - out[0]))
        if not 0.0 <= likelihood <= 1.0:  # the item fits neither side
            likelihood = urn
        doubt = 1.0 / min(n_first, n_second)
        probability = (1.0 - doubt) * likelihood + doubt * urn
        side[p] = int(z[k] == first_slot) if replay else int(rng.random() < probability)
        if side[p] == 1:
            log_q += log(probability)
            first[n_first] = k
            n_first += 1
            if n_first == due_first:
                due_first, cost = follow(rng, row, first[:n_first], _GROWTH, state)
                evaluations += cost
        else:
            log_q += log(1.0 - probability)
            second[n_second] = k
            n_second += 1
            if n_second == due_second:
                due_second, cost = follow(rng, row + 1, second[:n_second], _GROWTH, state)
                evaluations += cost
        if p + 1 == due_merged:
            due_merged, cost = follow(rng, row + 2, members[: p + 1], _GROWTH_MERGED, state)
            evaluations += cost
    return log_q, evaluations


@njit_lean
def propose_by_values(
    rng: np.random.Generator,
    row: int,
    n: int,
    slots: tuple[int, int],
    discounts: tuple[float, float],
    replay: bool,
    state: State,
    scratch: Scratch,
) -> tuple[float, float, int]:
    """Propose to split the members, or with `replay` to merge them.

    Leaves the sides in `scratch` and the atoms of i's side, of j's and of both in rows row,
    row + 1 and row + 2. Returns log density less log q of the split state and of the merged one,
    and the density evaluations.
    """
    log_q, evaluations = allocate_by_values(rng, row, n, discounts, replay, state, scratch)
    n_first = scratch.side[:n].sum()
    sides = (scratch.parts[:n_first], scratch.others[: n - n_first])
    members = scratch.members[:n]
    log_split = -log_q
    for side in range(2):
        log_split -= scan_atoms(rng, row + side, sides[side], slots[side], replay, 1, state)
        log_split += log_density(state.values[row + side], sides[side], state)
    log_merged = -scan_atoms(rng, row + 2, members, slots[1], not replay, 2, state)
    log_merged += log_density(state.values[row + 2], members, state)
    return log_split, log_merged, evaluations
