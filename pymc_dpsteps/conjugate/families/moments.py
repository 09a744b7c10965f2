"""Weighted mean and sum of squares, updated by adding or removing one observation.

``moments = (n, W, mean, M)`` with total weight ``W = Σ w``, ``mean = Σ w e / W`` and
``M = Σ w (e - mean)²``. Deviations from the running mean, and not sums of squares, because these
lose all digits where the mean is far from zero (Welford 1962; West 1979 for weights).
"""

import numpy as np

from pymc_dpsteps.jit import njit

__all__ = ["update_moments"]


@njit
def update_moments(moments: np.ndarray, e: float, w: float, sign: float) -> None:
    """Add or remove the value e with weight w > 0; of no value all moments are exactly zero."""
    moments[0] += sign
    if moments[0] == 0.0:
        moments[:4] = 0.0
        return
    total = moments[1] + sign * w
    deviation = e - moments[2]
    moments[2] += sign * w * deviation / total
    moments[3] = max(moments[3] + sign * w * deviation * (e - moments[2]), 0.0)
    moments[1] = total
