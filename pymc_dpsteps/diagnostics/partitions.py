"""Functions of partitions that do not depend on how the clusters are numbered.

The array core takes labels of shape ``(..., N)``: any leading axes (chains, draws), the items
last. A label is any integer of at least 0; only its equality with other labels counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from pymc_dpsteps.jit import njit

__all__ = [
    "adjusted_rand_index",
    "coclustering",
    "leaf_order",
    "least_squares_partition",
    "n_clusters",
    "sum_squared_proportions",
]

# Optimal leaf ordering costs O(N²) memory and up to O(N⁴) time.
_MAX_ITEMS_IN_OPTIMAL_ORDER = 300


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


@njit
def _count_pairs(rows: NDArray[np.int32], together: NDArray[np.int32]) -> None:
    """Add to ``together[i, j]``, j < i, the rows in which i and j have the same label."""
    n_items = rows.shape[1]
    for s in range(rows.shape[0]):
        row = rows[s]
        for i in range(n_items):
            out = together[i]
            label = row[i]
            for j in range(i):
                out[j] += row[j] == label


@njit
def _binder_scores(
    rows: NDArray[np.int32], together: NDArray[np.int32], scores: NDArray[np.int64]
) -> None:
    """Sum of ``S - 2 together[i, j]`` over the pairs j < i with the same label, for every row."""
    n_rows, n_items = rows.shape
    for s in range(n_rows):
        row = rows[s]
        total = 0
        for i in range(n_items):
            counts = together[i]
            label = row[i]
            for j in range(i):
                if row[j] == label:
                    total += n_rows - 2 * counts[j]
        scores[s] = total


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


def coclustering(labels: ArrayLike) -> NDArray[np.float64]:
    """Proportion of draws in which two items share a cluster.

    Parameters
    ----------
    labels : array_like of int, shape (..., N)
        Cluster labels, at least 0; leading axes are draws.

    Returns
    -------
    numpy.ndarray of float64, shape (N, N)
        Symmetric, with ones on the diagonal.

    Raises
    ------
    ValueError
        If there are no draws, or labels are not integers of at least 0.

    Notes
    -----
    Takes O(draws x N²) time and O(N²) memory.
    """
    rows, pairs = _pairs("coclustering", labels)
    together = (pairs + pairs.T) / len(rows)
    np.fill_diagonal(together, 1.0)
    return together


def least_squares_partition(labels: ArrayLike) -> NDArray[np.int64]:
    r"""Sampled partition that is nearest to the co-clustering matrix: a point estimate.

    .. math::

        \operatorname*{arg\,min}_{c \in \{z^{(1)}, \ldots, z^{(S)}\}}
            \sum_{j < i} \left(1\{c_i = c_j\} - \pi_{ij}\right)^2,
        \quad \pi_{ij} = \frac{1}{S} \sum_{s=1}^{S} 1\{z^{(s)}_i = z^{(s)}_j\}

    Parameters
    ----------
    labels : array_like of int, shape (..., N)
        Cluster labels, at least 0; leading axes are draws.

    Returns
    -------
    numpy.ndarray of int64, shape (N,)
        Its clusters, numbered 0, 1, ... in the order of their first items. Of several draws that
        are equally near, the first.

    Raises
    ------
    ValueError
        If there are no draws, or labels are not integers of at least 0.

    Notes
    -----
    Among the sampled partitions it minimises the posterior expectation of Binder's loss with
    equal costs, the number of pairs that are together in one of two partitions and apart in the
    other [1]_ [2]_. Takes O(draws x N²) time and O(N²) memory.

    References
    ----------
    .. [1] Dahl, D. B. (2006). Model-based clustering for expression data via a Dirichlet process
       mixture model. In Do, K.-A., Müller, P. and Vannucci, M. (eds), Bayesian Inference for Gene
       Expression and Proteomics. Cambridge University Press, 201-218.
    .. [2] Binder, D. A. (1978). Bayesian cluster analysis. Biometrika 65, 31-38.
    """
    rows, pairs = _pairs("least_squares_partition", labels)
    scores = np.zeros(len(rows), dtype=np.int64)
    _binder_scores(rows, pairs, scores)  # integers: draws that tie do so exactly
    nearest = rows[scores.argmin()]
    _, first, inverse = np.unique(nearest, return_index=True, return_inverse=True)
    return first.argsort().argsort()[inverse].astype(np.int64)


def adjusted_rand_index(first: ArrayLike, second: ArrayLike) -> float:
    """Agreement of two partitions of the same items, corrected for chance.

    The number of pairs of items that are together in both partitions, less its mean over random
    partitions with the same cluster sizes, relative to the greatest value that the cluster sizes
    allow it on average: equation 5 of [1]_.

    Parameters
    ----------
    first, second : array_like, shape (N,)
        Labels of any type, such as names; only their equality within a partition counts.

    Returns
    -------
    float
        1 for the same partition, 0 on average for unrelated ones; may be negative.

    Raises
    ------
    ValueError
        If the shapes differ, or there are no items.

    References
    ----------
    .. [1] Hubert, L. and Arabie, P. (1985). Comparing partitions. Journal of Classification 2,
       193-218.
    """
    a, b = np.asarray(first), np.asarray(second)
    if a.ndim != 1 or a.shape != b.shape or len(a) == 0:
        raise ValueError(
            f"The partitions have shapes {a.shape} and {b.shape}; expected (N,) for both, with "
            "N >= 1 items."
        )
    _, of_a = np.unique(a, return_inverse=True)
    _, of_b = np.unique(b, return_inverse=True)
    together = _pairs_within(of_a * (of_b.max() + 1) + of_b)
    in_a, in_b = _pairs_within(of_a), _pairs_within(of_b)
    if in_a == in_b == together:  # also where chance allows one value only
        return 1.0
    expected = in_a * in_b / (len(a) * (len(a) - 1) / 2)
    return float((together - expected) / ((in_a + in_b) / 2 - expected))


def leaf_order(together: ArrayLike) -> NDArray[np.int64]:
    """Order of the items that puts those which share clusters side by side.

    The order of the leaves of the average-linkage tree on the distance ``1 - together``; for up
    to 300 items the one, among all that the tree allows, in which neighbours are closest.

    Parameters
    ----------
    together : array_like of float, shape (N, N)
        Co-clustering matrix.

    Returns
    -------
    numpy.ndarray of int64, shape (N,)
        A permutation of 0, ..., N - 1.

    References
    ----------
    .. [1] Medvedovic, M. and Sivaganesan, S. (2002). Bayesian infinite mixture model based
       clustering of gene expression profiles. Bioinformatics 18, 1194-1206.
    .. [2] Bar-Joseph, Z., Gifford, D. K. and Jaakkola, T. S. (2001). Fast optimal leaf ordering
       for hierarchical clustering. Bioinformatics 17, S22-S29.
    """
    distance = 1.0 - np.asarray(together, dtype=np.float64)
    n_items = len(distance)
    if n_items < 2:
        return np.arange(n_items)
    tree = linkage(
        squareform(distance, checks=False),
        method="average",
        optimal_ordering=n_items <= _MAX_ITEMS_IN_OPTIMAL_ORDER,
    )
    return leaves_list(tree).astype(np.int64)


def _pairs(caller: str, labels: ArrayLike) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Draws, and below the diagonal in how many of them two items share a cluster."""
    rows = _rows(labels).astype(np.int32)
    if len(rows) == 0:
        raise ValueError(f"{caller}: no draws. Give labels of shape (draws, items).")
    together = np.zeros((rows.shape[1],) * 2, dtype=np.int32)
    _count_pairs(rows, together)
    return rows, together


def _pairs_within(labels: NDArray[np.intp]) -> int:
    """Number of pairs of items that share a label."""
    sizes = np.bincount(labels)
    return int((sizes * (sizes - 1)).sum()) // 2


def _sizes(labels: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows = _rows(labels)
    clusters = np.zeros(len(rows), dtype=np.int64)
    squares = np.zeros(len(rows), dtype=np.int64)
    _summarise(rows, int(rows.max(initial=0)) + 1, clusters, squares)
    shape = np.shape(labels)[:-1]
    return clusters.reshape(shape), squares.reshape(shape)


def _rows(labels: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ValueError(f"labels have shape {array.shape}; expected (..., N) with N >= 1 items.")
    if array.dtype.kind not in "iu" or array.min(initial=0) < 0:
        raise ValueError(
            f"labels of dtype {array.dtype} with minimum {array.min(initial=0)}; expected "
            "integers of at least 0."
        )
    return np.ascontiguousarray(array.reshape(-1, array.shape[-1]), dtype=np.int64)
