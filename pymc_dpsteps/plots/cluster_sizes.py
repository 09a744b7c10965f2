"""Cluster sizes by rank, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from pymc_dpsteps import diagnostics
from pymc_dpsteps.plots.style import COLOURS, new_axes, percent, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["cluster_sizes"]

_INNER, _OUTER = 0.50, 0.89


def cluster_sizes(
    idata: xr.DataTree,
    *,
    allocation: str | None = None,
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw the posterior of the sizes of the largest cluster, the second largest, and so on.

    Parameters
    ----------
    idata : xarray.DataTree
        Result of `dps.sample` or `pymc.sample`.
    allocation : str, optional
        Name of the allocation. Default: the only integer vector in the posterior.
    log : bool, default False
        Whether sizes are on a logarithmic scale above 1; no cluster is 0 on either.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Medians with equal-tailed intervals of 50% and 89%. A draw with fewer clusters counts as
        one in which the rank has no items; ranks whose intervals hold nothing else are left out.

    Raises
    ------
    ValueError
        If the allocation is not in the posterior, or it is not clear which variable it is.
    """
    from matplotlib.ticker import MaxNLocator

    sizes = diagnostics.cluster_sizes(idata, allocation=allocation)
    inner, outer = 0.5 - _INNER / 2.0, 0.5 - _OUTER / 2.0
    levels = [outer, inner, 0.5, 1.0 - inner, 1.0 - outer]
    quantiles = sizes.quantile(levels, dim=("chain", "draw"), method="inverted_cdf")
    quantiles = quantiles.isel(rank=(quantiles[-1] > 0).values)
    ranks = quantiles["rank"].values
    low, lower, middle, upper, high = quantiles.values
    ax = new_axes(ax, 6.0, 3.4)
    ax.vlines(ranks, low, high, COLOURS[4], linewidth=1.6, label=percent(_OUTER), zorder=1)
    ax.vlines(ranks, lower, upper, COLOURS[0], linewidth=4.5, label=percent(_INNER), zorder=2)
    ax.plot(ranks, middle, "o", color="white", markeredgecolor=COLOURS[0], label="median", zorder=3)
    if log:
        ax.set_yscale("symlog", linthresh=1.0)
        ax.yaxis.set_major_formatter("{x:g}")
    ax.set_ylim(bottom=0.0 if not log else -0.15)
    ax.set_xlim(0.4, ranks[-1] + 0.6)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("rank of the cluster by size")
    ax.set_ylabel("number of items")
    tidy(ax)
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], labels[::-1], frameon=False, fontsize=8)
    return ax
