"""Sizes of the clusters of every draw, and what follows from them."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr

from pymc_dpsteps.jit import njit
from pymc_dpsteps.partitions import n_clusters
from pymc_dpsteps.partitions.labels import as_rows, find_allocation, posterior_of

__all__ = ["cluster_sizes", "entropy", "sorted_sizes"]


@njit
def _sort_sizes(rows: NDArray[np.int64], n_labels: int, sizes: NDArray[np.int64]) -> None:
    """Cluster sizes of every row in decreasing order, by counting: they are at most N."""
    n_items = rows.shape[1]
    counts = np.zeros(n_labels, dtype=np.int64)
    clusters_of_size = np.zeros(n_items + 1, dtype=np.int64)
    for s in range(rows.shape[0]):
        counts[:] = 0
        for i in range(n_items):
            counts[rows[s, i]] += 1
        clusters_of_size[:] = 0
        for k in range(n_labels):
            clusters_of_size[counts[k]] += 1
        rank = 0
        for n in range(n_items, 0, -1):
            for _ in range(clusters_of_size[n]):
                sizes[s, rank] = n
                rank += 1


def sorted_sizes(labels: ArrayLike) -> NDArray[np.int64]:
    """Cluster sizes in decreasing order.

    Parameters
    ----------
    labels : array_like of int, shape (..., N)
        Cluster labels, at least 0.

    Returns
    -------
    numpy.ndarray of int64, shape (..., R)
        Zeros after the last cluster; R is the largest number of clusters of all partitions.
    """
    rows = as_rows(labels)
    width = int(n_clusters(rows).max(initial=0))
    sizes = np.zeros((len(rows), width), dtype=np.int64)
    _sort_sizes(rows, int(rows.max(initial=0)) + 1, sizes)
    return sizes.reshape(*np.shape(labels)[:-1], width)


def entropy(sizes: ArrayLike) -> NDArray[np.float64]:
    """Entropy of cluster proportions, ``-sum_k (n_k / N) log(n_k / N)``, in nats.

    Parameters
    ----------
    sizes : array_like of int, shape (..., R)
        Cluster sizes, such as `sorted_sizes`; zeros do not count.

    Returns
    -------
    numpy.ndarray of float64, shape (...)
        Between 0 for a single cluster and log N where every item is alone.
    """
    sizes = np.asarray(sizes)
    found: NDArray[np.float64] = entr(sizes / sizes.sum(axis=-1, keepdims=True)).sum(axis=-1)
    return found


def cluster_sizes(idata: xr.DataTree, *, allocation: str | None = None) -> xr.DataArray:
    """Sizes of the clusters of every draw, the largest first.

    Parameters
    ----------
    idata : xarray.DataTree
        Result of `dps.sample` or `pymc.sample`.
    allocation : str, optional
        Name of the allocation. Default: the only integer vector in the posterior.

    Returns
    -------
    xarray.DataArray of int64, dimensions (chain, draw, rank)
        Rank 1 is the largest cluster of the draw. Zeros after its last cluster; there are as
        many ranks as clusters in the draw that has most.

    Raises
    ------
    ValueError
        If there are no draws, the allocation is not in the posterior, or it is not clear which
        variable it is.
    """
    labels = find_allocation(posterior_of(idata), allocation)
    sizes = sorted_sizes(labels.values)
    coords = {dim: labels[dim] for dim in ("chain", "draw")}
    return xr.DataArray(
        sizes,
        coords | {"rank": np.arange(1, sizes.shape[-1] + 1)},
        ("chain", "draw", "rank"),
        name="cluster_sizes",
        attrs={"long_name": "number of items"},
    )
