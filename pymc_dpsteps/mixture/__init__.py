"""Reading a PyMC model as a mixture, and compiling its kernel and base measure."""

from pymc_dpsteps.mixture.read import find_allocations, read_mixture
from pymc_dpsteps.mixture.structure import Mixture, MixtureError

__all__ = ["Mixture", "MixtureError", "find_allocations", "read_mixture"]
