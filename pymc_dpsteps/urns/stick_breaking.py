"""Truncated stick-breaking weights integrated out: the generalized Dirichlet urn.

Sticks V_k ~ Beta(a_k, b_k) for k < K, V_K = 1, weights w_k = V_k Π_{l<k} (1 - V_l). Parameters
``[[a_k, b_k]]``, K - 1 rows: (1, alpha) for the truncated Dirichlet process, (1 - d, alpha + k d)
for the Pitman–Yor process. Source: Ishwaran and James (2001), sections 2 and 5.2.
"""

from math import exp, lgamma, log1p

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
    """Write E[w_k | counts] of all slots; return their sum over empty slots."""
    after = 0
    for j in range(n_active):
        after += counts[active[j]]
    remaining, new = 1.0, 0.0
    last = len(counts) - 1
    for k in range(last):
        after -= counts[k]
        a = parameters[k, 0] + counts[k]
        mean = a / (a + parameters[k, 1] + after)
        weights[k] = remaining * mean
        remaining *= 1.0 - mean
        if counts[k] == 0:
            new += weights[k]
    weights[last] = remaining
    return new + remaining if counts[last] == 0 else new


@njit_lean
def _log_stick(n: int, after: int, a: float, b: float) -> float:
    """Log E[V^n (1 - V)^after] for V ~ Beta(a, b)."""
    if n + after == 0:
        return 0.0
    return (
        lgamma(a + n)
        - lgamma(a)
        + lgamma(b + after)
        - lgamma(b)
        - lgamma(a + b + n + after)
        + lgamma(a + b)
    )


@njit_lean
def log_prob(counts: np.ndarray, n_active: int, parameters: np.ndarray) -> float:
    """Sum over sticks of log E[V_k^{n_k} (1 - V_k)^{n_{>k}}]."""
    after, result = 0, 0.0
    for k in range(len(counts) - 1, -1, -1):
        if k < len(counts) - 1:
            a, b = parameters[k]
            if not (a > 0.0 and b > 0.0):
                return -np.inf
            result += _log_stick(counts[k], after, a, b)
        after += counts[k]
    return result


@njit_lean
def log_swap(counts: np.ndarray, j: int, l: int, parameters: np.ndarray) -> float:
    """Change of log p(z) when slots j < l trade their items: only sticks j..l change."""
    old_after, result = 0, 0.0
    for k in range(l + 1, len(counts)):
        old_after += counts[k]
    new_after = old_after
    for k in range(l, j - 1, -1):
        old = counts[k]
        new = counts[j] if k == l else counts[l] if k == j else old
        if k < len(counts) - 1:
            a, b = parameters[k]
            result += _log_stick(new, new_after, a, b) - _log_stick(old, old_after, a, b)
        old_after += old
        new_after += new
    return result


@njit_lean
def draw_weights(
    rng: np.random.Generator,
    counts: np.ndarray,
    parameters: np.ndarray,
    weights: np.ndarray,
    sticks: np.ndarray,
) -> None:
    """Draw V_k ~ Beta(a_k + n_k, b_k + n_{>k}) and w, on the log scale."""
    after = 0
    for k in range(len(counts)):
        after += counts[k]
    log_remaining = 0.0
    last = len(counts) - 1
    for k in range(last):
        after -= counts[k]
        log_v = log_gamma_draw(rng, parameters[k, 0] + counts[k])
        log_rest = log_gamma_draw(rng, parameters[k, 1] + after)
        top = max(log_v, log_rest)
        log_total = top + log1p(exp(min(log_v, log_rest) - top))
        sticks[k] = exp(log_v - log_total)
        weights[k] = exp(log_remaining + log_v - log_total)
        log_remaining += log_rest - log_total
    weights[last] = exp(log_remaining)
