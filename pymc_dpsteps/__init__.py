"""Step methods for Dirichlet-process mixtures written as plain PyMC models."""

from pymc_dpsteps import datasets
from pymc_dpsteps.distributions import ChineseRestaurantProcess
from pymc_dpsteps.mixture import MixtureError
from pymc_dpsteps.steps import BlockedGibbs, Neal8

__all__ = [
    "BlockedGibbs",
    "ChineseRestaurantProcess",
    "MixtureError",
    "Neal8",
    "datasets",
]
__version__ = "0.1.0"
