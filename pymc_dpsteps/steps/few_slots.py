"""What to tell the user at the end of a chain whose slots were too few."""

from __future__ import annotations

from pymc.stats.convergence import SamplerWarning, WarningType

from pymc_dpsteps.mixture.structure import Mixture, PriorKind

__all__ = ["few_slots"]

_LAST_WEIGHT_THAT_MATTERS = 0.01


def few_slots(
    mixture: Mixture, name: str, full: float, last_weight: float
) -> SamplerWarning | None:
    """Warn when the K slots cut off a part of the process that matters.

    Parameters
    ----------
    mixture : Mixture
        The model.
    name : str
        Name of the allocation.
    full : float
        Share of the draws in which all slots were occupied.
    last_weight : float
        Mean of the last weight over the draws.

    Returns
    -------
    SamplerWarning or None
    """
    n_components, n_items = mixture.n_components, mixture.n_items
    if n_components >= n_items:
        return None
    use = min(2 * n_components, n_items)
    if mixture.prior.kind is PriorKind.CRP and full > 0.0:
        message = (
            f"{name}: all K={n_components} slots were occupied in {full:.1%} of the draws of this "
            f"chain; the posterior is that of the process given that {n_components} slots "
            f"suffice. Use K={use}."
        )
    elif mixture.prior.kind is PriorKind.STICKS and last_weight > _LAST_WEIGHT_THAT_MATTERS:
        message = (
            f"{name}: the last stick of the truncated weights holds a posterior mean weight of "
            f"{last_weight:.3f}; the truncation at K={n_components} matters. Use K={use}."
        )
    else:
        return None
    return SamplerWarning(WarningType.BAD_PARAMS, message, "warn")
