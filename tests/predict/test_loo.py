import numpy as np
import pymc as pm
import pytest
from scipy import stats

import pymc_dpsteps as dps
from tests.helpers_draws import (
    RNG,
    K,
    N,
    S,
    Y,
    normal_draws,
    restaurant_model,
    restaurant_weights,
    tree,
    weighted_draws,
    weighted_model,
)


def test_own_allocation_is_summed_out_with_the_weights_of_the_others():
    model, state = restaurant_model(), normal_draws()
    state["z"][0] = [0, 1, 1, 2, 0, 1, 3]  # items 3 and 6 are alone
    found = dps.predict.log_likelihood(tree(**state), model=model)
    assert found.dims == ("chain", "draw", "z_0") and found.shape == (1, S, N)
    for s in range(S):
        f = stats.norm.pdf(Y[:, None], state["mu"][s], state["sigma"][s])
        for i in range(N):
            weights = restaurant_weights(np.delete(state["z"][s], i), 0.7, 0.25)
            assert found.values[0, s, i] == pytest.approx(np.log(f[i] @ weights), rel=1e-10)


def test_weights_of_the_model():
    state = weighted_draws()
    found = dps.predict.log_likelihood(tree(**state), model=weighted_model())
    f = stats.norm.pdf(Y[:, None], state["mu"][:, None], state["sigma"][:, None])
    expected = np.log((f * state["w"][:, None]).sum(axis=2))
    np.testing.assert_allclose(found.values[0], expected, rtol=1e-10)


def test_several_observations_of_an_item_are_left_out_together():
    group = np.array([0, 0, 1, 3, 3, 3])
    y = RNG.normal(size=6)
    state = {"w": RNG.dirichlet(np.ones(K), size=S), "mu": RNG.normal(size=(S, K))}
    state["z"] = RNG.integers(0, K, size=(S, 4))
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.ones(K))
        mu = pm.Normal("mu", 0, 2, shape=K)
        z = pm.Categorical("z", w, shape=4)
        pm.Normal("y", mu[z[group]], 1.0, observed=y)
    found = dps.predict.log_likelihood(tree(**state), model=model)
    log_f = stats.norm.logpdf(y[:, None], state["mu"][:, None])
    for i in range(4):
        joint = np.exp(log_f[:, group == i].sum(axis=1))
        expected = np.log((joint * state["w"]).sum(axis=1))
        np.testing.assert_allclose(found.values[0, :, i], expected, rtol=1e-10, atol=1e-14)


def partitions(n: int) -> list[list[int]]:
    found: list[list[int]] = [[0]]
    for _ in range(n - 1):
        found = [[*c, k] for c in found for k in range(max(c) + 2)]
    return found


def exact_log_marginal(y: np.ndarray, alpha: float) -> float:
    """Of a Chinese restaurant process of N(mu, 0.5²) with mu ~ N(0, 2²): all partitions."""
    terms = []
    for c in partitions(len(y)):
        labels = np.array(c)
        sizes = np.bincount(labels)
        log_p = len(sizes) * np.log(alpha) - np.log(alpha + np.arange(len(y))).sum()
        for k, size in enumerate(sizes):
            log_p += np.log(np.arange(1, size)).sum()
            covariance = 4.0 * np.ones((size, size)) + 0.25 * np.eye(size)
            log_p += stats.multivariate_normal.logpdf(y[labels == k], np.zeros(size), covariance)
        terms.append(log_p)
    return float(np.logaddexp.reduce(terms))


def test_loo_equals_the_exact_leave_one_out_density():
    y, alpha = np.array([-1.2, -0.8, 0.1, 1.9, 2.4]), 0.8
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2, shape=12)
        z = dps.ChineseRestaurantProcess("z", alpha, K=12, shape=5)
        pm.Normal("y", mu[z], 0.5, observed=y)
        idata = dps.sample(
            4000, tune=200, chains=4, cores=1, step=dps.Neal8(), random_seed=3, progressbar=False
        )
    whole = exact_log_marginal(y, alpha)
    exact = np.array([whole - exact_log_marginal(np.delete(y, i), alpha) for i in range(5)])
    found = dps.predict.loo(idata, model=model, pointwise=True)
    # The error of each from batches: 1 / p(y_i | y_-i) is the mean of 1 / p(y_i | draw).
    inverse = np.exp(-dps.predict.log_likelihood(idata, model=model).values)
    batches = inverse.reshape(4 * 20, -1, 5).mean(axis=1)
    error = batches.std(axis=0) / np.sqrt(len(batches)) / batches.mean(axis=0)
    assert (error < 0.1).all()
    assert (np.abs(found.elpd_i.values - exact) < 5 * error).all(), (found.elpd_i, exact, error)
    assert found.elpd == pytest.approx(found.elpd_i.values.sum())
    # What ArviZ takes for the efficiency of draws may not depend on the numbering of slots.
    renumbered = idata.copy(deep=True)
    order = np.random.default_rng(0).permuted(np.tile(np.arange(12), (4, 4000, 1)), axis=2)
    posterior = idata["posterior"].to_dataset()
    mu = np.empty_like(posterior["mu"].values)
    np.put_along_axis(mu, order, posterior["mu"].values, axis=2)
    renumbered["posterior"]["mu"] = posterior["mu"].copy(data=mu)
    z = np.take_along_axis(order, posterior["z"].values, axis=2)
    renumbered["posterior"]["z"] = posterior["z"].copy(data=z)
    again = dps.predict.loo(renumbered, model=model, pointwise=True)
    np.testing.assert_allclose(again.elpd_i.values, found.elpd_i.values, rtol=1e-10)
    np.testing.assert_allclose(again.pareto_k.values, found.pareto_k.values, rtol=1e-8)


def test_full_slots_are_refused():
    state = normal_draws()
    state["z"][2] = [0, 1, 2, 3, 4, 0, 0]
    with pytest.raises(dps.MixtureError, match=r"K=5 slots of z are occupied in 1 of 6.*K=10"):
        dps.predict.log_likelihood(tree(**state), model=restaurant_model())
