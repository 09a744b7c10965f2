"""How the time of an independent draw grows with the dimension or the number of items."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pymc_dpsteps.plots.style import INK, cluster_style, new_axes, spread, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["scaling"]

_TIME = "ms_per_independent_draw"
_LABEL_GAP = 0.055  # between labels, as a part of the axis


def scaling(
    table: pd.DataFrame, *, x: str, label: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the time of one independent draw against a size of the problem, on logarithmic axes.

    Parameters
    ----------
    table : pandas.DataFrame
        A row for every step and size, with the columns ``step``, `x` and
        ``ms_per_independent_draw``; the last as from `dps.efficiency`. Rows without a time, NaN,
        are left out.
    x : str
        Column of the sizes, which are positive, such as a dimension or a number of items.
    label : str, optional
        What the sizes are, for the axis. Default: `x`.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A line for every step, labelled at its end. A slope of 1 is a time in proportion to the
        size.

    Raises
    ------
    ValueError
        If the table lacks a column, it holds no times, or a size or a time is not positive.
    """
    from matplotlib.ticker import NullFormatter

    needed = ["step", x, _TIME]
    if missing := [name for name in needed if name not in table]:
        known = ", ".join(map(str, table))
        raise ValueError(f"No column {', '.join(missing)} in the table; it has {known}.")
    times = table[needed].dropna()
    if times.empty or (times[[x, _TIME]] <= 0.0).any(axis=None):
        raise ValueError(f"Expected rows in which {x} and {_TIME} are positive.")
    ax = new_axes(ax, 6.4, 4.2)
    ends = {}
    for k, (step, rows) in enumerate(times.groupby("step", sort=False)):
        rows = rows.sort_values(x)
        colour, marker, dashes = cluster_style(k)
        ax.loglog(rows[x], rows[_TIME], color=colour, marker=marker, linestyle=dashes, markersize=4)
        ends[str(step)] = colour, rows[x].iloc[-1], rows[_TIME].iloc[-1]
    sizes = np.unique(times[x])
    ax.set_xticks(sizes, [f"{size:g}" for size in sizes])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xlabel(label or x)
    ax.set_ylabel("time per independent draw (ms)")
    tidy(ax)
    _label_ends(ax, ends)
    return ax


def _label_ends(ax: Axes, ends: dict[str, tuple[str, float, float]]) -> None:
    """Write the name of every line to the right of the axes, at the height of its end."""
    to_axes = (ax.transData + ax.transAxes.inverted()).transform
    heights = to_axes([(x, y) for _, x, y in ends.values()])[:, 1]
    for (name, (colour, x, y)), height in zip(
        ends.items(), spread(heights, _LABEL_GAP), strict=True
    ):
        ax.annotate(
            name,
            xy=(x, y),
            xytext=(1.03, height),
            textcoords="axes fraction",
            color=INK,
            fontsize=8,
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 1},
        )
