"""Multivariate normal mixtures with a full covariance per component."""

from functools import cache, partial

import numpy as np
import pymc as pm
import pytest
from scipy.special import digamma
from scipy.stats import multivariate_normal, multivariate_t

import pymc_dpsteps as dps
from tests.helpers_chain import (
    assert_agreement,
    assert_means,
    partition_functionals,
    run_chain,
)
from tests.helpers_compiled import kernel_table
from tests.helpers_exact import crp
from tests.helpers_subsets import by_closed_form

K, D, RATIO, DF = 4, 2, 0.5, 5.0
LOCATION, SCALE = np.array([0.2, -0.1]), np.array([1.5, 1.0])
Y = np.array([[-1.3, 0.5], [-1.1, 0.9], [0.2, -0.4], [0.4, -0.1], [0.6, -0.8], [2.0, 1.1]])

STEPS = {
    "neal2": dps.Neal2,
    "neal3": dps.Neal3,
    "neal8": dps.Neal8,
    "neal8-slice": partial(dps.Neal8, atoms="slice"),
    "split-merge": partial(dps.SplitMerge, moves=3),
    "split-merge-nonconjugate": partial(dps.SplitMerge, proposal="nonconjugate", moves=3),
}


@cache
def normal_wishart():
    with pm.Model() as model:
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=len(Y))
        dps.kernels.mvnormal("y", z, location=LOCATION, scale=SCALE, ratio=RATIO, df=DF, observed=Y)
    return model


def integrate(mask):
    """A cluster's data one after the other, each a multivariate t given those before."""
    strength, df, mean = RATIO**2, DF, LOCATION
    inverse = (DF - D - 1) * RATIO**2 * np.diag(SCALE**2)  # V^-1 of the Wishart law
    log_marginal = 0.0
    for y in Y[mask]:
        shape = inverse * (strength + 1) / (strength * (df - D + 1))
        log_marginal += multivariate_t(mean, shape, df - D + 1).logpdf(y)
        inverse = inverse + strength / (strength + 1) * np.outer(y - mean, y - mean)
        mean = (strength * mean + y) / (strength + 1)
        strength, df = strength + 1, df + 1
    log_det = digamma((df - np.arange(D)) / 2).sum() + D * np.log(2) - np.linalg.slogdet(inverse)[1]
    means = dict(zip(("mu_1[0]", "mu_1[1]"), mean, strict=True))
    return log_marginal, means | {"log det precision_1": log_det}


@cache
def exact_normal_wishart():
    return by_closed_form(len(Y), integrate).posterior(K, crp)


def check_normal_wishart(step, sweeps):
    exact, model = exact_normal_wishart(), normal_wishart()
    (packed,) = [v.name for v in model.value_vars if v.name.startswith("precision")]
    with model:
        chain = run_chain(STEPS[step](), model, ["z", "mu", packed], sweeps, seed=51)
    draws = partition_functionals(chain["z"], K, exact["k"])
    of_item_1 = np.arange(sweeps), chain["z"][:, 0]
    draws |= {f"mu_1[{j}]": chain["mu"][*of_item_1, j] for j in range(D)}
    log_diagonal = chain[packed][*of_item_1][:, [0, 2]]  # of the triangle [[a, 0], [b, c]]
    assert_means(draws | {"log det precision_1": 2.0 * log_diagonal.sum(axis=1)}, exact)


def test_normal_wishart():
    check_normal_wishart("neal8", 4_000)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_normal_wishart_long(step):
    check_normal_wishart(step, 50_000)


# A covariance that is not conjugate ---------------------------------------------------------------


def lkj():
    """Means, scales and correlations per component; independent, so that no pair exists.

    No value occurs twice: among equal ones a scale would have no proper posterior, the density of
    HalfNormal being positive at zero.
    """
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.full(K, 0.5))
        z = pm.Categorical("z", w, shape=len(Y))
        mu = pm.Normal("mu", 0, 1, shape=(K, D))
        scale = pm.HalfNormal("scale", 1, shape=(K, D))
        chol = scale[:, :, None] * pm.LKJCorr("corr", n=D, eta=2, shape=(K, D, D))  # its factor
        pm.MvNormal("y", mu[z], chol=chol[z], observed=Y)
    return model


def label_invariant(chain):
    z = chain["z"]
    draws = partition_functionals(z, K, 0.0)
    draws = {name: x for name, x in draws.items() if "slot" not in name}
    of_item_1 = np.arange(len(z)), z[:, 0]
    corr, scale = chain["corr_cholesky_corr__"], chain["scale_log__"]
    return draws | {
        "mu_1[0]": chain["mu"][*of_item_1, 0],
        "mu_1[1]": chain["mu"][*of_item_1, 1],
        "log scale_1[0]": scale[*of_item_1, 0],
        "correlation_1": np.arctan(corr[*of_item_1, 0]),  # of its unconstrained value
        "mean mu": chain["mu"][np.arange(len(z))[:, None], z].mean(axis=(1, 2)),
        "mean log scale": scale[np.arange(len(z))[:, None], z].mean(axis=(1, 2)),
    }


@pytest.mark.slow
def test_lkj_algorithms_agree():
    model = lkj()
    names = [v.name for v in model.value_vars if v.name != "w_simplex__"]
    found = []
    for seed, make in enumerate([partial(dps.Neal8, m=2), dps.BlockedGibbs]):
        with model:
            found.append(label_invariant(run_chain(make(), model, names, 20_000, seed=seed)))
    assert_agreement(*found)


@pytest.mark.slow
def test_twenty_dimensions():
    """The compiled kernel is the density that scipy computes, and clusters are pure."""
    d, n = 20, 30
    rng = np.random.default_rng(52)
    y = rng.normal(np.where(np.arange(n) % 2, 3.0, -3.0)[:, None], 1.0, size=(n, d))
    with pm.Model() as model:
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=n)
        dps.kernels.mvnormal("y", z, scale_to=y, df=30.0, observed=y)
        step = dps.Neal3()
    precision = model.compile_fn(
        model.replace_rvs_by_values([model["precision"]])[0],
        inputs=model.value_vars,
        on_unused_input="ignore",
    )
    step.setup_chain(np.random.default_rng(53), 50, 100)
    point = model.initial_point()
    for _ in range(50):
        point, _ = step.step(point)
        covariance = np.linalg.inv(precision(point))
    table = kernel_table(step, point)
    for k in range(K):
        expected = multivariate_normal(point["mu"][k], covariance[k]).logpdf(y)
        np.testing.assert_allclose(table[:, k], expected, rtol=1e-9)
    for k in set(point["z"]):
        assert len(set(np.flatnonzero(point["z"] == k) % 2)) == 1
