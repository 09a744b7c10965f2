"""Numbers of clusters, and their sizes, in every draw."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymc_dpsteps.jit import njit
from pymc_dpsteps.partitions.labels import as_rows

__all__ = ["n_clusters", "sum_squared_proportions"]


@njit
def _summarise(
    rows: NDArray[np.int64],
    n_labels: int,
    clusters: NDArray[np.int64],
    squares: NDArray[np.int64],
) -> None:
    """Number of clusters and sum of squared cluster sizes of every row."""
    sizes = np.zeros(n_labels, dtype=np.int64)
    for s in range(rows.shape[0]):
        sizes[:] = 0
        found = 0
        total = 0
        for i in range(rows.shape[1]):
            k = rows[s, i]
            # (n + 1)² = n² + 2 n + 1: the squares grow as the items arrive.
            total += 2 * sizes[k] + 1
            found += sizes[k] == 0
            sizes[k] += 1
        clusters[s] = found
        squares[s] = total


def n_clusters(labels: ArrayLike) -> NDArray[np.int64]:
    """Number of clusters.

    Parameters
    ----------
    labels : array_like of int, shape (..., N)
        Cluster labels, at least 0.

    Returns
    -------
    numpy.ndarray of int64, shape (...)
    """
    return _sizes(labels)[0]


def sum_squared_proportions(labels: ArrayLike) -> NDArray[np.float64]:
    """Sum over clusters of squared proportions, ``sum_k (n_k / N)²``.

    It is the probability that two items drawn with replacement share a cluster: 1 for a single
    cluster, 1 / N when every item is alone.

    Parameters
    ----------
    labels : array_like of int, shape (..., N)
        Cluster labels, at least 0.

    Returns
    -------
    numpy.ndarray of float64, shape (...)
    """
    return _sizes(labels)[1] / float(np.shape(labels)[-1]) ** 2


def _sizes(labels: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows = as_rows(labels)
    clusters = np.zeros(len(rows), dtype=np.int64)
    squares = np.zeros(len(rows), dtype=np.int64)
    _summarise(rows, int(rows.max(initial=0)) + 1, clusters, squares)
    shape = np.shape(labels)[:-1]
    return clusters.reshape(shape), squares.reshape(shape)
