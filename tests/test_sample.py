import logging
from typing import Any

import numpy as np
import pymc as pm
import pytest
import xarray as xr

import pymc_dpsteps as dps

Y = np.concatenate([np.random.default_rng(4).normal(m, 1, size=10) for m in (-6, 6)])
OF_LABELS = ("n_clusters", "sum_squared_proportions", "largest_cluster", "entropy")
QUICK: Any = {"progressbar": False, "cores": 1}


def model_of(prior: str, y: np.ndarray = Y, alpha: float = 1.0, conjugate: bool = True) -> pm.Model:
    with pm.Model() as model:
        n_slots = 20 if prior == "restaurant" else 8
        mu = pm.Normal("mu", 0, 5, shape=n_slots)
        if prior == "restaurant":
            concentration = pm.Gamma("alpha", 2, 2) if alpha == 1.0 else alpha
            z = dps.ChineseRestaurantProcess("z", concentration, K=n_slots, shape=len(y))
        elif prior == "sticks":
            z = pm.Categorical("z", pm.StickBreakingWeights("w", 1.0, K=7), shape=len(y))
        else:
            eta = pm.Normal("eta", shape=8)
            z = pm.Categorical("z", pm.math.softmax(eta), shape=len(y))
        if conjugate:
            pm.Normal("y", mu[z], 1.0, observed=y)
        else:
            pm.StudentT("y", nu=4, mu=mu[z], sigma=1.0, observed=y)
    return model


@pytest.fixture(scope="module")
def result() -> xr.DataTree:
    with model_of("restaurant"):
        return dps.sample(600, tune=200, random_seed=1, **QUICK)


def test_four_chains_with_functionals(result):
    assert result["posterior"].sizes["chain"] == 4
    partition = result["partition"]
    assert set(partition.data_vars) == {*OF_LABELS, "log_likelihood", "alpha"}
    assert all(x.dims == ("chain", "draw") for x in partition.data_vars.values())
    for name in ("n_clusters", "largest_cluster"):
        np.testing.assert_array_equal(partition[name], result["sample_stats"][name])
    assert 2.0 < float(partition["n_clusters"].mean()) < 4.0


def test_summary_and_file(result, tmp_path):
    assert dps.summary(result).index[0] == "n_clusters"
    result.to_netcdf(tmp_path / "result.nc", engine="h5netcdf")
    assert "partition" in xr.open_datatree(tmp_path / "result.nc", engine="h5netcdf").children


def test_density_of_the_result_integrates_to_one(result):
    grid = np.linspace(-30, 30, 601)
    found = dps.predict.density(result, grid, model=model_of("restaurant"), draws=200)
    assert np.trapezoid(found["mean"], grid) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    "prior, conjugate, expected",
    [
        ("restaurant", True, "Neal2"),
        ("sticks", False, "Neal8"),
        ("free", True, "BlockedGibbs"),
    ],
)
def test_the_step_is_chosen_by_prior_and_conjugacy(prior, conjugate, expected, caplog):
    model = model_of(prior, conjugate=conjugate)
    with caplog.at_level(logging.INFO, logger="pymc"):
        found = dps.sample(20, tune=20, chains=1, model=model, random_seed=1, **QUICK)
    assert f"{expected}: " in caplog.text
    assert found["partition"].sizes == {"chain": 1, "draw": 20}


def test_a_given_step_is_used(caplog):
    model = model_of("sticks")
    with caplog.at_level(logging.INFO, logger="pymc"):
        dps.sample(5, tune=5, model=model, step=dps.BlockedGibbs(model=model), **QUICK)
    assert "BlockedGibbs" in caplog.text


def test_seeds_are_passed_on():
    model = model_of("restaurant")
    a, b, c = (
        dps.sample(10, tune=10, chains=2, model=model, random_seed=seed, quiet=True, **QUICK)
        for seed in (1, 1, 2)
    )
    assert a["posterior"]["mu"].equals(b["posterior"]["mu"])
    assert not a["posterior"]["mu"].equals(c["posterior"]["mu"])


def test_few_draws_are_warned_of_with_numbers(caplog):
    dps.sample(30, tune=0, model=model_of("restaurant"), random_seed=1, **QUICK)
    warned = [r.message for r in caplog.records if r.name == "pymc_dpsteps"]
    assert any("below 400 (100 per chain) for" in message for message in warned)


def test_quiet_and_constant_functionals_do_not_warn(caplog):
    model = model_of("restaurant", y=np.zeros(1), alpha=0.5)
    found = dps.sample(500, tune=100, model=model, random_seed=1, **QUICK)
    assert (found["partition"]["n_clusters"] == 1).all()
    assert not [r for r in caplog.records if r.name == "pymc_dpsteps" and "n_clusters" in r.message]
    caplog.clear()
    dps.sample(5, tune=0, model=model, quiet=True, **QUICK)
    assert not caplog.records


def test_interrupted_sampling_keeps_the_draws_so_far():
    def interrupt(trace, draw):
        if draw.chain == 1 and draw.draw_idx == 60:
            raise KeyboardInterrupt

    found = dps.sample(
        100, tune=20, model=model_of("restaurant"), random_seed=1, callback=interrupt, **QUICK
    )
    sizes = found["partition"].sizes
    assert sizes == {dim: found["posterior"].sizes[dim] for dim in ("chain", "draw")}
    assert 0 < sizes["draw"] <= 100


def test_a_chain_interrupted_while_tuning_is_left_out():
    def interrupt(trace, draw):
        if draw.chain == 0 and draw.draw_idx == 5:
            raise KeyboardInterrupt

    found = dps.sample(
        100, tune=20, model=model_of("restaurant"), random_seed=1, callback=interrupt, **QUICK
    )
    assert found["partition"].sizes == {"chain": 3, "draw": 100}
    np.testing.assert_array_equal(found["partition"]["chain"], found["posterior"]["chain"])


def test_variables_that_were_not_kept_leave_out_their_functionals():
    model = model_of("restaurant")
    found = dps.sample(10, tune=10, model=model, var_names=["alpha", "z"], quiet=True, **QUICK)
    assert set(found["partition"].data_vars) == {*OF_LABELS, "alpha"}


def test_a_trace_is_returned_as_it_is():
    with pytest.warns(FutureWarning, match="return_inferencedata"):  # PyMC's own
        found = dps.sample(
            5, tune=5, model=model_of("sticks"), return_inferencedata=False, quiet=True, **QUICK
        )
    assert isinstance(found, pm.backends.base.MultiTrace)


def test_options_of_a_step_are_refused():
    with pytest.raises(TypeError, match=r"step=dps\.Neal8\(m=5\)"):
        dps.sample(model=model_of("sticks"), m=3)


def test_a_model_that_is_no_mixture_is_refused():
    with pm.Model() as model:
        pm.Normal("x")
    with pytest.raises(dps.MixtureError, match="not a mixture"):
        dps.sample(model=model)
