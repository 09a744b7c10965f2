"""Clusters of data in the plane, with their ellipses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from pymc_dpsteps.plots.style import axis_label, cluster_style, new_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["clusters", "opacity", "plane"]

_CONTOURS = (0.5, 0.9)
_MAX_NAMED = 12  # clusters in the legend
_FAINTEST = 0.15


def clusters(
    y: ArrayLike,
    partition: ArrayLike,
    *,
    certainty: ArrayLike | None = None,
    ellipses: bool = True,
    quantities: tuple[str, str] | None = None,
    units: tuple[str | None, str | None] = (None, None),
    ax: Axes | None = None,
) -> Axes:
    """Draw data in the plane, coloured by cluster.

    Parameters
    ----------
    y : array_like of float, shape (N, 2)
        The data.
    partition : array_like of int, shape (N,)
        Labels of the items, such as `dps.partitions.point_partition`. Clusters share colours with
        the other pictures where they are numbered from 0 by size, as there.
    certainty : array_like of float, shape (N,), optional
        Between 0 and 1, such as ``dps.partitions.certainty(idata, partition)["own"]``: less
        certain items are fainter. NaN, an item that is alone, is drawn in full.
    ellipses : bool, default True
        Whether to draw, for every cluster of at least three items, the contours that hold 50% and
        90% of the normal distribution with the mean and covariance of its items. They describe
        the items, not the posterior of the cluster's parameters.
    quantities : tuple of str, optional
        What is on the axes.
    units : tuple of str or None, optional
        Their units, as in ``("min", "min")``.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the data are not in the plane, or `partition` or `certainty` has another length.
    """
    values = plane(y)
    labels = np.asarray(partition)
    if labels.shape != (len(values),):
        raise ValueError(
            f"The partition has shape {labels.shape}; expected ({len(values)},), a label for each "
            "of the data."
        )
    alpha = opacity(certainty, len(values))
    ax = new_axes(ax, 5.6, 4.4)
    found, sizes = np.unique(labels, return_counts=True)
    for k, (label, size) in enumerate(zip(found, sizes, strict=True)):
        colour, marker, _ = cluster_style(label)
        chosen = labels == label
        style: dict[str, Any] = {"s": 22, "color": colour, "marker": marker, "linewidth": 0}
        ax.scatter(values[chosen, 0], values[chosen, 1], alpha=alpha[chosen], zorder=2, **style)
        if k < _MAX_NAMED:  # the legend shows full colours
            ax.scatter([], [], label=f"{label} (n = {size})", **style)
        if ellipses and size > 2:
            _draw_ellipses(ax, values[chosen], colour)
    if quantities is not None:
        ax.set_xlabel(axis_label(quantities[0], units[0]))
        ax.set_ylabel(axis_label(quantities[1], units[1]))
    tidy(ax)
    more = len(found) - _MAX_NAMED
    ax.legend(
        title="cluster" if more <= 0 else f"cluster\n({more} more)",
        bbox_to_anchor=(1.0, 0.5),  # clear of the data
        loc="center left",
        frameon=False,
        fontsize=8,
        title_fontsize=8,
    )
    return ax


def plane(y: ArrayLike) -> NDArray[np.float64]:
    """Data in the plane, checked.

    Raises
    ------
    ValueError
        If they have another shape.
    """
    values = np.asarray(y, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 2:
        raise ValueError(
            f"The data have shape {values.shape}; expected (N, 2). Choose two columns, as in "
            "y[:, [0, 2]]."
        )
    return values


def opacity(certainty: ArrayLike | None, n_items: int) -> NDArray[np.float64]:
    """Opacity of the items' marks, shape (N,).

    Raises
    ------
    ValueError
        If there is not one certainty for each item.
    """
    if certainty is None:
        return np.full(n_items, 0.8)
    found = np.asarray(certainty, dtype=np.float64)
    if found.shape != (n_items,):
        raise ValueError(
            f"certainty has shape {found.shape}; expected ({n_items},), a number for each item."
        )
    return _FAINTEST + (1.0 - _FAINTEST) * np.clip(np.nan_to_num(found, nan=1.0), 0.0, 1.0)


def _draw_ellipses(ax: Axes, values: NDArray[np.float64], colour: str) -> None:
    """Contours of the normal distribution with the mean and covariance of the values."""
    mean = values.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(values.T))
    angle = np.linspace(0.0, 2.0 * np.pi, 101)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    unit = axes @ (np.sqrt(np.maximum(variances, 0.0))[:, None] * circle)
    for probability in _CONTOURS:
        x, y = mean[:, None] + np.sqrt(chi2.ppf(probability, 2)) * unit
        ax.plot(x, y, color=colour, linewidth=1.0, alpha=0.8, zorder=3)
