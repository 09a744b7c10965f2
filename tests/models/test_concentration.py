"""Priors of the concentration that are heavy-tailed or bounded, and of the discount."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytest
from scipy.special import expit
from scipy.stats import beta, halfcauchy

import pymc_dpsteps as dps
from tests.helpers_chain import assert_means, partition_functionals, run_chain
from tests.helpers_exact import (
    NOISE,
    SIX_POINTS,
    SPREAD,
    Grid,
    crp,
    enumerate_normal,
    gamma_grid,
    sticks,
)

K, SWEEPS = 6, 10_000


def half_cauchy_grid():
    step = 0.05
    log_alpha = np.arange(-25.0, 25.0, step)
    log_density = halfcauchy(scale=2.0).logpdf(np.exp(log_alpha)) + log_alpha
    return Grid((np.exp(log_alpha),), log_density + np.log(step))


def uniform_grid(lower, upper):
    nodes, weights = np.polynomial.legendre.leggauss(60)
    alpha = lower + (upper - lower) * 0.5 * (nodes + 1.0)
    return Grid((alpha,), np.log(0.5 * weights))


def with_discount(concentration):
    """Product with a rule for a discount ~ Beta(1, 4)."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    discount = 0.5 * (nodes + 1.0)
    pairs = np.meshgrid(concentration.nodes[0], discount, indexing="ij")
    log_weights = concentration.log_weights[:, None] + beta(1, 4).logpdf(discount)
    log_weights += np.log(0.5 * weights)
    return Grid(tuple(x.ravel() for x in pairs), log_weights.ravel())


@dataclass(frozen=True)
class Prior:
    """A prior as PyMC declares it, the same as a quadrature rule, and alpha in value space."""

    declare: Any
    grid: Grid
    alpha: Any


PRIORS = {
    "HalfCauchy": Prior(
        lambda: pm.HalfCauchy("alpha", 2),
        half_cauchy_grid(),
        lambda chain: np.exp(chain["alpha_log__"]),
    ),
    "Uniform": Prior(
        lambda: pm.Uniform("alpha", 0.2, 3),
        uniform_grid(0.2, 3.0),
        lambda chain: 0.2 + 2.8 * expit(chain["alpha_interval__"]),
    ),
    "Gamma": Prior(
        lambda: pm.Gamma("alpha", 2, 4),
        gamma_grid(2, 4, step=0.2),
        lambda chain: np.exp(chain["alpha_log__"]),
    ),
}
# HalfCauchy has no mean: x / (1 + x) has one, in the posterior as well.
SQUASHED = {"HalfCauchy": lambda x: x / (1.0 + x)}


def check(prior, log_prior, grid, model, chain):
    squash = SQUASHED.get(prior, lambda x: x)
    alpha, *others = grid.nodes
    # The rule returns the means of its nodes: here those of squash(alpha), at the same weights.
    log_marginal, means = Grid((squash(alpha), *others), grid.log_weights).integrate(
        lambda counts, _, *rest: log_prior(counts, alpha, *rest)
    )
    posterior = enumerate_normal(SIX_POINTS, K, log_marginal)
    exact = posterior.expectations()
    del exact["theta_1"]
    draws = partition_functionals(chain["z"], K, exact["k"])
    draws["alpha"] = squash(PRIORS[prior].alpha(chain))
    if others:
        draws["discount"] = expit(chain["discount_logodds__"])
    for name, mean in zip(("alpha", "discount"), means, strict=False):
        exact[name] = float(posterior.expectation(mean(posterior.counts)))
    assert_means(draws, exact)


def run(model, step, seed):
    names = [v.name for v in model.value_vars]
    return run_chain(step(model=model), model, names, SWEEPS, seed=seed)


@pytest.mark.parametrize(
    ("prior", "discount"),
    [("HalfCauchy", False), ("Uniform", False), ("Gamma", True)],
)
def test_chinese_restaurant(prior, discount):
    with pm.Model() as model:
        alpha = PRIORS[prior].declare()
        d = pm.Beta("discount", 1, 4) if discount else 0.0
        mu = pm.Normal("mu", 0, SPREAD, shape=K)
        z = dps.ChineseRestaurantProcess("z", alpha, d, K=K, shape=6)
        pm.Normal("y", mu[z], NOISE, observed=SIX_POINTS)
    grid = PRIORS[prior].grid
    check(prior, crp, with_discount(grid) if discount else grid, model, run(model, dps.Neal8, 43))


@pytest.mark.parametrize(
    ("prior", "step"), [("HalfCauchy", dps.Neal8), ("Uniform", dps.BlockedGibbs)]
)
def test_truncated_sticks(prior, step):
    with pm.Model() as model:
        w = pm.StickBreakingWeights("w", PRIORS[prior].declare(), K=K - 1)
        mu = pm.Normal("mu", 0, SPREAD, shape=K)
        pm.Normal("y", mu[pm.Categorical("z", w, shape=6)], NOISE, observed=SIX_POINTS)

    def log_sticks(counts, alpha):
        return sticks(counts, [1.0] * (K - 1), [alpha] * (K - 1))

    check(prior, log_sticks, PRIORS[prior].grid, model, run(model, step, 44))
