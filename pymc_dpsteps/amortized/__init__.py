"""Networks that draw from the posterior of any data set of a model. Needs the extra `amortized`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymc_dpsteps.amortized.check import check_sampler, plot_check
    from pymc_dpsteps.amortized.check_posterior import check_posterior
    from pymc_dpsteps.amortized.correct import importance
    from pymc_dpsteps.amortized.posterior import AmortizedPosterior, Size, with_data
    from pymc_dpsteps.amortized.remasking import RemaskingStep
    from pymc_dpsteps.amortized.training import Schedule, train

__all__ = [
    "AmortizedPosterior",
    "RemaskingStep",
    "Schedule",
    "Size",
    "check_posterior",
    "check_sampler",
    "importance",
    "plot_check",
    "train",
    "with_data",
]

_MODULES = {
    "AmortizedPosterior": "posterior",
    "RemaskingStep": "remasking",
    "Schedule": "training",
    "Size": "posterior",
    "check_posterior": "check_posterior",
    "check_sampler": "check",
    "importance": "correct",
    "plot_check": "check",
    "train": "training",
    "with_data": "posterior",
}


def __getattr__(name: str) -> Any:
    """Import torch only when something here is used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from importlib import import_module

    try:
        module = import_module(f"{__name__}.{_MODULES[name]}")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"pymc_dpsteps.amortized needs {error.name}: pip install 'pymc_dpsteps[amortized]'."
        ) from error
    return getattr(module, name)
