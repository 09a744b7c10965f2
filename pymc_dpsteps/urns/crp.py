"""Chinese restaurant process and its two-parameter (Pitman–Yor) form, in K slots.

Parameters ``[[alpha, discount]]``. A new cluster takes a uniformly chosen empty slot, so slots
are exchangeable. With all slots occupied no cluster can be opened: the infinite process given
that K slots suffice. Source: Pitman (2006), Combinatorial Stochastic Processes, section 3.2.
"""

from math import lgamma, log

import numpy as np

from pymc_dpsteps.jit import njit_inline, njit_lean


@njit_inline
def weigh(
    counts: np.ndarray,
    active: np.ndarray,
    n_active: int,
    parameters: np.ndarray,
    prior: np.ndarray,
) -> float:
    """Write n_k - d of the occupied slots, one after the other; return alpha + d k+."""
    alpha, discount = parameters[0, 0], parameters[0, 1]
    for j in range(n_active):
        prior[j] = counts[active[j]] - discount
    return alpha + discount * n_active if n_active < len(counts) else 0.0


@njit_lean
def predictive(
    counts: np.ndarray,
    active: np.ndarray,
    n_active: int,
    parameters: np.ndarray,
    weights: np.ndarray,
) -> float:
    """Weights n_k - d of occupied slots; returns alpha + d k+."""
    alpha, discount = parameters[0]
    for j in range(n_active):
        weights[active[j]] = counts[active[j]] - discount
    return alpha + discount * n_active if n_active < len(counts) else 0.0


@njit_lean
def choose_slot(
    u: float, counts: np.ndarray, n_active: int, parameters: np.ndarray, weights: np.ndarray
) -> int:
    """Empty slot of rank floor(u (K - k+))."""
    rank = int(u * (len(counts) - n_active))
    for k in range(len(counts)):
        if counts[k] == 0:
            if rank == 0:
                return k
            rank -= 1
    return -1


@njit_lean
def log_prob(counts: np.ndarray, n_active: int, parameters: np.ndarray) -> float:
    """Log EPPF minus log K!/(K - k+)!."""
    alpha, discount = parameters[0]
    if not (alpha > 0.0 and 0.0 <= discount < 1.0):
        return -np.inf
    total = 0
    result = lgamma(len(counts) - n_active + 1.0) - lgamma(len(counts) + 1.0)
    for k in range(len(counts)):
        if counts[k] > 0:
            total += counts[k]
            result += lgamma(counts[k] - discount) - lgamma(1.0 - discount)
    for l in range(1, n_active):
        result += log(alpha + l * discount)
    return result - (lgamma(alpha + total) - lgamma(alpha + 1.0))


@njit_lean
def log_swap(counts: np.ndarray, j: int, l: int, parameters: np.ndarray) -> float:
    """Slots are exchangeable."""
    return 0.0


@njit_lean
def draw_weights(
    rng: np.random.Generator,
    counts: np.ndarray,
    parameters: np.ndarray,
    weights: np.ndarray,
    sticks: np.ndarray,
) -> None:
    """The process has no finite weight vector."""
    weights[:] = np.nan
