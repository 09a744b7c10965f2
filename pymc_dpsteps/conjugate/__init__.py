"""Conjugate pairs: found on the model's graph, with sufficient statistics and exact draws."""

from pymc_dpsteps.conjugate.find import find_conjugacy
from pymc_dpsteps.conjugate.report import AtomReport, ConjugacyReport, conjugacy

__all__ = ["AtomReport", "ConjugacyReport", "conjugacy", "find_conjugacy"]
