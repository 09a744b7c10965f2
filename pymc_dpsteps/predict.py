"""Posterior predictive density of a new observation."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from pymc.model import modelcontext
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.replace import clone_replace, vectorize_graph
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.diagnostics.posterior import (
    draws_of,
    evaluate,
    posterior_of,
    read_untransformed,
)
from pymc_dpsteps.mixture import Mixture, MixtureError

__all__ = ["density"]


def density(
    idata: xr.DataTree,
    grid: ArrayLike,
    *,
    model: pm.Model | None = None,
    allocation: str | None = None,
    ci_prob: float = 0.89,
    draws: int | None = None,
) -> xr.Dataset:
    r"""Density of a new observation, averaged over the posterior, with a band.

    Given one posterior draw, a new observation has the density

    .. math::

        \sum_{k} w_k F(y \mid \phi_k)

    for a model with weights :math:`w`, and

    .. math::

        \sum_{k : n_k > 0} \frac{n_k - d}{\alpha + N} F(y \mid \phi_k)
        + \frac{\alpha + d k^+}{\alpha + N} \frac{1}{K - k^+} \sum_{k : n_k = 0} F(y \mid \phi_k)

    for the Chinese restaurant process with concentration :math:`\alpha` and discount :math:`d`,
    where the atoms of empty slots are draws from the base measure.

    Parameters
    ----------
    idata : xarray.DataTree
        Result of `dps.sample` or `pymc.sample`.
    grid : array_like of float, shape (G,)
        Points at which the density is wanted, in the units of the data.
    model : pymc.Model, optional
        Default: the model in context.
    allocation : str, optional
        Name of the allocation; needed only where the model has several.
    ci_prob : float, default 0.89
        Probability of the pointwise, equal-tailed band.
    draws : int, optional
        Use this many draws, evenly spaced over all chains. Default: all.

    Returns
    -------
    xarray.Dataset
        ``mean``, ``lower`` and ``upper`` along a coordinate with the name of the observed
        variable, in units of one over those of the data. Attributes: ``ci_prob``, ``n_draws``.

    Raises
    ------
    MixtureError
        If the density is not defined by the model alone: several observed variables, one with
        more than one value per item, or one whose density depends on covariates; or, for the
        Chinese restaurant process, if a draw occupies all slots, so that none holds a draw from
        the base measure.
    ValueError
        If the grid is not a vector, or not of integers for integer data; if `ci_prob` or `draws`
        is out of range; if the posterior lacks a variable.
    """
    if not 0.0 < ci_prob < 1.0:
        raise ValueError(f"ci_prob = {ci_prob}; expected a probability between 0 and 1.")
    mixture = read_untransformed(modelcontext(model), allocation)
    observed = _observed(mixture)
    points = _grid_of(grid, observed)
    posterior = posterior_of(idata)
    names = [v.name for v in mixture.model.value_vars if v.name in posterior]
    state = _thinned(draws_of(posterior, names), draws)
    weights = _weights_of_crp(mixture, state) if mixture.prior.weights is None else None
    curves = _curves(mixture, observed, points, state, weights)
    tail = 0.5 * (1.0 - ci_prob)
    lower, upper = np.quantile(curves, [tail, 1.0 - tail], axis=0)
    name = mixture.kernel_names[0]
    return xr.Dataset(
        {
            "mean": (name, curves.mean(axis=0)),
            "lower": (name, lower),
            "upper": (name, upper),
        },
        coords={name: points},
        attrs={"ci_prob": ci_prob, "n_draws": len(curves)},
    )


def _observed(mixture: Mixture) -> Constant:
    """Value of the one observed, univariate kernel variable."""
    names = ", ".join(mixture.kernel_names)
    if len(mixture.kernel_names) > 1:
        raise MixtureError(
            f"The kernel of {mixture.allocation.name} has several variables: {names}. A density "
            "on one grid is defined for a single observed variable."
        )
    if mixture.grouped:
        raise MixtureError(
            f"{names} has several observations per item of {mixture.allocation.name}; a density "
            "on a grid is defined for one number per item."
        )
    value = mixture.model.rvs_to_values[mixture.model[names]]
    if not isinstance(value, Constant):
        raise MixtureError(
            f"{names} is not observed; the density of an observed variable is expected."
        )
    if value.ndim != 1:
        raise MixtureError(
            f"{names} has {value.ndim - 1} axes besides the items; a density on a grid is "
            "defined for one number per item."
        )
    return value


def _grid_of(grid: ArrayLike, observed: Constant) -> NDArray:
    points = np.asarray(grid)
    if points.ndim != 1 or len(points) == 0:
        raise ValueError(f"grid has shape {points.shape}; expected a vector of points.")
    found = points.astype(observed.dtype)
    if not np.array_equal(found, points):
        raise ValueError(
            f"grid holds values that {observed.name or 'the data'} of type {observed.dtype} "
            "cannot have. Give integers."
        )
    return found


def _thinned(state: dict[str, NDArray], draws: int | None) -> dict[str, NDArray]:
    n_draws = len(next(iter(state.values())))
    if draws is None or draws >= n_draws:
        return state
    if draws < 1:
        raise ValueError(f"draws = {draws}; expected at least 1, or None for all.")
    chosen = np.linspace(0, n_draws - 1, draws).round().astype(int)
    return {name: x[chosen] for name, x in state.items()}


def _weights_of_crp(mixture: Mixture, state: dict[str, NDArray]) -> NDArray[np.float64]:
    """Predictive weight of every slot, (S, K): the weight of a new cluster is shared by the empty.

    Pitman, J. (1995). Exchangeable and partially exchangeable random partitions. Probability
    Theory and Related Fields 102, 145-158, proposition 9.
    """
    name, n_slots = str(mixture.allocation.name), mixture.n_components
    _require(state, [name])
    labels = state[name]
    (graph,) = mixture.model.replace_rvs_by_values([mixture.prior.parameters])
    inputs = _leaves([graph], mixture)
    _require(state, [str(v.name) for v in inputs])
    if inputs:
        (parameters,) = evaluate(inputs, [graph], [state[str(v.name)] for v in inputs])
    else:
        parameters = np.broadcast_to(graph.eval(), (len(labels), 1, 2))
    alpha, discount = parameters[:, 0, 0], parameters[:, 0, 1]
    counts = np.zeros((len(labels), n_slots))
    for k in range(n_slots):
        counts[:, k] = (labels == k).sum(axis=1)
    occupied = counts > 0
    n_clusters = occupied.sum(axis=1)
    if n_full := int((n_clusters == n_slots).sum()):
        raise MixtureError(
            f"All K={n_slots} slots of {name} are occupied in {n_full} of {len(labels)} draws: no "
            "slot holds a draw from the base measure, which the density of a new cluster needs. "
            f"Give {name} more slots, K={2 * n_slots}, and sample again."
        )
    new = (alpha + discount * n_clusters) / (n_slots - n_clusters)
    weights = np.where(occupied, counts - discount[:, None], new[:, None])
    normalised: NDArray[np.float64] = weights / (alpha + labels.shape[1])[:, None]
    return normalised


def _curves(
    mixture: Mixture,
    observed: Constant,
    points: NDArray,
    state: dict[str, NDArray],
    weights: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Density at every point given every draw, shape (S, G)."""
    log_density = _log_density(mixture, observed, points)
    inputs = _leaves([log_density], mixture)
    leaf = pt.tensor("slot_weights", shape=(mixture.n_components,), dtype="float64")
    slot_weights: Variable = leaf
    if weights is None:
        (slot_weights,) = mixture.model.replace_rvs_by_values([mixture.prior.weights])
        inputs = _leaves([log_density, slot_weights], mixture)
    curve = (pt.exp(log_density) * slot_weights).sum(axis=1)
    _require(state, [str(v.name) for v in inputs])
    values = [state[str(v.name)] for v in inputs]
    if weights is not None:
        inputs, values = [*inputs, leaf], [*values, weights]
    (curves,) = evaluate(inputs, [curve], values)
    return curves


def _log_density(mixture: Mixture, observed: Constant, points: NDArray) -> TensorVariable:
    """Log density of a new observation as a graph of shape (grid point, component)."""
    replace: dict[Variable, Variable] = {}
    for source, placeholder in mixture.items.items():
        _refuse_covariates(mixture, source, observed)
        at_points = pt.concatenate(
            [
                clone_replace([source], {observed: pt.constant(block)})[0]
                for block in _blocks(points, mixture.n_items)
            ]
        )[: len(points)]
        replace[placeholder] = pt.expand_dims(at_points, 1)
    for atom in mixture.atoms:
        replace[atom.placeholder] = pt.expand_dims(atom.value_var, 0)
    replace |= {placeholder: source for source, placeholder in mixture.shared.items()}
    (result,) = vectorize_graph([mixture.log_kernel], replace)
    return pt.broadcast_to(result, (len(points), mixture.n_components))


def _blocks(points: NDArray, length: int) -> list[NDArray]:
    """Cut into pieces of the length of the data, for which all shapes of the model are right."""
    n_blocks = -(-len(points) // length)
    padded = np.concatenate([points, np.repeat(points[-1], n_blocks * length - len(points))])
    return list(padded.reshape(n_blocks, length))


def _refuse_covariates(mixture: Mixture, source: Variable, observed: Constant) -> None:
    """Refuse what varies with the item apart from the observation itself."""
    others = [
        x
        for x in ancestors([source])
        if x.owner is None
        and x is not observed
        and isinstance(x, TensorVariable | Constant)
        and getattr(x, "ndim", 0) > 0
        and x.type.shape[0] == mixture.n_items
        and not (isinstance(x, Constant) and _same_rows(x))
    ]
    if not others and observed in ancestors([source]):
        return
    names = ", ".join(sorted(str(x.name or "a constant") for x in others)) or str(source)
    raise MixtureError(
        f"The density of {mixture.kernel_names[0]} depends on more than the observation: {names}, "
        "with one value per item. It is conditional on these; a single curve is not defined."
    )


def _same_rows(x: Constant) -> bool:
    return bool((x.data == x.data[:1]).all())


def _leaves(graphs: list[Variable], mixture: Mixture) -> list[Variable]:
    reached = set(ancestors(graphs))
    return [v for v in mixture.model.value_vars if v in reached]


def _require(state: dict[str, NDArray], names: list[str]) -> None:
    if missing := [name for name in names if name not in state]:
        raise ValueError(
            f"The posterior does not hold {', '.join(missing)}, which the density needs. Sample "
            "without var_names, or list these variables there."
        )
