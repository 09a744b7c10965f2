"""Fast chains of one step method, and the Monte Carlo errors of their averages."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
from arviz_stats.base import array_stats
from numpy.typing import NDArray
from scipy.stats import norm, poisson

STANDARD_ERRORS = 5.0
FIVE_SIGMA = 2.0 * norm.sf(STANDARD_ERRORS)  # probability of a larger deviation
RARE = 20.0  # independent events expected: fewer have no useful effective sample size

type Draws = NDArray[Any]
type Point = dict[str, Any]


def run_chain(
    step: Any,
    model: pm.Model,
    names: Sequence[str],
    sweeps: int,
    *,
    seed: int,
    tune: int = 500,
    between: Callable[[Point, np.random.Generator], Point] | None = None,
) -> dict[str, Draws]:
    """Iterate a step as `pm.sample` would, without its cost per iteration.

    `names` are the value variables to record; `between` stands for other step methods.
    """
    rng = np.random.default_rng(seed)
    other_rng = np.random.default_rng([seed, 1])
    point = model.initial_point(random_seed=seed)
    draws = {name: np.empty((sweeps, *point[name].shape), point[name].dtype) for name in names}
    step.setup_chain(rng, tune, sweeps)
    recorded = list(draws.items())
    for iteration in range(-tune, sweeps):
        if iteration == 0:
            step.stop_tuning()
        point, _ = step.step(point)
        if between is not None:
            point = between(point, other_rng)
        if iteration >= 0:
            for name, draw in recorded:
                draw[iteration] = point[name]
    return draws


def effective_size(x: Draws) -> float:
    """Effective sample size of the mean of one chain, ArviZ's rank-free ``ess(method="mean")``."""
    x = np.asarray(x, dtype=float)
    if np.ptp(x) == 0.0:
        return float(len(x))
    return float(min(array_stats.ess(x[None, :], method="mean"), len(x)))


def assert_means(draws: Mapping[str, Draws], exact: Mapping[str, float]) -> None:
    """Means of one chain within five Monte Carlo standard errors of exact expectations.

    The error of a mean is sd / sqrt(effective sample size); for an event the standard deviation
    is the exact sqrt(p (1 - p)). An event, or its complement, with fewer than 20 independent
    occurrences expected has no reliable effective sample size: its count is compared with a
    Poisson bound instead, occurrences coming in clumps as long as the longest autocorrelation
    time of all other functionals.
    """
    assert set(draws) >= set(exact)
    taus = {name: len(draws[name]) / effective_size(draws[name]) for name in exact}
    rare = {}
    for name, value in exact.items():
        if draws[name].dtype == bool and len(draws[name]) * min(value, 1.0 - value) < RARE:
            rare[name] = value
    longest = max(tau for name, tau in taus.items() if name not in rare)
    wrong = []
    for name, value in exact.items():
        x = draws[name]
        n = len(x)
        if x.dtype == bool and n * min(value, 1.0 - value) / longest < RARE:
            occurred = x.sum() if value < 0.5 else n - x.sum()
            expected = n * min(value, 1.0 - value)
            if occurred > longest * poisson.isf(FIVE_SIGMA, max(expected, 0.0) / longest):
                wrong.append(f"{name}: {occurred} occurrences, {expected:.3g} expected")
            continue
        deviation = np.sqrt(value * (1.0 - value)) if x.dtype == bool else x.std()
        error = deviation * np.sqrt(taus[name] / n)
        if not abs(x.mean() - value) < STANDARD_ERRORS * error + 1e-12:
            wrong.append(
                f"{name}: {x.mean():.5g}, exact {value:.5g}, "
                f"{(x.mean() - value) / error:+.1f} standard errors"
            )
    assert not wrong, "\n".join(wrong)


def partition_functionals(z: Draws, n_components: int, mean_clusters: float) -> dict[str, Draws]:
    """Functionals of label vectors, shape (draws, N), that tests compare."""
    counts = slot_counts(z, n_components)
    k = (counts > 0).sum(axis=1)
    found: dict[str, Draws] = {"k": k, "(k - E[k])^2": (k - mean_clusters) ** 2}
    found |= {f"k = {j}": k == j for j in range(1, min(z.shape[1], n_components) + 1)}
    found |= {f"item {i} with item 1": z[:, i - 1] == z[:, 0] for i in range(2, z.shape[1] + 1)}
    found |= {f"n of slot {j + 1}": counts[:, j] for j in range(n_components)}
    return found


def slot_counts(z: Draws, n_components: int) -> Draws:
    """Number of items in every slot, shape (draws, K)."""
    counts = np.zeros((len(z), n_components), dtype=np.int64)
    rows = np.arange(len(z))
    for column in z.T:
        counts[rows, column] += 1
    return counts


def atom_of_first_item(z: Draws, atoms: Draws) -> Draws:
    """theta_1 = atoms[z_1], shape (draws,)."""
    return atoms[np.arange(len(z)), z[:, 0]]


def assert_agreement(first: Mapping[str, Draws], second: Mapping[str, Draws]) -> None:
    """Means of two independent chains within five standard errors of their difference.

    Events rarer than 20 independent occurrences in either chain have no reliable error and are
    left out.
    """
    assert set(first) == set(second)
    wrong, compared = [], 0
    for name in first:
        pair = [np.asarray(draws[name], dtype=float) for draws in (first, second)]
        sizes = [effective_size(x) for x in pair]
        if first[name].dtype == bool and any(
            n * min(x.mean(), 1.0 - x.mean()) < RARE for x, n in zip(pair, sizes, strict=True)
        ):
            continue
        compared += 1
        error = np.sqrt(sum(x.var() / n for x, n in zip(pair, sizes, strict=True)))
        difference = pair[0].mean() - pair[1].mean()
        if not abs(difference) < STANDARD_ERRORS * error + 1e-12:
            wrong.append(
                f"{name}: {pair[0].mean():.5g} and {pair[1].mean():.5g}, "
                f"{difference / error:+.1f} standard errors"
            )
    assert compared
    assert not wrong, "\n".join(wrong)
