"""Partitions that grow item by item, with the exact weight of every option on the way.

A partition is given as *options* along an order: 0 opens a cluster, j joins the j-th opened. The
weight of an option is the urn's rule times the predictive density of the item in the cluster; see
`target`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from pymc_dpsteps.jit import function_at, njit
from pymc_dpsteps.mixture.compile import SIGNATURES

__all__ = [
    "Compiled",
    "Walk",
    "assign_items",
    "options_along",
    "pair_log_odds",
    "start_walks",
    "walk_partition",
    "weigh_options",
]

_REFRESH = types.FunctionType(SIGNATURES["refresh"])
_SHIFT = types.FunctionType(SIGNATURES["shift"])
_LOG_PREDICTIVE = types.FunctionType(SIGNATURES["log_predictive"])


class Compiled(NamedTuple):
    """What compiled code needs of a target.

    Attributes
    ----------
    seats : (N + 2, K + 1) float64
        A(n, k), -inf for k > n.
    discount : (1,) float64
    shared, datum : float64
        As in the state of a sampler.
    addresses : (3,) int64
        Of refresh, shift and log_predictive.
    """

    seats: np.ndarray
    discount: np.ndarray
    shared: np.ndarray
    datum: np.ndarray
    addresses: np.ndarray


class Walk(NamedTuple):
    """Partitions that grow item by item; S of them side by side, K slots.

    Attributes
    ----------
    counts : (S, K + 1) int64
        Items of the clusters, in the order in which they were opened, from place 1 on.
    size, clusters : (S,) int64
        Items so far, and clusters.
    log_prob : (S,) float64
        log p(y, c) of the items so far.
    stats, cache : (S, K + 2, …) float64
        Sufficient statistics of a cluster and what its predictive density needs; of no item in
        row 0; the last row is scratch.
    """

    counts: np.ndarray
    size: np.ndarray
    clusters: np.ndarray
    log_prob: np.ndarray
    stats: np.ndarray
    cache: np.ndarray


def options_along(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Options of label vectors, in the order of their items.

    Parameters
    ----------
    labels : numpy.ndarray of int64, shape (draws, n)

    Returns
    -------
    numpy.ndarray of int64, shape (draws, n)
        0 where the item opens a cluster, else the number of the cluster it joins, counted from 1
        as they were opened.
    """
    options = np.zeros(labels.shape, dtype=np.int64)
    _options_along(np.ascontiguousarray(labels, dtype=np.int64), options)
    return options


@njit
def _options_along(labels: np.ndarray, options: np.ndarray) -> None:
    number = np.zeros(labels.max() + 1, dtype=np.int64)
    for s in range(len(labels)):
        number[:] = 0
        opened = 0
        for t in range(labels.shape[1]):
            label = labels[s, t]
            if number[label] == 0:
                opened += 1
                number[label] = opened
            else:
                options[s, t] = number[label]


@njit
def start_walks(walks: Walk, code: Compiled) -> None:
    """Compute what the predictive density of a cluster of no items needs."""
    refresh = function_at(code.addresses[0], _REFRESH)
    for s in range(len(walks.size)):
        walks.stats[s] = 0.0
        refresh(walks.stats[s, 0], walks.cache[s, 0], code.shared)


@njit
def _weigh(
    s: int,
    i: int,
    items: np.ndarray,
    walks: Walk,
    code: Compiled,
    rows: np.ndarray,
    out: np.ndarray,
) -> None:
    """Log weight of every option of item i in walk s: urn times predictive density."""
    log_predictive = function_at(code.addresses[2], _LOG_PREDICTIVE)
    counts, size = walks.counts[s], walks.size[s]
    last = walks.clusters[s]
    k = last - (last > 0 and counts[1 : last + 1].min() == 0)  # item i may have been alone
    log_predictive(
        i, rows, last + 1, walks.cache[s], walks.cache[s], items, code.shared, code.datum, out
    )
    room = k + 1 < code.seats.shape[1]
    before = code.seats[size, k]
    out[0] = out[0] + code.seats[size + 1, k + 1] - before if room else -np.inf
    for j in range(1, last + 1):
        if counts[j] > 0:
            seat = np.log(counts[j] - code.discount[0])
            out[j] += code.seats[size + 1, k] - before + seat
        else:
            out[j] = -np.inf


@njit
def weigh_options(
    chosen: np.ndarray, items: np.ndarray, walks: Walk, code: Compiled, log_weights: np.ndarray
) -> None:
    """Log weights of all options of the next item of every walk.

    Parameters
    ----------
    chosen : (S,) int64
        The items.
    items : (n, P) float64
    walks, code
    log_weights : (S, K + 1) float64
        Written; -inf for options that there are not.
    """
    rows = np.arange(code.seats.shape[1] + 1)
    for s in range(len(chosen)):
        log_weights[s] = -np.inf
        _weigh(s, chosen[s], items, walks, code, rows, log_weights[s])


@njit
def _shift(
    s: int, i: int, cluster: int, sign: int, items: np.ndarray, walks: Walk, code: Compiled
) -> None:
    """Add item i to a cluster or take it out."""
    shift = function_at(code.addresses[1], _SHIFT)
    stats, cache = walks.stats[s, cluster], walks.cache[s, cluster]
    shift(stats, cache, i, float(sign), items, code.shared, code.datum)
    walks.counts[s, cluster] += sign
    walks.size[s] += sign


@njit
def _assign(s: int, i: int, option: int, items: np.ndarray, walks: Walk, code: Compiled) -> None:
    if option == 0:
        walks.clusters[s] += 1
        option = walks.clusters[s]
        walks.stats[s, option] = walks.stats[s, 0]
        walks.cache[s, option] = walks.cache[s, 0]
    _shift(s, i, option, 1, items, walks, code)


@njit
def assign_items(
    chosen: np.ndarray,
    options: np.ndarray,
    log_weights: np.ndarray,
    items: np.ndarray,
    walks: Walk,
    code: Compiled,
) -> None:
    """Let the next item of every walk take an option, after `weigh_options` of that item."""
    for s in range(len(chosen)):
        walks.log_prob[s] += log_weights[s, options[s]]
        _assign(s, chosen[s], options[s], items, walks, code)


@njit
def pair_log_odds(items: np.ndarray, walks: Walk, code: Compiled, log_odds: np.ndarray) -> None:
    """Log of m(y_i, y_j) / (m(y_i) m(y_j)): for and against two items in one cluster.

    Parameters
    ----------
    items : (S, n, P) float64
    walks : Walk
        At least one; left as it was.
    code
    log_odds : (S, n, n) float64
        Written; the diagonal is zero.
    """
    log_predictive = function_at(code.addresses[2], _LOG_PREDICTIVE)
    rows, out = np.arange(2), np.empty(2)
    walks.stats[0, 1] = walks.stats[0, 0]
    walks.cache[0, 1] = walks.cache[0, 0]
    for s in range(len(items)):
        for i in range(items.shape[1]):
            _shift(0, i, 1, 1, items[s], walks, code)
            for j in range(items.shape[1]):
                log_predictive(
                    j,
                    rows,
                    2,
                    walks.cache[0],
                    walks.cache[0],
                    items[s],
                    code.shared,
                    code.datum,
                    out,
                )
                log_odds[s, i, j] = out[1] - out[0] if i != j else 0.0
            _shift(0, i, 1, -1, items[s], walks, code)


@njit
def walk_partition(
    options: np.ndarray,
    items: np.ndarray,
    walks: Walk,
    code: Compiled,
    log_weights: np.ndarray,
    gibbs: np.ndarray,
) -> None:
    """Log weights of all options on the way along given ones, of many data sets, in their order.

    And the probability of every option given all other items, later ones too: with a partition
    drawn from the posterior its mean given the items before is the posterior's own probability,
    as is that of the option taken, but it varies less.

    Parameters
    ----------
    options : (S, n) int64
    items : (S, n, P) float64
    walks, code
    log_weights, gibbs : (S, n, K + 1) float64
        Written.
    """
    n, n_options = options.shape[1], code.seats.shape[1]
    rows = np.arange(n_options + 1)
    log_weights[:] = -np.inf
    gibbs[:] = 0.0
    opened, cluster = np.zeros(n_options, dtype=np.int64), np.zeros(n, dtype=np.int64)
    given_all = np.empty(n_options)
    for s in range(len(options)):
        for t in range(n):
            _weigh(s, t, items[s], walks, code, rows, log_weights[s, t])
            walks.log_prob[s] += log_weights[s, t, options[s, t]]
            _assign(s, t, options[s, t], items[s], walks, code)
            cluster[t] = walks.clusters[s] if options[s, t] == 0 else options[s, t]
            if options[s, t] == 0:
                opened[cluster[t]] = t
        for t in range(n):
            _shift(s, t, cluster[t], -1, items[s], walks, code)
            _weigh(s, t, items[s], walks, code, rows, given_all)
            _shift(s, t, cluster[t], 1, items[s], walks, code)
            k = walks.clusters[s]
            largest, total = given_all[: k + 1].max(), 0.0
            for j in range(k + 1):
                given_all[j] = np.exp(given_all[j] - largest)
                total += given_all[j]
            for j in range(k + 1):
                gibbs[s, t, j if opened[j] < t else 0] += given_all[j] / total
