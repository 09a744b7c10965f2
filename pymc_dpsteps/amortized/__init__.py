"""Networks that draw from the posterior of any data set of a model. Needs the extra `amortized`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymc_dpsteps.amortized.check import check_sampler, plot_check
    from pymc_dpsteps.amortized.check_posterior import check_posterior
    from pymc_dpsteps.amortized.component_predictor import ComponentPredictor, Components
    from pymc_dpsteps.amortized.correct import importance
    from pymc_dpsteps.amortized.learner import Size
    from pymc_dpsteps.amortized.mean_predictor import MeanPredictor
    from pymc_dpsteps.amortized.posterior import AmortizedPosterior, with_data
    from pymc_dpsteps.amortized.remasking import RemaskingStep
    from pymc_dpsteps.amortized.schedule import Schedule
    from pymc_dpsteps.amortized.theta import Sampler, Snapped
    from pymc_dpsteps.amortized.theta_posterior import ThetaPosterior
    from pymc_dpsteps.amortized.training import fit, train

__all__ = [
    "AmortizedPosterior",
    "ComponentPredictor",
    "Components",
    "MeanPredictor",
    "RemaskingStep",
    "Sampler",
    "Schedule",
    "Size",
    "Snapped",
    "ThetaPosterior",
    "check_posterior",
    "check_sampler",
    "fit",
    "importance",
    "plot_check",
    "train",
    "with_data",
]

_MODULES = {
    "AmortizedPosterior": "posterior",
    "ComponentPredictor": "component_predictor",
    "Components": "component_predictor",
    "MeanPredictor": "mean_predictor",
    "RemaskingStep": "remasking",
    "Sampler": "theta",
    "Schedule": "schedule",
    "Size": "learner",
    "Snapped": "theta",
    "ThetaPosterior": "theta_posterior",
    "check_posterior": "check_posterior",
    "check_sampler": "check",
    "fit": "training",
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
    # Kept, since a module of the same name (check_posterior) would be found from now on.
    globals()[name] = getattr(module, name)
    return globals()[name]
