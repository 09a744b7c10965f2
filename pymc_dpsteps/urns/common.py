"""What urns with explicit weights share."""

from math import log

import numpy as np

from pymc_dpsteps.jit import njit_lean


@njit_lean
def choose_by_weight(
    u: float, counts: np.ndarray, n_active: int, parameters: np.ndarray, weights: np.ndarray
) -> int:
    """Empty slot k with probability proportional to the weight that `predictive` left."""
    total = 0.0
    for k in range(len(counts)):
        if counts[k] == 0:
            total += weights[k]
    threshold = u * total
    chosen = -1
    for k in range(len(counts)):
        if counts[k] == 0:
            chosen = k
            threshold -= weights[k]
            if threshold < 0.0:
                break
    return chosen


@njit_lean
def log_gamma_draw(rng: np.random.Generator, shape: float) -> float:
    """Log of a Gamma(shape, 1) draw: G(a) = G(a + 1) U^(1/a), which does not underflow."""
    if shape >= 1.0:
        return log(rng.standard_gamma(shape))
    return log(rng.standard_gamma(shape + 1.0)) - rng.standard_exponential() / shape
