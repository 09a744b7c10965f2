"""Small dense matrices: what LAPACK would do with more overhead, and far dearer to compile.

Nothing is checked. A matrix that is not positive definite has a factor with
entries that are not numbers.
"""

from math import log, sqrt

import numpy as np

from pymc_dpsteps.jit import njit_lean

__all__ = [
    "cholesky",
    "inverse",
    "log_determinant",
    "packed_root",
    "positive_diagonal",
    "root",
    "root_of_inverse",
    "solve_lower",
    "solve_lower_transposed",
    "solve_lower_vector",
    "squared_distance",
    "sum_log_diagonal",
    "times_lower",
    "update_root",
]

_LITTLE = 1e-4


@njit_lean
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


@njit_lean
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


@njit_lean
def log_determinant(root: np.ndarray) -> float:
    """Log determinant of the matrix whose Cholesky factor is `root`."""
    result = 0.0
    for j in range(len(root)):
        result += 2.0 * np.log(root[j, j])
    return result


@njit_lean
def solve_lower(root: np.ndarray, x: np.ndarray) -> None:
    """Overwrite x by L⁻¹ x."""
    for i in range(len(x)):
        total = x[i]
        for l in range(i):
            total -= root[i, l] * x[l]
        x[i] = total / root[i, i]


@njit_lean
def solve_lower_transposed(root: np.ndarray, x: np.ndarray) -> None:
    """Overwrite x by L⁻ᵀ x."""
    for i in range(len(x) - 1, -1, -1):
        total = x[i]
        for l in range(i + 1, len(x)):
            total -= root[l, i] * x[l]
        x[i] = total / root[i, i]


@njit_lean
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


@njit_lean
def root(d: int, a: np.ndarray, first: int, out: np.ndarray, at: int) -> None:
    """Write the lower Cholesky factor of a (d, d) matrix, zeros above its diagonal.

    Both lie by rows in vectors, from the places given; so in what follows: to cut a piece out of
    an array takes longer than the arithmetic.
    """
    for j in range(d):
        row = at + j * d
        pivot = a[first + j * d + j]
        for l in range(j):
            pivot -= out[row + l] * out[row + l]
        pivot = sqrt(pivot)
        out[row + j] = pivot
        reciprocal = 1.0 / pivot
        for i in range(j + 1, d):
            other = at + i * d
            total = a[first + i * d + j]
            for l in range(j):
                total -= out[other + l] * out[row + l]
            out[other + j] = total * reciprocal
            out[row + i] = 0.0


@njit_lean
def root_of_inverse(d: int, a: np.ndarray, first: int, out: np.ndarray, at: int) -> None:
    """Write the Cholesky factor of the inverse of a positive-definite (d, d) matrix.

    With ``A = U U'``, U upper triangular, it is the lower triangular ``U⁻ᵀ``.
    """
    for j in range(d - 1, -1, -1):  # U' to the lower triangle
        row = at + j * d
        pivot = a[first + j * d + j]
        for l in range(j + 1, d):
            pivot -= out[at + l * d + j] * out[at + l * d + j]
        pivot = sqrt(pivot)
        out[row + j] = pivot
        reciprocal = 1.0 / pivot
        for i in range(j):
            total = a[first + j * d + i]
            for l in range(j + 1, d):
                total -= out[at + l * d + i] * out[at + l * d + j]
            out[row + i] = total * reciprocal
            out[at + i * d + j] = 0.0
    for i in range(d):  # its inverse in place
        row = at + i * d
        reciprocal = 1.0 / out[row + i]
        for j in range(i):
            total = 0.0
            for l in range(j, i):
                total += out[row + l] * out[at + l * d + j]
            out[row + j] = -reciprocal * total
        out[row + i] = reciprocal


@njit_lean
def packed_root(d: int, root: np.ndarray, first: int, out: np.ndarray, at: int) -> None:
    """Write a lower triangle by columns, its diagonal inverted, as `squared_distance` reads it."""
    p = at
    for j in range(d):
        out[p] = 1.0 / root[first + j * d + j]
        p += 1
        for i in range(j + 1, d):
            out[p] = root[first + i * d + j]
            p += 1


@njit_lean
def squared_distance(
    d: int,
    packed: np.ndarray,
    first: int,
    x: np.ndarray,
    first_x: int,
    centre: np.ndarray,
    first_centre: int,
    scratch: np.ndarray,
    at: int,
) -> float:
    """``|L⁻¹ (x - centre)|²``, the squared Mahalanobis distance, from the `packed_root` of L."""
    for i in range(d):
        scratch[at + i] = x[first_x + i] - centre[first_centre + i]
    result = 0.0
    p = first
    for j in range(d):
        solved = scratch[at + j] * packed[p]
        result += solved * solved
        p += 1
        for i in range(j + 1, d):
            scratch[at + i] -= packed[p] * solved
            p += 1
    return result


@njit_lean
def sum_log_diagonal(d: int, a: np.ndarray, first: int) -> float:
    """Sum of the logarithms of a diagonal: of products while these are of moderate size."""
    total, product = 0.0, 1.0
    for i in range(d):
        product *= a[first + i * d + i]
        if not 1e-7 < product < 1e7:
            total += log(product)
            product = 1.0
    return total + log(product)


@njit_lean
def positive_diagonal(d: int, a: np.ndarray, first: int) -> bool:
    """Whether a diagonal is positive; a factor of what has none is not a number."""
    for i in range(d):
        if not a[first + i * d + i] > 0.0:
            return False
    return True


@njit_lean
def times_lower(
    d: int, root: np.ndarray, first: int, x: np.ndarray, first_x: int, out: np.ndarray, at: int
) -> None:
    """Write ``L x``."""
    for i in range(d):
        total = 0.0
        for l in range(i + 1):
            total += root[first + i * d + l] * x[first_x + l]
        out[at + i] = total


@njit_lean
def solve_lower_vector(
    d: int, root: np.ndarray, first: int, x: np.ndarray, first_x: int, out: np.ndarray, at: int
) -> None:
    """Write ``L⁻¹ x``."""
    for i in range(d):
        total = x[first_x + i]
        for l in range(i):
            total -= root[first + i * d + l] * out[at + l]
        out[at + i] = total / root[first + i * d + i]
