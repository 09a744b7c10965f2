"""What a step reads anew at every iteration, since other steps may have changed it."""

import numpy as np
import pymc as pm
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import pymc_dpsteps as dps
from tests.helpers_chain import assert_means, partition_functionals, run_chain
from tests.helpers_exact import NOISE, SIX_POINTS, SPREAD, all_labels, crp, dirichlet

SWEEPS = 25_000


def gaussian_posterior(covariances, y):
    """Posterior probabilities of allocations under which y is normal with mean zero."""
    log_density = [multivariate_normal(cov=c).logpdf(y) for c in covariances]
    return np.exp(log_density - logsumexp(log_density))


def test_hyperparameter_updated_by_another_step():
    """m ~ Normal(0, 1), mu_k ~ Normal(m, SPREAD): m given mu is drawn exactly between sweeps."""
    y, K = SIX_POINTS[1:] + 1.0, 3
    with pm.Model() as model:
        m = pm.Normal("m", 0, 1)
        mu = pm.Normal("mu", m, SPREAD, shape=K)
        w = pm.Dirichlet("w", np.ones(K))
        z = pm.Categorical("z", w, shape=len(y))
        pm.Normal("y", mu[z], NOISE, observed=y)

    def draw_m(point, rng):
        precision = 1.0 + K / SPREAD**2
        mean = point["mu"].sum() / SPREAD**2 / precision
        return point | {"m": np.array(rng.normal(mean, precision**-0.5))}

    with model:
        step = dps.Neal8(m=2, hyperparameters=None)
        chain = run_chain(step, model, ["z", "m"], SWEEPS, seed=25, between=draw_m)
    labels = all_labels(len(y), K)
    covariances = [
        NOISE**2 * np.eye(len(y)) + SPREAD**2 * np.equal.outer(z, z) + 1.0 for z in labels
    ]
    prior = np.exp(dirichlet(np.array([np.bincount(z, minlength=K) for z in labels]), [1.0] * K))
    probability = gaussian_posterior(covariances, y) * prior
    probability /= probability.sum()
    means = [np.ones(len(y)) @ np.linalg.solve(c, y) for c in covariances]
    mean_k = float(probability @ [len(set(z)) for z in labels])
    found = partition_functionals(labels, K, mean_k)
    exact = {name: float(probability @ x) for name, x in found.items()}
    exact["m"] = float(probability @ means)
    assert_means(partition_functionals(chain["z"], K, mean_k) | {"m": chain["m"]}, exact)


def test_latent_kernel_variable_updated_by_another_step():
    """x_i ~ Normal(mu[z_i], 0.6) unobserved, y_i ~ Normal(x_i, NOISE): x is drawn exactly."""
    y, K, scatter = SIX_POINTS, 4, 0.6
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, SPREAD, shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=len(y))
        x = pm.Normal("x", mu[z], scatter)
        pm.Normal("y", x, NOISE, observed=y)

    def draw_x(point, rng):
        precision = scatter**-2 + NOISE**-2
        mean = (point["mu"][point["z"]] / scatter**2 + y / NOISE**2) / precision
        return point | {"x": rng.normal(mean, precision**-0.5)}

    with model:
        chain = run_chain(dps.Neal8(m=2), model, ["z", "x"], SWEEPS, seed=26, between=draw_x)
    labels = all_labels(len(y), K)
    counts = np.array([np.bincount(z, minlength=K) for z in labels])
    noise = (NOISE**2 + scatter**2) * np.eye(len(y))
    covariances = [noise + SPREAD**2 * np.equal.outer(z, z) for z in labels]
    probability = gaussian_posterior(covariances, y) * np.exp(crp(counts))
    probability /= probability.sum()
    first = [y[0] - NOISE**2 * np.linalg.solve(c, y)[0] for c in covariances]  # E[x_1 | z, y]
    mean_k = float(probability @ (counts > 0).sum(axis=1))
    found = partition_functionals(labels, K, mean_k)
    exact = {name: float(probability @ f) for name, f in found.items()}
    exact["x_1"] = float(probability @ first)
    draws = partition_functionals(chain["z"], K, mean_k) | {"x_1": chain["x"][:, 0]}
    assert_means(draws, exact)


@pytest.mark.slow
def test_two_allocations_in_one_likelihood():
    """y_i ~ Normal(mu[z_i] + nu[c_i], NOISE): a step for z and a step for c take turns."""
    y, K = SIX_POINTS[[0, 2, 3, 5]], 2
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, SPREAD, shape=K)
        nu = pm.Normal("nu", 0, 1, shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=len(y))
        c = pm.Categorical("c", pm.Dirichlet("w", [0.5, 2.0]), shape=len(y))
        pm.Normal("y", mu[z] + nu[c], NOISE, observed=y)
        first, second = dps.Neal8(z, m=2), dps.Neal8(c, m=2)
        second.setup_chain(np.random.default_rng(27), 500, SWEEPS)

        def other_step(point, rng):
            return second.step(point)[0]

        chain = run_chain(first, model, ["z", "c"], SWEEPS, seed=27, between=other_step)
    labels = all_labels(len(y), K)
    counts = np.array([np.bincount(z, minlength=K) for z in labels])
    log_prior = np.add.outer(crp(counts), dirichlet(counts, [0.5, 2.0])).ravel()
    covariances = [
        NOISE**2 * np.eye(len(y)) + SPREAD**2 * np.equal.outer(z, z) + np.equal.outer(c, c)
        for z in labels
        for c in labels
    ]
    probability = gaussian_posterior(covariances, y) * np.exp(log_prior)
    probability /= probability.sum()
    tables = {
        "z": probability.reshape(len(labels), -1).sum(axis=1),
        "c": probability.reshape(len(labels), -1).sum(axis=0),
    }
    for name, marginal in tables.items():
        mean_k = float(marginal @ (counts > 0).sum(axis=1))
        found = partition_functionals(labels, K, mean_k)
        exact = {functional: float(marginal @ f) for functional, f in found.items()}
        assert_means(partition_functionals(chain[name], K, mean_k), exact)
