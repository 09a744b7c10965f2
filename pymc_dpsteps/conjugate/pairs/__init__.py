"""Conjugate pairs, one file each, in the order in which they are tried."""

from pymc_dpsteps.conjugate.match import Pair
from pymc_dpsteps.conjugate.pairs import (
    bernoulli_beta,
    binomial_beta,
    categorical_dirichlet,
    exponential_gamma,
    gamma_rate,
    geometric_beta,
    linear_regression,
    multinomial_dirichlet,
    mvnormal_mean,
    negative_binomial_beta,
    normal_gamma,
    normal_mean,
    normal_precision,
    normal_wishart,
    poisson_gamma,
)

__all__ = ["PAIRS"]

# Pairs of several atoms come before the pairs of one that are part of them.
PAIRS: tuple[Pair, ...] = (
    normal_wishart.PAIR,
    normal_gamma.PAIR,
    normal_mean.PAIR,
    linear_regression.PAIR,
    mvnormal_mean.PAIR,
    normal_precision.PAIR,
    exponential_gamma.PAIR,
    gamma_rate.PAIR,
    poisson_gamma.PAIR,
    bernoulli_beta.PAIR,
    binomial_beta.PAIR,
    geometric_beta.PAIR,
    negative_binomial_beta.PAIR,
    categorical_dirichlet.PAIR,
    multinomial_dirichlet.PAIR,
)
