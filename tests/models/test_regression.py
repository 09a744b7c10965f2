"""Mixtures of regressions with an intercept, a slope and a scale per component."""

from functools import cache, partial

import numpy as np
import pymc as pm
import pytest
from scipy.stats import halfnorm, invgamma, multivariate_normal

import pymc_dpsteps as dps
from tests.helpers_chain import assert_means, atom_of_first_item, partition_functionals, run_chain
from tests.helpers_exact import crp, dirichlet
from tests.helpers_subsets import by_quadrature, subsets

K = 4
X = np.array([-1.2, -0.4, 0.1, 0.5, 0.9, 1.4])
Y = np.array([-1.1, -0.7, 0.9, 0.3, -0.2, 1.6])
N = len(Y)
WEIGHTS = np.full(K, 0.5)
LOCATION, SCALE, SLOPE_SCALE = 0.3, 1.0, 1.5
RATIO, SHAPE, SPREAD = 0.4, 2.5, 0.6


def written_out(z):
    intercept = pm.Normal("intercept", LOCATION, SCALE, shape=K)
    slope = pm.Normal("slope", 0, SLOPE_SCALE, shape=K)
    s = pm.HalfNormal("s", SPREAD, shape=K)
    pm.Normal("y", intercept[z] + slope[z] * X, s[z], observed=Y)


def ready_made(z):
    dps.kernels.linear_regression(
        "y",
        z,
        x=X,
        location=LOCATION,
        scale=SCALE,
        slope_scale=SLOPE_SCALE,
        ratio=RATIO,
        prior_shape=SHAPE,
        observed=Y,
    )


SCALES = {
    written_out: ("s_log__", halfnorm(scale=SPREAD), 1),
    ready_made: ("sigma2_log__", invgamma(SHAPE, scale=(SHAPE - 1) * (RATIO * SCALE) ** 2), 2),
}


@cache
def subsets_of(kernel):
    """Given the scale all is normal; the trapezoidal rule is over its logarithm."""
    _, law, power = SCALES[kernel]
    log_scale = np.linspace(-24.0, 9.0, 661)
    log_weights = law.logpdf(np.exp(log_scale)) + log_scale + np.log(log_scale[1] - log_scale[0])
    rows = [given_scale(X[mask], Y[mask], np.exp(2 * log_scale / power)) for mask in subsets(N)]
    log_likelihood, intercept, slope = np.stack(rows, axis=1)
    functions = {"intercept_1": intercept, "slope_1": slope, "log scale_1": log_scale}
    return by_quadrature(log_weights, log_likelihood, functions)


def given_scale(x, y, variance):
    """Log marginal likelihood, and means of intercept and slope, given every one of `variance`."""
    covariance = SCALE**2 + SLOPE_SCALE**2 * np.outer(x, x)
    spectrum, basis = np.linalg.eigh(covariance)
    spectrum = np.maximum(spectrum, 0.0)[:, None] + variance
    rotated = (basis.T @ (y - LOCATION))[:, None]
    log_density = -0.5 * (np.log(2 * np.pi * spectrum) + rotated**2 / spectrum).sum(axis=0)
    solved = basis @ (rotated / spectrum)
    return log_density, LOCATION + SCALE**2 * solved.sum(axis=0), SLOPE_SCALE**2 * x @ solved


def test_marginal_likelihood_given_the_scale():
    found, intercept, slope = given_scale(X, Y, np.array([0.3]))
    covariance = SCALE**2 + SLOPE_SCALE**2 * np.outer(X, X) + 0.3 * np.eye(N)
    expected = multivariate_normal(np.full(N, LOCATION), covariance).logpdf(Y)
    np.testing.assert_allclose(found, [expected], rtol=1e-10)
    design = np.column_stack([np.ones(N), X])  # ridge regression, the other way round
    prior = np.array([SCALE**-2, SLOPE_SCALE**-2])
    precision = design.T @ design / 0.3 + np.diag(prior)
    means = np.linalg.solve(precision, design.T @ Y / 0.3 + prior * [LOCATION, 0.0])
    np.testing.assert_allclose([intercept[0], slope[0]], means, rtol=1e-10)


STEPS = {
    "neal8": partial(dps.Neal8, m=2),
    "neal8-slice": partial(dps.Neal8, m=2, atoms="slice"),
    "split-merge": partial(dps.SplitMerge, proposal="nonconjugate", moves=3),
    "blocked": dps.BlockedGibbs,
}


def check(kernel, step, sweeps):
    log_prior = partial(dirichlet, a=WEIGHTS) if step == "blocked" else crp
    exact = subsets_of(kernel).posterior(K, log_prior)
    scale = SCALES[kernel][0]
    with pm.Model() as model:
        if step == "blocked":
            kernel(pm.Categorical("z", pm.Dirichlet("w", WEIGHTS), shape=N))
        else:
            kernel(dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N))
        names = ["z", "intercept", "slope", scale]
        chain = run_chain(STEPS[step](), model, names, sweeps, seed=58)
    draws = partition_functionals(chain["z"], K, exact["k"])
    for name, atom in (("intercept", "intercept"), ("slope", "slope"), ("log scale", scale)):
        draws[f"{name}_1"] = atom_of_first_item(chain["z"], chain[atom])
    assert_means(draws, exact)


@pytest.mark.parametrize(("kernel", "step"), [(written_out, "neal8"), (ready_made, "blocked")])
def test_regressions(kernel, step):
    check(kernel, step, 10_000)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [written_out, ready_made])
@pytest.mark.parametrize("step", STEPS)
def test_regressions_long(kernel, step):
    check(kernel, step, 100_000)
