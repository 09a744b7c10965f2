"""Evaluate graphs of a model at its posterior draws."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pymc as pm
import xarray as xr
from numpy.typing import NDArray
from pymc.model.transform.conditioning import remove_value_transforms
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors

from pymc_dpsteps.mixture import Mixture, read_mixture

__all__ = [
    "draws_of",
    "each_draw",
    "evaluate",
    "evaluate_graph",
    "labels_of",
    "posterior_of",
    "read_untransformed",
]


def read_untransformed(model: pm.Model, allocation: str | None = None) -> Mixture:
    """Read a mixture in the space of its variables, not in unconstrained space.

    The value variables, and the placeholders of the atoms, then stand for what a posterior
    holds: draws can be put in as they are, whatever the transforms of the model.

    Parameters
    ----------
    model : pymc.Model
        The user's model; it is not changed.
    allocation : str, optional
        Name of the allocation; needed only where the model has several.

    Returns
    -------
    Mixture
    """
    model = remove_value_transforms(model)
    for rv in model.free_RVs:
        # PyMC names the value after the transform where that has an underscore in its name.
        model.rvs_to_values[rv].name = rv.name
    return read_mixture(model, allocation)


def posterior_of(idata: xr.DataTree) -> xr.Dataset:
    """Posterior group of a result, as a dataset.

    Raises
    ------
    ValueError
        If there is none, or it is empty.
    """
    if "posterior" not in idata.children:
        raise ValueError(
            f"No group 'posterior' among {list(idata.children)}. Give what dps.sample or "
            "pm.sample returned."
        )
    posterior = idata["posterior"].to_dataset()
    if posterior.sizes.get("chain", 0) * posterior.sizes.get("draw", 0) == 0:
        raise ValueError("The posterior holds no draws.")
    return posterior


def labels_of(posterior: xr.Dataset, allocation: str | None = None) -> xr.DataArray:
    """Draws of an allocation, with the dimensions (chain, draw, item).

    Parameters
    ----------
    posterior : xarray.Dataset
        With the dimensions chain and draw.
    allocation : str, optional
        Name of the allocation. Default: the only integer vector in the posterior.

    Returns
    -------
    xarray.DataArray of int64

    Raises
    ------
    ValueError
        If it is not in the posterior, or it is not clear which variable it is.
    """
    candidates = [
        str(name)
        for name, x in posterior.data_vars.items()
        if x.dtype.kind in "iu" and x.ndim == 3 and {"chain", "draw"} < set(x.dims)
    ]
    if allocation is None and len(candidates) == 1:
        allocation = candidates[0]
    if allocation in candidates:
        return posterior[allocation].transpose("chain", "draw", ...)
    found = ", ".join(candidates) or "none"
    wanted = "No allocation is named" if allocation is None else f"{allocation} is not among"
    raise ValueError(f"{wanted} the integer vectors of the posterior: {found}. Give allocation=.")


def draws_of(posterior: xr.Dataset, names: Iterable[str]) -> dict[str, NDArray]:
    """Draws of variables with chains and draws joined to one leading axis.

    Parameters
    ----------
    posterior : xarray.Dataset
        With the dimensions chain and draw.
    names : iterable of str
        Names of the variables.

    Returns
    -------
    dict of str to numpy.ndarray, shape (S, ...)

    Raises
    ------
    ValueError
        If a variable was not kept.
    """
    names = list(names)
    if missing := [name for name in names if name not in posterior]:
        raise ValueError(
            f"The posterior does not hold {', '.join(missing)}. Sample without var_names, or "
            "list these variables there."
        )
    found = {name: posterior[name].transpose("chain", "draw", ...).values for name in names}
    return {name: x.reshape(-1, *x.shape[2:]) for name, x in found.items()}


def each_draw(
    inputs: Sequence[Variable],
    outputs: Sequence[Variable],
    draws: Sequence[NDArray],
    *,
    random_seed: int | None = None,
) -> Iterator[list[NDArray]]:
    """Values of graphs at one draw after the other.

    Parameters
    ----------
    inputs : sequence of variables
        Leaves of the graphs; those that are not used are ignored.
    outputs : sequence of variables
        Graphs.
    draws : sequence of numpy.ndarray, shape (S, ...)
        Values of the inputs, one after the other along the leading axis. S is at least 1.
    random_seed : int, optional
        Seed, where the graphs hold random variables.

    Yields
    ------
    list of numpy.ndarray
        One array per output.
    """
    seed = False if random_seed is None else random_seed  # False: look for no generators
    function = pm.compile(list(inputs), list(outputs), on_unused_input="ignore", random_seed=seed)
    columns = [
        np.ascontiguousarray(x, dtype=v.type.dtype) for v, x in zip(inputs, draws, strict=True)
    ]
    function.trust_input = True  # a check of every argument costs more than the evaluation
    for s in range(len(columns[0])):
        yield function(*[np.asarray(column[s]) for column in columns])


def evaluate(
    inputs: Sequence[Variable], outputs: Sequence[Variable], draws: Sequence[NDArray]
) -> list[NDArray]:
    """Values of graphs of a fixed shape at all draws, stacked; parameters as of `each_draw`.

    Returns
    -------
    list of numpy.ndarray, shape (S, ...)
        One array per output.
    """
    results: list[NDArray] = []
    for s, values in enumerate(each_draw(inputs, outputs, draws)):
        if not results:
            n_draws = len(draws[0])
            results = [np.empty((n_draws, *np.shape(v)), dtype=v.dtype) for v in values]
        for result, value in zip(results, values, strict=True):
            result[s] = value
    return results


def evaluate_graph(mixture: Mixture, graph: Variable, posterior: xr.Dataset) -> NDArray:
    """Evaluate a graph of a mixture's random variables at every draw.

    Parameters
    ----------
    mixture : Mixture
        As read by `read_untransformed`.
    graph : variable
        Of a fixed shape.
    posterior : xarray.Dataset
        With the dimensions chain and draw.

    Returns
    -------
    numpy.ndarray, shape (S, ...)
        Chains and draws joined to one leading axis.

    Raises
    ------
    ValueError
        If a variable that the graph needs was not kept.
    """
    (graph,) = mixture.model.replace_rvs_by_values([graph])
    reached = set(ancestors([graph]))
    inputs = [v for v in mixture.model.value_vars if v in reached]
    if not inputs:
        constant = np.asarray(graph.eval())
        n_draws = posterior.sizes["chain"] * posterior.sizes["draw"]
        return np.broadcast_to(constant, (n_draws, *constant.shape))
    draws = draws_of(posterior, [str(v.name) for v in inputs])
    (values,) = evaluate(inputs, [graph], list(draws.values()))
    return values
