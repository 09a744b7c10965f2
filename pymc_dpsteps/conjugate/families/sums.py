"""Statistics that are plain sums of what each observation contributes: ``(n, Σ datum)``."""

import numpy as np

from pymc_dpsteps.jit import njit_lean

__all__ = ["TINY", "update"]

TINY = np.finfo(np.float64).tiny


@njit_lean
def update(d: int, stats: np.ndarray, datum: np.ndarray, sign: float) -> None:
    """Add or remove an observation; the statistics of no observation are exactly zero."""
    stats[0] += sign
    if stats[0] == 0.0:
        stats[:] = 0.0
        return
    for j in range(len(datum)):
        stats[j + 1] += sign * datum[j]
