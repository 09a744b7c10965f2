"""Density, distribution function and hazard of a new observation, with bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.mixture import MixtureError
from pymc_dpsteps.predict.clusters import Clusters, log_parts
from pymc_dpsteps.predict.draws import Fit, read_fit
from pymc_dpsteps.predict.kernel import (
    Covariates,
    Kind,
    kernel_variable,
    log_kernel_at,
    points_of,
)

__all__ = ["cdf", "density", "hazard"]


def density(
    idata: xr.DataTree,
    grid: ArrayLike,
    *,
    variable: str | None = None,
    covariates: Covariates | None = None,
    partition: ArrayLike | None = None,
    model: pm.Model | None = None,
    allocation: str | None = None,
    ci_prob: float = 0.89,
    draws: int | None = None,
    random_seed: int | np.random.Generator | None = None,
) -> xr.Dataset:
    r"""Density of a new observation, averaged over the posterior, with a band.

    The random density is :math:`f(y) = \sum_k w_k F(y \mid \phi_k)`. For a model with weights,
    mean and band are those of its posterior draws. For the Chinese restaurant process with
    concentration :math:`\alpha` and discount :math:`d` the mean is that of

    .. math::

        \sum_{k : n_k > 0} \frac{n_k - d}{\alpha + N} F(y \mid \phi_k)
        + \frac{\alpha + d k^+}{\alpha + N} \frac{1}{K - k^+} \sum_{k : n_k = 0} F(y \mid \phi_k),

    in which the atoms of empty slots are draws from the base measure; for the band, weights are
    drawn given the allocation, without which it would be too narrow. The empty slots then share
    the weight of all clusters to come, infinitely many: a warning is logged where a part of it
    that matters falls to the last slot.

    Parameters
    ----------
    idata : xarray.DataTree
        Result of `dps.sample` or `pymc.sample`.
    grid : array_like, shape (G,) or (G, D)
        Points at which the density is wanted, in the units of the data; of D coordinates where
        an observation has D.
    variable : str, optional
        Name of the observed variable; needed only where the kernel has several.
    covariates : mapping of str to array_like, shape (C,) or (C, P), optional
        For a regression mixture: values of the ``pm.Data`` with a row per observation on which
        the kernel depends, under their names. The result then holds the conditional density at
        each of the C points.
    partition : array_like of int, shape (N,), optional
        Labels 0, 1, ... of a partition of the items, such as a point estimate. The result then
        holds the part of the density that is due to each of its clusters, and to new ones.
    model : pymc.Model, optional
        Default: the model in context.
    allocation : str, optional
        Name of the allocation; needed only where the model has several.
    ci_prob : float, default 0.89
        Probability of the pointwise, equal-tailed band.
    draws : int, optional
        Use this many draws, evenly spaced over all chains. Default: all.
    random_seed : int or numpy.random.Generator, optional
        Seed of the weights that are drawn for the Chinese restaurant process.

    Returns
    -------
    xarray.Dataset
        ``mean``, ``lower`` and ``upper`` along a coordinate with the name of the observed
        variable (where observations have D coordinates, along ``grid_point``), in units of one over
        those of the data; with covariates, along ``point`` as well. With a partition,
        ``components`` along ``cluster`` too, which add up to the mean: a component's part is that
        of its slot, times the proportion of the slot's items that are in the cluster. The last
        cluster, "new", is what no item occupies. Attributes: ``kind``, which is "density",
        ``ci_prob`` and ``n_draws``.

    Raises
    ------
    MixtureError
        If the kernel has several variables and none is named; if it depends on covariates that
        are not given; or, for the Chinese restaurant process, if a draw occupies all slots, so
        that none holds a draw from the base measure.
    ValueError
        If points, covariates, partition, `ci_prob` or `draws` are not as above, or the posterior
        lacks a variable.
    """
    at = _Grid.of(read_fit(idata, model, allocation, draws), grid, variable, covariates, ci_prob)
    log_f = at.log_kernel("density")
    result = at.summarise("density", *_mix(at.fit, pt.exp(log_f), random_seed))
    if partition is None:
        return result
    clusters = Clusters.of(at.fit, partition)
    return at.with_components(result, np.exp(log_parts(at.fit, log_f, clusters)), clusters.names)


def cdf(
    idata: xr.DataTree,
    grid: ArrayLike,
    *,
    variable: str | None = None,
    covariates: Covariates | None = None,
    model: pm.Model | None = None,
    allocation: str | None = None,
    ci_prob: float = 0.89,
    draws: int | None = None,
    random_seed: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Distribution function of a new observation, averaged over the posterior, with a band.

    Parameters
    ----------
    idata, grid, variable, covariates, model, allocation, ci_prob, draws, random_seed
        As for `density`; observations have one coordinate.

    Returns
    -------
    xarray.Dataset
        ``mean``, ``lower`` and ``upper``, as from `density`. Of a censored variable, the
        distribution before censoring.

    Raises
    ------
    MixtureError
        As for `density`; and if PyMC has no distribution function for the kernel.
    ValueError
        As for `density`.
    """
    at = _Grid.of(read_fit(idata, model, allocation, draws), grid, variable, covariates, ci_prob)
    return at.summarise("cdf", *_mix(at.fit, pt.exp(at.log_kernel("cdf")), random_seed))


def hazard(
    idata: xr.DataTree,
    grid: ArrayLike,
    *,
    variable: str | None = None,
    covariates: Covariates | None = None,
    model: pm.Model | None = None,
    allocation: str | None = None,
    ci_prob: float = 0.89,
    draws: int | None = None,
    random_seed: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Hazard of a new observation, ``f / (1 - F)``, averaged over the posterior, with a band.

    Parameters
    ----------
    idata, grid, variable, covariates, model, allocation, ci_prob, draws, random_seed
        As for `density`; observations have one coordinate.

    Returns
    -------
    xarray.Dataset
        ``mean``, ``lower`` and ``upper`` of the hazard of the random distribution, per unit of
        the data; of a censored variable, before censoring. The mean is over the draws' ratios:
        it is not the ratio of the means of `density` and of one less `cdf`. Where survival is
        too improbable for the computer's numbers (below exp(-700)), nan.

    Raises
    ------
    MixtureError
        As for `cdf`; and if the variable is discrete.
    ValueError
        As for `density`.
    """
    at = _Grid.of(read_fit(idata, model, allocation, draws), grid, variable, covariates, ci_prob)
    if at.grid.dtype.kind != "f":
        raise MixtureError(f"{at.variable} is discrete: it has no hazard per unit of time.")
    weights, _ = at.fit.drawn_weights(np.random.default_rng(random_seed))
    leaf = _slot_weights(at.fit)
    dying = pt.logsumexp(at.log_kernel("density") + pt.log(leaf), axis=1)
    surviving = pt.logsumexp(at.log_kernel("survival") + pt.log(leaf), axis=1)
    ratio = pt.switch(pt.isinf(surviving), np.nan, pt.exp(dying - surviving))
    curves = at.fit.evaluate(ratio, {leaf: weights})
    return at.summarise("hazard", curves.mean(axis=0), curves)


@dataclass(frozen=True)
class _Grid:
    """Points at which a curve is wanted: every grid point at every point of the covariates."""

    fit: Fit
    variable: str
    grid: NDArray
    covariates: dict[str, NDArray]
    ci_prob: float

    @classmethod
    def of(
        cls,
        fit: Fit,
        grid: ArrayLike,
        variable: str | None,
        covariates: Covariates | None,
        ci_prob: float,
    ) -> _Grid:
        if not 0.0 < ci_prob < 1.0:
            raise ValueError(f"ci_prob = {ci_prob}; expected a probability between 0 and 1.")
        variable = kernel_variable(fit.mixture, variable)
        points = points_of(fit.mixture, variable, grid)
        given = {name: np.asarray(x) for name, x in (covariates or {}).items()}
        lengths = {name: len(x) if x.ndim else 0 for name, x in given.items()}
        if len(set(lengths.values())) > 1 or 0 in lengths.values():
            raise ValueError(
                f"The covariates have {lengths} rows; expected one number, at least 1, for all."
            )
        return cls(fit, variable, points, given, ci_prob)

    @property
    def n_rows(self) -> int:
        """Number of points of the covariates."""
        return len(next(iter(self.covariates.values()))) if self.covariates else 1

    def log_kernel(self, kind: Kind) -> TensorVariable:
        """Log density or distribution function of the kernel, (rows * G, K)."""
        points = np.tile(self.grid, (self.n_rows,) + (1,) * (self.grid.ndim - 1))
        covariates = {n: np.repeat(x, len(self.grid), axis=0) for n, x in self.covariates.items()}
        return log_kernel_at(self.fit.mixture, self.variable, points, covariates, kind=kind)

    def summarise(self, kind: str, mean: NDArray, curves: NDArray) -> xr.Dataset:
        """Mean and band of curves given every draw, (S, rows * G), named for those who draw it."""
        tail = 0.5 * (1.0 - self.ci_prob)
        lower, upper = np.quantile(curves, [tail, 1.0 - tail], axis=0)
        shape, dims, coords = self._axes()
        rows = {"mean": mean, "lower": lower, "upper": upper}
        return xr.Dataset(
            {name: (dims, x.reshape(shape)) for name, x in rows.items()},
            coords,
            attrs={"kind": kind, "ci_prob": self.ci_prob, "n_draws": len(curves)},
        )

    def with_components(self, curves: xr.Dataset, parts: NDArray, names: list[str]) -> xr.Dataset:
        """Add the parts of the mean, (rows * G, clusters)."""
        shape, dims, _ = self._axes()
        components = (("cluster", *dims), parts.T.reshape(-1, *shape))
        return curves.assign(components=components).assign_coords(cluster=names)

    def _axes(self) -> tuple[tuple[int, ...], tuple[str, ...], dict[str, Any]]:
        n_grid = len(self.grid)
        along = self.variable if self.grid.ndim == 1 else "grid_point"
        axes = [f"{self.variable}_dim_{d}" for d in range(self.grid.ndim - 1)]
        coords: dict[str, Any] = {self.variable: ((along, *axes), self.grid)}
        if not self.covariates:
            return (n_grid,), (along,), coords
        for name, x in self.covariates.items():
            axes = [f"{name}_dim_{d}" for d in range(x.ndim - 1)]
            coords[name] = (("point", *axes), x)
        return (self.n_rows, n_grid), ("point", along), coords


def _mix(fit: Fit, f: TensorVariable, random_seed: Any) -> tuple[NDArray, NDArray]:
    """Mean over the draws of the mixture of `f`, (P, K), and the mixture in each, (S, P)."""
    drawn, mean = _slot_weights(fit), _slot_weights(fit)
    weights, _ = fit.drawn_weights(np.random.default_rng(random_seed))
    given = {drawn: weights}
    if fit.mixture.prior.weights is not None:
        curves = fit.evaluate(f @ drawn, given)
        return curves.mean(axis=0), curves
    given[mean] = fit.mean_weights()
    total = np.zeros(f.type.shape[0])
    rows = []
    for at_mean, curve in fit.each_draw([f @ mean, f @ drawn], given):
        total += at_mean
        rows.append(curve)
    return total / fit.n_draws, np.stack(rows)


def _slot_weights(fit: Fit) -> TensorVariable:
    return pt.tensor("slot_weights", shape=(fit.mixture.n_components,), dtype="float64")
