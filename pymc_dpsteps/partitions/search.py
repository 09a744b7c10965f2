r"""Greedy search for the partition with the least expected loss (Dahl, Johnson and Müller 2022).

As in SALSO, items are first allocated one after the other in a random order, then moved one at a
time as long as that lowers the expected loss (sweetening scans), and at last whole clusters are
taken apart and their items allocated anew (zealous updates).

All needed of the draws is, for every cluster of every draw (a *cell*), how many of its items are
in each cluster of the candidate. Moving an item then changes the sums A and J of
`pymc_dpsteps.partitions.losses` by the gains g(n + 1) - g(n), which are kept beside the counts:
those of the S cells that hold the item are S rows, added up for all target clusters at once.
While some items are not allocated yet, the expected change of A + B - 2 J is minimised for every
loss.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pymc_dpsteps.jit import njit
from pymc_dpsteps.partitions.losses import BINDER, VI, loss_of_sums, potential

__all__ = ["Problem", "prepare", "search"]

_MAX_SCANS = 100
_MAX_ZEALOUS = 10
_ITEMS, _DRAWS = 256, 32  # blocks whose costs and cells stay in the nearest cache
_TIE = 1e-9  # differences below are rounding: without it the search could go in circles


class Problem(NamedTuple):
    """What is the same for all searches."""

    loss: int
    max_clusters: int
    cells: NDArray[np.int32]
    """Shape (N, S): the cell that holds item i in draw s."""
    first_cell: NDArray[np.int64]
    """Shape (S + 1,): cells of draw s are first_cell[s], ..., first_cell[s + 1] - 1."""
    draw_sums: NDArray[np.float64]
    """Shape (S,): the sum B of every draw."""
    table: NDArray[np.float64]
    """g(0), ..., g(N)."""
    gain: NDArray[np.float32]
    """g(n + 1) - g(n) for n = 0, ..., N."""


class State(NamedTuple):
    """A candidate.

    Its clusters are the columns 0, ..., n_clusters[0] - 1. At least one more column is there,
    for the cluster that an item may open.
    """

    labels: NDArray[np.int64]
    """Shape (N,): the cluster of every item, -1 for one that is not allocated."""
    sizes: NDArray[np.int64]
    counts: NDArray[np.int32]
    """Shape (cells, columns)."""
    gains: NDArray[np.float32]
    """``gain[counts]``; sums of them are taken in double precision."""
    joint: NDArray[np.float64]
    """Shape (S,): the sum J with every draw."""
    n_clusters: NDArray[np.int64]
    """Shape (1,)."""


def prepare(loss: int, rows: NDArray[np.int32], max_clusters: int) -> Problem:
    """Collect what all searches share.

    Parameters
    ----------
    loss : int
        See `pymc_dpsteps.partitions.losses.loss_code`.
    rows : numpy.ndarray of int32, shape (S, N)
        Labels of every draw 0, 1, ... without gaps.
    max_clusters : int
        At least 1.

    Returns
    -------
    Problem
    """
    n_draws, n_items = rows.shape
    first_cell = np.zeros(n_draws + 1, dtype=np.int64)
    first_cell[1:] = (rows.max(axis=1).astype(np.int64) + 1).cumsum()
    cells = np.ascontiguousarray((rows + first_cell[:-1, None].astype(np.int32)).T)
    table = potential(loss, n_items + 1)
    sizes = np.bincount(cells.ravel(), minlength=first_cell[-1])
    draw_sums = np.add.reduceat(table[sizes], first_cell[:-1])
    gain = np.diff(table).astype(np.float32)
    return Problem(loss, max_clusters, cells, first_cell, draw_sums, table, gain)


@njit
def search(
    problem: Problem, start: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], float]:
    """Search from one start.

    Parameters
    ----------
    problem : Problem
    start : numpy.ndarray of int64, shape (N,)
        At most `max_clusters` clusters numbered 0, 1, ... in the order of their first items; -1
        for all items to allocate them in a random order.
    rng : numpy.random.Generator

    Returns
    -------
    labels : numpy.ndarray of int64, shape (N,)
    expected : float
        Its expected loss, never more than that of the start.
    """
    state = _empty(problem, max(start.max() + 2, 8))
    order = np.arange(len(start))
    _shuffle(rng, order)
    for i in range(len(start)):
        if start[i] >= 0:
            _add(problem, state, i, start[i])
        else:
            state, _ = _relocate(problem, state, order[i : i + 1])
    state = _sweeten(problem, state, order, rng)
    expected = _expected(problem, state)
    for _ in range(_MAX_ZEALOUS):
        if state.n_clusters[0] == 1:
            break
        other = _zealous(problem, state, rng)
        value = _expected(problem, other)
        if value < expected - _TIE * expected:
            state = _sweeten(problem, other, order, rng)
            expected = _expected(problem, state)
    return state.labels, expected


@njit
def _empty(problem: Problem, n_columns: int) -> State:
    n_items, n_draws = problem.cells.shape
    shape = (problem.first_cell[-1], n_columns)
    labels = np.empty(n_items, dtype=np.int64)
    gains = np.empty(shape, dtype=np.float32)
    labels[:] = -1
    gains[:] = problem.gain[0]
    sizes, n_clusters = np.zeros(n_columns, dtype=np.int64), np.zeros(1, dtype=np.int64)
    return State(
        labels, sizes, np.zeros(shape, dtype=np.int32), gains, np.zeros(n_draws), n_clusters
    )


@njit
def _resized(problem: Problem, state: State, n_columns: int) -> State:
    """Copy of a state with some number of columns, enough for its clusters."""
    new = _empty(problem, n_columns)
    for i in range(len(new.labels)):
        new.labels[i] = state.labels[i]
    for s in range(len(new.joint)):
        new.joint[s] = state.joint[s]
    new.n_clusters[0] = state.n_clusters[0]
    for c in range(state.n_clusters[0]):
        new.sizes[c] = state.sizes[c]
    for t in range(len(state.counts)):
        for c in range(state.n_clusters[0]):
            new.counts[t, c] = state.counts[t, c]
            new.gains[t, c] = state.gains[t, c]
    return new


@njit
def _add(problem: Problem, state: State, i: int, c: int) -> None:
    """Allocate an item that is not allocated to a cluster or to the first empty column."""
    cells, gain = problem.cells[i], problem.gain
    for s in range(len(cells)):
        n = state.counts[cells[s], c]
        state.joint[s] += gain[n]
        state.counts[cells[s], c] = n + 1
        state.gains[cells[s], c] = gain[n + 1]
    state.labels[i] = c
    state.sizes[c] += 1
    state.n_clusters[0] = max(state.n_clusters[0], c + 1)


@njit
def _remove(problem: Problem, state: State, i: int) -> None:
    """Take an item out of its cluster; if that is empty now, the last one takes its column."""
    cells, gain, c = problem.cells[i], problem.gain, state.labels[i]
    for s in range(len(cells)):
        n = state.counts[cells[s], c] - 1
        state.joint[s] -= gain[n]
        state.counts[cells[s], c] = n
        state.gains[cells[s], c] = gain[n]
    state.labels[i] = -1
    state.sizes[c] -= 1
    if state.sizes[c] > 0:
        return
    last = state.n_clusters[0] - 1
    state.n_clusters[0] = last
    if c < last:
        for t in range(len(state.counts)):
            state.counts[t, c], state.counts[t, last] = state.counts[t, last], 0
            state.gains[t, c], state.gains[t, last] = state.gains[t, last], gain[0]
        state.sizes[c], state.sizes[last] = state.sizes[last], 0
        for j in range(len(state.labels)):
            if state.labels[j] == last:
                state.labels[j] = c


@njit
def _best_columns(problem: Problem, state: State, items: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cluster, or first empty column, in which each item costs least; its own where that ties.

    The items are either all allocated or all not.
    """
    n_open = min(state.n_clusters[0] + 1, problem.max_clusters)
    costs = np.zeros((len(items), n_open))
    if state.labels[items[0]] < 0 or problem.loss == VI or problem.loss == BINDER:
        _add_linear_costs(problem, state, items, costs)
    else:
        _add_costs(problem, state, items, costs)
    best = np.empty(len(items), dtype=np.int64)
    for j in range(len(items)):
        own, least = state.labels[items[j]], costs[j].min()
        stays = own >= 0 and costs[j, own] <= least + _TIE * abs(least)
        best[j] = own if stays else np.argmin(costs[j])
    return best


@njit
def _add_linear_costs(
    problem: Problem, state: State, items: NDArray[np.int64], costs: NDArray[np.float64]
) -> None:
    """Expected change of A - 2 J as an item comes, which it has left, for every target."""
    gain, n_draws, n_open = problem.gain, problem.cells.shape[1], costs.shape[1]
    own_totals = np.zeros(len(items))
    for start in range(0, n_draws, _DRAWS):
        for j in range(len(items)):
            cells = problem.cells[items[j], start : start + _DRAWS]
            own, totals = state.labels[items[j]], costs[j]
            for t in cells:
                for c in range(n_open):
                    totals[c] += state.gains[t, c]
            if own >= 0:
                for t in cells:
                    own_totals[j] += gain[state.counts[t, own] - 1]
    for j in range(len(items)):
        own = state.labels[items[j]]
        for c in range(n_open):
            total = own_totals[j] if c == own else costs[j, c]
            costs[j, c] = gain[state.sizes[c] - (c == own)] - 2.0 * total / n_draws


@njit
def _add_costs(
    problem: Problem, state: State, items: NDArray[np.int64], costs: NDArray[np.float64]
) -> None:
    """Sum over the draws of the loss, for every target."""
    n_items, n_draws = problem.cells.shape
    gain, n_open = problem.gain, costs.shape[1]
    before = 0.0  # the sum A
    for c in range(state.n_clusters[0]):
        before += problem.table[state.sizes[c]]
    for start in range(0, n_draws, _DRAWS):
        for j in range(len(items)):
            own = state.labels[items[j]]
            outer = before - gain[state.sizes[own] - 1]
            for s in range(start, min(start + _DRAWS, n_draws)):
                t = problem.cells[items[j], s]
                own_gain = gain[state.counts[t, own] - 1]
                without = state.joint[s] - own_gain
                for c in range(n_open):
                    a = outer + gain[state.sizes[c] - (c == own)]
                    joint = without + (own_gain if c == own else state.gains[t, c])
                    loss = loss_of_sums(problem.loss, n_items, a, problem.draw_sums[s], joint)
                    costs[j, c] += loss


@njit
def _relocate(problem: Problem, state: State, item: NDArray[np.int64]) -> tuple[State, bool]:
    """Put one item where it costs least; whether it is elsewhere now."""
    i, n_columns = item[0], state.counts.shape[1]
    own, c = state.labels[i], _best_columns(problem, state, item)[0]
    if c == own:
        return state, False
    if own >= 0:
        last = state.n_clusters[0] - 1
        _remove(problem, state, i)
        if state.n_clusters[0] == last and c == last:
            c = own  # the last cluster has just taken the column
    _add(problem, state, i, c)
    if state.n_clusters[0] == n_columns:
        state = _resized(problem, state, 2 * n_columns)
    return state, True


@njit
def _sweeten(
    problem: Problem, state: State, order: NDArray[np.int64], rng: np.random.Generator
) -> State:
    """Move items one at a time until no move lowers the expected loss.

    Most items stay. So those that would move are looked for in many items at once, which reads
    the tables once for all of them; each is then judged by the state at its turn.
    """
    for _ in range(_MAX_SCANS):
        _shuffle(rng, order)
        state = _resized(problem, state, state.n_clusters[0] + 2)  # narrow rows are read faster
        n_moved = 0
        for start in range(0, len(order), _ITEMS):
            items = order[start : start + _ITEMS]
            best = _best_columns(problem, state, items)
            for j in range(len(items)):
                if best[j] != state.labels[items[j]]:
                    state, moved = _relocate(problem, state, items[j : j + 1])
                    n_moved += moved
        if n_moved == 0:
            break
    return state


@njit
def _members(state: State, c: int) -> NDArray[np.int64]:
    """Items of a cluster."""
    members = np.empty(state.sizes[c], dtype=np.int64)
    n = 0
    for i in range(len(state.labels)):
        if state.labels[i] == c:
            members[n] = i
            n += 1
    return members


@njit
def _shuffle(rng: np.random.Generator, items: NDArray[np.int64]) -> None:
    """Put items in a random order; numba's own takes seconds to compile."""
    for i in range(len(items) - 1, 0, -1):
        j = int(rng.random() * (i + 1))
        items[i], items[j] = items[j], items[i]


@njit
def _zealous(problem: Problem, state: State, rng: np.random.Generator) -> State:
    """Copy of a state in which the items of one cluster have been allocated anew."""
    other = _resized(problem, state, state.counts.shape[1])
    members = _members(other, int(rng.random() * other.n_clusters[0]))
    _shuffle(rng, members)
    for i in members:
        _remove(problem, other, i)
    for _ in range(2):
        for j in range(len(members)):
            other, _moved = _relocate(problem, other, members[j : j + 1])
    return other


@njit
def _expected(problem: Problem, state: State) -> float:
    """Mean loss over the draws, from the counts: the sums J carry rounding."""
    n_items, n_draws = problem.cells.shape
    table, first_cell = problem.table, problem.first_cell
    a = 0.0
    for c in range(state.n_clusters[0]):
        a += table[state.sizes[c]]
    total = 0.0
    for s in range(n_draws):
        joint = 0.0
        for t in range(first_cell[s], first_cell[s + 1]):
            for c in range(state.n_clusters[0]):
                joint += table[state.counts[t, c]]
        total += loss_of_sums(problem.loss, n_items, a, problem.draw_sums[s], joint)
    return total / n_draws
