"""Likelihoods ``Π p_j^{a_j}`` with ``p ~ Dirichlet(α_1, …, α_d)``.

An observation contributes ``(a_1, …, a_d, log h)``, where h is the factor of its density that
does not depend on p; ``hyper = (α_1, …, α_d)``.
"""

from math import exp, lgamma

import numpy as np

from pymc_dpsteps.conjugate.families.sums import TINY, update
from pymc_dpsteps.jit import njit
from pymc_dpsteps.mixture.structure import Family
from pymc_dpsteps.urns.common import log_gamma_draw

__all__ = ["DIRICHLET"]


@njit
def log_marginal(d: int, stats: np.ndarray, hyper: np.ndarray) -> float:
    """Log of the integral over p."""
    mass, total, result = 0.0, 0.0, stats[d + 1]
    for j in range(d):
        mass += hyper[j]
        total += stats[j + 1]
        if stats[j + 1] > 0.0:
            result += lgamma(hyper[j] + stats[j + 1]) - lgamma(hyper[j])
    return result + lgamma(mass) - lgamma(mass + total)


@njit
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
    "dirichlet", lambda d: d + 2, lambda d: d, lambda d: d, update, log_marginal, draw
)
