"""Whether a data set looks like those that the model simulates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pymc_dpsteps.amortized.check_draws import Array

__all__ = ["OutOfDistribution", "out_of_distribution"]


@dataclass(frozen=True)
class OutOfDistribution:
    """Where a data set stands among simulated ones.

    Attributes
    ----------
    p_value : float
        Probability that a data set of the model is at least as far from the others.
    flagged : bool
        Whether the p-value is at most the level.
    """

    p_value: float
    flagged: bool


def out_of_distribution(
    y: ArrayLike, simulated: Sequence[ArrayLike], *, level: float = 0.01
) -> OutOfDistribution:
    """Flag a data set unlike the prior predictive ones: a network never saw its like.

    Parameters
    ----------
    y : array_like of float, shape (n,) or (n, d)
        The data set.
    simulated : sequence of array_like of float
        Prior predictive data sets of the same size n.
    level : float, default 0.01
        Rate at which data sets of the model are flagged.

    Returns
    -------
    OutOfDistribution

    Raises
    ------
    ValueError
        If shapes differ, values are not finite, or there are too few simulated data sets for
        this level.

    Notes
    -----
    Every coordinate has three summaries: median, and the logarithms of the interquartile range
    and of the ratio of the full range to it. The p-value is the rank of the data set's
    Mahalanobis distance among those of all data sets, the given one included in their mean and
    covariance: then all are exchangeable under the model, and the p-value is valid for any
    distribution of the summaries. What the three do not see, such as dependence between
    coordinates, is not flagged.
    """
    sets = [np.asarray(x, np.float64) for x in (y, *simulated)]
    if len(sets) * level < 1.0:
        raise ValueError(
            f"{len(simulated)} simulated data sets can never give a p-value of {level:g}; expected "
            f"at least {int(np.ceil(1.0 / level)) - 1}."
        )
    if shapes := {x.shape for x in sets if x.shape != sets[0].shape or x.ndim not in (1, 2)}:
        raise ValueError(
            f"The data set has shape {sets[0].shape}, simulated ones have {sorted(shapes)}; "
            "expected one shape for all, (n,) or (n, d)."
        )
    stacked = np.stack(sets)
    if not np.isfinite(stacked).all():
        raise ValueError("Data are not finite.")
    summaries = _summaries(stacked.reshape(*stacked.shape[:2], -1))
    centred = summaries - summaries.mean(axis=0)
    # A summary that does not vary has no say; the pseudo-inverse leaves it out.
    precision = np.linalg.pinv(np.atleast_2d(np.cov(centred.T)), hermitian=True)
    distance = np.einsum("si,ij,sj->s", centred, precision, centred)
    # Rounding must not decide between equal data sets, which counts may well be.
    p_value = float(np.mean(distance >= distance[0] * (1.0 - 1e-9)))
    return OutOfDistribution(p_value, p_value <= level)


def _summaries(sets: Array) -> Array:
    """Robust summaries of data sets (S, n, d), shape (S, 3 d)."""
    low, median, high = np.quantile(sets, [0.25, 0.5, 0.75], axis=1)
    spread = high - low
    # Counts may have no spread at all.
    least = 1e-3 * np.median(spread, axis=0)
    least[least == 0.0] = 1.0
    spread = spread + least
    tails = np.log((np.ptp(sets, axis=1) + least) / spread)
    found: Array = np.concatenate([median, np.log(spread), tails], axis=1)
    return found
