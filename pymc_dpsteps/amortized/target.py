"""The exact posterior of partitions that a network is trained for, weighted by and corrected to.

With the atoms of a conjugate pair integrated out, and the concentration too where it is random,

    p(y, c) = p(c) Π_k m(y of cluster k),   p(c) = e^{A(n, k)} Π_k (1 - d)_{n_k - 1},

    A(n, k) = log ∫ p(α) Π_{l=1}^{k-1} (α + l d) / (α + 1)_{n-1} dα,

the exchangeable partition probabilities of the Chinese restaurant process (Pitman 2006, section
3.2) averaged over the prior of α, a table computed by quadrature. One item after the other, in
any order, this is the urn's rule times the predictive density of the item in a cluster.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from pymc_dpsteps.amortized.atom_walks import AtomWalk
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
_FAR = 40.0  # nats below its largest value an integrand is left out
_GRID = 0.05  # spacing of the quadrature in value space


class Seating(ABC):
    """Exact prior of partitions, and the compiled functions of a mixture.

    Parameters
    ----------
    mixture : Mixture
        A model as read by `read_mixture`; N is the largest number of items.

    Raises
    ------
    MixtureError
        If the allocation has no Chinese restaurant prior, items are missing or grouped, or other
        variables than one concentration are random.
    """

    # What of a mixture to compile, and what of that needs atoms that can be integrated out.
    functions: ClassVar[tuple[str, ...]]
    statistics: ClassVar[tuple[str, ...]] = ()

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture
        self.n_items, self.n_components = mixture.n_items, mixture.n_components
        name = mixture.allocation.name
        if mixture.prior.kind is not PriorKind.CRP:
            raise MixtureError(
                f"{name} has {mixture.prior.kind.value}; expected a Chinese restaurant process, "
                f"whose partitions have a probability in closed form. Write {name} = "
                "dps.ChineseRestaurantProcess(…), or use MCMC: dps.sample()."
            )
        conjugacy = find_conjugacy(mixture)
        self._check_atoms(conjugacy)
        refuse_incomplete(mixture)
        if len(mixture.concentration) > 1:
            names = [rv.name for rv in mixture.concentration]
            raise MixtureError(f"Expected one concentration variable; found {', '.join(names)}.")
        self.compiled: CompiledMixture = compile_mixture(
            mixture,
            mixture.concentration,
            conjugacy,
            statistics=self.statistics,
            of_items="kernel_of_items" in self.functions,
        )
        if self.compiled.context_names:
            raise MixtureError(
                f"{', '.join(self.compiled.context_names)}: the base measure or the kernel "
                "depends on variables that are random for all clusters together; expected none "
                "but the concentration. Fix them, or use MCMC: dps.sample()."
            )
        _, shared = self.compiled.context()
        self.seats, discount = self._table(shared)
        addresses = [self.compiled.addresses[_ORDER.index(name)] for name in self.functions]
        self.code = Compiled(
            seats=self.seats,
            discount=np.array([discount]),
            shared=shared,
            datum=np.zeros(self.compiled.n_datum),
            addresses=np.array(addresses),
        )

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

    def _table(self, shared: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """Table of A(n, k), and the discount."""
        function: Any = self.compiled.functions["concentration"]
        parameters = np.zeros((1, 2))

        def at(theta: float) -> tuple[float, float, float]:
            row = np.full(len(self.mixture.concentration), theta)
            log_prior = float(function(row, shared, parameters))
            return log_prior, float(parameters[0, 0]), float(parameters[0, 1])

        n, k = self.n_items + 1, self.n_components
        grid = [at(0.0)]
        if self.mixture.concentration:
            value = self.mixture.model.rvs_to_values[self.mixture.concentration[0]]
            start = float(self.mixture.model.initial_point(random_seed=0)[value.name])
            grid = [at(start)]
            largest = _masses(grid[0], n, k)
            for step in (-_GRID, _GRID):
                theta, mass = start, _masses(at(start), n, k)
                while (mass > largest - _FAR).any():
                    theta += step
                    point = at(theta)
                    grid = [point, *grid] if step < 0 else [*grid, point]
                    mass = _masses(point, n, k)
                    largest = np.maximum(largest, mass)
        log_prior, alpha, discounts = np.array(grid).T
        if np.ptp(discounts) > 0.0:
            raise MixtureError(
                "The discount is random; partitions have a probability in closed form for a "
                "fixed one. Give ChineseRestaurantProcess a number."
            )
        if len(grid) > 1:
            log_prior = log_prior + np.log(_GRID)
        return _seats(log_prior, alpha, discounts[0], n, k), float(discounts[0])

    def given(self, alpha: float, discount: float) -> Compiled:
        """The target given the concentration: what compiled code needs of it."""
        seats = _seats(
            np.zeros(1), np.array([alpha]), discount, self.n_items + 1, self.n_components
        )
        return self.code._replace(seats=seats, discount=np.array([discount]))


class Target(Seating):
    """Exact density of partitions under a mixture whose atoms can be integrated out.

    Parameters
    ----------
    mixture : Mixture
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
        """Log p(y, c), for label vectors of the items.

        Parameters
        ----------
        items : numpy.ndarray of float64, shape (n, P)
        labels : numpy.ndarray of int64, shape (draws, n)

        Returns
        -------
        numpy.ndarray of float64, shape (draws,)
        """
        options = options_along(labels)
        fits = (options == 0).sum(1) <= self.n_components
        result = np.full(len(labels), -np.inf)
        result[fits] = self._walked(items, options[fits]).log_prob
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
        for j in range(len(new)):
            weigh_options(np.full(len(labels), j), new, walks, self.code, log_weights)
            result[:, j] = logsumexp(log_weights, axis=1)
        return result

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


def _seats(
    log_prior: NDArray[np.float64], alpha: NDArray[np.float64], discount: float, n: int, k: int
) -> NDArray[np.float64]:
    """Table of A(n, k), the mean over values of alpha with these log weights."""
    opened, seated = _log_factors(alpha, discount, n, k)
    seats = np.full((n + 1, k + 1), -np.inf)
    seats[0, 0] = 0.0
    for size in range(1, n + 1):
        most = min(size, k)
        seats[size, 1 : most + 1] = logsumexp(
            log_prior + opened[1 : most + 1] - seated[size], axis=1
        )
    return seats


def _log_factors(
    alpha: NDArray[np.float64], discount: float, n: int, k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log of Π (α + l d) by number of clusters, and of (α + 1)_{n-1} by number of items."""
    opened = np.zeros((k + 1, len(alpha)))
    if k > 1:
        more = np.log(alpha + discount * np.arange(1, k)[:, None])
        opened[2:] = np.cumsum(more, axis=0)
    seated = np.zeros((n + 1, len(alpha)))
    if n > 1:
        seated[2:] = np.cumsum(np.log(alpha + np.arange(1, n)[:, None]), axis=0)
    return opened, seated


def _masses(point: tuple[float, float, float], n: int, k: int) -> NDArray[np.float64]:
    """Log of the integrand at a point of the grid, for few clusters and for many."""
    log_prior, alpha, discount = point
    opened, seated = _log_factors(np.array([alpha]), discount, n, k)
    places = ((1, 1), (1, n), (min(n, k), n))
    return np.array([log_prior + opened[j, 0] - seated[size, 0] for j, size in places])
