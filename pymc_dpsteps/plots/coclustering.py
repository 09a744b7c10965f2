"""The co-clustering matrix of a posterior, ordered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from pymc_dpsteps import partitions
from pymc_dpsteps.plots.style import COLOURS, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["coclustering"]

_OUTLINE = COLOURS[5]  # vermilion: seen on white and on every blue
_LEAST_LABEL_GAP = 0.035  # between labels of clusters, as a part of the axis


def coclustering(
    idata: xr.DataTree,
    *,
    partition: ArrayLike | None = None,
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
    partition : array_like of int, shape (N,), optional
        A partition of the items, such as `dps.partitions.point_partition`. Its clusters are put
        side by side, the largest first, outlined and labelled; `order` then holds within each.
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
        If the allocation is not in the posterior, or it is not clear which variable it is,
        `order` is not a permutation, or `partition` not a label for every item.
    """
    together = partitions.coclustering(idata, allocation=allocation).values
    n_items = len(together)
    rows, how = _order(together, order)
    if partition is not None:
        labels, sizes, of_items = _by_size(partition, n_items)
        rows = rows[np.argsort(of_items[rows], kind="stable")]
        how = ", by cluster"
    ax = new_axes(ax, 5.6 if partition is None else 6.6, 4.7)
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
    if partition is not None:
        _mark_clusters(ax, labels, sizes)
    if colorbar:
        beside = ax.inset_axes((1.03, 0.0, 0.05, 1.0))  # as high as the matrix
        bar = ax.figure.colorbar(image, cax=beside, ticks=[0.0, 0.25, 0.5, 0.75, 1.0])
        bar.set_label("posterior probability of sharing a cluster")
        bar.outline.set_visible(False)
    return ax


def _order(together: NDArray, order: Literal["linkage"] | ArrayLike | None) -> tuple[NDArray, str]:
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


def _by_size(partition: ArrayLike, n_items: int) -> tuple[NDArray, NDArray, NDArray]:
    """Labels and sizes of the clusters, the largest first, and the rank of every item's."""
    if np.shape(partition) != (n_items,):
        raise ValueError(
            f"The partition has shape {np.shape(partition)}; expected ({n_items},), a label for "
            "each item."
        )
    labels, codes, sizes = np.unique(partition, return_inverse=True, return_counts=True)
    largest_first = np.argsort(-sizes, kind="stable")
    return labels[largest_first], sizes[largest_first], largest_first.argsort()[codes]


def _mark_clusters(ax: Axes, labels: NDArray, sizes: NDArray) -> None:
    """Outline the clusters on the diagonal, and write their labels and sizes beside them."""
    from matplotlib.patches import Rectangle

    n_items = sizes.sum()
    starts = np.cumsum(sizes) - sizes + 0.5
    centres = starts + sizes / 2.0
    for start, size in zip(starts, sizes, strict=True):
        ax.add_patch(
            Rectangle((start, start), size, size, fill=False, edgecolor=_OUTLINE, linewidth=0.9)
        )
    shown = [0]
    for k in range(1, len(centres)):
        if centres[k] - centres[shown[-1]] >= _LEAST_LABEL_GAP * n_items:
            shown.append(k)
    ax.set_yticks(centres[shown], [f"{labels[k]} (n = {sizes[k]})" for k in shown], fontsize=8)
    ax.set_xticks([])
    ax.tick_params(axis="y", length=0)
