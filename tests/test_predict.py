"""Densities against direct numpy computations on a handful of invented draws."""

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from scipy import stats

import pymc_dpsteps as dps

RNG = np.random.default_rng(3)
N, K, S = 7, 5, 6
Y = RNG.normal(size=N)
GRID = np.linspace(-3, 3, 20)  # neither N nor a multiple of it


def tree(**draws: np.ndarray) -> xr.DataTree:
    data = {
        name: (("chain", "draw", *(f"{name}_{d}" for d in range(x.ndim - 1))), x[None])
        for name, x in draws.items()
    }
    return xr.DataTree.from_dict({"posterior": xr.Dataset(data)})


def normal_draws() -> dict[str, np.ndarray]:
    return {
        "mu": RNG.normal(size=(S, K)),
        "sigma": RNG.gamma(4, 0.25, size=(S, K)),
        "z": RNG.integers(0, K - 1, size=(S, N)),  # the last slot stays empty
    }


def normal_kernel(state: dict[str, np.ndarray]) -> np.ndarray:
    """Return F at every draw, grid point and component."""
    return stats.norm.pdf(GRID[:, None], state["mu"][:, None], state["sigma"][:, None])


def assert_summarises(found: xr.Dataset, curves: np.ndarray, ci_prob: float = 0.89) -> None:
    lower, upper = np.quantile(curves, [0.5 - ci_prob / 2, 0.5 + ci_prob / 2], axis=0)
    np.testing.assert_allclose(found["mean"], curves.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(found["lower"], lower, rtol=1e-10)
    np.testing.assert_allclose(found["upper"], upper, rtol=1e-10)


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
    curves = np.zeros((S, len(GRID)))
    for s, f in enumerate(normal_kernel(state)):
        counts = np.bincount(state["z"][s], minlength=K)
        occupied = counts > 0
        old = ((counts[occupied] - discounts[s]) * f[:, occupied]).sum(axis=1)
        new = (alphas[s] + discounts[s] * occupied.sum()) * f[:, ~occupied].mean(axis=1)
        curves[s] = (old + new) / (alphas[s] + N)
    found = dps.predict.density(tree(**state, **extra), GRID, model=model)
    assert_summarises(found, curves)
    assert found.attrs == {"ci_prob": 0.89, "n_draws": S}
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
    model, state = weighted_model(), normal_draws()
    state["w"] = RNG.dirichlet(np.ones(K), size=S)
    curves = (normal_kernel(state) * state["w"][:, None]).sum(axis=2)
    found = dps.predict.density(tree(**state), GRID, model=model, draws=2)
    assert_summarises(found, curves[[0, S - 1]])
    assert dps.predict.density(tree(**state), GRID, model=model, draws=99).attrs["n_draws"] == S
    with pytest.raises(ValueError, match="draws = 0"):
        dps.predict.density(tree(**state), GRID, model=model, draws=0)
    with pytest.raises(ValueError, match="ci_prob"):
        dps.predict.density(tree(**state), GRID, model=model, ci_prob=89)
    with pytest.raises(ValueError, match="vector"):
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


def test_a_density_of_several_or_multivariate_variables_is_refused():
    state = {"mu": RNG.normal(size=(S, K)), "z": np.zeros((S, N), dtype=int)}
    with pm.Model() as several:
        mu = pm.Normal("mu", 0, 2, shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        pm.Normal("y", mu[z], 1.0, observed=Y)
        pm.Normal("u", mu[z], 2.0, observed=Y)
    with pytest.raises(dps.MixtureError, match="several variables: y, u"):
        dps.predict.density(tree(**state), GRID, model=several)
    with pm.Model() as plane:
        mu = pm.Normal("mu", 0, 2, shape=(K, 2))
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        pm.Normal("y", mu[z], 1.0, observed=np.column_stack([Y, Y]))
    with pytest.raises(dps.MixtureError, match="y has 1 axes"):
        dps.predict.density(tree(**state), GRID, model=plane)


def weighted_model() -> pm.Model:
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.ones(K))
        mu = pm.Normal("mu", 0, 2, shape=K)
        sigma = pm.HalfNormal("sigma", 1, shape=K)
        z = pm.Categorical("z", w, shape=N)
        pm.Normal("y", mu[z], sigma[z], observed=Y)
    return model
