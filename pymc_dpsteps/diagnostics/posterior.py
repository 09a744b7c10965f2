"""Evaluate graphs of a model at its posterior draws."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pymc as pm
import xarray as xr
from numpy.typing import NDArray
from pymc.model.transform.conditioning import remove_value_transforms
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors

from pymc_dpsteps.mixture import Mixture, read_mixture
from pymc_dpsteps.mixture.rules import is_constant
from pymc_dpsteps.mixture.small_matrices import small_matrix_mode

__all__ = [
    "draws_of",
    "each_draw",
    "each_draw_of",
    "evaluate_graph",
    "partition_of",
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


def partition_of(idata: xr.DataTree) -> xr.Dataset:
    """Group of the label-invariant functionals of a result, as a dataset.

    Raises
    ------
    ValueError
        If there is none.
    """
    if "partition" not in idata.children:
        raise ValueError(
            f"No group 'partition' among {list(idata.children)}. Sample with dps.sample, or add "
            "it: idata['partition'] = xr.DataTree(dps.diagnostics.partition(idata, model=model))."
        )
    return idata["partition"].to_dataset()


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
            "list these variables there; an allocation needs keep_allocation='all' or 'thin'."
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
    function = pm.compile(
        list(inputs),
        list(outputs),
        mode=small_matrix_mode(),
        on_unused_input="ignore",
        random_seed=seed,
    )
    columns = [
        np.ascontiguousarray(x, dtype=v.type.dtype) for v, x in zip(inputs, draws, strict=True)
    ]
    function.trust_input = True  # a check of every argument costs more than the evaluation
    for s in range(len(columns[0])):
        yield function(*[np.asarray(column[s]) for column in columns])


def each_draw_of(
    mixture: Mixture,
    graphs: Sequence[Variable],
    posterior: xr.Dataset,
    given: Mapping[Variable, NDArray] | None = None,
) -> Iterator[list[NDArray]]:
    """Values of graphs of a mixture's random variables at one draw after the other.

    Parameters
    ----------
    mixture : Mixture
        As read by `read_untransformed`.
    graphs : sequence of variables
        Graphs of random or value variables of the mixture's model.
    posterior : xarray.Dataset
        With the dimensions chain and draw.
    given : mapping of variable to numpy.ndarray, shape (S, ...), optional
        Further leaves, with a value for every draw.

    Yields
    ------
    list of numpy.ndarray
        One array per graph.

    Raises
    ------
    ValueError
        If a variable that the graphs need was not kept.
    """
    graphs = mixture.model.replace_rvs_by_values(list(graphs))
    reached = set(ancestors(graphs))
    inputs = [v for v in mixture.model.value_vars if v in reached]
    draws = draws_of(posterior, [str(v.name) for v in inputs])
    given = given or {}
    return each_draw([*inputs, *given], graphs, [*draws.values(), *given.values()])


def evaluate_graph(
    mixture: Mixture,
    graph: Variable,
    posterior: xr.Dataset,
    given: Mapping[Variable, NDArray] | None = None,
) -> NDArray:
    """Values of a graph of fixed shape at all draws; parameters as of `each_draw_of`.

    Returns
    -------
    numpy.ndarray, shape (S, ...)
        Chains and draws joined to one leading axis.
    """
    if is_constant(graph):
        constant = np.asarray(graph.eval())
        n_draws = posterior.sizes["chain"] * posterior.sizes["draw"]
        return np.broadcast_to(constant, (n_draws, *constant.shape))
    return np.stack([values[0] for values in each_draw_of(mixture, [graph], posterior, given)])
