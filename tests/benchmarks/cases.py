"""Data sets and models on which samplers are compared by independent draws per second."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pymc as pm
from scipy import integrate, stats

import pymc_dpsteps as dps

K = 30


@dataclass(frozen=True)
class Case:
    """y_i ~ Normal(mu_k, sigma_k), a Dirichlet process mixture; the density is judged at `point`.

    sigma_k² ~ InverseGamma(a, b), mu_k ~ Normal(m0, s0) and prior = (alpha, m0, s0, a, b). With
    `kappa` the base is conjugate instead, mu_k ~ Normal(m0, sigma_k / √kappa). Without alpha,
    alpha ~ Gamma(2, 4).
    """

    name: str
    y: np.ndarray
    prior: tuple[float | None, float, float, float, float]
    point: float
    kappa: float | None = None

    @cached_property
    def base_density(self):
        """Density of an observation of a new cluster at the point."""
        _, m0, s0, a, b = self.prior

        def integrand(u):
            variance = stats.invgamma.ppf(u, a, scale=b)
            of_mean = s0**2 if self.kappa is None else variance / self.kappa
            return stats.norm.pdf(self.point, m0, np.sqrt(of_mean + variance))

        return integrate.quad(integrand, 0.0, 1.0)[0]

    def _model(self, restaurant):
        alpha, m0, s0, a, b = self.prior
        with pm.Model() as model:
            sigma2 = pm.InverseGamma("sigma2", a, b, shape=K)
            if alpha is None:
                alpha = pm.Gamma("alpha", 2.0, 4.0)
            if self.kappa is not None:
                s0 = pm.math.sqrt(sigma2 / self.kappa)
            mu = pm.Normal("mu", m0, s0, shape=K)
            if restaurant:
                z = dps.ChineseRestaurantProcess("z", alpha, K=K, shape=len(self.y))
            else:
                w = pm.StickBreakingWeights("w", alpha, K=K - 1)
                z = pm.Categorical("z", w, shape=len(self.y))
            pm.Normal("y", mu[z], pm.math.sqrt(sigma2[z]), observed=self.y)
        return model

    @cached_property
    def restaurant(self):
        """The process itself."""
        return self._model(restaurant=True)

    @cached_property
    def sticks(self):
        """Truncated at K sticks: what is cut off has a prior mean of 2^-29 for alpha = 1."""
        return self._model(restaurant=False)


def overlapping(n_items):
    """Five overlapping normal groups, whose borders single items cross slowly."""
    rng = np.random.default_rng(0)
    centers, sds = np.array([-8.0, -4.0, 0.0, 3.0, 8.0]), np.array([1.0, 0.5, 1.5, 0.7, 2.0])
    group = rng.choice(5, size=n_items, p=[0.1, 0.2, 0.3, 0.25, 0.15])
    return rng.normal(centers[group], sds[group])


_GALAXIES = dps.datasets.galaxies()
CASES = {
    case.name: case
    for case in (
        Case("galaxies", _GALAXIES, (1.0, 20.0, 10.0, 2.0, 1.0), point=21.0),
        Case("N = 1,000", overlapping(1_000), (1.0, 0.0, 6.0, 2.0, 1.0), point=0.0),
        Case("galaxies, conjugate", _GALAXIES, (None, 20.0, 10.0, 2.0, 1.0), 21.0, kappa=0.01),
    )
}
