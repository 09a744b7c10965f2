"""Transfers: a cluster's weight and atoms change, and a neighbour's with them, labels summed out.

Of many items, a cluster within or across large ones may have any of a wide range of sizes, and
atoms that go with its size. Gibbs sampling changes a size n by about √n a sweep, and a split or
merge all of it. Let s be such a cluster, b another one, and let weights π be drawn from
Dirichlet(n_k - d). With ρ = π_s / (π_s + π_b), W = π_s + π_b and R_i = Σ_k≠s,b π_k F(y_i | φ_k),

    L(ρ, φ_s, φ_b) = Π_i [R_i + W ρ F(y_i | φ_s) + W (1 - ρ) F(y_i | φ_b)]

has all labels summed out, and is as wide as the data leave it. With x = (logit ρ, φ_s, φ_b), atoms
in value space and of many coordinates some at random, a transfer is

1. `_STEPS` steps of random-walk Metropolis on L(x) g0(φ_s) g0(φ_b) (ρ (1 - ρ))^-d, with proposals
   from Normal(x, h² G(x)⁻¹). G is the Fisher information that some of the items give, by finite
   differences, and 1 / s² for a prior of spread s; h is random. A metric that depends on the
   position is that of Girolami, M. and Calderhead, B. (2011), Riemann manifold Langevin and
   Hamiltonian Monte Carlo methods, Journal of the Royal Statistical Society B 73, 123–214.
2. New labels given x and π: every item goes to s, to b, or to the rest, where it keeps its label if
   it has one of these.

The walk leaves invariant what is left of the extended target when labels are summed out; labels
are drawn from their conditional law, both ways. So they are accepted with probability min(1, r),

    r = p(z') Π_k Γ(n_k - d) / (p(z) Π_k Γ(n'_k - d)) × P(s, b | z', φ') / P(s, b | z, φ),

0 where a cluster would be empty. For the Chinese restaurant process the first factor is 1. The
last is about the choice of clusters: s with probability proportional to
n_s / (n_s + 10) / (1 + 4 n_s / n̄), n̄ the mean size, and b with probability
Σ_i P(s | y_i) P(b | y_i) / Σ_i P(s | y_i) over some random items i, given the sizes and atoms of
all clusters. Where that is s itself, nothing is done.
"""

from __future__ import annotations

from math import exp, isfinite, lgamma, log, log1p
from typing import NamedTuple

import numpy as np

from pymc_dpsteps.exponential import exp_negative
from pymc_dpsteps.jit import njit, njit_lean
from pymc_dpsteps.linalg import cholesky, log_determinant, solve_lower_transposed
from pymc_dpsteps.steps.split_merge_labels import propose_slots, relabel
from pymc_dpsteps.steps.split_merge_moves import Scratch
from pymc_dpsteps.steps.state import (
    State,
    chain_at,
    derive_of,
    kernel_of,
    kernel_of_items,
    log_posterior_of,
)
from pymc_dpsteps.steps.updates import copy_row, pick, prepare

__all__ = ["transfer_rows", "transfer_step"]

_STEPS = 20
_TINY, _LARGE = 10.0, 4.0  # what clusters are left to other updates
_WITNESSES = 64  # items that say which clusters are near
_FEWEST, _STRIDE = 500, 16  # items that the metric looks at: these, or one in so many
_DIFFERENCE = 1e-6  # of the spread
_SPREAD_LOGIT = 3.0
_WIDEST, _NARROWEST = 2.4, 0.2  # of steps: the best for a normal target, times √dimension; less
_MOST = 8  # coordinates of an atom that change at a time
_TILE = 512


class Work(NamedTuple):
    """Arrays of one transfer.

    Attributes
    ----------
    witnesses : (_WITNESSES,) int64
        Random items, which say what clusters are near.
    near : (K,) float64
    log_weights : (K,) float64
        log π.
    rest : (N,) float64
        log R.
    moved : (at most _MOST,) int64
        Coordinates of the atoms that change.
    spread : (Q,) float64
        Of the base measure, by coordinate.
    """

    witnesses: np.ndarray
    near: np.ndarray
    log_weights: np.ndarray
    rest: np.ndarray
    moved: np.ndarray
    spread: np.ndarray


class Tile(NamedTuple):
    """Log terms of L for some items, of s and of b, and the largest with R, side by side."""

    first: np.ndarray
    second: np.ndarray
    largest: np.ndarray


@njit
def new_tile() -> Tile:
    """Allocate."""
    return Tile(np.empty(_TILE), np.empty(_TILE), np.empty(_TILE))


def transfer_rows(n_values: int) -> int:
    """Rows of atoms that a transfer needs: present, proposed, and one per changed coordinate."""
    return 4 + 2 * min(n_values, _MOST)


# Which clusters ----------------------------------------------------------------------------------


@njit_lean
def choose_slots(rng: np.random.Generator, state: State, work: Work) -> tuple[int, int]:
    """Choose s and b; the same slot twice where nothing is to be done."""
    counts, active, n_active = state.counts, state.active, state.n_active[0]
    total = 0.0
    for a in range(n_active):
        total += preference(counts[active[a]], n_active, len(state.z))
    u = rng.random() * total
    first = active[0]
    for a in range(n_active):
        u -= preference(counts[active[a]], n_active, len(state.z))
        if u < 0.0:
            first = active[a]
            break
    log_choice((first, first), (first, first), counts, state, work)  # leaves what is near
    u = rng.random()
    for a in range(n_active):
        u -= work.near[a]
        if u < 0.0:
            return first, active[a]
    return first, first


@njit_lean
def preference(size: int, n_active: int, n_items: int) -> float:
    """Weight of a cluster in the choice of s."""
    return size / (size + _TINY) / (1.0 + _LARGE * size * n_active / n_items)


@njit_lean
def log_choice(
    slots: tuple[int, int],
    rows: tuple[int, int],
    sizes: np.ndarray,
    state: State,
    work: Work,
) -> float:
    """Log probability of choosing two clusters, of atoms in `rows`, where all are of `sizes`."""
    n, total = state.n_active[0], 0.0
    first = second = 0
    for a in range(n):
        k = state.active[a]
        total += preference(sizes[k], n, len(state.z))
        state.candidates[a], state.prior[a] = k, sizes[k]
        if k == slots[0]:
            first, state.candidates[a] = a, rows[0]
        elif k == slots[1]:
            second, state.candidates[a] = a, rows[1]
    nearness(first, state, work)
    return log(preference(sizes[slots[0]], n, len(state.z)) / total * work.near[second])


@njit_lean
def nearness(first: int, state: State, work: Work) -> None:
    """Write to `work.near` what shares the listed clusters have of the first one's items.

    By place in `state.candidates`; sizes are in `state.prior`, the witnesses in `work.witnesses`.
    """
    out, near, n, kernel = state.log_density, work.near, state.n_active[0], kernel_of(state)
    near[:n] = 0.0
    mass = 0.0
    for p in range(_WITNESSES):
        i = work.witnesses[p]
        kernel(i, state.candidates, n, state.items, state.columns, state.shared, out)
        largest = -np.inf
        for a in range(n):
            largest = max(largest, out[a])
        total = 0.0
        for a in range(n):
            out[a] = state.prior[a] * exp_negative(out[a] - largest)
            total += out[a]
        if total > 0.0:
            share = out[first] / total
            mass += share
            for a in range(n):
                near[a] += share * out[a] / total
    for a in range(n):
        near[a] = near[a] / mass if mass > 0.0 else 0.0


@njit_lean
def draw_coordinates(rng: np.random.Generator, work: Work) -> None:
    """Draw which coordinates change: of Q, each `len(moved)` are as likely (Vitter's reservoir)."""
    n = len(work.moved)
    for q in range(n, len(work.spread)):
        place = int(rng.random() * (q + 1))
        if place < n:
            work.moved[place] = q


# The target --------------------------------------------------------------------------------------


@njit_lean
def log_share(logit: float) -> float:
    """Log of ρ."""
    return min(logit, 0.0) - log1p(exp(-abs(logit)))


@njit
def sum_rest(slots: tuple[int, int], state: State, work: Work) -> None:
    """Write log R of all items."""
    n_active, active = state.n_active[0], state.active
    kernel, tile = kernel_of_items(state), new_tile()
    largest, density = tile.first, tile.second
    for start in range(0, len(state.z), _TILE):
        m = min(_TILE, len(state.z) - start)
        rest = work.rest[start : start + m]
        largest[:] = -np.inf
        rest[:] = 0.0
        for a in range(n_active):
            k = active[a]
            if k == slots[0] or k == slots[1]:
                continue
            kernel(start, m, k, state.items, state.columns, state.shared, density)
            for p in range(m):
                x = density[p] + work.log_weights[k]
                higher = x > largest[p]
                if x > -np.inf:
                    ratio = exp_negative(-abs(x - largest[p]))
                    rest[p] = rest[p] * ratio + 1.0 if higher else rest[p] + ratio
                largest[p] = x if higher else largest[p]
        for p in range(m):
            rest[p] = largest[p] + log(rest[p]) if rest[p] > 0.0 else -np.inf


@njit_lean
def read(
    start: int,
    m: int,
    rows: tuple[int, int],
    logit: float,
    log_total: float,
    state: State,
    work: Work,
    tile: Tile,
) -> None:
    """Write the terms of items start, ..., start + m - 1."""
    first, second, largest = tile.first, tile.second, tile.largest
    log_first, log_second = log_total + log_share(logit), log_total + log_share(-logit)
    kernel = kernel_of_items(state)
    kernel(start, m, rows[0], state.items, state.columns, state.shared, first)
    kernel(start, m, rows[1], state.items, state.columns, state.shared, second)
    for p in range(m):
        a, b, c = first[p] + log_first, second[p] + log_second, work.rest[start + p]
        first[p], second[p] = a, b
        a = a if a > b else b
        largest[p] = a if a > c else c


@njit
def log_target(
    rows: tuple[int, int],
    logit: float,
    log_total: float,
    discount: float,
    state: State,
    work: Work,
) -> float:
    """Log density of share, as its logit, and atoms, the labels summed out."""
    tile = new_tile()
    first, second, largest = tile.first, tile.second, tile.largest
    result = -discount * (log_share(logit) + log_share(-logit))
    for s in range(2):
        result += log_posterior_of(state)(
            state.values[rows[s]],
            state.members[:0],
            0,
            state.items,
            state.shared,
            state.scratch,
        )
    for start in range(0, len(state.z), _TILE):
        m = min(_TILE, len(state.z) - start)
        read(start, m, rows, logit, log_total, state, work, tile)
        for p in range(m):
            rest = exp_negative(work.rest[start + p] - largest[p])
            first[p] = exp_negative(first[p] - largest[p])
            second[p] = first[p] + exp_negative(second[p] - largest[p]) + rest
        product = 1.0  # at most 3^_TILE
        for p in range(m):
            result += largest[p]
            product *= second[p]
        result += log(product)
    return result


@njit
def metric(
    rows: tuple[int, int],
    spare: int,
    logit: float,
    log_total: float,
    state: State,
    work: Work,
    out: np.ndarray,
) -> None:
    """Write the Cholesky factor of the metric at atoms of two rows, in units of the spreads.

    Uses rows from `spare` on, two for each coordinate moved.
    """
    candidates, density = state.candidates, state.log_density
    n_moved, n_items = len(work.moved), len(state.z)
    d = 1 + 2 * n_moved
    score = np.empty(d)
    candidates[0], candidates[1] = rows
    for s in range(2):
        for c in range(n_moved):
            row, q = spare + s * n_moved + c, work.moved[c]
            copy_row(state, rows[s], row)
            state.values[row, q] += _DIFFERENCE * work.spread[q]
            candidates[2 + s * n_moved + c] = row
    derive_of(state)(state.values, spare, spare + 2 * n_moved, state.shared, state.columns)
    out[:] = 0.0
    share, kernel = 1.0 / (1.0 + exp(-logit)), kernel_of(state)
    log_first, log_second = log_total + log_share(logit), log_total + log_share(-logit)
    stride = max(1, min(_STRIDE, n_items // _FEWEST))
    for i in range(0, n_items, stride):
        kernel(i, candidates, 1 + d, state.items, state.columns, state.shared, density)
        x = density[0] + log_first, density[1] + log_second, work.rest[i]
        largest = max(x[0], x[1], x[2])
        p_first, p_second = exp(x[0] - largest), exp(x[1] - largest)
        total = p_first + p_second + exp(x[2] - largest)
        p_first, p_second = p_first / total, p_second / total
        score[0] = _SPREAD_LOGIT * (p_first * (1.0 - share) - p_second * share)
        for j in range(n_moved):
            own, other = 1 + j, 1 + n_moved + j
            score[own] = p_first * (density[1 + own] - density[0]) / _DIFFERENCE
            score[other] = p_second * (density[1 + other] - density[1]) / _DIFFERENCE
        if isfinite(score.sum()):
            for j in range(d):
                for l in range(j + 1):
                    out[j, l] += score[j] * score[l]
    for j in range(d):
        for l in range(j + 1):
            out[j, l] *= stride
        out[j, j] += 1.0
    cholesky(out)


@njit
def walk(
    rng: np.random.Generator,
    at: int,
    logit: float,
    log_total: float,
    discount: float,
    state: State,
    work: Work,
) -> float:
    """Random-walk Metropolis on the share and the atoms of rows at and at + 1.

    Returns the logit at the end.
    """
    values, spread, moved = state.values, work.spread, work.moved
    n_moved = len(moved)
    d = 1 + 2 * n_moved
    present, proposed, spare = (at, at + 1), (at + 2, at + 3), at + 4
    root, new_root, noise = np.empty((d, d)), np.empty((d, d)), np.empty(d)
    metric(present, spare, logit, log_total, state, work, root)
    current = log_target(present, logit, log_total, discount, state, work)
    for _ in range(_STEPS):
        width = _WIDEST / d**0.5 * _NARROWEST ** rng.random()
        log_ratio = -0.5 * log_determinant(root)
        for j in range(d):
            noise[j] = rng.standard_normal()
            log_ratio += 0.5 * noise[j] ** 2
        solve_lower_transposed(root, noise)
        new_logit = logit + width * _SPREAD_LOGIT * noise[0]
        for s in range(2):
            copy_row(state, present[s], proposed[s])
            for c in range(n_moved):
                step = width * spread[moved[c]] * noise[1 + s * n_moved + c]
                values[proposed[s], moved[c]] += step
        derive_of(state)(values, at + 2, at + 4, state.shared, state.columns)
        metric(proposed, spare, new_logit, log_total, state, work, new_root)
        log_ratio += 0.5 * log_determinant(new_root)
        for j in range(d):  # noise is now x' - x in units of width and spread
            back = 0.0
            for l in range(j, d):
                back += new_root[l, j] * noise[l]
            log_ratio -= 0.5 * back**2
        new = log_target(proposed, new_logit, log_total, discount, state, work)
        if log(rng.random()) < new - current + log_ratio:
            logit, current = new_logit, new
            for s in range(2):
                copy_row(state, proposed[s], present[s])
            root[:] = new_root
    return logit


# Labels ------------------------------------------------------------------------------------------


@njit
def draw_labels(
    rng: np.random.Generator,
    slots: tuple[int, int],
    rows: tuple[int, int],
    logit: float,
    log_total: float,
    state: State,
    work: Work,
    scratch: Scratch,
) -> None:
    """Write new labels to `scratch.members`, and their numbers to `scratch.sizes`."""
    z, labels, sizes = state.z, scratch.members, scratch.sizes
    tile = new_tile()
    first, second, largest = tile.first, tile.second, tile.largest
    sizes[:] = 0
    for start in range(0, len(z), _TILE):
        m = min(_TILE, len(z) - start)
        read(start, m, rows, logit, log_total, state, work, tile)
        for p in range(m):
            first[p] = exp_negative(first[p] - largest[p])
            second[p] = first[p] + exp_negative(second[p] - largest[p])
            rest = exp_negative(work.rest[start + p] - largest[p])
            largest[p] = second[p] + rest  # the sum of all
        for p in range(m):
            i = start + p
            u = rng.random() * largest[p]
            if u < first[p]:
                label = slots[0]
            elif u < second[p]:
                label = slots[1]
            elif z[i] == slots[0] or z[i] == slots[1]:
                label = draw_other(rng, i, slots, state, work)
            else:
                label = z[i]
            labels[i] = label
            sizes[label] += 1


@njit_lean
def draw_other(
    rng: np.random.Generator, i: int, slots: tuple[int, int], state: State, work: Work
) -> int:
    """Draw the cluster of an item among those in neither slot."""
    n = 0
    for a in range(state.n_active[0]):
        k = state.active[a]
        if k != slots[0] and k != slots[1]:
            state.candidates[n], state.prior[n] = k, exp(work.log_weights[k])
            n += 1
    kernel_of(state)(
        i, state.candidates, n, state.items, state.columns, state.shared, state.log_density
    )
    return state.candidates[pick(rng, state.log_density, state.prior, n)]


@njit_lean
def log_gammas(sizes: np.ndarray, discount: float) -> float:
    """Σ log Γ(n_k - d) over clusters."""
    result = 0.0
    for k in range(len(sizes)):
        if sizes[k] > 0:
            result += lgamma(sizes[k] - discount)
    return result


@njit
def transfer(
    rng: np.random.Generator,
    at: int,
    spread: np.ndarray,
    discount: float,
    sticks: bool,
    state: State,
    scratch: Scratch,
) -> bool:
    """One transfer, with rows from `at` on as scratch. Returns whether it was accepted."""
    counts, active, n_active = state.counts, state.active, state.n_active[0]
    work = Work(
        np.empty(_WITNESSES, dtype=np.int64),
        np.empty(len(counts)),
        np.full(len(counts), -np.inf),
        np.empty(len(state.z)),
        np.arange(len(spread))[:_MOST],
        spread,
    )
    for p in range(_WITNESSES):
        work.witnesses[p] = int(rng.random() * len(state.z))
    draw_coordinates(rng, work)
    slots = choose_slots(rng, state, work)
    if slots[0] == slots[1]:
        return False
    rows = (at, at + 1)
    log_r = log_gammas(counts, discount) - log_choice(slots, slots, counts, state, work)
    for a in range(n_active):
        k = active[a]
        work.log_weights[k] = log(rng.standard_gamma(counts[k] - discount))
    first, second = work.log_weights[slots[0]], work.log_weights[slots[1]]
    log_total = first - log_share(first - second)
    sum_rest(slots, state, work)
    for s in range(2):
        copy_row(state, slots[s], rows[s])
    logit = walk(rng, at, first - second, log_total, discount, state, work)
    draw_labels(rng, slots, rows, logit, log_total, state, work, scratch)
    for a in range(n_active):
        if scratch.sizes[active[a]] == 0:
            return False
    log_r += log_choice(slots, rows, scratch.sizes, state, work)
    log_r -= log_gammas(scratch.sizes, discount)
    sizes = scratch.sizes.copy()
    log_r += propose_slots(rng, sticks, state, scratch)
    if not log(rng.random()) < log_r:
        return False
    state.z[:] = scratch.members[: len(state.z)]
    counts[:] = sizes
    for s in range(2):
        copy_row(state, rows[s], slots[s])
    if sticks:
        relabel(state, scratch.partner)
    return True


@njit
def transfer_step(
    chain: int, scratch: Scratch, spread: np.ndarray, transfers: int, crp: bool, sticks: bool
) -> int:
    """Make transfers; returns how many were accepted."""
    rng, state = chain_at(chain)
    prepare(state)
    discount = state.parameters[0, 1] if crp else 0.0
    accepted = 0
    for _ in range(transfers):
        at = len(state.counts)
        accepted += transfer(rng, at, spread, discount, sticks, state, scratch)
    return accepted
