"""What an independent draw costs with each step, as bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pymc_dpsteps.plots.style import COLOURS, new_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["efficiency"]

_LARGE_RATIO = 20.0  # of the longest to the shortest bar: beyond, the short ones cannot be read
_BAR_INCHES = 0.2


def efficiency(
    table: pd.DataFrame, *, functionals: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the time of one independent draw for every step and functional; short bars are good.

    Parameters
    ----------
    table : pandas.DataFrame
        Result of `dps.efficiency`.
    functionals : sequence of str, optional
        Draw these only. Default: all in the table that are not constant.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The time axis is logarithmic where the longest bar is over 20 times the shortest.

    Raises
    ------
    ValueError
        If a functional is not in the table, or there is nothing to draw.
    """
    times = table["ms_per_independent_draw"].unstack("functional", sort=False)
    names = list(times.dropna(axis="columns", how="all") if functionals is None else functionals)
    if unknown := [name for name in names if name not in times]:
        known = ", ".join(map(str, times))
        raise ValueError(f"No functional {', '.join(unknown)} in the table; it has {known}.")
    if not names or times[names].isna().all(axis=None):
        raise ValueError("All functionals are constant: there is nothing to draw.")
    times = times[names]
    n_steps, n_names = times.shape
    ax = new_axes(ax, 7.2, max(1.2 + _BAR_INCHES * n_steps * (n_names + 1), 2.4))
    thickness = 1.0 / (n_names + 1)
    for j, name in enumerate(names):
        bars = ax.barh(
            np.arange(n_steps) + (j - (n_names - 1) / 2) * thickness,
            times[name],
            height=0.9 * thickness,
            color=COLOURS[j % len(COLOURS)],
            label=name,
        )
        ax.bar_label(bars, [_digits(x) for x in times[name]], padding=3, fontsize=8)
    _label(ax, times)
    return ax


def _label(ax: Axes, times: pd.DataFrame) -> None:
    longest, shortest = times.max(axis=None), times.min(axis=None)
    if longest > _LARGE_RATIO * shortest:
        ax.set_xscale("log")
        ax.set_xlim(shortest / 2.0, longest * 2.0)
        ax.xaxis.set_major_formatter("{x:g}")
    else:
        ax.set_xlim(0.0, 1.1 * longest)
    ax.set_yticks(np.arange(len(times)), [str(label) for label in times.index])
    ax.invert_yaxis()  # the first step on top
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("time per independent draw (ms)")
    tidy(ax)
    if times.shape[1] > 1:
        ax.legend(frameon=False, fontsize=8, bbox_to_anchor=(1.0, 0.5), loc="center left")
    else:
        ax.set_title(str(times.columns[0]), loc="left", fontsize=10)


def _digits(x: float) -> str:
    """Two significant digits, without an exponent."""
    return f"{x:.0f}" if x >= 100.0 else f"{x:.2g}"
