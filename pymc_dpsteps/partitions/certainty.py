"""How sure it is that an item belongs where a partition puts it."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from pymc_dpsteps.jit import njit
from pymc_dpsteps.partitions.labels import as_rows, read_draws, read_partition

__all__ = ["certainty"]


def certainty(
    data: xr.DataTree | xr.DataArray | ArrayLike,
    center: xr.DataArray | ArrayLike,
    *,
    allocation: str | None = None,
) -> xr.Dataset:
    """Mean probability of sharing a cluster with the members of each item's own cluster.

    Parameters
    ----------
    data : xarray.DataTree, xarray.DataArray or array_like of int, shape (..., N)
        A result of `dps.sample` or `pymc.sample`; or labels of at least 0, items last.
    center : xarray.DataArray or array_like of int, shape (N,)
        Such as `point_partition`.
    allocation : str, optional
        Name of the allocation, where a result has several.

    Returns
    -------
    xarray.Dataset
        Along the items:

        - ``own``: mean posterior probability that the item shares a cluster with another member
          of its cluster in `center`; NaN for an item that is alone there;
        - ``other``: the highest such mean over the members of another cluster of `center`; NaN
          where there is no other;
        - ``nearest``: the label in `center` of that cluster, of several the first; -1 where there
          is no other.

        An item with ``other`` near ``own`` lies between two clusters; one with both low is in
        clusters of changing company.

    Raises
    ------
    ValueError
        If there are no draws, labels are not integers of at least 0, or the numbers of items
        differ.

    Notes
    -----
    Takes O(draws × N × clusters) time and O(N × clusters) memory: no similarity matrix is needed.
    """
    draws = read_draws(data, allocation)
    partition = read_partition(center, draws)
    label_of = np.zeros(partition.max() + 1, dtype=np.int64)
    label_of[partition] = as_rows(center)[0]
    items, sizes = np.arange(len(partition)), np.bincount(partition)
    shared = np.zeros((len(items), len(sizes)))
    _count_shared(draws.rows, partition, int(draws.rows.max()) + 1, shared)
    shared /= len(draws.rows)
    with np.errstate(invalid="ignore"):  # an item alone: 0 / 0
        own = (shared[items, partition] - 1.0) / (sizes[partition] - 1)
    means = shared / sizes
    means[items, partition] = -np.inf
    # Clusters in the order of their labels: of several equally near, the first.
    order = label_of.argsort()
    nearest = order[means[:, order].argmax(axis=1)]
    other, label = means[items, nearest], label_of[nearest]
    if len(sizes) == 1:
        other, label = np.full(len(items), np.nan), np.full(len(items), -1)
    return xr.Dataset(
        {
            "own": draws.along_items(own, long_name="mean co-clustering with the own cluster"),
            "other": draws.along_items(other, long_name="highest with another cluster"),
            "nearest": draws.along_items(label, long_name="label of that other cluster"),
        }
    )


@njit
def _count_shared(
    rows: NDArray[np.int32],
    partition: NDArray[np.int32],
    width: int,
    shared: NDArray[np.float64],
) -> None:
    """Add up, over the draws, with how many of each cluster's members an item shares its own."""
    n_items, n_clusters = shared.shape
    counts = np.zeros((width, n_clusters), dtype=np.int64)
    for s in range(len(rows)):
        row = rows[s]
        counts[:] = 0
        for i in range(n_items):
            counts[row[i], partition[i]] += 1
        for i in range(n_items):
            for k in range(n_clusters):
                shared[i, k] += counts[row[i], k]
