"""The predictor of posterior means, against enumeration."""

import numpy as np
import pytest

from tests.helpers_amortized import importorskip
from tests.helpers_exact import NOISE, SPREAD
from tests.helpers_learners import dirichlet, exact_means, four_points, losses, normal_both

torch = importorskip()

from pymc_dpsteps.amortized import MeanPredictor, Schedule, Size, fit  # noqa: E402

SMALL = Size(width=16, heads=2, layers=1)


@pytest.mark.slow
def test_close_to_exact_means():
    """Root mean square distance from E[θ | y] below a tenth of the prior mean's.

    And below half of that of E[θ_i | y_i], the best that one can do item by item.
    """
    torch.manual_seed(0)
    predictor = MeanPredictor(four_points, (4, 4), size=Size(width=32, heads=4, layers=2))
    fit(predictor, budget=20.0, accelerator="cpu", random_seed=1, progressbar=False)
    predictor.simulator.seed(2)
    data = predictor.simulator.draw(60).observed["y"]
    exact = np.array([exact_means(y) for y in data])
    found = np.array([predictor.predict(y)["mu"] for y in data])
    alone = data * SPREAD**2 / (SPREAD**2 + NOISE**2)
    error = np.sqrt(((found - exact) ** 2).mean())
    assert error < 0.1 * np.sqrt((exact**2).mean())
    assert error < 0.5 * np.sqrt(((alone - exact) ** 2).mean())


@pytest.mark.parametrize("build", [normal_both, dirichlet])
def test_a_few_steps_reduce_the_loss(build):
    """The loss begins at the variance of the prior, one."""
    torch.manual_seed(1)
    predictor = MeanPredictor(build, (3, 6), size=SMALL)
    before, after = losses(predictor, Schedule(batch=32), 150)
    assert before.mean() == pytest.approx(1.0, abs=0.2) and after.mean() < 0.7
    drawn = predictor.simulator.draw(100)
    name = "mu" if "mu" in drawn.atoms else "p"
    found = np.array([predictor.predict(y)[name] for y in drawn.observed["y"]])
    error = ((found - drawn.theta()[name]) ** 2).mean((0, 1))
    assert (error < 0.7 * drawn.theta()[name].var((0, 1))).all()


def test_order_of_items_does_not_matter():
    torch.manual_seed(2)
    predictor = MeanPredictor(normal_both, (3, 6), size=SMALL)
    torch.nn.init.normal_(predictor.network.out.weight)
    y = np.random.default_rng(3).normal(size=(5, 2))
    order = np.array([3, 0, 4, 1, 2])
    first, turned = predictor.predict(y), predictor.predict(y[order])
    assert first["mu"].shape == (5, 2) and first["sigma"].shape == (5,)
    for name, x in first.items():
        assert np.ptp(x) > 0.0
        np.testing.assert_allclose(turned[name], x[order], rtol=1e-4, atol=1e-4)


def test_untrained_is_the_prior_mean():
    predictor = MeanPredictor(dirichlet, (3, 6), size=SMALL)
    p = predictor.predict(np.tile([10, 0, 0], (3, 1)))["p"]
    prior = predictor.simulator.draw(2_000).theta()["p"][:, 0]
    # Both the prior mean that the rows are scaled by and this one have Monte Carlo errors.
    error = prior.std(0) * np.sqrt(1.0 / 2_000 + 1.0 / 1_000)
    assert (np.abs(p - prior.mean(0)) < 5.0 * error).all()
    np.testing.assert_allclose(p.sum(-1), 1.0)
