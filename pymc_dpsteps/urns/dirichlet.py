"""Weights w ~ Dirichlet(a_1, …, a_K) integrated out: the Dirichlet–multinomial urn.

Parameters ``[[a_k, 0]]``, K rows.
"""

from math import exp, lgamma, log

import numpy as np

from pymc_dpsteps.jit import njit_lean
from pymc_dpsteps.urns.common import choose_by_weight as choose_slot
from pymc_dpsteps.urns.common import log_gamma_draw

__all__ = ["choose_slot", "draw_weights", "log_prob", "log_swap", "predictive"]


@njit_lean
def predictive(
    counts: np.ndarray,
    active: np.ndarray,
    n_active: int,
    parameters: np.ndarray,
    weights: np.ndarray,
) -> float:
    """Weights n_k + a_k of occupied slots; returns the sum of a_k over empty ones."""
    new = 0.0
    for k in range(len(counts)):
        weights[k] = counts[k] + parameters[k, 0]
        if counts[k] == 0:
            new += parameters[k, 0]
    return new


@njit_lean
def log_prob(counts: np.ndarray, n_active: int, parameters: np.ndarray) -> float:
    """Log of the Dirichlet–multinomial probability of one label vector."""
    total, mass, result = 0, 0.0, 0.0
    for k in range(len(counts)):
        a = parameters[k, 0]
        if not a > 0.0:
            return -np.inf
        total += counts[k]
        mass += a
        if counts[k] > 0:
            result += lgamma(counts[k] + a) - lgamma(a)
    return result - (lgamma(mass + total) - lgamma(mass))


@njit_lean
def log_swap(counts: np.ndarray, j: int, l: int, parameters: np.ndarray) -> float:
    """Change of log p(z) when slots j and l trade their items."""
    a_j, a_l = parameters[j, 0], parameters[l, 0]
    return (
        lgamma(counts[l] + a_j)
        + lgamma(counts[j] + a_l)
        - lgamma(counts[j] + a_j)
        - lgamma(counts[l] + a_l)
    )


@njit_lean
def draw_weights(
    rng: np.random.Generator,
    counts: np.ndarray,
    parameters: np.ndarray,
    weights: np.ndarray,
    sticks: np.ndarray,
) -> None:
    """Draw w given z from Dirichlet(a + n), by gamma variables on the log scale."""
    largest = -np.inf
    for k in range(len(counts)):
        weights[k] = log_gamma_draw(rng, counts[k] + parameters[k, 0])
        largest = max(largest, weights[k])
    total = 0.0
    for k in range(len(counts)):
        total += exp(weights[k] - largest)
    for k in range(len(counts)):
        weights[k] = exp(weights[k] - largest - log(total))
