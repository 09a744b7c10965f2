"""Modes of the posterior: one good partition, as a start or a first look."""

from pymc_dpsteps.modes.find_map import find_map

__all__ = ["find_map"]
