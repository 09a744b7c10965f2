"""Coverage over data sets that come from the prior: what a calibrated posterior must have.

Given the data, a density drawn from the prior that made them is a draw from the posterior. So
the 89% band at a point holds it in 89% of data sets, and the 89% predictive interval holds 89%
of its mass on average.
"""

import logging

import numpy as np
import pymc as pm
import pytest
from scipy import stats

import pymc_dpsteps as dps

N, ALPHA = 40, 1.0
GRID = np.array([-3.0, -1.0, 0.0, 0.5, 2.0])


def draw_truth(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and standard deviations of the components of a density."""
    n = 200 if kind == "restaurant" else 12  # (1/2)^200 is left to no component
    sticks = rng.beta(1, ALPHA, size=n)
    sticks[-1] = 1.0
    weights = sticks * np.concatenate([[1.0], np.cumprod(1 - sticks[:-1])])
    return weights, rng.normal(0, 2, size=n), rng.lognormal(-0.5, 0.4, size=n)


def build(kind: str, y: np.ndarray) -> pm.Model:
    n_components = N if kind == "restaurant" else 12
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2, shape=n_components)
        sigma = pm.LogNormal("sigma", -0.5, 0.4, shape=n_components)
        if kind == "restaurant":
            z = dps.ChineseRestaurantProcess("z", ALPHA, K=n_components, shape=N)
        else:
            w = pm.StickBreakingWeights("w", ALPHA, K=n_components - 1)
            z = pm.Categorical("z", w, shape=N)
        pm.Normal("y", mu[z], sigma[z], observed=y)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["restaurant", "sticks"])
def test_bands_and_predictive_intervals_cover(kind):
    logging.getLogger("pymc").setLevel(logging.WARNING)
    n_sets = 200
    inside = np.zeros((n_sets, len(GRID)))
    mass = np.zeros(n_sets)
    for number in range(n_sets):
        rng = np.random.default_rng([11, number])
        w, mu, sigma = draw_truth(kind, rng)
        z = rng.choice(len(w), size=N, p=w)
        model = build(kind, rng.normal(mu[z], sigma[z]))
        idata = dps.sample(
            1500, tune=300, chains=1, model=model, random_seed=rng, progressbar=False, quiet=True
        )
        band = dps.predict.density(idata, GRID, model=model, random_seed=rng)
        truth = stats.norm.pdf(GRID[:, None], mu, sigma) @ w
        inside[number] = (band["lower"] <= truth) & (truth <= band["upper"])
        new = dps.predict.new_data(idata, model=model, random_seed=rng)
        ends = np.quantile(new["posterior_predictive"]["y"], [0.055, 0.945])
        mass[number] = np.diff(stats.norm.cdf(ends[:, None], mu, sigma) @ w)[0]
    for name, sample in ("band", inside.mean(axis=1)), ("predictive interval", mass):
        error = sample.std() / np.sqrt(n_sets)
        print(f"{kind}, {name}: {sample.mean():.4f} +- {error:.4f}, expected 0.89")
        assert abs(sample.mean() - 0.89) < 5 * error
        assert error < 0.02  # else the test says little
