"""Observations ``e ~ MvNormal(mu, precision Λ)``, Λ known, ``mu ~ MvNormal(m, precision P)``.

An observation contributes ``e``; ``hyper = (m, P, Λ)``; the statistics are the moments of e.
"""

from math import log, pi

import numpy as np

from pymc_dpsteps.conjugate.families.moments import update_vector_moments
from pymc_dpsteps.jit import njit, njit_lean
from pymc_dpsteps.linalg import (
    cholesky,
    inverse,
    log_determinant,
    packed_root,
    solve_lower,
    solve_lower_transposed,
    squared_distance,
)
from pymc_dpsteps.mixture.structure import Family

__all__ = ["MVNORMAL", "update"]


@njit_lean
def update(d: int, stats: np.ndarray, datum: np.ndarray, sign: float) -> None:
    """Add or remove an observation."""
    update_vector_moments(d, stats, datum, 1.0, sign)


@njit
def log_marginal(d: int, stats: np.ndarray, hyper: np.ndarray) -> float:
    """Log of the integral over mu."""
    n = stats[0]
    if n == 0.0:
        return 0.0
    scatter = stats[2 + 2 * d :].reshape((d, d))
    prior = hyper[d : d + d * d].reshape((d, d))
    noise = hyper[d + d * d :].reshape((d, d))
    # (mean - m)' [P (P + nΛ)⁻¹ nΛ] (mean - m), without a difference of large terms
    left, right = np.zeros(d), np.zeros(d)
    trace = 0.0
    for i in range(d):
        for j in range(d):
            deviation = stats[2 + j] - hyper[j] + stats[2 + d + j]
            left[i] += prior[i, j] * deviation
            right[i] += n * noise[i, j] * deviation
            trace += noise[i, j] * scatter[i, j]
    posterior, prior_root, noise_root = prior + n * noise, prior.copy(), noise.copy()
    cholesky(posterior)
    cholesky(prior_root)
    cholesky(noise_root)
    solve_lower(posterior, left)
    solve_lower(posterior, right)
    distance = 0.0
    for i in range(d):
        distance += left[i] * right[i]
    determinants = (
        n * log_determinant(noise_root) + log_determinant(prior_root) - log_determinant(posterior)
    )
    return 0.5 * (determinants - n * d * log(2.0 * pi) - trace - distance)


@njit
def _pull(d: int, stats: np.ndarray, hyper: np.ndarray) -> np.ndarray:
    """``nΛ(mean - m)``."""
    noise = hyper[d + d * d :].reshape((d, d))
    pull = np.zeros(d)
    for i in range(d):
        for j in range(d):
            deviation = stats[2 + j] - hyper[j] + stats[2 + d + j]
            pull[i] += stats[0] * noise[i, j] * deviation
    return pull


@njit
def refresh(d: int, stats: np.ndarray, hyper: np.ndarray, cache: np.ndarray) -> None:
    """``cache = (m, packed L, scratch, log of the constant)`` with ``L L' = Λ⁻¹ + (P + nΛ)⁻¹``."""
    n = stats[0]
    noise = hyper[d + d * d :].reshape((d, d))
    precision = hyper[d : d + d * d].reshape((d, d)) + n * noise
    covariance, rest = np.empty((d, d)), np.empty((d, d))
    inverse(noise.copy(), covariance)
    inverse(precision, rest)
    pull = _pull(d, stats, hyper)
    for i in range(d):
        shift = 0.0
        for j in range(d):
            shift += rest[i, j] * pull[j]
        cache[i] = hyper[i] + shift
    covariance += rest
    cholesky(covariance)
    packed_root(d, covariance.reshape(d * d), 0, cache, d)
    cache[-1] = -0.5 * (d * log(2.0 * pi) + log_determinant(covariance))


@njit_lean
def log_predictive(d: int, cache: np.ndarray, first: int, datum: np.ndarray, at: int) -> float:
    """Log density of one more observation, multivariate normal."""
    scratch = first + d + d * (d + 1) // 2
    distance = squared_distance(d, cache, first + d, datum, at, cache, first, cache, scratch)
    return cache[scratch + d] - 0.5 * distance


@njit
def draw(
    rng: np.random.Generator, d: int, stats: np.ndarray, hyper: np.ndarray, natural: np.ndarray
) -> None:
    """Draw mu from its normal posterior."""
    n = stats[0]
    noise = hyper[d + d * d :].reshape((d, d))
    shift = _pull(d, stats, hyper)
    root = hyper[d : d + d * d].reshape((d, d)) + n * noise
    cholesky(root)
    solve_lower(root, shift)
    for i in range(d):
        shift[i] += rng.standard_normal()
    solve_lower_transposed(root, shift)
    for i in range(d):
        natural[i] = hyper[i] + shift[i]


MVNORMAL = Family(
    "mvnormal",
    n_stats=lambda d: 2 + 2 * d + d * d,
    n_hyper=lambda d: d + 2 * d * d,
    n_natural=lambda d: d,
    n_cache=lambda d: 2 * d + d * (d + 1) // 2 + 1,
    update=update,
    log_marginal=log_marginal,
    draw=draw,
    refresh=refresh,
    log_predictive=log_predictive,
)
