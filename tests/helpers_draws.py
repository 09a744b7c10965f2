"""Invented posterior draws of small mixtures, for tests of what is computed from draws."""

import numpy as np
import pymc as pm
import xarray as xr
from scipy import stats

import pymc_dpsteps as dps

RNG = np.random.default_rng(3)
N, K, S = 7, 5, 6
Y = RNG.normal(size=N)
GRID = np.linspace(-3, 3, 20)  # neither N nor a multiple of it


def tree(**draws: np.ndarray) -> xr.DataTree:
    data = {
        name: (("chain", "draw", *(f"{name}_{d}" for d in range(x.ndim - 1))), x[None])
        for name, x in draws.items()
    }
    return xr.DataTree.from_dict({"posterior": xr.Dataset(data)})


def normal_draws() -> dict[str, np.ndarray]:
    return {
        "mu": RNG.normal(size=(S, K)),
        "sigma": RNG.gamma(4, 0.25, size=(S, K)),
        "z": RNG.integers(0, K - 1, size=(S, N)),  # the last slot stays empty
    }


def normal_kernel(state: dict[str, np.ndarray], points: np.ndarray = GRID) -> np.ndarray:
    """Return F at every draw, point and component."""
    return stats.norm.pdf(points[:, None], state["mu"][:, None], state["sigma"][:, None])


def weighted_model() -> pm.Model:
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.ones(K))
        mu = pm.Normal("mu", 0, 2, shape=K)
        sigma = pm.HalfNormal("sigma", 1, shape=K)
        z = pm.Categorical("z", w, shape=N)
        pm.Normal("y", mu[z], sigma[z], observed=Y)
    return model


def weighted_draws() -> dict[str, np.ndarray]:
    return normal_draws() | {"w": RNG.dirichlet(np.ones(K), size=S)}


def restaurant_model(alpha: float = 0.7, discount: float = 0.25) -> pm.Model:
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2, shape=K)
        sigma = pm.HalfNormal("sigma", 1, shape=K)
        z = dps.ChineseRestaurantProcess("z", alpha, discount, K=K, shape=N)
        pm.Normal("y", mu[z], sigma[z], observed=Y)
    return model


def restaurant_weights(labels: np.ndarray, alpha: float, discount: float) -> np.ndarray:
    """Predictive weight of every slot given N labels, by the definition."""
    counts = np.bincount(labels, minlength=K)
    occupied = counts > 0
    weights = np.empty(K)
    weights[occupied] = counts[occupied] - discount
    weights[~occupied] = (alpha + discount * occupied.sum()) / (~occupied).sum()
    return weights / (alpha + len(labels))
