"""Label-invariant functionals of the posterior draws of a mixture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pymc as pm
import xarray as xr
from numpy.typing import NDArray
from pymc.model import modelcontext
from pytensor.graph.traversal import ancestors

from pymc_dpsteps.diagnostics.posterior import draws_of, evaluate_graph, read_untransformed
from pymc_dpsteps.diagnostics.sizes import entropy, sorted_sizes
from pymc_dpsteps.mixture import Mixture, find_allocations
from pymc_dpsteps.partitions.labels import posterior_of

__all__ = ["label_functionals", "partition", "size_functionals"]

_MEANINGS = {
    "n_clusters": "number of clusters",
    "sum_squared_proportions": "sum of squared cluster proportions",
    "largest_cluster": "items in the largest cluster",
    "entropy": "entropy of cluster proportions (nats)",
    "log_likelihood": "log likelihood",
}


def partition(idata: xr.DataTree, *, model: pm.Model | None = None) -> xr.Dataset:
    """Functionals of every draw that do not depend on how the clusters are numbered.

    Parameters
    ----------
    idata : xarray.DataTree
        Result of `dps.sample` or `pymc.sample`.
    model : pymc.Model, optional
        Default: the model in context.

    Returns
    -------
    xarray.Dataset
        Variables with dimensions (chain, draw):

        - ``n_clusters``: number of clusters;
        - ``sum_squared_proportions``: sum over clusters of the squared proportion of items;
        - ``largest_cluster``: number of items in the largest cluster;
        - ``entropy``: entropy of the cluster proportions, in nats;
        - ``log_likelihood``: sum over items of the log density of the kernel at the atoms of
          the item's cluster, constants included;
        - the concentration parameters of the model, under their own names.

        Where the model has several allocations, all but the last are prefixed by the name of
        the allocation, as in ``z_n_clusters``. What needs a variable that was not kept (see
        ``var_names`` of `pymc.sample`) is left out.

    Raises
    ------
    MixtureError
        If the model is not a mixture.
    ValueError
        If the posterior holds no draws.
    """
    model = modelcontext(model)
    posterior = posterior_of(idata)
    names = [rv.name for rv in find_allocations(model)]
    mixtures = [read_untransformed(model, name) for name in names or [None]]
    shape = tuple(posterior.sizes[dim] for dim in ("chain", "draw"))

    def of(mixture: Mixture) -> dict[str, NDArray]:
        found = _functionals(mixture, posterior)
        return {key: values.reshape(shape) for key, values in found.items()}

    return label_functionals(mixtures, of, posterior)


def size_functionals(sizes: NDArray[np.int64], n_items: int) -> dict[str, NDArray]:
    """Functionals of cluster sizes.

    Parameters
    ----------
    sizes : numpy.ndarray of int64, shape (..., R)
        Sizes in decreasing order, such as `sorted_sizes`.
    n_items : int
        Number of items.

    Returns
    -------
    dict of str to numpy.ndarray, shape (...)
    """
    return {
        "n_clusters": (sizes > 0).sum(axis=-1),
        "sum_squared_proportions": (sizes**2).sum(axis=-1) / float(n_items) ** 2,
        "largest_cluster": sizes[..., 0],
        "entropy": entropy(sizes),
    }


def label_functionals(
    mixtures: Sequence[Mixture],
    functionals_of: Callable[[Mixture], dict[str, NDArray]],
    posterior: xr.Dataset,
) -> xr.Dataset:
    """Data set of the functionals of all allocations of a model.

    Parameters
    ----------
    mixtures : sequence of Mixture
        One for every allocation.
    functionals_of : callable
        Functionals of an allocation, by name, of shape (chain, draw).
    posterior : xarray.Dataset
        The draws, from which the concentration parameters are taken.

    Returns
    -------
    xarray.Dataset
    """
    coords = {dim: posterior[dim] for dim in ("chain", "draw")}
    found: dict[str, xr.DataArray] = {}
    for mixture in mixtures:
        prefix = f"{mixture.allocation.name}_" if len(mixtures) > 1 else ""
        for key, values in functionals_of(mixture).items():
            attrs = {"long_name": _MEANINGS[key]}
            found[prefix + key] = xr.DataArray(values, coords, tuple(coords), attrs=attrs)
        for rv in mixture.concentration:
            if rv.name in posterior:
                found[rv.name] = posterior[rv.name]
    return xr.Dataset(found)


def _functionals(mixture: Mixture, posterior: xr.Dataset) -> dict[str, NDArray]:
    found: dict[str, NDArray] = {}
    name = str(mixture.allocation.name)
    if name in posterior:
        labels = draws_of(posterior, [name])[name]
        found |= size_functionals(sorted_sizes(labels), labels.shape[1])
    model = mixture.model
    kernel = model.logp(vars=[model[name] for name in mixture.kernel_names])
    needed = set(ancestors([kernel])).intersection(model.value_vars)
    if all(v.name in posterior for v in needed):
        found["log_likelihood"] = evaluate_graph(mixture, kernel, posterior).astype(np.float64)
    return found
