"""Normal, Bernoulli and Poisson variables that share one allocation."""

from functools import cache

import numpy as np
import pymc as pm
import pytest
from scipy.special import betaln, gammaln
from scipy.stats import multivariate_normal

import pymc_dpsteps as dps
from examples.mixed_types import mixed_types_model
from tests.helpers_chain import assert_means, partition_functionals, run_chain
from tests.helpers_exact import NOISE, SIX_POINTS, SPREAD, crp, dirichlet
from tests.helpers_models import assert_neal8_agrees_with_blocked_gibbs, enumerate_clusters

N, K, SWEEPS = 6, 3, 10_000
YES = np.array([0, 1, 0, 1, 1, 1])
COUNTS = np.array([0, 2, 1, 6, 0, 4])
A, B = 1.5, 0.5  # rate of the counts ~ Gamma(A, B)


def log_marginal(members):
    """Product of the three marginals: given the cluster, the variables are independent."""
    i = list(members)
    n, yes, total = len(i), YES[i].sum(), COUNTS[i].sum()
    covariance = NOISE**2 * np.eye(n) + SPREAD**2
    normal = multivariate_normal(np.zeros(n), covariance).logpdf(SIX_POINTS[i])
    bernoulli = betaln(1 + yes, 2 + n - yes) - betaln(1, 2)
    poisson = A * np.log(B) - gammaln(A) + gammaln(A + total) - (A + total) * np.log(B + n)
    return float(normal + bernoulli + poisson - gammaln(COUNTS[i] + 1).sum())


def rate_of(members):
    return float((A + COUNTS[list(members)].sum()) / (B + len(members)))


def symmetric(counts):
    return dirichlet(counts, np.ones(K))


@cache
def exact_of(log_prior):
    return enumerate_clusters(N, K, log_prior, log_marginal, rate_of).expectations()


def model_of(prior):
    with pm.Model() as model:
        if prior is crp:
            z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        else:
            z = pm.Categorical("z", pm.Dirichlet("w", np.ones(K)), shape=N)
        pm.Normal("x", pm.Normal("mu", 0, SPREAD, shape=K)[z], NOISE, observed=SIX_POINTS)
        pm.Bernoulli("yes", pm.Beta("p", 1, 2, shape=K)[z], observed=YES)
        pm.Poisson("count", pm.Gamma("rate", A, B, shape=K)[z], observed=COUNTS)
    return model


@pytest.mark.parametrize(
    ("prior", "step"),
    [(crp, dps.Neal8), (crp, dps.Neal2), (crp, dps.Neal3), (symmetric, dps.BlockedGibbs)],
)
def test_posterior_of_six_items_with_three_variables_each(prior, step):
    exact, model = exact_of(prior), model_of(prior)
    chain = run_chain(step(model=model), model, ["z", "rate_log__"], SWEEPS, seed=41)
    draws = partition_functionals(chain["z"], K, exact["k"])
    draws["theta_1"] = np.exp(chain["rate_log__"][np.arange(SWEEPS), chain["z"][:, 0]])
    assert_means(draws, exact)


def test_all_atoms_have_a_pair():
    assert dps.conjugacy(model_of(crp)).complete


@pytest.mark.slow
def test_two_algorithms_agree_on_the_patients_of_the_example():
    model = mixed_types_model(dps.datasets.va_lung())
    assert_neal8_agrees_with_blocked_gibbs(model, 4_000, seed=42, tune=1000)
