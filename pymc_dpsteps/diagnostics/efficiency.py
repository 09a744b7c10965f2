"""What one independent draw costs with each of several step methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import arviz_stats
import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr
from pymc.sampling.mcmc import assign_step_methods, instantiate_steppers
from pymc.step_methods.compound import BlockedStep, CompoundStep

from pymc_dpsteps.diagnostics.autocorrelation import integrated_autocorr_time
from pymc_dpsteps.diagnostics.functionals import partition

__all__ = ["efficiency"]


def efficiency(
    model: pm.Model,
    steps: Sequence[Any] | Mapping[str, Any],
    *,
    draws: int = 2000,
    tune: int = 500,
    chains: int = 2,
    random_seed: Any = None,
    functionals: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Compare step methods on a model: time per sweep, autocorrelation time, and their product.

    Parameters
    ----------
    model : pymc.Model
        A mixture model.
    steps : sequence, or mapping from label to step
        Each is a step of this model, ``dps.Neal8(m=3, model=model)``; a class, ``dps.Neal8``; a
        class with options, ``functools.partial(dps.Neal8, m=3)``; or a list of these that are
        run one after the other. Variables that no step owns are left to PyMC, as in
        `pymc.sample`.
    draws : int, default 2000
        Sweeps per chain that are timed and judged.
    tune : int, default 500
        Sweeps before these, at least 1; they are not timed, so that compilation does not count.
    chains : int, default 2
        Chains, one after the other in one process.
    random_seed : int, sequence of int or numpy.random.Generator, optional
        Seed, as in `pymc.sample`; the same for all steps.
    functionals : sequence of str, optional
        Names among the variables of `dps.diagnostics.partition`. Default: all.

    Returns
    -------
    pandas.DataFrame
        Rows are indexed by step and functional. Columns:

        - ``mean``: posterior mean of the functional. Steps must agree on it; one that never
          leaves a mode has a short autocorrelation time and a wrong mean;
        - ``r_hat``: rank-normalised split R-hat, about 1 where the other columns mean something;
        - ``tau``: `dps.diagnostics.integrated_autocorr_time` in sweeps;
        - ``ms_per_sweep``: milliseconds in which all variables of the model are updated once;
        - ``ms_per_independent_draw``: the product of the last two;
        - ``ess_per_second``: independent draws per second of sampling.

        A functional that never changes has nan.

    Raises
    ------
    MixtureError
        If the model is not a mixture, or a step cannot sample it.
    TypeError
        If a step is none of the above.
    ValueError
        If there are no steps, two have the same label, a functional is not known, or `tune` is
        less than 1.

    Notes
    -----
    Time is wall-clock time inside the steps: what `pymc.sample` adds to record a draw, which is
    the same for all, is left out. Run it on an idle machine. The relative standard error of tau,
    and so of the last two columns, is about ``sqrt((10 tau + 2) / (chains * draws))``.

    Examples
    --------
    >>> from functools import partial
    >>> steps = [dps.Neal8, partial(dps.Neal8, m=1), [dps.SplitMerge, dps.Neal8]]
    >>> table = dps.efficiency(model, steps)
    >>> dps.plots.efficiency(table)
    """
    if tune < 1:
        raise ValueError(f"tune = {tune}; expected at least 1, so that compilation is not timed.")
    tables = {}
    for label, step in _labelled(steps).items():
        timed = _Timed(model, _built(step, model))
        idata = pm.sample(
            draws,
            tune=tune,
            chains=chains,
            cores=1,
            step=timed,
            random_seed=random_seed,
            model=model,
            progressbar=False,
            quiet=True,
            compute_convergence_checks=False,
        )
        found = _chosen(partition(idata, model=model), functionals)
        tables[label] = _table(found, timed.seconds(tune))
    return pd.concat(tables, names=["step", "functional"])


class _Timed(CompoundStep):
    """All steps that a model needs, and how long each sweep of each chain took."""

    def __init__(self, model: pm.Model, steps: list[BlockedStep]) -> None:
        provided, selected = assign_step_methods(model, steps)
        methods = instantiate_steppers(model, provided, selected)
        super().__init__(methods if isinstance(methods, list) else [methods])
        self._times: list[list[float]] = []

    def setup_chain(self, rng: Any, tune: int, draws: int) -> None:
        super().setup_chain(rng, tune, draws)
        self._times.append([])

    def step(self, point: Any) -> Any:
        start = perf_counter()
        result = super().step(point)
        self._times[-1].append(perf_counter() - start)
        return result

    def seconds(self, tune: int) -> float:
        """Mean time of a sweep after tuning."""
        return float(np.mean([times[tune:] for times in self._times]))


def _labelled(steps: Sequence[Any] | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(steps, Mapping):
        found = {str(label): step for label, step in steps.items()}
    elif isinstance(steps, list | tuple):
        labels = [_label(step) for step in steps]
        if twice := {label for label in labels if labels.count(label) > 1}:
            raise ValueError(
                f"Several steps are called {', '.join(sorted(twice))}. Give a mapping from labels "
                "to steps."
            )
        found = dict(zip(labels, steps, strict=True))
    else:
        raise TypeError(f"steps is a {type(steps).__name__}; expected a list or a dict of steps.")
    if not found:
        raise ValueError("There are no steps to compare.")
    return found


def _label(step: Any) -> str:
    if isinstance(step, list | tuple):
        return " + ".join(map(_label, step))
    if isinstance(step, partial):
        options = ", ".join(f"{name}={value}" for name, value in step.keywords.items())
        return f"{_label(step.func)}({options})"
    return step.__name__ if isinstance(step, type) else type(step).__name__


def _built(step: Any, model: pm.Model) -> list[BlockedStep]:
    if isinstance(step, list | tuple):
        return [built for part in step for built in _built(part, model)]
    if isinstance(step, type | partial):
        with model:
            step = step()
    if isinstance(step, BlockedStep | CompoundStep):
        return [step]
    raise TypeError(f"{step!r} is no step method, class of step methods, or list of these.")


def _chosen(found: xr.Dataset, functionals: Sequence[str] | None) -> xr.Dataset:
    if functionals is None:
        return found
    if unknown := [name for name in functionals if name not in found]:
        raise ValueError(
            f"No functional {', '.join(unknown)}; the model has {', '.join(map(str, found))}."
        )
    return found[list(functionals)]


def _table(found: xr.Dataset, seconds: float) -> pd.DataFrame:
    with np.errstate(divide="ignore", invalid="ignore"):
        r_hat = arviz_stats.rhat(found)
    tau = integrated_autocorr_time(found)
    rows = {
        name: {
            "mean": float(found[name].mean()),
            "r_hat": float(r_hat[name]),
            "tau": float(tau[name]),
        }
        for name in found.data_vars
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table["ms_per_sweep"] = 1000.0 * seconds
    table["ms_per_independent_draw"] = table["tau"] * table["ms_per_sweep"]
    table["ess_per_second"] = 1000.0 / table["ms_per_independent_draw"]
    return table
