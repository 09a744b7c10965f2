"""What can be said of a result whatever the numbering of its clusters."""

from pymc_dpsteps.diagnostics.autocorrelation import integrated_autocorr_time
from pymc_dpsteps.diagnostics.convergence import convergence_messages
from pymc_dpsteps.diagnostics.efficiency import efficiency
from pymc_dpsteps.diagnostics.functionals import partition
from pymc_dpsteps.diagnostics.partitions import (
    adjusted_rand_index,
    coclustering,
    leaf_order,
    least_squares_partition,
    n_clusters,
    sum_squared_proportions,
)
from pymc_dpsteps.diagnostics.sizes import cluster_sizes
from pymc_dpsteps.diagnostics.slots import TruncationReport, check_truncation
from pymc_dpsteps.diagnostics.summaries import summary
from pymc_dpsteps.diagnostics.truncation import truncation_bound, truncation_level

__all__ = [
    "TruncationReport",
    "adjusted_rand_index",
    "check_truncation",
    "cluster_sizes",
    "coclustering",
    "convergence_messages",
    "efficiency",
    "integrated_autocorr_time",
    "leaf_order",
    "least_squares_partition",
    "n_clusters",
    "partition",
    "sum_squared_proportions",
    "summary",
    "truncation_bound",
    "truncation_level",
]
