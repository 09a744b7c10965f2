"""Resampling of weighted draws."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["systematic"]


def systematic(
    probability: NDArray[np.float64], n_rows: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Resample systematically: draw s comes ``n_rows * probability[s]`` times, rounded at random.

    Parameters
    ----------
    probability : numpy.ndarray of float64, shape (S,)
        Sums to one.
    n_rows : int
        Number of draws wanted.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray of int64, shape (n_rows,)
        Numbers of draws, in increasing order. Equal weights are thinned to evenly spaced draws.
    """
    points = (np.arange(n_rows) + rng.random()) / n_rows
    index = np.searchsorted(np.cumsum(probability), points, side="right")
    # The last sum may fall short of 1 by rounding; behind it no draw has any weight.
    return np.minimum(index, np.flatnonzero(probability)[-1])
