"""Whether the slots of a model were enough for its posterior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr
from numpy.typing import NDArray
from pymc.model import modelcontext

from pymc_dpsteps.diagnostics.posterior import (
    draws_of,
    evaluate_graph,
    read_untransformed,
)
from pymc_dpsteps.diagnostics.truncation import truncation_bound, truncation_level
from pymc_dpsteps.mixture import Mixture, find_allocations
from pymc_dpsteps.mixture.structure import PriorKind
from pymc_dpsteps.partitions import n_clusters
from pymc_dpsteps.partitions.labels import posterior_of
from pymc_dpsteps.steps.few_slots import few_slots_message

__all__ = ["TruncationReport", "check_truncation"]

_SMALL_BOUND = 0.01  # default of truncation_level


@dataclass(frozen=True, repr=False)
class TruncationReport:
    """Whether the slots of each allocation suffice; prints as a table with a verdict.

    Attributes
    ----------
    table : pandas.DataFrame
        A row for each allocation. Columns:

        - ``K``, ``n_items``: slots and items;
        - ``suffices``: the verdict;
        - ``most_clusters``: the largest number of clusters in a draw;
        - ``slots_full``: share of the draws in which all slots are occupied;
        - ``last_slot``: share of the draws in which the last slot is occupied; nan for a Chinese
          restaurant process, whose slots are alike;
        - ``last_weight_mean``, ``last_weight_max``: of the weight of the last slot over the
          draws. With truncated sticks it is all that the others leave: the mass of the
          components that the truncation lumps together. nan for a model without weights;
        - ``bound``: `dps.diagnostics.truncation_bound` at the posterior mean of the
          concentration; nan where the prior is not a truncated Dirichlet process.
    messages : tuple of str
        The verdict in words, one for each allocation.
    """

    table: pd.DataFrame
    messages: tuple[str, ...]

    def __repr__(self) -> str:
        numbers = self.table.to_string(float_format=lambda x: f"{x:.3g}")
        return "\n".join([numbers, *self.messages])


def check_truncation(idata: xr.DataTree, *, model: pm.Model | None = None) -> TruncationReport:
    """Judge whether the K slots of a model cut off a part of the process that matters.

    Parameters
    ----------
    idata : xarray.DataTree
        Result of `dps.sample` or `pymc.sample`.
    model : pymc.Model, optional
        Default: the model in context.

    Returns
    -------
    TruncationReport
        A table and a verdict when printed.

    Raises
    ------
    MixtureError
        If the model is not a mixture.
    ValueError
        If the posterior holds no draws, or lacks a variable on which the verdict depends.

    Notes
    -----
    The rule is that of the warnings of the step methods. Slots of a Chinese restaurant process
    suffice if no draw occupies all of them, or there are as many as items. Truncated sticks
    suffice if the posterior mean of the last weight is at most 0.01. Weights of another law are
    the model as written, of which nothing is cut off.
    """
    model = modelcontext(model)
    posterior = posterior_of(idata)
    rows, messages = {}, []
    for name in [rv.name for rv in find_allocations(model)] or [None]:
        mixture = read_untransformed(model, name)
        row, message = _judge(mixture, posterior)
        rows[str(mixture.allocation.name)] = row
        messages.append(message)
    table = pd.DataFrame.from_dict(rows, orient="index")
    return TruncationReport(table.rename_axis("allocation"), tuple(messages))


def _judge(mixture: Mixture, posterior: xr.Dataset) -> tuple[dict[str, Any], str]:
    name, K, kind = str(mixture.allocation.name), mixture.n_components, mixture.prior.kind
    labels = draws_of(posterior, [name])[name]
    clusters = n_clusters(labels)
    full = float((clusters == K).mean())
    last = _last_weight(mixture, posterior)
    alpha = _concentration(mixture, posterior) if kind is PriorKind.STICKS else np.nan
    few = few_slots_message(mixture, name, full, last.mean())
    row = {
        "K": K,
        "n_items": mixture.n_items,
        "suffices": few is None,
        "most_clusters": int(clusters.max()),
        "slots_full": full,
        "last_slot": np.nan if kind is PriorKind.CRP else (labels == K - 1).any(axis=1).mean(),
        "last_weight_mean": last.mean(),
        "last_weight_max": last.max(),
        "bound": np.nan if np.isnan(alpha) else truncation_bound(alpha, mixture.n_items, K),
    }
    if few is None:
        few = f"{name}: {_why_enough(mixture, row)}"
    return row, few + _on_the_bound(mixture, alpha, row["bound"])


def _last_weight(mixture: Mixture, posterior: xr.Dataset) -> NDArray[np.float64]:
    """Weight of the last slot in every draw, (S,); nan without weights."""
    if mixture.prior.weights is None:
        return np.array([np.nan])
    return evaluate_graph(mixture, mixture.prior.weights[-1], posterior)


def _concentration(mixture: Mixture, posterior: xr.Dataset) -> float:
    """Posterior mean of alpha where all sticks are Beta(1, alpha), else nan."""
    sticks = evaluate_graph(mixture, mixture.prior.parameters, posterior)
    first, second = sticks[..., 0], sticks[..., 1]
    if sticks.shape[1] == 0 or (first != 1.0).any() or (second != second[:, :1]).any():
        return np.nan
    return float(second[:, 0].mean())


def _why_enough(mixture: Mixture, row: dict[str, Any]) -> str:
    K = mixture.n_components
    match mixture.prior.kind:
        case PriorKind.CRP if mixture.n_items <= K:
            return f"K={K} slots hold every partition of {mixture.n_items} items."
        case PriorKind.CRP:
            return f"at most {row['most_clusters']} of K={K} slots were occupied. K={K} suffices."
        case PriorKind.STICKS:
            return (
                f"the last of K={K} sticks holds a posterior mean weight of "
                f"{row['last_weight_mean']:.2g}, at most {row['last_weight_max']:.2g}. K={K} "
                "suffices for this posterior."
            )
    return f"{mixture.prior.kind.value} over K={K} components, as written: nothing is cut off."


def _on_the_bound(mixture: Mixture, alpha: float, bound: float) -> str:
    if np.isnan(bound):
        return ""
    n = mixture.n_items
    text = (
        f" The prior bound on the L1 distance between the densities of {n} observations under "
        f"truncated and full process is {bound:.2g} at alpha = {alpha:.3g}, its posterior mean"
    )
    if bound > _SMALL_BOUND:
        text += f"; K={truncation_level(alpha, n, _SMALL_BOUND)} brings it below {_SMALL_BOUND}"
    return text + "."
