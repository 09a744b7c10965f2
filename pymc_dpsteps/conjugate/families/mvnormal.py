"""Observations ``e ~ MvNormal(mu, precision Λ)``, Λ known, ``mu ~ MvNormal(m, precision P)``.

An observation contributes ``e``; ``hyper = (m, P, Λ)``; ``stats = (n, mean, S)`` with the scatter
``S = Σ (e - mean)(e - mean)'``, updated as a mean and deviations from it (Welford 1962).
"""

from math import log, pi

import numpy as np

from pymc_dpsteps.conjugate.families.linalg import (
    cholesky,
    log_determinant,
    solve_lower,
    solve_lower_transposed,
)
from pymc_dpsteps.jit import njit
from pymc_dpsteps.mixture.structure import Family

__all__ = ["MVNORMAL", "update"]


@njit
def update(d: int, stats: np.ndarray, datum: np.ndarray, sign: float) -> None:
    """Add or remove an observation."""
    before = stats[0]
    n = before + sign
    stats[0] = n
    if n == 0.0:
        stats[:] = 0.0
        return
    # Deviations from the old and from the new mean: (e - new) = (e - old) before / n.
    factor = sign * before / n
    for i in range(d):
        for j in range(d):
            left, right = datum[i] - stats[1 + i], datum[j] - stats[1 + j]
            stats[1 + d + i * d + j] += factor * left * right
    for i in range(d):
        stats[1 + i] += sign * (datum[i] - stats[1 + i]) / n


@njit
def log_marginal(d: int, stats: np.ndarray, hyper: np.ndarray) -> float:
    """Log of the integral over mu."""
    n = stats[0]
    if n == 0.0:
        return 0.0
    mean, scatter = stats[1 : 1 + d], stats[1 + d : 1 + d + d * d].reshape((d, d))
    prior = hyper[d : d + d * d].reshape((d, d))
    noise = hyper[d + d * d :].reshape((d, d))
    # (mean - m)' [P (P + nΛ)⁻¹ nΛ] (mean - m), without a difference of large terms
    left, right = np.zeros(d), np.zeros(d)
    trace = 0.0
    for i in range(d):
        for j in range(d):
            deviation = mean[j] - hyper[j]
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
def draw(
    rng: np.random.Generator, d: int, stats: np.ndarray, hyper: np.ndarray, natural: np.ndarray
) -> None:
    """Draw mu from its normal posterior."""
    n = stats[0]
    noise = hyper[d + d * d :].reshape((d, d))
    shift = np.zeros(d)
    for i in range(d):
        for j in range(d):
            shift[i] += n * noise[i, j] * (stats[1 + j] - hyper[j])
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
    lambda d: 1 + d + d * d,
    lambda d: d + 2 * d * d,
    lambda d: d,
    update,
    log_marginal,
    draw,
)
