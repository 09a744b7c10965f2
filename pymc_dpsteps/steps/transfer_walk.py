"""The walk of a transfer: share and atoms of two clusters, or one of them, the labels summed out.

See `transfer` for L, R, ρ, φ, W, G and h.
"""

from __future__ import annotations

from math import exp, isfinite, log, log1p
from typing import NamedTuple

import numpy as np

from pymc_dpsteps.exponential import exp_negative
from pymc_dpsteps.jit import njit, njit_lean
from pymc_dpsteps.linalg import cholesky, log_determinant, solve_lower_transposed
from pymc_dpsteps.steps.marginal import accept
from pymc_dpsteps.steps.split_merge_nonconjugate import log_density
from pymc_dpsteps.steps.state import (
    State,
    derive_of,
    draw_base_of,
    kernel_of,
    kernel_of_items,
)
from pymc_dpsteps.steps.updates import copy_row

__all__ = [
    "TILE",
    "WITNESSES",
    "Work",
    "holds_items",
    "log_share",
    "log_target",
    "new_tile",
    "new_work",
    "read",
    "sum_rest",
    "transfer_rows",
    "walk",
]

_STEPS = 10
_FEWEST, _STRIDE = 1_000, 64  # items that the metric looks at: these, or one in so many
_DIFFERENCE = 1e-6  # of the spread
_SPREAD_LOGIT = 3.0
_WIDEST, _NARROWEST = 2.4, 0.2  # of steps: the best for a normal target, times √dimension; less
_LOG_NEW = log(8.0)  # most items that a cluster that begins or ends has the weight of
_MOST_MOVED = 8  # coordinates of an atom that change at a time
WITNESSES = 64  # items that say which clusters are near
TILE = 512


class Work(NamedTuple):
    """Arrays of one transfer.

    Attributes
    ----------
    witnesses : (WITNESSES,) int64
        Random items, which say what clusters are near.
    near : (K,) float64
        Probability of the listed clusters to be b, given s.
    log_weights : (K,) float64
        log N π: in units of an item, as is all that is made of it.
    rest : (N,) float64
        log R; very large for an item that keeps its label.
    moved : (at most _MOST_MOVED,) int64
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


@njit
def new_work(n_slots: int, n_items: int, spread: np.ndarray) -> Work:
    """Allocate."""
    return Work(
        np.empty(WITNESSES, dtype=np.int64),
        np.empty(n_slots),
        np.full(n_slots, -np.inf),
        np.empty(n_items),
        np.arange(len(spread))[:_MOST_MOVED],
        spread,
    )


class Tile(NamedTuple):
    """Log terms of L for some items, of s and of b, and the largest with R, side by side."""

    first: np.ndarray
    second: np.ndarray
    largest: np.ndarray


@njit
def new_tile() -> Tile:
    """Allocate."""
    return Tile(np.empty(TILE), np.empty(TILE), np.empty(TILE))


def transfer_rows(n_values: int) -> int:
    """Rows of atoms that a transfer needs: present, proposed, and one per changed coordinate."""
    return 4 + 2 * min(n_values, _MOST_MOVED)


@njit_lean
def log_share(logit: float) -> float:
    """Log of ρ."""
    return min(logit, 0.0) - log1p(exp(-abs(logit)))


@njit_lean
def holds_items(logit: float, log_total: float) -> bool:
    """Whether both clusters, or b where s does not exist, have the weight of an item at least."""
    return log_total + (log_share(-abs(logit)) if logit > -np.inf else 0.0) >= 0.0


@njit
def sum_rest(slots: tuple[int, int], state: State, work: Work) -> None:
    """Write log R of all items."""
    n_active, active = state.n_active[0], state.active
    kernel, tile = kernel_of_items(state), new_tile()
    largest, density = tile.first, tile.second
    for start in range(0, len(state.z), TILE):
        m = min(TILE, len(state.z) - start)
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


@njit_lean
def log_base(row: int, state: State) -> float:
    """Log g0 at the atoms of a row."""
    return log_density(state.values[row], state.members[:0], state)


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
    if not holds_items(logit, log_total):
        return -np.inf
    tile = new_tile()
    first, second, largest = tile.first, tile.second, tile.largest
    result = log_base(rows[1], state)
    if logit > -np.inf:
        log_total_weight = log_total - log(len(state.z))
        result -= discount * (log_share(logit) + log_share(-logit) + log_total_weight)
        result += log_base(rows[0], state)
    for start in range(0, len(state.z), TILE):
        m = min(TILE, len(state.z) - start)
        read(start, m, rows, logit, log_total, state, work, tile)
        for p in range(m):
            a, b, c = first[p], second[p], work.rest[start + p]
            low, high = (a, b) if a < b else (b, a)
            middle = high if high < c else c
            first[p] = 1.0 + exp_negative(middle - largest[p]) + exp_negative(low - largest[p])
        while m > 1:  # in pairs, so that none waits for another; the product is at most 3^TILE
            half = (m + 1) // 2
            for p in range(m - half):
                first[p] *= first[half + p]
                largest[p] += largest[half + p]
            m = half
        result += largest[0] + log(first[0])
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
def begin_or_end(
    rng: np.random.Generator,
    rows: tuple[int, int],
    logit: float,
    current: float,
    log_total: float,
    discount: float,
    state: State,
    work: Work,
) -> tuple[float, float]:
    """Propose that s begins, or ends if it is small; returns logit and log target after that."""
    proposed = -np.inf
    if logit > -np.inf:
        if log_total + log_share(logit) > _LOG_NEW:
            return logit, current
    else:
        drawn = len(state.values) - len(state.counts)
        draw_base_of(state)(rng, state.shared, state.values, drawn)
        derive_of(state)(state.values, drawn, drawn + 1, state.shared, state.columns)
        copy_row(state, drawn, rows[0])
        share = exp(_LOG_NEW * rng.random() - log_total)
        if share >= 1.0:
            return logit, current
        proposed = log(share) - log1p(-share)
    new = log_target(rows, proposed, log_total, discount, state, work)
    log_proposal = log_base(rows[0], state) + log_share(-max(logit, proposed)) - log(_LOG_NEW)
    log_ratio = log_proposal if proposed == -np.inf else -log_proposal
    return (proposed, new) if accept(rng, new + log_ratio, current) else (logit, current)


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
    """Walk on the share and the atoms of rows at and at + 1.

    Returns the logit at the end; -inf, here as anywhere, is that of an s that does not exist.
    """
    values, spread, moved = state.values, work.spread, work.moved
    n_moved = len(moved)
    d = 1 + 2 * n_moved
    present, proposed, spare = (at, at + 1), (at + 2, at + 3), at + 4
    root, new_root, noise = np.empty((d, d)), np.empty((d, d)), np.empty(d)
    current = log_target(present, logit, log_total, discount, state, work)
    logit, current = begin_or_end(rng, present, logit, current, log_total, discount, state, work)
    if logit > -np.inf:
        metric(present, spare, logit, log_total, state, work, root)
    for _ in range(_STEPS if logit > -np.inf else 0):
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
        if accept(rng, new + log_ratio, current):
            logit, current = new_logit, new
            for s in range(2):
                copy_row(state, proposed[s], present[s])
            root[:] = new_root
    return begin_or_end(rng, present, logit, current, log_total, discount, state, work)[0]
