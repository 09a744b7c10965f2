"""Importance sampling of partitions: exact weights for draws of a network.

θ_1, …, θ_n have ties and no density, but a partition has: a draw c ~ q(c | σ, y) gets the weight
p(y, c) / q(c | σ, y), whatever the order σ, since σ is drawn without looking at c. So has a
partition with the atoms φ of its clusters, of weight p(y, c, φ) / q(c, φ | σ, y). Weights are
Pareto-smoothed: Vehtari, A., Simpson, D., Gelman, A., Yao, Y. and Gabry, J. (2024). Pareto smoothed
importance sampling. Journal of Machine Learning Research 25(72), 1–58.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from arviz_stats.base import array_stats
from numpy.typing import NDArray

from pymc_dpsteps.amortized.paths import Draws
from pymc_dpsteps.amortized.resampling import systematic

__all__ = ["Importance", "importance", "resample"]

_FEWEST = 30

_log = logging.getLogger("pymc_dpsteps")


@dataclass(frozen=True)
class Importance:
    """Importance weights of draws.

    Attributes
    ----------
    weights : numpy.ndarray of float64, shape (draws,)
        Pareto-smoothed, normalised.
    ess : float
        Effective sample size 1 / Σ w², of the weights as they are, without smoothing.
    khat : float
        Shape of the tail of the weights.
    khat_limit : float
        Above it so many draws are too few to trust the weights: min(1 - 1 / log10(draws), 0.7).
    """

    weights: NDArray[np.float64]
    ess: float
    khat: float
    khat_limit: float

    @property
    def reliable(self) -> bool:
        """Whether k̂ is below its limit."""
        return self.khat < self.khat_limit


def importance(drawn: Draws) -> Importance:
    """Importance weights of draws.

    Parameters
    ----------
    drawn : Draws

    Returns
    -------
    Importance

    Raises
    ------
    ValueError
        If there are fewer than 30 draws: their weights have no tail to judge.
    """
    if (n_draws := len(drawn.labels)) < _FEWEST:
        raise ValueError(
            f"Found {n_draws} draws; expected at least {_FEWEST} to judge their weights. Draw more."
        )
    log_weights = drawn.log_p - drawn.log_q
    raw = np.exp(log_weights - log_weights.max())
    ess = float(raw.sum() ** 2 / (raw**2).sum())
    if np.ptp(log_weights) < 1e-9:  # there is no tail to fit
        smooth, khat = log_weights, np.array(-np.inf)
    else:
        smooth, khat = array_stats.psislw(-log_weights)  # it takes the logarithms of 1 / weight
    weights = np.exp(smooth - smooth.max())
    limit = min(1.0 - 1.0 / np.log10(len(raw)), 0.7)
    return Importance(weights / weights.sum(), ess, float(khat), float(limit))


def resample(drawn: Draws, rng: np.random.Generator, draws: int | None = None) -> Draws:
    """So many draws, or as many as there are, chosen by their importance weights.

    Systematic resampling. Warns where the weights cannot be trusted.
    """
    found = importance(drawn)
    if not found.reliable:
        _log.warning(
            "Importance weights of %d draws cannot be trusted: k-hat is %.2f, above %.2f "
            "(effective sample size %.0f). Take more draws, train longer, or use MCMC: "
            "dps.sample().",
            len(drawn.labels), found.khat, found.khat_limit, found.ess,
        )  # fmt: skip
    n = len(drawn.labels) if draws is None else draws
    return drawn.take(rng.permutation(systematic(found.weights, n, rng)))
