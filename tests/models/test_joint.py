"""Geweke's test and calibration of censored times, counts over groups and regressions."""

import numpy as np
import pymc as pm
import pytest

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

LIMIT = np.geomspace(0.2, 4.0, N)  # each item is watched for a time of its own
ITEM = np.array([3, 0, 1, 3, 4, 3, 0, 1, 5, 1, 6, 6, 7, 8, 8, 8])  # items 2 and 9 are never seen
EXPOSURE = np.linspace(0.3, 2.0, len(ITEM))
X = np.linspace(-1.5, 1.5, N)


def censored(time):
    """PyMC would start beyond the limits, where no time can be."""
    options = dict(shape=N, default_transform=None, initval=LIMIT / 2)
    pm.Censored("y", time, lower=None, upper=LIMIT, **options)


def censored_exponential(z):
    rate = pm.Gamma("rate", 3, 2, shape=K)
    censored(pm.Exponential.dist(rate[z]))


def censored_weibull(z):
    shape = pm.LogNormal("shape", 0, 0.5, shape=K)
    scale = pm.LogNormal("scale", 0, 1, shape=K)
    censored(pm.Weibull.dist(shape[z], scale[z]))


def counts_over_groups(z):
    rate = pm.Gamma("rate", 2, 0.5, shape=K)
    pm.Poisson("y", EXPOSURE * rate[z[ITEM]], shape=len(ITEM))


def regression(z):
    a = pm.Normal("a", 0, 1.5, shape=K)
    b = pm.Normal("b", 0, 1, shape=K)
    s = pm.Gamma("s", 4, 6, shape=K)
    pm.Normal("y", a[z] + b[z] * X, s[z], shape=N)


def times(p):
    """Numbers of events are functions of the data, but not their products with the rate."""
    return [(p["y"] < LIMIT) @ np.log(p["rate"][p["z"]]), p["y"][-1] * p["rate"][p["z"][-1]]]


def weibull_times(p):
    shape, scale = np.log(p["shape"][p["z"]]), np.log(p["scale"][p["z"]])
    return [scale[0], scale.mean(), shape @ scale, (p["y"] < LIMIT) @ shape, p["y"] @ scale]


def totals(p):
    rate = p["rate"][p["z"]]
    return [np.log(rate[2]), np.log(rate[9]), p["y"] @ rate[ITEM]]


def lines(p):
    a, b, s = (p[name][p["z"]] for name in "abs")
    return [b[0], b[-1], (a * b).mean(), s[0], np.log(s).mean(), ((p["y"] - a - b * X) / s) @ s]


EXPONENTIAL = Kernel(
    censored_exponential,
    lambda rng, p, z: np.minimum(rng.exponential(1.0 / p["rate"][z]), LIMIT),
    "rate",
    [crp, sticks],
    more=times,
)
WEIBULL = Kernel(
    censored_weibull,
    lambda rng, p, z: np.minimum(p["scale"][z] * rng.weibull(p["shape"][z]), LIMIT),
    "shape",
    [pitman_yor, sticks],
    more=weibull_times,
)
COUNTS = Kernel(
    counts_over_groups,
    lambda rng, p, z: rng.poisson(EXPOSURE * p["rate"][z[ITEM]]),
    "rate",
    [crp, dirichlet],
    conjugate=True,
    more=totals,
)
REGRESSION = Kernel(
    regression,
    lambda rng, p, z: rng.normal(p["a"][z] + p["b"][z] * X, p["s"][z]),
    "a",
    [crp, sticks],
    more=lines,
)

KERNELS = [EXPONENTIAL, WEIBULL, COUNTS, REGRESSION]
CASES = [
    case
    for name in ("neal3", "neal8-m2", "blocked", "split-merge")
    for case in cases_of(name, KERNELS)
]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_geweke(case):
    """Every mean within 5 standard errors (ESS-based for the chain)."""
    assert np.abs(geweke_z_scores(case, 50_000, seed=13)).max() < 5.0


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_simulation_based_calibration(case):
    """Fails at p < 1e-5 for any functional of the parameters."""
    p_values = calibration_p_values(case, seed=22)
    assert min(p_values.values()) > 1e-5, p_values
