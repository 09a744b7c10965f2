"""Sample a mixture with a step that suits it, and judge the result whatever its numbering."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pymc as pm
import xarray as xr
from pymc.model import modelcontext
from pymc.stats.convergence import log_warnings, warn_divergences, warn_treedepth

from pymc_dpsteps.conjugate import find_conjugacy
from pymc_dpsteps.diagnostics.convergence import convergence_messages
from pymc_dpsteps.diagnostics.functionals import partition
from pymc_dpsteps.mixture import find_allocations, read_mixture
from pymc_dpsteps.mixture.structure import PriorKind
from pymc_dpsteps.partitions.labels import posterior_of
from pymc_dpsteps.steps import BlockedGibbs, Neal2, Neal8
from pymc_dpsteps.steps.base import MixtureStep
from pymc_dpsteps.trace import Keep, Recorder, allocation_trace

__all__ = ["sample"]

_log = logging.getLogger("pymc_dpsteps")

# Options of a step, which `pymc.sample` would take for options of NUTS.
_STEP_OPTIONS = (
    "R atoms concentration hyperparameters m moves proposal reuse sweeps t threads vars xi".split()
)


def sample(
    draws: int = 1000,
    *,
    tune: int = 1000,
    chains: int | None = None,
    cores: int | None = None,
    step: Any = None,
    random_seed: Any = None,
    model: pm.Model | None = None,
    keep_allocation: Keep = "all",
    return_inferencedata: bool = True,
    **kwargs: Any,
) -> Any:
    """Draw from the posterior of a mixture model, and check convergence.

    Parameters
    ----------
    draws : int, default 1000
        Draws kept per chain.
    tune : int, default 1000
        Draws before these, dropped.
    chains : int, optional
        Number of chains; 4 by default. They start at partitions drawn from the prior (see the
        option ``init`` of the steps).
    cores : int, optional
        Processes. Default: PyMC's.
    step : step method or list of step methods, optional
        Default: chosen for every allocation of the model, see Notes. Options of a step are given
        to the step: ``step=dps.Neal8(m=5)``. Variables that no step owns are left to PyMC.
    random_seed : int, sequence of int or numpy.random.Generator, optional
        Seed.
    model : pymc.Model, optional
        Default: the model in context.
    keep_allocation : {"all", "thin", "none"}, default "all"
        Of which draws to keep the allocation of the items, which fills the memory where there
        are many: of all; of at most 100 evenly spaced draws per chain, in a group ``allocation``,
        which functions that need it use; or of none. The group ``partition`` has the functionals
        of every draw in any case. Labels are stored in the smallest integer type that holds K.
    return_inferencedata : bool, default True
        If false, return what `pymc.sample` returns, without functionals and checks.
    **kwargs
        Passed to `pymc.sample`. ``compute_convergence_checks`` is false by default, because
        PyMC's checks look at components by number, which means nothing in a mixture;
        divergences of NUTS are reported all the same.

    Returns
    -------
    xarray.DataTree
        What `pymc.sample` returns, with one group more, ``partition``: for every draw, the
        number of clusters, measures of their sizes, the log-likelihood and the concentration (see
        `dps.diagnostics.partition`). `dps.summary` makes a table of it, and `dps.report` a page.
        Its attribute ``steps`` names the step methods given or chosen.

    Raises
    ------
    MixtureError
        If the model is not a mixture, or one that the step cannot sample exactly.
    TypeError
        If an option of a step is given.
    ValueError
        If `keep_allocation` is none of those, or cannot be had together with ``trace``, with
        ``return_inferencedata=False`` or with the pointwise log likelihood.

    Notes
    -----
    The rule by which a step is chosen:

    - `BlockedGibbs` where the law of the weights is unknown, so that they cannot be integrated
      out;
    - otherwise `Neal2` where kernel and base measure are a conjugate pair (see
      `dps.conjugacy`): like `Neal8` with infinitely many auxiliaries, and no slower;
    - otherwise `Neal8`.

    `Neal3` mixes better still per iteration, but its iterations are dearer, and on the data we
    tried an independent draw cost more. Where the groups overlap so much that single items
    cannot find a second cluster, add `SplitMerge`.

    R-hat above 1.01 or an effective sample size below 100 per chain, for any of the functionals
    that are not constant, is logged as a warning of the logger ``pymc_dpsteps``. Sampling that
    is interrupted (Ctrl-C) returns the draws made so far.
    """
    if given := [name for name in _STEP_OPTIONS if name in kwargs]:
        raise TypeError(
            f"dps.sample takes no option {', '.join(given)}; it belongs to a step. Give it to "
            "one, as in step=dps.Neal8(m=5)."
        )
    model = modelcontext(model)
    if step is None:
        step = _steps_for(model)
    mixtures = [read_mixture(model, rv.name) for rv in find_allocations(model)]
    recorder = None
    if mixtures and kwargs.get("trace") is None:
        names = kwargs.get("var_names")
        trace = allocation_trace(model, mixtures, keep_allocation, draws=draws, var_names=names)
        recorder, kwargs["trace"] = trace.recorder, trace
    _check_kept(keep_allocation, recorder, return_inferencedata, kwargs.get("idata_kwargs"))
    own_checks = not kwargs.setdefault("compute_convergence_checks", False)
    result = pm.sample(
        draws,
        tune=tune,
        chains=4 if chains is None else chains,
        cores=cores,
        step=step,
        random_seed=random_seed,
        model=model,
        return_inferencedata=return_inferencedata,
        **kwargs,
    )
    if not return_inferencedata:
        return result
    quiet = bool(kwargs.get("quiet", False))
    if own_checks and not quiet:
        log_warnings(warn_divergences(result) + warn_treedepth(result))
    result = _with_partition(result, model, recorder, quiet)
    if "partition" in result.children:
        names = [type(s).__name__ for s in (step if isinstance(step, Sequence) else [step])]
        result["partition"].attrs["steps"] = ", ".join(names)
    return result


def _check_kept(keep: Keep, recorder: Recorder | None, labelled: bool, options: Any) -> None:
    """Refuse to drop allocations where something needs all, or has no place for the others."""
    if keep == "all":
        return
    if recorder is None:
        raise ValueError(
            f"keep_allocation={keep!r} needs the trace of dps.sample and a mixture; found another "
            "trace, or a model without allocation. Leave one of the options out."
        )
    if not labelled:
        raise ValueError(f"keep_allocation={keep!r} needs return_inferencedata=True.")
    if (options or {}).get("log_likelihood"):
        raise ValueError(
            f"keep_allocation={keep!r}: the pointwise log likelihood of idata_kwargs needs the "
            "allocation of every draw. Use keep_allocation='all', or dps.predict.loo."
        )


def _steps_for(model: pm.Model) -> list[Any]:
    """Build one step for every allocation."""
    names = [rv.name for rv in find_allocations(model)]
    if not names:
        read_mixture(model)  # says what was looked for
    steps: list[Any] = []
    for name in names:
        mixture = read_mixture(model, name)
        if mixture.prior.kind is PriorKind.WEIGHTS:
            step: type[MixtureStep] = BlockedGibbs
        else:
            step = Neal2 if find_conjugacy(mixture).complete else Neal8
        steps.append(step(name, model=model))
    return steps


def _with_partition(
    result: xr.DataTree, model: pm.Model, recorder: Recorder | None, quiet: bool
) -> xr.DataTree:
    """Add the functionals and report on them, and allocations that were kept apart."""
    if "posterior" not in result.children or 0 in result["posterior"].sizes.values():
        _log.warning("No draws were kept: there is nothing to judge.")
        return result
    if recorder is None:
        functionals = partition(result, model=model)
    else:
        posterior = posterior_of(result)
        functionals = recorder.functionals(posterior)
        if (allocations := recorder.allocations(posterior)) is not None:
            result["allocation"] = xr.DataTree(allocations)
    result["partition"] = xr.DataTree(functionals)
    if not quiet and functionals.data_vars:
        for message in convergence_messages(functionals):
            _log.warning(message)
    return result
