"""Small dense matrices in row-major vectors: what LAPACK would do with more overhead."""

from math import sqrt

import numpy as np

from pymc_dpsteps.jit import njit

__all__ = ["cholesky", "log_determinant", "solve_lower", "solve_lower_transposed"]


@njit
def cholesky(a: np.ndarray) -> None:
    """Overwrite the lower triangle of a positive-definite (d, d) matrix by its Cholesky factor."""
    for j in range(len(a)):
        pivot = a[j, j]
        for l in range(j):
            pivot -= a[j, l] * a[j, l]
        pivot = sqrt(pivot)
        a[j, j] = pivot
        for i in range(j + 1, len(a)):
            total = a[i, j]
            for l in range(j):
                total -= a[i, l] * a[j, l]
            a[i, j] = total / pivot


@njit
def log_determinant(root: np.ndarray) -> float:
    """Log determinant of the matrix whose Cholesky factor is `root`."""
    result = 0.0
    for j in range(len(root)):
        result += 2.0 * np.log(root[j, j])
    return result


@njit
def solve_lower(root: np.ndarray, x: np.ndarray) -> None:
    """Overwrite x by L⁻¹ x."""
    for i in range(len(x)):
        total = x[i]
        for l in range(i):
            total -= root[i, l] * x[l]
        x[i] = total / root[i, i]


@njit
def solve_lower_transposed(root: np.ndarray, x: np.ndarray) -> None:
    """Overwrite x by L⁻ᵀ x."""
    for i in range(len(x) - 1, -1, -1):
        total = x[i]
        for l in range(i + 1, len(x)):
            total -= root[l, i] * x[l]
        x[i] = total / root[i, i]
