"""What find_map returns, refuses and reports."""

import logging

import numpy as np
import pymc as pm
import pytest
import xarray as xr

import pymc_dpsteps as dps
from pymc_dpsteps.modes.find_map import _warn_if_alone
from tests.helpers_modes import interpreted


@pytest.fixture(autouse=True)
def _interpreted():
    with interpreted():
        yield


Y = np.array([-2.1, -1.9, -2.0, 3.0, 3.1, 2.9, 3.2])


def named_model():
    """Dims, weights, atoms of two kinds, and a deterministic that depends on the allocation."""
    with pm.Model(coords={"obs": range(len(Y)), "component": list("abc")}) as model:
        mu = pm.Normal("mu", 0, 3, dims="component")
        sigma = pm.InverseGamma("sigma", 3, 1, dims="component")
        w = pm.StickBreakingWeights("w", pm.Gamma("alpha", 2, 4), K=2, dims="component")
        z = pm.Categorical("z", w, dims="obs")
        pm.Deterministic("centre", mu[z], dims="obs")
        pm.Normal("y", mu[z], sigma[z], observed=Y, dims="obs")
    return model


def test_result_in_the_space_and_dims_of_the_model(tmp_path):
    model = named_model()
    with model:
        tree = dps.find_map(restarts=2, random_seed=1)
    assert set(tree.children) == {"mode", "restarts"}
    mode = tree["mode"].to_dataset()
    for name in ("mu", "sigma", "w"):
        assert mode[name].dims == ("component",)
    assert mode["component"].to_numpy().tolist() == list("abc")
    assert mode["z"].dims == mode["centre"].dims == ("obs",)
    assert mode["responsibilities"].dims == ("obs", "component")
    assert mode["alpha"].ndim == 0
    np.testing.assert_allclose(mode["responsibilities"].sum("component"), 1.0)
    np.testing.assert_array_equal(mode["z"], mode["responsibilities"].to_numpy().argmax(axis=1))
    np.testing.assert_array_equal(mode["centre"], mode["mu"].to_numpy()[mode["z"].to_numpy()])
    assert mode.attrs["method"] == "em"
    assert mode.attrs["restarts"] == 2
    assert mode.attrs["note"] == "a mode, not a posterior: no uncertainty is attached"
    restarts = tree["restarts"].to_dataset()
    assert set(restarts.data_vars) == {"log_posterior", "n_clusters", "largest_gradient"}
    assert float(restarts["log_posterior"].max()) == mode.attrs["log_posterior"]
    assert float(restarts["largest_gradient"].max()) < 1e-3
    assert int(restarts["n_clusters"].min()) >= 2
    tree.to_netcdf(tmp_path / "mode.nc")
    assert xr.open_datatree(tmp_path / "mode.nc")["mode"].attrs["method"] == "em"

    fewer = dps.find_map(model, restarts=1, random_seed=1)  # the same streams
    np.testing.assert_array_equal(fewer["restarts"]["log_posterior"], restarts["log_posterior"][:1])


def normal_model(**observed):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 3, shape=4)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=4, shape=len(Y))
        pm.Normal("y", mu[z], 0.5, **({"observed": Y} | observed))
    return model


def test_greedy_finds_the_groups():
    mode = dps.find_map(normal_model(), method="greedy", random_seed=0)["mode"]
    labels = mode["z"].to_numpy()
    assert len(set(labels[:3])) == len(set(labels[3:])) == 1
    assert labels[0] != labels[3]
    assert mode["z"].dims == ("z_dim_0",)


def test_other_discrete_variables_are_refused():
    with normal_model() as model:
        switch = pm.Bernoulli("switch", 0.5)
        pm.Normal("x", switch, 1, observed=0.3)
    with pytest.raises(dps.MixtureError, match="switch is discrete"):
        dps.find_map(model)
    with pytest.raises(dps.MixtureError, match="switch is discrete"):
        dps.Neal8(init="map", model=model)


def test_two_allocations_are_refused():
    with normal_model() as model:
        other = dps.ChineseRestaurantProcess("other", 1.0, K=3, shape=len(Y))
        pm.Normal("x", pm.Normal("nu", shape=3)[other], 1, observed=Y)
    with pytest.raises(dps.MixtureError, match="2 allocations: z, other"):
        dps.find_map(model)


def test_latent_kernel_variables_are_refused():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 3, shape=4)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=4, shape=len(Y))
        effect = pm.Normal("effect", mu[z], 0.5)
        pm.Poisson("y", pm.math.exp(effect), observed=np.arange(len(Y)))
    with pytest.raises(dps.MixtureError, match="effect is not observed"):
        dps.find_map(model)


@pytest.mark.filterwarnings("ignore::pymc.exceptions.ImputationWarning")
def test_densities_without_gradient_are_refused():
    y = np.column_stack([Y, Y])
    y[0, 0] = np.nan  # the density of the observed entries of a vector has no gradient
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 3, shape=(4, 2))
        z = dps.ChineseRestaurantProcess("z", 1.0, K=4, shape=len(Y))
        pm.MvNormal("y", mu[z], np.eye(2), observed=y)
    with pytest.raises(dps.MixtureError, match="no gradient"):
        dps.find_map(model)


@pytest.mark.parametrize("option", [{"method": "vb"}, {"restarts": 0}, {"restarts": 2.5}])
def test_bad_options(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        dps.find_map(normal_model(), **option)


def test_a_best_mode_found_once_is_reported(caplog):
    with caplog.at_level(logging.WARNING, logger="pymc_dpsteps"):
        _warn_if_alone(np.array([-10.0, -10.005, -12.0]))
        _warn_if_alone(np.array([-10.0]))
        assert not caplog.records
        _warn_if_alone(np.array([-12.0, -10.0, -11.5]))
    assert "One of 3 restarts" in caplog.text
    assert "-10.00; the next best is -11.50" in caplog.text
