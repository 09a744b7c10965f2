"""Parameters as rows and back."""

import numpy as np
import pymc as pm
import pytest

import pymc_dpsteps as dps
from pymc_dpsteps.amortized.parameters import Parameters
from pymc_dpsteps.amortized.simulate import Simulator, item_rows
from pymc_dpsteps.mixture import MixtureError, read_mixture
from tests.helpers_learners import KERNELS, exponential, normal_both


def simulated(build_model, n=5, draws=200):
    mixture = read_mixture(build_model(n))
    simulator = Simulator(mixture, item_rows(mixture))
    simulator.seed(1)
    return mixture, simulator.draw(draws)


@pytest.mark.parametrize("name", KERNELS)
def test_round_trip(name):
    mixture, drawn = simulated(KERNELS[name])
    theta = drawn.theta()
    for unconstrained in (True, False):
        parameters = Parameters(mixture, theta, unconstrained=unconstrained)
        rows = parameters.rows(theta)
        assert rows.shape == (200, 5, parameters.width)
        np.testing.assert_allclose(rows.mean((0, 1)), 0.0, atol=1e-10)
        np.testing.assert_allclose(rows.std((0, 1)), 1.0)
        for atom, x in parameters.theta(rows).items():
            np.testing.assert_allclose(x, theta[atom], rtol=1e-8, atol=1e-12)


def test_any_row_is_a_value():
    """Rows in value space have no bounds, and what they stand for keeps the model's."""
    noise = np.random.default_rng(2).normal(size=(7, 3, 9))
    for name in ("normal_both", "exponential", "dirichlet"):
        mixture, drawn = simulated(KERNELS[name])
        parameters = Parameters(mixture, drawn.theta(), unconstrained=True)
        theta = parameters.theta(3.0 * noise[..., : parameters.width])
        for positive in {"sigma", "rate", "p"} & set(theta):
            assert (theta[positive] > 0.0).all()
        if "p" in theta:
            assert theta["p"].shape == (7, 3, 3)
            np.testing.assert_allclose(theta["p"].sum(-1), 1.0)


def test_columns_are_atoms_in_value_space():
    mixture, drawn = simulated(exponential)
    theta = drawn.theta()
    rows = Parameters(mixture, theta, unconstrained=True).rows(theta)[..., 0]
    log_rate = np.log(theta["rate"])
    np.testing.assert_allclose(rows, (log_rate - log_rate.mean()) / log_rate.std())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda theta: {"mu": theta["mu"]}, "parameters mu; expected .*sigma"),
        (lambda theta: {**theta, "mu": theta["mu"][..., :1]}, r"mu has shape \(200, 5, 1\)"),
        (lambda theta: {**theta, "mu": theta["mu"][0]}, r"mu has shape \(5, 2\)"),
    ],
)
def test_bad_parameters(change, words):
    mixture, drawn = simulated(normal_both)
    parameters = Parameters(mixture, drawn.theta(), unconstrained=True)
    with pytest.raises(ValueError, match=words):
        parameters.rows(change(drawn.theta()))


def test_random_bounds():
    def model(n):
        with pm.Model() as result:
            top = pm.HalfNormal("top", 1.0)
            p = pm.Uniform("p", 0.0, top, shape=6)
            z = dps.ChineseRestaurantProcess("z", 1.0, K=6, shape=n)
            pm.Normal("y", p[z], 1.0, observed=np.zeros(n))
        return result

    mixture, drawn = simulated(model)
    Parameters(mixture, drawn.theta(), unconstrained=False)
    with pytest.raises(MixtureError, match="space of p depends on top"):
        Parameters(mixture, drawn.theta(), unconstrained=True)
