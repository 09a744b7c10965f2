"""Multivariate sweeps written by hand: what the general ones are measured against."""

from math import lgamma, log, log1p, pi

import numba
import numpy as np

from pymc_dpsteps.linalg import cholesky, log_determinant
from tests.benchmarks.reference import choose, close_slot, empty_slot


@numba.njit(error_model="numpy")
def log_normal(y, mu, root, log_constant, scratch):
    """Multivariate normal density by forward substitution."""
    distance = 0.0
    for r in range(len(y)):
        total = y[r] - mu[r]
        for c in range(r):
            total -= root[r, c] * scratch[c]
        total /= root[r, r]
        scratch[r] = total
        distance += total * total
    return log_constant - 0.5 * distance


@numba.njit(error_model="numpy")
def neal8_sweep(
    rng, y, z, counts, active, position, state, mu, root, constant, correlation, s0, alpha, m
):
    """Neal 8 for a general covariance matrix per component, y_i ~ MvNormal(mu_k, Σ_k).

    Under G0, mu_k ~ Normal(0, s0) and Σ_k = scale_k² R with scale_k ~ HalfNormal(1); that Σ_k is
    factorised as any matrix would be. One sweep in place; `state` holds the number of clusters,
    `root` and `constant` the Cholesky factors of all slots and then of m auxiliaries, and the logs
    of the densities' constants.
    """
    n_slots, d = len(counts), y.shape[1]
    scratch, log_density = np.empty(d), np.empty(n_slots + m)
    weights, rows = np.empty(n_slots + m), np.empty(n_slots + m, dtype=np.int64)
    for i in range(len(y)):
        own = z[i]
        counts[own] -= 1
        alone = counts[own] == 0
        if alone:
            state[0] = close_slot(own, active, position, state[0])
        n_active = state[0]
        n = n_active + m
        for j in range(n):
            if j < n_active:
                k = active[j]
            elif j == n_active and alone:
                k = own
            else:
                k = n_slots + j - n_active
                for q in range(d):
                    mu[k, q] = s0 * rng.standard_normal()
                scale = abs(rng.standard_normal())
                for r in range(d):
                    for c in range(r + 1):
                        root[k, r, c] = scale * scale * correlation[r, c]
                cholesky(root[k])
                constant[k] = -0.5 * (d * log(2.0 * pi) + log_determinant(root[k]))
            rows[j] = k
            weights[j] = counts[k] if j < n_active else alpha / m
            log_density[j] = log_normal(y[i], mu[k], root[k], constant[k], scratch)
        chosen = choose(rng, log_density, weights, n)
        k = rows[chosen]
        if chosen >= n_active:
            slot = empty_slot(rng, counts, n_active)
            if slot != k:
                mu[slot], root[slot], constant[slot] = mu[k], root[k], constant[k]
            k = slot
            active[n_active] = k
            position[k] = n_active
            state[0] += 1
        z[i] = k
        counts[k] += 1


@numba.njit(error_model="numpy")
def refresh(k, counts, sums, squares, prior, inverse_scale, mean, root, constant):
    """Predictive law of cluster k, a Student-t: a Cholesky factor from scratch."""
    kappa0, nu0 = prior[1], prior[2]
    d, n = len(mean[k]), counts[k]
    kappa, nu = kappa0 + n, nu0 + n
    mean[k] = sums[k] / kappa
    root[k] = np.linalg.cholesky(
        inverse_scale + squares[k] - kappa * mean[k].reshape((d, 1)) * mean[k]
    )
    constant[k] = lgamma(0.5 * (nu + 1.0)) - lgamma(0.5 * (nu + 1.0 - d))
    constant[k] += 0.5 * d * log(kappa / (pi * (kappa + 1.0)))
    for j in range(d):
        constant[k] -= log(root[k, j, j])


@numba.njit(error_model="numpy")
def collapsed_sweep(
    rng, y, z, counts, active, position, state, sums, squares, prior, inverse_scale, mean, root,
    constant,
):  # fmt: skip
    """Neal 3 for the normal–Wishart pair, with prior mean 0; prior = (alpha, kappa0, nu0).

    Sums and sums of squares are kept; what the predictive density needs is made from them at every
    change of a cluster. The last rows are those of an empty cluster.
    """
    n_slots, d = len(counts), y.shape[1]
    scratch, log_density, weights = np.empty(d), np.empty(n_slots + 1), np.empty(n_slots + 1)
    for i in range(len(y)):
        own = z[i]
        counts[own] -= 1
        for r in range(d):
            sums[own, r] -= y[i, r]
            for c in range(d):
                squares[own, r, c] -= y[i, r] * y[i, c]
        if counts[own] == 0:
            state[0] = close_slot(own, active, position, state[0])
        else:
            refresh(own, counts, sums, squares, prior, inverse_scale, mean, root, constant)
        n_active = state[0]
        for j in range(n_active + 1):
            k = active[j] if j < n_active else n_slots
            n_k = counts[k] if j < n_active else 0
            weights[j] = n_k if j < n_active else prior[0]
            kappa, nu = prior[1] + n_k, prior[2] + n_k
            distance = -2.0 * log_normal(y[i], mean[k], root[k], 0.0, scratch)
            log_density[j] = constant[k]
            log_density[j] -= 0.5 * (nu + 1.0) * log1p(kappa / (kappa + 1.0) * distance)
        j = choose(rng, log_density, weights, n_active + (n_active < n_slots))
        if j < n_active:
            k = active[j]
        else:
            k = empty_slot(rng, counts, n_active)
            sums[k], squares[k] = 0.0, 0.0
            active[n_active] = k
            position[k] = n_active
            state[0] += 1
        z[i] = k
        counts[k] += 1
        for r in range(d):
            sums[k, r] += y[i, r]
            for c in range(d):
                squares[k, r, c] += y[i, r] * y[i, c]
        refresh(k, counts, sums, squares, prior, inverse_scale, mean, root, constant)
