"""Densities against direct numpy computations on a handful of invented draws."""

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from scipy import stats

import pymc_dpsteps as dps
from pymc_dpsteps.predict.draws import read_fit
from tests.helpers_draws import (
    GRID,
    RNG,
    K,
    N,
    S,
    Y,
    normal_draws,
    normal_kernel,
    restaurant_model,
    restaurant_weights,
    tree,
    weighted_draws,
    weighted_model,
)


def assert_summarises(found: xr.Dataset, curves: np.ndarray, ci_prob: float = 0.89) -> None:
    lower, upper = np.quantile(curves, [0.5 - ci_prob / 2, 0.5 + ci_prob / 2], axis=0)
    for name, expected in ("mean", curves.mean(axis=0)), ("lower", lower), ("upper", upper):
        np.testing.assert_allclose(found[name], expected, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("case", ["alpha", "alpha and discount", "fixed"])
def test_chinese_restaurant_density(case):
    with pm.Model() as model:
        alpha = pm.Gamma("alpha", 2, 4) if "alpha" in case else 0.7
        discount = pm.Beta("d", 1, 3) if "discount" in case else 0.25
        mu = pm.Normal("mu", 0, 2, shape=K)
        sigma = pm.HalfNormal("sigma", 1, shape=K)
        z = dps.ChineseRestaurantProcess("z", alpha, discount, K=K, shape=N)
        pm.Normal("y", mu[z], sigma[z], observed=Y)
    state = normal_draws()
    extra = {}
    if "alpha" in case:
        extra["alpha"] = RNG.gamma(2, size=S)
    if "discount" in case:
        extra["d"] = RNG.beta(1, 3, size=S)
    alphas, discounts = extra.get("alpha", np.full(S, 0.7)), extra.get("d", np.full(S, 0.25))
    idata = tree(**state, **extra)
    found = dps.predict.density(idata, GRID, model=model, random_seed=4)
    f = normal_kernel(state)
    parameters = zip(state["z"], alphas, discounts, strict=True)
    mean = np.stack([restaurant_weights(*row) for row in parameters])
    np.testing.assert_allclose(found["mean"], (f * mean[:, None]).sum(axis=2).mean(0), rtol=1e-10)
    drawn, _ = read_fit(idata, model, None).drawn_weights(np.random.default_rng(4))
    lower, upper = np.quantile((f * drawn[:, None]).sum(axis=2), [0.055, 0.945], axis=0)
    np.testing.assert_allclose(found["lower"], lower, rtol=1e-10)
    np.testing.assert_allclose(found["upper"], upper, rtol=1e-10)
    assert found.attrs == {"kind": "density", "ci_prob": 0.89, "n_draws": S}
    np.testing.assert_array_equal(found["y"], GRID)


@pytest.mark.parametrize("case", ["sticks", "sticks by hand", "Dirichlet"])
def test_density_of_a_model_with_weights(case):
    state = normal_draws()
    weights = RNG.dirichlet(np.ones(K), size=S)
    with pm.Model() as model:
        if case == "sticks":
            w = pm.StickBreakingWeights("w", 1.0, K=K - 1)
            state["w"] = weights
        elif case == "Dirichlet":
            w = pm.Dirichlet("w", np.ones(K))
            state["w"] = weights
        else:
            v = pm.Beta("v", 1, 1, shape=K - 1)
            rest = pm.math.concatenate([[1.0], pm.math.cumprod(1 - v)])
            w = pm.math.concatenate([v, [1.0]]) * rest
            left = 1 - np.cumsum(weights, axis=1)[:, :-2]
            state["v"] = weights[:, :-1] / np.column_stack([np.ones(S), left])
        mu = pm.Normal("mu", 0, 2, shape=K)
        sigma = pm.HalfNormal("sigma", 1, shape=K)
        z = pm.Categorical("z", w, shape=N)
        pm.Normal("y", mu[z], sigma[z], observed=Y)
    curves = (normal_kernel(state) * weights[:, None]).sum(axis=2)
    with model:
        found = dps.predict.density(tree(**state), GRID, ci_prob=0.5)
    assert_summarises(found, curves, ci_prob=0.5)


def test_shared_parameters_and_integer_data():
    counts = np.array([0, 3, 2, 8])
    with pm.Model() as model:
        shift = pm.HalfNormal("shift")
        rate = pm.LogNormal("rate", shape=3)
        w = pm.Dirichlet("w", np.ones(3))
        z = pm.Categorical("z", w, shape=4)
        pm.Poisson("counts", rate[z] + shift, observed=counts)
    state = {
        "shift": RNG.gamma(1, size=S),
        "rate": RNG.gamma(2, size=(S, 3)),
        "w": RNG.dirichlet(np.ones(3), size=S),
    }
    grid = np.arange(10)
    rates = state["rate"] + state["shift"][:, None]
    curves = (stats.poisson.pmf(grid[:, None], rates[:, None]) * state["w"][:, None]).sum(axis=2)
    assert_summarises(dps.predict.density(tree(**state), grid, model=model), curves)
    with pytest.raises(ValueError, match="integers"):
        dps.predict.density(tree(**state), [0.5], model=model)


def test_fewer_draws_are_evenly_spaced():
    model, state = weighted_model(), weighted_draws()
    curves = (normal_kernel(state) * state["w"][:, None]).sum(axis=2)
    found = dps.predict.density(tree(**state), GRID, model=model, draws=2)
    assert_summarises(found, curves[[0, S - 1]])
    assert dps.predict.density(tree(**state), GRID, model=model, draws=99).attrs["n_draws"] == S
    with pytest.raises(ValueError, match="draws = 0"):
        dps.predict.density(tree(**state), GRID, model=model, draws=0)
    with pytest.raises(ValueError, match="ci_prob"):
        dps.predict.density(tree(**state), GRID, model=model, ci_prob=89)
    with pytest.raises(ValueError, match=r"expected \(G,\)"):
        dps.predict.density(tree(**state), np.ones((2, 2)), model=model)
    del state["w"]
    with pytest.raises(ValueError, match="does not hold w"):
        dps.predict.density(tree(**state), GRID, model=model)


def test_a_chinese_restaurant_without_an_empty_slot_is_refused():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2, shape=2)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=2, shape=N)
        pm.Normal("y", mu[z], 1.0, observed=Y)
    labels = np.zeros((S, N), dtype=int)
    labels[1, 0] = 1
    with pytest.raises(dps.MixtureError, match=r"K=2 slots of z are occupied in 1 of 6.*K=4"):
        dps.predict.density(tree(mu=RNG.normal(size=(S, 2)), z=labels), GRID, model=model)


@pytest.mark.parametrize("kind", ["data", "latent", "exposure"])
def test_covariates_make_the_density_conditional(kind):
    x = np.arange(1.0, N + 1)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2, shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        if kind == "data":
            pm.Normal("y", mu[z] * pm.Data("x", x), 1.0, observed=Y)
        elif kind == "latent":
            pm.Normal("y", mu[z] + pm.Normal("x", shape=N), 1.0, observed=Y)
        else:
            pm.Poisson("y", pm.math.exp(mu[z]) * x, observed=x.astype(int))
    state = {"mu": RNG.normal(size=(S, K)), "z": np.zeros((S, N), dtype=int)}
    with pytest.raises(dps.MixtureError, match="conditional"):
        dps.predict.density(tree(**state), np.arange(3), model=model)
    with pytest.raises(ValueError, match=r"is not a pm\.Data of the model"):
        dps.predict.density(tree(**state), [1], covariates={"q": [1.0]}, model=model)


def test_one_of_several_variables():
    state = {"mu": RNG.normal(size=(S, K)), "z": RNG.integers(0, K - 1, size=(S, N))}
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2, shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        pm.Normal("y", mu[z], 1.0, observed=Y)
        pm.Normal("u", mu[z[[0, 0, 3]]], 2.0, observed=Y[:3])
    with pytest.raises(dps.MixtureError, match="2 observed variables: y, u"):
        dps.predict.density(tree(**state), GRID, model=model)
    with pytest.raises(dps.MixtureError, match=r"v is not among the observed variables .*: y, u"):
        dps.predict.density(tree(**state), GRID, variable="v", model=model)
    for name, scale in ("y", 1.0), ("u", 2.0):
        found = dps.predict.density(tree(**state), GRID, variable=name, model=model)
        f = stats.norm.pdf(GRID[:, None], state["mu"][:, None], scale)
        weights = np.stack([restaurant_weights(z, 1.0, 0.0) for z in state["z"]])
        expected = (f * weights[:, None]).sum(axis=2).mean(axis=0)
        # PyTensor takes the logarithm of the constant 2.0 in single precision.
        np.testing.assert_allclose(found["mean"], expected, rtol=1e-8)
        assert found["mean"].dims == (name,)


def test_points_with_coordinates():
    state = weighted_draws()
    state["mu"] = RNG.normal(size=(S, K, 2))
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.ones(K))
        mu = pm.Normal("mu", 0, 2, shape=(K, 2))
        sigma = pm.HalfNormal("sigma", 1, shape=K)
        z = pm.Categorical("z", w, shape=N)
        pm.Normal("y", mu[z], sigma[z][:, None], observed=np.column_stack([Y, Y]))
    points = RNG.normal(size=(9, 2))
    f = stats.norm.pdf(points[:, None], state["mu"][:, None], state["sigma"][:, None, :, None])
    curves = (f.prod(axis=3) * state["w"][:, None]).sum(axis=2)
    found = dps.predict.density(tree(**state), points, model=model)
    assert_summarises(found, curves)
    assert found["mean"].dims == ("grid_point",)
    np.testing.assert_array_equal(found["y"], points)
    with pytest.raises(ValueError, match=r"shape \(20,\); expected \(G, 2\)"):
        dps.predict.density(tree(**state), GRID, model=model)
    with pytest.raises(dps.MixtureError, match="several coordinates"):
        dps.predict.cdf(tree(**state), points, model=model)


def test_conditional_density_of_a_regression():
    x = np.linspace(-1, 1, N)
    state = weighted_draws() | {"slope": RNG.normal(size=(S, K))}
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.ones(K))
        mu = pm.Normal("mu", 0, 2, shape=K)
        slope = pm.Normal("slope", 0, 2, shape=K)
        sigma = pm.HalfNormal("sigma", 1, shape=K)
        z = pm.Categorical("z", w, shape=N)
        mean = mu[z] + slope[z] * pm.Data("x", x) ** 2
        pm.Normal("y", mean, sigma[z], observed=Y)
    new = np.array([0.5, -2.0, 3.0])
    found = dps.predict.density(tree(**state), GRID, covariates={"x": new}, model=model)
    assert found["mean"].dims == ("point", "y") and found["mean"].shape == (3, len(GRID))
    np.testing.assert_array_equal(found["x"], new)
    for row, at in enumerate(new):
        shifted = state | {"mu": state["mu"] + state["slope"] * at**2}
        curves = (normal_kernel(shifted) * state["w"][:, None]).sum(axis=2)
        assert_summarises(found.isel(point=row), curves)
    for wrong in (np.ones((3, 2)), 1.0):
        with pytest.raises(ValueError, match="covariate"):
            dps.predict.density(tree(**state), GRID, covariates={"x": wrong}, model=model)


def test_covariates_of_items_with_missing_or_repeated_observations():
    x = np.arange(1.0, N + 1)
    y = np.where(np.arange(N) == 2, np.nan, Y)
    group = np.array([0, 0, 1, 4, 4, 6])
    state = {"mu": RNG.normal(size=(S, K)), "z": RNG.integers(0, K - 1, size=(S, N))}
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2, shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        each = mu[z] * pm.Data("x", x)
        with pytest.warns(pm.exceptions.ImputationWarning):
            pm.Normal("y", each, 1.0, observed=y)
        pm.Normal("u", each[group], 1.0, observed=np.zeros(6))
    weights = np.stack([restaurant_weights(z, 1.0, 0.0) for z in state["z"]])
    state["y_unobserved"] = np.zeros((S, 1))
    for name in ("y_observed", "u"):
        found = dps.predict.density(
            tree(**state), [0.3, 1.0], variable=name, covariates={"x": [2.0, 5.0]}, model=model
        )
        for row, at in enumerate([2.0, 5.0]):
            f = stats.norm.pdf(np.array([0.3, 1.0])[:, None], at * state["mu"][:, None])
            expected = (f * weights[:, None]).sum(axis=2).mean(axis=0)
            np.testing.assert_allclose(found["mean"][row], expected, rtol=1e-10)


def test_distribution_function_and_hazard_of_censored_times():
    times = np.array([1.0, 2.0, 2.5, 4.0, 4.0, 1.5, 0.5])
    rates = 0.5 * np.arange(1, K + 1) + RNG.uniform(0, 0.2, size=(S, K))
    state = {"rate": rates, "w": RNG.dirichlet(np.ones(K), size=S)}
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.ones(K))
        rate = pm.Gamma("rate", 2, 1, shape=K)
        z = pm.Categorical("z", w, shape=N)
        pm.Censored("t", pm.Exponential.dist(rate[z]), None, times + (times < 4), observed=times)
    grid = np.array([0.0, 0.5, 1.0, 400.0, 1e5])
    rate, w = state["rate"][:, None], state["w"][:, None]
    survival = (np.exp(-rate * grid[:, None]) * w).sum(axis=2)
    density = (rate * np.exp(-rate * grid[:, None]) * w).sum(axis=2)
    idata = tree(**state)
    assert_summarises(dps.predict.cdf(idata, grid, model=model), 1 - survival)
    assert_summarises(dps.predict.density(idata, grid, model=model), density)
    found = dps.predict.hazard(idata, grid, model=model)
    assert_summarises(found.isel(t=slice(3)), density[:, :3] / survival[:, :3])
    # Where all else has died out, those of the least rate are left; then none, to the computer.
    assert_summarises(found.isel(t=[3]), rates[:, :1])
    assert np.isnan(found["mean"][4])


def test_curves_that_are_not_defined_are_refused():
    with pm.Model() as counts:
        rate = pm.LogNormal("rate", shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=3)
        pm.Poisson("n", rate[z], observed=[1, 2, 3])
    state = {"rate": RNG.gamma(2, size=(S, K)), "z": np.zeros((S, 3), dtype=int)}
    with pytest.raises(dps.MixtureError, match="n is discrete"):
        dps.predict.hazard(tree(**state), [1], model=counts)
    with pm.Model() as own:
        mu = pm.Normal("mu", shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        pm.CustomDist("y", mu[z], logp=lambda y, m: -((y - m) ** 2), observed=Y)
    state = {"mu": RNG.normal(size=(S, K)), "z": np.zeros((S, N), dtype=int)}
    with pytest.raises(dps.MixtureError, match="PyMC knows no cdf function of y"):
        dps.predict.cdf(tree(**state), [1.0], model=own)


def test_components_add_up_to_the_density():
    model, state = weighted_model(), weighted_draws()
    partition = np.array([3, 3, 1, 1, 1, 3, 2])
    found = dps.predict.density(tree(**state), GRID, partition=partition, model=model)
    assert found["cluster"].values.tolist() == ["1", "2", "3", "new"]
    expected = np.zeros((4, len(GRID)))
    for s, f in enumerate(normal_kernel(state)):
        for k in range(K):
            members = partition[state["z"][s] == k]
            share = [np.mean(members == c) if len(members) else 0.0 for c in (1, 2, 3)]
            share.append(float(len(members) == 0))
            expected += np.outer(share, state["w"][s, k] * f[:, k]) / S
    np.testing.assert_allclose(found["components"], expected, rtol=1e-10)
    np.testing.assert_allclose(found["components"].sum("cluster"), found["mean"], rtol=1e-10)
    with pytest.raises(ValueError, match=r"partition has shape \(3,\); expected \(7,\)"):
        dps.predict.density(tree(**state), GRID, partition=[0, 1, 2], model=model)


def test_a_warning_where_the_empty_slots_are_too_few_for_the_band(caplog):
    state = normal_draws()
    dps.predict.density(tree(**state), GRID, model=restaurant_model(alpha=20.0))
    assert "Give it more slots than K=5" in caplog.text
