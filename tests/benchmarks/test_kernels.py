"""Time of a sweep of Neal 8 for every ready-made kernel."""

import numpy as np
import pymc as pm
import pytest

import pymc_dpsteps as dps
from pymc_dpsteps import kernels
from pymc_dpsteps.steps.neal8 import neal8_sweep
from tests.benchmarks.timing import median_seconds, settled

N, K, M = 1_000, 30, 3
RNG = np.random.default_rng(0)
GROUP = RNG.integers(0, 3, size=N)
REAL = RNG.normal(np.array([-6.0, 0.0, 6.0])[GROUP], 1.0)
VECTORS = RNG.normal(REAL[:, None], 1.0, size=(N, 5))
POSITIVE = RNG.gamma(3.0, np.array([1.0, 6.0, 36.0])[GROUP] / 3.0)
RATE = np.array([1.0, 10.0, 60.0])[GROUP]
P = np.array([0.1, 0.5, 0.9])[GROUP]
SHARES = np.array([[8.0, 1.0, 1.0], [1.0, 8.0, 1.0], [1.0, 1.0, 8.0]])[GROUP]
X = RNG.normal(size=N)

CASES = {
    "normal_mean": (kernels.normal_mean, dict(observed=REAL, sigma=1.0, scale=6.0)),
    "normal_variance": (kernels.normal_variance, dict(observed=REAL, mean=0.0, scale=6.0)),
    "normal": (kernels.normal, dict(observed=REAL, scale=6.0)),
    "student_t": (kernels.student_t, dict(observed=REAL, nu=4.0, scale=6.0)),
    "mvnormal full, D = 5": (kernels.mvnormal, dict(observed=VECTORS, scale=6.0)),
    "mvnormal diagonal, D = 5": (
        kernels.mvnormal,
        dict(observed=VECTORS, scale=6.0, covariance="diagonal"),
    ),
    "mvnormal spherical, D = 5": (
        kernels.mvnormal,
        dict(observed=VECTORS, scale=6.0, covariance="spherical"),
    ),
    "exponential": (kernels.exponential, dict(observed=POSITIVE, scale=10.0)),
    "exponential, a third censored": (
        kernels.exponential,
        dict(observed=POSITIVE, censored=np.arange(N) % 3 == 0, scale=10.0),
    ),
    "weibull": (kernels.weibull, dict(observed=POSITIVE, scale=10.0)),
    "weibull, a third censored": (
        kernels.weibull,
        dict(observed=POSITIVE, censored=np.arange(N) % 3 == 0, scale=10.0),
    ),
    "gamma": (kernels.gamma, dict(observed=POSITIVE, scale=10.0)),
    "poisson": (kernels.poisson, dict(observed=RNG.poisson(RATE), scale=10.0)),
    "binomial": (kernels.binomial, dict(observed=RNG.binomial(20, P), trials=20)),
    "multinomial, 3 classes": (
        kernels.multinomial,
        dict(observed=RNG.multinomial(20, SHARES / 10.0)),
    ),
    "beta": (kernels.beta, dict(observed=RNG.beta(20.0 * P, 20.0 * (1.0 - P)), precision=20.0)),
    "dirichlet, 3 parts": (
        kernels.dirichlet,
        dict(observed=np.array([RNG.dirichlet(4.0 * a) for a in SHARES]), precision=20.0),
    ),
    "linear_regression": (
        kernels.linear_regression,
        dict(observed=REAL + GROUP * X, x=X, scale=6.0, slope_scale=3.0),
    ),
}


def test_every_kernel_is_timed():
    assert {kernel.__name__ for kernel, _ in CASES.values()} == set(kernels.__all__)


@pytest.mark.benchmark
@pytest.mark.parametrize("name", CASES)
def test_sweep_of_neal8(name, record):
    kernel, options = CASES[name]
    with pm.Model() as model:
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        kernel("y", z, **options)
        step = dps.Neal8(m=M)
    state = settled(step, model)
    seconds = median_seconds(lambda: neal8_sweep(step.rng, state, M, step.reuse), repeats=50)
    record("kernels", kernel=name, clusters=int(state.n_active[0]), ns_per_item=seconds / N * 1e9)
