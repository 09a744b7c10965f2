"""Posterior predictive draws of whole data sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pymc as pm
import xarray as xr
from numpy.typing import NDArray
from pymc.model import modelcontext
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.diagnostics.posterior import draws_of, each_draw
from pymc_dpsteps.mixture import Mixture
from pymc_dpsteps.predict.draws import Fit, read_fit

__all__ = ["new_data"]


def new_data(
    idata: xr.DataTree,
    *,
    model: pm.Model | None = None,
    allocation: str | None = None,
    draws: int | None = None,
    random_seed: int | np.random.Generator | None = None,
) -> xr.DataTree:
    """New data sets of the size of the observed one, from the posterior predictive distribution.

    Every new item is allocated anew, to a cluster of the draw or to a new one:
    `pymc.sample_posterior_predictive` would keep the allocation of the old items. For the Chinese
    restaurant process the weights of a draw are drawn given its allocation, see `density`.

    Parameters
    ----------
    idata : xarray.DataTree
        Result of `dps.sample` or `pymc.sample`.
    model : pymc.Model, optional
        Default: the model in context. Covariates stay as they are in the model.
    allocation : str, optional
        Name of the allocation; needed only where the model has several.
    draws : int, optional
        Number of data sets, from draws evenly spaced over all chains. Default: one for each.
    random_seed : int or numpy.random.Generator, optional
        Seed.

    Returns
    -------
    xarray.DataTree
        Group ``posterior_predictive`` with the observed variables of the kernel and the
        allocation, dimensions (chain, draw, ...) as in the posterior where `draws` is None, and
        otherwise one chain; groups ``observed_data`` and ``constant_data``. As
        `pymc.sample_posterior_predictive` returns it and ``arviz_plots.plot_ppc_dist`` reads it.

    Raises
    ------
    MixtureError
        For the Chinese restaurant process, if a draw occupies all slots.
    ValueError
        If the posterior lacks a variable.
    """
    model = modelcontext(model)
    fit = read_fit(idata, model, allocation, draws)
    rng = np.random.default_rng(random_seed)
    weights, _ = fit.drawn_weights(rng)
    allocations = _allocations(weights, fit.mixture.n_items, rng)
    names, graphs = _redrawn(fit.mixture)
    rows = list(_draw(fit, graphs, allocations, int(rng.integers(2**31))))
    n_chains = fit.posterior.sizes["chain"]
    drawn = {str(fit.mixture.allocation.name): allocations}
    drawn |= {name: np.stack(x) for name, x in zip(names, zip(*rows, strict=True), strict=True)}
    chains = {name: x.reshape(n_chains, -1, *x.shape[1:]) for name, x in drawn.items()}
    return pm.to_inference_data(posterior_predictive=chains, model=model)


def _allocations(
    weights: NDArray[np.float64], n_items: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Slots of n new items for every row of weights, (S, N)."""
    steps = weights.cumsum(axis=1)
    u = rng.random((len(weights), n_items)) * steps[:, -1:]
    labels = [np.searchsorted(step, row, side="right") for step, row in zip(steps, u, strict=True)]
    return np.stack(labels).astype(np.int64)


def _redrawn(mixture: Mixture) -> tuple[list[str], list[TensorVariable]]:
    """Observed variables of the kernel: names, and graphs of the model's random variables.

    Where entries are missing PyMC splits a variable, and joins the parts in a deterministic.
    """
    model = mixture.model
    observed = [n for n in mixture.kernel_names if model[n] in model.observed_RVs]
    joined = {x.name: x for x in model.deterministics}
    names = [n if (whole := n.removesuffix("_observed")) not in joined else whole for n in observed]
    return names, [joined.get(name, model[name]) for name in names]


def _draw(
    fit: Fit, graphs: Sequence[TensorVariable], allocations: NDArray[np.int64], seed: int
) -> Iterator[list[NDArray]]:
    """Draw the graphs given the posterior draws, but for what belongs to the items."""
    mixture = fit.mixture
    model = mixture.model
    own = {mixture.allocation, *mixture.imputed, *(model[n] for n in mixture.kernel_names)}
    met = set(ancestors(graphs))
    given = {rv: model.rvs_to_values[rv] for rv in model.free_RVs if rv in met and rv not in own}
    z = model.rvs_to_values[mixture.allocation]
    outputs = clone_replace(list(graphs), {**given, mixture.allocation: z})
    values = draws_of(fit.posterior, [str(v.name) for v in given.values()])
    inputs, draws = [*given.values(), z], [*values.values(), allocations]
    return each_draw(inputs, outputs, draws, random_seed=seed)
