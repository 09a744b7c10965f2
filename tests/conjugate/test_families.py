"""Every conjugate family by itself: marginal likelihood, statistics, draws and rounding errors."""

import numba
import numpy as np
import pytest
from scipy.special import gammaln

from pymc_dpsteps.conjugate.families.normal_gamma import NORMAL_GAMMA, log_gamma_ratio
from pymc_dpsteps.conjugate.families.normal_wishart import NORMAL_WISHART
from pymc_dpsteps.conjugate.families.sums import log_rising
from tests.helpers_chain import STANDARD_ERRORS
from tests.helpers_families import (
    CASES,
    Case,
    N,
    collect,
    every_family,
    everywhere,
    log_marginal,
    resampled,
)

DRAWS = 200_000


# Marginal likelihoods ----------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("n", [0, 1, 2, 3, N])
def test_the_log_marginal_is_the_integral(case, n):
    expected = case.log_marginal(case.data[:n]) if n else 0.0
    assert log_marginal(case, case.data[:n]) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("d", [1, 2])
def test_normal_wishart_of_one_dimension_is_normal_gamma(d):
    """And that of independent dimensions is not: there is one ν for all."""
    rng = np.random.default_rng(9)
    y, m, kappa, nu, psi = rng.normal(size=(4, d)), np.zeros(d), 0.6, 4.5, 1.3 * np.eye(d)
    wishart = Case(NORMAL_WISHART, d, np.concatenate([m, [kappa, nu], psi.ravel()]), y, ..., ...)
    # T ~ Wishart(ν, 1/ψ) in one dimension is Gamma(ν/2, rate ψ/2).
    hyper = np.array([0.0, kappa, 0.5 * nu, 0.5 * 1.3])
    columns = [
        Case(NORMAL_GAMMA, 1, hyper, np.column_stack([e, np.ones(4)]), ..., ...) for e in y.T
    ]
    total = sum(log_marginal(column, column.data) for column in columns)
    assert (log_marginal(wishart, y) == pytest.approx(total, rel=1e-12)) == (d == 1)


@pytest.mark.parametrize("a", [0.01, 1.0, 19.6, 19.9, 20.0, 123.4, 5e5, 1e12])
def test_ratio_of_gamma_functions(a):
    """Twice a half makes a whole: Γ(a + 1) = a Γ(a)."""
    found = log_gamma_ratio(a) + log_gamma_ratio(a + 0.5)
    assert found == pytest.approx(np.log(a), rel=1e-14, abs=1e-14)


@pytest.mark.parametrize("c", [0.0, 1.0, 2.0, 8.0, 9.0, 0.5, 7.3])
@pytest.mark.parametrize("a", [1e-3, 0.7, 40.0])
def test_rising_factorial(a, c):
    expected = gammaln(a + c) - gammaln(a)
    assert log_rising(a, c, gammaln(a)) == pytest.approx(expected, rel=1e-12, abs=1e-12)


# Statistics --------------------------------------------------------------------------------------


@every_family
def test_an_observation_added_and_removed_leaves_no_trace(name):
    case = CASES[name]
    before = collect(case, case.data[:4])
    after = before.copy()
    for row in case.data[4:]:
        case.family.update(case.d, after, row, 1.0)
    for row in case.data[4:][::-1]:
        case.family.update(case.d, after, row, -1.0)
    np.testing.assert_allclose(after, before, rtol=1e-12, atol=1e-13)
    for row in case.data[:4]:
        case.family.update(case.d, after, row, -1.0)
    np.testing.assert_array_equal(after, 0.0)


@everywhere
def test_the_order_of_observations_does_not_matter(case):
    rng = np.random.default_rng(10)
    found = [log_marginal(case, case.data[rng.permutation(N)]) for _ in range(10)]
    np.testing.assert_allclose(found, log_marginal(case, case.data), rtol=1e-11)


@numba.njit
def wander(update, d, statistics, data, inside, n_operations, rng):
    """Add and remove observations; the size of the cluster wanders between 1 and all of them."""
    n, size, target = len(data), 0, 0
    for t in range(n_operations):
        if t % 1000 == 0:
            target = rng.integers(1, n + 1)
        add = size <= 1 or (size < n and rng.random() < (0.9 if size < target else 0.1))
        i = rng.integers(0, n)
        while inside[i] == add:
            i = rng.integers(0, n)
        update(d, statistics, data[i], 1.0 if add else -1.0)
        inside[i] = add
        size += 1 if add else -1


@everywhere
def test_a_million_additions_and_removals_drift_less_than_1e_8(case):
    data, rng = resampled(case, 200), np.random.default_rng(12)
    inside = np.zeros(len(data), dtype=bool)
    drifted = np.zeros(case.family.n_stats(case.d))
    wander(case.family.update, case.d, drifted, data, inside, 1_000_000, rng)
    fresh = collect(case, data[inside])
    # A mean is held in two parts, of which the second is the rounding error of the first; a sum
    # of terms of both signs is compared with the sum of their sizes.
    scale = collect(case, abs(data[inside])) + abs(fresh)
    d = {"linear": case.d + 1}.get(case.family.name, case.d)
    if case.family.name not in ("gamma", "beta", "dirichlet"):
        for values in (drifted, fresh, scale):
            values[2 : 2 + d] += values[2 + d : 2 + 2 * d]
            values[2 + d : 2 + 2 * d] = 0.0
        scatter = slice(2 + 2 * d, 2 + 2 * d + d * d)
        size = np.sqrt(np.diag(fresh[scatter].reshape(d, d)))
        scale[scatter] = np.outer(size, size).ravel()
    assert (abs(drifted - fresh) <= 1e-8 * scale).all(), abs(drifted - fresh) / scale
    drifted_marginal = case.family.log_marginal(case.d, drifted, case.hyper)
    fresh_marginal = case.family.log_marginal(case.d, fresh, case.hyper)
    assert drifted_marginal == pytest.approx(fresh_marginal, rel=1e-8)


# Draws -------------------------------------------------------------------------------------------


@numba.njit
def draw_many(draw, rng, d, statistics, hyper, out):
    for row in out:
        draw(rng, d, statistics, hyper, row)


@every_family
@pytest.mark.parametrize("n", [0, 1, N])
def test_draws_have_the_moments_of_the_posterior(name, n):
    case = CASES[name]
    out = np.empty((DRAWS, case.family.n_natural(case.d)))
    statistics = collect(case, case.data[:n])
    draw_many(case.family.draw, np.random.default_rng(13), case.d, statistics, case.hyper, out)
    wrong = []
    for what, (function, expected) in case.moments(case.data[:n]).items():
        x = function(out)
        error = (x.mean() - expected) / (x.std() / np.sqrt(DRAWS))
        if not abs(error) < STANDARD_ERRORS:
            wrong.append(f"{what}: {x.mean():.6g}, exact {expected:.6g}, {error:+.1f} errors")
    assert not wrong, "\n".join(wrong)
