"""Search for a mode of the posterior from several starts."""

from __future__ import annotations

import logging
from numbers import Integral
from typing import Any, Literal

import numpy as np
import pymc as pm
import xarray as xr
from arviz_base import dict_to_dataset
from numpy.typing import NDArray
from pymc.backends.arviz import coords_and_dims_for_inferencedata
from pymc.model import modelcontext
from pymc.util import get_random_generator
from pytensor.graph.traversal import ancestors

from pymc_dpsteps.mixture import Mixture, MixtureError, find_allocations, read_mixture
from pymc_dpsteps.modes.em import Mode, find_mode
from pymc_dpsteps.modes.greedy import Greedy, HardMode
from pymc_dpsteps.modes.objective import compile_objective

__all__ = ["find_map"]

_log = logging.getLogger("pymc_dpsteps")

_NOTE = "a mode, not a posterior: no uncertainty is attached"
_SAME = 0.01  # nats; restarts this close have found the same mode


def find_map(
    model: pm.Model | None = None,
    *,
    method: Literal["em", "greedy"] = "em",
    restarts: int = 10,
    random_seed: Any = None,
) -> xr.DataTree:
    r"""Find a mode of the posterior of a mixture.

    Parameters
    ----------
    model : pymc.Model, optional
        Default: the model in context.
    method : {"em", "greedy"}, default "em"
        "em" maximises over all continuous variables :math:`\theta`, in PyMC's unconstrained value
        space, with the allocation summed out:

        .. math::

            \log p(\theta) + \sum_i \log \sum_k w_k F(y_i \mid \phi_k).

        "greedy" maximises over the allocation and the concentration, with atoms and weights
        integrated out: :math:`\log p(\alpha) + \log p(z \mid \alpha) + \log p(y \mid z)`. It
        needs conjugate pairs.
    restarts : int, default 10
        Number of starts; the best mode found is returned.
    random_seed : int, sequence of int or numpy.random.Generator, optional
        Seed. Every restart has a stream of its own.

    Returns
    -------
    xarray.DataTree
        Group ``mode``: the variables at the mode, in the space of the model and with its dims,
        and the allocation. For "em" that is the most probable component of every item, and
        ``responsibilities`` (item, component) are the probabilities; the atoms of components that
        no item belongs to are modes of G0. For "greedy" there are the allocation and the
        concentration alone. Missing observations, and what is computed from them, are left out.
        Attributes: ``method``, ``log_posterior``, ``restarts`` and ``note``.

        Group ``restarts``: ``log_posterior`` and ``n_clusters`` of what every restart found, and
        for "em" ``largest_gradient``, which is zero at a mode.

    Raises
    ------
    MixtureError
        If the model is not a mixture; if it has several allocations or other discrete variables;
        for "em" if a kernel variable is not observed or a density has no gradient; for "greedy" if
        something but allocation and concentration cannot be integrated out.
    ValueError
        If an option has no such value.

    Notes
    -----
    A mode depends on the parametrisation. In value space the density of a stick
    :math:`V_k \sim \mathrm{Beta}(1, \alpha)` is bounded, which it is not on :math:`(0, 1)` where
    :math:`\alpha < 1`; but the number of components that items belong to at this mode says little
    about the number of clusters under the posterior.

    A Chinese restaurant process has no weights. For it "em" maximises the posterior of the same
    process truncated at its K slots, with sticks
    :math:`V_k \sim \mathrm{Beta}(1 - d, \alpha + k d)` for :math:`k < K` in logits, and the priors
    of :math:`\alpha` and d as given. "greedy" maximises the probability of the partition, not of
    the labels, since slots of the process mean nothing.

    Log posteriors are not normalised, and those of the two methods are of different things. Where
    a scale may go to zero, as :math:`\sigma_k` of a normal kernel under a half-normal prior, the
    density has spikes, or no upper bound, at components that hold a few close or equal
    observations; a prior that vanishes at zero (inverse gamma, log-normal) mends that.

    If more than one restart is made and only one reaches the best value, that is logged as a
    warning of the logger ``pymc_dpsteps``.

    References
    ----------
    .. [1] Dempster, A. P., Laird, N. M. and Rubin, D. B. (1977). Maximum likelihood from incomplete
       data via the EM algorithm. Journal of the Royal Statistical Society B 39, 1-38.
    .. [2] Jamshidian, M. and Jennrich, R. I. (1997). Acceleration of the EM algorithm by using
       quasi-Newton methods. Journal of the Royal Statistical Society B 59, 569-587.
    .. [3] Besag, J. (1986). On the statistical analysis of dirty pictures. Journal of the Royal
       Statistical Society B 48, 259-302.
    """
    if method not in ("em", "greedy"):
        raise ValueError(f"method must be 'em' or 'greedy'; found {method!r}.")
    if not isinstance(restarts, Integral) or isinstance(restarts, bool) or restarts < 1:
        raise ValueError(f"restarts must be an integer of at least 1; found {restarts!r}.")
    model = modelcontext(model)
    if len(found := [str(rv.name) for rv in find_allocations(model)]) > 1:
        raise MixtureError(
            f"The model has {len(found)} allocations: {', '.join(found)}. A mode is found with one "
            "allocation summed out; fix the others (pm.observe)."
        )
    mixture = read_mixture(model)
    streams = get_random_generator(random_seed).spawn(int(restarts))
    if method == "em":
        objective = compile_objective(mixture)
        modes = [find_mode(objective, rng) for rng in streams]
        gradients = [np.abs(objective.expected(m.x, m.responsibilities)[1]).max() for m in modes]
        table = _table(modes) | {"largest_gradient": np.array(gradients)}
        best = _best(modes)
        values = _natural(mixture, objective.unpack(best.x) | {_z_value(mixture): best.labels})
        values["responsibilities"] = best.responsibilities
    else:
        search = Greedy(mixture)
        hard = [search.find_mode(rng) for rng in streams]
        table = _table(hard)
        best = _best(hard)
        values = _natural(mixture, best.theta | {_z_value(mixture): best.labels})
    _warn_if_alone(table["log_posterior"])
    attrs = {
        "method": method,
        "log_posterior": best.log_posterior,
        "restarts": int(restarts),
        "note": _NOTE,
    }
    return _tree(model, mixture, values, table, attrs)


def _z_value(mixture: Mixture) -> str:
    return str(mixture.model.rvs_to_values[mixture.allocation].name)


def _natural(mixture: Mixture, point: dict[str, NDArray]) -> dict[str, NDArray]:
    """Variables and deterministics that these value variables determine, in the model's space."""
    model = mixture.model
    graphs = dict(
        zip(
            (str(v.name) for v in model.unobserved_RVs),
            model.replace_rvs_by_values(model.unobserved_RVs),
            strict=True,
        )
    )
    unknown = {v for v in model.value_vars if v.name not in point}
    graphs = {n: g for n, g in graphs.items() if unknown.isdisjoint(ancestors([g]))}
    inputs = [v for v in model.value_vars if v.name in point]
    function = pm.compile(inputs, list(graphs.values()), on_unused_input="ignore")
    return dict(zip(graphs, function(*[point[str(v.name)] for v in inputs]), strict=True))


def _best[T: (Mode, HardMode)](modes: list[T]) -> T:
    return max(modes, key=lambda mode: mode.log_posterior)


def _table(modes: list[Mode] | list[HardMode]) -> dict[str, NDArray]:
    """What every restart found."""
    return {
        "log_posterior": np.array([mode.log_posterior for mode in modes]),
        "n_clusters": np.array([len(np.unique(mode.labels)) for mode in modes]),
    }


def _warn_if_alone(log_posterior: NDArray[np.float64]) -> None:
    """Say when the best mode may not be the best there is."""
    n = len(log_posterior)
    second, best = np.sort(log_posterior)[-2:] if n > 1 else (np.inf, np.inf)
    if best - second > _SAME:
        _log.warning(
            "One of %d restarts reached the best log posterior, %.2f; the next best is %.2f. There "
            "may be better modes: raise restarts.",
            n,
            best,
            second,
        )


def _tree(
    model: pm.Model,
    mixture: Mixture,
    values: dict[str, NDArray],
    table: dict[str, NDArray],
    attrs: dict[str, Any],
) -> xr.DataTree:
    coords, dims = coords_and_dims_for_inferencedata(model)
    z = str(mixture.allocation.name)
    of_atoms = (dims[name][0] for a in mixture.atoms if (name := a.rv.name) in dims)
    item = dims.get(z, [f"{z}_dim_0"])[0]
    dims = {**dims, "responsibilities": [item, next(of_atoms, "component")]}
    mode = dict_to_dataset(values, coords=coords, dims=dims, sample_dims=[])
    restarts = xr.Dataset(
        {name: ("restart", column) for name, column in table.items()},
        coords={"restart": np.arange(attrs["restarts"])},
    )
    mode.attrs = attrs
    return xr.DataTree.from_dict({"mode": mode, "restarts": restarts})
