"""Observations ``r ~ Normal(x'(β - m), precision τ)`` with ``β ~ Normal(m, precision matrix P)``.

r is the residual at the prior mean. An observation contributes ``(r, x_1, …, x_d, τ)``;
``hyper = (m, P)``; ``stats = (n, Σ τ x x', Σ τ x r, Σ τ r², Σ log τ)``.
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

__all__ = ["LINEAR"]


@njit
def update(d: int, stats: np.ndarray, datum: np.ndarray, sign: float) -> None:
    """Add or remove an observation."""
    stats[0] += sign
    if stats[0] == 0.0:
        stats[:] = 0.0
        return
    r, tau = datum[0], datum[d + 1]
    weight = sign * tau
    for i in range(d):
        for j in range(d):
            stats[1 + i * d + j] += weight * datum[1 + i] * datum[1 + j]
        stats[1 + d * d + i] += weight * datum[1 + i] * r
    stats[1 + d * d + d] += weight * r * r
    stats[2 + d * d + d] += sign * log(tau)


@njit
def _posterior(d: int, stats: np.ndarray, hyper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cholesky factor L of the posterior precision, and L⁻¹ Σ τ x r."""
    root = stats[1 : 1 + d * d].reshape((d, d)) + hyper[d:].reshape((d, d))
    cholesky(root)
    shift = stats[1 + d * d : 1 + d * d + d].copy()
    solve_lower(root, shift)
    return root, shift


@njit
def log_marginal(d: int, stats: np.ndarray, hyper: np.ndarray) -> float:
    """Log of the integral over β."""
    n = stats[0]
    if n == 0.0:
        return 0.0
    prior = hyper[d:].copy().reshape((d, d))
    cholesky(prior)
    root, shift = _posterior(d, stats, hyper)
    explained = 0.0
    for j in range(d):
        explained += shift[j] * shift[j]
    squares = stats[1 + d * d + d] - explained
    determinants = log_determinant(prior) - log_determinant(root)
    return 0.5 * (stats[2 + d * d + d] - n * log(2.0 * pi) - squares + determinants)


@njit
def draw(
    rng: np.random.Generator, d: int, stats: np.ndarray, hyper: np.ndarray, natural: np.ndarray
) -> None:
    """Draw β from its normal posterior."""
    root, shift = _posterior(d, stats, hyper)
    for j in range(d):
        shift[j] += rng.standard_normal()
    solve_lower_transposed(root, shift)
    for j in range(d):
        natural[j] = hyper[j] + shift[j]


LINEAR = Family(
    "linear", lambda d: d * d + d + 3, lambda d: d + d * d, lambda d: d, update, log_marginal, draw
)
