"""Predictive densities of the conjugate families: ratios of marginals, kept up to date."""

import numba
import numpy as np
import pytest

from pymc_dpsteps.conjugate.families.normal_wishart import NORMAL_WISHART
from pymc_dpsteps.linalg import update_root
from tests.helpers_families import CASES, N, collect, everywhere, log_marginal, resampled

SHIFTING = [name for name, case in CASES.items() if case.family.shift is not None]


def refreshed(case, statistics):
    """The cache after something else, away from the start of its row."""
    row = np.full(3 + case.family.n_cache(case.d), np.nan)
    case.family.refresh(case.d, statistics, case.hyper, row[3:])
    return row


def log_predictive(case, row, datum):
    shifted = np.concatenate([[np.nan, np.nan], datum])
    return case.family.log_predictive(case.d, row, 3, shifted, 2)


@everywhere
@pytest.mark.parametrize("n", [0, 1, 2, 3, N - 1])
def test_the_predictive_is_a_ratio_of_marginals(case, n):
    """Of the truth, computed without the code under test, and of the family's own."""
    row = refreshed(case, collect(case, case.data[:n]))
    found = log_predictive(case, row, case.data[n])
    before = case.log_marginal(case.data[:n]) if n else 0.0
    expected = case.log_marginal(case.data[: n + 1]) - before
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-8)
    own = log_marginal(case, case.data[: n + 1]) - log_marginal(case, case.data[:n])
    assert found == pytest.approx(own, rel=1e-8, abs=1e-8)


@numba.njit
def wander(update, shift, d, statistics, hyper, cache, data, inside, n_operations, rng):
    """Add and remove observations, from none to all of them."""
    n, size = len(data), 0
    for _ in range(n_operations):
        i = rng.integers(0, n)
        sign = -1.0 if inside[i] else 1.0
        update(d, statistics, data[i], sign)
        shift(d, statistics, hyper, cache, data[i], 0, sign)
        inside[i] = not inside[i]
        size += int(sign)


@pytest.mark.parametrize("n", [2, 30])
@pytest.mark.parametrize("name", SHIFTING)
def test_a_shifted_cache_is_a_refreshed_one(name, n):
    """After thousands of observations that came and went; with two, the cluster is often empty."""
    case = CASES[name]
    data, inside = resampled(case, n), np.zeros(n, dtype=bool)
    statistics = collect(case, data[:0])
    cache = refreshed(case, statistics)[3:].copy()
    rng = np.random.default_rng(14)
    wander(
        case.family.update, case.family.shift, case.d, statistics, case.hyper, cache, data,
        inside, 4_001, rng,
    )  # fmt: skip
    fresh = refreshed(case, collect(case, data[inside]))
    shifted = np.concatenate([[np.nan] * 3, cache])
    for datum in data[:5]:
        expected = log_predictive(case, fresh, datum)
        assert log_predictive(case, shifted, datum) == pytest.approx(expected, rel=1e-9)


def test_an_observation_that_dominates_its_cluster_leaves_no_trace():
    case = CASES["normal_wishart"]
    outlier = 1e7 * np.ones(case.d)
    statistics = collect(case, case.data)
    cache = refreshed(case, statistics)[3:].copy()
    for sign in (1.0, -1.0):
        NORMAL_WISHART.update(case.d, statistics, outlier, sign)
        NORMAL_WISHART.shift(case.d, statistics, case.hyper, cache, outlier, 0, sign)
    again = refreshed(case, statistics)[3:]
    scratch = slice(3 + case.d, 3 + 2 * case.d)
    cache[scratch] = again[scratch] = 0.0
    np.testing.assert_allclose(cache, again, rtol=1e-10)


@pytest.mark.parametrize("d", [1, 2, 5, 20])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_change_of_rank_one(d, sign):
    rng = np.random.default_rng(15)
    factor, x = rng.normal(size=(d, d)), 0.3 * rng.normal(size=d)
    matrix = factor @ factor.T + (1.0 + x @ x) * np.eye(d)
    expected = np.linalg.cholesky(matrix + sign * np.outer(x, x))
    packed = np.concatenate([[np.nan], np.linalg.cholesky(matrix).ravel(), x])
    ratio = update_root(d, packed, 1, packed, 1 + d * d, sign)
    found = packed[1 : 1 + d * d].reshape(d, d)
    assert ratio == pytest.approx(np.prod(np.diag(expected) / np.diag(np.linalg.cholesky(matrix))))
    np.testing.assert_allclose(np.tril(found), expected, rtol=1e-11, atol=1e-12)


def test_a_change_that_is_not_positive_definite_is_told():
    root = 2.0 * np.eye(2).ravel()
    assert update_root(2, root, 0, np.array([0.0, 2.5]), 0, -1.0) == 0.0
