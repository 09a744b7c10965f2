"""Point estimate of the partition: the one with the least posterior expected loss."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from pymc.util import RandomState
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.spatial.distance import squareform

from pymc_dpsteps.partitions.labels import by_size, number_by_first, read_draws
from pymc_dpsteps.partitions.losses import Loss, loss_code, losses_to
from pymc_dpsteps.partitions.search import prepare, search
from pymc_dpsteps.partitions.similarity import similarity
from pymc_dpsteps.threads import in_threads

__all__ = ["point_partition"]

_N_SAMPLED = 4  # sampled partitions from which a search starts
_MAX_LOOKUPS = 5e9  # labels read to rank the sampled partitions: some seconds
_MAX_LINKED = 10_000  # items in a linkage, which takes 8 N² bytes and more


def point_partition(
    data: xr.DataTree | xr.DataArray | ArrayLike,
    *,
    loss: Loss = "vi",
    max_clusters: int | None = None,
    restarts: int = 16,
    random_seed: RandomState = None,
    cores: int | None = None,
    allocation: str | None = None,
) -> xr.DataArray:
    r"""Partition with the least posterior expected loss.

    .. math::

        \operatorname*{arg\,min}_{c} \frac{1}{S} \sum_{s=1}^{S} L(c, z^{(s)})

    over partitions into at most `max_clusters` clusters, sampled or not, by the greedy search of
    [1]_: items are allocated one after the other in a random order, moved one at a time until no
    move lowers the expected loss, and whole clusters are taken apart and their items allocated
    anew. Searches start from `restarts` random orders, from the best sampled partitions, and from
    the best cuts of the average- and the complete-linkage tree on one minus the similarity matrix.

    Parameters
    ----------
    data : xarray.DataTree, xarray.DataArray or array_like of int, shape (..., N)
        A result of `dps.sample` or `pymc.sample`; or labels of at least 0, items last.
    loss : {"vi", "binder", "omari", "nvi"}, default "vi"
        See `distance`.
    max_clusters : int, optional
        Greatest number of clusters. Default: the most that a draw has. Without that limit
        (``max_clusters=N``), "binder" leaves every item alone that shares a cluster with no other
        in more than half of the draws, which can be thousands.
    restarts : int, default 16
        Number of random orders.
    random_seed : int, array_like of int, numpy.random.Generator or None
        Seed of the random orders. The result for one seed is the same whatever `cores`.
    cores : int, optional
        Number of threads. Default: all processors.
    allocation : str, optional
        Name of the allocation, where a result has several.

    Returns
    -------
    xarray.DataArray of int64, shape (N,)
        Named ``partition``. Clusters are numbered 0, 1, ... by decreasing size, of equal ones
        that of the first item first. Attributes: ``loss``, ``expected_loss`` over all draws,
        ``n_clusters``, ``start`` of the search that found it, ``n_starts`` and ``n_agreeing``,
        the number of searches that ended at the same expected loss: few of many say that more
        restarts may find a better one.

    Raises
    ------
    ValueError
        If there are no draws, labels are not integers of at least 0, an option is out of range,
        or it is not clear which variable is the allocation.

    Notes
    -----
    The expected loss is never greater than that of

    - any sampled partition, where there are at most 5 × 10⁹ labels in draws² times items (4000
      draws of 312 items); beyond, they are ranked on draws spaced evenly, as many as that allows,
      and the bound holds for the four that seem best;
    - any cut of the two linkage trees into at most as many clusters as a draw has, for up to
      10,000 items (there is no linkage beyond);

    that have no more than `max_clusters` clusters. A scan takes O(draws × N × clusters) time;
    memory is that of the labels, the similarity matrix and, per thread, 16 bytes for every
    cluster of every draw and cluster of the candidate. "omari" and "nvi" are not linear in the
    sums over clusters and take some times longer.

    References
    ----------
    .. [1] Dahl, D. B., Johnson, D. J. and Müller, P. (2022). Search algorithms and loss functions
       for Bayesian clustering. Journal of Computational and Graphical Statistics 31, 1189-1201.
    """
    code = loss_code(loss)
    draws = read_draws(data, allocation)
    rows = draws.rows
    n_items = rows.shape[1]
    if restarts < 0:
        raise ValueError(f"restarts = {restarts}; expected at least 0.")
    if max_clusters is not None and max_clusters < 1:
        raise ValueError(f"max_clusters = {max_clusters}; expected at least 1.")
    limit = min(int(rows.max()) + 1 if max_clusters is None else max_clusters, n_items)
    starts = _starts(code, rows, limit, cores)
    starts += [("random order", np.full(n_items, -1))] * restarts
    problem = prepare(code, rows, limit)
    rngs = np.random.default_rng(random_seed).spawn(len(starts))
    found = in_threads(
        lambda pair: search(problem, pair[0][1].astype(np.int64), pair[1]),
        list(zip(starts, rngs, strict=True)),
        cores,
    )
    values = np.array([value for _, value in found])
    best = int(values.argmin())
    labels = number_by_first(found[best][0][None])[0]
    result = draws.along_items(
        by_size(labels),
        loss=loss,
        expected_loss=float(values[best]),
        n_clusters=int(labels.max()) + 1,
        start=starts[best][0],
        n_starts=len(starts),
        n_agreeing=int((values <= values[best] + 1e-9).sum()),
    )
    return result.rename("partition")


def _starts(
    loss: int, rows: NDArray[np.int32], limit: int, cores: int | None
) -> list[tuple[str, NDArray]]:
    """Best sampled partitions and cuts of linkage trees, with their origin."""
    n_draws, n_items = rows.shape
    candidates = rows[rows.max(axis=1) < limit]
    n_judges = int(np.clip(_MAX_LOOKUPS / (max(len(candidates), 1) * n_items), 1, n_draws))
    judges = rows[np.linspace(0, n_draws - 1, n_judges).round().astype(int)]
    expected = np.array(
        in_threads(lambda row: losses_to(loss, row, judges).mean(), candidates, cores)
    )
    _, distinct = np.unique(expected, return_index=True)  # sorted by expected loss
    starts = [("sampled partition", candidates[j]) for j in distinct[:_N_SAMPLED]]
    if not 2 <= n_items <= _MAX_LINKED:
        return starts or [("one cluster", np.zeros(n_items, dtype=np.int32))]
    apart = squareform(1.0 - similarity(rows), checks=False).astype(np.float64)
    n_clusters = np.arange(1, min(limit, int(rows.max()) + 1) + 1)
    for method in ("average", "complete"):
        cuts = cut_tree(linkage(apart, method=method), n_clusters).T
        cuts = number_by_first(np.ascontiguousarray(cuts, dtype=np.int64))
        means = in_threads(lambda row: losses_to(loss, row, rows).mean(), cuts, cores)
        starts.append((f"{method} linkage", cuts[int(np.argmin(means))]))
    return starts
