"""Levels and slopes of groups with an allocation each, and noise that both share."""

from functools import cache

import numpy as np
import pymc as pm
import pytest
from scipy.special import logsumexp
from scipy.stats import invgamma

import pymc_dpsteps as dps
from tests.helpers_chain import assert_means, partition_functionals, run_chain
from tests.helpers_exact import all_labels, crp, slot_counts
from tests.helpers_models import exact_functionals

N, K, SWEEPS = 4, 2, 10_000
GROUP = np.array([0, 2, 0, 1, 3, 1, 2, 3, 0])
X = np.array([-1.0, 0.5, 1.0, -0.5, 0.8, 1.2, -1.1, -0.2, 0.3])
Y = np.array([0.1, 0.9, 1.7, -0.6, 1.2, -1.4, -0.4, 0.6, 0.8])
SPREADS = (1.5, 1.0)  # of levels and of slopes
SHAPE, SCALE = 3.0, 0.5  # variance of the noise ~ InverseGamma


def two_allocations():
    with pm.Model() as model:
        level = pm.Normal("level", 0, SPREADS[0], shape=K)
        slope = pm.Normal("slope", 0, SPREADS[1], shape=K)
        z = dps.ChineseRestaurantProcess("z", 0.7, K=K, shape=N)
        c = dps.ChineseRestaurantProcess("c", 1.5, K=K, shape=N)
        variance = pm.InverseGamma("variance", SHAPE, SCALE)
        mean = level[z[GROUP]] + slope[c[GROUP]] * X
        pm.Normal("y", mean, pm.math.sqrt(variance), observed=Y)
    return model


@cache
def exact():
    """Posterior of both label vectors, and the mean of the variance, by quadrature over it."""
    log_variance = np.linspace(-6.0, 4.0, 201)
    variance = np.exp(log_variance)
    log_rule = invgamma(SHAPE, scale=SCALE).logpdf(variance) + log_variance
    labels = all_labels(N, K)
    counts = slot_counts(labels, K)
    log_prior = np.add.outer(crp(counts, 0.7), crp(counts, 1.5))
    log_joint = np.empty((len(labels), len(labels), len(variance)))
    for i, z in enumerate(labels[:, GROUP]):
        for j, c in enumerate(labels[:, GROUP]):
            signal = SPREADS[0] ** 2 * np.equal.outer(z, z)
            signal = signal + SPREADS[1] ** 2 * np.equal.outer(c, c) * np.outer(X, X)
            values, vectors = np.linalg.eigh(signal)
            total = values[:, None] + variance
            squares = (vectors.T @ Y)[:, None] ** 2 / total
            log_joint[i, j] = -0.5 * (np.log(total) + squares).sum(axis=0) + log_rule
    log_joint += log_prior[:, :, None]
    joint = np.exp(log_joint - logsumexp(log_joint))
    of_z, of_c, of_variance = joint.sum((1, 2)), joint.sum((0, 2)), joint.sum((0, 1))
    return {
        "z": exact_functionals(labels, K, of_z),
        "c": exact_functionals(labels, K, of_c),
        "variance": float(of_variance @ variance),
    }


@pytest.mark.parametrize("step", [dps.Neal8, pytest.param(dps.Neal2, marks=pytest.mark.slow)])
def test_each_of_two_steps_sees_the_others_clusters_and_the_noise(step):
    model = two_allocations()
    first, second = step("z", model=model), step("c", model=model)
    second.setup_chain(np.random.default_rng(45), 500, SWEEPS)

    def draw_others(point, rng):
        point = second.step(point)[0]
        fitted = point["level"][point["z"][GROUP]] + point["slope"][point["c"][GROUP]] * X
        scale = SCALE + 0.5 * np.square(Y - fitted).sum()
        variance = scale / rng.gamma(SHAPE + 0.5 * len(Y))
        return point | {"variance_log__": np.array(np.log(variance))}

    names = ["z", "c", "variance_log__"]
    chain = run_chain(first, model, names, SWEEPS, seed=45, between=draw_others)
    for name in ("z", "c"):
        expected = exact()[name]
        draws = partition_functionals(chain[name], K, expected["k"])
        draws["variance"] = np.exp(chain["variance_log__"])
        assert_means(draws, expected | {"variance": exact()["variance"]})


def test_sample_makes_a_step_for_each():
    idata = dps.sample(
        60,
        tune=20,
        chains=1,
        model=two_allocations(),
        cores=1,
        random_seed=1,
        progressbar=False,
        quiet=True,
    )
    assert {"z_n_clusters", "c_n_clusters"} <= set(idata["partition"].data_vars)
    for name in ("z", "c", "variance"):
        assert len(np.unique(idata["posterior"][name].values)) > 1
