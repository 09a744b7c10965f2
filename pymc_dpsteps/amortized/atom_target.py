"""The exact posterior of partitions and atoms, where atoms cannot be integrated out.

Its density p(y, c, φ) is that of `atom_walks`; α is integrated out by the table of seats as in
`target`. Everything is in value space, the Jacobian of the transforms being part of g0.

A pool of draws from G0, the same for all data sets, tells what is to be known of an item before
anything is learnt: an estimate of m(y_i) = ∫ F(y_i | φ) dG0(φ); of the moments of φ given y_i
alone; and of the log odds that two items share a cluster. A proposal starts from these. That they
are estimates costs efficiency, not exactness.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from pymc_dpsteps.amortized.atom_walks import (
    FLOOR,
    AtomWalk,
    assign_with_atoms,
    log_base,
    log_kernel,
)
from pymc_dpsteps.amortized.slots import counts_of
from pymc_dpsteps.amortized.target import Seating
from pymc_dpsteps.amortized.walks import options_along

__all__ = ["Alone", "AtomTarget", "cluster_odds"]

_POOL = 1_000  # draws from G0
_NARROW = 0.05  # least spread given an item, in standard deviations of the prior


@dataclass(frozen=True)
class Alone:
    """What is known of items one by one, estimated from a pool of draws from G0.

    Attributes
    ----------
    log_marginal : numpy.ndarray of float64, shape (n,)
        log m(y_i).
    mean, sd : numpy.ndarray of float64, shape (n, Q)
        Of the atoms given the item, in value space.
    seen : numpy.ndarray of float64, shape (n, 2 Q)
        Both in units of the prior, as a network sees them.
    """

    log_marginal: NDArray[np.float64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    seen: NDArray[np.float64]


class AtomTarget(Seating):
    """Exact density of partitions and atoms under any mixture.

    Parameters
    ----------
    mixture, settings
        See `Seating`.

    Attributes
    ----------
    n_values : int
        Q, the length of a row of atoms in value space.
    mean, sd : numpy.ndarray of float64, shape (Q,)
        Of the pool.
    """

    functions = ("derive", "kernel_of_items", "log_posterior")

    def _set(self, settings: Mapping[str, ArrayLike]) -> None:
        super()._set(settings)
        self.n_values = self.compiled.n_values
        self._pool = self.draw_base(_POOL, np.random.default_rng(0))
        self.mean, self.sd = self._pool.mean(0), self._pool.std(0)

    def draw_base(self, n_draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draws from G0 in value space, shape (n_draws, Q)."""
        k = self.n_components
        values = np.empty((-(-n_draws // k) * k, self.n_values))
        for first in range(0, len(values), k):
            self.compiled.functions["draw_base"](rng, self.code.shared, values, first)
        return values[:n_draws]

    def log_base(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log g0 of rows of atoms in value space, shape (rows,)."""
        out = np.empty(len(values))
        scratch = np.empty((1, self.compiled.n_columns))
        log_base(np.ascontiguousarray(values), np.empty((0, 0)), self.code, scratch, out)
        return out

    def log_kernel(
        self, items: NDArray[np.float64], values: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Log F of items (n, P) under rows of atoms (rows, Q), shape (rows, n)."""
        return log_kernel(items, values, self.code, self.compiled.n_columns)

    def log_marginal(self, items: NDArray[np.float64]) -> NDArray[np.float64]:
        """Estimates of log m(y_i), items of shape (n, P)."""
        return self._weights(items)[1]

    def alone(self, items: NDArray[np.float64]) -> Alone:
        """What is known of items (n, P) one by one."""
        share, log_marginal = self._weights(items)
        mean = share.T @ self._pool
        variance = np.maximum(share.T @ self._pool**2 - mean**2, 0.0)
        sd = np.maximum(np.sqrt(variance), _NARROW * self.sd)
        seen = np.concatenate([self.standardise(mean), np.log(sd / self.sd)], axis=1)
        return Alone(log_marginal, mean, sd, seen)

    def standardise(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Atoms (…, Q) in units of the prior; far out only the logarithm counts."""
        return np.arcsinh((values - self.mean) / self.sd)

    def log_odds(self, items: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log odds of pairs; see `Seating.log_odds`. Estimated from the pool."""
        result = np.empty((len(items), items.shape[1], items.shape[1]))
        for rows, out in zip(items, result, strict=True):
            share, _ = self._weights(rows)
            with np.errstate(divide="ignore"):
                out[:] = np.log(len(share) * (share.T @ share))
            np.fill_diagonal(out, 0.0)
        return result

    def _weights(
        self, items: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """F of every item under the pool, divided by its sum, shape (pool, n); and log m."""
        log_f = self.log_kernel(items, self._pool)
        largest = log_f.max(0)
        # Where no draw could have made an item, all are alike.
        weights = np.exp(log_f - np.where(largest > -np.inf, largest, 0.0))
        weights[:, largest == -np.inf] = 1.0
        total = weights.sum(0)
        return weights / total, np.maximum(largest + np.log(total / len(log_f)), FLOOR)

    def walks(self, n_walks: int) -> AtomWalk:
        """Empty partitions; see `Seating.walks`."""
        n_slots = self.n_components
        return AtomWalk(
            counts=np.zeros((n_walks, n_slots + 1), dtype=np.int64),
            size=np.zeros(n_walks, dtype=np.int64),
            clusters=np.zeros(n_walks, dtype=np.int64),
            log_prob=np.zeros(n_walks),
            values=np.zeros((n_walks, n_slots + 1, self.n_values)),
        )

    def log_prob(
        self,
        items: NDArray[np.float64],
        labels: NDArray[np.int64],
        values: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Log p(y, c, φ), for label vectors of the items and atoms of their clusters.

        Log p(y, z, φ) where there are `slots`.

        Parameters
        ----------
        items : numpy.ndarray of float64, shape (n, P)
        labels : numpy.ndarray of int64, shape (draws, n)
            The slots z, where there are some; else numbers below K of the clusters.
        values : numpy.ndarray of float64, shape (draws, K, Q)
            By label, in value space; rows of clusters that there are not are not looked at.

        Returns
        -------
        numpy.ndarray of float64, shape (draws,)
        """
        options, walks = options_along(labels), self.walks(len(labels))
        fit = np.empty((len(labels), self.n_components + 1, len(items)))
        for t in range(len(items)):
            option = np.ascontiguousarray(options[:, t])
            chosen, opens = np.full(len(labels), t), option == 0
            new = values[opens, labels[opens, t]]
            log_g0, log_f = self.log_base(new), self.log_kernel(items, new)
            assign_with_atoms(chosen, option, new, log_g0, log_f, fit, walks, self.code)
        result = walks.log_prob
        if self.slots is not None:
            result += self.slots.log_change(counts_of(labels, self.n_components))
        return result

    def log_predictive(
        self,
        items: NDArray[np.float64],
        labels: NDArray[np.int64],
        values: NDArray[np.float64],
        new: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Log density of one more item each, given partitions of the items and atoms.

        That of a new cluster is estimated, see `log_marginal`.

        Parameters
        ----------
        items, labels, values
            See `log_prob`; fewer than N + 1 items.
        new : numpy.ndarray of float64, shape (m, P)

        Returns
        -------
        numpy.ndarray of float64, shape (draws, m)
        """
        n, log_m = len(items), self.log_marginal(new)
        joined, opened = self._changes(labels)
        result = np.empty((len(labels), len(new)))
        for s, (row, atoms) in enumerate(zip(labels, values, strict=True)):
            clusters, counts = np.unique(row, return_counts=True)
            k, before = len(clusters), self.seats[n, len(clusters)]
            seat = self.seats[n + 1, k] - before + np.log(counts - self.code.discount)
            seat += joined[s, clusters]
            terms = [seat[:, None] + self.log_kernel(new, atoms[clusters])]
            if k < self.n_components:
                terms.append(self.seats[n + 1, k + 1] - before + opened[s] + log_m[None])
            result[s] = logsumexp(np.concatenate(terms), axis=0)
        return result


def cluster_odds(
    fit: NDArray[np.float64], log_marginal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log odds of items to be in clusters, F(y_i | φ_k) / m(y_i), shape (…, n)."""
    return np.maximum(fit, FLOOR) - log_marginal
