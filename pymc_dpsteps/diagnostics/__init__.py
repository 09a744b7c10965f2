"""What can be said of a result whatever the numbering of its clusters."""

from pymc_dpsteps.diagnostics.convergence import convergence_messages, summary
from pymc_dpsteps.diagnostics.functionals import partition
from pymc_dpsteps.diagnostics.partitions import (
    adjusted_rand_index,
    coclustering,
    leaf_order,
    least_squares_partition,
    n_clusters,
    sum_squared_proportions,
)

__all__ = [
    "adjusted_rand_index",
    "coclustering",
    "convergence_messages",
    "leaf_order",
    "least_squares_partition",
    "n_clusters",
    "partition",
    "sum_squared_proportions",
    "summary",
]
