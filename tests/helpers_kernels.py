"""Every ready-made kernel with its documented density, base measure and conjugacy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pymc as pm
from scipy import stats

import pymc_dpsteps as dps
from pymc_dpsteps import kernels

N, K = 9, 4
RNG = np.random.default_rng(1)
REAL = RNG.normal(20.0, 5.0, size=N)
POSITIVE = RNG.gamma(2.0, 5.0, size=N)
FRACTION = RNG.beta(2.0, 3.0, size=N)
COUNTS = RNG.poisson(3.0, size=N)
EXPOSURE = 0.5 + np.arange(N)
TRIALS = 10 + np.arange(N)
CENSORED = np.arange(N) % 3 == 0
X = RNG.normal(size=N)
X2 = RNG.normal(size=(N, 2))
VECTORS = RNG.normal([20.0, 1.0], [5.0, 0.3], size=(N, 2))
TABLE = RNG.multinomial(20, [0.2, 0.5, 0.3], size=N)
PARTS = RNG.dirichlet([2.0, 1.0, 3.0], size=N)

Draws = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A call, and what its docstring says of it.

    `density(i, atoms)` is the law of item i given one component's atoms, or its log density
    there; `base` holds the law of every atom given the others of the component; `pairs` the
    conjugate pair of every atom with what it is given, or none.
    """

    kernel: Callable[..., Any]
    options: Mapping[str, Any]
    log_density: Callable[[int, Draws], float]
    base: Mapping[str, Callable[[Draws], Any]]
    pairs: Mapping[str, tuple[str, tuple[str, ...]] | None] = field(default_factory=dict)


def model_of(case, **more):
    """A model with this kernel alone."""
    with pm.Model() as model:
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        case.kernel("y", z, **{**case.options, **more})
    return model


def normal(mean, sd):
    return lambda _: stats.norm(mean, sd)


def inverse_gamma(shape, typical):
    return lambda _: stats.invgamma(shape, scale=(shape - 1) * typical)


def survival(law, i):
    t = POSITIVE[i]
    return law.logsf(t) if CENSORED[i] else law.logpdf(t)


def weibull(a):
    return stats.weibull_min(a["shape"], scale=a["scale"])


NIG = "Normal with a normal–inverse-gamma mean and variance"
MEAN = "Normal with a normal mean"
VARIANCE = "Normal with a gamma precision"
WISHART = "Multivariate normal with a normal–Wishart mean and precision"
REGRESSION = "Normal linear regression with normal coefficients"
COVARIANCE = np.diag(np.array([5.0, 0.3]) ** 2)

CASES = {
    "normal_mean": Case(
        kernels.normal_mean,
        dict(observed=REAL, sigma=EXPOSURE, location=20.0, scale=10.0),
        lambda i, a: stats.norm(a["mu"], EXPOSURE[i]).logpdf(REAL[i]),
        {"mu": normal(20.0, 10.0)},
        {"mu": (MEAN, ())},
    ),
    "normal_variance": Case(
        kernels.normal_variance,
        dict(observed=REAL, mean=20.0, scale=5.0, prior_shape=3.0),
        lambda i, a: stats.norm(20.0, np.sqrt(a["sigma2"])).logpdf(REAL[i]),
        {"sigma2": inverse_gamma(3.0, 25.0)},
        {"sigma2": (VARIANCE, ())},
    ),
    "normal": Case(
        kernels.normal,
        dict(observed=REAL, location=20.0, scale=10.0),
        lambda i, a: stats.norm(a["mu"], np.sqrt(a["sigma2"])).logpdf(REAL[i]),
        {
            "mu": lambda a: stats.norm(20.0, 3.0 * np.sqrt(a["sigma2"])),
            "sigma2": inverse_gamma(2.0, 100.0 / 9.0),
        },
        {"mu": (NIG, ()), "sigma2": (NIG, ())},
    ),
    "normal_independent": Case(
        kernels.normal,
        dict(observed=REAL, location=20.0, scale=10.0, ratio=0.2, independent=True),
        lambda i, a: stats.norm(a["mu"], np.sqrt(a["sigma2"])).logpdf(REAL[i]),
        {"mu": normal(20.0, 10.0), "sigma2": inverse_gamma(2.0, 4.0)},
        {"mu": (MEAN, ("sigma2",)), "sigma2": (VARIANCE, ("mu",))},
    ),
    "student_t": Case(
        kernels.student_t,
        dict(observed=REAL, nu=3.0, location=20.0, scale=10.0, ratio=0.2),
        lambda i, a: stats.t(3.0, a["mu"], np.sqrt(a["sigma2"])).logpdf(REAL[i]),
        {"mu": normal(20.0, 10.0), "sigma2": inverse_gamma(2.0, 4.0)},
    ),
    "mvnormal_full": Case(
        kernels.mvnormal,
        dict(observed=VECTORS, location=[20.0, 1.0], scale=[5.0, 0.3]),
        lambda i, a: stats.multivariate_normal(a["mu"], np.linalg.inv(a["precision"])).logpdf(
            VECTORS[i]
        ),
        {
            "mu": lambda a: stats.multivariate_normal(
                [20.0, 1.0], 9.0 * np.linalg.inv(a["precision"])
            ),
            "precision": lambda _: stats.wishart(4.0, np.linalg.inv(COVARIANCE / 9.0)),
        },
        {"mu": (WISHART, ()), "precision": (WISHART, ())},
    ),
    "mvnormal_diagonal": Case(
        kernels.mvnormal,
        dict(observed=VECTORS, covariance="diagonal", location=[20.0, 1.0], scale=[5.0, 0.3]),
        lambda i, a: stats.multivariate_normal(a["mu"], np.diag(a["sigma2"])).logpdf(VECTORS[i]),
        {
            "mu": lambda a: stats.norm([20.0, 1.0], 3.0 * np.sqrt(a["sigma2"])),
            "sigma2": inverse_gamma(2.0, np.diag(COVARIANCE) / 9.0),
        },
        {"mu": (NIG, ()), "sigma2": (NIG, ())},
    ),
    "mvnormal_spherical": Case(
        kernels.mvnormal,
        dict(observed=VECTORS, covariance="spherical", location=[20.0, 1.0], scale=[5.0, 0.3]),
        lambda i, a: stats.multivariate_normal(a["mu"], a["sigma2"] * np.eye(2)).logpdf(VECTORS[i]),
        {
            "mu": normal([20.0, 1.0], [5.0, 0.3]),
            "sigma2": inverse_gamma(2.0, np.diag(COVARIANCE).mean() / 9.0),
        },
        {"mu": (MEAN, ("sigma2",)), "sigma2": (VARIANCE, ("mu",))},
    ),
    "exponential": Case(
        kernels.exponential,
        dict(observed=POSITIVE, scale=10.0),
        lambda i, a: stats.expon(scale=1.0 / a["rate"]).logpdf(POSITIVE[i]),
        {"rate": lambda _: stats.gamma(2.0, scale=1.0 / 10.0)},
        {"rate": ("Exponential with a gamma rate", ())},
    ),
    "exponential_censored": Case(
        kernels.exponential,
        dict(observed=POSITIVE, censored=CENSORED, scale=10.0, prior_shape=3.0),
        lambda i, a: survival(stats.expon(scale=1.0 / a["rate"]), i),
        {"rate": lambda _: stats.gamma(3.0, scale=1.0 / 20.0)},
    ),
    "weibull": Case(
        kernels.weibull,
        dict(observed=POSITIVE, scale=10.0),
        lambda i, a: weibull(a).logpdf(POSITIVE[i]),
        {
            "shape": lambda _: stats.lognorm(0.5),
            "scale": lambda _: stats.lognorm(1.0, scale=10.0),
        },
    ),
    "weibull_censored": Case(
        kernels.weibull,
        dict(observed=POSITIVE, censored=CENSORED, scale=10.0, spread=0.7, shape_spread=0.3),
        lambda i, a: survival(weibull(a), i),
        {
            "shape": lambda _: stats.lognorm(0.3),
            "scale": lambda _: stats.lognorm(0.7, scale=10.0),
        },
    ),
    "gamma": Case(
        kernels.gamma,
        dict(observed=POSITIVE, scale=10.0),
        lambda i, a: stats.gamma(a["shape"], scale=1.0 / a["rate"]).logpdf(POSITIVE[i]),
        {
            "shape": lambda _: stats.lognorm(1.0, scale=4.0),
            "rate": lambda a: stats.gamma(2.0, scale=a["shape"] / 10.0),
        },
        {"rate": ("Gamma with a gamma rate", ("shape",))},
    ),
    "gamma_known_shape": Case(
        kernels.gamma,
        dict(observed=POSITIVE, shape=2.5, scale=10.0, prior_shape=3.0),
        lambda i, a: stats.gamma(2.5, scale=1.0 / a["rate"]).logpdf(POSITIVE[i]),
        {"rate": lambda _: stats.gamma(3.0, scale=2.5 / 20.0)},
        {"rate": ("Gamma with a gamma rate", ())},
    ),
    "poisson": Case(
        kernels.poisson,
        dict(observed=COUNTS, exposure=EXPOSURE, scale=2.0, prior_shape=1.5),
        lambda i, a: stats.poisson(EXPOSURE[i] * a["rate"]).logpmf(COUNTS[i]),
        {"rate": lambda _: stats.gamma(1.5, scale=2.0 / 1.5)},
        {"rate": ("Poisson with a gamma rate", ())},
    ),
    "binomial": Case(
        kernels.binomial,
        dict(observed=COUNTS, trials=TRIALS, location=0.3, weight=4.0),
        lambda i, a: stats.binom(TRIALS[i], a["p"]).logpmf(COUNTS[i]),
        {"p": lambda _: stats.beta(1.2, 2.8)},
        {"p": ("Binomial with a beta probability", ())},
    ),
    "multinomial": Case(
        kernels.multinomial,
        dict(observed=TABLE),
        lambda i, a: stats.multinomial(20, a["p"]).logpmf(TABLE[i]),
        {"p": lambda _: stats.dirichlet([1.0, 1.0, 1.0])},
        {"p": ("Multinomial with Dirichlet probabilities", ())},
    ),
    "beta": Case(
        kernels.beta,
        dict(observed=FRACTION, precision=20.0, location=0.4, weight=5.0),
        lambda i, a: stats.beta(
            a["mean"] * a["precision"], (1.0 - a["mean"]) * a["precision"]
        ).logpdf(FRACTION[i]),
        {
            "mean": lambda _: stats.beta(2.0, 3.0),
            "precision": lambda _: stats.lognorm(1.0, scale=20.0),
        },
    ),
    "dirichlet": Case(
        kernels.dirichlet,
        dict(observed=PARTS, precision=20.0, location=[0.2, 0.5, 0.3], weight=10.0, spread=0.5),
        lambda i, a: stats.dirichlet(a["mean"] * a["precision"]).logpdf(PARTS[i]),
        {
            "mean": lambda _: stats.dirichlet([2.0, 5.0, 3.0]),
            "precision": lambda _: stats.lognorm(0.5, scale=20.0),
        },
    ),
    "linear_regression": Case(
        kernels.linear_regression,
        dict(observed=REAL, x=X2, location=20.0, scale=6.0, slope_scale=[1.0, 2.0]),
        lambda i, a: stats.norm(a["intercept"] + X2[i] @ a["slope"], np.sqrt(a["sigma2"])).logpdf(
            REAL[i]
        ),
        {
            "intercept": normal(20.0, 6.0),
            "slope": normal(0.0, [1.0, 2.0]),
            "sigma2": inverse_gamma(2.0, 4.0),
        },
        {
            "intercept": (REGRESSION, ("sigma2",)),
            "slope": (REGRESSION, ("sigma2",)),
            "sigma2": (VARIANCE, ("intercept", "slope")),
        },
    ),
    "linear_regression_known_sd": Case(
        kernels.linear_regression,
        dict(observed=REAL, x=X, sigma=2.0, location=20.0, scale=6.0, slope_scale=3.0),
        lambda i, a: stats.norm(a["intercept"] + X[i] * a["slope"], 2.0).logpdf(REAL[i]),
        {"intercept": normal(20.0, 6.0), "slope": normal(0.0, 3.0)},
        {"intercept": (REGRESSION, ()), "slope": (REGRESSION, ())},
    ),
}
