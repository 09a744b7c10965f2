"""Probabilities of partitions under an urn, averaged over the prior of its concentration.

Exchangeable partition probabilities of the two-parameter family (Pitman 2006, section 3.2):

    p(c) = e^{A(n, k)} Π_j (1 - d)_{n_j - 1},

    A(n, k) = log ∫ p(α) Π_{l=1}^{k-1} (α + l d) / (α + 1)_{n-1} dα.

With d = 0 the Chinese restaurant process, with d > 0 that of Pitman and Yor, and with d = -a and
α = K a that of K symmetric Dirichlet weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from pymc_dpsteps.mixture.structure import PriorKind

__all__ = ["LEAST", "Grid", "partition_law", "quadrature", "seats"]

_FAR = 40.0  # nats below its largest value an integrand is left out
_SPACING = 0.05  # of the quadrature in value space
LEAST = 1e-3
"""Of a concentration."""


@dataclass(frozen=True)
class Grid:
    """Parameters of an urn, weighted: a quadrature over the concentration's prior.

    Attributes
    ----------
    log_weights : numpy.ndarray of float64, shape (G,)
    parameters : numpy.ndarray of float64, shape (G, rows, 2)
        See `AllocationPrior.parameters`.
    """

    log_weights: NDArray[np.float64]
    parameters: NDArray[np.float64]


def partition_law(
    kind: PriorKind, parameters: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """α and d of the law of partitions under an urn, or of one that is close to it.

    Parameters
    ----------
    kind : PriorKind
    parameters : numpy.ndarray of float64, shape (G, rows, 2)

    Returns
    -------
    alpha, discount : numpy.ndarray of float64, shape (G,)
        Of the urn itself for a Chinese restaurant process and for symmetric Dirichlet weights. For
        sticks of the Dirichlet and the Pitman–Yor process, of what their law comes to with more
        and more of them; for others, of the process that shares their first stick.
    """
    first, second = parameters[:, 0, 0], parameters[:, 0, 1]
    if kind is PriorKind.CRP:
        return first, second
    if kind is PriorKind.DIRICHLET:
        return parameters[:, :, 0].sum(1), -parameters[:, :, 0].mean(1)
    discount = np.clip(1.0 - first, 0.0, 1.0 - LEAST)
    return np.maximum(first + second - 1.0, LEAST - discount), discount


def quadrature(
    at: Callable[[float], tuple[float, NDArray[np.float64]]],
    start: float,
    kind: PriorKind,
    n: int,
    k: int,
) -> Grid:
    """Grid over the value of one concentration variable.

    Parameters
    ----------
    at : callable
        ``at(theta) -> (log_prior, parameters)``, density in value space and parameters of the urn.
    start : float
        Where to begin.
    kind : PriorKind
    n, k : int
        Largest numbers of items and of clusters.
    """

    def point(theta: float) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        log_prior, parameters = at(theta)
        alpha, discount = partition_law(kind, parameters[None])
        return log_prior, parameters, log_prior + _places(alpha, discount[0], n, k)

    grid = [point(start)]
    largest = grid[0][2]
    for step in (-_SPACING, _SPACING):
        theta, mass = start, point(start)[2]
        while (mass > largest - _FAR).any():
            theta += step
            new = point(theta)
            grid = [new, *grid] if step < 0 else [*grid, new]
            mass = new[2]
            largest = np.maximum(largest, mass)
    log_prior, parameters, _ = zip(*grid, strict=True)
    return Grid(np.array(log_prior) + np.log(_SPACING), np.array(parameters))


def seats(
    log_weights: NDArray[np.float64], alpha: NDArray[np.float64], discount: float, n: int, k: int
) -> NDArray[np.float64]:
    """Table of A(n, k), the mean over values of alpha with these log weights."""
    opened, seated = _log_factors(alpha, discount, n, k)
    result = np.full((n + 1, k + 1), -np.inf)
    result[0, 0] = 0.0
    for size in range(1, n + 1):
        most = min(size, k)
        result[size, 1 : most + 1] = logsumexp(
            log_weights + opened[1 : most + 1] - seated[size], axis=1
        )
    return result


def _log_factors(
    alpha: NDArray[np.float64], discount: float, n: int, k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log of Π (α + l d) by number of clusters, and of (α + 1)_{n-1} by number of items."""
    opened = np.zeros((k + 1, len(alpha)))
    if k > 1:
        more = np.log(alpha + discount * np.arange(1, k)[:, None])
        opened[2:] = np.cumsum(more, axis=0)
    seated = np.zeros((n + 1, len(alpha)))
    if n > 1:
        seated[2:] = np.cumsum(np.log(alpha + np.arange(1, n)[:, None]), axis=0)
    return opened, seated


def _places(alpha: NDArray[np.float64], discount: float, n: int, k: int) -> NDArray[np.float64]:
    """Log of the integrand for few clusters and for many."""
    opened, seated = _log_factors(alpha, discount, n, k)
    places = ((1, 1), (1, n), (min(n, k), n))
    return np.array([opened[j, 0] - seated[size, 0] for j, size in places])
