"""Chains that start at a mode."""

import pickle

import cloudpickle
import numpy as np
import pymc as pm
import pytest

import pymc_dpsteps as dps
from tests.helpers_algorithms import ALGORITHMS, CRP
from tests.helpers_modes import interpreted


@pytest.fixture(autouse=True)
def _interpreted():
    with interpreted():
        yield


RNG = np.random.default_rng(1)
Y = np.concatenate([RNG.normal(m, 0.5, size=4) for m in (-6.0, 0.0, 6.0)])
K = 4


def crp_model():
    with pm.Model() as model:
        mu = pm.Normal("mu", pm.Normal("centre"), 5, shape=K)
        z = dps.ChineseRestaurantProcess("z", pm.Gamma("alpha", 2, 2), K=K, shape=len(Y))
        pm.Normal("y", mu[z], 0.5, observed=Y)
    return model


def stick_model():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 5, shape=K)
        w = pm.StickBreakingWeights("w", pm.Gamma("alpha", 2, 2), K=K - 1)
        z = pm.Categorical("z", w, shape=len(Y))
        pm.Normal("y", mu[z], 0.5, observed=Y)
    return model


def start_of(step, model, seed):
    """Point at which a chain starts, after the step's own start and before its first sweep."""
    step.setup_chain(np.random.default_rng(seed), 5, 5)
    point = model.initial_point()
    step._unpack(point)
    step._start()
    return step._packing.pack(point, step._state)


@pytest.mark.parametrize("name", ["neal8-m2", pytest.param("blocked", marks=pytest.mark.slow)])
def test_starts_are_far_better_than_the_priors(name):
    """Whatever the step; with seeds and chains apart, and the same after pickling."""
    algorithm = ALGORITHMS[name]
    model = stick_model() if CRP not in algorithm.urns else crp_model()
    logp = model.compile_logp()
    with model:
        step = algorithm.make(init="map")
    at_mode = [start_of(step, model, seed) for seed in range(3)]
    copy = pickle.loads(cloudpickle.dumps(step))
    for again in (step, copy):
        point = start_of(again, model, 0)
        for value_name, value in at_mode[0].items():
            np.testing.assert_array_equal(point[value_name], value)
    assert len({tuple(point["z"]) for point in at_mode}) > 1
    copy.init = "prior"
    usual = [logp(start_of(copy, model, seed)) for seed in range(5)]
    for point in at_mode:
        assert logp(point) > max(usual) + 10
    # A mode may be local, and join two of the groups; the best of three does not.
    assert len(np.unique(max(at_mode, key=logp)["z"])) >= 3


def test_two_chains_in_two_processes():
    runs = []
    for cores in (1, 2):
        with stick_model():
            runs.append(
                dps.sample(
                    20,
                    tune=5,
                    chains=2,
                    cores=cores,
                    step=dps.Neal8(init="map"),
                    random_seed=3,
                    quiet=True,
                )
            )
    np.testing.assert_array_equal(runs[0].posterior["mu"], runs[1].posterior["mu"])
    assert not np.array_equal(runs[0].posterior["mu"][0], runs[0].posterior["mu"][1])
    assert int(runs[0].partition["n_clusters"].min()) >= 3
