"""Observations ``e ~ Normal(mu, precision w)`` with w known and ``mu ~ Normal(m, precision p)``.

An observation contributes ``(e, w)``; ``hyper = (m, p)``; the statistics are the moments of e
with weights w, and ``Σ log w``.
"""

from math import log, pi, sqrt

import numpy as np

from pymc_dpsteps.conjugate.families.moments import update_moments
from pymc_dpsteps.jit import njit
from pymc_dpsteps.mixture.structure import Family

__all__ = ["NORMAL"]


@njit
def update(d: int, stats: np.ndarray, datum: np.ndarray, sign: float) -> None:
    """Add or remove an observation."""
    update_moments(stats, datum[0], datum[1], sign)
    stats[5] = 0.0 if stats[0] == 0.0 else stats[5] + sign * log(datum[1])


@njit
def log_marginal(d: int, stats: np.ndarray, hyper: np.ndarray) -> float:
    """Log of the integral over mu."""
    m, p = hyper
    n, total, squares, log_w = stats[0], stats[1], stats[4], stats[5]
    if n == 0.0:
        return 0.0
    deviation = stats[2] - m + stats[3]
    distance = total * p / (total + p) * deviation * deviation
    return 0.5 * (log_w - n * log(2.0 * pi) + log(p / (p + total)) - squares - distance)


@njit
def draw(
    rng: np.random.Generator, d: int, stats: np.ndarray, hyper: np.ndarray, natural: np.ndarray
) -> None:
    """Draw mu from its normal posterior."""
    m, p = hyper
    precision = stats[1] + p
    shift = stats[1] * (stats[2] - m + stats[3]) / precision
    natural[0] = m + shift + rng.standard_normal() / sqrt(precision)


NORMAL = Family("normal", lambda d: 6, lambda d: 2, lambda d: 1, update, log_marginal, draw)
