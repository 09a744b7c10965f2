"""Slots of the clusters of a partition, where the weights of a model are in an order.

A network draws partitions c, but under K sticks, or K Dirichlet weights, an allocation z says in
which slot each cluster is, and its probability is that of the urn. So clusters that were drawn are
put into slots with a known probability q(z | c), slot by slot. Under the infinite process the stick
of the first slot takes one of the clusters by their sizes, or none (Pitman 1996, Some developments
of the Blackwell–MacQueen urn scheme, section 4): with m items in k clusters not yet placed, of
sizes n_j, and s slots gone by, in proportion to

    n_j - d for cluster j,   α + (s + k) d for none,

and the next takes of what is left. Here no slot stays empty when there are only as many as
clusters. Symmetric Dirichlet weights put every cluster anywhere with equal probability. What is
drawn is weighted by p(z, y) / (q(c | σ, y) q(z | c)), exact whatever K.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray
from scipy.special import gammaln

from pymc_dpsteps.amortized.seats import Grid
from pymc_dpsteps.jit import function_at, njit
from pymc_dpsteps.mixture.structure import PriorKind
from pymc_dpsteps.urns import urn_for
from pymc_dpsteps.urns.interface import LOG_PROB

__all__ = ["Slots", "counts_of"]

_LOG_PROB = types.FunctionType(LOG_PROB)
_LOG_PROB_AT = 2  # among the addresses of an urn
_TINY = 1e-300


class Slots:
    """Slots under an urn, and the law of partitions that the network has been told instead.

    Parameters
    ----------
    kind : PriorKind
        Sticks or Dirichlet weights.
    grid : Grid
        Of the urn.
    seats : numpy.ndarray of float64, shape (N + 2, K + 1)
        A(n, k) of the law of partitions.
    discount : float
        Of the same.
    """

    def __init__(
        self, kind: PriorKind, grid: Grid, seats: NDArray[np.float64], discount: float
    ) -> None:
        self._by_size = kind is PriorKind.STICKS
        self._address = int(urn_for(kind).addresses[_LOG_PROB_AT])
        self._grid, self._seats, self._discount = grid, seats, discount

    def place(
        self, labels: NDArray[np.int64], uniforms: NDArray[np.float64] | None = None
    ) -> NDArray[np.int64]:
        """Put clusters into slots.

        Parameters
        ----------
        labels : numpy.ndarray of int64, shape (draws, n)
            Clusters, numbered from 0.
        uniforms : numpy.ndarray of float64, shape (draws, K), optional
            On [0, 1). Without, the largest cluster gets the first slot, and so on.

        Returns
        -------
        numpy.ndarray of int64, shape (draws, n)
            Slots.
        """
        sizes = counts_of(labels, self._seats.shape[1] - 1)
        if uniforms is None:
            slots = np.argsort(np.argsort(-sizes, axis=1, kind="stable"), axis=1)
        else:
            slots = np.full(sizes.shape, -1)
            _place(sizes, uniforms, self._new(sizes), self._by_size, self._discount, slots)
        return np.take_along_axis(slots, labels, axis=1)

    def log_q(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Log q(z | c) of allocations with so many items in every slot, (draws, K)."""
        result = np.zeros(len(counts))
        _log_q(counts, self._new(counts), self._by_size, self._discount, result)
        return result

    def log_prior(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Log p(z), the weights and the concentration integrated out."""
        distinct, inverse = np.unique(counts, axis=0, return_inverse=True)
        result = np.empty(len(distinct))
        _log_prior(distinct, self._grid.log_weights, self._grid.parameters, self._address, result)
        return result[inverse.ravel()]

    def log_change(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Log p(z) less log p(c) under the law of partitions that stands in for it."""
        clusters = (counts > 0).sum(1)
        joined = gammaln(counts - self._discount) - gammaln(1.0 - self._discount)
        joined = np.where(counts > 0, joined, 0.0).sum(1)
        return self.log_prior(counts) - self._seats[counts.sum(1), clusters] - joined

    def _new(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """The α by which the next item opens a cluster with the probability that it has."""
        d, n = self._discount, counts.sum(1)
        k = np.minimum((counts > 0).sum(1), counts.shape[1] - 1)
        opens = np.exp(self._seats[n + 1, k + 1] - self._seats[n, k])
        alpha: NDArray[np.float64] = (n * opens - k * d) / (1.0 - opens)
        return np.maximum(alpha, _TINY - d)


def counts_of(labels: NDArray[np.int64], n_slots: int) -> NDArray[np.int64]:
    """Items in every slot, shape (draws, K), of labels (draws, n)."""
    result: Any = np.zeros((len(labels), n_slots), dtype=np.int64)
    np.add.at(result, (np.arange(len(labels))[:, None], labels), 1)
    counts: NDArray[np.int64] = result
    return counts


@njit
def _weight(size: int, by_size: bool, discount: float) -> float:
    """Of a cluster, to be the one in a slot."""
    return size - discount if by_size else 1.0


@njit
def _empty(slot: int, left: int, n_slots: int, new: float, by_size: bool, discount: float) -> float:
    """Weight of no cluster in a slot, with so many left to be placed."""
    if left == n_slots - slot:
        return 0.0
    return new + (slot + left) * discount if by_size else float(n_slots - slot - left)


@njit
def _unplaced(sizes: np.ndarray, by_size: bool, discount: float) -> tuple[int, float]:
    """Number and total weight of the clusters, before any is in a slot."""
    left, total = 0, 0.0
    for size in sizes:
        if size > 0:
            left += 1
            total += _weight(size, by_size, discount)
    return left, total


@njit
def _place(
    sizes: np.ndarray,
    uniforms: np.ndarray,
    new: np.ndarray,
    by_size: bool,
    discount: float,
    slots: np.ndarray,
) -> None:
    n_slots = sizes.shape[1]
    for s in range(len(sizes)):
        left, total = _unplaced(sizes[s], by_size, discount)
        for slot in range(n_slots):
            empty = _empty(slot, left, n_slots, new[s], by_size, discount)
            threshold = uniforms[s, slot] * (total + empty) - empty
            chosen = -1
            if threshold >= 0.0 and left > 0:
                for c in range(n_slots):
                    if sizes[s, c] > 0 and slots[s, c] < 0:
                        chosen = c
                        threshold -= _weight(sizes[s, c], by_size, discount)
                        if threshold < 0.0:
                            break
            if chosen >= 0:
                slots[s, chosen] = slot
                left -= 1
                total -= _weight(sizes[s, chosen], by_size, discount)


@njit
def _log_q(
    counts: np.ndarray, new: np.ndarray, by_size: bool, discount: float, result: np.ndarray
) -> None:
    n_slots = counts.shape[1]
    for s in range(len(counts)):
        left, total = _unplaced(counts[s], by_size, discount)
        for slot in range(n_slots):
            if left == 0:
                break
            empty = _empty(slot, left, n_slots, new[s], by_size, discount)
            taken = empty
            if counts[s, slot] > 0:
                taken = _weight(counts[s, slot], by_size, discount)
            result[s] += np.log(taken / (total + empty))
            if counts[s, slot] > 0:
                left -= 1
                total -= taken


@njit
def _log_prior(
    counts: np.ndarray,
    log_weights: np.ndarray,
    parameters: np.ndarray,
    address: int,
    result: np.ndarray,
) -> None:
    log_prob = function_at(address, _LOG_PROB)
    at = np.empty(len(log_weights))
    for s in range(len(counts)):
        occupied = (counts[s] > 0).sum()
        for g in range(len(log_weights)):
            at[g] = log_weights[g] + log_prob(counts[s], occupied, parameters[g])
        largest = at.max()
        result[s] = largest + np.log(np.exp(at - largest).sum())
