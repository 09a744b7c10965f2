"""Small models whose posterior of partitions is enumerated, and networks for them."""

import numpy as np
import pymc as pm
import pytest
from scipy.stats import multivariate_normal

import pymc_dpsteps as dps
from pymc_dpsteps.mixture import read_mixture
from tests.helpers_partitions import all_partitions

SPREAD, NOISE, ALPHA = 2.0, 0.7, 1.3
DATA = np.array([[-1.6, 0.2], [-1.1, -0.3], [0.1, 0.4], [0.3, 0.1], [2.0, -1.5], [1.2, -0.6]])


def build_model(n, *, K=8, alpha=ALPHA, discount=0.0, spread=SPREAD, y=None):
    """Normal clusters in the plane."""
    with pm.Model(coords={"item": range(n), "axis": ["x", "y"]}) as model:
        if alpha is None:
            alpha = pm.Gamma("alpha", 2.0, 2.0)
        mu = pm.Normal("mu", 0.0, spread, shape=(K, 2))
        z = dps.ChineseRestaurantProcess("z", alpha, discount, K=K, dims="item")
        data = np.zeros((n, 2)) if y is None else y
        pm.Normal("y", mu[z], NOISE, observed=data, dims=("item", "axis"))
    return model


def build_with_alpha(n):
    return build_model(n, alpha=None)


def mixture_of(n, **options):
    return read_mixture(build_model(n, **options))


def log_marginal(y):
    """Of the items of one cluster, with scipy."""
    covariance = NOISE**2 * np.eye(len(y)) + SPREAD**2
    return sum(multivariate_normal.logpdf(column, cov=covariance) for column in y.T)


def enumerate_posterior(target, items):
    """All partitions and their probabilities."""
    labels = all_partitions(len(items))
    log_p = target.log_prob(items, labels)
    p = np.exp(log_p - log_p.max())
    return labels, p / p.sum()


def importorskip():
    """Torch, or skip."""
    return pytest.importorskip("torch", reason="the extra amortized is not installed")


def disturbed(posterior, seed=0):
    """The posterior with a network that knows nothing, but not nothing at all."""
    torch = importorskip()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in posterior.network.out.parameters():
            parameter += 0.4 * torch.randn(parameter.shape, generator=generator)
    return posterior
