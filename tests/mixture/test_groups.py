"""Items with several observations each, or none: ``y ~ F(atom[z[group]])``."""

from functools import cache, partial

import numpy as np
import pymc as pm
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import pymc_dpsteps as dps
from tests.helpers_chain import assert_means, partition_functionals, run_chain, slot_counts
from tests.helpers_compiled import kernel_table
from tests.helpers_exact import NOISE, SPREAD, all_labels, crp, dirichlet

N, K = 5, 4
GROUP = np.array([3, 0, 1, 3, 1, 4, 3, 0])  # item 2 has no observation
M = len(GROUP)
Y = np.array([1.9, -1.2, 0.1, 2.2, 0.4, -1.0, 1.7, -1.4])
X = np.linspace(-1.0, 1.0, M)
OF_ITEM = np.array([0.3, -0.2, 0.5, 0.1, -0.4])
SWEEPS = 8_000


def allocation():
    return dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)


def indexed_twice():
    mu = pm.Normal("mu", 0, SPREAD, shape=K)
    pm.Normal("y", mu[allocation()[GROUP]], NOISE, observed=Y)


def gathered_after():
    mu = pm.Normal("mu", 0, SPREAD, shape=K)
    pm.Normal("y", mu[allocation()][GROUP], NOISE, observed=Y)


def with_covariates():
    z = allocation()
    a, b = pm.Normal("a", 0, 1, shape=K), pm.Normal("b", 0, 1, shape=K)
    s = pm.HalfNormal("s", 1, shape=K)
    pm.Normal("y", (a[z] + OF_ITEM)[GROUP] + b[z[GROUP]] * X, s[z[GROUP]], observed=Y)


def counts():
    rate = pm.Gamma("rate", 2, 1, shape=K)
    pm.Poisson("y", rate[allocation()[GROUP]] * np.exp(X), observed=np.arange(M))


def vectors():
    mu = pm.Normal("mu", 0, 1, shape=(K, 2))
    pm.Normal("y", mu[allocation()[GROUP]], [0.5, 1.0], observed=np.column_stack([Y, X]))


def beside_one_row_per_item():
    z, mu = allocation(), pm.Normal("mu", 0, SPREAD, shape=K)
    pm.Normal("y", mu[z[GROUP]], NOISE, observed=Y)
    pm.Normal("x", mu[z], 2 * NOISE, observed=OF_ITEM)


def two_groupings():
    z, mu = allocation(), pm.Normal("mu", 0, SPREAD, shape=K)
    pm.Normal("y", mu[z[GROUP]], NOISE, observed=Y)
    pm.Normal("x", mu[z[[4, 4, 0]]], 2 * NOISE, observed=[0.1, 0.2, -1.0])


def as_many_observations_as_items():
    mu = pm.Normal("mu", 0, SPREAD, shape=K)
    pm.Normal("y", mu[allocation()[GROUP[:N]]], NOISE, observed=Y[:N])


MODELS = [
    indexed_twice,
    gathered_after,
    with_covariates,
    counts,
    vectors,
    beside_one_row_per_item,
    two_groupings,
    as_many_observations_as_items,
]


@cache
def model_of(declare):
    with pm.Model() as model:
        declare()
    return model


@pytest.mark.parametrize("declare", MODELS)
def test_kernel_is_the_sum_over_an_items_observations(declare):
    """For random allocations the items' kernels add up to the model's own log-likelihood."""
    model = model_of(declare)
    with model:
        step = dps.Neal8()
    terms = model.compile_logp(vars=model.observed_RVs)
    rng = np.random.default_rng(1)
    step.setup_chain(rng, 0, 5)
    point, _ = step.step(model.initial_point())
    table = kernel_table(step, point)
    for _ in range(5):
        z = rng.integers(0, K, size=N)
        total = table[np.arange(N), z].sum()
        assert total == pytest.approx(float(terms({**point, "z": z})), rel=1e-10)


# Exact posteriors --------------------------------------------------------------------------------


def log_likelihood(labels, rows):
    """log p(all observations | labels) for means with a normal prior; `rows`: (y, item, sd)."""
    total = np.zeros(len(labels))
    for r, z in enumerate(labels):
        for k in range(K):
            of_k = [(y, sd) for y, item, sd in rows if z[item] == k]
            if of_k:
                y, sd = map(np.array, zip(*of_k, strict=True))
                covariance = np.diag(sd**2) + SPREAD**2
                total[r] += multivariate_normal(np.zeros(len(y)), covariance).logpdf(y)
    return total


def rows_of(declare):
    rows = list(zip(Y, GROUP, np.full(M, NOISE), strict=True))
    if declare is beside_one_row_per_item:
        rows += [(x, i, 2 * NOISE) for i, x in enumerate(OF_ITEM)]
    if declare is two_groupings:
        rows += [(0.1, 4, 2 * NOISE), (0.2, 4, 2 * NOISE), (-1.0, 0, 2 * NOISE)]
    return rows


@cache
def exact_of(declare, log_prior):
    labels = all_labels(N, K)
    log_posterior = log_prior(slot_counts(labels, K)) + log_likelihood(labels, rows_of(declare))
    probability = np.exp(log_posterior - logsumexp(log_posterior))
    mean = float(probability @ (slot_counts(labels, K) > 0).sum(axis=1))
    functionals = partition_functionals(labels, K, mean)
    return {name: float(probability @ x) for name, x in functionals.items()}


STEPS = {
    "neal8": dps.Neal8,
    "neal8-slice": partial(dps.Neal8, atoms="slice"),
    "neal3": dps.Neal3,
    "split-merge": partial(dps.SplitMerge, moves=3),
    "split-merge-nonconjugate": partial(dps.SplitMerge, proposal="nonconjugate", moves=3),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "declare",
    [
        gathered_after,
        pytest.param(beside_one_row_per_item, marks=pytest.mark.slow),
        pytest.param(two_groupings, marks=pytest.mark.slow),
    ],
)
def test_posterior_of_items_with_several_observations(declare, step):
    exact = exact_of(declare, crp)
    model = model_of(declare)
    with model:
        chain = run_chain(STEPS[step](), model, ["z"], SWEEPS, seed=31)
    assert_means(partition_functionals(chain["z"], K, exact["k"]), exact)


def symmetric(counts):
    return dirichlet(counts, np.ones(K))


def test_blocked_gibbs_of_items_with_several_observations():
    exact = exact_of(indexed_twice, symmetric)
    with pm.Model() as model:
        z = pm.Categorical("z", pm.Dirichlet("w", np.ones(K)), shape=N)
        mu = pm.Normal("mu", 0, SPREAD, shape=K)
        pm.Normal("y", mu[z[GROUP]], NOISE, observed=Y)
        chain = run_chain(dps.BlockedGibbs(), model, ["z"], SWEEPS, seed=32)
    assert_means(partition_functionals(chain["z"], K, exact["k"]), exact)


# Conjugacy and refusals --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declare", "complete"),
    [(indexed_twice, True), (counts, True), (vectors, True), (with_covariates, False)],
)
def test_pairs_are_found_over_groups(declare, complete):
    found = dps.conjugacy(model_of(declare))
    assert found.complete is complete


def refused(declare):
    with pm.Model(), pytest.raises(dps.MixtureError) as caught:
        declare()
        dps.Neal8()
    return str(caught.value)


def test_two_groupings_in_one_likelihood():
    def declare():
        z = allocation()
        mu, s = pm.Normal("mu", 0, 1, shape=K), pm.HalfNormal("s", 1, shape=K)
        pm.Normal("y", mu[z[GROUP]], s[z[GROUP[::-1]]], observed=Y)

    assert "2 different vectors" in refused(declare)


def test_a_group_beyond_the_items():
    def declare():
        mu = pm.Normal("mu", 0, 1, shape=K)
        pm.Normal("y", mu[allocation()[GROUP + 1]], 1, observed=Y)

    assert "values from 1 to 5, but there are 5 items" in refused(declare)
