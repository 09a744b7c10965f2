"""Auxiliaries that are kept for the next item, over sweeps of many items.

All observations are equal, so that the law of the number of clusters is a recursion over the size
of the cluster that holds the first item (Pitman 2006, section 1.2), for any N.
"""

import numpy as np
import pymc as pm
import pytest
from scipy.special import comb, gamma
from scipy.stats import multivariate_normal

import pymc_dpsteps as dps
from tests.helpers_chain import assert_means, run_chain

N, ALPHA, SPREAD = 40, 3.0, 8.0


def number_of_clusters():
    """P(k) for y = 0, F = Normal(mu, 1), mu ~ Normal(0, SPREAD)."""
    z = [np.array([1.0])]  # coefficients of ALPHA^k
    density = [
        multivariate_normal.pdf(np.zeros(n), cov=np.eye(n) + SPREAD**2) for n in range(1, N + 1)
    ]
    scale = (2.0 * np.pi) ** (0.5 * np.arange(1, N + 1))  # keeps the numbers near 1
    for size in range(1, N + 1):
        total = np.zeros(size + 1)
        for n in range(1, size + 1):
            weight = comb(size - 1, n - 1) * gamma(n) * density[n - 1] * scale[n - 1]
            total[1 : size - n + 2] += weight * z[size - n]
        z.append(total)
    p = z[N] * ALPHA ** np.arange(N + 1)
    return p / p.sum()


@pytest.mark.parametrize(("prior", "m"), [("restaurant", 1), ("restaurant", 4), ("sticks", 2)])
def test_number_of_clusters(prior, m):
    n_slots = N if prior == "restaurant" else 60
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, SPREAD, shape=n_slots)
        if prior == "restaurant":
            z = dps.ChineseRestaurantProcess("z", ALPHA, K=n_slots, shape=N)
        else:  # 60 sticks: what they cut off has a mean of 4e-8
            w = pm.StickBreakingWeights("w", ALPHA, K=n_slots - 1)
            z = pm.Categorical("z", w, shape=N)
        pm.Normal("y", mu[z], 1.0, observed=np.zeros(N))
        step = dps.Neal8(m=m)
    chain = run_chain(step, model, ["z"], 20_000, seed=8)
    k = np.array([len(np.unique(row)) for row in chain["z"]])
    p = number_of_clusters()
    exact = {f"k = {j}": p[j] for j in range(1, 8)}
    exact |= {"k": p @ np.arange(N + 1), "k^2": p @ np.arange(N + 1) ** 2}
    assert_means({f"k = {j}": k == j for j in range(1, 8)} | {"k": k, "k^2": k**2}, exact)
