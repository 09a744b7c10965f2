"""A predictive density with its band, over the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["density"]

# Okabe and Ito's blue: told apart from grey with any colour vision, and in print.
_CURVE = "#0072B2"
_BARS = "#D9D9D9"
_RUG = "#555555"


def density(
    dataset: xr.Dataset,
    *,
    observed: ArrayLike | None = None,
    ax: Axes | None = None,
    quantity: str | None = None,
    units: str | None = None,
    bins: int | str | ArrayLike = "auto",
    rug: bool = True,
) -> Axes:
    """Draw a predictive density with its band over a histogram of the data.

    Parameters
    ----------
    dataset : xarray.Dataset
        Result of `dps.predict.density`.
    observed : array_like of float, optional
        The data, drawn as a histogram of unit area and as marks below the axis.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.
    quantity : str, optional
        What is on the horizontal axis. Default: the name of the observed variable.
    units : str, optional
        Its units, as in "1000 km/s".
    bins : int, str or array_like, default "auto"
        Bins of the histogram, see `numpy.histogram_bin_edges`.
    rug : bool, default True
        Whether to mark every observation.

    Returns
    -------
    matplotlib.axes.Axes
    """
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    (coordinate,) = dataset["mean"].dims
    x = dataset[coordinate].values
    if observed is not None:
        values = np.ravel(observed)
        edges = np.histogram_bin_edges(values, bins=bins)
        ax.hist(
            values,
            bins=edges.tolist(),
            density=True,
            color=_BARS,
            edgecolor="white",
            linewidth=0.6,
            label=f"data (n = {len(values)})",
            zorder=1,
        )
        if rug:
            ax.plot(
                values,
                np.full(len(values), -0.014),
                "|",
                color=_RUG,
                markersize=5,
                markeredgewidth=0.7,
                alpha=0.8,
                transform=ax.get_xaxis_transform(),
                clip_on=False,
                zorder=2,
            )
    percent = f"{100 * dataset.attrs['ci_prob']:g}%"
    ax.fill_between(
        x,
        dataset["lower"].values,
        dataset["upper"].values,
        color=_CURVE,
        alpha=0.28,
        linewidth=0,
        label=f"{percent} interval",
        zorder=3,
    )
    mean = dataset["mean"].values
    ax.plot(x, mean, color=_CURVE, linewidth=1.8, label="posterior mean", zorder=4)
    _label(ax, str(quantity or coordinate), units, x, has_rug=observed is not None and rug)
    return ax


def _label(ax: Axes, quantity: str, units: str | None, x: np.ndarray, has_rug: bool) -> None:
    ax.set_xlim(float(x[0]), float(x[-1]))
    ax.set_ylim(bottom=0.0)
    ax.set_xlabel(quantity if units is None else f"{quantity} ({units})")
    ax.set_ylabel("density" if units is None else f"density (per {units})")
    ax.spines[["top", "right"]].set_visible(False)
    if has_rug:  # below the axis: let the ticks reach past it
        ax.tick_params(axis="x", length=9)
    handles, labels = ax.get_legend_handles_labels()
    top_down = sorted(range(len(handles)), key=lambda n: -handles[n].get_zorder())
    ax.legend([handles[n] for n in top_down], [labels[n] for n in top_down], frameon=False)
