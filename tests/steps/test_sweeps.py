"""Several iterations per draw: every third draw of a chain of single ones."""

import numpy as np
import pymc as pm
import pytest

import pymc_dpsteps as dps
from tests.helpers_chain import run_chain

Y = np.linspace(-4, 4, 12)


def restaurant():
    with pm.Model() as model:
        alpha = pm.Gamma("alpha", 2, 2)
        mu = pm.Normal("mu", pm.Normal("m", 0, 5), 3, shape=6)
        z = dps.ChineseRestaurantProcess("z", alpha, K=6, shape=len(Y))
        pm.StudentT("y", nu=4, mu=mu[z], sigma=1.0, observed=Y)
    return model


def missing():
    y = np.column_stack([Y, np.roll(Y, 3)])
    y[2, 0] = y[5, 1] = np.nan
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 3, shape=(5, 2))
        w = pm.StickBreakingWeights("w", 1.0, K=4)
        z = pm.Categorical("z", w, shape=len(Y))
        pm.Normal("y", mu[z], 1.0, observed=np.ma.masked_invalid(y))
    return model


@pytest.mark.parametrize("build", [restaurant, missing])
@pytest.mark.filterwarnings("ignore:.*contains missing values.*:pymc.exceptions.ImputationWarning")
def test_every_third_draw(build):
    model = build()
    names = [v.name for v in model.value_vars]
    with model:
        single, triple = (dps.Neal8(sweeps=sweeps) for sweeps in (1, 3))
    ones = run_chain(single, model, names, 60, seed=7, tune=0)
    threes = run_chain(triple, model, names, 20, seed=7, tune=0)
    for name in names:
        np.testing.assert_array_equal(ones[name][2::3], threes[name])
        assert np.ptp(threes[name]) > 0


def test_statistics_are_sums_over_sweeps():
    model = restaurant()
    with model:
        step = dps.Neal8(sweeps=4)
        one = dps.Neal8()
    point = model.initial_point(random_seed=1)
    totals = []
    for sampler, draws in ((step, 5), (one, 20)):
        sampler.setup_chain(np.random.default_rng(1), 0, draws)
        at, total = point, 0
        for _ in range(draws):
            at, (stats,) = sampler.step(at)
            total += np.array([stats[s] for s in ("births", "deaths", "slice_evaluations")])
        totals.append(total)
    np.testing.assert_array_equal(*totals)
    assert (totals[0] > 0).all()


@pytest.mark.parametrize("sweeps", [0, 2.5, "3", None])
def test_refuses_what_is_no_number_of_sweeps(sweeps):
    with restaurant(), pytest.raises(ValueError, match=r"number of iterations; found .*at least 1"):
        dps.Neal8(sweeps=sweeps)
