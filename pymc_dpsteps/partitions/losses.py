r"""Losses between two partitions of the same items.

Let :math:`n_a`, :math:`n_b` and :math:`n_{ab}` be the sizes of the clusters of the first and the
second partition and of their intersections. All four losses are functions of the three sums
:math:`A = \sum_a g(n_a)`, :math:`B = \sum_b g(n_b)` and :math:`J = \sum_{ab} g(n_{ab})`, where
:math:`g(n) = n \log_2 n` or :math:`g(n) = n^2`. So a loss costs one contingency table.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from pymc_dpsteps.jit import njit
from pymc_dpsteps.partitions.labels import read_draws, read_partition

__all__ = [
    "Loss",
    "adjusted_rand_index",
    "distance",
    "expected_loss",
    "loss_code",
    "loss_of_sums",
    "losses_to",
    "potential",
]

Loss = Literal["vi", "binder", "omari", "nvi"]

VI, BINDER, OMARI, NVI = range(4)  # positions in `Loss`: compiled code takes the number


def loss_code(loss: str) -> int:
    """Number of a loss in compiled code.

    Raises
    ------
    ValueError
        If there is no such loss.
    """
    if loss not in get_args(Loss):
        raise ValueError(f"loss = {loss!r}; expected one of {', '.join(get_args(Loss))}.")
    return get_args(Loss).index(loss)


def potential(loss: int, largest: int) -> NDArray[np.float64]:
    """Values g(0), ..., g(largest) of the function of cluster sizes that a loss sums."""
    n = np.arange(largest + 1, dtype=np.float64)
    return n * np.log2(np.maximum(n, 1.0)) if loss in (VI, NVI) else n**2


@njit
def loss_of_sums(loss: int, n_items: int, a: float, b: float, joint: float) -> float:
    """Loss as a function of the sums A, B and J of the module's docstring."""
    n = float(n_items)
    apart = a + b - 2.0 * joint
    if apart <= 0.0:  # rounding aside, it is 0 for the same partition and positive for others
        return 0.0
    if loss == VI:
        return apart / n
    if loss == BINDER:
        return apart / n**2
    if loss == NVI:
        entropy = n * np.log2(n) - joint  # 0 for two single clusters, otherwise at least log2 N
        return apart / entropy if entropy > 0.5 else 0.0
    a, b = a - n, b - n  # twice the numbers of pairs that are together
    return 0.5 * apart / (0.5 * (a + b) - a * b / (n * (n - 1.0)))


@njit
def _losses_to(
    loss: int,
    table: NDArray[np.float64],
    partition: NDArray[np.int32],
    rows: NDArray[np.int32],
    width: int,
    out: NDArray[np.float64],
) -> None:
    n_rows, n_items = rows.shape
    first = np.zeros(partition.max() + 1, dtype=np.int64)
    for label in partition:
        first[label] += 1
    a = 0.0
    for size in first:
        a += table[size]
    counts = np.zeros((len(first), width), dtype=np.int32)
    second = np.zeros(width, dtype=np.int64)
    for s in range(n_rows):
        row = rows[s]
        found = 0  # labels of a row are 0, ..., found - 1
        for i in range(n_items):
            counts[partition[i], row[i]] += 1
            found = max(found, row[i] + 1)
        second[:found] = 0
        joint = 0.0
        for k in range(len(first)):
            for l in range(found):
                joint += table[counts[k, l]]
                second[l] += counts[k, l]
                counts[k, l] = 0
        b = 0.0
        for l in range(found):
            b += table[second[l]]
        out[s] = loss_of_sums(loss, n_items, a, b, joint)


def losses_to(
    loss: int, partition: NDArray[np.int32], rows: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Losses between one partition and every row.

    Parameters
    ----------
    loss : int
        See `loss_code`.
    partition : numpy.ndarray of int32, shape (N,)
        Labels 0, 1, ... without gaps.
    rows : numpy.ndarray of int32, shape (S, N)
        Labels of every row 0, 1, ... without gaps.

    Returns
    -------
    numpy.ndarray of float64, shape (S,)

    Notes
    -----
    Takes O(S (N + k l)) time for k and l clusters.
    """
    out = np.empty(len(rows))
    table = potential(loss, rows.shape[1])
    _losses_to(loss, table, partition, rows, int(rows.max()) + 1, out)
    return out


def distance(first: ArrayLike, second: ArrayLike, *, loss: Loss = "vi") -> float:
    r"""Loss between two partitions of the same items.

    Parameters
    ----------
    first, second : array_like, shape (N,)
        Labels of any type, such as names; only their equality within a partition counts.
    loss : {"vi", "binder", "omari", "nvi"}, default "vi"
        With entropies H in bits and the mutual information I, of the cluster of an item drawn at
        random:

        - "vi": variation of information, H(a) + H(b) - 2 I(a, b), between 0 and log2(N) bits
          [1]_; the scale of [2]_;
        - "binder": number of pairs that are together in one partition and apart in the other,
          divided by N²/2 (not by the number of pairs), between 0 and 1 - 1/N [3]_; the scale of
          [4]_ with equal costs;
        - "omari": one minus the adjusted Rand index, 0 for the same partition and 1 on average
          for unrelated ones;
        - "nvi": normalised variation of information, vi / H(a, b) = 1 - I(a, b) / H(a, b),
          between 0 and 1 [5]_.

        "vi", "binder" and "nvi" are metrics.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes differ, there are no items, or there is no such loss.

    References
    ----------
    .. [1] Meilă, M. (2007). Comparing clusterings: an information based distance. Journal of
       Multivariate Analysis 98, 873-895.
    .. [2] Wade, S. and Ghahramani, Z. (2018). Bayesian cluster analysis: point estimation and
       credible balls. Bayesian Analysis 13, 559-626.
    .. [3] Binder, D. A. (1978). Bayesian cluster analysis. Biometrika 65, 31-38.
    .. [4] Dahl, D. B., Johnson, D. J. and Müller, P. (2022). Search algorithms and loss functions
       for Bayesian clustering. Journal of Computational and Graphical Statistics 31, 1189-1201.
    .. [5] Vinh, N. X., Epps, J. and Bailey, J. (2010). Information theoretic measures for
       clusterings comparison. Journal of Machine Learning Research 11, 2837-2854.
    """
    code = loss_code(loss)
    a, b = np.asarray(first), np.asarray(second)
    if a.ndim != 1 or a.shape != b.shape or len(a) == 0:
        raise ValueError(
            f"The partitions have shapes {a.shape} and {b.shape}; expected (N,) for both, with "
            "N >= 1 items."
        )
    labels = [np.unique(x, return_inverse=True)[1].astype(np.int32) for x in (a, b)]
    return float(losses_to(code, labels[0], labels[1][None])[0])


def adjusted_rand_index(first: ArrayLike, second: ArrayLike) -> float:
    """Agreement of two partitions of the same items, corrected for chance.

    The number of pairs of items that are together in both partitions, less its mean over random
    partitions with the same cluster sizes, relative to the greatest value that the cluster sizes
    allow it on average: equation 5 of [1]_.

    Parameters
    ----------
    first, second : array_like, shape (N,)
        Labels of any type, such as names; only their equality within a partition counts.

    Returns
    -------
    float
        1 for the same partition, 0 on average for unrelated ones; may be negative.

    Raises
    ------
    ValueError
        If the shapes differ, or there are no items.

    References
    ----------
    .. [1] Hubert, L. and Arabie, P. (1985). Comparing partitions. Journal of Classification 2,
       193-218.
    """
    return 1.0 - distance(first, second, loss="omari")


def expected_loss(
    partition: xr.DataArray | ArrayLike,
    data: xr.DataTree | xr.DataArray | ArrayLike,
    *,
    loss: Loss = "vi",
    allocation: str | None = None,
) -> xr.DataArray:
    """Posterior expectation of the loss of partitions.

    The mean over the draws of the loss itself, not the lower bound of Wade and Ghahramani (2018).

    Parameters
    ----------
    partition : xarray.DataArray or array_like of int, shape (..., N)
        One partition or several: labels of at least 0, items last.
    data : xarray.DataTree, xarray.DataArray or array_like of int, shape (..., N)
        A result of `dps.sample` or `pymc.sample`; or labels of at least 0, items last.
    loss : {"vi", "binder", "omari", "nvi"}, default "vi"
        See `distance`.
    allocation : str, optional
        Name of the allocation, where a result has several.

    Returns
    -------
    xarray.DataArray of float64, shape (...)
        Without dimensions for a single partition.

    Raises
    ------
    ValueError
        If there are no draws, labels are not integers of at least 0, the numbers of items differ,
        or there is no such loss.

    Notes
    -----
    Takes O(draws x N) time for each partition.
    """
    code = loss_code(loss)
    draws = read_draws(data, allocation)
    candidates = partition if isinstance(partition, xr.DataArray) else xr.DataArray(partition)
    if draws.dim in candidates.dims:
        candidates = candidates.transpose(..., draws.dim)
    if candidates.ndim == 0:
        read_partition(candidates, draws)  # refuses it
    means = np.empty(candidates.shape[:-1])
    for index in np.ndindex(means.shape):
        means[index] = losses_to(code, read_partition(candidates[index], draws), draws.rows).mean()
    coords = {n: x for n, x in candidates.coords.items() if candidates.dims[-1] not in x.dims}
    return xr.DataArray(means, coords, candidates.dims[:-1], attrs={"loss": loss})
