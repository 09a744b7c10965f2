"""The prior predictive of a model as a stream of data sets."""

import numpy as np
import pymc as pm
import pytest
from scipy.special import gammaln

import pymc_dpsteps as dps
from pymc_dpsteps.amortized.simulate import Simulator, item_rows
from pymc_dpsteps.amortized.target import Target
from pymc_dpsteps.mixture import MixtureError, read_mixture
from tests.helpers_amortized import ALPHA, NOISE, SPREAD, mixture_of
from tests.helpers_chain import STANDARD_ERRORS

N = 6


@pytest.fixture(scope="module")
def simulator():
    target = Target(mixture_of(N))
    return Simulator(target.mixture, target.compiled.context_graphs[0])


def test_depends_on_the_seed_alone(simulator):
    def draw(seed):
        simulator.seed(seed)
        return simulator.draw(5)

    first, again, other = draw(1), draw(1), draw(2)
    np.testing.assert_array_equal(first.items, again.items)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert not np.array_equal(first.items, other.items)
    assert len(np.unique(first.items[:, 0, 0])) == 5


def test_items_are_those_of_the_data(simulator):
    simulator.seed(3)
    drawn = simulator.draw(4)
    for y, items in zip(drawn.observed["y"], drawn.items, strict=True):
        np.testing.assert_array_equal(simulator.items_of(y), items)


def test_draws_follow_the_model(simulator):
    """Number of clusters, and differences of items in one cluster and in two."""
    draws = 4_000
    simulator.seed(4)
    drawn = simulator.draw(draws)
    k = np.array([len(np.unique(c)) for c in drawn.labels])
    i = np.arange(N)
    p_new = ALPHA / (ALPHA + i)
    error = np.sqrt((p_new * (1.0 - p_new)).sum() / draws)
    assert abs(k.mean() - p_new.sum()) < STANDARD_ERRORS * error
    one = np.exp(gammaln(N) + gammaln(ALPHA + 1.0) - gammaln(ALPHA + N))
    assert abs((k == 1).mean() - one) < STANDARD_ERRORS * np.sqrt(one * (1.0 - one) / draws)
    y, together = drawn.observed["y"], drawn.labels[:, 0] == drawn.labels[:, 1]
    squares = ((y[:, 0] - y[:, 1]) ** 2).mean(1)
    for which, variance in ((together, NOISE**2), (~together, NOISE**2 + SPREAD**2)):
        error = 2.0 * variance / np.sqrt(which.sum())  # the mean of two squares has sd = mean
        assert abs(squares[which].mean() - 2.0 * variance) < STANDARD_ERRORS * error


def test_atoms_are_those_of_the_data(simulator):
    simulator.seed(5)
    drawn = simulator.draw(500)
    at = np.take_along_axis(drawn.atoms["mu"], drawn.labels[:, :, None], axis=1)
    np.testing.assert_array_equal(drawn.theta()["mu"], at)
    np.testing.assert_array_equal(drawn.first(2).theta()["mu"], at[:, :2])
    residuals = (drawn.observed["y"] - at).ravel()
    error = NOISE**2 * np.sqrt(2.0 / len(residuals))
    assert abs((residuals**2).mean() - NOISE**2) < STANDARD_ERRORS * error


def refused(n, *, potential=False):
    """What is simulated would not be the whole model."""
    with pm.Model() as model:
        scale = pm.HalfNormal("scale", 1.0)
        mu = pm.Normal("mu", 0.0, scale, shape=4)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=4, shape=n)
        pm.Normal("y", mu[z], 1.0, observed=np.zeros(n))
        if potential:
            pm.Potential("penalty", -scale)
        else:
            pm.Normal("measured", scale, 1.0, observed=1.5)
    return model


@pytest.mark.parametrize(("potential", "name"), [(True, "penalty"), (False, "measured")])
def test_models_that_cannot_be_simulated(potential, name):
    mixture = read_mixture(refused(5, potential=potential))
    with pytest.raises(MixtureError, match=f"{name} would be left out"):
        Simulator(mixture, item_rows(mixture))


def test_rows_without_a_target():
    """Observed values and covariates; not what is random for all clusters."""
    x = np.linspace(-1.0, 1.0, 5)

    def model(*, shared):
        with pm.Model() as result:
            slope = pm.Normal("slope", 0.0, 1.0, shape=None if shared else 4)
            mu = pm.Normal("mu", 0.0, 1.0, shape=4)
            z = dps.ChineseRestaurantProcess("z", 1.0, K=4, shape=5)
            mean = mu[z] + (slope if shared else slope[z]) * x
            pm.StudentT("y", nu=4.0, mu=mean, sigma=1.0, observed=np.zeros(5))
        return read_mixture(result)

    mixture = model(shared=False)
    drawn = Simulator(mixture, item_rows(mixture)).draw(2)
    np.testing.assert_array_equal(drawn.items[..., 0], drawn.observed["y"])
    np.testing.assert_array_equal(drawn.items[..., 1], [x, x])
    with pytest.raises(MixtureError, match="depends on slope, random for all"):
        item_rows(model(shared=True))
