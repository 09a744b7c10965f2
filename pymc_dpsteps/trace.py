"""Traces of allocations of many items: small integers, and not more of them than asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import pymc as pm
import xarray as xr
from numpy.typing import NDArray
from pymc.backends.ndarray import NDArray as Trace

from pymc_dpsteps.diagnostics.functionals import label_functionals, size_functionals
from pymc_dpsteps.diagnostics.sizes import sorted_sizes
from pymc_dpsteps.mixture import Mixture

__all__ = ["AllocationTrace", "Keep", "Recorder", "allocation_trace"]

Keep = Literal["all", "thin", "none"]

MOST_THINNED = 100
"""Draws of the allocation that a thinned chain keeps, at most."""


class Recorder:
    """Functionals of every draw, and the allocation of evenly spaced ones, of all chains.

    Parameters
    ----------
    model : pymc.Model
        The model that is sampled.
    mixtures : list of Mixture
        One for every allocation of the model.
    draws : int
        Draws per chain.
    keep : {"thin", "none"}
        Whether to keep allocations at all.
    """

    def __init__(self, model: pm.Model, mixtures: list[Mixture], draws: int, keep: Keep) -> None:
        self.model = model
        self.mixtures = mixtures
        self.every = -(-draws // MOST_THINNED) if keep == "thin" else 0
        self._functionals: dict[int, list[dict[str, dict[str, float]]]] = {}
        self._labels: dict[int, list[dict[str, NDArray]]] = {}
        kernels = [m.kernel_names for m in mixtures]
        self._log_likelihoods = model.compile_fn(
            [model.logp(vars=[model[name] for name in names]) for names in kernels],
            inputs=model.value_vars,
            point_fn=False,
            on_unused_input="ignore",
        )

    def record(self, chain: int, point: Mapping[str, NDArray]) -> None:
        """Record one draw."""
        functionals = self._functionals.setdefault(chain, [])
        keeps = self.every > 0 and len(functionals) % self.every == 0
        found, labels = {}, {}
        log_likelihoods = self._log_likelihoods(*point.values())
        for mixture, log_likelihood in zip(self.mixtures, log_likelihoods, strict=True):
            name = str(mixture.allocation.name)
            z = point[name]
            sizes = sorted_sizes(z)
            found[name] = {key: float(x) for key, x in size_functionals(sizes, len(z)).items()}
            found[name]["log_likelihood"] = float(log_likelihood)
            labels[name] = z.astype(small_integer(mixture.n_components))
        functionals.append(found)
        if keeps:
            self._labels.setdefault(chain, []).append(labels)

    def functionals(self, posterior: xr.Dataset) -> xr.Dataset:
        """Functionals of the draws of a posterior, as `dps.diagnostics.partition` gives them."""
        n_draws = posterior.sizes["draw"]
        chains = [self._functionals[int(c)][:n_draws] for c in posterior["chain"].values]

        def of(mixture: Mixture) -> dict[str, NDArray]:
            name = str(mixture.allocation.name)
            keys = chains[0][0][name]
            rows = {key: [[d[name][key] for d in chain] for chain in chains] for key in keys}
            whole = ("n_clusters", "largest_cluster")
            return {k: np.array(x, dtype=int if k in whole else float) for k, x in rows.items()}

        return label_functionals(self.mixtures, of, posterior)

    def allocations(self, posterior: xr.Dataset) -> xr.Dataset | None:
        """The allocations kept of the draws of a posterior; None if none are to be kept."""
        if not self.every:
            return None
        kept = posterior["draw"].values[:: self.every]
        chains = [self._labels[int(c)][: len(kept)] for c in posterior["chain"].values]
        found = {}
        for mixture in self.mixtures:
            name = str(mixture.allocation.name)
            dim, *_ = self.model.named_vars_to_dims.get(name, (f"{name}_dim_0",))
            labels = np.array([[d[name] for d in chain] for chain in chains])
            coords = {"chain": posterior["chain"], "draw": kept}
            items = self.model.coords.get(dim) or range(mixture.n_items)
            found[name] = xr.DataArray(
                labels, {**coords, dim: np.asarray(items)}, ("chain", "draw", dim)
            )
        return xr.Dataset(found)


class AllocationTrace(Trace):
    """PyMC's trace in memory, with allocations as small integers, or without them.

    Made by `allocation_trace`.
    """

    recorder: Recorder | None = None

    def __copy__(self) -> AllocationTrace:
        """Trace of a chain of its own: PyMC copies the trace given for every chain."""
        new = type(self)(
            model=self.model,
            vars=self.vars,
            fn=self.fn,
            var_shapes=self.var_shapes,
            var_dtypes=self.var_dtypes,
        )
        new.recorder = self.recorder
        return new

    def record(
        self,
        point: Mapping[str, NDArray],
        sampler_stats: Sequence[Mapping[str, Any]] | None = None,
        *,
        in_warmup: bool,
    ) -> None:
        """Record an iteration."""
        super().record(point, sampler_stats, in_warmup=in_warmup)
        if self.recorder is not None and not in_warmup:
            self.recorder.record(self.chain, point)


def small_integer(n_components: int) -> np.dtype:
    """Smallest signed integer that holds K labels."""
    return np.min_scalar_type(-n_components)


def allocation_trace(
    model: pm.Model,
    mixtures: list[Mixture],
    keep: Keep,
    *,
    draws: int,
    var_names: Sequence[str] | None = None,
) -> AllocationTrace:
    """Trace for `pymc.sample`.

    Parameters
    ----------
    model : pymc.Model
        The model to be sampled.
    mixtures : list of Mixture
        One for every allocation of the model.
    keep : {"all", "thin", "none"}
        Of which draws to keep the allocations.
    draws : int
        Draws per chain.
    var_names : sequence of str, optional
        Variables to keep. Default: all.

    Returns
    -------
    AllocationTrace
        Its attribute ``recorder`` has what is kept of allocations, unless all are.

    Raises
    ------
    ValueError
        If `keep` is something else.
    """
    if keep not in get_args(Keep):
        raise ValueError(f"keep_allocation = {keep!r}; expected one of {get_args(Keep)}.")
    names = [str(m.allocation.name) for m in mixtures]
    if var_names is None:
        kept = model.unobserved_value_vars
    else:
        kept = model.replace_rvs_by_values([v for v in model.unobserved_RVs if v.name in var_names])
    trace = AllocationTrace(
        model=model, vars=[v for v in kept if keep == "all" or v.name not in names]
    )
    for mixture in mixtures:
        name = str(mixture.allocation.name)
        if name in trace.var_dtypes:
            trace.var_dtypes[name] = small_integer(mixture.n_components)
    trace.recorder = None if keep == "all" else Recorder(model, mixtures, draws, keep)
    return trace
