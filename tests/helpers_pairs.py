"""Small mixtures of every kind of pair, as tests of recognition declare them."""

import numpy as np
import pymc as pm

import pymc_dpsteps as dps
from pymc_dpsteps.conjugate import find_conjugacy
from pymc_dpsteps.mixture.read import read_mixture

N, K = 9, 4
RNG = np.random.default_rng(1)
X = np.linspace(-1.0, 1.0, N)
REAL = RNG.normal(size=N)
POSITIVE = np.exp(REAL)
COUNTS = RNG.poisson(3.0, size=N)
VECTORS = RNG.normal(size=(N, 2))
CATEGORIES = np.arange(N) % 3


def crp():
    return dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)


def found_in(declare):
    with pm.Model() as model:
        declare()
    return find_conjugacy(read_mixture(model))


def normal(name="mu", shape=K, **options):
    return pm.Normal(name, 0.3, 1.5, shape=shape, **options)


def gamma(name="rate", shape=K, **options):
    return pm.Gamma(name, 2.0, 0.5, shape=shape, **options)


def inverse_gamma(name="s2", shape=K):
    return pm.InverseGamma(name, 3.0, 2.0, shape=shape)


def beta(name="p", shape=K):
    return pm.Beta(name, 1.5, 2.5, shape=shape)


def dirichlet(name="p", shape=(K, 3)):
    return pm.Dirichlet(name, np.array([1.0, 2.0, 0.5]), shape=shape)


def y_normal(mean, sigma=0.7, observed=REAL, name="y", **options):
    if not options:
        options = {"sigma": sigma}
    pm.Normal(name, mean, observed=observed, **options)
