"""Transfers alone, and against the densities they are made of.

With split–merge they are among the algorithms of `test_exact`, `test_geweke` and `test_golden`.
"""

import numpy as np
import pymc as pm
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

import pymc_dpsteps as dps
from pymc_dpsteps.jit import njit
from pymc_dpsteps.steps.state import chain_at
from pymc_dpsteps.steps.transfer import transfer_step
from pymc_dpsteps.steps.transfer_walk import log_target, new_work, sum_rest
from tests.helpers_chain import (
    assert_means,
    atom_of_first_item,
    partition_functionals,
)
from tests.helpers_exact import (
    NOISE,
    SPREAD,
    crp,
    dirichlet,
    enumerate_normal,
    sticks,
)

ASYMMETRIC = np.array([0.3, 1.0, 2.0])
# Prior of the allocation, log p(z) of the counts, and whether slots change with the labels.
PRIORS = {
    "crp": (
        lambda: dps.ChineseRestaurantProcess("z", 1.5, K=3, shape=9),
        lambda c: crp(c, 1.5),
        False,
    ),
    "pitman_yor": (
        lambda: dps.ChineseRestaurantProcess("z", 1.5, discount=0.3, K=3, shape=9),
        lambda c: crp(c, 1.5, 0.3),
        False,
    ),
    "sticks": (
        lambda: pm.Categorical("z", pm.StickBreakingWeights("w", 1.5, K=2), shape=9),
        lambda c: sticks(c, np.ones(2), np.full(2, 1.5)),
        True,
    ),
    "dirichlet": (
        lambda: pm.Categorical("z", pm.Dirichlet("w", ASYMMETRIC), shape=9),
        lambda c: dirichlet(c, ASYMMETRIC),
        False,
    ),
}
POINTS = np.array([-1.0, -0.9, -0.5, -0.2, 0.0, 0.1, 0.5, 0.8, 1.1])


def step_of(prior, y, n_slots):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, SPREAD, shape=n_slots)
        pm.Normal("y", mu[prior()], NOISE, observed=y)
        step = dps.SplitMerge(transfers=1)
    point = model.initial_point()
    step.setup_chain(np.random.default_rng(7), 0, 1)
    step.step(point)
    return step, model


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("draws", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_transfers_alone_sample_the_posterior(name, draws):
    """They begin and end clusters, so that they get to all partitions into three or fewer."""
    prior, log_prior, moving = PRIORS[name]
    step = step_of(prior, POINTS, 3)[0]
    state = step._state
    z, mu = np.empty((draws, 9), dtype=np.int64), np.empty((draws, 3))
    is_crp, accepted = name in ("crp", "pitman_yor"), 0
    for t in range(draws):
        accepted += transfer_step(step._chain, step._scratch, step.spread, 10, is_crp, moving)[0]
        z[t], mu[t] = state.z, state.values[:3, 0]
    assert accepted > 100
    exact = enumerate_normal(POINTS, 3, log_prior).expectations()
    found = partition_functionals(z, 3, exact["k"]) | {"theta_1": atom_of_first_item(z, mu)}
    assert_means(found, exact)


@njit
def _log_target(chain, slots, log_weights, logit, log_total, discount, spread):
    _, state = chain_at(chain)
    work = new_work(len(state.counts), len(state.z), spread)
    work.log_weights[:] = log_weights
    sum_rest(slots, state, work)
    return log_target(slots, logit, log_total, discount, state, work)


@pytest.mark.parametrize("n_clusters", [2, 3])
def test_the_target_has_all_labels_summed_out(n_clusters):
    """Against densities from SciPy, for more items than are read at a time."""
    y = np.random.default_rng(1).normal(0.0, 2.0, 1_300)
    step = step_of(lambda: dps.ChineseRestaurantProcess("z", 1.0, K=4, shape=len(y)), y, 4)[0]
    state = step._state
    state.z[:] = np.arange(len(y)) % n_clusters
    mu = np.array([-1.0, 0.5, 2.0, 0.0])
    state.values[:4, 0] = mu
    transfer_step(step._chain, step._scratch, step.spread, 0, True, False)  # counts
    weights, discount = np.array([3.0, 1.0, 2.5]), 0.3
    log_weights = np.full(4, -np.inf)
    log_weights[:n_clusters] = np.log(weights[:n_clusters])
    first, second = slots = (2, 1) if n_clusters == 3 else (0, 1)
    found = _log_target(step._chain, slots, log_weights, 0.7, 1.2, discount, step.spread)
    share = 1.0 / (1.0 + np.exp(-0.7))
    density = norm.logpdf(y, mu[:, None], NOISE)
    terms = [density[first] + np.log(share) + 1.2, density[second] + np.log1p(-share) + 1.2]
    if n_clusters == 3:
        terms.append(density[0] + log_weights[0])
    expected = logsumexp(terms, axis=0).sum()
    expected -= discount * (np.log(share * (1.0 - share)) + 1.2 - np.log(len(y)))
    expected += norm.logpdf(mu[[first, second]], 0.0, SPREAD).sum()
    assert found == pytest.approx(expected, rel=1e-11)
    # Without the first cluster.
    found = _log_target(step._chain, slots, log_weights, -np.inf, 1.2, discount, step.spread)
    terms = [density[second] + 1.2, *terms[2:]]
    expected = logsumexp(terms, axis=0).sum() + norm.logpdf(mu[second], 0.0, SPREAD)
    assert found == pytest.approx(expected, rel=1e-11)
    # exp(0.5) (1 - share) < 1: the second cluster has less than the weight of an item.
    lighter = _log_target(step._chain, slots, log_weights, 0.7, 0.5, discount, step.spread)
    assert lighter == -np.inf


def crp_model():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, SPREAD, shape=3)
        pm.Normal("y", mu[PRIORS["crp"][0]()], NOISE, observed=POINTS)
    return model


@pytest.mark.parametrize("transfers", [-1, 0.5])
def test_bad_number(transfers):
    with crp_model(), pytest.raises(ValueError, match="expected an integer of at least 0"):
        dps.SplitMerge(transfers=transfers)


def test_accepted_transfers_are_counted():
    with crp_model():
        step = [dps.SplitMerge(transfers=5), dps.Neal8()]
        idata = pm.sample(50, tune=0, chains=1, step=step, random_seed=3, quiet=True)
    accepted = idata.sample_stats["transfers"]
    assert accepted.dims == ("chain", "draw")
    assert 0 < accepted.sum() < 250 and accepted.max() <= 5
