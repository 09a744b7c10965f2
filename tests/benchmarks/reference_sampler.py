"""A complete sampler written by hand, for the models of `cases`: Neal 8 and Gibbs updates."""

from math import exp, log, pi, sqrt

import numba
import numpy as np

from tests.benchmarks.reference import draw_root_inverse_gamma, neal8_sweep


@numba.njit(error_model="numpy")
def update_atoms(rng, y, z, counts, active, n_active, mu, sigma, log_sigma, prior, sums, squares):
    """mu_k and sigma_k² of the occupied slots, each given the other."""
    _, m0, s0, a, b = prior
    sums[:] = 0.0
    for i in range(len(y)):
        sums[z[i]] += y[i]
    for j in range(n_active):
        k = active[j]
        precision = 1.0 / (s0 * s0) + counts[k] / (sigma[k] * sigma[k])
        mean = (m0 / (s0 * s0) + sums[k] / (sigma[k] * sigma[k])) / precision
        mu[k] = mean + rng.standard_normal() / sqrt(precision)
    squares[:] = 0.0
    for i in range(len(y)):
        squares[z[i]] += (y[i] - mu[z[i]]) ** 2
    for j in range(n_active):
        k = active[j]
        rate = b + 0.5 * squares[k]
        sigma[k] = sqrt(rate / rng.standard_gamma(a + 0.5 * counts[k]))
        log_sigma[k] = log(sigma[k])


@numba.njit(error_model="numpy")
def functionals(counts, mu, sigma, alpha, point, base_density, row):
    """Number of clusters, sum of squared proportions, and the density at a point."""
    n_items = counts.sum()
    clusters, squares, density = 0, 0.0, alpha * base_density
    for k in range(len(counts)):
        if counts[k] > 0:
            clusters += 1
            squares += (counts[k] / n_items) ** 2
            r = (point - mu[k]) / sigma[k]
            density += counts[k] * exp(-0.5 * r * r) / (sigma[k] * sqrt(2.0 * pi))
    row[0], row[1], row[2] = clusters, squares, density / (n_items + alpha)


@numba.njit(error_model="numpy")
def sample(rng, y, prior, n_slots, m, point, base_density, n_sweeps):
    """Functionals of every sweep, from one cluster at the start."""
    z = np.zeros(len(y), dtype=np.int64)
    counts, active = np.zeros(n_slots, dtype=np.int64), np.zeros(n_slots, dtype=np.int64)
    position, state = np.zeros(n_slots, dtype=np.int64), np.ones(1, dtype=np.int64)
    counts[0] = len(y)
    mu, sigma, log_sigma = np.empty(n_slots), np.ones(n_slots), np.zeros(n_slots)
    sums, squares = np.empty(n_slots), np.empty(n_slots)
    mu[:] = y.mean()
    trace = np.empty((n_sweeps, 3))
    for sweep in range(n_sweeps):
        neal8_sweep(
            rng, y, z, counts, active, position, state, mu, sigma, log_sigma, prior,
            draw_root_inverse_gamma, m,
        )  # fmt: skip
        update_atoms(
            rng, y, z, counts, active, state[0], mu, sigma, log_sigma, prior, sums, squares
        )
        functionals(counts, mu, sigma, prior[0], point, base_density, trace[sweep])
    return trace
