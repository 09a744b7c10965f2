"""Likelihoods and priors of the user's own, as pm.CustomDist."""

from functools import partial

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.stats import fisk, gompertz, kstest

import pymc_dpsteps as dps
from examples.custom_likelihood import (
    gompertz_logp,
    gompertz_model,
    log_logistic_logp,
    log_logistic_random,
)
from tests.helpers_chain import (
    FIVE_SIGMA,
    assert_means,
    atom_of_first_item,
    partition_functionals,
    run_chain,
)
from tests.helpers_exact import NOISE, SIX_POINTS, SPREAD, crp, dirichlet, enumerate_normal
from tests.helpers_models import assert_neal8_agrees_with_blocked_gibbs

K, SWEEPS = 4, 10_000
DAYS = np.array([1.0, 20.0, 100.0, 300.0, 900.0])


def normal_logp(value, mean, sd):
    return -0.5 * pt.square((value - mean) / sd) - pt.log(sd) - 0.5 * np.log(2.0 * np.pi)


def normal_random(mean, sd, rng, size):
    return rng.normal(mean, sd, size)


@pytest.mark.parametrize(
    ("step", "log_prior"),
    [
        (dps.Neal8, crp),
        pytest.param(dps.Neal5, crp, marks=pytest.mark.slow),
        (dps.BlockedGibbs, partial(dirichlet, a=np.ones(K))),
    ],
)
def test_a_custom_normal_under_a_custom_normal(step, log_prior):
    """Not recognised as conjugate, and so sampled as any other; but the posterior is known."""
    with pm.Model() as model:
        mu = pm.CustomDist("mu", 0.0, SPREAD, logp=normal_logp, random=normal_random, shape=K)
        if log_prior is crp:
            z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=6)
        else:
            z = pm.Categorical("z", pm.Dirichlet("w", np.ones(K)), shape=6)
        pm.CustomDist("y", mu[z], NOISE, logp=normal_logp, observed=SIX_POINTS)
    chain = run_chain(step(model=model), model, ["z", "mu"], SWEEPS, seed=47)
    exact = enumerate_normal(SIX_POINTS, K, log_prior).expectations()
    draws = partition_functionals(chain["z"], K, exact["k"])
    draws["theta_1"] = atom_of_first_item(chain["z"], chain["mu"])
    assert_means(draws, exact)


@pytest.mark.parametrize("median", [1.5, 80.0])
@pytest.mark.parametrize("scale", [5.0, 200.0])
def test_density_and_survival_of_the_example(median, scale):
    inputs = pt.vector("days"), pt.scalar("median"), pt.scalar("scale"), pt.scalar("died")
    logp = pytensor.function(inputs, gompertz_logp(*inputs))
    shape = np.log(2.0) / np.expm1(median / scale)
    law = gompertz(shape, scale=scale)
    assert law.median() == pytest.approx(median)
    np.testing.assert_allclose(logp(DAYS, median, scale, 1.0), law.logpdf(DAYS), rtol=1e-9)
    # SciPy's logsf is minus infinity where the probability underflows.
    log_survival = -shape * np.expm1(DAYS / scale)
    np.testing.assert_allclose(logp(DAYS, median, scale, 0.0), log_survival, rtol=1e-9)


def test_prior_of_the_example():
    inputs = pt.vector("x"), pt.scalar("median"), pt.scalar("shape")
    logp = pytensor.function(inputs, log_logistic_logp(*inputs))
    law = fisk(1.5, scale=100.0)
    np.testing.assert_allclose(logp(DAYS, 100.0, 1.5), law.logpdf(DAYS), rtol=1e-10)
    draws = log_logistic_random(100.0, 1.5, np.random.default_rng(48), (5_000,))
    assert kstest(draws, law.cdf).pvalue > FIVE_SIGMA


@pytest.mark.slow
def test_two_algorithms_agree_on_the_patients_of_the_example():
    model = gompertz_model(dps.datasets.va_lung())
    assert_neal8_agrees_with_blocked_gibbs(model, 4_000, seed=49, tune=1000)
