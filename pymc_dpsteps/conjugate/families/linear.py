"""Observations ``r ~ Normal(x'(β - m), precision τ)`` with ``β ~ Normal(m, precision matrix P)``.

r is the residual at the prior mean. An observation contributes ``(x_1, …, x_d, r, τ)``;
``hyper = (m, P)``; the statistics are the moments of ``(x, r)`` with weights τ, and ``Σ log τ``.

The moments are as good as one observation of the mean r at the mean x, with precision Σ τ, added
to a regression through the scatter about them. Taken in these two steps, no digits are lost where
r or x are far from zero.
"""

from math import log, pi, sqrt

import numpy as np

from pymc_dpsteps.conjugate.families.moments import update_vector_moments
from pymc_dpsteps.jit import njit, njit_lean
from pymc_dpsteps.linalg import (
    cholesky,
    log_determinant,
    solve_lower,
    solve_lower_transposed,
)
from pymc_dpsteps.mixture.structure import Family

__all__ = ["LINEAR"]


@njit_lean
def update(d: int, stats: np.ndarray, datum: np.ndarray, sign: float) -> None:
    """Add or remove an observation."""
    tau = datum[d + 1]
    update_vector_moments(d + 1, stats, datum, tau, sign)
    stats[-1] = 0.0 if stats[0] == 0.0 else stats[-1] + sign * log(tau)


@njit
def _posterior(
    d: int, stats: np.ndarray, hyper: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
    """Regression through the scatter, and what the means add to it.

    Returns the Cholesky factor L of P plus the scatter of x; ``L⁻¹`` times the scatter of x and
    r, and times the mean x; the error of the mean r predicted from the scatter; and the precision
    of that prediction.
    """
    mean = stats[2 : 3 + d] + stats[3 + d : 4 + 2 * d]
    scatter = stats[4 + 2 * d : 4 + 2 * d + (d + 1) * (d + 1)].reshape((d + 1, d + 1))
    root = hyper[d:].reshape((d, d)) + scatter[:d, :d]
    cholesky(root)
    fit = scatter[:d, d].copy()
    solve_lower(root, fit)
    direction = mean[:d].copy()
    solve_lower(root, direction)
    error, length = mean[d], 0.0
    for j in range(d):
        error -= direction[j] * fit[j]
        length += direction[j] * direction[j]
    return root, fit, direction, error, stats[1] / (1.0 + stats[1] * length)


@njit
def log_marginal(d: int, stats: np.ndarray, hyper: np.ndarray) -> float:
    """Log of the integral over β."""
    n = stats[0]
    if n == 0.0:
        return 0.0
    prior = hyper[d:].copy().reshape((d, d))
    cholesky(prior)
    root, fit, _, error, precision = _posterior(d, stats, hyper)
    squares = stats[-2] + precision * error * error
    for j in range(d):
        squares -= fit[j] * fit[j]
    determinants = log_determinant(prior) - log_determinant(root) + log(precision / stats[1])
    return 0.5 * (stats[-1] - n * log(2.0 * pi) - squares + determinants)


@njit
def refresh(d: int, stats: np.ndarray, hyper: np.ndarray, cache: np.ndarray) -> None:
    """Cache of the prediction at x, with u = L⁻¹ (x - mean x).

    ``(mean x, direction, fit, scratch, L, prediction at the mean x, precision, its product with
    the error, precision / Σ τ)``, in the terms of `_posterior`.
    """
    root, fit, direction, error, precision = _posterior(d, stats, hyper)
    length = 0.0
    for j in range(d):
        cache[j] = stats[2 + j] + stats[3 + d + j]
        cache[d + j], cache[2 * d + j] = direction[j], fit[j]
        length += direction[j] * direction[j]
    cache[4 * d : 4 * d + d * d] = root.reshape(d * d)
    share = 1.0 / (1.0 + stats[1] * length)
    rest = 4 * d + d * d
    cache[rest] = stats[2 + d] + stats[3 + 2 * d] - error * share
    cache[rest + 1], cache[rest + 2], cache[rest + 3] = precision, precision * error, share


@njit_lean
def log_predictive(d: int, cache: np.ndarray, first: int, datum: np.ndarray, at: int) -> float:
    """Log density of one more observation, normal."""
    direction, fit, scratch = first + d, first + 2 * d, first + 3 * d
    root, rest = first + 4 * d, first + 4 * d + d * d
    share = cache[rest + 3]
    mean, along, variance = cache[rest], 0.0, 1.0 / datum[at + d + 1]
    for i in range(d):
        u = datum[at + i] - cache[first + i]
        for l in range(i):
            u -= cache[root + i * d + l] * cache[scratch + l]
        u /= cache[root + i * d + i]
        cache[scratch + i] = u
        along += u * cache[direction + i]
        mean += u * cache[fit + i]
        variance += u * u + share * cache[direction + i] * (cache[direction + i] + 2.0 * u)
    variance -= cache[rest + 1] * along * along
    mean += cache[rest + 2] * along
    deviation = datum[at + d] - mean
    return -0.5 * (log(2.0 * pi * variance) + deviation * deviation / variance)


@njit
def draw(
    rng: np.random.Generator, d: int, stats: np.ndarray, hyper: np.ndarray, natural: np.ndarray
) -> None:
    """Draw β from its normal posterior.

    Its precision is ``L (I + W v v') L'`` with v the direction of the mean x, whose inverse has
    the root ``L⁻ᵀ (I - c v v')``.
    """
    root, fit, direction, error, precision = _posterior(d, stats, hyper)
    noise = np.empty(d)
    along = 0.0
    for j in range(d):
        noise[j] = rng.standard_normal()
        along += direction[j] * noise[j]
    stretch = sqrt(stats[1] / precision) if precision > 0.0 else 1.0
    c = stats[1] / (stretch * (stretch + 1.0))
    for j in range(d):
        fit[j] += precision * error * direction[j] + noise[j] - c * along * direction[j]
    solve_lower_transposed(root, fit)
    for j in range(d):
        natural[j] = hyper[j] + fit[j]


LINEAR = Family(
    "linear",
    n_stats=lambda d: 5 + 2 * d + (d + 1) * (d + 1),
    n_hyper=lambda d: d + d * d,
    n_natural=lambda d: d,
    n_cache=lambda d: 4 + 4 * d + d * d,
    update=update,
    log_marginal=log_marginal,
    draw=draw,
    refresh=refresh,
    log_predictive=log_predictive,
)
