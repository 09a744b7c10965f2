"""Pictures of a fitted mixture. Matplotlib is imported when one is drawn."""

from pymc_dpsteps.plots.cluster_sizes import cluster_sizes
from pymc_dpsteps.plots.clusters import clusters
from pymc_dpsteps.plots.coclustering import coclustering
from pymc_dpsteps.plots.density import density
from pymc_dpsteps.plots.efficiency import efficiency
from pymc_dpsteps.plots.n_clusters import n_clusters
from pymc_dpsteps.plots.partition import partition
from pymc_dpsteps.plots.predictive_check import predictive_check
from pymc_dpsteps.plots.scaling import scaling
from pymc_dpsteps.plots.trace import trace

__all__ = [
    "cluster_sizes",
    "clusters",
    "coclustering",
    "density",
    "efficiency",
    "n_clusters",
    "partition",
    "predictive_check",
    "scaling",
    "trace",
]
