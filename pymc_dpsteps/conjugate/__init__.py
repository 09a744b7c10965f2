"""Conjugate pairs: found on the model's graph, with sufficient statistics and exact draws."""

from pymc_dpsteps.conjugate.find import find_conjugacy

__all__ = ["find_conjugacy"]
