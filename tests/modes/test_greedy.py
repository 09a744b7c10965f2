"""Hard assignment against the best of all partitions."""

from dataclasses import replace

import numpy as np
import pymc as pm
import pytest

import pymc_dpsteps as dps
from pymc_dpsteps.mixture import read_mixture
from pymc_dpsteps.modes.greedy import Greedy
from tests.helpers_exact import NOISE, SPREAD, all_labels, crp, dirichlet, slot_counts, sticks

N, DATA_SETS, STARTS = 7, 50, 5
ALPHA = 0.7


def partitions(n):
    """Labels of every partition, numbered in order of appearance."""
    found = [[0]]
    for _ in range(n - 1):
        found = [[*z, k] for z in found for k in range(max(z) + 2)]
    return np.array(found)


def log_marginal_likelihood(y, labels, n_slots):
    counts = slot_counts(labels, n_slots)
    sums = np.stack([((labels == k) * y).sum(axis=1) for k in range(n_slots)], axis=1)
    precision = counts / NOISE**2 + 1 / SPREAD**2
    shift = 0.5 * (sums**2 / NOISE**4 / precision - np.log(precision * SPREAD**2)).sum(axis=1)
    return shift + (-0.5 * (y / NOISE) ** 2 - np.log(NOISE) - 0.5 * np.log(2 * np.pi)).sum()


def log_partition(counts):
    """Probability of the partition: of its labels, in as many ways as slots can be given."""
    n_slots = counts.shape[1]
    k = (counts > 0).sum(axis=1)
    ways = np.array([np.log(np.arange(n_slots, n_slots - m, -1)).sum() for m in k])
    return crp(counts, ALPHA) + ways


PRIORS = {
    "crp": (
        lambda: dps.ChineseRestaurantProcess("z", ALPHA, K=N, shape=N),
        lambda: partitions(N),
        log_partition,
        N,
    ),
    "crp, few slots": (
        lambda: dps.ChineseRestaurantProcess("z", ALPHA, K=3, shape=N),
        lambda: np.array([z for z in partitions(N) if max(z) < 3]),
        log_partition,
        3,
    ),
    "sticks": (
        lambda: pm.Categorical("z", pm.StickBreakingWeights("w", ALPHA, K=2), shape=N),
        lambda: all_labels(N, 3),
        lambda counts: sticks(counts, [1.0] * 2, [ALPHA] * 2),
        3,
    ),
    "dirichlet": (
        lambda: pm.Categorical("z", pm.Dirichlet("w", [0.3, 1.0, 2.0]), shape=N),
        lambda: all_labels(N, 3),
        lambda counts: dirichlet(counts, [0.3, 1.0, 2.0]),
        3,
    ),
}


def model_of(allocation, y):
    with pm.Model() as model:
        z = allocation()
        mu = pm.Normal("mu", 0, SPREAD, shape=int(read_slots(z)))
        pm.Normal("y", mu[z], NOISE, observed=y)
    return model


def read_slots(z):
    parameters = z.owner.op.dist_params(z.owner)
    return parameters[2].data if len(parameters) == 4 else parameters[0].type.shape[-1]


def put_data(greedy, y):
    """Other data for a compiled search, whose items hold nothing else."""
    items, shared = greedy._compiled.context()
    assert items.shape == (N, 2)
    np.testing.assert_array_equal(items[:, 0], items[:, 1])
    greedy._compiled = replace(greedy._compiled, context=lambda: (np.column_stack([y, y]), shared))


@pytest.mark.parametrize("name", PRIORS)
def test_restarts_find_the_best_partition(name):
    """Of 50 data sets, all but two at most; and never more than the best."""
    allocation, all_of_them, log_prior, n_slots = PRIORS[name]
    labels = all_of_them()
    prior = log_prior(slot_counts(labels, n_slots))
    rng = np.random.default_rng(8)
    missed = 0
    greedy = Greedy(read_mixture(model_of(allocation, np.arange(float(N)))))
    for _ in range(DATA_SETS):
        y = rng.normal(rng.normal(0, 1, size=3)[rng.integers(3, size=N)], NOISE)
        put_data(greedy, y)
        modes = [greedy.find_mode(r) for r in rng.spawn(STARTS)]
        exact = prior + log_marginal_likelihood(y, labels, n_slots)
        found = max(mode.log_posterior for mode in modes)
        assert found < exact.max() + 1e-9
        missed += found < exact.max() - 1e-9
        for mode in modes:
            assert (np.diff(mode.path) >= -1e-9).all()
    assert missed <= 2


def test_concentration_is_at_its_conditional_mode():
    y = np.concatenate([np.linspace(-3, -2, 8), np.linspace(1, 2, 6), [5.0]])
    with pm.Model() as model:
        alpha, discount = pm.Gamma("alpha", 2, 2), pm.Beta("d", 1, 3)
        z = dps.ChineseRestaurantProcess("z", alpha, discount, K=10, shape=len(y))
        mu = pm.Normal("mu", 0, 3, shape=10)
        pm.Normal("y", mu[z], 0.5, observed=y)
    tree = dps.find_map(model, method="greedy", random_seed=2)
    mode = tree["mode"].to_dataset()
    assert set(mode.data_vars) == {"z", "alpha", "d"}
    assert tree["restarts"]["n_clusters"].max() == 3
    logp = model.compile_logp(vars=[alpha, discount, z])

    def at(log_alpha, logit_d):
        point = {"alpha_log__": np.array(log_alpha), "d_logodds__": np.array(logit_d)}
        return logp({**point, "z": mode["z"].to_numpy(), "mu": np.zeros(10)})

    best = np.log(float(mode["alpha"])), np.log(float(mode["d"]) / (1 - float(mode["d"])))
    for step in (1e-2, 0.3):
        for change in ((step, 0), (-step, 0), (0, step), (0, -step)):
            assert at(*best) > at(*np.add(best, change))


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (lambda z: pm.StudentT("y", 4, pm.Normal("mu", shape=3)[z], observed=[0, 1.0]), "mu"),
        (
            lambda z: pm.Normal(
                "y", pm.Normal("mu", shape=3)[z], pm.Gamma("s", 2, 2, shape=3)[z], observed=[0, 1.0]
            ),
            "only given s",
        ),
        (
            lambda z: pm.Normal(
                "y", pm.Normal("mu", pm.Normal("centre"), 1, shape=3)[z], observed=[0, 1.0]
            ),
            "centre",
        ),
        (
            lambda z: pm.Normal(
                "y", pm.Normal("mu", shape=3)[z], pm.HalfNormal("noise"), observed=[0, 1.0]
            ),
            "noise",
        ),
    ],
)
def test_what_cannot_be_integrated_out_is_refused(kernel, message):
    with pm.Model() as model:
        kernel(dps.ChineseRestaurantProcess("z", 1.0, K=3, shape=2))
    with pytest.raises(dps.MixtureError, match=rf"(?s){message}.*method='em'"):
        dps.find_map(model, method="greedy")


def test_weights_of_unknown_law_are_refused():
    with pm.Model() as model:
        z = pm.Categorical("z", pm.math.softmax(pm.Normal("eta", shape=3)), shape=2)
        pm.Normal("y", pm.Normal("mu", shape=3)[z], observed=[0, 1.0])
    with pytest.raises(dps.MixtureError, match=r"weights out.*method='em'"):
        dps.find_map(model, method="greedy")
