"""No pair is found where there is none, and the reason is told."""

import re
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from pymc.distributions import transforms

import pymc_dpsteps as dps
from pymc_dpsteps.mixture.read import read_mixture
from tests.helpers_pairs import (
    CATEGORIES,
    COUNTS,
    POSITIVE,
    REAL,
    VECTORS,
    K,
    N,
    X,
    beta,
    crp,
    dirichlet,
    found_in,
    gamma,
    inverse_gamma,
    normal,
    y_normal,
)

REFUSED: dict[str, Any] = {}


def refused(atom, *words):
    """The atom must be in no block, and the reason hold the words."""

    def register(declare):
        REFUSED[declare.__name__] = (declare, atom, words)
        return declare

    return register


@refused("rate", "Poisson with a gamma rate", "y does not take rate as a rate")
def squared_rate():
    pm.Poisson("y", gamma()[crp()] ** 2, observed=COUNTS)


@refused("rate", "y does not take rate as a rate")
def rate_plus_a_constant():
    pm.Poisson("y", gamma()[crp()] + 0.1, observed=COUNTS)


@refused("rate", "y does not take rate as a rate")
def rate_plus_very_little():
    pm.Poisson("y", gamma()[crp()] + 1e-8, observed=COUNTS)


@refused("s2", "y does not take s2 as a scale or variance")
def inverse_gamma_sd():
    y_normal(0.0, inverse_gamma()[crp()])


@refused("tau", "y does not take tau as a rate or precision")
def gamma_variance():
    y_normal(0.0, pt.sqrt(gamma("tau")[crp()]))


@refused("p", "y does not take p as its probability")
def half_a_probability():
    pm.Bernoulli("y", 0.5 * beta()[crp()], observed=COUNTS > 2)


@refused("p", "y does not take p as its probability")
def probability_of_the_opposite():
    pm.Bernoulli("y", 1.0 - beta()[crp()], observed=COUNTS > 2)


@refused("p", "y does not take p as its probabilities")
def probabilities_in_another_order():
    pm.Categorical("y", dirichlet()[crp()][:, ::-1], observed=CATEGORIES)


@refused("mu", "no pair has a prior Normal with a likelihood y ~ StudentT")
def student_likelihood():
    pm.StudentT("y", 3, mu=normal()[crp()], sigma=1, observed=REAL)


@refused("mu", "no pair has a prior StudentT with a likelihood y ~ Normal")
def student_prior():
    y_normal(pm.StudentT("mu", 3, shape=K)[crp()])


@refused("mu", "x ~ StudentT", "y ~ Normal")
def two_likelihoods_of_which_one_does_not_fit():
    mean = normal()[crp()]
    y_normal(mean)
    pm.StudentT("x", 3, mu=mean, sigma=1, observed=REAL)


@refused("sigma", "HalfNormal", "y ~ Normal")
def half_normal_sd():
    y_normal(0.0, pm.HalfNormal("sigma", 1, shape=K)[crp()])


@refused("mu", "the scale of y depends on mu as well")
def sd_that_depends_on_the_mean():
    mean = normal()[crp()]
    y_normal(mean, pt.exp(1e-6 * mean))


@refused("shape", "the shape of y depends on shape as well")
def gamma_shape():
    pm.Gamma("y", gamma("shape")[crp()], 2.0, observed=POSITIVE)


@refused("a", "the shape of y depends on a as well")
def gamma_shape_and_rate():
    a = gamma("a")[crp()]
    pm.Gamma("y", a, a, observed=POSITIVE)


@refused("p", "the number of trials of y depends on p as well")
def trials_that_depend_on_the_probability():
    p = beta()[crp()]
    pm.Binomial("y", 20 + pt.floor(p).astype("int64"), p, observed=COUNTS)


@refused("mu", "the prior of s depends on mu")
def prior_of_another_atom():
    mu, z = normal(), crp()
    s = pm.LogNormal("s", mu, 1, shape=K)
    y_normal(mu[z], s[z])


@refused(
    "tau", "the prior variance of mu is not a known multiple", "the prior of mu depends on tau"
)
def almost_normal_gamma():
    tau, z = gamma("tau"), crp()
    mu = pm.Normal("mu", 0, 1.0 / pt.sqrt(tau + 1e-3), shape=K)
    y_normal(mu[z], tau=tau[z])


@refused("tau", "the prior mean of mu depends on tau")
def normal_gamma_with_a_prior_mean_that_depends_on_the_precision():
    tau, z = gamma("tau"), crp()
    mu = pm.Normal("mu", tau, tau=0.1 * tau, shape=K)
    y_normal(mu[z], tau=tau[z])


@refused("T", "do not take the inverse of T")
def normal_wishart_with_another_covariance():
    cov = pt.linalg.inv(pm.Wishart("T", 5, np.eye(2), shape=(K, 2, 2)))
    mu = pm.MvNormal("mu", np.zeros(2), cov=cov / 0.5, shape=(K, 2))
    z = crp()
    pm.MvNormal("y", mu[z], cov=cov[z] + 0.01 * np.eye(2), observed=VECTORS)


@refused("T", "do not take the inverse of T")
def normal_wishart_by_covariance():
    cov = pm.Wishart("T", 5, np.eye(2), shape=(K, 2, 2))
    mu = pm.MvNormal("mu", np.zeros(2), cov=cov / 0.5, shape=(K, 2))
    z = crp()
    pm.MvNormal("y", mu[z], cov=cov[z], observed=VECTORS)


@refused("mu", "the covariance of y differs between items")
def covariance_per_item():
    cov = np.exp(X)[:, None, None] * np.eye(2)
    pm.MvNormal("y", normal(shape=(K, 2))[crp()], cov=cov, observed=VECTORS)


@refused("mu", "not mu plus an offset")
def mean_vector_in_another_order():
    pm.MvNormal("y", normal(shape=(K, 2))[crp()][:, ::-1], cov=np.eye(2), observed=VECTORS)


@refused("a", "e is latent and its value is transformed")
def latent_variable_with_a_transform():
    a = gamma("a")
    e = pm.Gamma("e", 2.0, a[crp()], shape=N)
    pm.Poisson("y", e, observed=COUNTS)


@refused("mu", "the mean of y is not linear in mu")
def linear_on_part_of_the_data():
    mean = normal()[crp()]
    y_normal(pt.switch(X > 0, mean, mean**2))


@refused("b", "the mean of y is not linear in b")
def interaction_of_coefficients():
    b = normal("b", (K, 2))[crp()]
    y_normal((b * VECTORS).sum(axis=1) + 0.01 * b[:, 0] * b[:, 1])


@refused("mu", "the mean of y is not linear in mu")
def a_small_square_on_a_large_offset():
    mean = normal()[crp()]
    y_normal(1e6 + mean + 1e-5 * mean**2, observed=REAL + 1e6)


@refused("mu", "GT", "not one formula")
def mean_that_bends_far_out():
    mean = normal()[crp()]
    y_normal(pt.switch(mean > 100.0, mean**2, mean))


@refused("mu", "Clip", "not one formula")
def clipped_mean():
    y_normal(pt.clip(normal()[crp()], -50.0, 50.0))


@refused("p", "Clip", "not one formula")
def clipped_probability():
    pm.Bernoulli("y", pt.clip(beta()[crp()], 1e-6, 1.0 - 1e-6), observed=COUNTS > 2)


@refused("rate", "Maximum", "not one formula")
def rate_with_a_floor():
    pm.Poisson("y", pt.maximum(gamma()[crp()], 1e-9), observed=COUNTS)


@refused("mu", "Abs", "not one formula")
def absolute_value():
    y_normal(pt.abs(normal()[crp()] + 100.0) - 100.0)


@refused("mu", "not one formula")
def square_beyond_a_threshold_of_a_hyperparameter():
    h, mean = pm.Normal("h", 0, 1), normal()[crp()]
    y_normal(mean + pt.switch(h > 100.0, 1.0, 0.0) * mean**2)


@refused("mu", "TruncatedNormal")
def truncated_prior():
    y_normal(pm.Truncated("mu", pm.Normal.dist(0, 1), lower=0, shape=K)[crp()])


@refused("mu", "y ~ TruncatedNormal")
def truncated_likelihood():
    y = pm.Normal.dist(normal()[crp()], 1)
    pm.Truncated("y", y, lower=0, observed=POSITIVE)


@refused("mu", "y ~ Censored")
def censored_likelihood():
    y = pm.Normal.dist(normal()[crp()], 1)
    pm.Censored("y", y, lower=0, upper=None, observed=POSITIVE)


@refused("mu", "mu has a transform of its own")
def positive_by_a_transform():
    y_normal(normal(transform=transforms.log)[crp()])


@refused("mu", "mu has a transform of its own")
def interval_by_a_transform():
    y_normal(normal(transform=transforms.Interval(-1, 1))[crp()])


@refused("rate", "rate has a transform of its own")
def interval_on_top_of_the_default_transform():
    pm.Poisson("y", gamma(transform=transforms.Interval(-1, 1))[crp()], observed=COUNTS)


@refused("rate", "rate has a transform of its own")
def interval_in_place_of_the_default_transform():
    rate = gamma(default_transform=transforms.Interval(0, 1))
    pm.Poisson("y", rate[crp()], observed=COUNTS)


@refused("rate", "(1,) per component", "(2,)")
def one_row_for_two_columns():
    rate = gamma(shape=(K, 1))
    pm.Poisson("y", rate[crp()], observed=np.stack([COUNTS, COUNTS], axis=1))


@pytest.mark.parametrize("name", REFUSED)
def test_no_pair_is_found_where_there_is_none_and_the_reason_is_told(name):
    declare, atom, words = REFUSED[name]
    conjugacy = found_in(declare)
    assert atom not in [a.rv.name for block in conjugacy.blocks for a in block.atoms]
    reason = conjugacy.reasons[atom]
    for word in words:
        assert word in reason
    sentences = re.split("; ", reason)
    assert len(set(sentences)) == len(sentences)
    assert not conjugacy.complete


@pytest.mark.parametrize("what", ["potential", "ordered", "other use"])
def test_constraints_across_or_outside_the_pair_are_refused_with_the_model(what):
    with pm.Model() as model:
        options = {}
        if what == "ordered":
            options = {"transform": transforms.ordered, "initval": np.tile([0.0, 1.0], (K, 1))}
        mu = normal(shape=(K, 2), **options)
        y_normal(mu[crp()], observed=VECTORS)
        if what == "potential":
            pm.Potential("positive", pt.switch(pt.all(mu > 0), 0.0, -np.inf))
        if what == "other use":
            pm.Normal("x", mu[0], 1, observed=[0.0, 0.0])
    with pytest.raises(dps.MixtureError, match="mu"):
        read_mixture(model)
