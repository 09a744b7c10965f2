"""The co-clustering matrix of a posterior, ordered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from pymc_dpsteps import partitions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["coclustering"]


def coclustering(
    idata: xr.DataTree,
    *,
    allocation: str | None = None,
    order: Literal["linkage"] | ArrayLike | None = "linkage",
    item: str = "item",
    ax: Axes | None = None,
    colorbar: bool = True,
) -> Axes:
    """Draw the posterior probability that two items share a cluster, as a heat map.

    Parameters
    ----------
    idata : xarray.DataTree
        Result of `dps.sample` or `pymc.sample`.
    allocation : str, optional
        Name of the allocation. Default: the only integer vector in the posterior.
    order : {"linkage", None} or array_like of int, default "linkage"
        Order of the items: that of an average-linkage tree, as given, or a permutation.
    item : str, default "item"
        What an item is, as in "galaxy", for the labels.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.
    colorbar : bool, default True
        Whether to draw the colour scale.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the allocation is not in the posterior, or it is not clear which variable it is, or
        `order` is not a permutation.
    """
    import matplotlib.pyplot as plt

    together = partitions.coclustering(idata, allocation=allocation).values
    rows, how = _order(together, order)
    if ax is None:
        _, ax = plt.subplots(figsize=(5.6, 4.7), layout="constrained")
    n_items = len(rows)
    image = ax.imshow(
        together[np.ix_(rows, rows)],
        cmap="Blues",
        vmin=0.0,
        vmax=1.0,
        interpolation="nearest",
        extent=(0.5, n_items + 0.5, n_items + 0.5, 0.5),
    )
    ax.set_xlabel(f"{item}{how}")
    ax.set_ylabel(f"{item}{how}")
    if colorbar:
        bar = ax.figure.colorbar(image, ax=ax, ticks=[0.0, 0.25, 0.5, 0.75, 1.0], pad=0.02)
        bar.set_label("posterior probability of sharing a cluster")
        bar.outline.set_visible(False)
    return ax


def _order(
    together: np.ndarray, order: Literal["linkage"] | ArrayLike | None
) -> tuple[np.ndarray, str]:
    """Permutation of the items, and what to say of it on the axes."""
    n_items = len(together)
    if order is None:
        return np.arange(n_items), ""
    if isinstance(order, str):
        if order != "linkage":
            raise ValueError(f"order = {order!r}; expected 'linkage', None or a permutation.")
        rows = partitions.leaf_order(together)
        return (rows[::-1] if rows[0] > rows[-1] else rows), " (ordered by similarity)"
    rows = np.asarray(order)
    if rows.shape != (n_items,) or not np.array_equal(np.sort(rows), np.arange(n_items)):
        raise ValueError(f"order is not a permutation of the {n_items} items 0, ..., N - 1.")
    return rows, " (reordered)"
