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
from pymc_dpsteps.jit import njit
from pymc_dpsteps.mixture.structure import Family

__all__ = ["NORMAL_GAMMA"]


@njit
def _posterior_rate(stats: np.ndarray, hyper: np.ndarray) -> float:
    m, kappa = hyper[0], hyper[1]
    deviation = stats[2] - m + stats[3]
    distance = kappa * stats[1] / (kappa + stats[1]) * deviation * deviation
    return hyper[3] + 0.5 * (stats[4] + distance)


@njit
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


@njit
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
    "normal_gamma", lambda d: 6, lambda d: 4, lambda d: 2, update, log_marginal, draw
)
