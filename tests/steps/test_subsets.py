"""Starts on growing subsets of the items."""

import numpy as np
import pymc as pm
import pytest

import pymc_dpsteps as dps
from pymc_dpsteps.jit import njit
from pymc_dpsteps.steps.state import chain_at
from pymc_dpsteps.steps.subsets import FEW, seat

RNG = np.random.default_rng(12)


def normal_model(y, K):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 20.0, shape=K)
        w = pm.StickBreakingWeights("w", 1.0, K=K - 1)
        z = pm.Categorical("z", w, shape=len(y))
        pm.Normal("y", mu[z], 1, observed=y)
    return model


GROUPS = RNG.integers(3, size=4 * FEW + 500)
MANY = RNG.normal([-20.0, 0.0, 30.0], 1.0)[GROUPS] + RNG.normal(size=len(GROUPS))


@pytest.mark.parametrize("step", [dps.BlockedGibbs, dps.SliceGibbs, dps.Neal2, dps.Neal8])
def test_start_on_subsets_finds_the_groups(step):
    """Far apart as they are, no cluster reaches over two, and the state is that of all items."""
    with normal_model(MANY, K=15) as model:
        sampler = step(init="subsets")
        point = model.initial_point()
    sampler.setup_chain(np.random.default_rng(1), 0, 1)
    sampler._unpack(point)
    sampler._start()
    z = sampler._state.z
    assert z.shape == MANY.shape
    for cluster in np.unique(z):
        assert len(np.unique(GROUPS[z == cluster])) == 1
    assert sampler.step(point)[0]["z"].shape == MANY.shape


def test_start_on_subsets_of_few_items_is_one_with_all_slots():
    ends = []
    for init in ("singletons", "subsets"):
        with normal_model(MANY[:FEW], K=15) as model:
            sampler = dps.BlockedGibbs(init=init)
            point = model.initial_point()
        sampler.setup_chain(np.random.default_rng(1), 0, 1)
        ends.append(sampler.step(point)[0]["z"])
    assert np.array_equal(*ends)


def test_an_interrupted_start_leaves_the_step_usable(monkeypatch):
    with normal_model(MANY, K=15) as model:
        sampler = dps.BlockedGibbs(init="subsets")
        point = model.initial_point()
    sampler.setup_chain(np.random.default_rng(1), 0, 1)

    def interrupt(rest):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(sampler, "_iterate", interrupt)
        sampler.step(point)
    assert len(sampler._state.z) == len(MANY)


@njit
def seat_all(chain, newcomers):
    rng, state = chain_at(chain)
    seat(rng, newcomers, state)


def test_newcomers_join_by_counts_and_kernel():
    """One item, 20,000 times: clusters of 3 and 1 at 0 and 1; bound of 5 standard errors."""
    y = np.array([0.0, 0.0, 0.0, 1.0, 0.8])
    with normal_model(y, K=4) as model:
        sampler = dps.BlockedGibbs()
        point = model.initial_point() | {"mu": np.array([0.0, 50.0, 1.0, 50.0])}
    sampler._unpack(point)
    state = sampler._state
    state.z[:4], state.counts[[0, 2]] = [0, 0, 0, 2], [3, 1]
    state.active[:2], state.n_active[0] = [0, 2], 2
    joined = []
    for _ in range(20_000):
        seat_all(sampler._chain, np.array([4]))
        joined.append(state.z[4] == 0)
    weights = np.array([3.0, 1.0]) * np.exp(-0.5 * (0.8 - np.array([0.0, 1.0])) ** 2)
    p = weights[0] / weights.sum()
    assert abs(np.mean(joined) - p) < 5 * np.sqrt(p * (1 - p) / len(joined))


def test_items_of_several_observations():
    """Half of the items have three observations; these go with them."""
    items = np.repeat(np.arange(len(MANY)), 1 + 2 * (np.arange(len(MANY)) % 2))
    order = RNG.permutation(len(items))
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 20, shape=15)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=15, shape=len(MANY))
        pm.Normal("y", mu[z[items[order]]], 1, observed=MANY[items[order]])
        sampler = dps.Neal8(init="subsets")
        point = model.initial_point()
    sampler.setup_chain(np.random.default_rng(1), 0, 1)
    sampler._unpack(point)
    sampler._start()
    z = sampler._state.z
    for cluster in np.unique(z):
        assert len(np.unique(GROUPS[z == cluster])) == 1


def test_no_start_on_subsets_without_atoms():
    with normal_model(MANY[:5], K=4), pytest.raises(dps.MixtureError, match="atoms=None"):
        dps.BlockedGibbs(init="subsets", atoms=None)
