"""Likelihoods ``p^a (1 - p)^b`` with ``p ~ Beta(alpha, beta)``.

An observation contributes ``(a, b, log h)``, where h is the factor of its density that does not
depend on p; ``hyper = (alpha, beta)``.
"""

from math import exp, lgamma

import numpy as np

from pymc_dpsteps.conjugate.families.sums import TINY, log_rising, update
from pymc_dpsteps.jit import njit_lean
from pymc_dpsteps.mixture.structure import Family
from pymc_dpsteps.urns.common import log_gamma_draw

__all__ = ["BETA"]

_ALMOST_ONE = 1.0 - 2.0**-53


@njit_lean
def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


@njit_lean
def log_marginal(d: int, stats: np.ndarray, hyper: np.ndarray) -> float:
    """Log of the integral over p."""
    a, b = hyper
    return stats[3] + _log_beta(a + stats[1], b + stats[2]) - _log_beta(a, b)


@njit_lean
def refresh(d: int, stats: np.ndarray, hyper: np.ndarray, cache: np.ndarray) -> None:
    """``cache = (a, b, log Γ(a), log Γ(b), log Γ(a + b))`` of the posterior."""
    a, b = hyper[0] + stats[1], hyper[1] + stats[2]
    cache[0], cache[1] = a, b
    cache[2], cache[3], cache[4] = lgamma(a), lgamma(b), lgamma(a + b)


@njit_lean
def log_predictive(d: int, cache: np.ndarray, first: int, datum: np.ndarray, at: int) -> float:
    """Log density of one more observation."""
    a, b, more_a, more_b = cache[first], cache[first + 1], datum[at], datum[at + 1]
    ratio = log_rising(a, more_a, cache[first + 2]) + log_rising(b, more_b, cache[first + 3])
    return datum[at + 2] + ratio - log_rising(a + b, more_a + more_b, cache[first + 4])


@njit_lean
def draw(
    rng: np.random.Generator, d: int, stats: np.ndarray, hyper: np.ndarray, natural: np.ndarray
) -> None:
    """Draw p from Beta(alpha + Σ a, beta + Σ b), by gamma variables on the log scale."""
    log_a = log_gamma_draw(rng, hyper[0] + stats[1])
    log_b = log_gamma_draw(rng, hyper[1] + stats[2])
    p = 1.0 / (1.0 + exp(log_b - log_a))
    natural[0] = min(max(p, TINY), _ALMOST_ONE)


BETA = Family(
    "beta",
    n_stats=lambda d: 4,
    n_hyper=lambda d: 2,
    n_natural=lambda d: 1,
    n_cache=lambda d: 5,
    update=update,
    log_marginal=log_marginal,
    draw=draw,
    refresh=refresh,
    log_predictive=log_predictive,
)
