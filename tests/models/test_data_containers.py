"""A model whose data change between runs has the posterior of the new data."""

from functools import partial

import numpy as np
import pymc as pm
import pymc.dims as pmd
import pytest

import pymc_dpsteps as dps
from tests.helpers_chain import (
    assert_means,
    atom_of_first_item,
    partition_functionals,
    run_chain,
)
from tests.helpers_exact import NOISE, SIX_POINTS, SPREAD, crp, dirichlet, enumerate_normal

K, SWEEPS = 4, 8_000
FIVE_POINTS = np.array([1.9, -0.8, 2.1, -0.7, 0.6])


def restaurant():
    data = pm.Data("data", SIX_POINTS, dims="obs")
    mu = pm.Normal("mu", 0, SPREAD, dims="component")
    z = dps.ChineseRestaurantProcess("z", 1.0, K=K, dims="obs")
    pm.Normal("y", mu[z], NOISE, observed=data, dims="obs")


def weights():
    data = pm.Data("data", SIX_POINTS, dims="obs")
    mu = pm.Normal("mu", 0, SPREAD, dims="component")
    z = pm.Categorical("z", pm.Dirichlet("w", np.ones(K), dims="component"), dims="obs")
    pm.Normal("y", mu[z], NOISE, observed=data, dims="obs")


def named_axes():
    data = pmd.Data("data", SIX_POINTS, dims="obs")
    mu = pmd.Normal("mu", 0, SPREAD, dims="component")
    z = dps.ChineseRestaurantProcess("z", 1.0, K=K, dims="obs")
    at = pmd.as_xtensor(z, dims="obs")
    pmd.Normal("y", mu.isel(component=at), NOISE, observed=data)


@pytest.mark.parametrize(
    ("declare", "step", "log_prior"),
    [
        (restaurant, dps.Neal8, crp),
        (restaurant, dps.Neal3, crp),
        (weights, dps.BlockedGibbs, partial(dirichlet, a=np.ones(K))),
        (named_axes, dps.Neal8, crp),
    ],
)
def test_other_data_and_another_number_of_items(declare, step, log_prior):
    """One step serves the data it was built with, then fewer items, then the first again."""
    with pm.Model(coords={"obs": range(6), "component": range(K)}) as model:
        declare()
    made = step(model=model)
    for y in (SIX_POINTS, FIVE_POINTS, SIX_POINTS + 0.5):
        pm.set_data({"data": y}, model, coords={"obs": range(len(y))})
        exact = enumerate_normal(y, K, log_prior).expectations()
        chain = run_chain(made, model, ["z", "mu"], SWEEPS, seed=46)
        draws = partition_functionals(chain["z"], K, exact["k"])
        draws["theta_1"] = atom_of_first_item(chain["z"], chain["mu"])
        assert_means(draws, exact)


@pytest.mark.parametrize("declare", [restaurant, named_axes])
def test_the_result_has_the_dimensions_and_labels_of_the_model(declare):
    with pm.Model(coords={"obs": list("abcdef"), "component": range(K)}) as model:
        declare()
    pm.set_data({"data": FIVE_POINTS}, model, coords={"obs": list("uvwxy")})
    idata = dps.sample(
        50, tune=10, chains=1, model=model, cores=1, random_seed=1, progressbar=False, quiet=True
    )
    posterior = idata["posterior"]
    assert posterior["z"].dims == ("chain", "draw", "obs")
    assert posterior["mu"].dims == ("chain", "draw", "component")
    assert posterior["obs"].values.tolist() == list("uvwxy")
    np.testing.assert_array_equal(idata["observed_data"]["y"], FIVE_POINTS)
