"""Pictures of a check: ranks, coverage, and the number of clusters beside the reference's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pymc_dpsteps.amortized.check_calibration import BAND, ecdf_band
from pymc_dpsteps.plots.style import COLOURS, DATA, INK, MUTED, cluster_style, percent, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_calibration", "draw_coverage", "draw_n_clusters"]

_LEAST_SHOWN = 0.001  # probability below which a number of clusters is left out


def draw_calibration(calibration: xr.Dataset, ax: Axes) -> None:
    """Draw how far the distribution functions of the ranks are from the uniform one."""
    for j, name in enumerate(calibration["functional"].values):
        level, ecdf, lower, upper = ecdf_band(calibration["pit"].sel(functional=name))
        if j == 0:
            ax.fill_between(
                level, lower - level, upper - level, color=DATA, linewidth=0.0, label=_band()
            )
        colour, _, dashes = cluster_style(j)
        ax.plot(level, ecdf - level, color=colour, linestyle=dashes, linewidth=1.2, label=name)
    ax.axhline(0.0, color=MUTED, linewidth=0.8, zorder=0.5)
    ax.set_xlim(0.0, 1.0)
    ax.set_xlabel("share of draws below the truth")
    ax.set_ylabel("share of data sets, less that of draws")
    tidy(ax)
    # Above: curves may be anywhere within.
    ax.legend(frameon=False, fontsize=7, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0))


def draw_coverage(calibration: xr.Dataset, ax: Axes) -> None:
    """Draw expected coverage against credibility."""
    level, ecdf, lower, upper = ecdf_band(calibration["coverage_pit"])
    ax.fill_between(level, lower, upper, color=DATA, linewidth=0.0, label=_band())
    ax.plot([0.0, 1.0], [0.0, 1.0], color=MUTED, linewidth=0.8)
    ax.plot(level, ecdf, color=COLOURS[0], linewidth=1.5, label="sampler")
    ax.set(xlim=(0.0, 1.0), ylim=(0.0, 1.0), aspect="equal")
    ax.set_xlabel("credibility of the region")
    ax.set_ylabel("expected coverage")
    tidy(ax)
    ax.legend(frameon=False, fontsize=8, loc="upper left")


def draw_n_clusters(comparison: xr.Dataset, ax: Axes) -> None:
    """Draw P(k) of the data set in which sampler and reference differ most."""
    from matplotlib.ticker import MaxNLocator

    variation = comparison["total_variation"].sel(pair="sample").values
    worst = int(variation.argmax())
    probability = comparison["probability"].isel(dataset=worst)
    probability = probability[:, (probability >= _LEAST_SHOWN).any("source").values]
    k = probability["n_clusters"].values
    reference, sample = (probability.sel(source=name).values for name in ("reference", "sample"))
    ax.bar(k, reference, width=0.8, color=COLOURS[4], alpha=0.6, label="reference")
    ax.plot(k, sample, "o", color=INK, markersize=4, label="sampler")
    ax.set_ylim(0.0, 1.15 * max(np.max(reference), np.max(sample)))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("number of clusters")
    ax.set_ylabel("posterior probability")
    text = f"total variation {variation[worst]:.2f}"
    if len(variation) > 1:
        text += f", the largest of {len(variation)} data sets"
    ax.set_title(text, loc="left", fontsize=9)
    tidy(ax)
    ax.legend(frameon=False, fontsize=8)


def _band() -> str:
    return f"{percent(BAND)} of exact samplers"
