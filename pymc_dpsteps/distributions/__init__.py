"""PyMC distributions over partitions and their weights."""

from pymc_dpsteps.distributions.crp import ChineseRestaurantProcess, ChineseRestaurantProcessRV

__all__ = ["ChineseRestaurantProcess", "ChineseRestaurantProcessRV"]
