"""Credible ball around a partition (Wade and Ghahramani 2018, section 4)."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from pymc_dpsteps.partitions.labels import by_size, read_draws, read_partition
from pymc_dpsteps.partitions.losses import Loss, loss_code, losses_to

__all__ = ["credible_ball"]

_ROUNDING = 1e-9  # distances that differ by less are equal


def credible_ball(
    data: xr.DataTree | xr.DataArray | ArrayLike,
    center: xr.DataArray | ArrayLike,
    *,
    loss: Loss = "vi",
    ci_prob: float = 0.95,
    allocation: str | None = None,
) -> xr.Dataset:
    """Smallest ball around a partition that holds a given posterior probability.

    Its bounds are the sampled partitions in the ball that are most distant from the center: of
    all (horizontal), of those with the fewest clusters (vertical upper) and of those with the
    most clusters (vertical lower) [1]_. What they have in common with the center is what the
    posterior is sure of.

    Parameters
    ----------
    data : xarray.DataTree, xarray.DataArray or array_like of int, shape (..., N)
        A result of `dps.sample` or `pymc.sample`; or labels of at least 0, items last.
    center : xarray.DataArray or array_like of int, shape (N,)
        Such as `point_partition`.
    loss : {"vi", "binder", "omari", "nvi"}, default "vi"
        The distance, see `distance`; that of the center's point estimate.
    ci_prob : float, default 0.95
        Posterior probability of the ball.
    allocation : str, optional
        Name of the allocation, where a result has several.

    Returns
    -------
    xarray.Dataset
        - ``radius``: the least one for which the share of draws in the closed ball is at least
          `ci_prob`, in the units of the loss;
        - ``coverage``: that share;
        - ``horizontal``, ``vertical_upper`` and ``vertical_lower``, of dimensions
          (``horizontal_bound``, item) and so on: all distinct bounds, since several partitions
          may be equally distant, in the order of their first draws; labels are numbered as
          in `point_partition`;
        - ``horizontal_distance``, ``vertical_upper_distance`` and ``vertical_lower_distance``:
          how far they are from the center.

    Raises
    ------
    ValueError
        If there are no draws, labels are not integers of at least 0, the numbers of items differ,
        `ci_prob` is out of range, or there is no such loss.

    References
    ----------
    .. [1] Wade, S. and Ghahramani, Z. (2018). Bayesian cluster analysis: point estimation and
       credible balls. Bayesian Analysis 13, 559-626.
    """
    if not 0.0 < ci_prob < 1.0:
        raise ValueError(f"ci_prob = {ci_prob}; expected a probability between 0 and 1.")
    draws = read_draws(data, allocation)
    distances = losses_to(loss_code(loss), read_partition(center, draws), draws.rows)
    needed = int(np.ceil(ci_prob * len(distances) - _ROUNDING))
    radius = float(np.sort(distances)[needed - 1])
    inside = distances <= radius + _ROUNDING
    n_clusters = draws.rows.max(axis=1) + 1
    found: dict[str, xr.DataArray | float] = {"radius": radius, "coverage": inside.mean()}
    for name, chosen in {
        "horizontal": inside,
        "vertical_upper": inside & (n_clusters == n_clusters[inside].min()),
        "vertical_lower": inside & (n_clusters == n_clusters[inside].max()),
    }.items():
        most = float(distances[chosen].max())
        bounds = _distinct(draws.rows[chosen & (distances >= most - _ROUNDING)])
        found[name] = xr.DataArray(bounds, draws.coords, (f"{name}_bound", draws.dim))
        found[f"{name}_distance"] = most
    return xr.Dataset(found, attrs={"loss": loss, "ci_prob": ci_prob})


def _distinct(rows: NDArray[np.int32]) -> NDArray[np.int64]:
    _, first = np.unique(rows, axis=0, return_index=True)
    return np.array([by_size(rows[s]) for s in np.sort(first)])
