"""Statistics that are plain sums of what each observation contributes: ``(n, Σ datum)``."""

from math import lgamma, log

import numpy as np

from pymc_dpsteps.jit import njit_lean

__all__ = ["TINY", "log_rising", "update"]

TINY = np.finfo(np.float64).tiny
_FEW = 8


@njit_lean
def update(d: int, stats: np.ndarray, datum: np.ndarray, sign: float) -> None:
    """Add or remove an observation; the statistics of no observation are exactly zero."""
    stats[0] += sign
    if stats[0] == 0.0:
        stats[:] = 0.0
        return
    for j in range(len(datum)):
        stats[j + 1] += sign * datum[j]


@njit_lean
def log_rising(a: float, c: float, log_gamma: float) -> float:
    """Log of Γ(a + c) / Γ(a), where log Γ(a) is known; for small whole c of a (a + 1) ….

    So it costs a logarithm, and loses no digits where a is large.
    """
    if not 0.0 <= c <= _FEW or c != int(c):
        return lgamma(a + c) - log_gamma
    product = 1.0
    for j in range(int(c)):
        product *= a + j
    return log(product) if c > 0.0 else 0.0
