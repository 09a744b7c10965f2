"""A table of what does not depend on how the clusters are numbered."""

from __future__ import annotations

from collections.abc import Hashable, Sequence, Sized
from typing import Literal

import arviz_stats
import numpy as np
import pandas as pd
import xarray as xr

from pymc_dpsteps.diagnostics.posterior import partition_of
from pymc_dpsteps.partitions.labels import find_allocation, posterior_of

__all__ = ["summary"]

type Item = Hashable


def summary(
    idata: xr.DataTree,
    *,
    pairs: Sequence[tuple[Item, Item]] | None = None,
    ci_prob: float = 0.89,
    ci_kind: Literal["eti", "hdi"] = "eti",
    round_to: int | str = "auto",
    allocation: str | None = None,
) -> pd.DataFrame:
    """Table of the label-invariant functionals of a result.

    Parameters
    ----------
    idata : xarray.DataTree
        Result of `dps.sample`: it has the group ``partition``.
    pairs : sequence of pairs of items, optional
        Adds a row for each: whether the two items share a cluster (1) or not (0), so that the
        mean is their co-clustering probability. Items are given by their coordinate labels in
        the posterior, which are positions where the model names none.
    ci_prob : float, default 0.89
        Probability of the interval.
    ci_kind : {"eti", "hdi"}, default "eti"
        Equal-tailed, or of highest density.
    round_to : int or {"auto", "none"}, default "auto"
        See `arviz_stats.summary`; "none" gives the numbers as they are.
    allocation : str, optional
        Name of the allocation of `pairs`. Default: the only integer vector in the posterior.

    Returns
    -------
    pandas.DataFrame
        A row for each functional, and for each pair, as ``together[3, 17]`` (with the name of the
        allocation before it where the model has several). Columns mean, sd, the bounds of the
        interval, ess_bulk, ess_tail, r_hat, mcse_mean, mcse_sd. What never changes has no R-hat
        (nan).

    Raises
    ------
    ValueError
        If the result has no group ``partition``; if `pairs` are not pairs of known items, or it
        is not clear which variable is the allocation.
    """
    partition = partition_of(idata)
    if pairs is not None:
        labels = find_allocation(posterior_of(idata), allocation)
        prefix = "" if "n_clusters" in partition else f"{labels.name}_"
        for pair in pairs:
            i, j = _positions(labels, pair)
            together = (labels.values[:, :, i] == labels.values[:, :, j]).astype(np.int64)
            partition[f"{prefix}together[{pair[0]}, {pair[1]}]"] = ("chain", "draw"), together
    with np.errstate(divide="ignore", invalid="ignore"):
        table: pd.DataFrame = arviz_stats.summary(
            xr.DataTree.from_dict({"partition": partition}),
            group="partition",
            ci_prob=ci_prob,
            ci_kind=ci_kind,
            round_to=round_to,
        )
    return table


def _positions(labels: xr.DataArray, pair: tuple[Item, Item]) -> tuple[int, int]:
    """Positions of two items given by their coordinate labels."""
    if isinstance(pair, str) or not isinstance(pair, Sized) or len(pair) != 2:
        raise ValueError(
            f"pairs holds {pair!r}; expected two items each, as in pairs=[(0, 5), (0, 7)]."
        )
    first, second = (_position(labels, item) for item in pair)
    return first, second


def _position(labels: xr.DataArray, item: Item) -> int:
    dim = labels.dims[2]
    index = labels.get_index(dim)
    try:
        position = index.get_loc(item)
    except (KeyError, TypeError):
        raise ValueError(
            f"{item!r} is not an item of {labels.name}; the items are the {len(index)} labels "
            f"{index[0]!r} to {index[-1]!r} of the dimension {dim}."
        ) from None
    if not isinstance(position, int):
        raise ValueError(
            f"{item!r} is the label of several items along the dimension {dim} of {labels.name}; "
            "expected labels that are all different."
        )
    return position
