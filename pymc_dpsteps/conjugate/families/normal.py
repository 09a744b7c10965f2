"""Observations ``e ~ Normal(mu, precision w)`` with w known and ``mu ~ Normal(m, precision p)``.

An observation contributes ``(e, w)``; ``hyper = (m, p)``; the statistics are the moments of e
with weights w, and ``Σ log w``.
"""

from math import log, pi, sqrt

import numpy as np

from pymc_dpsteps.conjugate.families.moments import update_moments
from pymc_dpsteps.jit import njit_lean
from pymc_dpsteps.mixture.structure import Family

__all__ = ["NORMAL"]


@njit_lean
def update(d: int, stats: np.ndarray, datum: np.ndarray, sign: float) -> None:
    """Add or remove an observation."""
    update_moments(stats, datum[0], datum[1], sign)
    if stats[0] == 0.0:
        stats[5] = 0.0
    elif datum[1] != 1.0:
        stats[5] += sign * log(datum[1])


@njit_lean
def log_marginal(d: int, stats: np.ndarray, hyper: np.ndarray) -> float:
    """Log of the integral over mu."""
    m, p = hyper
    n, total, squares, log_w = stats[0], stats[1], stats[4], stats[5]
    if n == 0.0:
        return 0.0
    deviation = stats[2] - m + stats[3]
    distance = total * p / (total + p) * deviation * deviation
    return 0.5 * (log_w - n * log(2.0 * pi) + log(p / (p + total)) - squares - distance)


@njit_lean
def refresh(d: int, stats: np.ndarray, hyper: np.ndarray, cache: np.ndarray) -> None:
    """``cache = (mean, variance)`` of the posterior of mu."""
    m, p = hyper
    precision = stats[1] + p
    cache[0] = m + stats[1] * (stats[2] - m + stats[3]) / precision
    cache[1] = 1.0 / precision


@njit_lean
def log_predictive(d: int, cache: np.ndarray, first: int, datum: np.ndarray, at: int) -> float:
    """Log density of one more observation, normal."""
    deviation = datum[at] - cache[first]
    variance = 1.0 / datum[at + 1] + cache[first + 1]
    return -0.5 * (log(2.0 * pi * variance) + deviation * deviation / variance)


@njit_lean
def draw(
    rng: np.random.Generator, d: int, stats: np.ndarray, hyper: np.ndarray, natural: np.ndarray
) -> None:
    """Draw mu from its normal posterior."""
    m, p = hyper
    precision = stats[1] + p
    shift = stats[1] * (stats[2] - m + stats[3]) / precision
    natural[0] = m + shift + rng.standard_normal() / sqrt(precision)


NORMAL = Family(
    "normal",
    n_stats=lambda d: 6,
    n_hyper=lambda d: 2,
    n_natural=lambda d: 1,
    n_cache=lambda d: 2,
    update=update,
    log_marginal=log_marginal,
    draw=draw,
    refresh=refresh,
    log_predictive=log_predictive,
)
