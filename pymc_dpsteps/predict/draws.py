"""Posterior draws as the predictions use them, and the weight of every slot in each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pymc as pm
import xarray as xr
from numpy.typing import NDArray
from pymc.model import modelcontext
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors

from pymc_dpsteps.diagnostics.posterior import (
    draws_of,
    each_draw,
    posterior_of,
    read_untransformed,
)
from pymc_dpsteps.mixture import Mixture, MixtureError
from pymc_dpsteps.mixture.rules import is_constant

__all__ = ["Fit", "read_fit"]


@dataclass(frozen=True)
class Fit:
    """A mixture and its posterior draws.

    Attributes
    ----------
    mixture : Mixture
        Read in the space of its variables, see `read_untransformed`.
    state : dict of str to numpy.ndarray, shape (S, ...)
        Draws of the value variables that were kept, chains joined.
    """

    mixture: Mixture
    state: dict[str, NDArray]

    @property
    def n_draws(self) -> int:
        """Number of draws S."""
        return len(next(iter(self.state.values())))

    @property
    def labels(self) -> NDArray:
        """Draws of the allocation, (S, N)."""
        return self.require([str(self.mixture.allocation.name)])[0]

    def require(self, names: Iterable[str]) -> list[NDArray]:
        """Draws of variables by name.

        Raises
        ------
        ValueError
            If one was not kept.
        """
        names = list(names)
        if missing := [name for name in names if name not in self.state]:
            raise ValueError(
                f"The posterior does not hold {', '.join(missing)}, which the prediction needs. "
                "Sample without var_names, or list these variables there."
            )
        return [self.state[name] for name in names]

    def each_draw(
        self, graphs: list[Variable], given: Mapping[Variable, NDArray] | None = None
    ) -> Iterator[list[NDArray]]:
        """Values of graphs at one draw after the other; `given` holds draws of further leaves."""
        reached = set(ancestors(graphs))
        inputs = [v for v in self.mixture.model.value_vars if v in reached]
        given = given or {}
        values = self.require(str(v.name) for v in inputs)
        return each_draw([*inputs, *given], graphs, [*values, *given.values()])

    def evaluate(self, graph: Variable, given: Mapping[Variable, NDArray] | None = None) -> NDArray:
        """Values of a graph of fixed shape at every draw, (S, ...)."""
        if is_constant(graph) and not given:
            return np.broadcast_to(graph.eval(), (self.n_draws, *graph.type.shape))
        return np.stack([values[0] for values in self.each_draw([graph], given)])

    def crp_parameters(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Concentration and discount of every draw, (S,) each."""
        (graph,) = self.mixture.model.replace_rvs_by_values([self.mixture.prior.parameters])
        parameters = self.evaluate(graph)
        return parameters[:, 0, 0], parameters[:, 0, 1]

    def counts(self) -> NDArray[np.int64]:
        """Items in every slot, (S, K)."""
        n_slots = self.mixture.n_components
        rows = self.labels + n_slots * np.arange(self.n_draws)[:, None]
        counts = np.bincount(rows.ravel(), minlength=n_slots * self.n_draws)
        return counts.reshape(self.n_draws, n_slots)

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
        counts, (alpha, discount) = self.counts(), self.crp_parameters()
        occupied = counts > 0
        n_clusters = occupied.sum(axis=1)
        self._refuse_full(n_clusters)
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
        takes what is left, in place of infinitely many.

        References
        ----------
        .. [1] Pitman, J. (1996). Some developments of the Blackwell-MacQueen urn scheme. In
           Statistics, Probability and Game Theory, IMS Lecture Notes 30, 245-267.
        """
        if self.mixture.prior.weights is not None:
            return self._weights(), np.zeros(self.n_draws)
        counts, (alpha, discount) = self.counts(), self.crp_parameters()
        occupied = counts > 0
        n_clusters = occupied.sum(axis=1)
        self._refuse_full(n_clusters)
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
        return weights, rest

    def _weights(self) -> NDArray[np.float64]:
        (graph,) = self.mixture.model.replace_rvs_by_values([self.mixture.prior.weights])
        return self.evaluate(graph)

    def _refuse_full(self, n_clusters: NDArray) -> None:
        n_slots, name = self.mixture.n_components, self.mixture.allocation.name
        if n_full := int((n_clusters == n_slots).sum()):
            raise MixtureError(
                f"All K={n_slots} slots of {name} are occupied in {n_full} of {len(n_clusters)} "
                "draws: no slot holds a draw from the base measure, which the density of a new "
                f"cluster needs. Give {name} more slots, K={2 * n_slots}, and sample again."
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
    mixture = read_untransformed(modelcontext(model), allocation)
    posterior = posterior_of(idata)
    state = draws_of(posterior, [v.name for v in mixture.model.value_vars if v.name in posterior])
    n_draws = posterior.sizes["chain"] * posterior.sizes["draw"]
    if draws is not None:
        if draws < 1:
            raise ValueError(f"draws = {draws}; expected at least 1, or None for all.")
        if draws < n_draws:
            chosen = np.linspace(0, n_draws - 1, draws).round().astype(int)
            state = {name: x[chosen] for name, x in state.items()}
    return Fit(mixture, state)
