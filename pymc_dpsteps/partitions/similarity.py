"""How often two items share a cluster, and an order of the items that shows it."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from pymc_dpsteps.jit import njit
from pymc_dpsteps.partitions.labels import read_draws

__all__ = ["coclustering", "leaf_order", "similarity"]

# Optimal leaf ordering costs O(N²) memory and up to O(N⁴) time.
_MAX_ITEMS_IN_OPTIMAL_ORDER = 300


def coclustering(
    data: xr.DataTree | xr.DataArray | ArrayLike, *, allocation: str | None = None
) -> xr.DataArray:
    """Posterior similarity matrix: the proportion of draws in which two items share a cluster.

    Parameters
    ----------
    data : xarray.DataTree, xarray.DataArray or array_like of int, shape (..., N)
        A result of `dps.sample` or `pymc.sample`; or labels of at least 0, items last.
    allocation : str, optional
        Name of the allocation, where a result has several.

    Returns
    -------
    xarray.DataArray of float32, shape (N, N)
        Symmetric, with ones on the diagonal. Its dimensions are that of the items, ``item`` for
        an array, and the same name with ``_2``, with the same coordinates.

    Raises
    ------
    ValueError
        If there are no draws, labels are not integers of at least 0, or it is not clear which
        variable is the allocation.

    Notes
    -----
    Takes O(draws x N²) time and, besides the draws, the memory of the matrix alone: 400 MB for
    10,000 items.
    """
    draws = read_draws(data, allocation)
    second = f"{draws.dim}_2"
    coords = dict(draws.coords)
    if (index := coords.get(draws.dim)) is not None:
        coords[second] = index.rename({draws.dim: second})
    return xr.DataArray(
        similarity(draws.rows),
        coords,
        (draws.dim, second),
        name="coclustering",
        attrs={"long_name": "posterior probability of sharing a cluster"},
    )


def similarity(rows: NDArray[np.int32]) -> NDArray[np.float32]:
    """Proportion of rows in which two items have the same label.

    Parameters
    ----------
    rows : numpy.ndarray of int, shape (S, N)
        Labels of at least 0. S is at least 1.

    Returns
    -------
    numpy.ndarray of float32, shape (N, N)
    """
    n_items = rows.shape[1]
    together = np.empty((n_items, n_items), dtype=np.float32)
    # Narrow labels: more of them are compared at once.
    _similarity(rows.astype(np.min_scalar_type(int(rows.max()))), together)
    return together


@njit
def _similarity(rows: NDArray, together: NDArray[np.float32]) -> None:
    """Fill the matrix tile by tile, so that the counts of a tile stay in the nearest cache."""
    height, width, most = 16, 512, 255
    n_rows, n_items = rows.shape
    short = np.empty((height, width), dtype=np.uint8)  # counts of at most 255 rows
    counts = np.empty((height, width), dtype=np.int64)
    for top in range(0, n_items, height):
        bottom = min(top + height, n_items)
        for left in range(0, bottom, width):
            right = min(left + width, bottom)
            counts[:] = 0
            for start in range(0, n_rows, most):
                short[:] = 0
                for s in range(start, min(start + most, n_rows)):
                    row = rows[s, left:right]
                    for i in range(top, bottom):
                        label = rows[s, i]
                        out = short[i - top]
                        for j in range(right - left):
                            out[j] += np.uint8(row[j] == label)
                counts += short
            for i in range(top, bottom):
                for j in range(left, right):
                    together[i, j] = counts[i - top, j - left] / n_rows
                    together[j, i] = together[i, j]


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
