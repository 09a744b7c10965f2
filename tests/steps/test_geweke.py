"""Joint-distribution tests of every algorithm with several kernels; see `helpers_joint`."""

import numpy as np
import pymc as pm
import pytest

from tests.helpers_algorithms import ALGORITHMS
from tests.helpers_joint import (
    K,
    Kernel,
    N,
    calibration_p_values,
    cases_of,
    crp,
    dirichlet,
    geweke_z_scores,
    pitman_yor,
    sticks,
)


def normal(z):
    mu = pm.Normal("mu", 1, 2, shape=K)
    sigma = pm.Gamma("sigma", 4, 4, shape=K)
    pm.Normal("y", mu[z], sigma[z], shape=N)


def poisson(z):
    rate = pm.Gamma("rate", 2, 0.5, shape=K)
    pm.Poisson("y", rate[z], shape=N)


def exponential(z):
    rate = pm.Gamma("rate", 3, 2, shape=K)
    pm.Exponential("y", rate[z], shape=N, default_transform=None)


def student(z):
    mu = pm.Normal("mu", 0, 3, shape=K)
    pm.StudentT("y", nu=4, mu=mu[z], sigma=0.7, shape=N)


def normal_with_hyperparameter(z):
    m = pm.Normal("m", 0, 1)
    mu = pm.Normal("mu", m, 2, shape=K)
    pm.Normal("y", mu[z], 0.7, shape=N)


def draw_hyperparameter(rng, point):
    """M given the atoms of all K components, which other step methods would update."""
    precision = 1.0 + K / 4.0
    mean = point["mu"].sum() / 4.0 / precision
    return point | {"m": np.array(rng.normal(mean, precision**-0.5))}


def scale_of(p):
    return [p["sigma"][p["z"][0]], np.log(p["sigma"][p["z"]]).mean()]


NORMAL = Kernel(
    normal,
    lambda rng, p, z: rng.normal(p["mu"][z], p["sigma"][z]),
    "mu",
    [crp, sticks],
    more=scale_of,
)
POISSON = Kernel(
    poisson,
    lambda rng, p, z: rng.poisson(p["rate"][z]),
    "rate",
    [pitman_yor, sticks],
    conjugate=True,
)
EXPONENTIAL = Kernel(
    exponential,
    lambda rng, p, z: rng.exponential(1.0 / p["rate"][z]),
    "rate",
    [dirichlet, crp],
    conjugate=True,
)
STUDENT = Kernel(
    student,
    lambda rng, p, z: p["mu"][z] + 0.7 * rng.standard_t(4, size=N),
    "mu",
    [sticks, pitman_yor],
)
HYPERPARAMETER = Kernel(
    normal_with_hyperparameter,
    lambda rng, p, z: rng.normal(p["mu"][z], 0.7),
    "mu",
    [crp, dirichlet],
    conjugate=True,
    more=lambda p: [p["m"], p["m"] * p["mu"][p["z"][0]]],
    between=draw_hyperparameter,
)
KERNELS = [NORMAL, POISSON, EXPONENTIAL, STUDENT, HYPERPARAMETER]

CASES = {name: cases_of(name, KERNELS) for name in ALGORITHMS}
# One of each algorithm, kernels in turn.
QUICK = [cases[j % len(cases)] for j, cases in enumerate(CASES.values())]
LONG = [case for cases in CASES.values() for case in cases]
CALIBRATED = ("neal8-m2", "blocked", "slice", "importance", "split-merge")
CALIBRATION = [case for name in CALIBRATED for case in cases_of(name, [NORMAL, POISSON, STUDENT])]


@pytest.mark.parametrize("case", QUICK, ids=str)
def test_geweke(case):
    """Every mean within 5 standard errors (ESS-based for the chain)."""
    assert np.abs(geweke_z_scores(case, 4_000, seed=11)).max() < 5.0


@pytest.mark.slow
@pytest.mark.parametrize("case", LONG, ids=str)
def test_geweke_long(case):
    """As above with 100,000 iterations."""
    assert np.abs(geweke_z_scores(case, 100_000, seed=12)).max() < 5.0


@pytest.mark.slow
@pytest.mark.parametrize("case", CALIBRATION, ids=str)
def test_simulation_based_calibration(case):
    """Fails at p < 1e-5 for any functional of the parameters."""
    p_values = calibration_p_values(case, seed=21)
    assert min(p_values.values()) > 1e-5, p_values
