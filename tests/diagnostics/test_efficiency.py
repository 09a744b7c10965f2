import sys
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from pymc.step_methods import CompoundStep

import pymc_dpsteps as dps
from pymc_dpsteps.diagnostics import integrated_autocorr_time
from pymc_dpsteps.diagnostics import partition as functionals_of

Y = np.array([-2.1, -1.9, -1.2, 0.3, 1.4, 1.9, 2.2, 2.4])
SHORT: Any = {"draws": 60, "tune": 20, "chains": 2, "random_seed": 4}
COLUMNS = ["mean", "r_hat", "tau", "ms_per_sweep", "ms_per_independent_draw", "ess_per_second"]


def normal_model(sigma: Any = 0.5) -> pm.Model:
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2, shape=8)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=8, shape=8)
        pm.StudentT("y", nu=4, mu=mu[z], sigma=sigma, observed=Y)
    return model


@pytest.fixture(scope="module")
def model() -> pm.Model:
    return normal_model()


@pytest.fixture(scope="module")
def table(model: pm.Model) -> pd.DataFrame:
    steps = {"eight": dps.Neal8(model=model), "two": [dps.SplitMerge, partial(dps.Neal8, m=1)]}
    return dps.efficiency(model, steps, **SHORT)


def test_a_row_for_every_step_and_functional(table):
    names = ["n_clusters", "sum_squared_proportions", "largest_cluster", "entropy"]
    assert list(table.index) == [
        (step, name) for step in ("eight", "two") for name in [*names, "log_likelihood"]
    ]
    assert list(table.index.names) == ["step", "functional"]
    assert list(table.columns) == COLUMNS


def test_times_per_draw_are_products(table):
    assert (table["ms_per_sweep"] > 0).all()
    np.testing.assert_allclose(
        table["ms_per_independent_draw"], table["tau"] * table["ms_per_sweep"]
    )
    np.testing.assert_allclose(table["ess_per_second"], 1000 / table["ms_per_independent_draw"])
    assert (table["ms_per_sweep"].groupby("step").nunique() == 1).all()


def test_the_draws_are_those_of_pymc(model, table):
    step = CompoundStep([dps.Neal8(model=model)])  # which spawns the seeds
    idata = pm.sample(step=step, model=model, cores=1, quiet=True, progressbar=False, **SHORT)
    found = functionals_of(idata, model=model)
    tau = integrated_autocorr_time(found)
    for name, row in table.loc["eight"].iterrows():
        assert row["mean"] == float(found[name].mean())
        assert row["tau"] == float(tau[name])


def test_sweeps_after_tuning_are_timed(model, monkeypatch):
    """The clock stands still, but for a second per tuning sweep and 3 ms per later one."""
    lengths = 2 * ([1.0] * SHORT["tune"] + [0.003] * SHORT["draws"])
    starts = np.cumsum([0.0, *lengths])
    readings = iter(np.stack([starts[:-1], starts[1:]], axis=1).ravel())
    module = sys.modules[dps.efficiency.__module__]
    monkeypatch.setattr(module, "perf_counter", lambda: next(readings))
    found = dps.efficiency(model, [dps.Neal8], functionals=["entropy"], **SHORT)
    assert list(found.index) == [("Neal8", "entropy")]
    assert found["ms_per_sweep"].item() == pytest.approx(3.0)


def test_other_variables_are_updated_by_the_steps_given():
    with pm.Model() as outer:
        sigma = pm.HalfNormal("sigma", 1.0)
        mu = pm.Normal("mu", 0, 2, shape=8)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=8, shape=8)
        pm.Normal("y", mu[z], sigma, observed=Y)
        steps = [[dps.Neal8, pm.Metropolis([sigma])]]
    found = dps.efficiency(outer, steps, functionals=["log_likelihood"], **SHORT)
    assert found.index[0][0] == "Neal8 + Metropolis"
    assert np.isfinite(found["tau"].item())


def test_a_functional_that_never_changes_has_no_time():
    with pm.Model() as one:
        mu = pm.Normal("mu", 0, 2, shape=1)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=1, shape=2)
        pm.StudentT("y", nu=4, mu=mu[z], sigma=1.0, observed=Y[:2])
    found = dps.efficiency(one, [dps.Neal8], **SHORT).loc["Neal8"]
    assert np.isnan(found.loc["n_clusters", "tau"]) and found.loc["n_clusters", "mean"] == 1.0
    assert found.loc["log_likelihood", "tau"] > 0


def test_bad_input_is_refused(model):
    with pytest.raises(dps.MixtureError, match="conjugate pair"):
        dps.efficiency(model, [dps.Neal2], **SHORT)
    with pytest.raises(ValueError, match="Several steps are called Neal8"):
        dps.efficiency(model, [dps.Neal8, dps.Neal8], **SHORT)
    with pytest.raises(ValueError, match="no steps"):
        dps.efficiency(model, [], **SHORT)
    with pytest.raises(ValueError, match="tune = 0"):
        dps.efficiency(model, [dps.Neal8], tune=0)
    with pytest.raises(ValueError, match="No functional alpha; the model has n_clusters"):
        dps.efficiency(model, [dps.Neal8], functionals=["alpha"], **SHORT)
    with pytest.raises(TypeError, match="Neal8; expected a list or a dict"):
        dps.efficiency(model, dps.Neal8(model=model), **SHORT)
    for wrong in ("Neal8", int):
        with pytest.raises(TypeError, match="is no step method"):
            dps.efficiency(model, [wrong], **SHORT)
