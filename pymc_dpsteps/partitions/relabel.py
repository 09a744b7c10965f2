"""Draws relabelled to a partition, so that parameters of its clusters can be summarised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from pymc_dpsteps.partitions.labels import (
    as_rows,
    find_allocation,
    posterior_of,
    read_draws,
    read_partition,
)

__all__ = ["matched_clusters", "relabel"]


def relabel(
    idata: xr.DataTree,
    center: xr.DataArray | ArrayLike,
    *,
    var_names: str | Sequence[str],
    allocation: str | None = None,
) -> xr.Dataset:
    """Parameters of the clusters of a partition, in every draw.

    In each draw, the occupied components are matched to the clusters of `center`, each to at most
    one, so that as many items as possible are in the cluster that is matched to their component.
    A component that has no item of a cluster is not matched to it.

    Parameters
    ----------
    idata : xarray.DataTree
        Result of `dps.sample` or `pymc.sample`.
    center : xarray.DataArray or array_like of int, shape (N,)
        Such as `point_partition`.
    var_names : str or sequence of str
        Variables with a component axis after chain and draw: atoms, or weights.
    allocation : str, optional
        Name of the allocation that indexes them, where a result has several.

    Returns
    -------
    xarray.Dataset
        - the variables, of dimensions (chain, draw, cluster, ...) in float64: the value of the
          matched component, NaN where a draw has none;
        - ``size``, of dimensions (chain, draw, cluster): number of items of the matched
          component, 0 where there is none;
        - coordinates along ``cluster``, which are the labels of `center` in increasing order:
          ``center_size``, the number of items, and ``matched``, the share of draws that have a
          match.

    Raises
    ------
    ValueError
        If a variable is not there, has no axis besides chain and draw, or one that is not as long
        as the others' or too short for the allocation; if `center` is not a partition of the same
        items; or if it is not clear which variable is the allocation.

    Notes
    -----
    ``arviz_stats.summary(relabelled, skipna=True)`` summarises every cluster over the draws that
    have a match: given that the cluster is there at all, which ``matched`` says how often. ESS and
    R-hat are defined only for a cluster that is matched in all draws; they are NaN for others.
    A cluster that is matched in few draws is better looked at as a partition: see
    `credible_ball`.
    """
    posterior = posterior_of(idata)
    labels = find_allocation(posterior, allocation)
    names = [var_names] if isinstance(var_names, str) else list(var_names)
    rows = as_rows(labels)
    variables = _component_variables(posterior, names, int(rows.max()) + 1)
    read_partition(center, read_draws(labels, None))  # refuses one of other items
    clusters, codes = np.unique(as_rows(center)[0], return_inverse=True)
    component, size = _matched(rows, codes, len(clusters))
    shape = labels.shape[:2]
    found = {
        name: _picked(x, component.reshape(*shape, -1)).assign_coords(cluster=clusters)
        for name, x in variables.items()
    }
    dims = ("chain", "draw", "cluster")
    return xr.Dataset(
        {**found, "size": (dims, size.reshape(*shape, -1))},
        coords={
            "chain": labels["chain"],
            "draw": labels["draw"],
            "cluster": clusters,
            "center_size": ("cluster", np.bincount(codes)),
            "matched": ("cluster", (component >= 0).mean(axis=0)),
        },
    )


def _component_variables(
    posterior: xr.Dataset, names: list[str], n_used: int
) -> dict[str, xr.DataArray]:
    """Variables by name, checked to have a component axis next to chain and draw."""
    if missing := [name for name in names if name not in posterior]:
        raise ValueError(
            f"The posterior does not hold {', '.join(missing)}; it holds "
            f"{', '.join(map(str, posterior.data_vars))}."
        )
    found = {name: posterior[name].transpose("chain", "draw", ...) for name in names}
    lengths = {name: x.shape[2] if x.ndim > 2 else 0 for name, x in found.items()}
    if len(set(lengths.values())) > 1 or min(lengths.values(), default=0) < n_used:
        raise ValueError(
            f"The axes after chain and draw have lengths {lengths}; expected one number of "
            f"components for all, at least {n_used}, since the allocation uses component "
            f"{n_used - 1}."
        )
    return found


def _matched(
    rows: NDArray[np.int64], codes: NDArray[np.intp], n_clusters: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Component matched to every cluster in every draw, -1 for none, and its number of items."""
    component = np.full((len(rows), n_clusters), -1)
    size = np.zeros((len(rows), n_clusters), dtype=np.int64)
    width = int(rows.max()) + 1
    for s, row in enumerate(rows):
        counts = np.bincount(codes * width + row, minlength=n_clusters * width)
        table = counts.reshape(n_clusters, width)
        cluster, slot = matched_clusters(table)
        component[s, cluster] = slot
        size[s, cluster] = table.sum(axis=0)[slot]
    return component, size


def matched_clusters(table: NDArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Match the clusters of two partitions one to one so that as many items as possible agree.

    Parameters
    ----------
    table : numpy.ndarray of int, shape (k, l)
        Numbers of items that a cluster of the one shares with a cluster of the other.

    Returns
    -------
    first, second : numpy.ndarray of int, shape (m,)
        Rows and columns that are matched; clusters that share no item are not.
    """
    first, second = linear_sum_assignment(table, maximize=True)
    shares = table[first, second] > 0
    return first[shares], second[shares]


def _picked(variable: xr.DataArray, component: NDArray[np.int64]) -> xr.DataArray:
    """Values of the matched components, NaN where there is none."""
    index = component.reshape(component.shape + (1,) * (variable.ndim - 3))
    values = np.take_along_axis(variable.values, np.maximum(index, 0), axis=2)
    dims = ("chain", "draw", "cluster", *variable.dims[3:])
    coords = {n: x for n, x in variable.coords.items() if variable.dims[2] not in x.dims}
    return xr.DataArray(np.where(index >= 0, values, np.nan), coords, dims)
