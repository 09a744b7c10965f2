"""Partitions and the atoms of their clusters, grown item by item, with exact densities.

As in `walks`, a partition is given as *options* along an order: 0 opens a cluster, j joins the
j-th opened. Here a cluster comes with its atoms φ, in value space, from when it is opened. What
was placed so far has the density

    p(y, c, φ) = e^{A(n, k)} Π_k [(1 - d)_{n_k - 1} g0(φ_k) Π_{i in k} F(y_i | φ_k)],

and to join cluster k has the weight of the seats times F(y_i | φ_k). To open one would have the
weight of the seats times ∫ F(y_i | φ) dG0(φ), which is estimated (`atom_target`): these weights
are what a proposal starts from, the density itself needs no estimate.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from pymc_dpsteps.amortized.walks import Compiled
from pymc_dpsteps.jit import function_at, njit
from pymc_dpsteps.mixture.compile import SIGNATURES

__all__ = [
    "FLOOR",
    "AtomWalk",
    "assign_with_atoms",
    "log_base",
    "log_kernel",
    "walk_with_atoms",
    "weigh_with_atoms",
]

_DERIVE = types.FunctionType(SIGNATURES["derive"])
_KERNEL_OF_ITEMS = types.FunctionType(SIGNATURES["kernel_of_items"])
_LOG_POSTERIOR = types.FunctionType(SIGNATURES["log_posterior"])

# A log weight below which it makes no difference. Finite, since an item must have an option even
# where no draw from G0 could have made it.
FLOOR = -1e4
# Least weight of a new cluster, as a part of all: the estimate may be far too low.
_LEAST_NEW = 1e-3


class AtomWalk(NamedTuple):
    """Partitions that grow item by item, with atoms; S of them side by side, K slots.

    Attributes
    ----------
    counts : (S, K + 1) int64
        Items of the clusters, in the order in which they were opened, from place 1 on.
    size, clusters : (S,) int64
        Items so far, and clusters.
    log_prob : (S,) float64
        log p(y, c, φ) of the items so far.
    values : (S, K + 1, Q) float64
        Atoms in value space, from place 1 on.
    """

    counts: np.ndarray
    size: np.ndarray
    clusters: np.ndarray
    log_prob: np.ndarray
    values: np.ndarray


def log_kernel(
    items: NDArray[np.float64], values: NDArray[np.float64], code: Compiled, n_columns: int
) -> NDArray[np.float64]:
    """Log F of all items under every row of atoms, shape (rows, n)."""
    out = np.empty((len(values), len(items)))
    columns = np.empty((len(values), n_columns))
    _log_kernel(np.ascontiguousarray(items), np.ascontiguousarray(values), code, columns, out)
    return out


@njit
def _log_kernel(
    items: np.ndarray, values: np.ndarray, code: Compiled, columns: np.ndarray, out: np.ndarray
) -> None:
    derive = function_at(code.addresses[0], _DERIVE)
    kernel_of_items = function_at(code.addresses[1], _KERNEL_OF_ITEMS)
    derive(values, 0, len(values), code.shared, columns)
    for k in range(len(values)):
        kernel_of_items(0, len(items), k, items, columns, code.shared, out[k])
        for i in range(len(items)):
            if not out[k, i] > -np.inf:  # nor a number
                out[k, i] = -np.inf


@njit
def log_base(
    values: np.ndarray, items: np.ndarray, code: Compiled, scratch: np.ndarray, out: np.ndarray
) -> None:
    """Log g0 of rows of atoms, in value space.

    Parameters
    ----------
    values : (rows, Q) float64
    items : (n, P) float64
        Any.
    code
    scratch : (1, C) float64
    out : (rows,) float64
        Written.
    """
    log_posterior = function_at(code.addresses[2], _LOG_POSTERIOR)
    nobody = np.zeros(0, dtype=np.int64)
    for k in range(len(values)):
        out[k] = log_posterior(values[k], nobody, 0, items, code.shared, scratch)


@njit
def _weigh(
    counts: np.ndarray,
    size: int,
    last: int,
    fit: np.ndarray,
    i: int,
    log_new: float,
    code: Compiled,
    out: np.ndarray,
) -> None:
    """Log weight of every option of item i: the seats times the kernel.

    `last` is the number of clusters so far; one may be without items.
    """
    k = last - (last > 0 and counts[1 : last + 1].min() == 0)  # item i may have been alone
    before = code.seats[size, k]
    room = k + 1 < code.seats.shape[1]
    out[0] = code.seats[size + 1, k + 1] - before + log_new if room else -np.inf
    for j in range(1, last + 1):
        if counts[j] > 0:
            seat = code.seats[size + 1, k] - before + np.log(counts[j] - code.discount[0])
            out[j] = seat + max(fit[j, i], FLOOR)
        else:
            out[j] = -np.inf


@njit
def _keep_possible(last: int, out: np.ndarray) -> None:
    """Let a new cluster keep a least part of the weight, where there may be one."""
    if last == 0 or out[0] == -np.inf:
        return
    largest, total = out[1 : last + 1].max(), 0.0
    for j in range(1, last + 1):
        total += np.exp(out[j] - largest)
    out[0] = max(out[0], np.log(_LEAST_NEW) + largest + np.log(total))


@njit
def weigh_with_atoms(
    chosen: np.ndarray,
    log_new: np.ndarray,
    fit: np.ndarray,
    walks: AtomWalk,
    code: Compiled,
    log_weights: np.ndarray,
) -> None:
    """Log weights of all options of the next item of every walk.

    Parameters
    ----------
    chosen : (S,) int64
        The items.
    log_new : (n,) float64
        Estimates of log ∫ F(y_i | φ) dG0(φ), finite.
    fit : (S, K + 1, n) float64
        log F(y_i | φ_k) of all items, placed or not, from place 1 on.
    walks, code
    log_weights : (S, K + 1) float64
        Written; -inf for options that there are not.
    """
    log_weights[:] = -np.inf
    for s in range(len(chosen)):
        i, last = chosen[s], walks.clusters[s]
        out = log_weights[s]
        _weigh(walks.counts[s], walks.size[s], last, fit[s], i, log_new[i], code, out)
        _keep_possible(last, out)


@njit
def assign_with_atoms(
    chosen: np.ndarray,
    options: np.ndarray,
    values: np.ndarray,
    log_g0: np.ndarray,
    log_f: np.ndarray,
    fit: np.ndarray,
    walks: AtomWalk,
    code: Compiled,
) -> None:
    """Let the next item of every walk take an option.

    Parameters
    ----------
    chosen, options : (S,) int64
    values : (new, Q) float64
        Atoms of the clusters that are opened, in the order of the walks.
    log_g0 : (new,) float64
        Their log density under G0.
    log_f : (new, n) float64
        Log F of all items under them.
    fit : (S, K + 1, n) float64
        See `weigh_with_atoms`; written where a cluster is opened.
    walks, code
    """
    new = 0
    for s in range(len(chosen)):
        size, k, j = walks.size[s], walks.clusters[s], options[s]
        change = -code.seats[size, k]
        if j == 0:
            k += 1
            j = k
            walks.clusters[s] = k
            walks.values[s, k] = values[new]
            fit[s, k] = log_f[new]
            change += log_g0[new]
            new += 1
        else:
            change += np.log(walks.counts[s, j] - code.discount[0])
        walks.counts[s, j] += 1
        walks.size[s] += 1
        walks.log_prob[s] += change + code.seats[size + 1, k] + fit[s, j, chosen[s]]


@njit
def walk_with_atoms(
    options: np.ndarray,
    log_new: np.ndarray,
    fit: np.ndarray,
    code: Compiled,
    log_weights: np.ndarray,
    gibbs: np.ndarray,
) -> None:
    """Log weights of all options on the way along given ones, of many data sets, in their order.

    And the probability of every option given all other items, later ones too, and the atoms of
    their clusters; see `walks.walk_partition`. The estimates `log_new` are taken for exact.

    Parameters
    ----------
    options : (S, n) int64
    log_new : (S, n) float64
    fit : (S, K + 1, n) float64
        See `weigh_with_atoms`.
    code
    log_weights, gibbs : (S, n, K + 1) float64
        Written.
    """
    n, n_options = options.shape[1], code.seats.shape[1]
    log_weights[:] = -np.inf
    gibbs[:] = 0.0
    opened, cluster = np.zeros(n_options, dtype=np.int64), np.zeros(n, dtype=np.int64)
    counts, given_all = np.zeros(n_options, dtype=np.int64), np.empty(n_options)
    for s in range(len(options)):
        counts[:] = 0
        k = 0
        for t in range(n):
            _weigh(counts, t, k, fit[s], t, log_new[s, t], code, log_weights[s, t])
            _keep_possible(k, log_weights[s, t])
            cluster[t] = options[s, t]
            if cluster[t] == 0:
                k += 1
                cluster[t], opened[k] = k, t
            counts[cluster[t]] += 1
        for t in range(n):
            counts[cluster[t]] -= 1
            _weigh(counts, n - 1, k, fit[s], t, log_new[s, t], code, given_all)
            counts[cluster[t]] += 1
            largest, total = given_all[: k + 1].max(), 0.0
            for j in range(k + 1):
                given_all[j] = np.exp(given_all[j] - largest)
                total += given_all[j]
            for j in range(k + 1):
                gibbs[s, t, j if opened[j] < t else 0] += given_all[j] / total
