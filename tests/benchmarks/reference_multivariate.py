"""Multivariate sweeps by hand, or the plain way: what the general ones are measured against."""

import numba
import numpy as np

from pymc_dpsteps.linalg import cholesky, log_determinant
from pymc_dpsteps.steps.occupancy import occupy, vacate
from pymc_dpsteps.steps.state import choose_slot_of, log_marginal_of, predictive_of, update_of
from pymc_dpsteps.steps.updates import pick


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
    rows = np.empty(n_slots + m, dtype=np.int64)
    for i in range(len(y)):
        own = z[i]
        counts[own] -= 1
        alone = counts[own] == 0
        if alone:
            last = active[state[0] - 1]
            active[position[own]] = last
            position[last] = position[own]
            state[0] -= 1
        n_active = state[0]
        largest = -np.inf
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
                constant[k] = -0.5 * (d * np.log(2.0 * np.pi) + log_determinant(root[k]))
            rows[j] = k
            log_density[j] = log_normal(y[i], mu[k], root[k], constant[k], scratch)
            largest = max(largest, log_density[j])
        total = 0.0
        for j in range(n):
            weight = counts[active[j]] if j < n_active else alpha / m
            total += weight * np.exp(log_density[j] - largest)
            log_density[j] = total
        threshold = rng.random() * total
        chosen = n - 1
        for j in range(n - 1):
            if threshold < log_density[j]:
                chosen = j
                break
        k = rows[chosen]
        if chosen >= n_active:
            rank = int(rng.random() * (n_slots - n_active))
            slot = -1
            for k_free in range(n_slots):
                if counts[k_free] == 0:
                    if rank == 0:
                        slot = k_free
                        break
                    rank -= 1
            if slot != k:
                mu[slot], root[slot], constant[slot] = mu[k], root[k], constant[k]
            k = slot
            active[n_active] = k
            position[k] = n_active
            state[0] += 1
        z[i] = k
        counts[k] += 1


@numba.njit(error_model="numpy")
def refactorising_sweep(rng, state, log_marginals):
    """Neal 3 whose predictive densities are ratios of marginals, each with a factor of its own."""
    z, counts, log_density, prior = state.z, state.counts, state.log_density, state.prior
    stats, active = state.stats, state.active
    items, shared, datum = state.items, state.shared, state.datum
    predictive, choose_slot = predictive_of(state), choose_slot_of(state)
    update, log_marginal = update_of(state), log_marginal_of(state)
    scratch = len(counts)
    for i in range(len(z)):
        own = z[i]
        counts[own] -= 1
        alone = counts[own] == 0
        log_with_own = log_marginals[own]
        if alone:
            vacate(state, own)
            stats[own] = 0.0
        else:
            update(stats[own], i, -1.0, items, shared, datum)
            log_marginals[own] = log_marginal(stats[own], shared)
        n_active = state.n_active[0]
        prior[n_active] = predictive(counts, active, n_active, state.parameters, state.weights)
        for j in range(n_active):
            k = active[j]
            prior[j] = state.weights[k]
            if k == own:
                log_density[j] = log_with_own - log_marginals[k]
                continue
            stats[scratch] = stats[k]
            update(stats[scratch], i, 1.0, items, shared, datum)
            log_density[j] = log_marginal(stats[scratch], shared) - log_marginals[k]
        stats[scratch] = 0.0
        update(stats[scratch], i, 1.0, items, shared, datum)
        log_density[n_active] = log_marginal(stats[scratch], shared)
        j = pick(rng, log_density, prior, n_active + 1)
        if j == n_active:
            slot = choose_slot(rng.random(), counts, n_active, state.parameters, state.weights)
            occupy(state, slot)
        else:
            slot = active[j]
        z[i] = slot
        counts[slot] += 1
        update(stats[slot], i, 1.0, items, shared, datum)
        log_marginals[slot] = log_marginal(stats[slot], shared)
