"""Hard assignment: the partition of highest posterior density, by iterated conditional modes.

Besag, J. (1986). On the statistical analysis of dirty pictures. Journal of the Royal Statistical
Society B 48, 259-302, section 2.5. With atoms and weights integrated out the objective is

    log p(α) + log p(z | α) + Σ_k log m(y of cluster k),

α (and a discount) in PyMC's unconstrained value space. Each item in turn joins the cluster, or
opens the new one, that makes it largest; when no item moves, pairs of clusters are merged where
that helps. Where the slots of a cluster carry no meaning, under a Chinese restaurant process, p(z)
is the probability of the partition, which is that of its labels times K! / (K - k)!.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lgamma
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray
from scipy.optimize import minimize

from pymc_dpsteps.conjugate import find_conjugacy
from pymc_dpsteps.jit import function_at, njit
from pymc_dpsteps.mixture.compile import SIGNATURES, CompiledMixture, compile_mixture
from pymc_dpsteps.mixture.structure import Mixture, MixtureError, PriorKind
from pymc_dpsteps.urns import interface as urns
from pymc_dpsteps.urns import urn_for

__all__ = ["Greedy", "HardMode"]

_ORDER = list(SIGNATURES)
_UPDATE = types.FunctionType(SIGNATURES["update"])
_LOG_MARGINAL = types.FunctionType(SIGNATURES["log_marginal"])
_PREDICTIVE = types.FunctionType(urns.PREDICTIVE)
_LOG_PROB = types.FunctionType(urns.LOG_PROB)
_LOG_SWAP = types.FunctionType(urns.LOG_SWAP)
_GAIN = 1e-9  # nats; less is rounding


class Search(NamedTuple):
    """State of a search; N items, K slots.

    Attributes
    ----------
    z : (N,) int64
        Allocation; -1 where not yet assigned.
    counts, active : (K,) int64
        Items per slot; the occupied slots first.
    exchangeable : (1,) bool
        Whether slots carry no meaning.
    stats : (K + 1, S) float64
        Sufficient statistics of each slot; the last row is scratch.
    log_marginal : (K,) float64
        Log marginal likelihood of each slot's items.
    items, shared, datum, parameters, weights : numpy.ndarray
        As in the state of a sampler.
    addresses : (5,) int64
        Of update, log_marginal, predictive, log_prob and log_swap.
    """

    z: np.ndarray
    counts: np.ndarray
    active: np.ndarray
    exchangeable: np.ndarray
    stats: np.ndarray
    log_marginal: np.ndarray
    items: np.ndarray
    shared: np.ndarray
    datum: np.ndarray
    parameters: np.ndarray
    weights: np.ndarray
    addresses: np.ndarray


@njit
def _list_active(search: Search) -> int:
    n_active = 0
    for k in range(len(search.counts)):
        if search.counts[k] > 0:
            search.active[n_active] = k
            n_active += 1
    return n_active


@njit
def _shift(search: Search, row: int, i: int, sign: float) -> None:
    update = function_at(search.addresses[0], _UPDATE)
    update(search.stats[row], i, sign, search.items, search.shared, search.datum)


@njit
def _marginal(search: Search, row: int) -> float:
    return function_at(search.addresses[1], _LOG_MARGINAL)(search.stats[row], search.shared)


@njit
def collect(search: Search) -> None:
    """Counts, statistics and marginals from the allocation."""
    search.counts[:] = 0
    search.stats[:] = 0.0
    for i in range(len(search.z)):
        if search.z[i] >= 0:
            search.counts[search.z[i]] += 1
            _shift(search, search.z[i], i, 1.0)
    for k in range(len(search.counts)):
        search.log_marginal[k] = _marginal(search, k)


@njit
def log_prior(search: Search) -> float:
    """Log p(z) of the allocation, or of its partition where slots carry no meaning."""
    n_active, n_slots = _list_active(search), len(search.counts)
    result = function_at(search.addresses[3], _LOG_PROB)(search.counts, n_active, search.parameters)
    if search.exchangeable[0]:
        result += lgamma(n_slots + 1.0) - lgamma(n_slots - n_active + 1.0)
    return result


@njit
def _best_slot(search: Search, i: int, own: int) -> int:
    """The slot that the unassigned item i had best join; `own`, where it was, wins ties."""
    counts, stats, weights = search.counts, search.stats, search.weights
    scratch = len(counts)
    new = function_at(search.addresses[2], _PREDICTIVE)(
        counts, search.active, _list_active(search), search.parameters, weights
    )
    empty = own if own >= 0 and counts[own] == 0 else -1
    for k in range(len(counts)):
        if counts[k] > 0:
            continue
        if empty < 0 or (not search.exchangeable[0] and weights[k] > weights[empty]):
            empty = k
    if empty >= 0 and search.exchangeable[0]:
        weights[empty] = new
    chosen, best = -1, -np.inf
    for k in range(len(counts)):
        if counts[k] == 0 and k != empty:
            continue
        stats[scratch] = stats[k]
        _shift(search, scratch, i, 1.0)
        score = np.log(weights[k]) + _marginal(search, scratch) - search.log_marginal[k]
        if k == own:
            score += _GAIN
        if chosen < 0 or score > best:
            chosen, best = k, score
    return chosen


@njit
def sweep(rng: np.random.Generator, search: Search) -> int:
    """Every item to its best slot, in random order; returns how many moved."""
    collect(search)
    moved = 0
    for i in rng.permutation(len(search.z)):
        own = search.z[i]
        if own >= 0:
            search.counts[own] -= 1
            _shift(search, own, i, -1.0)
            if search.counts[own] == 0:
                search.stats[own] = 0.0
            search.log_marginal[own] = _marginal(search, own)
        slot = _best_slot(search, i, own)
        search.z[i] = slot
        search.counts[slot] += 1
        _shift(search, slot, i, 1.0)
        search.log_marginal[slot] = _marginal(search, slot)
        moved += slot != own
    return moved


@njit
def _merge(search: Search, a: int, b: int) -> bool:
    """Move the items of slot b to slot a, if that helps."""
    counts, scratch = search.counts, len(search.counts)
    n_a, n_b = counts[a], counts[b]
    search.stats[scratch] = search.stats[a]
    for i in range(len(search.z)):
        if search.z[i] == b:
            _shift(search, scratch, i, 1.0)
    gain = _marginal(search, scratch) - search.log_marginal[a] - search.log_marginal[b]
    gain -= log_prior(search)
    counts[a], counts[b] = n_a + n_b, 0
    gain += log_prior(search)
    counts[a], counts[b] = n_a, n_b
    if not gain > _GAIN:
        return False
    search.z[search.z == b] = a
    return True


@njit
def merge_and_swap(search: Search) -> None:
    """Merge pairs of clusters, and let clusters trade slots, until neither helps."""
    n_slots = len(search.counts)
    log_swap = function_at(search.addresses[4], _LOG_SWAP)
    changed = True
    while changed:
        changed = False
        collect(search)
        for a in range(n_slots):
            for b in range(n_slots):
                if (
                    a != b
                    and search.counts[a] > 0
                    and search.counts[b] > 0
                    and _merge(search, a, b)
                ):
                    collect(search)
                    changed = True
        for j in range(n_slots):
            for l in range(j + 1, n_slots):
                if log_swap(search.counts, j, l, search.parameters) > _GAIN:
                    in_j = search.z == j
                    search.z[search.z == l] = j
                    search.z[in_j] = l
                    collect(search)
                    changed = True


@dataclass(frozen=True)
class HardMode:
    """A partition that no move of one item and no merger improves.

    Attributes
    ----------
    labels : numpy.ndarray of int64, shape (N,)
        Allocation.
    theta : dict
        Concentration variables in value space, by name of the value variable.
    log_posterior : float
        log p(z, theta, y), atoms and weights integrated out.
    path : tuple of float
        The same after every round of the search.
    """

    labels: NDArray[np.int64]
    theta: dict[str, NDArray]
    log_posterior: float
    path: tuple[float, ...]


class Greedy:
    """Compiled search of a conjugate mixture.

    Parameters
    ----------
    mixture : Mixture
        A model as read by `read_mixture`.

    Raises
    ------
    MixtureError
        If atoms or weights cannot be integrated out, or other variables would be left over.
    """

    def __init__(self, mixture: Mixture) -> None:
        self._compiled = _compile(mixture)
        self._urn = urn_for(mixture.prior.kind)
        self._size = mixture.n_items, mixture.n_components
        values = [mixture.model.rvs_to_values[rv] for rv in mixture.concentration]
        self._names = [str(v.name) for v in values]
        start = mixture.model.initial_point(random_seed=0)
        self._theta = np.array([float(start[name]) for name in self._names])

    def find_mode(self, rng: np.random.Generator) -> HardMode:
        """Search from no item assigned, the items in random order."""
        search = self._allocate()
        theta = self._theta.copy()
        self._log_concentration(theta, search)
        path: list[float] = []
        while len(path) < 2 or path[-1] > path[-2] + _GAIN:
            while sweep(rng, search):
                pass
            merge_and_swap(search)
            theta = self._best_theta(theta, search)
            occupied = search.counts > 0
            path.append(
                self._log_concentration(theta, search)
                + log_prior(search)
                + float(search.log_marginal[occupied].sum())
            )
        found = {name: np.array(t) for name, t in zip(self._names, theta, strict=True)}
        return HardMode(search.z, found, path[-1], tuple(path))

    def _allocate(self) -> Search:
        n_items, n_slots = self._size
        compiled = self._compiled
        items, shared = compiled.context()
        own = [compiled.addresses[_ORDER.index(name)] for name in ("update", "log_marginal")]
        predictive, _, log_prob, log_swap, *_ = self._urn.addresses
        return Search(
            z=np.full(n_items, -1),
            counts=np.zeros(n_slots, dtype=np.int64),
            active=np.zeros(n_slots, dtype=np.int64),
            exchangeable=np.array([self._urn.exchangeable]),
            stats=np.zeros((n_slots + 1, compiled.n_stats)),
            log_marginal=np.zeros(n_slots),
            items=items,
            shared=shared,
            datum=np.zeros(compiled.n_datum),
            parameters=np.zeros((compiled.n_parameters, 2)),
            weights=np.zeros(n_slots),
            addresses=np.array([*own, predictive, log_prob, log_swap]),
        )

    def _log_concentration(self, theta: NDArray[np.float64], search: Search) -> float:
        """Log prior of theta; the urn's parameters follow it."""
        function: Any = self._compiled.functions["concentration"]
        return float(function(theta, search.shared, search.parameters))

    def _best_theta(self, theta: NDArray[np.float64], search: Search) -> NDArray[np.float64]:
        """Conditional mode of the concentration given the partition."""

        def negative(theta: NDArray[np.float64]) -> float:
            value = self._log_concentration(theta, search)
            value += log_prior(search) if np.isfinite(value) else 0.0
            return -value if value == value else np.inf

        if len(theta) == 0:
            return theta
        options = {"xatol": 1e-8, "fatol": 1e-10}
        found = minimize(negative, theta, method="Nelder-Mead", options=options)
        return found.x if found.fun < negative(theta) else theta


def _compile(mixture: Mixture) -> CompiledMixture:
    conjugacy = find_conjugacy(mixture)
    way_out = "Use method='em', which takes any model with gradients."
    if not conjugacy.complete:
        reasons = [f"{name} ({why})" for name, why in conjugacy.reasons.items()]
        reasons += [
            f"{', '.join(str(a.rv.name) for a in b.atoms)} (conjugate only given "
            f"{', '.join(b.given)})"
            for b in conjugacy.blocks
            if b.given
        ]
        raise MixtureError(
            "method='greedy' integrates the atoms out, which needs a conjugate pair of likelihood "
            f"and prior for every atom; not found for {'; '.join(reasons)}. {way_out}"
        )
    if mixture.prior.kind is PriorKind.WEIGHTS:
        raise MixtureError(
            "method='greedy' integrates the weights out, but those of "
            f"{mixture.allocation.name} have no law for which that is known. {way_out}"
        )
    compiled = compile_mixture(
        mixture,
        mixture.concentration,
        conjugacy,
        hyperparameters=mixture.hyperparameters,
        statistics=("update", "log_marginal"),
    )
    others = [*(str(rv.name) for rv in mixture.hyperparameters), *compiled.context_names]
    if others:
        raise MixtureError(
            "method='greedy' searches over the allocation and its concentration alone, but the "
            f"density depends on {', '.join(others)} as well. {way_out}"
        )
    return compiled
