"""Weights of the slots of a Chinese restaurant process given its allocation."""

import numpy as np
import pytest

from pymc_dpsteps.predict.draws import read_fit
from tests.helpers_draws import K, restaurant_model, restaurant_weights, tree


@pytest.mark.parametrize("alpha, discount", [(0.7, 0.0), (2.5, 0.25)])
def test_drawn_weights_have_the_moments_of_the_process(alpha, discount):
    n_draws = 200_000
    labels = np.array([1, 1, 3, 1, 3, 1, 3])  # sizes 4 and 3; slots 0, 2 and 4 are empty
    draws = {
        "z": np.broadcast_to(labels, (n_draws, len(labels))),
        "mu": np.zeros((n_draws, K)),
        "sigma": np.ones((n_draws, K)),
    }
    fit = read_fit(tree(**draws), restaurant_model(alpha, discount), None)
    weights, remainder = fit.drawn_weights(np.random.default_rng(0))
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-12)

    def check(sample: np.ndarray, expected: float) -> None:
        error = sample.std() / np.sqrt(n_draws)
        assert abs(sample.mean() - expected) < 5 * error, (sample.mean(), expected, error)

    # A Dirichlet vector: slots 1 and 3 and all the rest.
    total = alpha + 7
    a = np.array([4 - discount, 3 - discount, alpha + 2 * discount])
    for x, a_k in zip(
        [weights[:, 1], weights[:, 3], 1 - weights[:, [1, 3]].sum(1)], a, strict=True
    ):
        check(x, a_k / total)
        check(x**2, a_k * (a_k + 1) / (total * (total + 1)))
    check(weights[:, 1] * weights[:, 3], a[0] * a[1] / (total * (total + 1)))
    # The rest among the empty slots, by sticks; the last takes what is left.
    left = a[2] / total
    for j, slot in enumerate([0, 2], start=1):
        stick = (1 - discount) / (1 + alpha + discount * (2 + j - 1))
        check(weights[:, slot], left * stick)
        left *= 1 - stick
    stick = (1 - discount) / (1 + alpha + discount * 4)
    check(weights[:, 4], left)
    check(remainder, left * (1 - stick))

    mean = fit.mean_weights()
    np.testing.assert_allclose(mean[0], restaurant_weights(labels, alpha, discount), rtol=1e-12)
    # Shared equally or by sticks, the empty slots weigh the same on average.
    check(weights[:, [0, 2, 4]].sum(axis=1), mean[0, [0, 2, 4]].sum())


def test_draws_follow_the_seed():
    draws = {"z": np.zeros((9, 7), dtype=int), "mu": np.zeros((9, K)), "sigma": np.ones((9, K))}
    fit = read_fit(tree(**draws), restaurant_model(), None)
    first, again, other = (fit.drawn_weights(np.random.default_rng(s))[0] for s in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
