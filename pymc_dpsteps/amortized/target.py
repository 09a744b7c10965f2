"""The exact posterior of partitions that a network is trained for, weighted by and corrected to.

With the atoms of a conjugate pair integrated out, and the concentration too where it is random,

    p(y, c) = p(c) Π_k m(y of cluster k),   p(c) = e^{A(n, k)} Π_k (1 - d)_{n_k - 1},

    A(n, k) = log ∫ p(α) Π_{l=1}^{k-1} (α + l d) / (α + 1)_{n-1} dα,

the exchangeable partition probabilities of the Chinese restaurant process (Pitman 2006, section
3.2) averaged over the prior of α, a table computed by quadrature. One item after the other, in
any order, this is the urn's rule times the predictive density of the item in a cluster.

A partition is given as *options* along an order: 0 opens a cluster, j joins the j-th opened.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray
from scipy.special import logsumexp

from pymc_dpsteps.conjugate import find_conjugacy
from pymc_dpsteps.jit import function_at, njit
from pymc_dpsteps.mixture.compile import SIGNATURES, CompiledMixture, compile_mixture
from pymc_dpsteps.mixture.structure import Mixture, MixtureError, PriorKind

__all__ = [
    "Compiled",
    "Target",
    "Walk",
    "assign_items",
    "options_along",
    "pair_log_odds",
    "walk_partition",
    "weigh_options",
]

_STATISTICS = ("update", "log_marginal", "draw_posterior", "refresh", "shift", "log_predictive")
_ORDER = list(SIGNATURES)
_LOG_MARGINAL = types.FunctionType(SIGNATURES["log_marginal"])
_REFRESH = types.FunctionType(SIGNATURES["refresh"])
_SHIFT = types.FunctionType(SIGNATURES["shift"])
_LOG_PREDICTIVE = types.FunctionType(SIGNATURES["log_predictive"])
_FAR = 40.0  # nats below its largest value an integrand is left out
_GRID = 0.05  # spacing of the quadrature in value space


class Compiled(NamedTuple):
    """What compiled code needs of a target.

    Attributes
    ----------
    seats : (N + 2, K + 1) float64
        A(n, k), -inf for k > n.
    discount : (1,) float64
    shared, datum : float64
        As in the state of a sampler.
    addresses : (4,) int64
        Of log_marginal, refresh, shift and log_predictive.
    """

    seats: np.ndarray
    discount: np.ndarray
    shared: np.ndarray
    datum: np.ndarray
    addresses: np.ndarray


class Walk(NamedTuple):
    """Partitions that grow item by item; S of them side by side, K slots.

    Attributes
    ----------
    counts : (S, K + 1) int64
        Items of the clusters, in the order in which they were opened, from place 1 on.
    size, clusters : (S,) int64
        Items so far, and clusters.
    log_prob : (S,) float64
        log p(y, c) of the items so far.
    stats, cache : (S, K + 2, …) float64
        Sufficient statistics of a cluster and what its predictive density needs; of no item in
        row 0; the last row is scratch.
    """

    counts: np.ndarray
    size: np.ndarray
    clusters: np.ndarray
    log_prob: np.ndarray
    stats: np.ndarray
    cache: np.ndarray


class Target:
    """Exact density of partitions under a mixture whose atoms can be integrated out.

    Parameters
    ----------
    mixture : Mixture
        A model as read by `read_mixture`; N is the largest number of items.

    Raises
    ------
    MixtureError
        If the allocation has no Chinese restaurant prior, the atoms cannot be integrated out,
        items are missing or grouped, or other variables than one concentration are random.
    """

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
        if not conjugacy.complete:
            found = [f"{atom}: {why}" for atom, why in conjugacy.reasons.items()]
            reasons = "; ".join(found) or "they depend on one another"
            raise MixtureError(
                f"The atoms of {name} cannot be integrated out ({reasons}), so that "
                " partitions have no density in closed form. Give them a conjugate prior "
                "(see dps.conjugacy), or use MCMC: dps.sample()."
            )
        if mixture.imputed or mixture.grouped:
            found = [v.name for v in mixture.imputed] or [term.name for term in mixture.grouped]
            raise MixtureError(
                f"{', '.join(found)}: missing entries and several observations per item are not "
                "amortized; expected one complete row per item. Use MCMC: dps.sample()."
            )
        if len(mixture.concentration) > 1:
            names = [rv.name for rv in mixture.concentration]
            raise MixtureError(f"Expected one concentration variable; found {', '.join(names)}.")
        self.compiled: CompiledMixture = compile_mixture(
            mixture, mixture.concentration, conjugacy, statistics=_STATISTICS
        )
        if self.compiled.context_names:
            raise MixtureError(
                f"{', '.join(self.compiled.context_names)}: the base measure or the kernel "
                "depends on variables that are random for all clusters together; expected none "
                "but the concentration. Fix them, or use MCMC: dps.sample()."
            )
        _, shared = self.compiled.context()
        self.seats, discount = self._table(shared)
        own = [self.compiled.addresses[_ORDER.index(f)] for f in _STATISTICS]
        self.code = Compiled(
            seats=self.seats,
            discount=np.array([discount]),
            shared=shared,
            datum=np.zeros(self.compiled.n_datum),
            addresses=np.array([own[1], own[3], own[4], own[5]]),
        )

    def _table(self, shared: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """Table of A(n, k), and the discount."""
        function: Any = self.compiled.functions["concentration"]
        parameters = np.zeros((1, 2))

        def at(theta: float) -> tuple[float, float, float]:
            row = np.full(len(self.mixture.concentration), theta)
            log_prior = float(function(row, shared, parameters))
            return log_prior, float(parameters[0, 0]), float(parameters[0, 1])

        n, k = self.n_items + 1, self.n_components
        if self.mixture.concentration:
            value = self.mixture.model.rvs_to_values[self.mixture.concentration[0]]
            start = float(self.mixture.model.initial_point(random_seed=0)[value.name])
            grid = [at(start)]
            for step in (-_GRID, _GRID):
                theta = start
                while _matters(grid, 0 if step < 0 else -1, n, k):
                    theta += step
                    grid = [at(theta), *grid] if step < 0 else [*grid, at(theta)]
        else:
            grid = [at(0.0)]
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

    def walks(self, n_walks: int) -> Walk:
        """Empty partitions.

        Parameters
        ----------
        n_walks : int
            S.
        """
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
        options, walks = options[fits], self.walks(int(fits.sum()))
        for t in range(labels.shape[1]):
            chosen = np.full(len(options), t)
            assign_items(chosen, np.ascontiguousarray(options[:, t]), items, walks, self.code)
        result = np.full(len(labels), -np.inf)
        result[fits] = walks.log_prob
        return result


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


def _matters(grid: list[tuple[float, float, float]], end: int, n: int, k: int) -> bool:
    """Whether the point at an end of the grid carries mass, for few clusters or for many."""
    log_prior, alpha, discount = np.array(grid).T
    opened, seated = _log_factors(alpha, discount[0], n, k)
    masses = [
        log_prior + opened[clusters] - seated[size]
        for clusters, size in ((1, 1), (1, n), (min(n, k), n))
    ]
    return any(mass[end] > mass.max() - _FAR for mass in masses)


def options_along(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Options of label vectors, in the order of their items.

    Parameters
    ----------
    labels : numpy.ndarray of int64, shape (draws, n)

    Returns
    -------
    numpy.ndarray of int64, shape (draws, n)
        0 where the item opens a cluster, else the number of the cluster it joins, counted from 1
        as they were opened.
    """
    options = np.zeros(labels.shape, dtype=np.int64)
    _options_along(np.ascontiguousarray(labels, dtype=np.int64), options)
    return options


@njit
def _options_along(labels: np.ndarray, options: np.ndarray) -> None:
    number = np.zeros(labels.max() + 1, dtype=np.int64)
    for s in range(len(labels)):
        number[:] = 0
        opened = 0
        for t in range(labels.shape[1]):
            label = labels[s, t]
            if number[label] == 0:
                opened += 1
                number[label] = opened
            else:
                options[s, t] = number[label]


@njit
def start_walks(walks: Walk, code: Compiled) -> None:
    """Compute what the predictive density of a cluster of no items needs."""
    refresh = function_at(code.addresses[1], _REFRESH)
    for s in range(len(walks.size)):
        walks.stats[s] = 0.0
        refresh(walks.stats[s, 0], walks.cache[s, 0], code.shared)


@njit
def _weigh(
    s: int,
    i: int,
    items: np.ndarray,
    walks: Walk,
    code: Compiled,
    rows: np.ndarray,
    out: np.ndarray,
) -> None:
    """Log weight of every option of item i in walk s: urn times predictive density."""
    log_predictive = function_at(code.addresses[3], _LOG_PREDICTIVE)
    counts, size = walks.counts[s], walks.size[s]
    last = walks.clusters[s]
    k = last - (last > 0 and counts[1 : last + 1].min() == 0)  # item i may have been alone
    log_predictive(
        i, rows, last + 1, walks.cache[s], walks.cache[s], items, code.shared, code.datum, out
    )
    room = k + 1 < code.seats.shape[1]
    before = code.seats[size, k]
    out[0] = out[0] + code.seats[size + 1, k + 1] - before if room else -np.inf
    for j in range(1, last + 1):
        if counts[j] > 0:
            seat = np.log(counts[j] - code.discount[0])
            out[j] += code.seats[size + 1, k] - before + seat
        else:
            out[j] = -np.inf


@njit
def weigh_options(
    chosen: np.ndarray, items: np.ndarray, walks: Walk, code: Compiled, log_weights: np.ndarray
) -> None:
    """Log weights of all options of the next item of every walk.

    Parameters
    ----------
    chosen : (S,) int64
        The items.
    items : (n, P) float64
    walks, code
    log_weights : (S, K + 1) float64
        Written; -inf for options that there are not.
    """
    rows = np.arange(code.seats.shape[1] + 1)
    for s in range(len(chosen)):
        log_weights[s] = -np.inf
        _weigh(s, chosen[s], items, walks, code, rows, log_weights[s])


@njit
def _shift(
    s: int, i: int, cluster: int, sign: int, items: np.ndarray, walks: Walk, code: Compiled
) -> None:
    """Add item i to a cluster or take it out."""
    shift = function_at(code.addresses[2], _SHIFT)
    stats, cache = walks.stats[s, cluster], walks.cache[s, cluster]
    shift(stats, cache, i, float(sign), items, code.shared, code.datum)
    walks.counts[s, cluster] += sign
    walks.size[s] += sign


@njit
def _assign(s: int, i: int, option: int, items: np.ndarray, walks: Walk, code: Compiled) -> None:
    if option == 0:
        walks.clusters[s] += 1
        option = walks.clusters[s]
        walks.stats[s, option] = walks.stats[s, 0]
        walks.cache[s, option] = walks.cache[s, 0]
    _shift(s, i, option, 1, items, walks, code)


@njit
def assign_items(
    chosen: np.ndarray, options: np.ndarray, items: np.ndarray, walks: Walk, code: Compiled
) -> None:
    """Let the next item of every walk take an option; see `weigh_options`."""
    rows = np.arange(code.seats.shape[1] + 1)
    out = np.empty(code.seats.shape[1])
    for s in range(len(chosen)):
        _weigh(s, chosen[s], items, walks, code, rows, out)
        walks.log_prob[s] += out[options[s]]
        _assign(s, chosen[s], options[s], items, walks, code)


@njit
def pair_log_odds(items: np.ndarray, walks: Walk, code: Compiled, log_odds: np.ndarray) -> None:
    """Log of m(y_i, y_j) / (m(y_i) m(y_j)): for and against two items in one cluster.

    Parameters
    ----------
    items : (S, n, P) float64
    walks : Walk
        At least one; left as it was.
    code
    log_odds : (S, n, n) float64
        Written; the diagonal is zero.
    """
    log_predictive = function_at(code.addresses[3], _LOG_PREDICTIVE)
    rows, out = np.arange(2), np.empty(2)
    walks.stats[0, 1] = walks.stats[0, 0]
    walks.cache[0, 1] = walks.cache[0, 0]
    for s in range(len(items)):
        for i in range(items.shape[1]):
            _shift(0, i, 1, 1, items[s], walks, code)
            for j in range(items.shape[1]):
                log_predictive(
                    j,
                    rows,
                    2,
                    walks.cache[0],
                    walks.cache[0],
                    items[s],
                    code.shared,
                    code.datum,
                    out,
                )
                log_odds[s, i, j] = out[1] - out[0] if i != j else 0.0
            _shift(0, i, 1, -1, items[s], walks, code)


@njit
def walk_partition(
    options: np.ndarray,
    items: np.ndarray,
    walks: Walk,
    code: Compiled,
    log_weights: np.ndarray,
    gibbs: np.ndarray,
) -> None:
    """Log weights of all options on the way along given ones, of many data sets, in their order.

    And the probability of every option given all other items, later ones too: with a partition
    drawn from the posterior its mean given the items before is the posterior's own probability,
    as is that of the option taken, but it varies less.

    Parameters
    ----------
    options : (S, n) int64
    items : (S, n, P) float64
    walks, code
    log_weights, gibbs : (S, n, K + 1) float64
        Written.
    """
    n, n_options = options.shape[1], code.seats.shape[1]
    rows = np.arange(n_options + 1)
    log_weights[:] = -np.inf
    gibbs[:] = 0.0
    opened, cluster = np.zeros(n_options, dtype=np.int64), np.zeros(n, dtype=np.int64)
    given_all = np.empty(n_options)
    for s in range(len(options)):
        for t in range(n):
            _weigh(s, t, items[s], walks, code, rows, log_weights[s, t])
            walks.log_prob[s] += log_weights[s, t, options[s, t]]
            _assign(s, t, options[s, t], items[s], walks, code)
            cluster[t] = walks.clusters[s] if options[s, t] == 0 else options[s, t]
            if options[s, t] == 0:
                opened[cluster[t]] = t
        for t in range(n):
            _shift(s, t, cluster[t], -1, items[s], walks, code)
            _weigh(s, t, items[s], walks, code, rows, given_all)
            _shift(s, t, cluster[t], 1, items[s], walks, code)
            k = walks.clusters[s]
            largest, total = given_all[: k + 1].max(), 0.0
            for j in range(k + 1):
                given_all[j] = np.exp(given_all[j] - largest)
                total += given_all[j]
            for j in range(k + 1):
                gibbs[s, t, j if opened[j] < t else 0] += given_all[j] / total
