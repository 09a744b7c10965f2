"""Observations ``e ~ Normal(mu, precision c λ)`` with c known.

Prior ``λ ~ Gamma(shape, rate)`` and ``mu | λ ~ Normal(m, precision κ λ)``: the normal–gamma law,
in terms of the variance 1/λ the normal–inverse-gamma. An observation contributes ``(e, c)``;
``hyper = (m, κ, shape, rate)``; the statistics are those of `normal` with weights c. A draw is
``(mu, λ)``.
"""

from math import lgamma, log, pi, sqrt

import numpy as np

from pymc_dpsteps.conjugate.families.normal import update
from pymc_dpsteps.conjugate.families.sums import TINY
from pymc_dpsteps.jit import njit_lean
from pymc_dpsteps.mixture.structure import Family

__all__ = ["NORMAL_GAMMA", "log_gamma_ratio"]


@njit_lean
def _posterior_rate(stats: np.ndarray, hyper: np.ndarray) -> float:
    m, kappa = hyper[0], hyper[1]
    deviation = stats[2] - m + stats[3]
    distance = kappa * stats[1] / (kappa + stats[1]) * deviation * deviation
    return hyper[3] + 0.5 * (stats[4] + distance)


@njit_lean
def log_marginal(d: int, stats: np.ndarray, hyper: np.ndarray) -> float:
    """Log of the integral over mu and λ."""
    kappa, shape, rate = hyper[1], hyper[2], hyper[3]
    n = stats[0]
    a = shape + 0.5 * n
    return (
        0.5 * (stats[5] - n * log(2.0 * pi) + log(kappa / (kappa + stats[1])))
        + shape * log(rate)
        - lgamma(shape)
        + lgamma(a)
        - a * log(_posterior_rate(stats, hyper))
    )


@njit_lean
def refresh(d: int, stats: np.ndarray, hyper: np.ndarray, cache: np.ndarray) -> None:
    """``cache = (m, κ, shape + 1/2, rate, log of the constant)`` of the posterior.

    And for c = 1, as nearly always: ``(κ / (2 (κ + 1)), log of the constant)``.
    """
    m, kappa = hyper[0], hyper[1]
    total = kappa + stats[1]
    a, b = hyper[2] + 0.5 * stats[0], _posterior_rate(stats, hyper)
    cache[0] = m + stats[1] * (stats[2] - m + stats[3]) / total
    cache[1], cache[2], cache[3] = total, a + 0.5, b
    cache[4] = log_gamma_ratio(a) + a * log(b) + 0.5 * log(total / (2.0 * pi))
    cache[5] = 0.5 * total / (total + 1.0)
    cache[6] = cache[4] - 0.5 * log(total + 1.0)


@njit_lean
def log_gamma_ratio(a: float) -> float:
    """Log of Γ(a + 1/2) / Γ(a); for large a by its asymptotic series, to the last digit."""
    if a < 20.0:
        return lgamma(a + 0.5) - lgamma(a)
    x = 1.0 / (a * a)
    series = -31.0 / 18432.0
    for c in (17.0 / 14336.0, -1.0 / 640.0, 1.0 / 192.0, -1.0 / 8.0):
        series = series * x + c
    return 0.5 * log(a) + series / a


@njit_lean
def log_predictive(d: int, cache: np.ndarray, first: int, datum: np.ndarray, at: int) -> float:
    """Log density of one more observation, Student-t."""
    kappa, c = cache[first + 1], datum[at + 1]
    deviation = datum[at] - cache[first]
    if c == 1.0:
        rate = cache[first + 3] + cache[first + 5] * deviation * deviation
        return cache[first + 6] - cache[first + 2] * log(rate)
    ratio = c / (kappa + c)
    rate = cache[first + 3] + 0.5 * kappa * ratio * deviation * deviation
    return cache[first + 4] + 0.5 * log(ratio) - cache[first + 2] * log(rate)


@njit_lean
def draw(
    rng: np.random.Generator, d: int, stats: np.ndarray, hyper: np.ndarray, natural: np.ndarray
) -> None:
    """Draw λ, then mu given λ."""
    m, kappa, shape = hyper[0], hyper[1], hyper[2]
    precision = rng.standard_gamma(shape + 0.5 * stats[0]) / _posterior_rate(stats, hyper)
    precision = max(precision, TINY)
    total = kappa + stats[1]
    mean = m + stats[1] * (stats[2] - m + stats[3]) / total
    natural[0] = mean + rng.standard_normal() / sqrt(total * precision)
    natural[1] = precision


NORMAL_GAMMA = Family(
    "normal_gamma",
    n_stats=lambda d: 6,
    n_hyper=lambda d: 4,
    n_natural=lambda d: 2,
    n_cache=lambda d: 7,
    update=update,
    log_marginal=log_marginal,
    draw=draw,
    refresh=refresh,
    log_predictive=log_predictive,
)
