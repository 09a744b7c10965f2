"""Partitions of the items: how sure they are, a point estimate, and draws relabelled to it."""

from pymc_dpsteps.partitions.ball import credible_ball
from pymc_dpsteps.partitions.certainty import certainty
from pymc_dpsteps.partitions.counts import n_clusters, sum_squared_proportions
from pymc_dpsteps.partitions.losses import adjusted_rand_index, distance, expected_loss
from pymc_dpsteps.partitions.point import point_partition
from pymc_dpsteps.partitions.relabel import relabel
from pymc_dpsteps.partitions.similarity import coclustering, leaf_order

__all__ = [
    "adjusted_rand_index",
    "certainty",
    "coclustering",
    "credible_ball",
    "distance",
    "expected_loss",
    "leaf_order",
    "n_clusters",
    "point_partition",
    "relabel",
    "sum_squared_proportions",
]
