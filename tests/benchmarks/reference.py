"""Sweeps written by hand for one model: what the general ones are measured against.

y_i ~ Normal(mu_k, sigma_k) in K slots, with nothing general about it: the density, the draws from
G0 and the prior of the allocation are written into the loop. Logarithms and reciprocals that
change once per cluster are kept beside the atoms.
"""

from math import exp, lgamma, log, log1p, pi, sqrt

import numba
import numpy as np


@numba.njit(error_model="numpy")
def draw_half_normal(rng, prior):
    """sigma ~ HalfNormal(t0), prior = (alpha, m0, s0, t0)."""
    return abs(prior[3] * rng.standard_normal())


@numba.njit(error_model="numpy")
def draw_root_inverse_gamma(rng, prior):
    """sigma² ~ InverseGamma(a, b), prior = (alpha, m0, s0, a, b)."""
    return sqrt(prior[4] / rng.standard_gamma(prior[3]))


@numba.njit(error_model="numpy")
def choose(rng, log_density, weights, n):
    """Index j < n with probability proportional to weights[j] exp(log_density[j])."""
    largest = log_density[0]
    for j in range(1, n):
        largest = max(largest, log_density[j])
    total = 0.0
    for j in range(n):
        total += weights[j] * exp(log_density[j] - largest)
        log_density[j] = total
    threshold = rng.random() * total
    for j in range(n - 1):
        if threshold < log_density[j]:
            return j
    return n - 1


@numba.njit(error_model="numpy")
def close_slot(k, active, position, n_active):
    """Take a slot out of the list of occupied ones; returns their new number."""
    last = active[n_active - 1]
    active[position[k]] = last
    position[last] = position[k]
    return n_active - 1


@numba.njit(error_model="numpy")
def empty_slot(rng, counts, n_active):
    """One of the empty slots, each as likely."""
    rank = int(rng.random() * (len(counts) - n_active))
    for k in range(len(counts)):
        if counts[k] == 0:
            if rank == 0:
                return k
            rank -= 1
    return -1


@numba.njit(error_model="numpy")
def neal8_sweep(
    rng, y, z, counts, active, position, state, mu, sigma, log_sigma, prior, draw_sigma, m
):
    """Neal's Algorithm 8: mu_k ~ Normal(m0, s0), z ~ CRP(alpha); prior = (alpha, m0, s0, …).

    One sweep in place; `state` holds the number of clusters.
    """
    alpha, m0, s0 = prior[0], prior[1], prior[2]
    n_slots = len(counts)
    aux_mu, aux_sigma, aux_log = np.empty(m), np.empty(m), np.empty(m)
    log_density, weights = np.empty(n_slots + m), np.empty(n_slots + m)
    for i in range(len(y)):
        own = z[i]
        counts[own] -= 1
        singleton = counts[own] == 0
        if singleton:
            state[0] = close_slot(own, active, position, state[0])
        n_active = state[0]
        for j in range(n_active):
            k = active[j]
            r = (y[i] - mu[k]) / sigma[k]
            log_density[j] = -0.5 * r * r - log_sigma[k]
            weights[j] = counts[k]
        n = n_active
        if n_active < n_slots:
            for j in range(m):
                if j == 0 and singleton:
                    aux_mu[0], aux_sigma[0], aux_log[0] = mu[own], sigma[own], log_sigma[own]
                else:
                    aux_mu[j] = m0 + s0 * rng.standard_normal()
                    aux_sigma[j] = draw_sigma(rng, prior)
                    aux_log[j] = log(aux_sigma[j])
                r = (y[i] - aux_mu[j]) / aux_sigma[j]
                log_density[n] = -0.5 * r * r - aux_log[j]
                weights[n] = alpha / m
                n += 1
        chosen = choose(rng, log_density, weights, n)
        if chosen < n_active:
            k = active[chosen]
        else:
            k = empty_slot(rng, counts, n_active)
            j = chosen - n_active
            mu[k], sigma[k], log_sigma[k] = aux_mu[j], aux_sigma[j], aux_log[j]
            active[n_active] = k
            position[k] = n_active
            state[0] += 1
        z[i] = k
        counts[k] += 1


@numba.njit(error_model="numpy")
def blocked_sweep(rng, y, z, counts, w, mu, sigma):
    """Blocked Gibbs: P(z_i = k) proportional to w_k Normal(y_i | mu_k, sigma_k), all K slots."""
    n_slots = len(w)
    constant, reciprocal = np.log(w) - np.log(sigma), 1.0 / sigma
    cumulative = np.empty(n_slots)
    counts[:] = 0
    for i in range(len(y)):
        largest = -np.inf
        for k in range(n_slots):
            r = (y[i] - mu[k]) * reciprocal[k]
            cumulative[k] = constant[k] - 0.5 * r * r
            largest = max(largest, cumulative[k])
        total = 0.0
        for k in range(n_slots):
            total += exp(cumulative[k] - largest)
            cumulative[k] = total
        threshold = rng.random() * total
        k = 0
        while k < n_slots - 1 and cumulative[k] <= threshold:
            k += 1
        z[i] = k
        counts[k] += 1


@numba.njit(error_model="numpy")
def gamma_ratios(a, n):
    """lgamma(a + j/2 + 1/2) - lgamma(a + j/2) for j = 0, …, n."""
    return np.array([lgamma(a + 0.5 * j + 0.5) - lgamma(a + 0.5 * j) for j in range(n + 1)])


@numba.njit(error_model="numpy")
def refresh(k, counts, sums, squares, ratios, prior, predictive):
    """Fill row k of (mean, 1 / scale², exponent, log constant) of the predictive Student-t law."""
    m0, kappa0, a0, b0 = prior[1:]
    n = counts[k]
    kappa, a = kappa0 + n, a0 + 0.5 * n
    mean = (kappa0 * m0 + sums[k]) / kappa
    b = b0 + 0.5 * (squares[k] + kappa0 * m0 * m0 - kappa * mean * mean)
    precision = kappa / (2.0 * b * (kappa + 1.0))
    predictive[k, 0], predictive[k, 1], predictive[k, 2] = mean, precision, a + 0.5
    predictive[k, 3] = ratios[n] + 0.5 * log(precision / pi)


@numba.njit(error_model="numpy")
def collapsed_sweep(
    rng, y, z, counts, active, position, state, sums, squares, ratios, prior, predictive
):
    """Neal's Algorithm 3 under mu_k ~ Normal(m0, sigma_k / √kappa0), sigma_k² ~ InverseGamma.

    prior = (alpha, m0, kappa0, a0, b0); sums and sums of squares are kept per cluster, centred
    well enough where the data are; row K of `predictive` is that of an empty cluster. What a
    removal changed is put back where the item stays.
    """
    n_slots = len(counts)
    log_density, weights, kept = np.empty(n_slots + 1), np.empty(n_slots + 1), np.empty(4)
    for i in range(len(y)):
        own, x = z[i], y[i]
        counts[own] -= 1
        singleton = counts[own] == 0
        kept[:] = predictive[own]
        sums[own] -= x
        squares[own] -= x * x
        if singleton:
            state[0] = close_slot(own, active, position, state[0])
        else:
            refresh(own, counts, sums, squares, ratios, prior, predictive)
        n_active = state[0]
        for j in range(n_active + 1):
            k = active[j] if j < n_active else n_slots
            r = x - predictive[k, 0]
            log_density[j] = predictive[k, 3] - predictive[k, 2] * log1p(predictive[k, 1] * r * r)
            weights[j] = counts[k] if j < n_active else prior[0]
        n = n_active + (n_active < n_slots)
        j = choose(rng, log_density, weights, n)
        if j < n_active:
            k = active[j]
        else:
            k = empty_slot(rng, counts, n_active)
            sums[k] = squares[k] = 0.0
            active[n_active] = k
            position[k] = n_active
            state[0] += 1
        z[i] = k
        counts[k] += 1
        sums[k] += x
        squares[k] += x * x
        if k == own and not singleton:
            predictive[k] = kept
        else:
            refresh(k, counts, sums, squares, ratios, prior, predictive)
