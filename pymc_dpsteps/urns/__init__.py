"""Priors of the allocation with the weights integrated out, as predictive rules on counts."""

from pymc_dpsteps.urns.interface import Urn, urn_for

__all__ = ["Urn", "urn_for"]
