"""Importance conditional sampling with m draws from G0 per sweep, exact at any m.

Canale, A., Corradin, R. and Nipoti, B. (2022). Importance conditional sampling for Pitman–Yor
mixtures. Statistics and Computing 32, 40. Given the partition into clusters of sizes n_1, …, n_k
the process is Σ p_j δ_{φ_j} + p_0 Q, with (p_1, …, p_k, p_0) ~ Dirichlet(n_1 - d, …, n_k - d,
alpha + d k) and Q ~ PY(d, alpha + d k) independent (Pitman 1996, Corollary 20). Their sampler
represents Q by m draws that all items of a sweep share: importance resampling, which is exact as
m grows.

Here Q stays integrated out, and the m draws s_1, …, s_m from G0 are part of the state. An item is
reassigned given all others, the weights p_j of *their* clusters and p_0, the rest. The law of the
item is p_j F(y_i | φ_j) for cluster j and p_0 F(y_i | φ) G0(dφ) for a new one. Three moves:

1. An item that is alone gives its cluster's weight back to p_0, and its atoms replace s_a for a
   uniformly chosen a. The state (new, φ, s), of density p_0 F(y_i | φ) g0(φ) Π g0(s_j), becomes
   (a, s) of density (p_0 / m) F(y_i | s_a) Π g0(s_j): summing over a, the same mass.
2. Cluster j is drawn with probability ∝ p_j F(y_i | φ_j), and s_a ∝ (p_0 / m) F(y_i | s_a).
3. If s_a was drawn it becomes the new cluster's atoms, a fresh draw from G0 takes its place, and
   the cluster splits its weight p_0 V from p_0, V ~ Beta(1 - d, alpha + d (k + 1)) for k clusters
   before. This is move 1 backwards.

Move 2 is Gibbs sampling of the density that move 1 arrives at, so all three leave the posterior
invariant. Auxiliaries are reused in this way by Favaro, S. and Teh, Y. W. (2013). MCMC for
normalized random measure mixture models. Statistical Science 28, 335–359.

A cluster that empties may not keep its weight, with the remaining Q integrated out: that would
show one atom of Q, and only because the item had been there. One item alone would then leave its
atoms φ at a rate that depends on F(y_i | φ), while the law of where it goes does not depend on φ.

With explicit weights w the same holds with p_j = w_j for occupied slots, p_0 the sum over empty
slots, and the slot of a new cluster drawn among the empty ones in proportion to w.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pymc_dpsteps.jit import njit, njit_lean
from pymc_dpsteps.mixture.structure import PriorKind
from pymc_dpsteps.steps.arguments import whole_number
from pymc_dpsteps.steps.base import MixtureStep
from pymc_dpsteps.steps.occupancy import occupy, vacate
from pymc_dpsteps.steps.state import State, chain_at, derive_of, draw_base_of, kernel_of, weights_of
from pymc_dpsteps.steps.updates import copy_row, fill_pool, pick, prepare, update_rest
from pymc_dpsteps.urns import crp
from pymc_dpsteps.urns.common import choose_by_weight

__all__ = ["ImportanceConditional"]


@njit_lean
def empty_weight(state: State) -> float:
    """Sum of the explicit weights of empty slots."""
    total = 0.0
    for k in range(len(state.counts)):
        if state.counts[k] == 0:
            total += state.weights[k]
    return total


@njit_lean
def draw_process_weights(rng: np.random.Generator, state: State) -> float:
    """Weights of the clusters given the partition; returns that of the rest.

    They are left unnormalised, independent gamma variables: only their ratios matter.
    """
    alpha, discount = state.parameters[0]
    n_active = state.n_active[0]
    for j in range(n_active):
        k = state.active[j]
        state.weights[k] = rng.standard_gamma(state.counts[k] - discount)
    return rng.standard_gamma(alpha + discount * n_active)


@njit_lean
def open_cluster(
    rng: np.random.Generator, state: State, rest: float, explicit: bool
) -> tuple[int, float]:
    """Slot of a new cluster, marked as occupied, and the weight that is left for others."""
    n_active, u = state.n_active[0], rng.random()
    if explicit:
        slot = choose_by_weight(u, state.counts, n_active, state.parameters, state.weights)
        state.counts[slot] += 1
        rest = empty_weight(state)  # anew: a difference would keep the rounding errors
    else:
        slot = crp.choose_slot(u, state.counts, n_active, state.parameters, state.weights)
        state.counts[slot] += 1
        alpha, discount = state.parameters[0]
        v = rng.beta(1.0 - discount, alpha + discount * (n_active + 1))
        state.weights[slot] = rest * v
        rest *= 1.0 - v
    occupy(state, slot)
    return slot, rest


@njit_lean
def conditional_sweep(
    rng: np.random.Generator, state: State, m: int, explicit: bool
) -> tuple[int, int]:
    """Reassign every item once; returns the numbers of clusters opened and closed."""
    z, counts, weights = state.z, state.counts, state.weights
    candidates, prior, log_density = state.candidates, state.prior, state.log_density
    kernel, draw_base, derive = kernel_of(state), draw_base_of(state), derive_of(state)
    n_slots = len(counts)
    if explicit:
        weights_of(state)(state.weight_value, state.shared, weights)
        rest = empty_weight(state)
    else:
        rest = draw_process_weights(rng, state)
    fill_pool(rng, state)
    auxiliary = len(state.values) - m  # rows of s_1, …, s_m
    fresh = n_slots  # the next of K rows that replace those taken
    births = deaths = 0
    for i in range(len(z)):
        own = z[i]
        counts[own] -= 1
        alone = counts[own] == 0
        own_copy = auxiliary + int(rng.random() * m) if alone else -1
        if alone:
            vacate(state, own)
            rest += weights[own]
            copy_row(state, own, own_copy)
        n = state.n_active[0]
        for j in range(n):
            candidates[j] = state.active[j]
            prior[j] = weights[state.active[j]]
        if n < n_slots:
            for j in range(m):
                candidates[n] = auxiliary + j
                prior[n] = rest / m
                n += 1
        kernel(i, candidates, n, state.items, state.columns, state.shared, log_density)
        chosen = candidates[pick(rng, log_density, prior, n)]
        deaths += alone and chosen != own_copy
        if chosen < n_slots:
            z[i] = chosen
            counts[chosen] += 1
            continue
        births += chosen != own_copy
        slot, rest = open_cluster(rng, state, rest, explicit)
        z[i] = slot
        copy_row(state, chosen, slot)
        if fresh == 2 * n_slots:
            draw_base(rng, state.shared, state.values, n_slots)
            derive(state.values, n_slots, 2 * n_slots, state.shared, state.columns)
            fresh = n_slots
        copy_row(state, fresh, chosen)
        fresh += 1
    return births, deaths


@njit
def conditional_step(
    chain: int,
    m: int,
    explicit: bool,
    swap: bool,
    slice_atoms: bool,
    weights: int,
) -> tuple[int, int, int]:
    """One iteration: the sweep, then what all algorithms share."""
    rng, state = chain_at(chain)
    prepare(state)
    births, deaths = conditional_sweep(rng, state, m, explicit)
    return births, deaths, update_rest(rng, state, swap, slice_atoms, weights)


class ImportanceConditional(MixtureStep):
    """Importance conditional sampler of Canale, Corradin and Nipoti (2022), exact at any m.

    Between Neal's (2000) Algorithm 8 and blocked Gibbs: given the weights of the clusters, with
    everything else about the random measure integrated out, and with m draws from G0 a sweep
    where Algorithm 8 takes m an item.

    Parameters
    ----------
    vars : variable or list of variables, optional
        The allocation; needed only where the model has several.
    m : int, default 3
        Number of draws from G0 that represent the atoms of new clusters. More make a sweep
        dearer and mix better; the posterior is exact at any m.
    concentration, atoms, init, model, rng
        See `MixtureStep`.

    Raises
    ------
    MixtureError
        If the model is not a mixture that can be sampled exactly.

    Notes
    -----
    The published sampler lets each item choose among m draws that are made for the sweep, which
    targets the posterior only as m grows. Here the draws are auxiliary variables that stay in the
    state while items come and go: an item that leaves its cluster empty puts the cluster's atoms
    among them, and one that takes a draw leaves a fresh one.

    References
    ----------
    .. [1] Canale, A., Corradin, R. and Nipoti, B. (2022). Importance conditional sampling for
       Pitman–Yor mixtures. Statistics and Computing 32, 40.
    .. [2] Favaro, S. and Teh, Y. W. (2013). MCMC for normalized random measure mixture models.
       Statistical Science 28, 335–359.
    .. [3] Pitman, J. (1996). Some developments of the Blackwell–MacQueen urn scheme. In
       Statistics, Probability and Game Theory, IMS Lecture Notes 30, 245–267.
    """

    name = "importance_conditional"

    def __init__(self, vars: Any = None, *, m: int = 3, **kwargs: Any) -> None:
        self.m = whole_number(self, "m is the number of draws from G0", m)
        super().__init__(vars, **kwargs)

    def _check_prior(self) -> None:
        """Every prior will do."""

    def _pool_size(self) -> int:
        n_components = self._mixture.n_components
        return (1 + -(-self.m // n_components)) * n_components

    def _iterate(self, rest: tuple[bool, bool, int]) -> tuple[int, int, int]:
        explicit = self._mixture.prior.kind is not PriorKind.CRP
        births, deaths, evaluations = conditional_step(self._chain, self.m, explicit, *rest)
        return births, deaths, evaluations
