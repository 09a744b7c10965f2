"""Small dense matrices: what LAPACK would do with more overhead, and far dearer to compile.

Lower triangles only; nothing is checked. A matrix that is not positive definite has a factor with
entries that are not numbers.
"""

from math import sqrt

import numpy as np

from pymc_dpsteps.jit import njit

__all__ = [
    "cholesky",
    "inverse",
    "inverse_lower",
    "log_determinant",
    "solve_lower",
    "solve_lower_transposed",
    "squared_distance",
    "update_root",
]

_LITTLE = 1e-4


@njit
def cholesky(a: np.ndarray) -> None:
    """Overwrite the lower triangle of a positive-definite (d, d) matrix by its Cholesky factor."""
    for j in range(len(a)):
        pivot = a[j, j]
        for l in range(j):
            pivot -= a[j, l] * a[j, l]
        pivot = sqrt(pivot)
        a[j, j] = pivot
        reciprocal = 1.0 / pivot
        for i in range(j + 1, len(a)):
            total = a[i, j]
            for l in range(j):
                total -= a[i, l] * a[j, l]
            a[i, j] = total * reciprocal


@njit
def update_root(d: int, root: np.ndarray, first: int, x: np.ndarray, at: int, sign: float) -> float:
    """Change the Cholesky factor of a (d, d) matrix A to that of ``A + sign x x'``, in O(d²).

    By plane rotations, for ``sign = -1`` hyperbolic ones (Golub and Van Loan 2013, section 6.5.4).
    The factor, by full rows, and x start in their arrays at the places given; x is overwritten.
    Returns by how much the product of the diagonal grew, as a ratio. If the result is not positive
    definite, or so little of a pivot is left that digits are lost, returns 0; the factor is spoilt.
    """
    ratio = 1.0
    for j in range(d):
        pivot = root[first + j * d + j]
        square = pivot * pivot + sign * x[at + j] * x[at + j]
        if not square > _LITTLE * pivot * pivot:
            return 0.0
        new, reciprocal = sqrt(square), 1.0 / pivot
        cosine, sine = new * reciprocal, x[at + j] * reciprocal
        shrink = pivot / new
        ratio *= cosine
        root[first + j * d + j] = new
        for i in range(j + 1, d):
            p = first + i * d + j
            root[p] = (root[p] + sign * sine * x[at + i]) * shrink
            x[at + i] = cosine * x[at + i] - sine * root[p]
    return ratio


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


@njit
def inverse_lower(root: np.ndarray, out: np.ndarray) -> None:
    """Write the lower triangle of L⁻¹ by rows to the vector `out`."""
    for i in range(len(root)):
        row = i * (i + 1) // 2
        reciprocal = 1.0 / root[i, i]
        for j in range(i):
            out[row + j] = 0.0
        for l in range(i):
            factor, other = -reciprocal * root[i, l], l * (l + 1) // 2
            for j in range(l + 1):
                out[row + j] += factor * out[other + j]
        out[row + i] = reciprocal


@njit
def inverse(a: np.ndarray, out: np.ndarray) -> None:
    """Write the inverse of any square matrix to `out`, by Gauss and Jordan with row pivots.

    Overwrites `a`. A singular matrix has an inverse of entries that are not finite.
    """
    d = len(a)
    out[:] = 0.0
    for i in range(d):
        out[i, i] = 1.0
    for j in range(d):
        best = j
        for i in range(j + 1, d):
            if abs(a[i, j]) > abs(a[best, j]):
                best = i
        for l in range(d):
            a[j, l], a[best, l] = a[best, l], a[j, l]
            out[j, l], out[best, l] = out[best, l], out[j, l]
        pivot = a[j, j]
        for l in range(d):
            a[j, l] /= pivot
            out[j, l] /= pivot
        for i in range(d):
            factor = a[i, j]
            if i == j or factor == 0.0:
                continue
            for l in range(d):
                a[i, l] -= factor * a[j, l]
                out[i, l] -= factor * out[j, l]


@njit
def squared_distance(
    d: int,
    root_inverse: np.ndarray,
    first: int,
    x: np.ndarray,
    first_x: int,
    centre: np.ndarray,
    first_centre: int,
) -> float:
    """``|L⁻¹ (x - centre)|²`` in d dimensions, the squared Mahalanobis distance.

    L⁻¹ by rows, x and centre start in their arrays at the places given: to cut a piece out of an
    array takes longer than the arithmetic.
    """
    result = 0.0
    p = first
    for i in range(d):
        total = 0.0
        for l in range(i + 1):
            total += root_inverse[p] * (x[first_x + l] - centre[first_centre + l])
            p += 1
        result += total * total
    return result
