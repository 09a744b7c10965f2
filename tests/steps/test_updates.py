"""The updates that all algorithms share, each against a law known in closed form.

With one slot the allocation is fixed, so the atoms' posterior is conjugate and the slice sampler
stands alone. Probabilities of being below chosen quantiles, which no moment can hide, must be
right within 5 standard errors (ESS-based).
"""

import numpy as np
import pymc as pm
import pytest
from arviz_stats.base import array_stats
from scipy import stats
from scipy.special import gammaln

import pymc_dpsteps as dps

QUANTILES = np.array([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])


def draws_of(model, step, name, n=20_000, seed=1):
    with model:
        sampler = step()
        point = model.initial_point()
    sampler.setup_chain(np.random.default_rng(seed), 200, n)
    draws = []
    for t in range(200 + n):
        if t == 200:
            sampler.stop_tuning()
        point, _ = sampler.step(point)
        draws.append(np.ravel(point[name]).copy())
    return np.array(draws[200:])


def assert_law(draws, law):
    for q in QUANTILES:
        below = (draws < law.ppf(q)).astype(float)
        error = np.sqrt(q * (1 - q) / float(array_stats.ess(below[None], method="mean")))
        assert abs(below.mean() - q) < 5 * error, f"P(below quantile {q}) = {below.mean():.4f}"


def test_slice_sampler_on_a_poisson_rate():
    y = np.array([0, 2, 1, 5, 3])
    with pm.Model() as model:
        rate = pm.Gamma("rate", 2, 0.5, shape=1)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=1, shape=len(y))
        pm.Poisson("y", rate[z], observed=y)
    rates = np.exp(draws_of(model, dps.Neal8, "rate_log__")[:, 0])
    assert_law(rates, stats.gamma(2 + y.sum(), scale=1 / (0.5 + len(y))))


def test_slice_sampler_on_a_probability():
    y = np.array([3, 1, 2])
    with pm.Model() as model:
        p = pm.Beta("p", 2, 3, shape=1)
        w = pm.Dirichlet("w", np.ones(1))
        z = pm.Categorical("z", w, shape=len(y))
        pm.Binomial("y", n=10, p=p[z], observed=y)
    logit = draws_of(model, dps.BlockedGibbs, "p_logodds__")[:, 0]
    assert_law(1 / (1 + np.exp(-logit)), stats.beta(2 + 6, 3 + 24))


def test_concentration_given_one_cluster():
    """With one slot p(z | alpha) is Gamma(alpha + 1) (N - 1)! / Gamma(alpha + N): E&W's law."""
    n = 12
    with pm.Model() as model:
        alpha = pm.Gamma("alpha", 2, 1.5)
        mu = pm.Normal("mu", 0, 1, shape=1)
        z = dps.ChineseRestaurantProcess("z", alpha, K=1, shape=n)
        pm.Normal("y", mu[z], 1, observed=np.zeros(n))
    draws = np.exp(draws_of(model, dps.Neal8, "alpha_log__")[:, 0])
    grid = np.linspace(1e-4, 30, 400_000)
    log_prior = stats.gamma(2, scale=1 / 1.5).logpdf(grid)
    density = np.exp(log_prior + gammaln(grid + 1) - gammaln(grid + n))
    cdf = np.cumsum(density) / density.sum()

    class Law:
        @staticmethod
        def ppf(q):
            return np.interp(q, cdf, grid)

    assert_law(draws, Law)


@pytest.mark.parametrize("step", [dps.Neal8, dps.BlockedGibbs])
def test_atoms_of_empty_slots_follow_the_base_measure(step):
    y = np.array([4.0, 4.1, 3.9])
    with pm.Model() as model:
        mu = pm.Normal("mu", 1, 2, shape=6)
        w = pm.StickBreakingWeights("w", 0.5, K=5)
        z = pm.Categorical("z", w, shape=3)
        pm.Normal("y", mu[z], 0.3, observed=y)
        sampler = step()
        point = model.initial_point()
    sampler.setup_chain(np.random.default_rng(3), 0, 5000)
    empty = []
    for _ in range(5000):
        point, _ = sampler.step(point)
        free = np.setdiff1d(np.arange(6), point["z"])
        empty.append(point["mu"][free[0]])
    assert_law(np.array(empty), stats.norm(1, 2))


def test_label_swaps_leave_the_prior_invariant():
    """One item with fixed atoms: swaps alone must map the prior of its label to itself."""
    from pymc_dpsteps.steps.label_swaps import swap_labels
    from pymc_dpsteps.steps.occupancy import count

    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1, shape=4)
        z = pm.Categorical("z", pm.StickBreakingWeights("w", 1.0, K=3), shape=1)
        pm.Normal("y", mu[z], 1.0, observed=[0.0])
        step = dps.Neal8()
    step.setup_chain(np.random.default_rng(28), 1, 1)
    step.step(model.initial_point())
    state, rng = step._state, np.random.default_rng(28)
    p = np.array([0.5, 0.25, 0.125, 0.125])
    starts, ends = rng.choice(4, size=20_000, p=p), np.zeros(4)
    for start in starts:
        state.z[0] = start
        count(state)
        swap_labels(rng, state)
        assert state.counts[state.z[0]] == 1
        ends[state.z[0]] += 1
    errors = np.sqrt(len(starts) * p * (1.0 - p))
    assert np.all(np.abs(ends - len(starts) * p) < 5.0 * errors)
