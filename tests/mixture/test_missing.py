"""Data with missing entries: integrated out of the allocation's law, and drawn given it."""

from functools import cache

import numpy as np
import pymc as pm
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import pymc_dpsteps as dps
from tests.helpers_chain import (
    STANDARD_ERRORS,
    assert_means,
    partition_functionals,
    run_chain,
    slot_counts,
)
from tests.helpers_compiled import kernel_table
from tests.helpers_exact import NOISE, SPREAD, all_labels, crp

N, K = 5, 3
NAN = np.nan
ONE = np.array([1.2, NAN, -0.3, 0.9, NAN])
TWO = np.array([[1.2, 0.5], [NAN, 0.3], [-0.3, NAN], [0.9, 0.7], [NAN, NAN]])
SWEEPS = 10_000


def vector():
    return pm.Normal("mu", 0, SPREAD, shape=(K, 2))


def univariate(z):
    pm.Normal("y", pm.Normal("mu", 0, SPREAD, shape=K)[z], NOISE, observed=ONE)


def masked_array(z):
    data = np.ma.masked_invalid(ONE)
    pm.Normal("y", pm.Normal("mu", 0, SPREAD, shape=K)[z], NOISE, observed=data)


def bivariate(z):
    pm.Normal("y", vector()[z], NOISE, observed=TWO)


def multivariate(z):
    pm.MvNormal("y", vector()[z], cov=NOISE**2 * np.eye(2), observed=TWO)


@cache
def model_of(declare):
    with pm.Model() as model:
        declare(dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N))
    return model


@cache
def exact_of(declare):
    """Posterior of the labels given what was observed, and E[y_i | observed] of what was not."""
    data = ONE[:, None] if declare in (univariate, masked_array) else TWO
    labels = all_labels(N, K)
    log_posterior = crp(slot_counts(labels, K))
    means = np.zeros((len(labels), *data.shape))
    for r, z in enumerate(labels):
        for k in range(K):
            for j, column in enumerate(data.T):
                y = column[(z == k) & ~np.isnan(column)]
                if len(y):
                    covariance = NOISE**2 * np.eye(len(y)) + SPREAD**2
                    log_posterior[r] += multivariate_normal(np.zeros(len(y)), covariance).logpdf(y)
                    precision = len(y) / NOISE**2 + 1.0 / SPREAD**2
                    means[r, z == k, j] = y.sum() / NOISE**2 / precision
    probability = np.exp(log_posterior - logsumexp(log_posterior))
    k_mean = float(probability @ (slot_counts(labels, K) > 0).sum(axis=1))
    functionals = partition_functionals(labels, K, k_mean)
    exact = {name: float(probability @ x) for name, x in functionals.items()}
    imputed = np.einsum("r,rij->ij", probability, means)[np.isnan(data)]
    return exact | {f"missing {j}": float(x) for j, x in enumerate(imputed)}


def draws_of(chain, exact):
    draws = partition_functionals(chain["z"], K, exact["k"])
    missing = chain["y_unobserved"].reshape(len(chain["z"]), -1)
    return draws | {f"missing {j}": x for j, x in enumerate(missing.T)}


@pytest.mark.parametrize(
    ("declare", "step"),
    [
        *(
            (declare, step)
            for declare in (univariate, bivariate)
            for step in (dps.Neal8, dps.Neal3)
        ),
        (masked_array, dps.Neal3),
        (multivariate, dps.Neal8),
    ],
)
def test_posterior_with_missing_entries(declare, step):
    exact, model = exact_of(declare), model_of(declare)
    with model:
        chain = run_chain(step(), model, ["z", "y_unobserved"], SWEEPS, seed=41)
    assert_means(draws_of(chain, exact), exact)


def observed_density(mean, covariance, rows):
    """Log density of the observed part of every row, by scipy."""
    total = []
    for y in rows:
        there = ~np.isnan(y)
        among = covariance[np.ix_(there, there)]
        law = multivariate_normal(mean[there], among) if there.any() else None
        total.append(0.0 if law is None else law.logpdf(y[there]))
    return total


CORRELATED = np.array([[1.0, 0.7, 0.2], [0.7, 2.0, 0.3], [0.2, 0.3, 1.5]])
THREE = np.array([[0.3, 1.0, -2.0], [NAN, 0.4, 0.1], [1.0, NAN, NAN], [NAN] * 3, [0.2, NAN, 1.1]])


def vectors_with_gaps():
    with pm.Model() as model:
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        mu = pm.Normal("mu", 0, SPREAD, shape=(K, 3))
        scale = pm.Gamma("scale", 3, 3, shape=K)
        pm.MvNormal("y", mu[z], cov=(scale[:, None, None] * CORRELATED)[z], observed=THREE)
        step = dps.Neal8()
    point, _ = step.step(model.initial_point())
    return model, step, point


def test_gaps_of_a_multivariate_normal_are_integrated_out():
    _, step, point = vectors_with_gaps()
    found = kernel_table(step, point)
    for k in range(K):
        covariance = np.exp(point["scale_log__"][k]) * CORRELATED
        expected = observed_density(point["mu"][k], covariance, THREE)
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-10, atol=1e-12)


def test_gaps_of_a_multivariate_normal_are_drawn_given_the_rest():
    """Means, variances and covariances within five standard errors of the conditional law's."""
    _, step, point = vectors_with_gaps()
    rng = np.random.default_rng(43)
    draws = np.array([step._impute(rng, point)["y_unobserved"] for _ in range(20_000)])
    item, _ = np.nonzero(np.isnan(THREE))
    for i in np.unique(item):
        gone, there, k = np.isnan(THREE[i]), ~np.isnan(THREE[i]), point["z"][i]
        covariance = np.exp(point["scale_log__"][k]) * CORRELATED
        slope = covariance[np.ix_(gone, there)] @ np.linalg.inv(covariance[np.ix_(there, there)])
        centre = point["mu"][k][gone] + slope @ (THREE[i] - point["mu"][k])[there]
        scatter = covariance[np.ix_(gone, gone)] - slope @ covariance[np.ix_(there, gone)]
        x = draws[:, item == i] - centre
        products = np.einsum("na,nb->nab", x, x)
        for values, exact in ((x, np.zeros(gone.sum())), (products, scatter)):
            error = values.std(axis=0) / np.sqrt(len(draws))
            assert (abs(values.mean(axis=0) - exact) < STANDARD_ERRORS * error).all()


def test_gaps_used_elsewhere_are_left_to_other_steps():
    with pm.Model() as model:
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        y = pm.MvNormal("y", vector()[z], cov=np.eye(2), observed=TWO)
        pm.Normal("x", y.sum(axis=1), 1.0, observed=np.zeros(N))
        step = dps.Neal8(model=model)
    assert "y_unobserved" not in [v.name for v in step.vars]


def test_pm_sample_imputes():
    with model_of(bivariate):
        result = dps.sample(20, tune=20, chains=2, cores=1, progressbar=False, quiet=True)
    assert result["posterior"]["y_unobserved"].sizes["chain"] == 2
    assert np.ptp(result["posterior"]["y_unobserved"].to_numpy(), axis=1).min() > 0.0
    assert result["posterior"]["y"].shape == (2, 20, *TWO.shape)


def test_a_missing_entry_used_elsewhere_stays_in_the_kernel():
    with pm.Model() as model:
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        x = pm.Normal("x", pm.Normal("mu", 0, SPREAD, shape=K)[z], NOISE, observed=ONE)
        pm.Normal("y", 2.0 * x, 1.0, observed=np.arange(N))
        step = dps.Neal8()
    assert "x_unobserved" not in [v.name for v in step.vars]
    assert "x_unobserved" in step._mixture.kernel_names
    assert model is step.model
