"""What new observations have to do with the clusters of a given partition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from pytensor.tensor.variable import TensorVariable
from scipy.special import logsumexp

from pymc_dpsteps.predict.draws import Fit, read_fit
from pymc_dpsteps.predict.kernel import Covariates, kernel_variable, log_kernel_at, points_of

__all__ = ["Clusters", "log_parts", "membership"]


@dataclass(frozen=True)
class Clusters:
    """Clusters of a partition of the items, and a new one.

    Attributes
    ----------
    of_items : numpy.ndarray of int64, shape (N,)
        Clusters 0, ..., C - 1.
    names : list of str, length C + 1
        Labels as they were given, and "new".
    """

    of_items: NDArray[np.int64]
    names: list[str]

    @classmethod
    def of(cls, fit: Fit, partition: ArrayLike) -> Clusters:
        """Check a partition against the items of a fit.

        Raises
        ------
        ValueError
            If it does not have a label for every item.
        """
        labels = np.asarray(partition)
        if labels.shape != (fit.mixture.n_items,):
            raise ValueError(
                f"The partition has shape {labels.shape}; expected ({fit.mixture.n_items},), a "
                f"label for every item of {fit.mixture.allocation.name}."
            )
        found, of_items = np.unique(labels, return_inverse=True)
        return cls(of_items.astype(np.int64), [*map(str, found), "new"])

    def shares(self, labels: NDArray, n_slots: int) -> NDArray[np.float64]:
        """Part of a slot's items in each cluster, (K, C + 1); an empty slot is a new cluster."""
        n_clusters = len(self.names) - 1
        together = np.bincount(labels * n_clusters + self.of_items, minlength=n_slots * n_clusters)
        found = np.zeros((n_slots, n_clusters + 1))
        found[:, :-1] = together.reshape(n_slots, n_clusters)
        sizes = found.sum(axis=1)
        found[:, -1] = sizes == 0.0
        found /= np.maximum(sizes, 1.0)[:, None]
        return found


def membership(
    idata: xr.DataTree,
    points: ArrayLike,
    *,
    partition: ArrayLike | None = None,
    variable: str | None = None,
    covariates: Covariates | None = None,
    model: pm.Model | None = None,
    allocation: str | None = None,
    draws: int | None = None,
) -> xr.Dataset:
    r"""Which cluster new observations belong to, or whether to a new one.

    The clusters of the posterior draws have no names; those of one partition of the items, such
    as a point estimate, have. A new observation belongs to a cluster of that partition as much as
    the items do that it joins:

    .. math::

        P(c \mid y_*, y) = \frac{E\left[\sum_k w_k F(y_* \mid \phi_k)\, n_{kc} / n_k
            \mid y\right]}{E\left[\sum_k w_k F(y_* \mid \phi_k) \mid y\right]},

    where :math:`n_{kc}` of the :math:`n_k` items in slot k are in cluster c, and an empty slot is
    a new cluster. It is the probability that an item drawn from the cluster of the new
    observation is in c.

    Parameters
    ----------
    idata : xarray.DataTree
        Result of `dps.sample` or `pymc.sample`.
    points : array_like, shape (G,) or (G, D)
        New observations, each on its own, in the units of the data.
    partition : array_like of int, shape (N,), optional
        Labels of the items. Default: all items in one cluster, so that the answer is whether the
        observation joins any of them.
    variable, covariates, model, allocation, draws
        As for `density`, but with a row of the covariates for every observation.

    Returns
    -------
    xarray.Dataset
        ``probability`` (point, cluster), adding up to one over the labels of the partition and
        "new"; ``log_density`` (point), the log of the posterior predictive density, in units of
        one over those of the data; the observations as a coordinate.

    Raises
    ------
    MixtureError
        As for `density`.
    ValueError
        As for `density`.
    """
    fit = read_fit(idata, model, allocation, draws)
    variable = kernel_variable(fit.mixture, variable)
    new = points_of(fit.mixture, variable, points)
    everyone = np.zeros(fit.mixture.n_items, dtype=np.int64)
    clusters = Clusters.of(fit, everyone if partition is None else partition)
    log_f = log_kernel_at(fit.mixture, variable, new, covariates)
    parts = log_parts(fit, log_f, clusters)
    log_density = logsumexp(parts, axis=1)
    axes = [f"{variable}_dim_{d}" for d in range(new.ndim - 1)]
    names = clusters.names if partition is not None else ["any", "new"]
    return xr.Dataset(
        {
            "probability": (("point", "cluster"), np.exp(parts - log_density[:, None])),
            "log_density": ("point", log_density),
        },
        coords={"cluster": names, variable: (("point", *axes), new)},
        attrs={"n_draws": fit.n_draws},
    )


def log_parts(fit: Fit, log_f: TensorVariable, clusters: Clusters) -> NDArray[np.float64]:
    """Log of the mean over draws of the part that each cluster has in the predictive density.

    Parameters
    ----------
    fit : Fit
        Mixture and draws.
    log_f : TensorVariable
        Log density of the kernel, shape (P, K).
    clusters : Clusters
        Clusters of the items.

    Returns
    -------
    numpy.ndarray of float64, shape (P, C + 1)
    """
    n_slots, n_clusters = fit.mixture.n_components, len(clusters.names)
    weights = pt.tensor("slot_weights", shape=(n_slots,), dtype="float64")
    top = log_f.max(axis=1)
    scaled = pt.exp(log_f - top[:, None]) * weights
    total = np.full((log_f.type.shape[0], n_clusters), -np.inf)
    draws = fit.each_draw([top, scaled], {weights: fit.mean_weights()})
    for labels, (largest, f) in zip(fit.labels, draws, strict=True):
        with np.errstate(divide="ignore"):
            part = largest[:, None] + np.log(f @ clusters.shares(labels, n_slots))
        np.logaddexp(total, part, out=total)
    return total - np.log(fit.n_draws)
