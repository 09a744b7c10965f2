import numpy as np
import pymc as pm
import pytest
from scipy import stats

import pymc_dpsteps as dps
from tests.helpers_draws import RNG, K, N, restaurant_model, restaurant_weights, tree


def test_new_items_are_allocated_anew_and_drawn_from_their_slot():
    n_draws = 4000
    labels = np.array([0, 0, 1, 1, 1, 1, 3])
    state = {
        "z": np.tile(labels, (n_draws, 1)),
        "mu": np.tile([-20.0, -10.0, 0.0, 10.0, 20.0], (n_draws, 1)),
        "sigma": np.tile([1.0, 0.5, 0.1, 2.0, 1.0], (n_draws, 1)),
    }
    found = dps.predict.new_data(tree(**state), model=restaurant_model(), random_seed=1)
    new = found["posterior_predictive"]
    z, y = new["z"].values[0], new["y"].values[0]
    assert z.shape == y.shape == (n_draws, N)
    residual = ((y - state["mu"][0][z]) / state["sigma"][0][z]).ravel()
    assert stats.kstest(residual, "norm").pvalue > 1e-6
    # Items of a data set share their weights: the proportions vary between data sets, not within.
    weights = restaurant_weights(labels, 0.7, 0.25)
    for k in (0, 1, 3):
        share = (z == k).mean(axis=1)
        assert abs(share.mean() - weights[k]) < 5 * share.std() / np.sqrt(n_draws)
    n_together = (z == 1).sum(axis=1)
    pairs = n_together * (n_together - 1) / (N * (N - 1))
    expected = 3.75 * 4.75 / (7.7 * 8.7)
    assert abs(pairs.mean() - expected) < 5 * pairs.std() / np.sqrt(n_draws)
    np.testing.assert_array_equal(found["observed_data"]["y"].shape, (N,))


def test_chains_dims_and_seeds():
    with pm.Model(coords={"obs": ["a", "b", "c"], "side": [0, 1]}):
        scale = pm.HalfNormal("scale")
        mu = pm.Normal("mu", shape=(4, 2))
        z = dps.ChineseRestaurantProcess("z", 1.0, K=4, dims="obs")
        pm.Normal("y", mu[z], scale, observed=RNG.normal(size=(3, 2)), dims=("obs", "side"))
        pm.Poisson("n", pm.math.exp(mu[z, 0]), observed=[1, 2, 3], dims="obs")
        idata = dps.sample(30, tune=5, chains=2, cores=1, progressbar=False, quiet=True)
        new = dps.predict.new_data(idata, random_seed=1)["posterior_predictive"]
        again = dps.predict.new_data(idata, random_seed=1)["posterior_predictive"]
        other = dps.predict.new_data(idata, random_seed=2)["posterior_predictive"]
        few = dps.predict.new_data(idata, draws=7)["posterior_predictive"]
    assert new["y"].dims == ("chain", "draw", "obs", "side") and new["n"].dtype.kind == "i"
    assert new["obs"].values.tolist() == ["a", "b", "c"]
    assert dict(new.sizes) == {"chain": 2, "draw": 30, "obs": 3, "side": 2}
    assert new.equals(again) and not new["y"].equals(other["y"])
    assert few.sizes["chain"] == 1 and few.sizes["draw"] == 7


def test_missing_entries_are_drawn_as_well():
    y = np.array([1.0, np.nan, 3.0, 4.0, np.nan, 6.0, 7.0])
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2, shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        with pytest.warns(pm.exceptions.ImputationWarning):
            pm.Normal("y", mu[z], 0.01, observed=y)
    state = {
        "z": RNG.integers(0, K - 1, size=(5, N)),
        "mu": RNG.normal(size=(5, K)),
        "y_unobserved": np.full((5, 2), 99.0),
    }
    new = dps.predict.new_data(tree(**state), model=model)["posterior_predictive"]
    assert new["y"].shape == (1, 5, N)
    at = np.take_along_axis(state["mu"], new["z"].values[0], axis=1)
    assert (np.abs(new["y"].values[0] - at) < 0.06).all()


def test_a_warning_where_the_empty_slots_are_too_few(caplog):
    state = {"z": np.zeros((5, N), dtype=int), "mu": np.zeros((5, K)), "sigma": np.ones((5, K))}
    dps.predict.new_data(tree(**state), model=restaurant_model(alpha=20.0))
    assert "Give it more slots than K=5" in caplog.text
