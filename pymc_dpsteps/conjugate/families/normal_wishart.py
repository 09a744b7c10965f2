"""Observations ``e ~ MvNormal(mu, precision T)`` with mu and T unknown.

Prior ``T ~ Wishart(ν, V)`` (mean ν V) and ``mu | T ~ MvNormal(m, precision κ T)``. An observation
contributes ``e``; ``hyper = (m, κ, ν, V⁻¹)``; the statistics are the moments of e: mean and scatter
S. A draw is ``(mu, T)``.
"""

from math import lgamma, log, pi, sqrt

import numpy as np

from pymc_dpsteps.conjugate.families.mvnormal import update
from pymc_dpsteps.jit import njit
from pymc_dpsteps.linalg import (
    cholesky,
    log_determinant,
    solve_lower_transposed,
)
from pymc_dpsteps.mixture.structure import Family

__all__ = ["NORMAL_WISHART"]


@njit
def _posterior_scale_root(d: int, stats: np.ndarray, hyper: np.ndarray) -> np.ndarray:
    """Cholesky factor of V⁻¹ + S + κ n/(κ + n) (mean - m)(mean - m)'."""
    n, kappa = stats[0], hyper[d]
    root = hyper[d + 2 :].reshape((d, d)) + stats[2 + 2 * d :].reshape((d, d))
    deviation = stats[2 : 2 + d] - hyper[:d] + stats[2 + d : 2 + 2 * d]
    for i in range(d):
        for j in range(d):
            root[i, j] += kappa * n / (kappa + n) * deviation[i] * deviation[j]
    cholesky(root)
    return root


@njit
def log_marginal(d: int, stats: np.ndarray, hyper: np.ndarray) -> float:
    """Log of the integral over mu and T."""
    n, kappa, nu = stats[0], hyper[d], hyper[d + 1]
    if n == 0.0:
        return 0.0
    prior = hyper[d + 2 :].copy().reshape((d, d))
    cholesky(prior)
    posterior = _posterior_scale_root(d, stats, hyper)
    result = 0.5 * d * (log(kappa / (kappa + n)) - n * log(pi))
    result += 0.5 * (nu * log_determinant(prior) - (nu + n) * log_determinant(posterior))
    for j in range(d):
        result += lgamma(0.5 * (nu + n - j)) - lgamma(0.5 * (nu - j))
    return result


@njit
def draw(
    rng: np.random.Generator, d: int, stats: np.ndarray, hyper: np.ndarray, natural: np.ndarray
) -> None:
    """Draw T by Bartlett's decomposition, then mu given T.

    With L L' the posterior's inverse scale and A Bartlett's lower triangle, ``B = L⁻ᵀ A`` has
    ``T = B B'``, and ``B⁻ᵀ ε / sqrt(κ + n)`` has precision (κ + n) T.
    """
    n, kappa, nu = stats[0], hyper[d], hyper[d + 1]
    root = _posterior_scale_root(d, stats, hyper)
    columns = np.zeros((d, d))  # row j: column j of B
    bartlett = np.zeros((d, d))
    for j in range(d):
        bartlett[j, j] = sqrt(2.0 * rng.standard_gamma(0.5 * (nu + n - j)))
        for i in range(j + 1, d):
            bartlett[i, j] = rng.standard_normal()
        columns[j] = bartlett[:, j]
        solve_lower_transposed(root, columns[j])
    for i in range(d):
        for j in range(d):
            total = 0.0
            for l in range(d):
                total += columns[l, i] * columns[l, j]
            natural[d + i * d + j] = total
    noise = np.empty(d)
    for j in range(d):
        noise[j] = rng.standard_normal()
    solve_lower_transposed(bartlett, noise)  # B⁻ᵀ ε = L A⁻ᵀ ε
    for i in range(d):
        shift = 0.0
        for l in range(i + 1):
            shift += root[i, l] * noise[l]
        mean = hyper[i] + n / (kappa + n) * (stats[2 + i] - hyper[i] + stats[2 + d + i])
        natural[i] = mean + shift / sqrt(kappa + n)


NORMAL_WISHART = Family(
    "normal_wishart",
    lambda d: 2 + 2 * d + d * d,
    lambda d: d + 2 + d * d,
    lambda d: d + d * d,
    update,
    log_marginal,
    draw,
)
