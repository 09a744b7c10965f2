"""Read partitions: from results, labelled arrays and plain arrays to rows of labels."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from pymc_dpsteps.jit import njit

__all__ = [
    "Draws",
    "as_rows",
    "by_size",
    "find_allocation",
    "number_by_first",
    "posterior_of",
    "read_draws",
    "read_partition",
]

_DRAW_DIMS = {"chain", "draw", "sample"}


@dataclass(frozen=True)
class Draws:
    """Sampled partitions of N items.

    Parameters
    ----------
    rows : numpy.ndarray of int32, shape (S, N)
        The clusters of every row are numbered 0, 1, ... in the order of their first items.
    dim : hashable
        Name of the axis of the items.
    coords : dict
        Coordinates along that axis.
    """

    rows: NDArray[np.int32]
    dim: Hashable
    coords: dict[Hashable, xr.DataArray]

    def along_items(self, values: NDArray, **attrs: Any) -> xr.DataArray:
        """Label an array of shape (N,)."""
        return xr.DataArray(values, self.coords, (self.dim,), attrs=attrs)


def posterior_of(idata: xr.DataTree) -> xr.Dataset:
    """Posterior group of a result, as a dataset.

    Where allocations were kept of some draws only (``keep_allocation="thin"`` of `dps.sample`),
    these draws, with their allocations.

    Raises
    ------
    ValueError
        If there is none, or it is empty.
    """
    if "posterior" not in idata.children:
        raise ValueError(
            f"No group 'posterior' among {list(idata.children)}. Give what dps.sample or "
            "pm.sample returned."
        )
    posterior = idata["posterior"].to_dataset()
    if posterior.sizes.get("chain", 0) * posterior.sizes.get("draw", 0) == 0:
        raise ValueError("The posterior holds no draws.")
    if "allocation" in idata.children:
        kept = idata["allocation"].to_dataset()
        posterior = xr.merge([posterior.sel(draw=kept["draw"]), kept])
    return posterior


def find_allocation(posterior: xr.Dataset, allocation: str | None = None) -> xr.DataArray:
    """Draws of the allocation.

    Parameters
    ----------
    posterior : xarray.Dataset
        With the dimensions chain and draw.
    allocation : str, optional
        Its name. Default: the only integer vector.

    Returns
    -------
    xarray.DataArray, dims (chain, draw, item)

    Raises
    ------
    ValueError
        If it is not there, or it is not clear which variable it is.
    """
    candidates = [
        str(name)
        for name, x in posterior.data_vars.items()
        if x.dtype.kind in "iu" and x.ndim == 3 and {"chain", "draw"} < set(x.dims)
    ]
    if allocation is None and len(candidates) == 1:
        allocation = candidates[0]
    if allocation in candidates:
        return posterior[allocation].transpose("chain", "draw", ...)
    found = ", ".join(candidates) or "none"
    wanted = "No allocation is named" if allocation is None else f"{allocation} is not among"
    raise ValueError(
        f"{wanted} the integer vectors of the posterior: {found}. Give allocation=; "
        "if it was not kept, sample with keep_allocation='all' or 'thin'."
    )


def read_draws(data: xr.DataTree | xr.DataArray | ArrayLike, allocation: str | None) -> Draws:
    """Sampled partitions of a result, or of labels.

    Parameters
    ----------
    data : xarray.DataTree, xarray.DataArray or array_like of int, shape (..., N)
        A result; or labels of at least 0, whose last axis, or the one that is not chain, draw or
        sample, are the items.
    allocation : str or None
        Name of the allocation, where a result has several.

    Returns
    -------
    Draws

    Raises
    ------
    ValueError
        If there are no draws, labels are not integers of at least 0, or it is not clear which
        variable is the allocation.
    """
    if isinstance(data, xr.DataTree):
        data = find_allocation(posterior_of(data), allocation)
    elif allocation is not None:
        raise ValueError(f"allocation = {allocation!r} names a variable of a result: give that.")
    dim: Hashable = "item"
    coords: dict[Hashable, xr.DataArray] = {}
    if isinstance(data, xr.DataArray) and data.ndim:
        dim = next((d for d in reversed(data.dims) if d not in _DRAW_DIMS), data.dims[-1])
        coords = {name: x for name, x in data.coords.items() if x.dims == (dim,)}
        data = data.transpose(..., dim).values
    rows = as_rows(data)
    if len(rows) == 0:
        raise ValueError(f"No draws in labels of shape {np.shape(data)}; expected (draws, items).")
    return Draws(number_by_first(rows), dim, coords)


def read_partition(partition: xr.DataArray | ArrayLike, draws: Draws) -> NDArray[np.int32]:
    """Labels of one partition of the items that the draws have, numbered by first items.

    Raises
    ------
    ValueError
        If it is not a vector of as many labels, labels are not integers of at least 0, or its
        items have other coordinates.
    """
    n_items = draws.rows.shape[1]
    if np.shape(partition) != (n_items,):
        raise ValueError(
            f"The partition has shape {np.shape(partition)}; expected ({n_items},), a label for "
            "each of the items of the draws."
        )
    if isinstance(partition, xr.DataArray) and draws.dim in partition.dims:
        theirs, ours = partition.indexes.get(draws.dim), draws.coords.get(draws.dim)
        if theirs is not None and ours is not None and not np.array_equal(theirs, ours.values):
            raise ValueError(
                f"The partition and the draws have other coordinates along {draws.dim}, or the "
                "same in another order. Reindex the partition."
            )
    rows: NDArray[np.int32] = number_by_first(as_rows(partition))[0]
    return rows


def as_rows(labels: ArrayLike) -> NDArray[np.int64]:
    """Labels of shape (..., N) as rows of shape (S, N), checked.

    Raises
    ------
    ValueError
        If there are no items, or labels are not integers of at least 0.
    """
    array = np.asarray(labels)
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ValueError(f"labels have shape {array.shape}; expected (..., N) with N >= 1 items.")
    if array.dtype.kind not in "iu" or array.min(initial=0) < 0:
        raise ValueError(
            f"labels of dtype {array.dtype} with minimum {array.min(initial=0)}; expected "
            "integers of at least 0."
        )
    return np.ascontiguousarray(array.reshape(-1, array.shape[-1]), dtype=np.int64)


def number_by_first(rows: NDArray[np.int64]) -> NDArray[np.int32]:
    """Number the clusters of every row 0, 1, ... in the order of their first items."""
    out = np.empty(rows.shape, dtype=np.int32)
    _number_by_first(rows, np.full(int(rows.max(initial=0)) + 1, -1, dtype=np.int32), out)
    return out


@njit
def _number_by_first(
    rows: NDArray[np.int64], number: NDArray[np.int32], out: NDArray[np.int32]
) -> None:
    n_items = rows.shape[1]
    for s in range(rows.shape[0]):
        found = 0
        for i in range(n_items):
            if number[rows[s, i]] < 0:
                number[rows[s, i]] = found
                found += 1
            out[s, i] = number[rows[s, i]]
        for i in range(n_items):
            number[rows[s, i]] = -1


def by_size(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Number clusters 0, 1, ... by decreasing size; of equal ones that of the first item first.

    Parameters
    ----------
    labels : numpy.ndarray of int, shape (N,)
        Numbered in the order of their first items.
    """
    rank = np.argsort(-np.bincount(labels), kind="stable").argsort()
    return rank[labels].astype(np.int64)
