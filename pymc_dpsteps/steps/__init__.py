"""Step methods: one file per algorithm."""

from pymc_dpsteps.steps.blocked import BlockedGibbs
from pymc_dpsteps.steps.importance_conditional import ImportanceConditional
from pymc_dpsteps.steps.neal1 import Neal1
from pymc_dpsteps.steps.neal2 import Neal2
from pymc_dpsteps.steps.neal3 import Neal3
from pymc_dpsteps.steps.neal4 import Neal4
from pymc_dpsteps.steps.neal5 import Neal5
from pymc_dpsteps.steps.neal6 import Neal6
from pymc_dpsteps.steps.neal7 import Neal7
from pymc_dpsteps.steps.neal8 import Neal8
from pymc_dpsteps.steps.registry import register
from pymc_dpsteps.steps.slice_gibbs import SliceGibbs
from pymc_dpsteps.steps.split_merge import SplitMerge

register()

__all__ = [
    "BlockedGibbs",
    "ImportanceConditional",
    "Neal1",
    "Neal2",
    "Neal3",
    "Neal4",
    "Neal5",
    "Neal6",
    "Neal7",
    "Neal8",
    "SliceGibbs",
    "SplitMerge",
]
