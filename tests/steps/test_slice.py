"""What is particular to the slice sampler: its jumps, its storage, what it refuses."""

import numpy as np
import pymc as pm
import pytest
from scipy.integrate import quad
from scipy.stats import norm

import pymc_dpsteps as dps
from pymc_dpsteps.steps.slice_process import next_jump
from tests.helpers_chain import assert_means, run_chain


@pytest.mark.parametrize("discount", [0.0, pytest.param(0.3, marks=pytest.mark.slow), 0.45])
def test_jumps_are_those_of_the_levy_intensity(discount):
    """Numbers of jumps in disjoint intervals are Poisson with mean ∫ c s^(-1-d) e^(-s) ds."""
    edges, c, n = np.array([0.01, 0.1, 0.5, 1.0, 1.5, np.inf]), 2.0, 20_000
    rng, counts = np.random.default_rng(1), np.zeros((n, len(edges) - 1))
    for replicate in counts:
        arrival = 0.0
        jump, arrival = next_jump(rng, arrival, c, discount)
        while jump > edges[0]:
            replicate[np.searchsorted(edges, jump) - 1] += 1
            jump, arrival = next_jump(rng, arrival, c, discount)
    for j, found in enumerate(counts.T):
        mean = quad(lambda s: c * s ** (-1.0 - discount) * np.exp(-s), edges[j], edges[j + 1])[0]
        assert abs(found.mean() - mean) < 5.0 * np.sqrt(mean / n)
        assert abs(found.var() - mean) < 5.0 * np.sqrt((mean + 2.0 * mean**2) / n)


def one_item(K=2, alpha=1.0):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1, shape=K)
        z = dps.ChineseRestaurantProcess("z", alpha, K=K, shape=1)
        pm.Normal("y", mu[z], 0.5, observed=[1.0])
    return model


@pytest.mark.parametrize("alpha", [1.0, 40.0])
def test_one_item_whose_atom_no_other_update_moves(alpha):
    """At alpha = 40 hundreds of atoms lie above a slice, where the state has rows for four."""
    with one_item(alpha=alpha) as model:
        chain = run_chain(dps.SliceGibbs(atoms=None), model, ["z", "mu"], 20_000, seed=31)
    x = chain["mu"][np.arange(20_000), chain["z"][:, 0]]
    mean, variance = 0.8, 0.2
    exact = {"mean": mean, "variance": variance, "tail": float(norm.sf(0.5, mean, variance**0.5))}
    assert_means({"mean": x, "variance": (x - mean) ** 2, "tail": x > 0.5}, exact)


def crp(discount, n_items=4):
    z = dps.ChineseRestaurantProcess("z", 1.0, discount, K=4, shape=n_items)
    pm.Normal("y", pm.Normal("mu", 0, 1, shape=4)[z], 1, observed=np.zeros(n_items))


def test_refuses_a_sequence_bound_to_labels_without_order():
    with pm.Model(), pytest.raises(dps.MixtureError, match=r"order of their own.*Leave xi out"):
        crp(0.0)
        dps.SliceGibbs(xi=0.5)


@pytest.mark.parametrize("discount", [0.5, 0.9])
def test_refuses_a_discount_with_infinitely_many_expected_components(discount):
    with pm.Model(), pytest.raises(dps.MixtureError, match=f"is {discount}.*ImportanceConditional"):
        crp(discount)
        dps.SliceGibbs()


def test_refuses_a_random_discount():
    with pm.Model(), pytest.raises(dps.MixtureError, match=r"is random.*ImportanceConditional"):
        crp(pm.Beta("d", 1, 2))
        dps.SliceGibbs()


@pytest.mark.parametrize("xi", [0.0, 1.0, -1, float("nan"), "0.5"])
def test_refuses_what_is_no_kappa(xi):
    with pm.Model(), pytest.raises(ValueError, match="expected a number between 0 and 1"):
        crp(0.0)
        dps.SliceGibbs(xi=xi)
