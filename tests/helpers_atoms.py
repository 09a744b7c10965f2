"""Mixtures without a conjugate pair, and their posteriors by enumeration and quadrature."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
from numpy.typing import NDArray
from scipy import stats
from scipy.special import gammaln, logsumexp

import pymc_dpsteps as dps
from tests.helpers_amortized import importorskip
from tests.helpers_exact import gamma_grid
from tests.helpers_partitions import all_partitions

K = 7


def heavy_mean(n, alpha=None):
    """Normal kernel of known spread, and a mean whose prior has heavy tails."""
    with pm.Model() as model:
        alpha = pm.Gamma("alpha", 2.0, 2.0) if alpha is None else alpha
        mu = pm.StudentT("mu", nu=3, mu=0.0, sigma=1.5, shape=K)
        z = dps.ChineseRestaurantProcess("z", alpha, K=K, shape=n)
        pm.Normal("y", mu[z], 0.7, observed=np.zeros(n))
    return model


def mean_and_variance(n):
    """Normal kernel; its mean and variance are independent under G0."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 2.0, shape=K)
        s2 = pm.InverseGamma("s2", 3.0, 1.5, shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.3, 0.2, K=K, shape=n)
        pm.Normal("y", mu[z], s2[z] ** 0.5, observed=np.zeros(n))
    return model


def gamma_kernel(n):
    """No pair at all."""
    with pm.Model() as model:
        shape = pm.LogNormal("a", 0.7, 0.5, shape=K)
        rate = pm.LogNormal("b", 0.0, 1.0, shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=n)
        pm.Gamma("y", alpha=shape[z], beta=rate[z], observed=np.ones(n))
    return model


def uniform_kernel(n):
    """Some items cannot be in some clusters."""
    with pm.Model() as model:
        width = pm.Gamma("width", 2.0, 1.0, shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=n)
        pm.Uniform("y", 0.0, width[z], observed=np.full(n, 0.5))
    return model


@dataclass(frozen=True)
class Case:
    """A model, data, and what is needed to integrate atoms out, all by scipy.

    Attributes
    ----------
    log_g0 : (G,)
        Log density of the base measure on a grid, in value space, plus log of the cell.
    log_f : (n, G)
    first : (G,)
        The atom of which θ_1 is looked at.
    prior : log p(c) by cluster sizes
    """

    build_model: Callable[[int], pm.Model]
    y: NDArray[np.float64]
    log_g0: NDArray[np.float64]
    log_f: NDArray[np.float64]
    first: NDArray
    prior: Callable[[NDArray[np.int64]], float]


def log_eppf(sizes: NDArray[np.int64], alpha: Any, discount: float = 0.0) -> Any:
    """Exchangeable partition probability."""
    n, k = int(sizes.sum()), len(sizes)
    opened = sum(np.log(alpha + discount * j) for j in range(1, k))
    joined = (gammaln(sizes - discount) - gammaln(1.0 - discount)).sum()
    return opened + joined - gammaln(alpha + n) + gammaln(alpha + 1.0)


def _random_alpha(sizes: NDArray[np.int64]) -> float:
    grid = gamma_grid(2.0, 2.0)
    return float(logsumexp(log_eppf(sizes, grid.nodes[0]) + grid.log_weights))


def _heavy_mean() -> Case:
    y = np.array([-1.6, -1.1, 0.1, 0.3, 2.0, 9.0])
    mu = np.linspace(-40.0, 40.0, 16_001)
    log_g0 = stats.t.logpdf(mu, 3, scale=1.5) + np.log(mu[1] - mu[0])
    log_f = stats.norm.logpdf(y[:, None], mu, 0.7)
    return Case(heavy_mean, y, log_g0, log_f, mu, _random_alpha)


def _plane(u: NDArray[np.float64], v: NDArray[np.float64]) -> tuple[Any, Any, float]:
    x, y = np.meshgrid(u, v, indexing="ij")
    return x.ravel(), y.ravel(), float(np.log((u[1] - u[0]) * (v[1] - v[0])))


def _mean_and_variance() -> Case:
    y = np.array([-1.6, -1.3, 0.3, 0.6, 2.5])
    mu, log_s2, cell = _plane(np.linspace(-10, 10, 801), np.linspace(-4, 6, 201))
    s2 = np.exp(log_s2)
    log_g0 = stats.norm.logpdf(mu, 0, 2) + stats.invgamma.logpdf(s2, 3, scale=1.5) + log_s2
    log_f = stats.norm.logpdf(y[:, None], mu, np.sqrt(s2))
    return Case(
        mean_and_variance, y, log_g0 + cell, log_f, mu, lambda sizes: log_eppf(sizes, 1.3, 0.2)
    )


def _gamma_kernel() -> Case:
    y = np.array([0.2, 0.3, 1.5, 2.2, 9.0])
    log_a, log_b, cell = _plane(np.linspace(-2.3, 3.7, 301), np.linspace(-6, 6, 401))
    log_g0 = stats.norm.logpdf(log_a, 0.7, 0.5) + stats.norm.logpdf(log_b, 0.0, 1.0)
    log_f = stats.gamma.logpdf(y[:, None], np.exp(log_a), scale=np.exp(-log_b))
    return Case(
        gamma_kernel, y, log_g0 + cell, log_f, np.exp(log_a), lambda sizes: log_eppf(sizes, 1.0)
    )


def _uniform_kernel() -> Case:
    y = np.array([0.2, 0.5, 1.0, 4.0])
    # Points halfway between the data, for the jumps of the kernel.
    width = (np.arange(400_000) + 0.5) * 1e-4
    log_g0 = stats.gamma.logpdf(width, 2.0) + np.log(1e-4)
    log_f = np.where(y[:, None] <= width, -np.log(width), -np.inf)
    return Case(uniform_kernel, y, log_g0, log_f, width, lambda sizes: log_eppf(sizes, 1.0))


CASES = {
    "heavy_mean": _heavy_mean,
    "mean_and_variance": _mean_and_variance,
    "gamma_kernel": _gamma_kernel,
    "uniform_kernel": _uniform_kernel,
}


def functionals(labels: NDArray[np.int64], theta_1: NDArray[np.float64]) -> dict[str, Any]:
    """P(k), who is with the first item, and θ_1."""
    k = np.array([len(np.unique(c)) for c in labels])
    found: dict[str, Any] = {f"k = {j}": k == j for j in range(1, 5)}
    found |= {f"0 with {j}": labels[:, 0] == labels[:, j] for j in range(1, labels.shape[1])}
    return found | {"theta_1": theta_1}


def enumerate_case(case: Case) -> tuple[dict[str, float], float]:
    """Exact expectations of `functionals`, and log p(y)."""
    n = len(case.y)
    log_m, mean = {}, {}
    for subset in range(1, 2**n):
        inside = (subset >> np.arange(n)) & 1 == 1
        log_terms = case.log_g0 + case.log_f[inside].sum(0)
        log_m[subset] = logsumexp(log_terms)
        mean[subset] = np.exp(log_terms - log_m[subset]) @ case.first
    labels = all_partitions(n)
    log_p, theta_1 = np.empty(len(labels)), np.empty(len(labels))
    for s, c in enumerate(labels):
        subsets = [int(((c == k) << np.arange(n)).sum()) for k in range(c.max() + 1)]
        log_p[s] = case.prior(np.bincount(c)) + sum(log_m[x] for x in subsets)
        theta_1[s] = mean[subsets[0]]
    p = np.exp(log_p - logsumexp(log_p))
    found = functionals(labels, theta_1)
    return {name: float(p @ x) for name, x in found.items()}, float(logsumexp(log_p))


def disturbed_atoms(posterior, seed=0):
    """The posterior with a network that knows nothing of options and atoms, but not nothing."""
    torch = importorskip()
    generator = torch.Generator().manual_seed(seed)
    network = posterior.network
    last = [network.out, *(t.hyper[-1] for t in network.flow.transform.transforms)]
    with torch.no_grad():
        for module, size in zip(last, (0.4, *[0.1] * (len(last) - 1)), strict=True):
            for parameter in module.parameters():
                parameter += size * torch.randn(parameter.shape, generator=generator)
    return posterior
