import numpy as np
import pymc as pm
import pytest
import xarray as xr
from scipy import stats

import pymc_dpsteps as dps

RNG = np.random.default_rng(1)
Y = RNG.normal(size=6)
K = 4
OF_LABELS = ("n_clusters", "sum_squared_proportions", "largest_cluster", "entropy")


def normal_model() -> pm.Model:
    with pm.Model() as model:
        alpha = pm.Gamma("alpha", 2, 4)
        mu = pm.Normal("mu", 0, 3, shape=K)
        sigma = pm.HalfNormal("sigma", 2, shape=K)
        z = dps.ChineseRestaurantProcess("z", alpha, K=K, shape=len(Y))
        pm.Normal("y", mu[z], sigma[z], observed=Y)
    return model


def as_tree(**draws: np.ndarray) -> xr.DataTree:
    data = {
        name: (("chain", "draw", *(f"{name}_{d}" for d in range(x.ndim - 2))), x)
        for name, x in draws.items()
    }
    coords = {dim: np.arange(n) for dim, n in zip(("chain", "draw"), (2, 5), strict=True)}
    return xr.DataTree.from_dict({"posterior": xr.Dataset(data, coords)})


def draws() -> dict[str, np.ndarray]:
    return {
        "alpha": RNG.gamma(2, size=(2, 5)),
        "mu": RNG.normal(size=(2, 5, K)),
        "sigma": RNG.gamma(2, size=(2, 5, K)),
        "z": RNG.integers(0, K, size=(2, 5, len(Y))),
    }


def test_functionals_equal_a_direct_computation():
    state = draws()
    found = dps.diagnostics.partition(as_tree(**state), model=normal_model())
    assert set(found) == {*OF_LABELS, "log_likelihood", "alpha"}
    assert all(x.dims == ("chain", "draw") for x in found.values())
    mu = np.take_along_axis(state["mu"], state["z"], axis=2)
    sigma = np.take_along_axis(state["sigma"], state["z"], axis=2)
    expected = stats.norm.logpdf(Y, mu, sigma).sum(axis=2)
    np.testing.assert_allclose(found["log_likelihood"], expected, rtol=1e-12)
    np.testing.assert_array_equal(found["alpha"], state["alpha"])
    np.testing.assert_array_equal(
        found["n_clusters"], [[len(set(z)) for z in chain] for chain in state["z"]]
    )
    sizes = [[np.bincount(z) for z in chain] for chain in state["z"]]
    np.testing.assert_array_equal(
        found["largest_cluster"], [[max(n) for n in chain] for chain in sizes]
    )
    entropies = [[stats.entropy(n) for n in chain] for chain in sizes]  # normalises
    np.testing.assert_allclose(found["entropy"], entropies, rtol=1e-12, atol=1e-15)


def test_log_likelihood_of_atoms_whose_transform_has_an_underscore_in_its_name():
    rows = RNG.normal(size=(6, 2))
    with pm.Model() as model:
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=6)
        factor = pm.LKJCorr("factor", n=2, eta=2, shape=(K, 2, 2))
        pm.MvNormal("y", 0.0, chol=factor[z], observed=rows)
    rho = RNG.uniform(-1, 1, size=(2, 5, K))
    zero, one = np.zeros_like(rho), np.ones_like(rho)
    factors = np.moveaxis([[one, zero], [rho, np.sqrt(1 - rho**2)]], [0, 1], [-2, -1])
    state = {"factor": factors, "z": draws()["z"]}
    found = dps.diagnostics.partition(as_tree(**state), model=model)["log_likelihood"]
    of_items = np.take_along_axis(rho, state["z"], axis=2)[1, 2]
    expected = sum(
        stats.multivariate_normal([0, 0], [[1, r], [r, 1]]).logpdf(y)
        for r, y in zip(of_items, rows, strict=True)
    )
    assert found.values[1, 2] == pytest.approx(expected, rel=1e-10)


def test_model_in_context_and_coordinates_of_thinned_draws():
    tree = as_tree(**draws()).isel(draw=slice(1, None, 2))
    with normal_model():
        found = dps.diagnostics.partition(tree)
    assert found["draw"].values.tolist() == [1, 3]
    assert found["log_likelihood"].shape == (2, 2)


def test_what_needs_a_variable_that_was_not_kept_is_left_out():
    state = draws()
    del state["mu"], state["alpha"]
    found = dps.diagnostics.partition(as_tree(**state), model=normal_model())
    assert set(found) == set(OF_LABELS)


def test_several_allocations_are_told_apart_by_name():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 3, shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=len(Y))
        pm.Normal("y", mu[z], 1.0, observed=Y)
        rate = pm.Exponential("rate", 1.0, shape=3)
        alpha = pm.Gamma("alpha", 2, 4)
        s = dps.ChineseRestaurantProcess("s", alpha, K=3, shape=4)
        pm.Poisson("counts", rate[s], observed=[0, 1, 2, 3])
    state = {
        "mu": RNG.normal(size=(2, 5, K)),
        "z": RNG.integers(0, K, size=(2, 5, len(Y))),
        "rate": RNG.gamma(2, size=(2, 5, 3)),
        "s": RNG.integers(0, 3, size=(2, 5, 4)),
        "alpha": RNG.gamma(2, size=(2, 5)),
    }
    found = dps.diagnostics.partition(as_tree(**state), model=model)
    names = (*OF_LABELS, "log_likelihood")
    assert set(found) == {"alpha"} | {f"{a}_{name}" for a in "zs" for name in names}
    rate_of_items = np.take_along_axis(state["rate"], state["s"], axis=2)
    expected = stats.poisson.logpmf([0, 1, 2, 3], rate_of_items).sum(axis=2)
    np.testing.assert_allclose(found["s_log_likelihood"], expected, rtol=1e-12)


def test_a_model_that_is_no_mixture_is_refused():
    with pm.Model() as model:
        pm.Normal("x")
    with pytest.raises(dps.MixtureError, match="not a mixture"):
        dps.diagnostics.partition(as_tree(x=RNG.normal(size=(2, 5))), model=model)


def test_a_result_without_posterior_is_refused():
    with pytest.raises(ValueError, match="No group 'posterior'"):
        dps.diagnostics.partition(
            xr.DataTree.from_dict({"prior": xr.Dataset()}), model=normal_model()
        )
