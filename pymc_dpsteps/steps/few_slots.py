"""What to tell the user where the slots were too few."""

from __future__ import annotations

from pymc.stats.convergence import SamplerWarning, WarningType

from pymc_dpsteps.mixture.structure import Mixture, PriorKind

__all__ = ["few_slots", "few_slots_message"]

_LAST_WEIGHT_THAT_MATTERS = 0.01


def few_slots_message(
    mixture: Mixture, name: str, full: float, last_weight: float, *, draws: str = "the draws"
) -> str | None:
    """Say in what the K slots cut off a part of the process that matters.

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
    draws : str, default "the draws"
        Which draws these are.

    Returns
    -------
    str or None
        None where the slots suffice.
    """
    n_components, n_items = mixture.n_components, mixture.n_items
    if mixture.prior.kind is PriorKind.CRP and full > 0.0 and n_components < n_items:
        return (
            f"{name}: all K={n_components} slots were occupied in {full:.1%} of {draws}; the "
            f"posterior is that of the process given that {n_components} slots suffice. Use "
            f"K={min(2 * n_components, n_items)}."
        )
    # More sticks than items may be too few: empty ones before the last take little of the weight.
    if mixture.prior.kind is PriorKind.STICKS and last_weight > _LAST_WEIGHT_THAT_MATTERS:
        return (
            f"{name}: the last stick of the truncated weights holds a posterior mean weight of "
            f"{last_weight:.3f}; the truncation at K={n_components} matters. Use "
            f"K={2 * n_components}."
        )
    return None


def few_slots(
    mixture: Mixture, name: str, full: float, last_weight: float
) -> SamplerWarning | None:
    """Warn as `few_slots_message` says, at the end of a chain."""
    draws = "the draws of this chain"
    message = few_slots_message(mixture, name, full, last_weight, draws=draws)
    return None if message is None else SamplerWarning(WarningType.BAD_PARAMS, message, "warn")
