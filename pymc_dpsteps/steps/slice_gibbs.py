"""Slice sampling of Dirichlet-process mixtures: only components above an item's slice are tried.

Walker, S. G. (2007). Sampling the Dirichlet mixture model with slices. Communications in
Statistics – Simulation and Computation 36, 45–54. Kalli, M., Griffin, J. E. and Walker, S. G.
(2011). Slice sampling mixture models. Statistics and Computing 21, 93–105: the weights are redrawn
with the slice variables integrated out ("slice-efficient"), and the slices may be set by a fixed
sequence xi in place of the weights ("independent").

Given weights and atoms, u_i ~ Uniform(0, xi_{z_i}) and then P(z_i = k) is proportional to
1(xi_k > u_i) (w_k / xi_k) F(y_i | atoms of k). Summed over u_i this is w_k F: blocked Gibbs, whose
target it leaves invariant for any positive xi, here xi_k = w_k or (1 - kappa) kappa^(k - 1).

In the Chinese restaurant process the weights are infinitely many: see `slice_process`.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from pytensor.graph.traversal import ancestors

from pymc_dpsteps.jit import njit
from pymc_dpsteps.mixture.structure import MixtureError, PriorKind
from pymc_dpsteps.steps.base import MixtureStep
from pymc_dpsteps.steps.many_items import over_items, update_rest_in_threads
from pymc_dpsteps.steps.occupancy import recount
from pymc_dpsteps.steps.slice_process import (
    assign_by_process,
    process_sweep,
    reveal_process,
    settle_process,
)
from pymc_dpsteps.steps.state import State, chain_at, kernel_of, weights_of_point
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
        return births, deaths, update_rest_in_threads(self._chain, rng, state, *rest, self.threads)

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
        process = reveal_process(self._chain, slices)
        n_atoms, n_slots = len(process.atoms), len(state.counts)

        def assign(first: int, last: int) -> None:
            sizes = process.sizes.copy()
            assign_by_process(slices, uniforms, first, last, process, sizes, n_atoms, state)

        if n_atoms <= n_slots:
            over_items(assign, state, self.threads)
            process.sizes[:] = np.bincount(state.z, minlength=len(process.sizes))
        else:
            assign_by_process(slices, uniforms, 0, n_items, process, process.sizes, n_slots, state)
        births, deaths = settle_process(self._chain, process)
        return births, deaths
