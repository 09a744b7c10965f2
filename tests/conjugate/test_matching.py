"""Pairs are found on plain PyMC models, however these are written."""

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

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

NORMAL_MEAN = "Normal with a normal mean"
PRECISION = "Normal with a gamma precision"
NORMAL_GAMMA = "Normal with a normal–inverse-gamma mean and variance"
REGRESSION = "Normal linear regression with normal coefficients"
MV_MEAN = "Multivariate normal with a normal mean"
WISHART = "Multivariate normal with a normal–Wishart mean and precision"
EXPONENTIAL = "Exponential with a gamma rate"
GAMMA_RATE = "Gamma with a gamma rate"
POISSON = "Poisson with a gamma rate"
BERNOULLI = "Bernoulli with a beta probability"
BINOMIAL = "Binomial with a beta probability"
GEOMETRIC = "Geometric with a beta probability"
NEGATIVE_BINOMIAL = "Negative binomial with a beta probability"
CATEGORICAL = "Categorical with Dirichlet probabilities"
MULTINOMIAL = "Multinomial with Dirichlet probabilities"


FORMS: dict[str, Any] = {}


def form(*expected):
    """What must be found: pair, atoms, and where they are not one and none, copies and given."""

    def register(declare):
        FORMS[declare.__name__] = (declare, expected)
        return declare

    return register


@form((NORMAL_MEAN, "mu"))
def normal_mean():
    y_normal(normal()[crp()])


@form((NORMAL_MEAN, "mu"))
def normal_mean_by_precision():
    y_normal(pm.Normal("mu", 0, tau=0.2, shape=K)[crp()], tau=3.0)


@form((NORMAL_MEAN, "mu"))
def normal_mean_with_offset_and_an_sd_per_item():
    y_normal(normal()[crp()] + 2.0 * X - 1e6, np.exp(X), observed=REAL - 1e6)


@form((NORMAL_MEAN, "mu"))
def normal_mean_with_a_shared_random_sd_and_random_hyperparameters():
    m, s = pm.Normal("m", 0, 1), pm.HalfNormal("s", 1)
    y_normal(pm.Normal("mu", m, s, shape=K)[crp()], pm.HalfCauchy("sigma", 1))


@form((NORMAL_MEAN, "mu"))
def normal_mean_with_a_floor_under_the_shared_sd():
    y_normal(normal()[crp()], pt.maximum(pm.HalfNormal("sigma", 1), 0.1))


@form((NORMAL_MEAN, "mu", 1, ("sigma",)))
def normal_mean_with_an_sd_of_its_own():
    z = crp()
    y_normal(normal()[z], pm.HalfNormal("sigma", 1, shape=K)[z])


@form((NORMAL_MEAN, "mu", 1, ("tau",)))
def normal_mean_with_a_hierarchical_scale_of_its_own():
    tau = pm.HalfNormal("tau", 1, shape=K)
    y_normal(pm.Normal("mu", 0, tau, shape=K)[crp()])


@form((NORMAL_MEAN, "mu", 2))
def normal_means_side_by_side():
    y_normal(normal(shape=(K, 2))[crp()], [0.5, 1.0], observed=VECTORS)


@form((NORMAL_MEAN, "mu"))
def normal_mean_of_several_observations_per_item():
    y_normal(normal()[crp()][:, None], observed=VECTORS)


@form((NORMAL_MEAN, "mu"))
def normal_mean_of_two_likelihoods():
    mean = normal()[crp()]
    y_normal(mean)
    y_normal(mean, 2.0, name="x")


@form((NORMAL_MEAN, "mu"), (POISSON, "rate"))
def two_independent_pairs():
    z = crp()
    y_normal(normal()[z])
    pm.Poisson("x", gamma()[z], observed=COUNTS)


@form((NORMAL_MEAN, "mu"))
def normal_mean_of_a_latent_variable():
    latent = pm.Normal("latent", normal()[crp()], 1, shape=N)
    pm.Poisson("y", pt.exp(latent), observed=COUNTS)


@form((NORMAL_MEAN, "mu"))
def normal_mean_through_the_index_of_a_deterministic():
    mean = pm.Deterministic("mean", normal()[crp()])
    y_normal(pm.math.switch(X > 0, mean, mean))


@form((PRECISION, "tau"))
def precision():
    y_normal(0.4, tau=gamma("tau")[crp()])


@form((PRECISION, "tau"))
def precision_as_an_sd():
    y_normal(0.4, 1.0 / pt.sqrt(gamma("tau"))[crp()])


@form((PRECISION, "tau"))
def precision_as_a_power():
    y_normal(X, 2.0 * gamma("tau")[crp()] ** -0.5)


@form((PRECISION, "s2"))
def variance():
    y_normal(0.4, pt.sqrt(inverse_gamma()[crp()]))


@form((PRECISION, "s2"))
def variance_rooted_before_the_index():
    y_normal(0.4, pt.sqrt(inverse_gamma())[crp()] * np.exp(X))


@form((PRECISION, "tau"))
def exponential_precision():
    y_normal(0.4, tau=pm.Exponential("tau", 2.0, shape=K)[crp()])


@form((NORMAL_GAMMA, "mu", "s2"))
def normal_inverse_gamma():
    s2, z = inverse_gamma(), crp()
    mu = pm.Normal("mu", 0.3, pt.sqrt(s2 / 0.1), shape=K)
    y_normal(mu[z], pt.sqrt(s2)[z])


@form((NORMAL_GAMMA, "mu", "s2"))
def normal_inverse_gamma_rooted_after_the_index_with_an_offset():
    s2, z = inverse_gamma(), crp()
    mu = pm.Normal("mu", 0.3, pt.sqrt(s2) / 0.3, shape=K)
    y_normal(mu[z] - X, pt.sqrt(s2[z]))


@form((NORMAL_GAMMA, "mu", "tau"))
def normal_gamma_by_precision():
    tau, z = gamma("tau"), crp()
    mu = pm.Normal("mu", 0.3, tau=0.1 * tau, shape=K)
    y_normal(mu[z], tau=tau[z])


@form((NORMAL_GAMMA, "mu", "tau", 2))
def normal_gamma_side_by_side():
    tau, z = gamma("tau", (K, 2)), crp()
    mu = pm.Normal("mu", 0.3, tau=0.1 * tau, shape=(K, 2))
    y_normal(mu[z], tau=tau[z], observed=VECTORS)


@form((NORMAL_MEAN, "mu", 1, ("s2",)), (PRECISION, "s2", 1, ("mu",)))
def independent_normal_and_inverse_gamma():
    s2, z = inverse_gamma(), crp()
    y_normal(normal()[z], pt.sqrt(s2)[z])


@form((REGRESSION, "b"))
def slope():
    y_normal(normal("b")[crp()] * X)


@form((REGRESSION, "a", "b"))
def intercept_and_slope():
    a, b, z = normal("a"), normal("b"), crp()
    y_normal(a[z] + b[z] * X)


@form((REGRESSION, "b"))
def coefficients_as_a_vector():
    b = pm.MvNormal("b", np.zeros(2), np.array([[1.0, 0.3], [0.3, 2.0]]), shape=(K, 2))
    y_normal((VECTORS * b[crp()]).sum(axis=1))


@form((REGRESSION, "a", "b", 1, ("sigma",)))
def regression_with_shared_effects_and_an_sd_of_its_own():
    a, b, z = normal("a"), normal("b", (K, 2)), crp()
    common = pm.Normal("common", 0, 1, shape=2)
    mean = a[z] + (VECTORS * b[z]).sum(axis=1) + VECTORS @ common
    y_normal(mean, pm.HalfNormal("sigma", 1, shape=K)[z])


@form((REGRESSION, "a", "b"))
def regression_on_a_switch():
    a, b, z = normal("a"), normal("b"), crp()
    y_normal(pt.switch(X > 0, a[z] + b[z], a[z]))


@form((REGRESSION, "mu"))
def measurements_of_different_gain():
    mean = normal()[crp()]
    y_normal(mean)
    y_normal(2.0 * mean + 1.0, name="x")


@form((REGRESSION, "mu"))
def a_mean_of_length_one_for_two_columns():
    y_normal(normal(shape=(K, 1))[crp()], observed=VECTORS)


@form((MV_MEAN, "mu"))
def mvnormal_mean():
    mu = pm.MvNormal("mu", np.zeros(2), np.eye(2), shape=(K, 2))
    pm.MvNormal("y", mu[crp()], cov=[[1.0, 0.3], [0.3, 2.0]], observed=VECTORS)


@form((MV_MEAN, "mu"))
def mvnormal_mean_by_cholesky_factor():
    root = np.linalg.cholesky([[1.0, 0.3], [0.3, 2.0]])
    mu = pm.MvNormal("mu", np.zeros(2), chol=root, shape=(K, 2))
    pm.MvNormal("y", mu[crp()] + X[:, None], chol=root, observed=VECTORS)


@form((MV_MEAN, "mu"))
def mvnormal_mean_by_precision_matrix():
    tau = np.array([[1.0, 0.3], [0.3, 2.0]])
    mu = pm.MvNormal("mu", np.zeros(2), tau=tau, shape=(K, 2))
    pm.MvNormal("y", mu[crp()], tau=tau, observed=VECTORS)


@form((MV_MEAN, "mu"))
def mvnormal_mean_with_independent_coordinates():
    pm.MvNormal("y", normal(shape=(K, 2))[crp()], cov=np.eye(2) + 0.5, observed=VECTORS)


@form((MV_MEAN, "mu"))
def mvnormal_mean_with_a_shared_random_covariance():
    cov = pm.Wishart("cov", 5, np.eye(2))
    pm.MvNormal("y", normal(shape=(K, 2))[crp()], cov=cov, observed=VECTORS)


@form((MV_MEAN, "mu", 1, ("T",)))
def mvnormal_mean_with_an_independent_wishart():
    cov = pt.linalg.inv(pm.Wishart("T", 5, np.eye(2), shape=(K, 2, 2)))
    z = crp()
    pm.MvNormal("y", normal(shape=(K, 2))[z], cov=cov[z], observed=VECTORS)


@form((WISHART, "mu", "T"))
def normal_wishart():
    cov = pt.linalg.inv(pm.Wishart("T", 5, np.eye(2) + 0.2, shape=(K, 2, 2)))
    mu = pm.MvNormal("mu", np.zeros(2), cov=cov / 0.5, shape=(K, 2))
    z = crp()
    pm.MvNormal("y", mu[z], cov=cov[z], observed=VECTORS)


@form((EXPONENTIAL, "rate"))
def exponential():
    pm.Exponential("y", gamma()[crp()], observed=POSITIVE)


@form((EXPONENTIAL, "rate"))
def exponential_by_scale_with_an_exponential_prior():
    rate = pm.Exponential("rate", 0.5, shape=K)
    pm.Exponential("y", scale=1.0 / rate[crp()], observed=POSITIVE)


@form((EXPONENTIAL, "mean"))
def exponential_mean():
    mean = pm.InverseGamma("mean", 3, 2, shape=K)
    pm.Exponential("y", 1.0 / mean[crp()], observed=POSITIVE)


@form((GAMMA_RATE, "rate"))
def gamma_rate():
    pm.Gamma("y", 2.5, gamma()[crp()], observed=POSITIVE)


@form((GAMMA_RATE, "scale"))
def gamma_scale_with_a_shape_per_item():
    scale = pm.InverseGamma("scale", 3, 2, shape=K)
    pm.Gamma("y", 1.0 + POSITIVE, 0.5 / scale[crp()], observed=POSITIVE)


@form((GAMMA_RATE, "rate", 1, ("shape",)))
def gamma_rate_with_a_shape_of_its_own():
    shape, z = pm.Exponential("shape", 0.5, shape=K), crp()
    pm.Gamma("y", shape[z], gamma()[z], observed=POSITIVE)


@form((POISSON, "rate"))
def poisson():
    pm.Poisson("y", gamma()[crp()], observed=COUNTS)


@form((POISSON, "rate"))
def poisson_with_exposure_as_data_and_random_hyperparameters():
    exposure = pm.Data("exposure", 1.0 + np.arange(N))
    rate = pm.Gamma("rate", pm.Exponential("a", 1), pm.Exponential("b", 1), shape=K)
    pm.Poisson("y", exposure * rate[crp()], observed=COUNTS)


@form((POISSON, "rate"))
def poisson_with_a_regression_in_common():
    effect = pt.exp(X * pm.Normal("effect", 0, 1))
    pm.Poisson("y", effect * gamma()[crp()], observed=COUNTS)


@form((POISSON, "rate"))
def poisson_with_exposures_on_a_simplex():
    pm.Poisson("y", pm.Dirichlet("w", np.ones(N)) * gamma()[crp()], observed=COUNTS)


@form((POISSON, "mean"))
def poisson_with_an_inverse_gamma_waiting_time():
    mean = pm.InverseGamma("mean", 3, 2, shape=K)
    pm.Poisson("y", 1.0 / mean[crp()], observed=COUNTS)


@form((BERNOULLI, "p"))
def bernoulli():
    pm.Bernoulli("y", beta()[crp()], observed=COUNTS > 2)


@form((BERNOULLI, "p", 2))
def bernoulli_side_by_side():
    pm.Bernoulli("y", beta(shape=(K, 2))[crp()], observed=VECTORS > 0)


@form((BINOMIAL, "p"))
def binomial():
    pm.Binomial("y", 10 + np.arange(N), beta()[crp()], observed=COUNTS)


@form((GEOMETRIC, "p"))
def geometric():
    pm.Geometric("y", beta()[crp()], observed=1 + COUNTS)


@form((NEGATIVE_BINOMIAL, "p"))
def negative_binomial():
    pm.NegativeBinomial("y", n=2.5, p=beta()[crp()], observed=COUNTS)


@form((NEGATIVE_BINOMIAL, "p", 1, ("n",)))
def negative_binomial_with_a_number_of_its_own():
    n, z = pm.Exponential("n", 1.0, shape=K), crp()
    pm.NegativeBinomial("y", n=n[z], p=beta()[z], observed=COUNTS)


@form((CATEGORICAL, "p"))
def categorical():
    pm.Categorical("y", dirichlet()[crp()], observed=CATEGORIES)


@form((CATEGORICAL, "p", 2))
def categorical_side_by_side():
    p = dirichlet(shape=(K, 2, 3))
    pm.Categorical("y", p[crp()], observed=np.stack([CATEGORIES, CATEGORIES[::-1]], axis=1))


@form((MULTINOMIAL, "p"))
def multinomial():
    totals = 5 + np.arange(N)
    y = np.random.default_rng(4).multinomial(totals, [0.2, 0.5, 0.3])
    pm.Multinomial("y", totals, dirichlet()[crp()], observed=y)


@form((POISSON, "rate"))
def an_atom_without_a_transform():
    pm.Poisson("y", gamma(default_transform=None)[crp()], observed=COUNTS)


@pytest.mark.parametrize("name", FORMS)
def test_a_pair_is_found_however_it_is_written(name):
    declare, expected = FORMS[name]
    conjugacy = found_in(declare)
    found = [
        (b.pair, sorted(a.rv.name for a in b.atoms), b.copies, b.given) for b in conjugacy.blocks
    ]
    wanted = []
    for pair, *rest in expected:
        atoms = sorted(x for x in rest if isinstance(x, str))
        copies = next((x for x in rest if isinstance(x, int)), 1)
        given = next((x for x in rest if isinstance(x, tuple)), ())
        wanted.append((pair, atoms, copies, given))
    assert found == wanted, conjugacy.reasons
    outside = {name for *_, given in wanted for name in given}
    covered = {name for _, atoms, *_ in wanted for name in atoms}
    assert set(conjugacy.reasons) == outside - covered
    assert conjugacy.complete == (not outside)
