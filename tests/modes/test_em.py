"""The objective of EM against sums over all allocations, and its modes against brute force."""

import itertools

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from scipy import stats
from scipy.special import logsumexp

import pymc_dpsteps as dps
from pymc_dpsteps.mixture import read_mixture
from pymc_dpsteps.modes.em import ascend, draw_start, find_mode
from pymc_dpsteps.modes.objective import compile_objective
from tests.helpers_modes import interpreted


@pytest.fixture(autouse=True)
def _interpreted():
    with interpreted():
        yield


Y = np.array([-1.3, -1.1, 0.4, 2.0])
K = 3


def normal_model(allocation, y=Y, n_components=K):
    """Normals of unknown means and scales; `allocation` makes z given alpha."""
    with pm.Model() as model:
        alpha = pm.Gamma("alpha", 2, 2)
        mu = pm.Normal("mu", pm.Normal("centre", 0, 2), 2, shape=n_components)
        sigma = pm.InverseGamma("sigma", 3, 2, shape=n_components)
        z = allocation(alpha, len(y), n_components)
        pm.Normal("y", mu[z], sigma[z] * pm.LogNormal("unit"), observed=y)
    return model


def crp(alpha, n, k):
    return dps.ChineseRestaurantProcess("z", alpha, K=k, shape=n)


def pitman_yor(alpha, n, k):
    return dps.ChineseRestaurantProcess("z", alpha, pm.Beta("d", 2, 3), K=k, shape=n)


def stick_weights(alpha, n, k):
    return pm.Categorical("z", pm.StickBreakingWeights("w", alpha, K=k - 1), shape=n)


def written_out(alpha, n, k, d=0.0):
    """The sticks that stand in for the weights of a process."""
    v = pm.Beta("z_sticks", 1 - d, alpha + d * np.arange(1, k), shape=k - 1)
    rest = pt.concatenate([[1.0], pt.cumprod(1 - v)])
    return pm.Categorical("z", pt.concatenate([v, [1.0]]) * rest, shape=n)


def written_out_pitman_yor(alpha, n, k):
    return written_out(alpha, n, k, pm.Beta("d", 2, 3))


def unknown_law(alpha, n, k):
    return pm.Categorical("z", pt.special.softmax(pm.Normal("eta", 0, alpha, shape=k)), shape=n)


def summed_out(model, point):
    """Log of the sum of the model's density over all allocations."""
    logp = model.compile_logp()
    labels = itertools.product(range(K), repeat=len(Y))
    return logsumexp([logp({**point, "z": np.array(z)}) for z in labels])


@pytest.mark.parametrize(
    ("allocation", "reference"),
    [
        (stick_weights, stick_weights),
        (unknown_law, unknown_law),
        (crp, written_out),
        (pitman_yor, written_out_pitman_yor),
    ],
)
def test_objective_is_the_density_summed_over_allocations(allocation, reference):
    objective = compile_objective(read_mixture(normal_model(allocation)))
    model = normal_model(reference)
    rng = np.random.default_rng(0)
    for _ in range(2):
        x = rng.normal(size=objective.places[-1].entries.stop)
        log_posterior, r = objective.marginal(x)
        assert log_posterior == pytest.approx(summed_out(model, objective.unpack(x)), rel=1e-12)
        np.testing.assert_allclose(r.sum(axis=1), 1.0)
        # Fisher's identity, and the gradient by central differences
        step = 1e-5 * np.eye(len(x))
        slope = [(objective.marginal(x + h)[0] - objective.marginal(x - h)[0]) / 2e-5 for h in step]
        np.testing.assert_allclose(objective.expected(x, r)[1], slope, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(objective.pack(objective.unpack(x)), x)


@pytest.mark.filterwarnings("ignore::pymc.exceptions.ImputationWarning")
def test_missing_observations_drop_out():
    found = []
    for y in (Y, np.insert(Y, 1, np.nan)):
        objective = compile_objective(read_mixture(normal_model(stick_weights, y)))
        x = np.linspace(-0.5, 0.7, objective.places[-1].entries.stop)
        found.append(objective.marginal(x)[0])
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def poisson_model():
    with pm.Model() as model:
        rate = pm.Gamma("rate", 2, 0.2, shape=5)
        z = dps.ChineseRestaurantProcess("z", pm.Exponential("alpha", 1), K=5, shape=15)
        pm.Poisson("y", rate[z], observed=np.random.default_rng(0).poisson([3] * 10 + [25] * 5))
    return model


def uniform_model():
    """A kernel of bounded support: components that cannot have made an item."""
    with pm.Model() as model:
        top = pm.Pareto("top", 1.5, 1.0, shape=4)
        z = pm.Categorical("z", pm.Dirichlet("w", np.ones(4)), shape=20)
        pm.Uniform("y", 0, top[z], observed=np.random.default_rng(0).uniform(0, 6, size=20))
    return model


def plane_model():
    rng = np.random.default_rng(2)
    y = np.concatenate([rng.multivariate_normal(c, np.eye(2), size=6) for c in ([0, 0], [6, 3])])
    with pm.Model() as model:
        precision = pm.Wishart("precision", 5, np.eye(2), shape=(3, 2, 2))
        mu = pm.Normal("mu", 0, 5, shape=(3, 2))
        z = dps.ChineseRestaurantProcess("z", 1.0, K=3, shape=12)
        pm.MvNormal("y", mu[z], cov=pt.linalg.inv(precision)[z], observed=y)
    return model


@pytest.mark.parametrize(
    "make",
    [
        lambda: normal_model(crp),
        poisson_model,
        uniform_model,
        pytest.param(plane_model, marks=pytest.mark.slow),
    ],
)
def test_em_never_falls_and_ends_where_the_gradient_vanishes(make):
    objective = compile_objective(read_mixture(make()))
    climb = ascend(objective, draw_start(objective, np.random.default_rng(0)))
    assert (np.diff(climb.path) > 0).all()
    mode = find_mode(objective, np.random.default_rng(0))
    assert mode.log_posterior >= climb.log_posterior
    if make is not uniform_model:  # its density is largest where it jumps
        assert len(climb.path) > 2
        gradient = objective.expected(mode.x, mode.responsibilities)[1]
        assert np.abs(gradient).max() < 1e-3
        assert len(ascend(objective, mode.x).path) <= 2


# Dirichlet weights and normals of known noise: every step of EM in closed form.
A = np.array([1.0, 0.5, 2.0])
NOISE, SPREAD = 0.6, 3.0


def dirichlet_model(y):
    with pm.Model() as model:
        w = pm.Dirichlet("w", A)
        mu = pm.Normal("mu", 0, SPREAD, shape=3)
        z = pm.Categorical("z", w, shape=len(y))
        pm.Normal("y", mu[z], NOISE, observed=y)
    return model


def log_normal(y, mean, sd):
    return -0.5 * ((y - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)


def closed_form_step(y, w, mu):
    """One iteration of EM; in logits Dirichlet(a) has its mode at w proportional to a."""
    joint = np.log(w) + log_normal(y[:, None], mu, NOISE)
    r = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    mu = (r.T @ y / NOISE**2) / (r.sum(axis=0) / NOISE**2 + 1 / SPREAD**2)
    return (r.sum(axis=0) + A) / (len(y) + A.sum()), mu


def closed_form_log_posterior(y, w, mu):
    """Log density in PyMC's simplex coordinates, whose Jacobian is K times the product of w."""
    log_likelihood = logsumexp(np.log(w) + log_normal(y[:, None], mu, NOISE), axis=1).sum()
    log_prior = stats.dirichlet(A).logpdf(w) + log_normal(mu, 0, SPREAD).sum()
    return log_likelihood + log_prior + np.log(w).sum() + np.log(3)


def test_modes_are_those_of_em_in_closed_form():
    rng = np.random.default_rng(3)
    y = np.concatenate([rng.normal(m, NOISE, size=n) for m, n in ((-3, 9), (0, 14), (1.5, 6))])
    best = -np.inf
    for _ in range(10):
        w, mu = rng.dirichlet(A + 1), rng.normal(0, SPREAD, size=3)
        for _ in range(500):
            w, mu = closed_form_step(y, w, mu)
        best = max(best, closed_form_log_posterior(y, w, mu))
    mode = dps.find_map(dirichlet_model(y), restarts=5, random_seed=0)["mode"].to_dataset()
    w, mu = mode["w"].to_numpy(), mode["mu"].to_numpy()
    found = mode.attrs["log_posterior"]
    # PyMC holds the constants of the transform in single precision.
    assert found == pytest.approx(closed_form_log_posterior(y, w, mu), abs=1e-6)
    assert found == pytest.approx(best, abs=1e-6)
    next_w, next_mu = closed_form_step(y, w, mu)
    np.testing.assert_allclose(next_w, w, atol=1e-6)
    np.testing.assert_allclose(next_mu, mu, atol=1e-6)


def test_the_best_mode_of_a_tiny_model_is_that_of_a_grid():
    y, weights = np.array([-2.0, -1.5, 1.0, 1.1, 3.0]), np.array([0.3, 0.7])
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2, shape=2)
        z = pm.Categorical("z", weights, shape=5)
        pm.Normal("y", mu[z], 0.7, observed=y)
    axis = np.linspace(-4, 4, 401)
    first, second = np.meshgrid(axis, axis, indexing="ij")
    grid = stats.norm(0, 2).logpdf(first) + stats.norm(0, 2).logpdf(second)
    for value in y:
        kernel = [stats.norm(m, 0.7).pdf(value) for m in (first, second)]
        grid += np.log(weights[0] * kernel[0] + weights[1] * kernel[1])
    mode = dps.find_map(model, random_seed=1)["mode"]
    top = np.unravel_index(grid.argmax(), grid.shape)
    np.testing.assert_allclose(mode["mu"], axis[list(top)], atol=0.02)
    assert grid.max() - 1e-6 <= mode.attrs["log_posterior"] < grid.max() + 0.01
