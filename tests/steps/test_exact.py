"""Every algorithm under every prior of the allocation: six points, enumerated."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from numpy.polynomial.hermite_e import hermegauss
from scipy.special import logsumexp, softmax
from scipy.stats import norm

import pymc_dpsteps as dps
from tests.helpers_algorithms import (
    ALGORITHMS,
    CRP,
    DIRICHLET,
    RANDOM_DISCOUNT,
    STICKS,
    WEIGHTS,
    serving,
)
from tests.helpers_chain import (
    assert_means,
    atom_of_first_item,
    partition_functionals,
    run_chain,
)
from tests.helpers_exact import (
    NOISE,
    SIX_POINTS,
    SPREAD,
    Grid,
    crp,
    dirichlet,
    dirichlet_means,
    enumerate_normal,
    gamma_grid,
    stick_means,
    sticks,
)

SWEEPS, LONG_SWEEPS = 10_000, 200_000


def normal_mixture(z, n_components, y=SIX_POINTS):
    mu = pm.Normal("mu", 0, SPREAD, shape=n_components)
    pm.Normal("y", mu[z], NOISE, observed=y)


def from_crp(alpha, discount=0.0, *, K, n_items=6):
    @cache
    def build():
        with pm.Model() as model:
            z = dps.ChineseRestaurantProcess("z", alpha, discount, K=K, shape=n_items)
            normal_mixture(z, K, SIX_POINTS[:n_items])
        return model

    return build


def from_dirichlet(a):
    @cache
    def build():
        with pm.Model() as model:
            w = pm.Dirichlet("w", a)
            normal_mixture(pm.Categorical("z", w, shape=6), len(a))
        return model

    return build


def sticks_by_hand(a, b):
    """Weights as the example gallery writes them: the last takes the rest."""
    v = pm.Beta("v", a, b, shape=3)
    left = pt.concatenate([[1.0], pt.cumprod(1.0 - v)])
    w = pm.Deterministic("w", pt.concatenate([v, [1.0]]) * left)
    normal_mixture(pm.Categorical("z", w, shape=6), 4)


def from_sticks_by_hand(a, b):
    @cache
    def build():
        with pm.Model() as model:
            sticks_by_hand(a, b)
        return model

    return build


def weights_from_simplex(value):
    return softmax(np.concatenate([value, -value.sum(axis=1, keepdims=True)], axis=1), axis=1)


def weights_from_sticks(value):
    v = 1.0 / (1.0 + np.exp(-value))
    left = np.concatenate([np.ones((len(v), 1)), np.cumprod(1.0 - v, axis=1)], axis=1)
    return np.concatenate([v, np.ones((len(v), 1))], axis=1) * left


def pitman_yor_sticks(alpha, discount):
    k = np.arange(1, 4)
    return np.full(3, 1.0 - discount), alpha + k * discount


ALPHA_STICKS = (np.ones(3), np.full(3, 1.5))
PY_STICKS = pitman_yor_sticks(0.8, 0.3)
SYMMETRIC, ASYMMETRIC = np.full(4, 0.5), np.array([0.3, 1.0, 2.0, 0.7])


@dataclass(frozen=True)
class Prior:
    """A model of the points, its slots, log p(z | counts) and, with weights, E[w | counts]."""

    model: Callable[[], pm.Model]
    urn: str
    n_components: int
    log_prior: Callable[..., Any]
    weight_means: Callable[..., Any] | None = None


FIXED_PRIORS = {
    "crp-more-slots-than-items": Prior(
        from_crp(1.3, K=7, n_items=5), CRP, 7, partial(crp, alpha=1.3)
    ),
    "crp-fewer-slots-than-items": Prior(from_crp(1.5, K=3), CRP, 3, partial(crp, alpha=1.5)),
    "crp-one-item": Prior(from_crp(1.5, K=2, n_items=1), CRP, 2, partial(crp, alpha=1.5)),
    "pitman-yor-crp": Prior(from_crp(0.8, 0.4, K=6), CRP, 6, partial(crp, alpha=0.8, discount=0.4)),
    "pitman-yor-crp-few-slots": Prior(
        from_crp(0.8, 0.4, K=3), CRP, 3, partial(crp, alpha=0.8, discount=0.4)
    ),
    "dirichlet-symmetric": Prior(
        from_dirichlet(SYMMETRIC),
        DIRICHLET,
        4,
        partial(dirichlet, a=SYMMETRIC),
        partial(dirichlet_means, a=SYMMETRIC),
    ),
    "dirichlet-asymmetric": Prior(
        from_dirichlet(ASYMMETRIC),
        DIRICHLET,
        4,
        partial(dirichlet, a=ASYMMETRIC),
        partial(dirichlet_means, a=ASYMMETRIC),
    ),
    "sticks-by-hand": Prior(
        from_sticks_by_hand(*ALPHA_STICKS),
        STICKS,
        4,
        lambda c: sticks(c, *ALPHA_STICKS),
        lambda c: stick_means(c, *ALPHA_STICKS),
    ),
    "pitman-yor-sticks": Prior(
        from_sticks_by_hand(*PY_STICKS),
        STICKS,
        4,
        lambda c: sticks(c, *PY_STICKS),
        lambda c: stick_means(c, *PY_STICKS),
    ),
}
FIXED_ROWS = [(case, step) for case, prior in FIXED_PRIORS.items() for step in serving(prior.urn)]


def check_fixed_prior(case, step, sweeps):
    prior = FIXED_PRIORS[case]
    model, n_components = prior.model(), prior.n_components
    y = SIX_POINTS[: model["z"].type.shape[0]]
    posterior = enumerate_normal(y, n_components, prior.log_prior)
    exact = posterior.expectations()
    recorded = [v.name for v in model.value_vars]
    with model:
        chain = run_chain(ALGORITHMS[step].make(), model, recorded, sweeps, seed=21)
    draws = partition_functionals(chain["z"], n_components, exact["k"])
    draws["theta_1"] = atom_of_first_item(chain["z"], chain["mu"])
    if prior.weight_means is not None:
        by_sticks = "v_logodds__" in chain
        value = chain["v_logodds__" if by_sticks else "w_simplex__"]
        w = (weights_from_sticks if by_sticks else weights_from_simplex)(value)
        means = posterior.expectation(prior.weight_means(posterior.counts))
        for k, mean in enumerate(means, start=1):
            exact[f"w_{k}"] = mean
            draws[f"w_{k}"] = w[:, k - 1]
    assert_means(draws, exact)


@pytest.mark.parametrize(("case", "step"), FIXED_ROWS)
def test_posteriors_under_fixed_priors(case, step):
    check_fixed_prior(case, step, SWEEPS)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "step"), FIXED_ROWS)
def test_posteriors_under_fixed_priors_long(case, step):
    check_fixed_prior(case, step, LONG_SWEEPS)


# Random concentrations: exact by quadrature ------------------------------------------------------


def random_crp(K, *, with_discount=False):
    @cache
    def build():
        with pm.Model() as model:
            alpha = pm.Gamma("alpha", 2, 2)
            discount = pm.Beta("discount", 1, 2) if with_discount else 0.0
            normal_mixture(dps.ChineseRestaurantProcess("z", alpha, discount, K=K, shape=6), K)
        return model

    return build


@cache
def random_sticks():
    with pm.Model() as model:
        alpha = pm.Gamma("alpha", 2, 2)
        w = pm.StickBreakingWeights("w", alpha, K=3)
        normal_mixture(pm.Categorical("z", w, shape=6), 4)
    return model


@cache
def random_sticks_by_hand():
    with pm.Model() as model:
        sticks_by_hand(1.0, pm.Gamma("alpha", 2, 2))
    return model


@cache
def random_dirichlet():
    with pm.Model() as model:
        alpha = pm.Gamma("alpha", 2, 2)
        w = pm.Dirichlet("w", alpha / 4 * np.ones(4))
        normal_mixture(pm.Categorical("z", w, shape=6), 4)
    return model


@cache
def random_crp_on_log_scale():
    with pm.Model() as model:
        alpha = pt.exp(pm.Normal("log_alpha", 0, 1))
        normal_mixture(dps.ChineseRestaurantProcess("z", alpha, K=6, shape=6), 6)
    return model


def log_normal_grid(step=0.05):
    log_alpha = np.arange(-8.0, 8.0, step)
    return Grid((np.exp(log_alpha),), norm.logpdf(log_alpha) + np.log(step))


def alpha_and_discount_grid():
    alpha = gamma_grid(2, 2, step=0.2)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    discount = 0.5 * (nodes + 1.0)
    log_weights = np.log(weights * (1.0 - discount))  # density 2 (1 - d), interval of length 1
    pairs = np.meshgrid(alpha.nodes[0], discount, indexing="ij")
    log_pairs = alpha.log_weights[:, None] + log_weights
    return Grid(tuple(x.ravel() for x in pairs), log_pairs.ravel())


def log_sticks(counts, alpha):
    return sticks(counts, [1.0] * 3, [alpha] * 3)


@dataclass(frozen=True)
class RandomPrior:
    """A model of the points, its slots, a grid of hyperparameters and log p(z | counts, node)."""

    model: Callable[[], pm.Model]
    urn: str
    n_components: int
    grid: Grid
    log_prior: Callable[..., Any]


RANDOM_PRIORS = {
    "crp": RandomPrior(random_crp(6), CRP, 6, gamma_grid(2, 2), crp),
    "crp-fewer-slots-than-items": RandomPrior(random_crp(3), CRP, 3, gamma_grid(2, 2), crp),
    "crp-on-log-scale": RandomPrior(random_crp_on_log_scale, CRP, 6, log_normal_grid(), crp),
    "crp-with-discount": RandomPrior(
        random_crp(6, with_discount=True), RANDOM_DISCOUNT, 6, alpha_and_discount_grid(), crp
    ),
    "sticks": RandomPrior(random_sticks, STICKS, 4, gamma_grid(2, 2), log_sticks),
    "sticks-by-hand": RandomPrior(random_sticks_by_hand, STICKS, 4, gamma_grid(2, 2), log_sticks),
    "dirichlet": RandomPrior(
        random_dirichlet,
        DIRICHLET,
        4,
        gamma_grid(2, 2),
        lambda c, alpha: dirichlet(c, [alpha / 4] * 4),
    ),
}
RANDOM_ROWS = [(case, step) for case, prior in RANDOM_PRIORS.items() for step in serving(prior.urn)]


def check_random_prior(case, step, sweeps):
    prior = RANDOM_PRIORS[case]
    log_marginal, means = prior.grid.integrate(prior.log_prior)
    posterior = enumerate_normal(SIX_POINTS, prior.n_components, log_marginal)
    exact = posterior.expectations()
    model = prior.model()
    recorded = [v.name for v in model.value_vars]
    with model:
        chain = run_chain(ALGORITHMS[step].make(), model, recorded, sweeps, seed=22)
    draws = partition_functionals(chain["z"], prior.n_components, exact["k"])
    draws["theta_1"] = atom_of_first_item(chain["z"], chain["mu"])
    draws["alpha"] = np.exp(chain["log_alpha" if "log_alpha" in chain else "alpha_log__"])
    if "discount_logodds__" in chain:
        draws["discount"] = 1.0 / (1.0 + np.exp(-chain["discount_logodds__"]))
    for name, mean in zip(["alpha", "discount"], means, strict=False):
        exact[name] = float(posterior.expectation(mean(posterior.counts)))
    assert_means(draws, exact)


@pytest.mark.parametrize(
    ("case", "step"), [row for row in RANDOM_ROWS if row[1] in ("neal8-m2", "blocked")]
)
def test_posteriors_with_a_random_concentration(case, step):
    """The concentration is updated by code that all algorithms share: two suffice here."""
    check_random_prior(case, step, SWEEPS)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "step"), RANDOM_ROWS)
def test_posteriors_with_a_random_concentration_long(case, step):
    check_random_prior(case, step, LONG_SWEEPS)


# Weights of unknown law --------------------------------------------------------------------------


@pytest.mark.parametrize("step", serving(WEIGHTS))
def test_posteriors_with_fixed_weights(step):
    p = np.array([0.5, 0.3, 0.15, 0.05])
    with pm.Model() as model:
        normal_mixture(pm.Categorical("z", p, shape=6), 4)
        chain = run_chain(ALGORITHMS[step].make(), model, ["z", "mu"], SWEEPS, seed=23)
    exact = enumerate_normal(SIX_POINTS, 4, lambda c: c @ np.log(p)).expectations()
    draws = partition_functionals(chain["z"], 4, exact["k"])
    draws["theta_1"] = atom_of_first_item(chain["z"], chain["mu"])
    assert_means(draws, exact)


def softmax_normal_prior(counts):
    """Log E[Π w_k^n_k] for w = softmax of (0, two standard normals), by Gauss-Hermite."""
    nodes, weights = hermegauss(40)
    eta = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    log_weights = np.add.outer(np.log(weights), np.log(weights)).ravel() - np.log(2.0 * np.pi)
    logits = np.column_stack([np.zeros(len(eta)), eta])
    log_w = logits - logsumexp(logits, axis=1, keepdims=True)
    return logsumexp(counts @ log_w.T + log_weights, axis=1)


def test_blocked_gibbs_with_weights_sampled_by_nuts():
    with pm.Model():
        eta = pm.Normal("eta", 0, 1, shape=2)
        w = pm.Deterministic("w", pm.math.softmax(pt.concatenate([[0.0], eta])))
        normal_mixture(pm.Categorical("z", w, shape=6), 3)
        idata = pm.sample(
            6_000,
            tune=500,
            chains=1,
            step=dps.BlockedGibbs(),
            random_seed=24,
            quiet=True,
            compute_convergence_checks=False,
        )
    exact = enumerate_normal(SIX_POINTS, 3, softmax_normal_prior).expectations()
    z, mu = (idata.posterior[name].to_numpy()[0] for name in ("z", "mu"))
    draws = partition_functionals(z, 3, exact["k"])
    draws["theta_1"] = atom_of_first_item(z, mu)
    assert_means(draws, exact)
