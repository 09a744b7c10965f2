"""Densities of partitions against formulas written down independently."""

import numpy as np
import pymc as pm
import pytest
from scipy.integrate import quad
from scipy.special import gammaln
from scipy.stats import gamma

import pymc_dpsteps as dps
from pymc_dpsteps.amortized.target import Target
from pymc_dpsteps.amortized.walks import options_along, pair_log_odds, walk_partition
from pymc_dpsteps.mixture import read_mixture
from tests.helpers_amortized import ALPHA, DATA, log_marginal, mixture_of
from tests.helpers_partitions import all_partitions


def log_eppf(labels, alpha, discount=0.0):
    sizes = np.bincount(labels)
    sizes = sizes[sizes > 0]
    n, k = len(labels), len(sizes)
    result = np.log(alpha + discount * np.arange(1, k)).sum()
    result -= gammaln(alpha + n) - gammaln(alpha + 1.0)
    return result + (gammaln(sizes - discount) - gammaln(1.0 - discount)).sum()


def items_of(target):
    return target.compiled.context()[0]


@pytest.mark.parametrize("discount", [0.0, 0.3])
def test_density_is_prior_times_marginals(discount):
    target = Target(mixture_of(5, y=DATA[:5], discount=discount))
    labels = all_partitions(5)
    expected = [
        log_eppf(c, ALPHA, discount) + sum(log_marginal(DATA[:5][c == k]) for k in np.unique(c))
        for c in labels
    ]
    np.testing.assert_allclose(target.log_prob(items_of(target), labels), expected, atol=1e-9)


def test_random_concentration_is_integrated_out():
    target = Target(mixture_of(6, alpha=None, y=DATA))
    for k in (1, 2, 6):
        for n in (1, 2, 6):
            if k > n:
                continue

            def integrand(alpha, k=k, n=n):
                log_rest = (k - 1) * np.log(alpha) - gammaln(alpha + n) + gammaln(alpha + 1.0)
                return gamma.pdf(alpha, 2.0, scale=0.5) * np.exp(log_rest)

            expected = np.log(quad(integrand, 0.0, np.inf, epsabs=1e-13)[0])
            # PyMC's density of alpha has a constant that it rounds to single precision.
            assert target.seats[n, k] - target.seats[1, 1] == pytest.approx(expected, abs=1e-9)


def test_given_the_concentration_it_is_the_target_of_that_one():
    averaged, fixed = Target(mixture_of(6, alpha=None)), Target(mixture_of(6, alpha=0.4))
    np.testing.assert_allclose(averaged.given(np.array([[0.4, 0.0]])).seats, fixed.seats)


def test_few_slots_leave_out_partitions():
    labels = all_partitions(6)
    all_, few = Target(mixture_of(6, y=DATA)), Target(mixture_of(6, y=DATA, K=3))
    clusters = labels.max(1) + 1
    items = items_of(few)
    np.testing.assert_allclose(
        few.log_prob(items, labels[clusters <= 3]), all_.log_prob(items, labels[clusters <= 3])
    )
    assert (few.log_prob(items, labels[clusters > 3]) == -np.inf).all()


@pytest.mark.parametrize("discount", [0.0, 0.3])
def test_weights_on_the_way_and_given_all_others(discount):
    target = Target(mixture_of(6, y=DATA, discount=discount))
    items = items_of(target)
    labels = np.array([0, 1, 0, 1, 2, 1])
    options = options_along(labels[None])
    assert options.tolist() == [[0, 0, 1, 2, 0, 2]]
    log_weights = np.empty((1, 6, target.n_components + 1))
    given_all = np.empty_like(log_weights)
    walks = target.walks(1)
    walk_partition(options, items[None], walks, target.code, log_weights, given_all)
    assert walks.log_prob[0] == pytest.approx(target.log_prob(items, labels[None])[0])
    for t in range(6):
        opened = labels[:t].max(initial=-1) + 1
        now, whole = np.full(opened + 1, -np.inf), np.full(opened + 1, -np.inf)
        for k in range(len(labels) + 1):  # every cluster that item t could be in
            c = labels.copy()
            c[t] = k
            if k > np.delete(labels, t).max() + 1:
                continue
            option = 0 if k not in labels[:t] else 1 + k
            whole[option] = np.logaddexp(whole[option], target.log_prob(items, c[None])[0])
            if k in labels[:t] or (option == 0 and now[0] == -np.inf):
                now[option] = target.log_prob(items[: t + 1], c[None, : t + 1])[0]
        before = target.log_prob(items[:t], labels[None, :t])[0] if t else 0.0
        np.testing.assert_allclose(log_weights[0, t, : opened + 1], now - before, atol=1e-9)
        assert (log_weights[0, t, opened + 1 :] == -np.inf).all()
        p = np.exp(whole - whole.max())
        np.testing.assert_allclose(given_all[0, t, : opened + 1], p / p.sum(), atol=1e-9)


def test_log_odds_of_pairs():
    target = Target(mixture_of(6, y=DATA))
    log_odds = np.empty((1, 6, 6))
    pair_log_odds(items_of(target)[None], target.walks(1), target.code, log_odds)
    for i in range(6):
        for j in range(6):
            alone = log_marginal(DATA[[i]]) + log_marginal(DATA[[j]])
            expected = log_marginal(DATA[[i, j]]) - alone if i != j else 0.0
            assert log_odds[0, i, j] == pytest.approx(expected, abs=1e-9)


def unknown_weights():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 1.0, shape=5)
        w = pm.math.softmax(pm.Normal("logits", shape=5))
        z = pm.Categorical("z", w, shape=3)
        pm.Normal("y", mu[z], 1.0, observed=np.zeros(3))
    return model


def not_conjugate():
    with pm.Model() as model:
        mu = pm.StudentT("mu", nu=3, mu=0.0, sigma=1.0, shape=5)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=5, shape=3)
        pm.Normal("y", mu[z], 1.0, observed=np.zeros(3))
    return model


def random_scale():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 1.0, shape=5)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=5, shape=3)
        pm.Normal("y", mu[z], pm.HalfNormal("scale"), observed=np.zeros(3))
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (unknown_weights, "weights of unknown law.*ChineseRestaurantProcess.*StickBreakingWeights"),
        (not_conjugate, "mu.*conjugate prior"),
        (random_scale, "scale.*random for all clusters"),
    ],
)
def test_refused(model, words):
    with pytest.raises(dps.MixtureError, match=words):
        Target(read_mixture(model()))
