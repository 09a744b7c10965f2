"""Likelihoods ``Π p_j^{a_j}`` with ``p ~ Dirichlet(α_1, …, α_d)``.

An observation contributes ``(a_1, …, a_d, log h)``, where h is the factor of its density that
does not depend on p; ``hyper = (α_1, …, α_d)``.
"""

from math import exp, lgamma

import numpy as np

from pymc_dpsteps.conjugate.families.sums import TINY, log_rising, update
from pymc_dpsteps.jit import njit_lean
from pymc_dpsteps.mixture.structure import Family
from pymc_dpsteps.urns.common import log_gamma_draw

__all__ = ["DIRICHLET"]


@njit_lean
def log_marginal(d: int, stats: np.ndarray, hyper: np.ndarray) -> float:
    """Log of the integral over p."""
    mass, total, result = 0.0, 0.0, stats[d + 1]
    for j in range(d):
        mass += hyper[j]
        total += stats[j + 1]
        if stats[j + 1] > 0.0:
            result += lgamma(hyper[j] + stats[j + 1]) - lgamma(hyper[j])
    return result + lgamma(mass) - lgamma(mass + total)


@njit_lean
def refresh(d: int, stats: np.ndarray, hyper: np.ndarray, cache: np.ndarray) -> None:
    """``cache = (Σ α, log Γ(Σ α), α_1, …, α_d, log Γ(α_1), …, log Γ(α_d))`` of the posterior."""
    cache[0] = 0.0
    for j in range(d):
        cache[2 + j] = hyper[j] + stats[j + 1]
        cache[2 + d + j] = lgamma(cache[2 + j])
        cache[0] += cache[2 + j]
    cache[1] = lgamma(cache[0])


@njit_lean
def log_predictive(d: int, cache: np.ndarray, first: int, datum: np.ndarray, at: int) -> float:
    """Log density of one more observation."""
    total, result = 0.0, datum[at + d]
    for j in range(d):
        if datum[at + j] > 0.0:
            total += datum[at + j]
            alpha, log_gamma = cache[first + 2 + j], cache[first + 2 + d + j]
            result += log_rising(alpha, datum[at + j], log_gamma)
    return result - log_rising(cache[first], total, cache[first + 1])


@njit_lean
def draw(
    rng: np.random.Generator, d: int, stats: np.ndarray, hyper: np.ndarray, natural: np.ndarray
) -> None:
    """Draw p from Dirichlet(α + Σ a), by gamma variables on the log scale."""
    largest = -np.inf
    for j in range(d):
        natural[j] = log_gamma_draw(rng, hyper[j] + stats[j + 1])
        largest = max(largest, natural[j])
    total = 0.0
    for j in range(d):
        natural[j] = max(exp(natural[j] - largest), TINY)
        total += natural[j]
    for j in range(d):
        natural[j] /= total


DIRICHLET = Family(
    "dirichlet",
    n_stats=lambda d: d + 2,
    n_hyper=lambda d: d,
    n_natural=lambda d: d,
    n_cache=lambda d: 2 + 2 * d,
    update=update,
    log_marginal=log_marginal,
    draw=draw,
    refresh=refresh,
    log_predictive=log_predictive,
)
