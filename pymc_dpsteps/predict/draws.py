"""Posterior draws as the predictions use them, and the weight of every slot in each."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pymc as pm
import xarray as xr
from numpy.typing import NDArray
from pymc.model import modelcontext
from pytensor.graph.basic import Variable

from pymc_dpsteps.diagnostics.posterior import (
    draws_of,
    each_draw_of,
    evaluate_graph,
    read_untransformed,
)
from pymc_dpsteps.mixture import Mixture, MixtureError
from pymc_dpsteps.partitions.labels import posterior_of

__all__ = ["Fit", "read_fit"]

_log = logging.getLogger("pymc_dpsteps")

# Mean weight of the truncated tail of the process above which drawn weights are not to be trusted.
_MAX_REMAINDER = 0.001


@dataclass(frozen=True)
class Fit:
    """A mixture and its posterior draws.

    Attributes
    ----------
    mixture : Mixture
        Read in the space of its variables, see `read_untransformed`.
    posterior : xarray.Dataset
        Draws, with the dimensions chain and draw.
    """

    mixture: Mixture
    posterior: xr.Dataset

    @property
    def n_draws(self) -> int:
        """Number of draws S."""
        return self.posterior.sizes["chain"] * self.posterior.sizes["draw"]

    @property
    def labels(self) -> NDArray:
        """Draws of the allocation, (S, N)."""
        name = str(self.mixture.allocation.name)
        return draws_of(self.posterior, [name])[name]

    def each_draw(
        self, graphs: list[Variable], given: Mapping[Variable, NDArray] | None = None
    ) -> Iterator[list[NDArray]]:
        """Values of graphs at one draw after the other, see `each_draw_of`."""
        return each_draw_of(self.mixture, graphs, self.posterior, given)

    def evaluate(self, graph: Variable, given: Mapping[Variable, NDArray] | None = None) -> NDArray:
        """Values of a graph at all draws, (S, ...), see `evaluate_graph`."""
        return evaluate_graph(self.mixture, graph, self.posterior, given)

    def crp_parameters(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Concentration and discount of every draw, (S,) each."""
        parameters = self.evaluate(self.mixture.prior.parameters)
        return parameters[:, 0, 0], parameters[:, 0, 1]

    def counts(self) -> NDArray[np.int64]:
        """Items in every slot, (S, K)."""
        n_slots = self.mixture.n_components
        rows = self.labels + n_slots * np.arange(self.n_draws)[:, None]
        counts = np.bincount(rows.ravel(), minlength=n_slots * self.n_draws)
        return counts.reshape(self.n_draws, n_slots)

    def counts_with_room(self) -> NDArray[np.int64]:
        """Items in every slot, (S, K), where every draw has an empty slot for a new cluster.

        Raises
        ------
        MixtureError
            If a draw has none.
        """
        counts = self.counts()
        n_slots, name = self.mixture.n_components, self.mixture.allocation.name
        if n_full := int((counts > 0).all(axis=1).sum()):
            raise MixtureError(
                f"All K={n_slots} slots of {name} are occupied in {n_full} of {len(counts)} "
                "draws: no slot holds a draw from the base measure, which the density of a new "
                f"cluster needs. Give {name} more slots, K={2 * n_slots}, and sample again."
            )
        return counts

    def mean_weights(self) -> NDArray[np.float64]:
        """Probability of every slot for a new item, given each draw: (S, K).

        The weights themselves where the model has them. For the Chinese restaurant process
        ``(n_k - d) / (α + N)``, and an equal share of ``(α + d k⁺) / (α + N)`` for each of the
        K - k⁺ empty slots, whose atoms are draws from the base measure: proposition 9 of [1]_.

        References
        ----------
        .. [1] Pitman, J. (1995). Exchangeable and partially exchangeable random partitions.
           Probability Theory and Related Fields 102, 145-158.
        """
        if self.mixture.prior.weights is not None:
            return self._weights()
        counts, (alpha, discount) = self.counts_with_room(), self.crp_parameters()
        occupied = counts > 0
        n_clusters = occupied.sum(axis=1)
        new = (alpha + discount * n_clusters) / (self.mixture.n_components - n_clusters)
        weights = np.where(occupied, counts - discount[:, None], new[:, None])
        found: NDArray[np.float64] = weights / (alpha + self.mixture.n_items)[:, None]
        return found

    def drawn_weights(
        self, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        r"""Weights of the slots, (S, K), and what truncation puts on the last of them, (S,).

        The weights themselves where the model has them. For the Chinese restaurant process a draw
        of the process's weights given the allocation, corollary 20 of [1]_:

        .. math::

            (w_1, \ldots, w_{k^+}, r) \sim
                \mathrm{Dirichlet}(n_1 - d, \ldots, n_{k^+} - d, \alpha + d k^+),

        with r divided among the empty slots by sticks
        :math:`V_j \sim \mathrm{Beta}(1 - d, \alpha + d (k^+ + j))`. The last of these slots
        takes what is left, in place of infinitely many; where that matters, a warning says so.

        References
        ----------
        .. [1] Pitman, J. (1996). Some developments of the Blackwell-MacQueen urn scheme. In
           Statistics, Probability and Game Theory, IMS Lecture Notes 30, 245-267.
        """
        if self.mixture.prior.weights is not None:
            return self._weights(), np.zeros(self.n_draws)
        counts, (alpha, discount) = self.counts_with_room(), self.crp_parameters()
        occupied = counts > 0
        n_clusters = occupied.sum(axis=1)
        weights = np.zeros(counts.shape)
        shape = (counts - discount[:, None])[occupied]
        weights[occupied] = rng.standard_gamma(shape)
        rest = rng.standard_gamma(alpha + discount * n_clusters)
        total = weights.sum(axis=1) + rest
        weights /= total[:, None]
        rest /= total
        opened = np.zeros(self.n_draws)
        for k in range(counts.shape[1]):
            empty = ~occupied[:, k]
            opened[empty] += 1
            a, d = alpha[empty], discount[empty]
            share = rng.beta(1.0 - d, a + d * (n_clusters + opened)[empty])
            weights[empty, k] = share * rest[empty]
            rest[empty] -= weights[empty, k]
        last = counts.shape[1] - 1 - np.argmin(occupied[:, ::-1], axis=1)
        weights[np.arange(self.n_draws), last] += rest
        self._warn_of_truncation(float(rest.mean()))
        return weights, rest

    def _weights(self) -> NDArray[np.float64]:
        return self.evaluate(self.mixture.prior.weights)

    def _warn_of_truncation(self, remainder: float) -> None:
        if remainder > _MAX_REMAINDER:
            _log.warning(
                "Drawn weights truncate the process: %.2g of its weight, on average, should go to "
                "more atoms than the empty slots of %s hold. Give it more slots than K=%d.",
                remainder,
                self.mixture.allocation.name,
                self.mixture.n_components,
            )


def read_fit(
    idata: xr.DataTree,
    model: pm.Model | None,
    allocation: str | None,
    draws: int | None = None,
) -> Fit:
    """Read a model, and its posterior draws from a result.

    Parameters
    ----------
    idata : xarray.DataTree
        Result of `dps.sample` or `pymc.sample`.
    model : pymc.Model, optional
        Default: the model in context.
    allocation : str, optional
        Name of the allocation; needed only where the model has several.
    draws : int, optional
        Use this many draws, evenly spaced over all chains. Default: all.

    Returns
    -------
    Fit
    """
    if draws is not None and draws < 1:
        raise ValueError(f"draws = {draws}; expected at least 1, or None for all.")
    posterior = posterior_of(idata)
    n_draws = posterior.sizes["chain"] * posterior.sizes["draw"]
    if draws is not None and draws < n_draws:
        chosen = np.linspace(0, n_draws - 1, draws).round().astype(int)
        rows = posterior.stack(row=("chain", "draw"), create_index=False).isel(row=chosen)
        posterior = (
            rows.drop_vars(["chain", "draw"], errors="ignore")
            .rename(row="draw")
            .expand_dims("chain")
        )
    return Fit(read_untransformed(modelcontext(model), allocation), posterior)
