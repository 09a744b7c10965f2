"""Weighted means and scatter, updated by adding or removing one observation.

Deviations from the running mean, and not sums of squares, because these lose all digits where the
mean is far from zero (Welford 1962; West 1979 for weights). The mean is held as an unevaluated sum
of two numbers: rounded to one, it would itself lose a digit of the deviations for every digit by
which it exceeds them, and over many additions and removals these errors add up.
"""

import numpy as np

from pymc_dpsteps.jit import njit_lean

__all__ = ["update_moments", "update_vector_moments"]


@njit_lean
def update_moments(moments: np.ndarray, e: float, w: float, sign: float) -> None:
    """Add or remove the value e with weight w > 0; of no value all moments are exactly zero.

    ``moments = (n, W, mean, rest of the mean, M)`` with total weight ``W = Σ w`` and
    ``M = Σ w (e - mean)²``.
    """
    moments[0] += sign
    if moments[0] == 0.0:
        moments[:5] = 0.0
        return
    before = moments[1]
    total = before + sign * w
    deviation = e - moments[2] - moments[3]
    change = sign * w / total * deviation
    # The deviation from the new mean is that from the old one times before / total.
    moments[4] = max(moments[4] + change * deviation * before, 0.0)
    rest = moments[3] + change
    mean = moments[2] + rest
    moments[3] = rest - (mean - moments[2])
    moments[2] = mean
    moments[1] = total


@njit_lean
def update_vector_moments(
    d: int, moments: np.ndarray, e: np.ndarray, w: float, sign: float
) -> None:
    """Add or remove the vector e with weight w > 0; of no vector all moments are exactly zero.

    ``moments = (n, W, mean, rest of the mean, S)`` with the scatter
    ``S = Σ w (e - mean)(e - mean)'``.
    """
    moments[0] += sign
    if moments[0] == 0.0:
        moments[: 2 + 2 * d + d * d] = 0.0
        return
    before = moments[1]
    total = before + sign * w
    mean, rest, scatter = 2, 2 + d, 2 + 2 * d  # where they begin: a slice costs more than a sum
    factor, share = sign * w * before / total, sign * w / total
    for i in range(d):
        left = factor * (e[i] - moments[mean + i] - moments[rest + i])
        for j in range(i + 1):
            change = left * (e[j] - moments[mean + j] - moments[rest + j])
            moments[scatter + i * d + j] += change
            if j < i:
                moments[scatter + j * d + i] += change
    for i in range(d):
        old = moments[mean + i]
        small = moments[rest + i] + share * (e[i] - old - moments[rest + i])
        new = old + small
        moments[rest + i] = small - (new - old)
        moments[mean + i] = new
    moments[1] = total
