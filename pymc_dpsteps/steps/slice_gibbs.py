"""Slice sampling of Dirichlet-process mixtures: only components above an item's slice are tried.

Walker, S. G. (2007). Sampling the Dirichlet mixture model with slices. Communications in
Statistics – Simulation and Computation 36, 45–54. Kalli, M., Griffin, J. E. and Walker, S. G.
(2011). Slice sampling mixture models. Statistics and Computing 21, 93–105: the weights are redrawn
with the slice variables integrated out ("slice-efficient"), and the slices may be set by a fixed
sequence xi in place of the weights ("independent").

Given weights and atoms, u_i ~ Uniform(0, xi_{z_i}) and then P(z_i = k) is proportional to
1(xi_k > u_i) (w_k / xi_k) F(y_i | atoms of k). Summed over u_i this is w_k F: blocked Gibbs, whose
target it leaves invariant for any positive xi, here xi_k = w_k or (1 - kappa) kappa^(k - 1).

In the Chinese restaurant process the weights are infinitely many, and revealed as slices need
them. With T ~ Gamma(n + alpha) independent, the posterior process given a partition is T times

- jumps J_j ~ Gamma(n_j - d) at the atoms of its k clusters (Pitman 1996, Corollary 20), and
- a Poisson process of jumps with atoms from G0 and intensity c s^(-1-d) e^(-s) ds, where
  c = a d / Γ(1 - d) with a ~ Gamma((alpha + d k) / d), or c = alpha for d = 0 (Pitman and Yor
  1997, Proposition 21).

T cancels in u_i / T. So no stick is ever broken, and all jumps above any level are found in
decreasing order, exactly. As given the process the items are independent, forbidding a further
cluster when K are occupied is Gibbs sampling of the process restricted to K clusters.
"""

from __future__ import annotations

from math import exp, gamma, log
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from pytensor.graph.traversal import ancestors

from pymc_dpsteps.jit import njit, njit_lean
from pymc_dpsteps.mixture.structure import MixtureError, PriorKind
from pymc_dpsteps.steps.base import MixtureStep
from pymc_dpsteps.steps.many_items import over_items, update_rest_in_threads
from pymc_dpsteps.steps.occupancy import occupy, recount, vacate
from pymc_dpsteps.steps.state import (
    State,
    chain_at,
    choose_slot_of,
    derive_of,
    draw_base_of,
    kernel_of,
    weights_of_point,
)
from pymc_dpsteps.steps.updates import pick_at, prepare, update_rest

__all__ = ["SliceGibbs"]

_SMALLEST = 1e-300  # floor of xi: any positive sequence is exact, and w / xi must not overflow
_LARGEST_DISCOUNT = 0.5


@njit
def order_components(state: State, kappa: float, xi: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Slots in decreasing order of xi, where those above a slice are the first few.

    `kappa` = 0 stands for xi = w. Fills `xi` by slot, and `ratio`, w / xi, in that order.
    """
    n_slots = len(xi)
    weights_of_point(state)
    for k in range(n_slots):
        xi[k] = max((1.0 - kappa) * kappa**k, _SMALLEST) if kappa > 0.0 else state.weights[k]
    order = np.argsort(-xi)
    for j in range(n_slots):
        k = order[j]
        ratio[j] = state.weights[k] / xi[k] if state.weights[k] > 0.0 else 0.0
    return order


@njit
def assign_by_weights(
    uniforms: np.ndarray,
    first: int,
    last: int,
    order: np.ndarray,
    xi: np.ndarray,
    ratio: np.ndarray,
    state: State,
) -> None:
    """Reassign items first, ..., last - 1 given explicit weights, by two uniform numbers each."""
    n_slots = len(order)
    kernel, log_density = kernel_of(state), np.empty(n_slots)
    for i in range(first, last):
        u = (1.0 - uniforms[0, i]) * xi[state.z[i]]
        n = 1
        while n < n_slots and xi[order[n]] >= u:
            n += 1
        kernel(i, order, n, state.items, state.columns, state.shared, log_density)
        state.z[i] = order[pick_at(uniforms[1, i], log_density, ratio, n)]


@njit
def weights_sweep(rng: np.random.Generator, state: State, kappa: float) -> tuple[int, int]:
    """Reassign all items given explicit weights; returns clusters opened and closed."""
    n_items, n_slots = len(state.z), len(state.counts)
    xi, ratio = np.empty(n_slots), np.empty(n_slots)
    order = order_components(state, kappa, xi, ratio)
    assign_by_weights(rng.random((2, n_items)), 0, n_items, order, xi, ratio, state)
    return recount(state)


@njit_lean
def next_jump(
    rng: np.random.Generator, arrival: float, intensity: float, discount: float
) -> tuple[float, float]:
    """The next smaller jump of the Poisson process, and where its search stopped.

    Thinning (Rosiński 2001): points of intensity c e^(-s) above 1 and c s^(-1-d) below, in
    decreasing order, are the unit-rate arrivals through the inverse of the intensity's tail
    integral; a point is kept with probability s^(-1-d) and e^(-s) respectively.
    """
    above_one = exp(-1.0)  # tail integral at 1, over c
    while True:
        arrival += rng.standard_exponential() / intensity
        if arrival < above_one:
            s = -log(arrival)
            kept = s ** (-1.0 - discount)
        else:
            below = arrival - above_one
            s = exp(-below) if discount == 0.0 else (1.0 + discount * below) ** (-1.0 / discount)
            kept = exp(-s)
        if rng.random() < kept:
            return s, arrival


@njit
def draw_clusters(
    rng: np.random.Generator, state: State, jumps: np.ndarray, sizes: np.ndarray
) -> float:
    """Write the clusters' jumps and sizes by slot; return c of the intensity of all other jumps."""
    alpha, discount = state.parameters[0]
    n_clusters = state.n_active[0]
    for j in range(n_clusters):
        k = state.active[j]
        sizes[k] = state.counts[k]
        jumps[k] = rng.standard_gamma(sizes[k] - discount)
    if discount == 0.0:
        return alpha
    a = rng.standard_gamma((alpha + discount * n_clusters) / discount)
    return a * discount / gamma(1.0 - discount)


class Process(NamedTuple):
    """The process down to its smallest slice: what is given when items are reassigned.

    Attributes
    ----------
    atoms : (A,) int64
        Rows of the atoms: occupied slots, then the further atoms K, K + 1, ... .
    jumps : (R,) float64
        Jump of every row.
    sizes : (R,) int64
        Items of every row.
    values, columns : (R, Q) and (R, C) float64
        Rows of the state, and as many more as the further atoms need.
    """

    atoms: np.ndarray
    jumps: np.ndarray
    sizes: np.ndarray
    values: np.ndarray
    columns: np.ndarray


@njit
def reveal(rng: np.random.Generator, state: State, uniforms: np.ndarray) -> Process:
    """Jumps and atoms of the process above the lowest slice; `uniforms` become the slices."""
    n_slots = len(state.counts)
    draw_base, derive = draw_base_of(state), derive_of(state)
    discount = state.parameters[0, 1]
    values, columns = state.values, state.columns
    n_atoms = state.n_active[0]
    atoms = np.zeros(len(values), dtype=np.int64)
    atoms[:n_atoms] = state.active[:n_atoms]
    jumps, sizes = np.zeros(len(values)), np.zeros(len(values), dtype=np.int64)
    intensity = draw_clusters(rng, state, jumps, sizes)
    lowest = np.inf
    for i in range(len(state.z)):
        uniforms[i] = (1.0 - uniforms[i]) * jumps[state.z[i]]
        lowest = min(lowest, uniforms[i])
    pending, arrival = next_jump(rng, 0.0, intensity, discount)
    end = drawn = n_slots
    while pending >= lowest:
        if end == drawn:
            if drawn + n_slots > len(values):
                values = np.concatenate((values, np.empty_like(values)))
                columns = np.concatenate((columns, np.empty_like(columns)))
                jumps = np.concatenate((jumps, np.zeros_like(jumps)))
                sizes = np.concatenate((sizes, np.zeros_like(sizes)))
                atoms = np.concatenate((atoms, np.zeros_like(atoms)))
            draw_base(rng, state.shared, values, drawn)
            derive(values, drawn, drawn + n_slots, state.shared, columns)
            drawn += n_slots
        atoms[n_atoms] = end
        jumps[end] = pending
        n_atoms += 1
        end += 1
        pending, arrival = next_jump(rng, arrival, intensity, discount)
    return Process(atoms[:n_atoms], jumps, sizes, values, columns)


@njit
def assign_by_process(
    slices: np.ndarray,
    uniforms: np.ndarray,
    first: int,
    last: int,
    process: Process,
    sizes: np.ndarray,
    most: int,
    state: State,
) -> None:
    """Reassign items first, ..., last - 1 given the process, among at most `most` clusters.

    Keeps `sizes` up to date.
    """
    z, atoms, jumps = state.z, process.atoms, process.jumps
    kernel = kernel_of(state)
    candidates, log_density = np.empty_like(atoms), np.empty(len(atoms))
    equal = np.ones(len(atoms))  # above its slice a component's weight no longer matters
    n_occupied = 0
    for row in atoms:
        n_occupied += sizes[row] > 0
    for i in range(first, last):
        sizes[z[i]] -= 1
        n_occupied -= sizes[z[i]] == 0
        n = 0
        for row in atoms:
            if jumps[row] >= slices[i] and (sizes[row] > 0 or n_occupied < most):
                candidates[n] = row
                n += 1
        kernel(i, candidates, n, state.items, process.columns, state.shared, log_density)
        row = candidates[pick_at(uniforms[i], log_density, equal, n)]
        z[i] = row
        n_occupied += sizes[row] == 0
        sizes[row] += 1


@njit
def process_sweep(rng: np.random.Generator, state: State) -> tuple[int, int]:
    """Reassign all items given the process; returns clusters opened and closed."""
    n_items = len(state.z)
    uniforms = rng.random((2, n_items))
    process = reveal(rng, state, uniforms[0])
    assign_by_process(
        uniforms[0], uniforms[1], 0, n_items, process, process.sizes, len(state.counts), state
    )
    return settle(rng, state, process)


@njit
def settle(rng: np.random.Generator, state: State, process: Process) -> tuple[int, int]:
    """Give every new cluster a slot; returns the numbers of clusters opened and closed.

    Slots that stay occupied keep their label. Given the partition all labellings are equally
    probable, hence so they stay.
    """
    atoms, sizes = process.atoms, process.sizes
    counts, n_slots = state.counts, len(state.counts)
    choose_slot = choose_slot_of(state)
    slot_of = np.arange(len(sizes))
    births = deaths = 0
    for k in atoms:
        if k < n_slots:
            counts[k] = sizes[k]
            if counts[k] == 0:
                vacate(state, k)
                deaths += 1
    for row in atoms:
        if row >= n_slots and sizes[row] > 0:
            k = choose_slot(
                rng.random(), counts, state.n_active[0], state.parameters, state.weights
            )
            counts[k] = sizes[row]
            state.values[k] = process.values[row]
            state.columns[k] = process.columns[row]
            occupy(state, k)
            slot_of[row] = k
            births += 1
    if births > 0:
        for i in range(len(state.z)):
            state.z[i] = slot_of[state.z[i]]
    return births, deaths


@njit
def slice_step(
    chain: int,
    explicit: bool,
    kappa: float,
    swap: bool,
    slice_atoms: bool,
    weights: int,
) -> tuple[int, int, int]:
    """One iteration: the sweep, then what all algorithms share."""
    rng, state = chain_at(chain)
    prepare(state)
    if explicit:
        births, deaths = weights_sweep(rng, state, kappa)
    else:
        births, deaths = process_sweep(rng, state)
    return births, deaths, update_rest(rng, state, swap, slice_atoms, weights)


class SliceGibbs(MixtureStep):
    """Slice sampler of Walker (2007), as made efficient by Kalli, Griffin and Walker (2011).

    An item is compared only with the components whose weight exceeds its slice variable: few,
    where weights decrease fast.

    Parameters
    ----------
    vars : variable or list of variables, optional
        The allocation; needed only where the model has several.
    xi : float, optional
        Kappa in (0, 1): slices under the fixed sequence xi_k = (1 - kappa) kappa^(k - 1) in
        place of the weights. A larger kappa compares each item with more components and mixes
        better; near 1 the sweep is that of `BlockedGibbs`.
    concentration, atoms, init, model, rng
        See `MixtureStep`.

    Raises
    ------
    MixtureError
        If the model is not a mixture that can be sampled exactly; if `xi` is given for a Chinese
        restaurant process; if such a process has a discount that is random, or not below 1/2.

    Notes
    -----
    The Chinese restaurant process is sampled as the infinite process, its jumps revealed as far
    as the slices reach. With discount d their expected number is finite only for d < 1/2: a
    cluster of one item has a jump J ~ Gamma(1 - d), the jumps above J u number about (J u)^-d, and
    E[J^-d] is infinite from d = 1/2 on.

    `xi` needs components in an order of their own. Slots of a Chinese restaurant process have
    none: a sequence bound to labels that are kept between sweeps would not be independent of the
    weights, and the sampler not exact.

    References
    ----------
    .. [1] Walker, S. G. (2007). Sampling the Dirichlet mixture model with slices. Communications
       in Statistics – Simulation and Computation 36, 45–54.
    .. [2] Kalli, M., Griffin, J. E. and Walker, S. G. (2011). Slice sampling mixture models.
       Statistics and Computing 21, 93–105.
    .. [3] Pitman, J. (1996). Some developments of the Blackwell–MacQueen urn scheme. In
       Statistics, Probability and Game Theory, IMS Lecture Notes 30, 245–267.
    .. [4] Pitman, J. and Yor, M. (1997). The two-parameter Poisson–Dirichlet distribution derived
       from a stable subordinator. Annals of Probability 25, 855–900.
    .. [5] Rosiński, J. (2001). Series representations of Lévy processes from the perspective of
       point processes. In Lévy Processes, Birkhäuser, 401–415.
    """

    name = "slice_gibbs"

    def __init__(self, vars: Any = None, *, xi: float | None = None, **kwargs: Any) -> None:
        if xi is not None and not (isinstance(xi, Real) and 0.0 < float(xi) < 1.0):
            raise ValueError(
                f"SliceGibbs: xi is kappa of the sequence (1 - kappa) kappa^(k - 1); found {xi!r}, "
                "expected a number between 0 and 1, or None for slices under the weights."
            )
        self.xi = None if xi is None else float(xi)
        super().__init__(vars, **kwargs)

    def _check_prior(self) -> None:
        if self._mixture.prior.kind is not PriorKind.CRP:
            return
        name = self._mixture.allocation.name
        if self.xi is not None:
            raise MixtureError(
                f"SliceGibbs(xi={self.xi}) needs components in an order of their own, but the "
                f"slots of the Chinese restaurant process {name} have none. Leave xi out, or "
                "write w = pm.StickBreakingWeights('w', alpha, K=K - 1) and z = "
                "pm.Categorical('z', w)."
            )
        node = self._mixture.allocation.owner
        discount = node.op.dist_params(node)[1]
        random = set(ancestors([discount])) & set(self._mixture.model.basic_RVs)
        if random or not float(discount.eval()) < _LARGEST_DISCOUNT:
            found = "random" if random else f"{float(discount.eval()):g}"
            raise MixtureError(
                f"SliceGibbs: the discount of {name} is {found}; expected a number below "
                f"{_LARGEST_DISCOUNT:g}, since otherwise the expected number of components above "
                "the slices may be infinite. Use dps.ImportanceConditional() or dps.Neal8()."
            )

    def _pool_size(self) -> int:
        return self._mixture.n_components

    def _iterate(self, rest: tuple[bool, bool, int]) -> tuple[int, int, int]:
        explicit = self._mixture.prior.kind is not PriorKind.CRP
        kappa = 0.0 if self.xi is None else self.xi
        state, rng = self._state, self.rng
        if len(state.z) < self.threads_from:
            births, deaths, evaluations = slice_step(self._chain, explicit, kappa, *rest)
            return births, deaths, evaluations
        prepare(state)
        if explicit:
            births, deaths = self._weights_sweep(kappa)
        else:
            births, deaths = self._process_sweep()
        return births, deaths, update_rest_in_threads(rng, state, *rest, self.threads)

    def _weights_sweep(self, kappa: float) -> tuple[int, int]:
        """`weights_sweep` in threads."""
        state = self._state
        xi, ratio = np.empty((2, len(state.counts)))
        order = order_components(state, kappa, xi, ratio)
        uniforms = self.rng.random((2, len(state.z)))

        def assign(first: int, last: int) -> None:
            assign_by_weights(uniforms, first, last, order, xi, ratio, state)

        over_items(assign, state, self.threads)
        births, deaths = recount(state)
        return births, deaths

    def _process_sweep(self) -> tuple[int, int]:
        """`process_sweep`, in threads unless the slots could run out on the way."""
        state, n_items = self._state, len(self._state.z)
        slices, uniforms = self.rng.random((2, n_items))
        process = reveal(self.rng, state, slices)
        n_atoms, n_slots = len(process.atoms), len(state.counts)

        def assign(first: int, last: int) -> None:
            sizes = process.sizes.copy()
            assign_by_process(slices, uniforms, first, last, process, sizes, n_atoms, state)

        if n_atoms <= n_slots:
            over_items(assign, state, self.threads)
            process.sizes[:] = np.bincount(state.z, minlength=len(process.sizes))
        else:
            assign_by_process(slices, uniforms, 0, n_items, process, process.sizes, n_slots, state)
        births, deaths = settle(self.rng, state, process)
        return births, deaths
