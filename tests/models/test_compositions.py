"""Compositions with a Dirichlet law, whose mean and precision have no conjugate prior."""

from functools import cache

import numpy as np
import pymc as pm
import pytest
from numpy.polynomial.legendre import leggauss
from scipy.special import gammaln
from scipy.stats import dirichlet as dirichlet_law

import pymc_dpsteps as dps
from tests.helpers_chain import assert_means, partition_functionals, run_chain
from tests.helpers_exact import crp
from tests.helpers_exact import dirichlet as dirichlet_prior
from tests.helpers_subsets import by_quadrature, normal_rule, of_subsets

K, PRECISION, SPREAD = 4, 30.0, 0.7
WEIGHTS = np.full(K, 0.5)
ROCK = dps.datasets.skye().to_numpy()[::4].astype(float)
ROCK /= ROCK.sum(axis=1, keepdims=True)


@cache
def subsets_of_rock():
    """Quadrature over the simplex, on which the mean is uniform, and the log precision."""
    nodes, weights = leggauss(40)
    nodes, weights = (nodes + 1.0) / 2.0, weights / 2.0
    log_precision, log_density = normal_rule(np.log(PRECISION), SPREAD, 61)
    u, v, log_c = np.meshgrid(nodes, nodes, log_precision, indexing="ij")
    mean = np.stack([u, (1 - u) * v, (1 - u) * (1 - v)]).reshape(3, -1)
    log_weights = (
        np.log(2.0 * (1 - u) * weights[:, None, None] * weights[None, :, None]) + log_density
    ).ravel()
    log_c = log_c.ravel()
    log_likelihood = dirichlet_log_density(ROCK, np.exp(log_c) * mean)
    functions = {"mean_1[0]": mean[0], "mean_1[1]": mean[1], "log precision_1": log_c}
    return by_quadrature(log_weights, of_subsets(log_likelihood), functions)


def dirichlet_log_density(y, a):
    """Log density of every row of y at every column of a."""
    found = gammaln(a.sum(axis=0)) - gammaln(a).sum(axis=0) + np.log(y) @ (a - 1.0)
    assert np.allclose(found[:, 0], [dirichlet_law(a[:, 0]).logpdf(row) for row in y])
    return found


def check(exact, chain):
    draws = partition_functionals(chain["z"], K, exact["k"])
    of_item_1 = np.arange(len(chain["z"])), chain["z"][:, 0]
    value = chain["mean_simplex__"][*of_item_1]
    mean = np.exp(np.column_stack([value, -value.sum(axis=1)]))
    mean /= mean.sum(axis=1, keepdims=True)
    draws |= {"mean_1[0]": mean[:, 0], "mean_1[1]": mean[:, 1]}
    assert_means(draws | {"log precision_1": chain["precision_log__"][*of_item_1]}, exact)


def kernel(z):
    dps.kernels.dirichlet("y", z, precision=PRECISION, spread=SPREAD, observed=ROCK)


NAMES = ["z", "mean_simplex__", "precision_log__"]


def test_neal8():
    check_neal8(8_000)


@pytest.mark.slow
def test_neal8_long():
    check_neal8(200_000)


def check_neal8(sweeps):
    with pm.Model() as model:
        kernel(dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=len(ROCK)))
        chain = run_chain(dps.Neal8(m=2), model, NAMES, sweeps, seed=54)
    check(subsets_of_rock().posterior(K, crp), chain)


@pytest.mark.slow
def test_blocked_gibbs():
    with pm.Model() as model:
        kernel(pm.Categorical("z", pm.Dirichlet("w", WEIGHTS), shape=len(ROCK)))
        chain = run_chain(dps.BlockedGibbs(), model, NAMES, 100_000, seed=55)
    check(subsets_of_rock().posterior(K, lambda counts: dirichlet_prior(counts, WEIGHTS)), chain)
