"""Allocations of all draws, of some, or of none: the same draws, and the same functionals."""

import logging
import multiprocessing
from typing import Any

import numpy as np
import pymc as pm
import pytest
import xarray as xr

import pymc_dpsteps as dps

N, K = 40, 9
Y = np.random.default_rng(1).normal(np.repeat([-4.0, 4.0], N // 2), 1.0)
QUICK: Any = {"tune": 20, "chains": 2, "random_seed": 5, "progressbar": False, "cores": 1}


def mixture() -> pm.Model:
    with pm.Model(coords={"galaxy": [f"g{i}" for i in range(N)]}) as model:
        alpha = pm.Gamma("alpha", 2, 2)
        mu = pm.Normal("mu", 0, 5, shape=K)
        z = dps.ChineseRestaurantProcess("z", alpha, K=K, dims="galaxy")
        pm.StudentT("y", nu=5, mu=mu[z], sigma=1.0, observed=Y)
    return model


def draw(keep: Any, draws: int = 250, **kwargs: Any) -> xr.DataTree:
    return dps.sample(draws, keep_allocation=keep, model=mixture(), **(QUICK | kwargs))


@pytest.fixture(scope="module")
def everything() -> xr.DataTree:
    return draw("all")


def test_labels_are_small_integers(everything):
    assert everything["posterior"]["z"].dtype == np.int8
    assert everything["posterior"]["z"].dims == ("chain", "draw", "galaxy")


@pytest.mark.parametrize("keep", ["thin", "none"])
def test_functionals_of_every_draw(keep, everything):
    found = draw(keep)
    assert "z" not in found["posterior"]
    for name in ("mu", "alpha"):
        np.testing.assert_array_equal(found["posterior"][name], everything["posterior"][name])
    xr.testing.assert_allclose(
        found["partition"].to_dataset(), everything["partition"].to_dataset(), rtol=1e-9
    )
    for name, x in everything["partition"].data_vars.items():
        assert found["partition"][name].dtype == x.dtype
        assert found["partition"][name].attrs == x.attrs


def test_thinned_allocations_are_those_of_their_draws(everything):
    found = draw("thin")
    kept = found["allocation"]["z"]
    assert kept.dtype == np.int8
    assert kept["draw"].values.tolist() == list(range(0, 250, 3))
    xr.testing.assert_equal(kept, everything["posterior"]["z"].sel(draw=kept["draw"]))
    # What needs the allocation works, on the draws that have it.
    thinned = everything["posterior"].to_dataset().sel(draw=kept["draw"])
    xr.testing.assert_equal(
        dps.partitions.coclustering(found), dps.partitions.coclustering(thinned["z"])
    )
    densities = [
        dps.predict.density(x, np.array([-4.0, 0.0]), model=mixture(), random_seed=1)["mean"]
        for x in (found, xr.DataTree.from_dict({"posterior": thinned}))
    ]
    xr.testing.assert_equal(*densities)


def test_what_needs_the_allocation_says_so():
    found = draw("none", draws=20)
    with pytest.raises(ValueError, match="keep_allocation='all' or 'thin'"):
        dps.partitions.point_partition(found)
    with pytest.raises(ValueError, match="keep_allocation='all' or 'thin'"):
        dps.predict.density(found, np.zeros(1), model=mixture())
    assert len(dps.summary(found)) == len(found["partition"].data_vars)
    dps.plots.n_clusters(found)


def test_in_processes(everything):
    found = draw("thin", cores=2, mp_ctx=multiprocessing.get_context("forkserver"))
    xr.testing.assert_allclose(
        found["partition"].to_dataset(), everything["partition"].to_dataset(), rtol=1e-9
    )
    kept = found["allocation"]["z"]
    xr.testing.assert_equal(kept, everything["posterior"]["z"].sel(draw=kept["draw"]))


def test_interrupted(caplog):
    def stop(trace, draw):
        if draw.draw_idx == 60:
            raise KeyboardInterrupt

    with caplog.at_level(logging.ERROR):
        found = draw("thin", chains=1, callback=stop)
    n_draws = found["posterior"].sizes["draw"]
    assert 30 < n_draws < 60
    assert found["partition"].sizes["draw"] == n_draws
    assert found["allocation"]["draw"].values.tolist() == list(range(0, n_draws, 3))


def test_two_allocations():
    with pm.Model() as model:
        for name in ("a", "b"):
            z = dps.ChineseRestaurantProcess(name, 1.0, K=5, shape=N)
            pm.Normal(f"y_{name}", pm.Normal(f"mu_{name}", 0, 5, shape=5)[z], 1.0, observed=Y)
    kept = [dps.sample(30, model=model, keep_allocation=keep, **QUICK) for keep in ("all", "thin")]
    xr.testing.assert_allclose(*(x["partition"].to_dataset() for x in kept), rtol=1e-9)
    assert set(kept[1]["allocation"].data_vars) == {"a", "b"}


@pytest.mark.parametrize(
    ("keep", "options", "message"),
    [
        ("some", {}, "expected one of"),
        ("thin", {"return_inferencedata": False}, "needs return_inferencedata=True"),
        ("none", {"trace": object()}, "found another trace"),
        ("none", {"idata_kwargs": {"log_likelihood": True}}, "needs the allocation of every draw"),
    ],
)
def test_refusals(keep, options, message):
    with pytest.raises(ValueError, match=message):
        draw(keep, **options)


def test_var_names():
    found = draw("all", draws=10, var_names=["mu"])
    assert set(found["posterior"].data_vars) == {"mu"}
    found = draw("thin", draws=10, var_names=["mu", "z"])
    assert set(found["posterior"].data_vars) == {"mu"}
    assert found["allocation"].sizes["draw"] == 10
