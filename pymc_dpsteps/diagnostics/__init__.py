"""What can be said of a result whatever the numbering of its clusters."""

from pymc_dpsteps.diagnostics.autocorrelation import integrated_autocorr_time
from pymc_dpsteps.diagnostics.convergence import convergence_messages
from pymc_dpsteps.diagnostics.efficiency import efficiency
from pymc_dpsteps.diagnostics.functionals import partition
from pymc_dpsteps.diagnostics.sizes import cluster_sizes
from pymc_dpsteps.diagnostics.slots import TruncationReport, check_truncation
from pymc_dpsteps.diagnostics.summaries import summary
from pymc_dpsteps.diagnostics.truncation import truncation_bound, truncation_level

__all__ = [
    "TruncationReport",
    "check_truncation",
    "cluster_sizes",
    "convergence_messages",
    "efficiency",
    "integrated_autocorr_time",
    "partition",
    "summary",
    "truncation_bound",
    "truncation_level",
]
