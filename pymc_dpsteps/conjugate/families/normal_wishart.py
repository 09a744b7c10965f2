"""Observations ``e ~ MvNormal(mu, precision T)`` with mu and T unknown.

Prior ``T ~ Wishart(ν, V)`` (mean ν V) and ``mu | T ~ MvNormal(m, precision κ T)``. An observation
contributes ``e``; ``hyper = (m, κ, ν, V⁻¹)``; the statistics are the moments of e: mean and scatter
S. A draw is ``(mu, T)``.
"""

from math import lgamma, log, log1p, pi, sqrt

import numpy as np

from pymc_dpsteps.conjugate.families.mvnormal import update
from pymc_dpsteps.jit import njit, njit_lean
from pymc_dpsteps.linalg import (
    cholesky,
    log_determinant,
    solve_lower_transposed,
    update_root,
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


@njit_lean
def _centre(d: int, stats: np.ndarray, hyper: np.ndarray, cache: np.ndarray) -> None:
    """Fill the mean and the weight of one more observation into the cache."""
    n = stats[0]
    kappa = hyper[d] + n
    for i in range(d):
        cache[3 + i] = hyper[i] + n / kappa * (stats[2 + i] - hyper[i] + stats[2 + d + i])
    cache[0] = kappa / (kappa + 1.0)


@njit_lean
def _constant(d: int, stats: np.ndarray, hyper: np.ndarray, cache: np.ndarray) -> None:
    """Fill what belongs to the root and the weight into the cache."""
    cache[1] = 0.5 * (hyper[d + 1] + stats[0] + 1.0)
    cache[2] = lgamma(cache[1]) - lgamma(cache[1] - 0.5 * d) + 0.5 * d * log(cache[0] / pi)
    cache[2] -= cache[-1]


@njit
def refresh(d: int, stats: np.ndarray, hyper: np.ndarray, cache: np.ndarray) -> None:
    """``cache = (κ/(κ + 1), (ν + 1)/2, log of the constant, m, scratch, L, log det L)``.

    Of the posterior; L is the Cholesky factor of V⁻¹.
    """
    root = _posterior_scale_root(d, stats, hyper)
    cache[3 + 2 * d : -1] = root.reshape(d * d)
    cache[-1] = 0.5 * log_determinant(root)
    _centre(d, stats, hyper, cache)
    _constant(d, stats, hyper, cache)


@njit_lean
def shift(
    d: int,
    stats: np.ndarray,
    hyper: np.ndarray,
    cache: np.ndarray,
    datum: np.ndarray,
    at: int,
    sign: float,
) -> None:
    """What `refresh` does after one observation came or went, by a change of rank one.

    ``V⁻¹`` grows by ``κ/(κ + 1) (e - m)(e - m)'`` with m and κ of the cluster without e. Where an
    observation that dominated its cluster leaves, the root is computed afresh.
    """
    if stats[0] == 0.0:
        refresh(d, stats, hyper, cache)
        return
    if sign < 0.0:
        _centre(d, stats, hyper, cache)
    weight, scratch = sqrt(cache[0]), 3 + d
    for i in range(d):
        cache[scratch + i] = weight * (datum[at + i] - cache[3 + i])
    ratio = update_root(d, cache, 3 + 2 * d, cache, scratch, sign)
    if ratio == 0.0:
        refresh(d, stats, hyper, cache)
        return
    cache[-1] += log(ratio)
    if sign > 0.0:
        _centre(d, stats, hyper, cache)
    _constant(d, stats, hyper, cache)


@njit_lean
def log_predictive(d: int, cache: np.ndarray, first: int, datum: np.ndarray, at: int) -> float:
    """Log density of one more observation, multivariate Student-t."""
    mean, scratch, root = first + 3, first + 3 + d, first + 3 + 2 * d
    distance = 0.0
    for i in range(d):
        total = datum[at + i] - cache[mean + i]
        for l in range(i):
            total -= cache[root + i * d + l] * cache[scratch + l]
        total /= cache[root + i * d + i]
        cache[scratch + i] = total
        distance += total * total
    return cache[first + 2] - cache[first + 1] * log1p(cache[first] * distance)


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
    n_stats=lambda d: 2 + 2 * d + d * d,
    n_hyper=lambda d: d + 2 + d * d,
    n_natural=lambda d: d + d * d,
    n_cache=lambda d: 4 + 2 * d + d * d,
    update=update,
    log_marginal=log_marginal,
    draw=draw,
    refresh=refresh,
    log_predictive=log_predictive,
    shift=shift,
)
