"""Small mixtures of several kernels, for networks that learn parameters."""

import numpy as np
import pymc as pm

import pymc_dpsteps as dps
from tests.helpers_exact import NOISE, SPREAD, crp, enumerate_normal

K = 6


def _allocation(n):
    return dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=n)


def normal_mean(n):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 2.0, shape=(K, 2))
        pm.Normal("y", mu[_allocation(n)], 1.0, observed=np.zeros((n, 2)))
    return model


def normal_variance(n):
    with pm.Model() as model:
        variance = pm.InverseGamma("variance", 3.0, 2.0, shape=K)
        pm.Normal("y", 0.0, variance[_allocation(n)] ** 0.5, observed=np.zeros(n))
    return model


def normal_both(n):
    """No conjugate pair, and weights that are sticks."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 2.0, shape=(K, 2))
        sigma = pm.HalfNormal("sigma", 1.0, shape=K)
        w = pm.StickBreakingWeights("w", 1.0, K=K - 1)
        z = pm.Categorical("z", w, shape=n)
        pm.Normal("y", mu[z], sigma[z][:, None], observed=np.zeros((n, 2)))
    return model


def exponential(n):
    """The base measure has a hyperparameter."""
    with pm.Model() as model:
        scale = pm.Gamma("scale", 2.0, 2.0)
        rate = pm.Gamma("rate", 2.0, scale, shape=K)
        pm.Exponential("y", rate[_allocation(n)], observed=np.ones(n))
    return model


def dirichlet(n):
    with pm.Model() as model:
        p = pm.Dirichlet("p", [1.0, 2.0, 0.5], shape=(K, 3))
        pm.Multinomial("y", 10, p[_allocation(n)], observed=np.tile([4, 3, 3], (n, 1)))
    return model


KERNELS = {
    f.__name__: f for f in (normal_mean, normal_variance, normal_both, exponential, dirichlet)
}


def four_points(n):
    """A model whose posterior means are enumerated by `exact_means`."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, SPREAD, shape=4)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=4, shape=n)
        pm.Normal("y", mu[z], NOISE, observed=np.zeros(n))
    return model


def exact_means(y):
    """E[θ_i | y] by enumeration of all partitions, independent of the package."""
    means = []
    for i in range(len(y)):
        found = enumerate_normal(np.roll(y, -i), 4, crp)
        means.append(found.probability @ found.theta_1)
    return np.array(means)


def losses(learner, schedule, n_steps, *, seed=0, rate=5e-3):
    """Losses of the same 100 batches before and after a few steps of training."""
    import torch

    rng = np.random.default_rng(seed)
    learner.simulator.seed(seed)
    held_out = [learner.batch(schedule, rng) for _ in range(100)]
    optimizer = torch.optim.Adam(learner.network.parameters(), lr=rate)

    def of_each():
        with torch.no_grad():
            return np.array([learner.loss(learner.network, batch).item() for batch in held_out])

    before = of_each()
    for _ in range(n_steps):
        optimizer.zero_grad()
        learner.loss(learner.network, learner.batch(schedule, rng)).backward()
        optimizer.step()
    return before, of_each()
