"""Label-invariant functionals of the posterior draws of a mixture."""

from __future__ import annotations

import numpy as np
import pymc as pm
import xarray as xr
from numpy.typing import NDArray
from pymc.model import modelcontext
from pytensor.graph.traversal import ancestors

from pymc_dpsteps.diagnostics.posterior import draws_of, evaluate_graph, read_untransformed
from pymc_dpsteps.diagnostics.sizes import entropy, sorted_sizes
from pymc_dpsteps.mixture import Mixture, find_allocations
from pymc_dpsteps.partitions import n_clusters, sum_squared_proportions
from pymc_dpsteps.partitions.labels import posterior_of

__all__ = ["partition"]


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
    found: dict[str, xr.DataArray] = {}
    coords = {dim: posterior[dim] for dim in ("chain", "draw")}
    shape = tuple(posterior.sizes[dim] for dim in coords)
    for name in names or [None]:
        mixture = read_untransformed(model, name)
        prefix = f"{name}_" if len(names) > 1 else ""
        for key, (values, meaning) in _functionals(mixture, posterior).items():
            found[prefix + key] = xr.DataArray(
                values.reshape(shape), coords, tuple(coords), attrs={"long_name": meaning}
            )
        for rv in mixture.concentration:
            if rv.name in posterior:
                found[rv.name] = posterior[rv.name]
    return xr.Dataset(found)


def _functionals(mixture: Mixture, posterior: xr.Dataset) -> dict[str, tuple[NDArray, str]]:
    found: dict[str, tuple[NDArray, str]] = {}
    name = str(mixture.allocation.name)
    if name in posterior:
        labels = draws_of(posterior, [name])[name]
        found["n_clusters"] = n_clusters(labels), "number of clusters"
        found["sum_squared_proportions"] = (
            sum_squared_proportions(labels),
            "sum of squared cluster proportions",
        )
        sizes = sorted_sizes(labels)
        found["largest_cluster"] = sizes[:, 0], "items in the largest cluster"
        found["entropy"] = entropy(sizes), "entropy of cluster proportions (nats)"
    model = mixture.model
    kernel = model.logp(vars=[model[name] for name in mixture.kernel_names])
    needed = set(ancestors([kernel])).intersection(model.value_vars)
    if all(v.name in posterior for v in needed):
        log_likelihood = evaluate_graph(mixture, kernel, posterior)
        found["log_likelihood"] = log_likelihood.astype(np.float64), "log likelihood"
    return found
