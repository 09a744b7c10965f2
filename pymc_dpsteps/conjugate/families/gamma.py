"""Likelihoods ``λ^a exp(-b λ)`` with ``λ ~ Gamma(shape, rate)``.

An observation contributes ``(a, b, log h)``, where h is the factor of its density that does not
depend on λ; ``hyper = (shape, rate)``.
"""

from math import lgamma, log

import numpy as np

from pymc_dpsteps.conjugate.families.sums import TINY, log_rising, update
from pymc_dpsteps.jit import njit_lean
from pymc_dpsteps.mixture.structure import Family

__all__ = ["GAMMA"]


@njit_lean
def log_marginal(d: int, stats: np.ndarray, hyper: np.ndarray) -> float:
    """Log of the integral over λ."""
    shape, rate = hyper
    a, b = shape + stats[1], rate + stats[2]
    return stats[3] + shape * log(rate) - lgamma(shape) + lgamma(a) - a * log(b)


@njit_lean
def refresh(d: int, stats: np.ndarray, hyper: np.ndarray, cache: np.ndarray) -> None:
    """``cache = (a, b, a log b, log Γ(a))`` with a and b of the posterior."""
    a, b = hyper[0] + stats[1], hyper[1] + stats[2]
    cache[0], cache[1], cache[2], cache[3] = a, b, a * log(b), lgamma(a)


@njit_lean
def log_predictive(d: int, cache: np.ndarray, first: int, datum: np.ndarray, at: int) -> float:
    """Log density of one more observation."""
    a = cache[first] + datum[at]
    ratio = log_rising(cache[first], datum[at], cache[first + 3])
    return datum[at + 2] + cache[first + 2] + ratio - a * log(cache[first + 1] + datum[at + 1])


@njit_lean
def draw(
    rng: np.random.Generator, d: int, stats: np.ndarray, hyper: np.ndarray, natural: np.ndarray
) -> None:
    """Draw λ from Gamma(shape + Σ a, rate + Σ b)."""
    natural[0] = max(rng.standard_gamma(hyper[0] + stats[1]) / (hyper[1] + stats[2]), TINY)


GAMMA = Family(
    "gamma",
    n_stats=lambda d: 4,
    n_hyper=lambda d: 2,
    n_natural=lambda d: 1,
    n_cache=lambda d: 4,
    update=update,
    log_marginal=log_marginal,
    draw=draw,
    refresh=refresh,
    log_predictive=log_predictive,
)
