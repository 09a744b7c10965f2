"""The exact posterior of partitions that a network is trained for, weighted by and corrected to.

With the atoms of a conjugate pair integrated out, and the concentration too where it is random,

    p(y, c) = p(c) Π_k m(y of cluster k),   p(c) = e^{A(n, k)} Π_k (1 - d)_{n_k - 1},

the exchangeable partition probabilities of the Chinese restaurant process averaged over the prior
of α (`seats`). One item after the other, in any order, this is the urn's rule times the predictive
density of the item in a cluster. Under truncated sticks or Dirichlet weights the network works
with a law of partitions that is close to the model's, and what it draws is put into slots and
weighted by the model's own p(z, y), which is in closed form as well (`slots`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import copy
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pytensor.graph.traversal import ancestors
from scipy.special import logsumexp

from pymc_dpsteps.amortized.atom_walks import AtomWalk
from pymc_dpsteps.amortized.seats import LEAST, Grid, partition_law, quadrature, seats
from pymc_dpsteps.amortized.slots import Slots, counts_of
from pymc_dpsteps.amortized.walks import (
    Compiled,
    Walk,
    assign_items,
    options_along,
    pair_log_odds,
    start_walks,
    weigh_options,
)
from pymc_dpsteps.conjugate import find_conjugacy
from pymc_dpsteps.mixture.compile import SIGNATURES, CompiledMixture, compile_mixture
from pymc_dpsteps.mixture.structure import Conjugacy, Mixture, MixtureError, PriorKind

__all__ = ["Seating", "Target", "refuse_incomplete"]

_ORDER = list(SIGNATURES)


class Seating(ABC):
    """Exact prior of partitions, and the compiled functions of a mixture.

    Parameters
    ----------
    mixture : Mixture
        A model as read by `read_mixture`; N is the largest number of items.
    settings : dict of array_like by name, optional
        Values of variables of the model that are random in it, but given: see `Settings`.

    Attributes
    ----------
    items : numpy.ndarray of float64, shape (N, P)
        Rows of the model's own data.
    seats : numpy.ndarray of float64, shape (N + 2, K + 1)
        A(n, k) of the law of partitions, see `partition_law`.
    slots : Slots or None
        Where the weights have an order or a law of their own, so that the allocation says more
        than its partition: what puts clusters into slots. None for a Chinese restaurant process.
    code : Compiled

    Raises
    ------
    MixtureError
        If the law of the weights is unknown, items are missing or grouped, or other variables than
        one concentration are random.
    """

    # What of a mixture to compile, and what of that needs atoms that can be integrated out.
    functions: ClassVar[tuple[str, ...]]
    statistics: ClassVar[tuple[str, ...]] = ()

    items: NDArray[np.float64]
    seats: NDArray[np.float64]
    slots: Slots | None
    code: Compiled

    def __init__(self, mixture: Mixture, settings: Mapping[str, ArrayLike] | None = None) -> None:
        settings = settings or {}
        self.mixture = mixture
        self.n_items, self.n_components = mixture.n_items, mixture.n_components
        name = mixture.allocation.name
        if mixture.prior.kind is PriorKind.WEIGHTS:
            raise MixtureError(
                f"{name} has {mixture.prior.kind.value}; expected a Chinese restaurant process, "
                "stick-breaking or Dirichlet weights, whose allocations have a probability in "
                f"closed form. Write {name} = dps.ChineseRestaurantProcess(…) or {name} = "
                "pm.Categorical(…, pm.StickBreakingWeights(…)), or use MCMC: dps.sample()."
            )
        conjugacy = find_conjugacy(mixture)
        self._check_atoms(conjugacy)
        refuse_incomplete(mixture)
        self._concentration = [rv for rv in mixture.concentration if rv.name not in settings]
        if len(self._concentration) > 1:
            names = [rv.name for rv in self._concentration]
            raise MixtureError(f"Expected one concentration variable; found {', '.join(names)}.")
        self.compiled: CompiledMixture = compile_mixture(
            mixture,
            self._concentration,
            conjugacy,
            statistics=self.statistics,
            of_items="kernel_of_items" in self.functions,
        )
        if found := [name for name in self.compiled.context_names if name not in settings]:
            raise MixtureError(
                f"{', '.join(found)}: the base measure or the kernel "
                "depends on variables that are random for all clusters together; expected none "
                "but the concentration. Fix them, or use MCMC: dps.sample()."
            )
        self._prior_varies = True
        self._set(settings)
        given = [rv for rv in mixture.model.free_RVs if rv.name in settings]
        self._prior_varies = not set(ancestors([mixture.prior.parameters])).isdisjoint(given)

    def _check_atoms(self, conjugacy: Conjugacy) -> None:  # noqa: B027
        """Refuse atoms that the target cannot deal with."""

    @abstractmethod
    def walks(self, n_walks: int) -> Walk | AtomWalk:
        """Empty partitions.

        Parameters
        ----------
        n_walks : int
            S.
        """

    @abstractmethod
    def log_odds(self, items: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log odds of pairs, m(y_i, y_j) / (m(y_i) m(y_j)), or an estimate; zero on the diagonal.

        Parameters
        ----------
        items : numpy.ndarray of float64, shape (data set, n, P)

        Returns
        -------
        numpy.ndarray of float64, shape (data set, n, n)
        """

    def at(self, settings: Mapping[str, ArrayLike]) -> Self:
        """The target with other values of the settings, all of them."""
        result = copy(self)
        result._set(settings)
        return result

    def _set(self, settings: Mapping[str, ArrayLike]) -> None:
        values = [np.asarray(settings[name]) for name in self.compiled.context_names]
        self.items, shared = self.compiled.context(*values)
        if self._prior_varies:
            self._use(self._integrated(shared), shared)
        else:  # a quadrature takes long
            self.code = self.code._replace(shared=shared)

    def _integrated(self, shared: NDArray[np.float64]) -> Grid:
        """The urn's parameters, over the prior of the concentration where it is random."""
        function: Any = self.compiled.functions["concentration"]

        def at(theta: float) -> tuple[float, NDArray[np.float64]]:
            parameters = np.zeros((self.compiled.n_parameters, 2))
            row = np.full(len(self._concentration), theta)
            return float(function(row, shared, parameters)), parameters

        if not self._concentration:
            log_prior, parameters = at(0.0)
            return Grid(np.array([log_prior]), parameters[None])
        model = self.mixture.model
        value = model.rvs_to_values[self._concentration[0]]
        start = float(model.initial_point(random_seed=0)[value.name])
        kind = self.mixture.prior.kind
        return quadrature(at, start, kind, self.n_items + 1, self.n_components)

    def _use(self, grid: Grid, shared: NDArray[np.float64]) -> None:
        kind = self.mixture.prior.kind
        alpha, discounts = partition_law(kind, grid.parameters)
        discount = float(discounts[0])
        if np.ptp(discounts) > 0.0:
            if kind is PriorKind.CRP:
                raise MixtureError(
                    "The discount is random; partitions have a probability in closed form for a "
                    "fixed one. Give ChineseRestaurantProcess a number."
                )
            discount, alpha = 0.0, alpha.clip(min=LEAST)
        self.seats = seats(grid.log_weights, alpha, discount, self.n_items + 1, self.n_components)
        self.slots = None if kind is PriorKind.CRP else Slots(kind, grid, self.seats, discount)
        addresses = [self.compiled.addresses[_ORDER.index(name)] for name in self.functions]
        self.code = Compiled(
            seats=self.seats,
            discount=np.array([discount]),
            shared=shared,
            datum=np.zeros(self.compiled.n_datum),
            addresses=np.array(addresses),
        )

    def given(self, parameters: NDArray[np.float64]) -> Self:
        """The target given the urn's parameters, shape (rows, 2)."""
        result = copy(self)
        result._use(Grid(np.zeros(1), parameters[None].copy()), self.code.shared)
        return result

    def _changes(
        self, labels: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log of the urn's probability of where one more item goes, less that by the partition law.

        Of every occupied slot, shape (draws, K), where they differ; and of a new cluster, shape
        (draws,).
        """
        old, new = np.zeros((len(labels), self.n_components)), np.zeros(len(labels))
        if self.slots is None:
            return old, new
        counts = counts_of(labels, self.n_components)
        before = self.slots.log_change(counts)
        for slot in range(self.n_components):
            more = counts.copy()
            more[:, slot] += 1
            old[:, slot] = self.slots.log_change(more) - before
        new = logsumexp(np.where(counts > 0, -np.inf, old), axis=1)
        return old, new


class Target(Seating):
    """Exact density of partitions under a mixture whose atoms can be integrated out.

    Parameters
    ----------
    mixture, settings
        See `Seating`.

    Raises
    ------
    MixtureError
        See `Seating`; and if the atoms cannot be integrated out.
    """

    functions = statistics = ("refresh", "shift", "log_predictive")

    def _check_atoms(self, conjugacy: Conjugacy) -> None:
        if not conjugacy.complete:
            found = [f"{atom}: {why}" for atom, why in conjugacy.reasons.items()]
            reasons = "; ".join(found) or "they depend on one another"
            raise MixtureError(
                f"The atoms of {self.mixture.allocation.name} cannot be integrated out "
                f"({reasons}), so that partitions have no density in closed form. Give them a "
                "conjugate prior (see dps.conjugacy), or use MCMC: dps.sample()."
            )

    def log_odds(self, items: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log odds of pairs; see `Seating.log_odds`. They are exact."""
        result = np.zeros((len(items), items.shape[1], items.shape[1]))
        pair_log_odds(np.ascontiguousarray(items), self.walks(1), self.code, result)
        return result

    def walks(self, n_walks: int) -> Walk:
        """Empty partitions; see `Seating.walks`."""
        k = self.n_components
        walks = Walk(
            counts=np.zeros((n_walks, k + 1), dtype=np.int64),
            size=np.zeros(n_walks, dtype=np.int64),
            clusters=np.zeros(n_walks, dtype=np.int64),
            log_prob=np.zeros(n_walks),
            stats=np.zeros((n_walks, k + 2, self.compiled.n_stats)),
            cache=np.zeros((n_walks, k + 2, self.compiled.n_cache)),
        )
        start_walks(walks, self.code)
        return walks

    def log_prob(
        self, items: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Log p(y, c), for label vectors of the items; log p(y, z) where there are `slots`.

        Parameters
        ----------
        items : numpy.ndarray of float64, shape (n, P)
        labels : numpy.ndarray of int64, shape (draws, n)
            The slots z, where there are some; else however numbered.

        Returns
        -------
        numpy.ndarray of float64, shape (draws,)
        """
        options = options_along(labels)
        fits = (options == 0).sum(1) <= self.n_components
        result = np.full(len(labels), -np.inf)
        result[fits] = self._walked(items, options[fits]).log_prob
        if self.slots is not None:
            result += self.slots.log_change(counts_of(labels, self.n_components))
        return result

    def log_predictive(
        self,
        items: NDArray[np.float64],
        labels: NDArray[np.int64],
        new: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Log density of one more item each, given partitions of the items.

        Parameters
        ----------
        items : numpy.ndarray of float64, shape (n, P)
            Fewer than N + 1.
        labels : numpy.ndarray of int64, shape (draws, n)
            Of at most K clusters.
        new : numpy.ndarray of float64, shape (m, P)

        Returns
        -------
        numpy.ndarray of float64, shape (draws, m)
        """
        walks = self._walked(items, options_along(labels))
        log_weights = np.empty((len(labels), self.n_components + 1))
        result = np.empty((len(labels), len(new)))
        change = self._change_of_options(labels)
        for j in range(len(new)):
            weigh_options(np.full(len(labels), j), new, walks, self.code, log_weights)
            result[:, j] = logsumexp(log_weights + change, axis=1)
        return result

    def _change_of_options(self, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of every option; see `_changes`."""
        old, new = self._changes(labels)
        if self.slots is not None:  # options are numbered as clusters were opened
            slots, n = np.arange(self.n_components)[:, None], labels.shape[1]
            inside = labels[:, None] == slots
            first = np.where(inside.any(2), inside.argmax(2), n)
            old = np.take_along_axis(old, np.argsort(first, axis=1, kind="stable"), axis=1)
        return np.column_stack([new, old])

    def _walked(self, items: NDArray[np.float64], options: NDArray[np.int64]) -> Walk:
        """Partitions of the items in their order."""
        walks = self.walks(len(options))
        log_weights = np.empty((len(options), self.n_components + 1))
        for t in range(len(items)):
            chosen, option = np.full(len(options), t), np.ascontiguousarray(options[:, t])
            weigh_options(chosen, items, walks, self.code, log_weights)
            assign_items(chosen, option, log_weights, items, walks, self.code)
        return walks


def refuse_incomplete(mixture: Mixture) -> None:
    """Refuse models whose items have not one complete row each."""
    if mixture.imputed or mixture.grouped:
        found = [v.name for v in mixture.imputed] or [term.name for term in mixture.grouped]
        raise MixtureError(
            f"{', '.join(found)}: missing entries and several observations per item are not "
            "amortized; expected one complete row per item. Use MCMC: dps.sample()."
        )
