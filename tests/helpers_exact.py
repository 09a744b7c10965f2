"""Exact posteriors of small mixtures by enumeration, independent of the package."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln, logsumexp, poch

from tests.helpers_chain import partition_functionals, slot_counts

type Array = NDArray[np.float64]
type LogPrior = Callable[[NDArray[np.int64]], Array]

SIX_POINTS = np.array([-1.3, -1.1, 0.2, 0.4, 0.5, 2.0])
NOISE, SPREAD = 0.4, 1.5  # y_i ~ Normal(mu[z_i], NOISE), mu_k ~ Normal(0, SPREAD)


def all_labels(n_items: int, n_components: int) -> NDArray[np.int64]:
    """Every label vector, shape (K^N, N)."""
    return np.array(list(product(range(n_components), repeat=n_items)))


# log p(z) as functions of the counts per slot, shape (..., K)


def crp(counts: Any, alpha: Any = 1.0, discount: Any = 0.0) -> Array:
    """Exchangeable partition probability, spread evenly over the choices of slots."""
    n_components, n_items = counts.shape[-1], int(counts.reshape(-1, counts.shape[-1])[0].sum())
    occupied = (counts > 0).sum(axis=-1)
    result = -np.log(poch(alpha + 1.0, n_items - 1)) + np.zeros(occupied.shape)
    for opened in range(1, n_components):
        result = result + np.where(occupied > opened, np.log(alpha + opened * discount), 0.0)
    for opened in range(n_components):
        result = result - np.where(occupied > opened, np.log(n_components - opened), 0.0)
    for k in range(n_components):
        n = counts[..., k]
        joined = np.log(poch(1.0 - discount, np.maximum(n, 1) - 1))
        result = result + np.where(n > 0, joined, 0.0)
    return result


def sticks(counts: Any, a: Any, b: Any) -> Array:
    """Product over sticks of E[V^n (1 - V)^(items after)] for V ~ Beta(a_k, b_k)."""
    result = np.zeros(counts.shape[:-1])
    for k in range(counts.shape[-1] - 1):
        n, after = counts[..., k], counts[..., k + 1 :].sum(axis=-1)
        result = result + betaln(a[k] + n, b[k] + after) - betaln(a[k], b[k])
    return result


def stick_means(counts: Any, a: Any, b: Any) -> Array:
    """E[w | z], shape (..., K)."""
    remaining: Any = np.ones(counts.shape[:-1])
    weights = []
    for k in range(counts.shape[-1] - 1):
        n, after = counts[..., k], counts[..., k + 1 :].sum(axis=-1)
        mean = (a[k] + n) / (a[k] + n + b[k] + after)
        weights.append(remaining * mean)
        remaining = remaining * (1.0 - mean)
    return np.stack([*weights, remaining], axis=-1)


def dirichlet(counts: Any, a: Any) -> Array:
    """Dirichlet-multinomial probability; `a` has K entries."""
    total, mass = counts.sum(axis=-1), sum(a)
    result = gammaln(mass) - gammaln(mass + total)
    for k in range(counts.shape[-1]):
        result = result + gammaln(a[k] + counts[..., k]) - gammaln(a[k])
    return result


def dirichlet_means(counts: Any, a: Any) -> Array:
    """E[w | z], shape (..., K)."""
    a = np.asarray(a)
    return (counts + a) / (counts.sum(axis=-1, keepdims=True) + a.sum())


@dataclass(frozen=True)
class Enumeration:
    """Posterior over all label vectors of a mixture of normals with known noise.

    Attributes
    ----------
    labels, counts : (R, N) and (R, K) int
    probability : (R,)
        Posterior probability of each label vector.
    theta_1 : (R,)
        E[mu[z_1] | z, y].
    """

    labels: NDArray[np.int64]
    counts: NDArray[np.int64]
    probability: Array
    theta_1: Array

    def expectations(self) -> dict[str, float]:
        """Exact expectations of `partition_functionals`, and of theta_1."""
        n_components = self.counts.shape[1]
        mean = float(self.probability @ (self.counts > 0).sum(axis=1))
        found = partition_functionals(self.labels, n_components, mean)
        return {name: float(self.probability @ x) for name, x in found.items()} | {
            "theta_1": float(self.probability @ self.theta_1)
        }

    def expectation(self, of_counts: Array) -> Array:
        """Expectation of what has one row per label vector."""
        return self.probability @ of_counts


def enumerate_normal(y: Array, n_components: int, log_prior: LogPrior) -> Enumeration:
    """Posterior of labels for y_i ~ Normal(mu[z_i], NOISE) and mu_k ~ Normal(0, SPREAD)."""
    labels = all_labels(len(y), n_components)
    counts = slot_counts(labels, n_components)
    sums = np.stack([((labels == k) * y).sum(axis=1) for k in range(n_components)], axis=1)
    precision = counts / NOISE**2 + 1.0 / SPREAD**2
    mean = sums / NOISE**2 / precision
    log_likelihood = 0.5 * (precision * mean**2 - np.log(precision * SPREAD**2)).sum(axis=1)
    log_posterior = log_prior(counts) + log_likelihood
    probability = np.exp(log_posterior - logsumexp(log_posterior))
    return Enumeration(labels, counts, probability, mean[np.arange(len(labels)), labels[:, 0]])


def by_counts(counts: NDArray[np.int64], function: Callable[[Any], Array]) -> Array:
    """Evaluate a function of the counts once for every distinct row."""
    distinct, inverse = np.unique(counts, axis=0, return_inverse=True)
    return function(distinct)[inverse.ravel()]


@dataclass(frozen=True)
class Grid:
    """A quadrature rule over hyperparameters: nodes, and log of prior density times weight."""

    nodes: tuple[Array, ...]
    log_weights: Array

    def integrate(self, log_prior: Callable[..., Array]) -> tuple[LogPrior, list[LogPrior]]:
        """From log p(z | nodes) to log p(z), and to E[node | z] for every hyperparameter."""

        def log_joint(counts: NDArray[np.int64]) -> Array:
            return log_prior(counts[:, None, :], *self.nodes) + self.log_weights

        def log_marginal(counts: NDArray[np.int64]) -> Array:
            return by_counts(counts, lambda c: logsumexp(log_joint(c), axis=1))

        def mean_of(node: Array) -> LogPrior:
            def mean(counts: NDArray[np.int64]) -> Array:
                def of_distinct(c: NDArray[np.int64]) -> Array:
                    joint = log_joint(c)
                    return np.exp(joint - logsumexp(joint, axis=1, keepdims=True)) @ node

                return by_counts(counts, of_distinct)

            return mean

        return log_marginal, [mean_of(node) for node in self.nodes]


def gamma_grid(shape: float, rate: float, step: float = 0.05) -> Grid:
    """Trapezoidal rule on the logarithm of a Gamma(shape, rate) variable."""
    log_alpha = np.arange(-20.0, 5.0, step)
    log_density = shape * (log_alpha + np.log(rate)) - rate * np.exp(log_alpha) - gammaln(shape)
    return Grid((np.exp(log_alpha),), log_density + np.log(step))
