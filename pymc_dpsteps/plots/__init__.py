"""Pictures of a fitted mixture. Matplotlib is imported when one is drawn."""

from pymc_dpsteps.plots.coclustering import coclustering
from pymc_dpsteps.plots.density import density
from pymc_dpsteps.plots.efficiency import efficiency

__all__ = ["coclustering", "density", "efficiency"]
