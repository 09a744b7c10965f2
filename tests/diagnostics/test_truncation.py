from fractions import Fraction
from math import comb

import numpy as np
import pytest

import pymc_dpsteps as dps
from pymc_dpsteps.diagnostics import truncation_bound


def by_the_binomial_sum(alpha: Fraction, n: int, K: int) -> float:
    """E[R^j] = (alpha / (alpha + j))^(K - 1), in rational numbers: the sum cancels."""
    terms = ((-1) ** j * comb(n, j) * (alpha / (alpha + j)) ** (K - 1) for j in range(1, n + 1))
    return float(-4 * sum(terms))


@pytest.mark.parametrize("alpha", [Fraction(1, 1000), Fraction(1, 2), Fraction(3), Fraction(100)])
@pytest.mark.parametrize("n", [1, 5, 100])
@pytest.mark.parametrize("K", [1, 2, 3, 20, 150])
def test_the_bound_is_exact(alpha, n, K):
    found = truncation_bound(float(alpha), n, K)
    assert found == pytest.approx(by_the_binomial_sum(alpha, n, K), rel=1e-11)


def test_the_bound_is_the_probability_that_items_fall_beyond_the_first_sticks():
    alpha, n, K, draws = 3.0, 50, 12, 100_000
    rng = np.random.default_rng(3)
    sticks = rng.beta(1.0, alpha, size=(draws, K - 1))
    weights = sticks * np.cumprod(np.insert(1 - sticks[:, :-1], 0, 1.0, axis=1), axis=1)
    outside = 4 * (1 - weights.sum(axis=1) ** n)
    error = outside.std() / np.sqrt(draws)
    assert abs(truncation_bound(alpha, n, K) - outside.mean()) < 5 * error
    assert error < 0.01


@pytest.mark.parametrize(("alpha", "n", "K"), [(5.0, 100_000, 150), (3.0, 1000, 50)])
def test_the_approximation_of_the_paper_is_below_the_bound(alpha, n, K):
    approximation = 4 * n * np.exp(-(K - 1) / alpha)
    mean_of_rest = (alpha / (1 + alpha)) ** (K - 1)
    assert approximation < truncation_bound(alpha, n, K) < 4 * n * mean_of_rest


@pytest.mark.parametrize("alpha", [1e-3, 0.5, 5.0, 200.0])
@pytest.mark.parametrize("n", [1, 82, 1_000_000])
@pytest.mark.parametrize("eps", [1e-9, 0.01, 3.0])
def test_the_level_is_the_smallest_that_suffices(alpha, n, eps):
    K = dps.truncation_level(alpha, n, eps)
    assert truncation_bound(alpha, n, K) <= eps
    assert K == 1 or truncation_bound(alpha, n, K - 1) > eps


def test_any_distance_is_allowed():
    assert dps.truncation_level(1.0, 10, eps=4.0) == 1


def test_bad_input_is_refused():
    for arguments in [(0.0, 10), (-1.0, 10), (np.nan, 10), (np.inf, 10)]:
        with pytest.raises(ValueError, match=r"alpha = .*expected a positive, finite number"):
            dps.truncation_level(*arguments)
    with pytest.raises(ValueError, match="eps = 0"):
        dps.truncation_level(1.0, 10, 0.0)
    with pytest.raises(ValueError, match="n = 0; expected an integer"):
        dps.truncation_level(1.0, 0)
    with pytest.raises(ValueError, match=r"K = 2.5; expected an integer"):
        truncation_bound(1.0, 10, 2.5)
