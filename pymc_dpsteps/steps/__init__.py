"""Step methods: one file per algorithm."""

from pymc_dpsteps.steps.blocked import BlockedGibbs
from pymc_dpsteps.steps.neal8 import Neal8
from pymc_dpsteps.steps.registry import register

register()

__all__ = ["BlockedGibbs", "Neal8"]
