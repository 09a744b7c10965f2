"""A predictive density, distribution function or hazard with its band, over the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from pymc_dpsteps.plots.style import (
    COLOURS,
    DATA,
    INK,
    MUTED,
    axis_label,
    cluster_style,
    new_axes,
    percent,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["density"]

_CURVE = COLOURS[0]
_MAX_POINTS = len(COLOURS)


def density(
    dataset: xr.Dataset,
    *,
    observed: ArrayLike | None = None,
    true: ArrayLike | None = None,
    ax: Axes | None = None,
    quantity: str | None = None,
    units: str | None = None,
    bins: int | str | ArrayLike = "auto",
    rug: bool = True,
) -> Axes:
    """Draw a predictive density, distribution function or hazard with its band, over the data.

    Parameters
    ----------
    dataset : xarray.Dataset
        Result of `dps.predict.density`, `cdf` or `hazard` over values of one variable. Where it
        holds the parts of the clusters of a partition, each is a thin line. Curves at several
        points of covariates, at most seven, are drawn in one picture.
    observed : array_like of float, optional
        The data, as marks below the axis; under a density also as a histogram of unit area,
        under a distribution function as its empirical counterpart.
    true : array_like of float, shape (G,), optional
        The curve from which data were simulated, at the values of the dataset.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.
    quantity : str, optional
        What is on the horizontal axis. Default: the name of the observed variable.
    units : str, optional
        Its units, as in "1000 km/s".
    bins : int, str or array_like, default "auto"
        Bins of the histogram, see `numpy.histogram_bin_edges`; one for every integer where the
        curve is over integers and the bins are not given as edges or a number.
    rug : bool, default True
        Whether to mark every observation.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the dataset is over values of several coordinates, or has more than seven points, or
        several and parts of clusters.
    """
    kind = dataset.attrs.get("kind", "density")
    x, coordinate = _grid(dataset)
    ax = new_axes(ax, 7.2, 4.2)
    if observed is not None:
        values = np.ravel(observed)
        if _is_discrete(x) and isinstance(bins, str):
            bins = np.arange(values.min(), values.max() + 2) - 0.5  # one for every integer
        _draw_data(ax, values, kind, bins, rug, hollow="components" in dataset)
    if "point" in dataset["mean"].dims:
        _draw_points(ax, dataset, x)
    else:
        _draw_curve(ax, dataset, x)
    if true is not None:
        ax.plot(x, true, color=INK, linestyle=(0, (4, 2)), label="truth", zorder=7)
    _label(ax, kind, str(quantity or coordinate), units, x, observed is not None and rug)
    return ax


def _grid(dataset: xr.Dataset) -> tuple[NDArray, str]:
    """Values on the horizontal axis, and their name; refuse what cannot be drawn."""
    coordinate = str(dataset["mean"].dims[-1])
    if coordinate not in dataset.coords or dataset[coordinate].ndim != 1:
        raise ValueError(
            "The curve is over observations of several coordinates; expected one over values of "
            "one variable, of a grid of shape (G,)."
        )
    if "point" in dataset["mean"].dims:
        if "components" in dataset:
            raise ValueError(
                "The dataset holds the clusters' parts at several points. Choose one, as in "
                "dataset.isel(point=0)."
            )
        if (n_points := dataset.sizes["point"]) > _MAX_POINTS:
            raise ValueError(
                f"The dataset holds curves at {n_points} points; at most {_MAX_POINTS} can be "
                "told apart. Choose some, as in dataset.isel(point=[0, 10])."
            )
    return dataset[coordinate].values, coordinate


def _is_discrete(x: NDArray) -> bool:
    return x.dtype.kind in "iub"


def _draw_data(ax: Axes, values: NDArray, kind: str, bins: Any, rug: bool, hollow: bool) -> None:
    """Draw the data as a histogram, hollow where the band is as grey, and marks below the axis."""
    label = f"data (n = {len(values)})"
    if kind == "density":
        edges = np.histogram_bin_edges(values, bins=bins).tolist()
        style: dict[str, Any] = dict(color=DATA, edgecolor="white", linewidth=0.6, zorder=1)
        if hollow:
            style = dict(color="none", edgecolor=MUTED, linewidth=0.6, histtype="step", zorder=4)
        ax.hist(values, bins=edges, density=True, label=label, **style)
    elif kind == "cdf":
        ax.ecdf(values, color=MUTED, linewidth=1.0, label=label, zorder=2)
    if rug:
        ax.plot(
            values,
            np.full(len(values), -0.014),
            "|",
            color=INK,
            markersize=5,
            markeredgewidth=0.7,
            alpha=0.8,
            transform=ax.get_xaxis_transform(),
            clip_on=False,
            zorder=2,
        )


def _draw_band(ax: Axes, dataset: xr.Dataset, x: NDArray, colour: str, **options: Any) -> None:
    lower, upper = dataset["lower"].values, dataset["upper"].values
    ax.fill_between(x, lower, upper, color=colour, linewidth=0, zorder=3, **options)


def _draw_curve(ax: Axes, dataset: xr.Dataset, x: NDArray) -> None:
    has_parts = "components" in dataset
    colour = INK if has_parts else _CURVE  # blue is the first cluster's
    interval = f"{percent(dataset.attrs['ci_prob'])} interval"
    _draw_band(ax, dataset, x, colour, alpha=0.22 if has_parts else 0.28, label=interval)
    mean = dataset["mean"].values
    width = 3.0 if has_parts else 1.8  # seen below a part that makes up nearly all of it
    ax.plot(x, mean, color=colour, linewidth=width, label="posterior mean", zorder=5)
    if not has_parts:
        return
    names = [str(name) for name in dataset["cluster"].values]
    for k, (name, part) in enumerate(zip(names, dataset["components"].values, strict=True)):
        hue, _, dashes = cluster_style(k)
        label = f"cluster {name}"
        if name == "new":
            hue, dashes, label = MUTED, "--", "new cluster"
        ax.plot(x, part, color=hue, linestyle=dashes, linewidth=1.3, label=label, zorder=6)


def _draw_points(ax: Axes, dataset: xr.Dataset, x: NDArray) -> None:
    covariates = [name for name, c in dataset.coords.items() if c.dims == ("point",)]
    for j in range(dataset.sizes["point"]):
        at = dataset.isel(point=j)
        values = [f"{name} = {_plain(at[name].item())}" for name in covariates if name != "point"]
        _draw_band(ax, at, x, COLOURS[j], alpha=0.18)
        label = ", ".join(values) or f"point {j}"
        ax.plot(x, at["mean"].values, color=COLOURS[j], linewidth=1.6, label=label, zorder=5)
    ax.fill_between([], [], color=MUTED, alpha=0.3, linewidth=0, zorder=3).set_label(
        f"{percent(dataset.attrs['ci_prob'])} intervals"
    )


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _label(
    ax: Axes, kind: str, quantity: str, units: str | None, x: NDArray, has_rug: bool
) -> None:
    beyond = 0.5 if _is_discrete(x) else 0.0
    ax.set_xlim(float(x[0]) - beyond, float(x[-1]) + beyond)
    ax.set_ylim(0.0, 1.0 if kind == "cdf" else None)
    ax.set_xlabel(axis_label(quantity, units))
    if kind == "cdf":
        ax.set_ylabel("probability of a value at most this")
    elif _is_discrete(x):
        ax.set_ylabel("probability")
    else:
        ax.set_ylabel(kind if units is None else f"{kind} (per {units})")
    tidy(ax)
    if has_rug:  # below the axis: let the ticks reach past it
        ax.tick_params(axis="x", length=9)
    handles, labels = ax.get_legend_handles_labels()
    top_down = sorted(range(len(handles)), key=lambda n: -handles[n].get_zorder())
    ax.legend([handles[n] for n in top_down], [labels[n] for n in top_down], frameon=False)
