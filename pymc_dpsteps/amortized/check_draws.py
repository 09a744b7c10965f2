"""Data sets with known truth, draws of a sampler, and the functionals by which both are judged."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymc_dpsteps.diagnostics.functionals import size_functionals
from pymc_dpsteps.diagnostics.sizes import sorted_sizes
from pymc_dpsteps.partitions.labels import as_rows

__all__ = ["DataSet", "Draws", "functionals"]

type Array = NDArray[np.float64]


@dataclass(frozen=True)
class DataSet:
    """Data simulated from a model, and what they were simulated from.

    Parameters
    ----------
    y : object
        Observations, as the sampler takes them.
    labels : numpy.ndarray of int, shape (n,)
        Allocation.
    first : array_like of float, shape () or (d,), optional
        Atom of the first item, theta_1.
    log_joint : float, optional
        log p(y, c) of this partition c, computed as that of the draws.
    """

    y: Any
    labels: NDArray[np.int64]
    first: ArrayLike | None = None
    log_joint: float | None = None

    def functionals(self) -> dict[str, float]:
        """Functionals of the truth, see `functionals`."""
        first = None if self.first is None else np.asarray(self.first)[None]
        log_joint = None if self.log_joint is None else [self.log_joint]
        found = functionals(np.asarray(self.labels)[None], first, log_joint)
        return {name: float(values[0]) for name, values in found.items()}


@dataclass(frozen=True)
class Draws:
    """Draws from the posterior of one data set.

    Parameters
    ----------
    labels : numpy.ndarray of int, shape (S, n)
        Allocations, however numbered.
    first : numpy.ndarray of float, shape (S,) or (S, d), optional
        Atoms of the first item.
    log_joint : numpy.ndarray of float, shape (S,), optional
        log p(y, c) of every partition.
    log_predictive : numpy.ndarray of float, shape (S, m), optional
        Log density of m held-out observations given every draw.
    weights : numpy.ndarray of float, shape (S,), optional
        Importance weights, on any scale. Default: equal.

    Raises
    ------
    ValueError
        If there are no draws, lengths differ, or weights are not finite, negative or all zero.
    """

    labels: NDArray[np.int64]
    first: NDArray | None = None
    log_joint: NDArray | None = None
    log_predictive: NDArray | None = None
    weights: NDArray | None = None

    def __post_init__(self) -> None:
        if np.ndim(self.labels) != 2 or len(self.labels) == 0:
            raise ValueError(f"labels have shape {np.shape(self.labels)}; expected (draws, items).")
        for name in ("first", "log_joint", "log_predictive", "weights"):
            values = getattr(self, name)
            if values is not None and np.shape(values)[:1] != (len(self.labels),):
                raise ValueError(
                    f"{name} has shape {np.shape(values)}; expected {len(self.labels)} rows, "
                    "one for every draw of labels."
                )
        if self.weights is not None:
            w = np.asarray(self.weights)
            if w.ndim != 1 or not np.isfinite(w).all() or w.min() < 0.0 or w.sum() == 0.0:
                raise ValueError("weights must be a vector, finite, at least 0 and not all 0.")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def probability(self) -> Array:
        """Weights that sum to one, shape (S,)."""
        weights = np.ones(len(self)) if self.weights is None else np.asarray(self.weights)
        return weights / weights.sum()

    def functionals(self) -> dict[str, Array]:
        """Functionals of every draw, see `functionals`."""
        return functionals(self.labels, self.first, self.log_joint)

    def half(self, second: bool) -> Draws:
        """First or second half of the draws, in their order."""
        middle = len(self) // 2
        part = slice(middle, 2 * middle) if second else slice(middle)
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: x[part] for name, x in values.items() if x is not None})


def functionals(
    labels: ArrayLike, first: ArrayLike | None = None, log_joint: ArrayLike | None = None
) -> dict[str, Array]:
    """Functionals of draws of partitions that do not depend on how the clusters are numbered.

    Parameters
    ----------
    labels : array_like of int, shape (S, n)
        Cluster labels, at least 0; n is at least 2.
    first : array_like of float, shape (S,) or (S, d), optional
        Atoms of the first item.
    log_joint : array_like of float, shape (S,), optional
        log p(y, c) of every partition.

    Returns
    -------
    dict of str to numpy.ndarray of float64, shape (S,)
        ``n_clusters``; ``sum_squared_proportions``; ``largest_cluster``, its number of items;
        ``together``, whether the first two items share a cluster; and, where given, ``theta_1``,
        or ``theta_1[0]``, ... of vectors, and ``log_joint``.

    Raises
    ------
    ValueError
        If there are fewer than two items, labels are not integers of at least 0, or a functional
        is not finite.
    """
    rows = as_rows(labels)
    n_items = rows.shape[1]
    if n_items < 2:
        raise ValueError("Partitions of 1 item are all the same; expected at least 2 items.")
    sizes = size_functionals(sorted_sizes(rows), n_items)
    found = {
        name: sizes[name] for name in ("n_clusters", "sum_squared_proportions", "largest_cluster")
    }
    found["together"] = rows[:, 0] == rows[:, 1]
    if first is not None:
        atoms = np.asarray(first)
        columns = atoms.reshape(len(rows), -1).T
        names = [f"theta_1[{j}]" for j in range(len(columns))] if atoms.ndim > 1 else ["theta_1"]
        found |= dict(zip(names, columns, strict=True))
    if log_joint is not None:
        found["log_joint"] = np.asarray(log_joint)
    for name, values in found.items():
        if bad := np.count_nonzero(~np.isfinite(values)):
            raise ValueError(f"{name} is not finite in {bad} of {len(rows)} draws.")
    return {name: values.astype(np.float64) for name, values in found.items()}
