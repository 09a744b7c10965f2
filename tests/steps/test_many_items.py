"""Sweeps in threads, as from 20,000 items on, here for a few items: exact, whatever the threads."""

from functools import partial

import numpy as np
import pymc as pm
import pytest

import pymc_dpsteps as dps
from pymc_dpsteps.steps import many_items
from tests.helpers_chain import (
    assert_means,
    atom_of_first_item,
    partition_functionals,
    run_chain,
)
from tests.steps.test_golden import GOLDEN_CASES, golden_exact


class Blocked(dps.BlockedGibbs):
    threads_from = 0


class Slice(dps.SliceGibbs):
    threads_from = 0


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(many_items, "_CHUNK", 2)


CASES = {
    "blocked": ("truncated_sticks_six_points", partial(Blocked, atoms="slice")),
    "slice": ("truncated_sticks_six_points", Slice),
    "slice-xi": ("truncated_sticks_six_points", partial(Slice, xi=0.6)),
    "slice-crp": ("neal2000_nine_points", Slice),
}


def check_golden(name, sweeps):
    name, make = CASES[name]
    case = GOLDEN_CASES[name]
    model = case.model()
    exact = golden_exact(name)
    with model:
        chain = run_chain(make(threads=2), model, ["z", case.atom], sweeps, seed=41)
    draws = partition_functionals(chain["z"], case.n_components, exact["k"])
    assert_means(draws | {"theta_1": atom_of_first_item(chain["z"], chain[case.atom])}, exact)


@pytest.mark.parametrize("name", ["blocked", "slice-crp"])
def test_golden_posteriors_in_threads(name):
    check_golden(name, 1_500)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_golden_posteriors_in_threads_long(name):
    check_golden(name, 60_000)


def few_slots(n_items):
    """Three slots, fewer than the process has atoms above the slices."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 3, shape=3)
        z = dps.ChineseRestaurantProcess("z", 5.0, K=3, shape=n_items)
        pm.Normal("y", mu[z], 1.0, observed=np.linspace(-4, 4, n_items))
    return model


def sticks(n_items):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 3, shape=8)
        sigma = pm.HalfNormal("sigma", 1, shape=8)
        w = pm.StickBreakingWeights("w", pm.Gamma("alpha", 2, 2), K=7)
        z = pm.Categorical("z", w, shape=n_items)
        pm.Normal("y", mu[z], sigma[z], observed=np.linspace(-4, 4, n_items))
    return model


@pytest.mark.parametrize(
    ("build", "step"), [(sticks, Blocked), (sticks, Slice), (few_slots, Slice)]
)
def test_draws_do_not_depend_on_the_number_of_threads(build, step):
    model = build(30)
    chains = []
    for threads in (1, 2, 3):
        with model:
            sampler = step(threads=threads)
        names = [v.name for v in model.value_vars]
        chains.append(run_chain(sampler, model, names, 40, seed=3, tune=10))
    for name, draws in chains[0].items():
        assert np.ptp(draws) > 0
        for other in chains[1:]:
            np.testing.assert_array_equal(draws, other[name])


def test_atoms_of_different_clusters_are_drawn_independently():
    n_draws = 2_000
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 100, shape=2)
        z = pm.Categorical("z", [0.5, 0.5], shape=6)
        pm.Normal("y", mu[z], 1.0, observed=np.repeat([-50.0, 50.0], 3))
        step = Blocked(atoms="slice", threads=2)
    mu = run_chain(step, model, ["mu"], n_draws, seed=5)["mu"]
    assert abs(np.corrcoef(mu[100:].T)[0, 1]) < 5 / np.sqrt(n_draws / 10)  # tau below 10


@pytest.mark.parametrize("threads", [0, 1.5, "2", True])
def test_refuses_what_is_no_number_of_threads(threads):
    with sticks(5), pytest.raises(ValueError, match=r"number of threads; found .*at least 1"):
        dps.BlockedGibbs(threads=threads)
