"""The posterior of the number of clusters, as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pymc_dpsteps import partitions
from pymc_dpsteps.partitions.labels import find_allocation, posterior_of
from pymc_dpsteps.plots.style import COLOURS, INK, new_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["n_clusters"]

_BAR = COLOURS[4]
_MAX_LABELLED = 15  # bars, beyond which their numbers would touch
_LEAST_LABELLED = 0.005  # probability that two digits show


def n_clusters(
    idata: xr.DataTree, *, allocation: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the posterior probability of every number of clusters.

    A dot is the proportion of one chain's draws: where chains agree, the dots of a bar lie close
    to its end.

    Parameters
    ----------
    idata : xarray.DataTree
        Result of `dps.sample` or `pymc.sample`.
    allocation : str, optional
        Name of the allocation. Default: the only integer vector in the posterior.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the allocation is not in the posterior, or it is not clear which variable it is.
    """
    from matplotlib.ticker import MaxNLocator

    functionals: Any = idata.children.get("partition", {})
    if allocation is None and "n_clusters" in functionals and not _has_labels(idata):
        found = functionals["n_clusters"].transpose("chain", "draw").values
    else:
        found = partitions.n_clusters(find_allocation(posterior_of(idata), allocation))
    first, last = int(found.min()), int(found.max())
    k = np.arange(first, last + 1)
    counts = np.array([np.bincount(row - first, minlength=len(k)) for row in found])
    by_chain = counts / found.shape[1]
    probability = by_chain.mean(axis=0)
    ax = new_axes(ax, 6.0, 3.4)
    ax.bar(k, probability, width=0.8, color=_BAR, alpha=0.6, label="all chains", zorder=1)
    offsets = 0.8 * ((np.arange(len(found)) + 0.5) / len(found) - 0.5)
    for j, row in enumerate(by_chain):
        label = "one chain" if j == 0 else None
        ax.plot(k + offsets[j], row, ".", color=INK, markersize=4, label=label, zorder=2)
    if len(k) <= _MAX_LABELLED:
        heights = np.maximum(probability, by_chain.max(axis=0))
        for bar in np.flatnonzero(probability >= _LEAST_LABELLED):
            text, where = f"{probability[bar]:.2f}", (k[bar], heights[bar])
            ax.annotate(text, where, (0, 4), textcoords="offset points", ha="center", fontsize=8)
    ax.set_ylim(0.0, 1.12 * by_chain.max())
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("number of clusters")
    ax.set_ylabel("posterior probability")
    tidy(ax)
    ax.legend(frameon=False, fontsize=8)
    return ax


def _has_labels(idata: xr.DataTree) -> bool:
    """Whether an allocation was kept of every draw."""
    variables = idata["posterior"].data_vars.values() if "posterior" in idata.children else ()
    return any(x.dtype.kind in "iu" and x.ndim == 3 for x in variables)
