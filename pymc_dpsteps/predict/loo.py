"""Leave-one-out: the density of an item with its own allocation summed out."""

from __future__ import annotations

from typing import Any

import arviz_stats
import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from pymc.model import modelcontext
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.mixture.matrix import log_kernel_matrix
from pymc_dpsteps.predict.draws import Fit, read_fit

__all__ = ["log_likelihood", "loo"]


def log_likelihood(
    idata: xr.DataTree, *, model: pm.Model | None = None, allocation: str | None = None
) -> xr.DataArray:
    r"""Log density of every item with its own allocation summed out, for every draw.

    .. math::

        \log \sum_k P(z_i = k \mid z_{-i}, w)\, F(y_i \mid \phi_k)

    ``F(y_i | φ of z_i)``, what PyMC would compute, is not a predictive density of item i: its
    allocation has seen ``y_i``. Here the allocation of item i alone is summed out, with the
    weights where the model has them, and the predictive rule of the Chinese restaurant process
    given the other items where it has not.

    Parameters
    ----------
    idata : xarray.DataTree
        Result of `dps.sample` or `pymc.sample`.
    model : pymc.Model, optional
        Default: the model in context.
    allocation : str, optional
        Name of the allocation; needed only where the model has several.

    Returns
    -------
    xarray.DataArray
        Dimensions (chain, draw, item), the last as the allocation's. Where an item has several
        observations it is their joint log density; missing ones are integrated out.

    Raises
    ------
    MixtureError
        For the Chinese restaurant process, if a draw occupies all slots.
    ValueError
        If the posterior lacks a variable.
    """
    fit = read_fit(idata, model, allocation)
    z = fit.posterior[str(fit.mixture.allocation.name)].transpose("chain", "draw", ...)
    if fit.mixture.prior.weights is None:
        fit.counts_with_room()  # refuses full slots
    graph = pt.logsumexp(log_kernel_matrix(fit.mixture) + _log_weights(fit), axis=1)
    values = fit.evaluate(graph).reshape(z.shape)
    return xr.DataArray(values, z.coords, z.dims, name=_name(fit))


def loo(
    idata: xr.DataTree,
    *,
    model: pm.Model | None = None,
    allocation: str | None = None,
    **kwargs: Any,
) -> Any:
    """Expected log predictive density by leave-one-out cross-validation, item by item.

    Pareto-smoothed importance sampling by `arviz_stats.loo` on `log_likelihood`. The importance
    ratio of leaving out item i is one over its density given all else but its own allocation.

    Parameters
    ----------
    idata : xarray.DataTree
        Result of `dps.sample` or `pymc.sample`.
    model : pymc.Model, optional
        Default: the model in context.
    allocation : str, optional
        Name of the allocation; needed only where the model has several.
    **kwargs
        Passed to `arviz_stats.loo`, such as ``pointwise`` and ``reff``. By default the relative
        efficiency ``reff`` is that of the densities, as a mean over items; ArviZ would take it
        from the parameters of components by number, which means nothing in a mixture.

    Returns
    -------
    arviz_stats.utils.ELPDData
        As used by `arviz_stats.compare`. Where its Pareto shapes k exceed 0.7 the estimate for
        these items is not reliable.

    Raises
    ------
    MixtureError, ValueError
        As for `log_likelihood`.

    References
    ----------
    .. [1] Vehtari, A., Gelman, A. and Gabry, J. (2017). Practical Bayesian model evaluation using
       leave-one-out cross-validation and WAIC. Statistics and Computing 27, 1413-1432.
    """
    model = modelcontext(model)
    pointwise = log_likelihood(idata, model=model, allocation=allocation)
    tree = xr.DataTree.from_dict(
        {
            "posterior": idata["posterior"].to_dataset(),
            "log_likelihood": xr.Dataset({pointwise.name: pointwise}),
        }
    )
    kwargs.setdefault("reff", _relative_efficiency(pointwise))
    return arviz_stats.loo(tree, var_name=pointwise.name, **kwargs)


def _relative_efficiency(pointwise: xr.DataArray) -> float:
    """Effective sample size of the density of an item over the number of draws, mean of all."""
    scaled = pointwise - pointwise.max(("chain", "draw"))
    density = scaled.copy(data=np.exp(scaled.values))
    with np.errstate(divide="ignore", invalid="ignore"):  # one that is the same in all draws
        sizes = arviz_stats.ess(density, method="mean")
    found = float(sizes.mean() / (density.sizes["chain"] * density.sizes["draw"]))
    return found if np.isfinite(found) else 1.0


def _name(fit: Fit) -> str:
    names = fit.mixture.kernel_names
    return names[0] if len(names) == 1 else str(fit.mixture.allocation.name)


def _log_weights(fit: Fit) -> TensorVariable:
    """``log P(z_i = k | all else)``, (1, K) or (N, K), as a graph of the value variables."""
    mixture = fit.mixture
    model, n_slots = mixture.model, mixture.n_components
    if mixture.prior.weights is not None:
        (weights,) = model.replace_rvs_by_values([mixture.prior.weights])
        return pt.log(weights)[None, :]
    (parameters,) = model.replace_rvs_by_values([mixture.prior.parameters])
    alpha, discount = parameters[0, 0], parameters[0, 1]
    own = pt.eq(model.rvs_to_values[mixture.allocation][:, None], pt.arange(n_slots))
    others = own.sum(axis=0) - own
    n_clusters = (others > 0).sum(axis=1, keepdims=True)
    new = (alpha + discount * n_clusters) / (n_slots - n_clusters)
    unnormalised = pt.switch(others > 0, others - discount, new)
    return pt.log(unnormalised) - pt.log(alpha + mixture.n_items - 1)
