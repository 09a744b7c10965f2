"""Neal's Algorithm 8 written by hand for one model: what the general sweep is measured against.

y_i ~ Normal(mu_k, sigma_k), mu_k ~ Normal(m0, s0), sigma_k ~ HalfNormal(t0), z ~ CRP(alpha) in K
slots. The same algorithm as `neal8_sweep`, with nothing general about it: the density, the draws
from G0 and the urn are written into the loop. Logarithms of the scales are kept beside them.
"""

import numba
import numpy as np


@numba.njit(error_model="numpy")
def reference_sweep(rng, y, z, counts, active, position, state, mu, sigma, log_sigma, prior, m):
    """One sweep in place; `state` holds the number of clusters; `prior` = (alpha, m0, s0, t0)."""
    alpha, m0, s0, t0 = prior
    n_slots = len(counts)
    aux_mu, aux_sigma, aux_log = np.empty(m), np.empty(m), np.empty(m)
    log_density = np.empty(n_slots + m)
    for i in range(len(y)):
        own = z[i]
        counts[own] -= 1
        singleton = counts[own] == 0
        if singleton:
            last = active[state[0] - 1]
            active[position[own]] = last
            position[last] = position[own]
            state[0] -= 1
        n_active = state[0]
        largest = -np.inf
        for j in range(n_active):
            k = active[j]
            r = (y[i] - mu[k]) / sigma[k]
            log_density[j] = -0.5 * r * r - log_sigma[k]
            largest = max(largest, log_density[j])
        n = n_active
        if n_active < n_slots:
            for j in range(m):
                if j == 0 and singleton:
                    aux_mu[0], aux_sigma[0], aux_log[0] = mu[own], sigma[own], log_sigma[own]
                else:
                    aux_mu[j] = m0 + s0 * rng.standard_normal()
                    aux_sigma[j] = abs(t0 * rng.standard_normal())
                    aux_log[j] = np.log(aux_sigma[j])
                r = (y[i] - aux_mu[j]) / aux_sigma[j]
                log_density[n] = -0.5 * r * r - aux_log[j]
                largest = max(largest, log_density[n])
                n += 1
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
        if chosen < n_active:
            k = active[chosen]
        else:
            rank = int(rng.random() * (n_slots - n_active))
            k = -1
            for slot in range(n_slots):
                if counts[slot] == 0:
                    if rank == 0:
                        k = slot
                        break
                    rank -= 1
            j = chosen - n_active
            mu[k], sigma[k], log_sigma[k] = aux_mu[j], aux_sigma[j], aux_log[j]
            active[n_active] = k
            position[k] = n_active
            state[0] += 1
        z[i] = k
        counts[k] += 1
