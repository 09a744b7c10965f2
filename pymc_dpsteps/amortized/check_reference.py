"""Draws of one data set against those of a reference, such as a long Markov chain."""

from __future__ import annotations

import arviz_stats
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree
from scipy.special import logsumexp
from scipy.stats import rankdata

from pymc_dpsteps.amortized.check_draws import Array, Draws
from pymc_dpsteps.amortized.resampling import systematic
from pymc_dpsteps.partitions import n_clusters
from pymc_dpsteps.partitions.labels import as_rows, number_by_first

__all__ = [
    "c2st",
    "coclustering",
    "compare",
    "effective_size",
    "predictive_difference",
    "probability_of_n_clusters",
]

_FOLDS = 5


def compare(sample: Draws, reference: Draws, *, rng: np.random.Generator) -> xr.Dataset:
    """Distances between the draws of a sampler and those of a reference.

    Parameters
    ----------
    sample, reference : Draws
        For the same data set; either may be weighted. Draws of a chain in their order.
    rng : numpy.random.Generator

    Returns
    -------
    xarray.Dataset
        Of dimension (pair), ``sample`` for the sampler and the reference, ``floor`` for the two
        halves of the reference, which are as different as chance and slow mixing make them:

        - ``total_variation``: between the distributions of the number of clusters;
        - ``coclustering_max``, ``coclustering_rms``: differences of co-clustering probabilities
          over all pairs of items;
        - ``c2st``: accuracy of a classifier, see `c2st`, on equal numbers of draws in both pairs.

        Of dimension (source), ``sample`` and ``reference``:

        - ``probability``, also of dimension (n_clusters): P(k);
        - ``effective_size``, see `effective_size`.

        And ``predictive_difference`` with ``predictive_error``, see `predictive_difference`; NaN
        where either lacks ``log_predictive``.

    Raises
    ------
    ValueError
        If the numbers of items differ, the functionals differ, or there are too few draws.
    """
    if sample.labels.shape[1] != reference.labels.shape[1]:
        raise ValueError(
            f"The sampler has {sample.labels.shape[1]} items, the reference "
            f"{reference.labels.shape[1]}; expected draws for the same data set."
        )
    halves = reference.half(second=False), reference.half(second=True)
    n_rows = min(len(sample), len(halves[0]))
    pairs = [_distances(sample, reference, n_rows, rng), _distances(*halves, n_rows, rng)]
    k = np.arange(1, 1 + max(int(n_clusters(x.labels).max()) for x in (sample, reference)))
    sources = sample, reference
    probability = [probability_of_n_clusters(x, len(k)) for x in sources]
    difference, error = predictive_difference(sample, reference)
    return xr.Dataset(
        {name: ("pair", [pair[name] for pair in pairs]) for name in pairs[0]}
        | {
            "probability": (("source", "n_clusters"), probability),
            "effective_size": ("source", [effective_size(x) for x in sources]),
            "predictive_difference": difference,
            "predictive_error": error,
        },
        coords={"pair": ["sample", "floor"], "source": ["sample", "reference"], "n_clusters": k},
    )


def _distances(
    first: Draws, second: Draws, n_rows: int, rng: np.random.Generator
) -> dict[str, float]:
    most = max(int(n_clusters(x.labels).max()) for x in (first, second))
    p, q = (probability_of_n_clusters(x, most) for x in (first, second))
    differences = coclustering(first) - coclustering(second)
    above = differences[np.triu_indices(len(differences), 1)]
    tables = [x.functionals() for x in (first, second)]
    if list(tables[0]) != list(tables[1]):
        raise ValueError(
            f"The sampler has the functionals {list(tables[0])}, the reference has "
            f"{list(tables[1])}; give first and log_joint with both or with neither."
        )
    rows = [
        np.column_stack(list(table.values()))[systematic(x.probability, n_rows, rng)]
        for table, x in zip(tables, (first, second), strict=True)
    ]
    return {
        "total_variation": 0.5 * float(np.abs(p - q).sum()),
        "coclustering_max": float(np.abs(above).max()),
        "coclustering_rms": float(np.sqrt(np.mean(above**2))),
        "c2st": c2st(*rows, rng=rng),
    }


def probability_of_n_clusters(draws: Draws, most: int) -> Array:
    """Weighted proportions of draws with 1, ..., `most` clusters."""
    k = n_clusters(draws.labels)
    return np.bincount(k, weights=draws.probability, minlength=most + 1)[1:]


def coclustering(draws: Draws) -> Array:
    """Weighted proportion of draws in which two items share a cluster, shape (n, n).

    `pymc_dpsteps.partitions.coclustering` is that of equal weights, in single precision.
    """
    labels = number_by_first(as_rows(draws.labels))
    root = np.sqrt(draws.probability)[:, None]
    together = np.zeros((labels.shape[1], labels.shape[1]))
    for cluster in range(int(labels.max()) + 1):
        member = root * (labels == cluster)
        together += member.T @ member
    return together


def c2st(first: ArrayLike, second: ArrayLike, *, rng: np.random.Generator) -> float:
    """Classifier two-sample test: accuracy in telling two samples apart, by cross-validation.

    Parameters
    ----------
    first, second : array_like of float, shape (m, F)
        Rows of the two samples, as many of each; rows of a chain in their order, copies of a draw
        one after the other, as `resampling.systematic` chooses them.
    rng : numpy.random.Generator
        Breaks ties.

    Returns
    -------
    float
        0.5 where the samples have one distribution, with a standard error of about
        ``0.6 / sqrt(2 m)`` for independent rows (0.042 for m = 100 and 0.014 for m = 1,000 in
        repetitions; folds share training rows); 1 where they never overlap.

    Raises
    ------
    ValueError
        If there are not as many rows of each, or fewer than 20.

    Notes
    -----
    The classifier of [1]_ that votes among nearest neighbours, here about as many as the square
    root of the rows. It needs no training, has nothing to tune and no failed optimisation that
    would pass for agreement, which a network has; there are few functionals, so neighbours are
    near. Each functional is replaced by its rank in both samples together, so that neither units
    nor heavy tails matter.

    Folds are consecutive fifths of both samples: a copy of a draw, or the next state of a chain,
    among the neighbours would give its sample away. A draw with so much weight that its copies
    fill a good part of a fold does; then there are too few effective draws to compare.

    References
    ----------
    .. [1] Lopez-Paz, D. and Oquab, M. (2017). Revisiting classifier two-sample tests. ICLR 2017.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    m = len(first)
    if first.shape != second.shape or first.ndim != 2 or m < 4 * _FOLDS:
        raise ValueError(
            f"Samples of shapes {first.shape} and {second.shape}; expected (m, functionals) for "
            f"both, with m at least {4 * _FOLDS}."
        )
    x = rankdata(np.concatenate([first, second]), axis=0)
    # Ties between neighbours are broken at random; ranks that differ do so by at least 1.
    x = (x + rng.uniform(-0.1, 0.1, x.shape)) / (2 * m)
    is_second = np.repeat([False, True], m)
    fold = np.tile(np.arange(m) * _FOLDS // m, 2)
    right = 0
    for f in range(_FOLDS):
        train, test = fold != f, fold == f
        n_neighbours = int(np.sqrt(np.count_nonzero(train))) | 1  # odd: no draw of votes
        _, near = cKDTree(x[train]).query(x[test], k=n_neighbours)
        guess = 2 * is_second[train][near].sum(axis=1) > n_neighbours
        right += int(np.count_nonzero(guess == is_second[test]))
    return right / (2 * m)


def predictive_difference(sample: Draws, reference: Draws) -> tuple[float, float]:
    """Held-out log predictive density of the sampler less that of the reference.

    Returns
    -------
    difference, error : float
        Sum over the held-out observations of the differences of ``log mean_s p(y_j | draw s)``,
        in nats, and its standard error from their spread; NaN where either sample lacks them.
    """
    if sample.log_predictive is None or reference.log_predictive is None:
        return np.nan, np.nan
    of_points = []
    for draws in (sample, reference):
        density = np.asarray(draws.log_predictive, np.float64)
        of_points.append(logsumexp(density, axis=0, b=draws.probability[:, None]))
    difference = of_points[0] - of_points[1]
    n_points = len(difference)
    error = np.sqrt(n_points) * difference.std(ddof=1) if n_points > 1 else np.nan
    return float(difference.sum()), float(error)


def effective_size(draws: Draws) -> float:
    """Number of independent draws that these are worth.

    ``1 / sum_s w_s²`` for weighted draws; else the least bulk effective sample size of all
    functionals that vary.
    """
    if draws.weights is not None:
        return float(1.0 / np.sum(draws.probability**2))
    varying = [x for x in draws.functionals().values() if np.ptp(x) > 0.0]
    sizes = [float(arviz_stats.ess(x[None], method="bulk")) for x in varying]
    return min(sizes, default=float(len(draws)))
