"""A point partition of the items, and the bounds of its credible ball."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.stats.contingency import crosstab

from pymc_dpsteps.partitions.relabel import matched_clusters
from pymc_dpsteps.plots.clusters import clusters, opacity, plane
from pymc_dpsteps.plots.style import axis_label, cluster_style, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["partition"]

_BOUNDS = {
    "horizontal": "horizontal bound",
    "vertical_upper": "vertical upper bound",
    "vertical_lower": "vertical lower bound",
}
_OFFSETS = np.array([0.0, 0.16, -0.16])  # of neighbours, which would hide each other


def partition(
    y: ArrayLike,
    partition: ArrayLike,
    ball: xr.Dataset | None = None,
    *,
    certainty: ArrayLike | None = None,
    quantity: Any = None,
    units: Any = None,
    ax: Axes | None = None,
) -> Axes | NDArray[Any]:
    """Draw a partition of data on the line or in the plane, with the bounds of its credible ball.

    Clusters of the bounds have the colours of the clusters of the partition with which they share
    most items, each at most one; those that are left have further colours.

    Parameters
    ----------
    y : array_like of float, shape (N,) or (N, 2)
        The data.
    partition : array_like of int, shape (N,)
        Labels of the items, such as `dps.partitions.point_partition`.
    ball : xarray.Dataset, optional
        Result of `dps.partitions.credible_ball`. Of several bounds that are equally far, the
        first is drawn.
    certainty : array_like of float, shape (N,), optional
        Between 0 and 1, such as ``dps.partitions.certainty(idata, partition)["own"]``: less
        certain items of the partition are fainter. NaN, an item that is alone, is drawn in full.
    quantity : str or tuple of str, optional
        What is on the axis; two for data in the plane.
    units : str or tuple of str or None, optional
        Units, as in "1000 km/s".
    ax : matplotlib.axes.Axes, optional
        Where to draw data on the line. Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes, or numpy.ndarray of Axes for data in the plane
        Data on the line have a row for every partition, with the items at their values;
        neighbours are moved up and down. Data in the plane have a panel for every partition.

    Raises
    ------
    ValueError
        If the data are not on the line or in the plane, or lengths differ.
    """
    values, labels = np.asarray(y, dtype=np.float64), np.asarray(partition)
    if labels.shape != values.shape[:1]:
        raise ValueError(
            f"The partition has shape {labels.shape}; expected {values.shape[:1]}, a label for "
            "each of the data."
        )
    rows = [("point estimate", labels)] + ([] if ball is None else _bounds(ball, labels))
    if values.ndim == 1:
        return _draw_rows(values, rows, certainty, axis_label(quantity or "y", units), ax)
    return _draw_panels(plane(values), rows, certainty, quantity, units)


def _bounds(ball: xr.Dataset, labels: NDArray) -> list[tuple[str, NDArray]]:
    """Title and labels of every bound of the ball."""
    found = []
    for name, meaning in _BOUNDS.items():
        bound = _aligned(ball[name].values[0], labels)
        distance = float(ball[f"{name}_distance"])
        found.append((f"{meaning}\n{ball.attrs['loss'].upper()} {distance:.2f}", bound))
    return found


def _aligned(bound: NDArray, labels: NDArray) -> NDArray:
    """Number the clusters of a partition like those of another that they overlap most."""
    (found, known), table = crosstab(bound, labels)
    matched, numbers = matched_clusters(table)
    number = np.full(len(found), -1)
    number[matched] = known[numbers]
    left = number < 0
    number[left] = known.max() + 1 + np.arange(left.sum())
    return number[np.searchsorted(found, bound)]


def _draw_rows(
    values: NDArray[np.float64],
    rows: list[tuple[str, NDArray]],
    certainty: ArrayLike | None,
    label: str,
    ax: Axes | None,
) -> Axes:
    ax = new_axes(ax, 7.6, 1.0 + 0.75 * len(rows))
    rank = np.argsort(np.argsort(values, kind="stable"))
    offsets = _OFFSETS[rank % len(_OFFSETS)]
    for r, (_, labels) in enumerate(rows):
        alpha = opacity(certainty if r == 0 else None, len(values))
        for k in np.unique(labels):
            colour, marker, _ = cluster_style(k)
            chosen = labels == k
            ax.scatter(
                values[chosen],
                r + offsets[chosen],
                s=20,
                color=colour,
                marker=marker,
                alpha=alpha[chosen],
                linewidth=0,
            )
    ax.set_yticks(range(len(rows)), [_title(*row) for row in rows], fontsize=8)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(label)
    ax.spines[["top", "right", "left"]].set_visible(False)
    return ax


def _draw_panels(
    values: NDArray[np.float64],
    rows: list[tuple[str, NDArray]],
    certainty: ArrayLike | None,
    quantities: Any,
    units: Any,
) -> NDArray[Any]:
    import matplotlib.pyplot as plt

    n_columns = min(len(rows), 2)
    n_rows = -(-len(rows) // n_columns)
    _, axes = plt.subplots(
        n_rows,
        n_columns,
        figsize=(4.6 * n_columns, 3.5 * n_rows),
        layout="constrained",
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for r, (row, ax) in enumerate(zip(rows, axes.flat, strict=True)):
        clusters(
            values,
            row[1],
            certainty=certainty if r == 0 else None,
            ellipses=False,
            quantities=quantities,
            units=units or (None, None),
            ax=ax,
        )
        ax.set_title(_title(*row), fontsize=9, loc="left")
        ax.label_outer()
    return axes


def _title(what: str, labels: NDArray) -> str:
    n_clusters = len(np.unique(labels))
    return f"{what}, {n_clusters} cluster{'s' if n_clusters > 1 else ''}"
