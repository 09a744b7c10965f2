"""Colours, marks and axes that all pictures share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "COLOURS",
    "DATA",
    "INK",
    "MUTED",
    "axis_label",
    "cluster_style",
    "new_axes",
    "percent",
    "spread",
    "tidy",
]

# Okabe and Ito's colours, told apart with any colour vision, without yellow: too faint on white.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
DATA = "#D9D9D9"
INK = "#333333"
MUTED = "#767676"

_MARKERS = ("o", "^", "s", "D", "v", "P", "X")
_DASHES = ("-", "--", ":", "-.")


def new_axes(ax: Axes | None, width: float, height: float) -> Axes:
    """Axes given, or those of a new figure of this size in inches."""
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax


def tidy(ax: Axes) -> None:
    """Leave the two spines that carry scales."""
    ax.spines[["top", "right"]].set_visible(False)


def axis_label(quantity: str, units: str | None) -> str:
    """Quantity with its units, where it has any."""
    return quantity if units is None else f"{quantity} ({units})"


def percent(probability: float) -> str:
    """Probability as in "89%"."""
    return f"{100.0 * probability:g}%"


def cluster_style(cluster: int) -> tuple[str, str, str]:
    """Colour, marker and line style of the cluster of this number, from 0.

    The first seven differ in colour; beyond, colours come again with other marks.
    """
    turn, colour = divmod(cluster, len(COLOURS))
    return COLOURS[colour], _MARKERS[turn % len(_MARKERS)], _DASHES[turn % len(_DASHES)]


def spread(positions: ArrayLike, gap: float) -> NDArray[np.float64]:
    """Positions moved apart, as little as pushing neighbours needs, to be at least `gap` apart.

    Parameters
    ----------
    positions : array_like of float, shape (n,)
        Wanted positions of labels along an axis.
    gap : float
        Least distance.

    Returns
    -------
    numpy.ndarray of float64, shape (n,)
        In the same order, with least sum of squared displacements.
    """
    from scipy.optimize import isotonic_regression

    wanted = np.asarray(positions, dtype=np.float64)
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    moved = np.empty_like(wanted)
    # Gaps of at least `gap` are an increasing sequence once the steps are taken off.
    moved[order] = isotonic_regression(wanted[order] - steps).x + steps
    return moved
