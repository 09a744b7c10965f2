"""Distances between two samples of partitions, weighted or not."""

import numpy as np
import pytest

from pymc_dpsteps.amortized.check_draws import Draws, functionals
from pymc_dpsteps.amortized.check_reference import (
    c2st,
    coclustering,
    compare,
    effective_size,
    predictive_difference,
    probability_of_n_clusters,
)
from pymc_dpsteps.amortized.resampling import systematic
from pymc_dpsteps.partitions import coclustering as similarity

N_ITEMS = 8


def error_of_accuracy(m: float) -> float:
    """Standard error of the accuracy of `c2st` for m independent rows of each sample."""
    return 0.62 / np.sqrt(2.0 * m)


def draws_of(rng: np.random.Generator, size: int, shift: float = 0.0) -> Draws:
    """Labels in {0, 1, 2} with probabilities (1 + shift, 1, 1 - shift) / 3; an atom beside."""
    labels = rng.choice(3, size=(size, N_ITEMS), p=np.array([1.0 + shift, 1.0, 1.0 - shift]) / 3.0)
    return Draws(labels, rng.normal(labels[:, 0], 1.0))


def importance_draws(rng: np.random.Generator, size: int, shift: float) -> Draws:
    """Draws with that shift, weighted to have none; scale of the weights is arbitrary."""
    draws = draws_of(rng, size, shift)
    density = np.array([1.0 + shift, 1.0, 1.0 - shift])
    return Draws(draws.labels, draws.first, weights=7.0 / density[draws.labels].prod(axis=1))


def test_equal_samples_are_as_near_as_halves():
    rng = np.random.default_rng(1)
    found = compare(draws_of(rng, 2000), draws_of(rng, 4000), rng=rng)
    # Accuracy: five standard errors for 2,000 rows of each sample.
    assert (np.abs(found["c2st"] - 0.5) < 5 * error_of_accuracy(2000)).all()
    # Differences of proportions near 1/3 among 2,000 and 2,000 (at most) independent draws.
    bound = 5.0 * np.sqrt(2.0 / 9.0 * 2.0 / 2000.0)
    assert (found["coclustering_max"] < bound).all()
    assert (found["coclustering_rms"] < found["coclustering_max"]).all()
    # k is 1, 2 or 3; half the sum of three deviations, each with variance at most 1/4.
    assert (found["total_variation"] < 1.5 * 5.0 * np.sqrt(0.25 * 2.0 / 2000.0)).all()
    np.testing.assert_allclose(found["probability"].sum("n_clusters"), 1.0)
    assert np.isnan(found["predictive_difference"])


def test_different_samples_are_told_apart():
    rng = np.random.default_rng(2)
    found = compare(draws_of(rng, 2000, shift=0.6), draws_of(rng, 4000), rng=rng)
    for name in ("c2st", "total_variation", "coclustering_max", "coclustering_rms"):
        sample, floor = found[name].sel(pair=["sample", "floor"]).values
        assert sample > floor
    assert found["c2st"].sel(pair="sample") > 0.5 + 10 * error_of_accuracy(2000)
    # Exact co-clustering: sum of squared probabilities, 0.413 and 0.333.
    exact = (1.6**2 + 1.0 + 0.4**2) / 9.0 - 1.0 / 3.0
    error = np.sqrt(0.25 / 2000 + 0.25 / 4000)
    assert abs(found["coclustering_rms"].sel(pair="sample") - exact) < 5 * error


def test_weights_undo_the_difference():
    rng = np.random.default_rng(3)
    weighted, reference = importance_draws(rng, 8000, 0.45), draws_of(rng, 4000)
    found = compare(weighted, reference, rng=rng)
    size = float(found["effective_size"].sel(source="sample"))
    assert size == pytest.approx(effective_size(weighted)) and 1000 < size < 4000
    assert abs(found["c2st"].sel(pair="sample") - 0.5) < 5 * error_of_accuracy(1000)
    plain = compare(Draws(weighted.labels, weighted.first), reference, rng=rng)
    assert plain["c2st"].sel(pair="sample") > 0.5 + 5 * error_of_accuracy(1000)
    bound = 5.0 * np.sqrt(2.0 / 9.0 * (1.0 / 1000.0 + 1.0 / 4000.0))
    assert found["coclustering_max"].sel(pair="sample") < bound
    # Weights of the reference count as well.
    turned = compare(reference, weighted, rng=rng)
    assert turned["coclustering_max"].sel(pair="sample") == pytest.approx(
        float(found["coclustering_max"].sel(pair="sample"))
    )


def test_weighted_proportions_equal_those_of_copies():
    rng = np.random.default_rng(4)
    labels, times = rng.integers(0, 4, size=(30, N_ITEMS)), rng.integers(0, 5, size=30)
    weighted, copied = Draws(labels, weights=times), Draws(np.repeat(labels, times, axis=0))
    np.testing.assert_allclose(coclustering(weighted), similarity(copied.labels), rtol=1e-6)
    k = np.array([len(set(row)) for row in copied.labels])
    expected = [np.mean(k == j) for j in range(1, 7)]
    np.testing.assert_allclose(probability_of_n_clusters(weighted, 6), expected)
    assert effective_size(weighted) == pytest.approx(times.sum() ** 2 / (times**2).sum())


def test_total_variation_and_coclustering_by_hand():
    first = Draws(np.array([[0, 0, 0], [1, 1, 0]] * 50))
    second = Draws(np.array([[5, 5, 5], [2, 1, 0]] * 50))
    found = compare(first, second, rng=np.random.default_rng(5)).sel(pair="sample")
    # P(k) is (1/2, 1/2, 0) and (1/2, 0, 1/2). Items 0 and 1 share a cluster always, and in half.
    assert found["total_variation"] == pytest.approx(0.5)
    assert found["coclustering_max"] == pytest.approx(0.5)
    assert found["coclustering_rms"] == pytest.approx(0.5 / np.sqrt(3.0))


def test_copies_do_not_give_a_sample_away():
    rng = np.random.default_rng(6)
    accuracy = np.zeros((20, 2))
    for found in accuracy:
        index = np.sort(rng.integers(0, 40, 1000))
        few, many = rng.normal(size=(40, 2))[index], rng.normal(size=(1000, 2))
        found[:] = c2st(few, many, rng=rng), c2st(few[rng.permutation(1000)], many, rng=rng)
    ordered, shuffled = accuracy.mean(axis=0)
    # In 60 repetitions: 0.490 with a standard deviation of 0.051, and 0.674 with 0.031.
    assert abs(ordered - 0.5) < 5 * 0.051 / np.sqrt(20)
    assert shuffled > 0.674 - 5 * 0.031 / np.sqrt(20)


def test_no_row_is_judged_by_itself():
    rng = np.random.default_rng(12)
    found = [c2st(rng.normal(size=(20, 2)), rng.normal(size=(20, 2)), rng=rng) for _ in range(200)]
    assert abs(np.mean(found) - 0.5) < 5 * np.std(found) / np.sqrt(200)


def test_ties_between_neighbours_are_broken_at_random():
    rng = np.random.default_rng(13)
    first, second = rng.random((1000, 1)) < 0.5, rng.random((1000, 1)) < 0.9
    # The best classifier is right for 0.7 (standard error 0.01); 41 or more voters nearly are it.
    assert 0.7 - 0.03 - 5 * 0.01 < c2st(first, second, rng=rng) < 0.7 + 5 * 0.01


def test_accuracy_of_the_classifier_nears_the_best():
    rng = np.random.default_rng(7)
    first, second = rng.normal(size=(3000, 2)), rng.normal(size=(3000, 2))
    second[:, 0] += 2.0
    # The best classifier cuts at 1: Phi(1) = 0.841; the standard error is 0.0047.
    assert 0.80 < c2st(first, second, rng=rng) < 0.841 + 5 * 0.0047
    # Units do not matter, nor do constants.
    scaled = [np.column_stack([np.exp(3.0 * x), np.ones(3000)]) for x in (first, second)]
    assert 0.80 < c2st(*scaled, rng=rng) < 0.841 + 5 * 0.0047


def test_systematic_resampling():
    rng = np.random.default_rng(8)
    p = rng.dirichlet(np.full(50, 0.5))
    index = systematic(p, 333, rng)
    counts = np.bincount(index, minlength=50)
    assert (np.abs(counts - 333 * p) < 1.0).all() and (np.diff(index) >= 0).all()
    assert (np.diff(systematic(np.full(60, 1 / 60), 20, rng)) == 3).all()
    assert set(systematic(np.array([0.0, 1.0, 0.0]), 9, rng)) == {1}


def test_difference_of_predictive_densities():
    rng = np.random.default_rng(9)
    density, weights = rng.gamma(2.0, size=(40, 6)), rng.random(40)
    labels = np.zeros((40, 2), dtype=int)
    weighted = Draws(labels, log_predictive=np.log(density), weights=weights)
    plain = Draws(labels, log_predictive=np.log(density))
    of_points = np.log(weights @ density / weights.sum()) - np.log(density.mean(axis=0))
    difference, error = predictive_difference(weighted, plain)
    assert difference == pytest.approx(of_points.sum())
    assert error == pytest.approx(of_points.std(ddof=1) * np.sqrt(6))


def test_effective_size_of_a_slow_chain():
    rng = np.random.default_rng(10)
    draws = draws_of(rng, 500)
    slow = Draws(np.repeat(draws.labels, 8, axis=0))
    assert 250 < effective_size(slow) < 1000


def test_functionals_of_partitions():
    found = functionals([[3, 3, 1, 0], [2, 0, 2, 2]], [[1.0, 2.0], [3.0, 4.0]], [-5.0, -6.0])
    assert {name: list(x) for name, x in found.items()} == {
        "n_clusters": [3, 2],
        "sum_squared_proportions": [6 / 16, 10 / 16],
        "largest_cluster": [2, 3],
        "together": [1, 0],
        "theta_1[0]": [1, 3],
        "theta_1[1]": [2, 4],
        "log_joint": [-5, -6],
    }


def test_what_is_refused():
    rng = np.random.default_rng(11)
    draws = draws_of(rng, 100)
    with pytest.raises(ValueError, match="8 items, the reference 3"):
        compare(draws, Draws(np.zeros((50, 3), dtype=int)), rng=rng)
    with pytest.raises(ValueError, match="first and log_joint with both"):
        compare(draws, Draws(draws.labels), rng=rng)
    with pytest.raises(ValueError, match="at least 20"):
        compare(draws, draws_of(rng, 30), rng=rng)
    with pytest.raises(ValueError, match=r"first has shape \(3,\); expected 100 rows"):
        Draws(draws.labels, np.zeros(3))
    for weights in (np.zeros(100), np.full(100, -1.0), np.full(100, np.nan)):
        with pytest.raises(ValueError, match="weights must be"):
            Draws(draws.labels, weights=weights)
    with pytest.raises(ValueError, match="expected \\(draws, items\\)"):
        Draws(draws.labels[0])
    with pytest.raises(ValueError, match="at least 2 items"):
        functionals([[0], [0]])
