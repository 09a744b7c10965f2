"""Step methods for Dirichlet-process mixtures written as plain PyMC models."""

from pymc_dpsteps import amortized, datasets, diagnostics, kernels, partitions, plots, predict
from pymc_dpsteps.conjugate import conjugacy
from pymc_dpsteps.diagnostics import check_truncation, efficiency, summary, truncation_level
from pymc_dpsteps.distributions import ChineseRestaurantProcess
from pymc_dpsteps.mixture import MixtureError
from pymc_dpsteps.modes import find_map
from pymc_dpsteps.report import report
from pymc_dpsteps.sample import sample
from pymc_dpsteps.steps import (
    BlockedGibbs,
    ImportanceConditional,
    Neal1,
    Neal2,
    Neal3,
    Neal4,
    Neal5,
    Neal6,
    Neal7,
    Neal8,
    SliceGibbs,
    SplitMerge,
)

__all__ = [
    "BlockedGibbs",
    "ChineseRestaurantProcess",
    "ImportanceConditional",
    "MixtureError",
    "Neal1",
    "Neal2",
    "Neal3",
    "Neal4",
    "Neal5",
    "Neal6",
    "Neal7",
    "Neal8",
    "SliceGibbs",
    "SplitMerge",
    "amortized",
    "check_truncation",
    "conjugacy",
    "datasets",
    "diagnostics",
    "efficiency",
    "find_map",
    "kernels",
    "partitions",
    "plots",
    "predict",
    "report",
    "sample",
    "summary",
    "truncation_level",
]
__version__ = "0.1.0"
