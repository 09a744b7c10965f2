"""The state of one sweep as numba sees it: arrays that are allocated once per chain."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import float64, int64, types

from pymc_dpsteps.jit import function_at, load, njit, room_for, store
from pymc_dpsteps.mixture.compile import SIGNATURES, CompiledMixture
from pymc_dpsteps.urns import interface as urns

__all__ = ["Chain", "State", "allocate", "chain_at"]


class State(NamedTuple):
    """Packed state of a chain; N items, K slots, rows K, K+1, … of `values` are draws from G0.

    Attributes
    ----------
    z : (N,) int64
        Allocation.
    counts : (K,) int64
        Items per slot.
    active : (K,) int64
        The occupied slots, in its first ``n_active[0]`` entries, in any order.
    position : (K,) int64
        Place of an occupied slot in `active`.
    n_active : (1,) int64
        Number of occupied slots.
    values, columns : (K + pool, Q) and (K + pool, C) float64
        Atoms in value space, and what the kernel reads of them.
    items : (N, P) float64
    shared : (S,) float64
    theta : (T,) float64
        Values of the concentration variables that the step updates.
    parameters : (R, 2) float64
        The urn's parameters.
    weights : (K,) float64
        Weights of the slots: predictive ones in a marginal sweep.
    sticks : (K - 1,) float64
    weight_value : (W,) float64
        Value of the weight variable in value space.
    members, starts : (N,) and (K + 1,) int64
        Items grouped by slot: those of k are ``members[starts[k]:starts[k + 1]]``.
    candidates : (K + pool + 1,) int64
        Rows that an item may join.
    prior, log_density : (K + pool + 1,) float64
        Prior weight of every candidate, and the kernel of one item under it.
    scratch : (1, C) float64
    widths, moves : (Q,) float64
        Initial widths of the slice sampler per coordinate, and the mean move of the last sweep.
    hyper : (H,) float64
        Values, in value space, of the hyperparameters of G0 that the step updates.
    hyper_widths, hyper_moves : (H,) float64
        As `widths` and `moves`.
    sliced : (at most Q,) int64
        Columns of `values` that are slice-sampled; the others are drawn by conjugate blocks.
    stats : (K + 5, S) float64
        Sufficient statistics of each slot, where an algorithm uses them; the others are scratch,
        the last one of compiled functions.
    cache : (K + 5, C) float64
        What the predictive density needs of each row of `stats`.
    datum : (D,) float64
        Scratch for what one item adds to the statistics.
    model, urn : (16,) and (6,) int64
        Addresses of the compiled functions; the urn's last entry says whether it is a CRP.
    """

    z: np.ndarray
    counts: np.ndarray
    active: np.ndarray
    position: np.ndarray
    n_active: np.ndarray
    values: np.ndarray
    columns: np.ndarray
    items: np.ndarray
    shared: np.ndarray
    theta: np.ndarray
    parameters: np.ndarray
    weights: np.ndarray
    sticks: np.ndarray
    weight_value: np.ndarray
    members: np.ndarray
    starts: np.ndarray
    candidates: np.ndarray
    prior: np.ndarray
    log_density: np.ndarray
    scratch: np.ndarray
    widths: np.ndarray
    moves: np.ndarray
    hyper: np.ndarray
    hyper_widths: np.ndarray
    hyper_moves: np.ndarray
    sliced: np.ndarray
    stats: np.ndarray
    cache: np.ndarray
    datum: np.ndarray
    model: np.ndarray
    urn: np.ndarray


_INTEGERS = "z counts active position n_active members starts candidates sliced model urn".split()
_MATRICES = "values columns items parameters scratch stats cache".split()
_STATE = types.NamedTuple(
    [
        int64[::1] if name in _INTEGERS else float64[:, ::1] if name in _MATRICES else float64[::1]
        for name in State._fields
    ],
    State,
)
_CHAIN = types.Tuple([types.npy_rng, _STATE])


class Chain:
    """A generator and a state, ready for compiled code.

    To hand both over takes numba 11 µs a call, as long as 50 items take. Here they are kept in
    native form, and a call gets its address.

    Parameters
    ----------
    rng : numpy.random.Generator
    state : State
    """

    def __init__(self, rng: np.random.Generator, state: State) -> None:
        self.rng, self.state = rng, state
        self._memory = room_for(_CHAIN)
        self.address = self._memory.ctypes.data
        _store_chain(rng, state, self.address)


@njit
def _store_chain(rng: np.random.Generator, state: State, address: int) -> None:
    store((rng, state), address)


@njit
def chain_at(address: int) -> tuple[np.random.Generator, State]:
    """Generator and state of a chain."""
    return load(address, _CHAIN)


def allocate(
    mixture: CompiledMixture,
    urn: urns.Urn | None,
    *,
    n_items: int,
    n_components: int,
    n_pool: int,
    n_theta: int,
    n_hyper: int,
    n_weight_value: int,
) -> State:
    """Allocate the state of one chain; items and shared are filled in later."""
    rows = n_components + n_pool
    return State(
        z=np.zeros(n_items, dtype=np.int64),
        counts=np.zeros(n_components, dtype=np.int64),
        active=np.zeros(n_components, dtype=np.int64),
        position=np.zeros(n_components, dtype=np.int64),
        n_active=np.zeros(1, dtype=np.int64),
        values=np.zeros((rows, mixture.n_values)),
        columns=np.zeros((rows, mixture.n_columns)),
        items=np.zeros((n_items, 0)),
        shared=np.zeros(0),
        theta=np.zeros(n_theta),
        parameters=np.zeros((mixture.n_parameters, 2)),
        weights=np.zeros(n_components),
        sticks=np.zeros(n_components - 1),
        weight_value=np.zeros(n_weight_value),
        members=np.zeros(n_items, dtype=np.int64),
        starts=np.zeros(n_components + 1, dtype=np.int64),
        candidates=np.zeros(rows + 1, dtype=np.int64),
        prior=np.zeros(rows + 1),
        log_density=np.zeros(rows + 1),
        scratch=np.zeros((1, mixture.n_columns)),
        widths=np.ones(mixture.n_values),
        moves=np.zeros(mixture.n_values),
        hyper=np.zeros(n_hyper),
        hyper_widths=np.ones(n_hyper),
        hyper_moves=np.zeros(n_hyper),
        sliced=mixture.sliced,
        stats=np.zeros((n_components + 5, mixture.n_stats)),
        cache=np.zeros((n_components + 5, mixture.n_cache)),
        datum=np.zeros(mixture.n_datum),
        model=mixture.addresses,
        urn=np.zeros(6, dtype=np.int64) if urn is None else urn.addresses,
    )


_KERNEL = types.FunctionType(SIGNATURES["kernel"])
_LOG_POSTERIOR = types.FunctionType(SIGNATURES["log_posterior"])
_DERIVE = types.FunctionType(SIGNATURES["derive"])
_DRAW_BASE = types.FunctionType(SIGNATURES["draw_base"])
_CONCENTRATION = types.FunctionType(SIGNATURES["concentration"])
_WEIGHTS = types.FunctionType(SIGNATURES["weights"])
_WEIGHT_VALUE = types.FunctionType(SIGNATURES["weight_value"])
_HYPERPARAMETERS = types.FunctionType(SIGNATURES["hyperparameters"])
_DRAW_ATOMS = types.FunctionType(SIGNATURES["draw_atoms"])
_UPDATE = types.FunctionType(SIGNATURES["update"])
_LOG_MARGINAL = types.FunctionType(SIGNATURES["log_marginal"])
_DRAW_POSTERIOR = types.FunctionType(SIGNATURES["draw_posterior"])
_REFRESH = types.FunctionType(SIGNATURES["refresh"])
_SHIFT = types.FunctionType(SIGNATURES["shift"])
_LOG_PREDICTIVE = types.FunctionType(SIGNATURES["log_predictive"])
_KERNEL_OF_ITEMS = types.FunctionType(SIGNATURES["kernel_of_items"])
_PREDICTIVE = types.FunctionType(urns.PREDICTIVE)
_CHOOSE_SLOT = types.FunctionType(urns.CHOOSE_SLOT)
_LOG_PROB = types.FunctionType(urns.LOG_PROB)
_LOG_SWAP = types.FunctionType(urns.LOG_SWAP)
_DRAW_WEIGHTS = types.FunctionType(urns.DRAW_WEIGHTS)


@njit
def kernel_of(state: State) -> Any:
    """The kernel F."""
    return function_at(state.model[0], _KERNEL)


@njit
def log_posterior_of(state: State) -> Any:
    """Log density of one component's atoms given its items."""
    return function_at(state.model[1], _LOG_POSTERIOR)


@njit
def derive_of(state: State) -> Any:
    """Component columns from atoms."""
    return function_at(state.model[2], _DERIVE)


@njit
def draw_base_of(state: State) -> Any:
    """Draws from the base measure G0."""
    return function_at(state.model[3], _DRAW_BASE)


@njit
def concentration_of(state: State) -> Any:
    """Log prior of the concentration, and the urn's parameters."""
    return function_at(state.model[4], _CONCENTRATION)


@njit
def weights_of(state: State) -> Any:
    """The weights from their value variable."""
    return function_at(state.model[5], _WEIGHTS)


@njit
def weights_of_point(state: State) -> None:
    """Read the weights from their value variable."""
    weights_of(state)(state.weight_value, state.shared, state.weights)


@njit
def weight_value_of(state: State) -> Any:
    """The weights' value variable from the weights or sticks."""
    return function_at(state.model[6], _WEIGHT_VALUE)


@njit
def hyperparameters_of(state: State) -> Any:
    """Log density of the hyperparameters given atoms, and the entries of shared they change."""
    return function_at(state.model[7], _HYPERPARAMETERS)


@njit
def draw_atoms_of(state: State) -> Any:
    """One Gibbs scan of a component's conjugate blocks."""
    return function_at(state.model[8], _DRAW_ATOMS)


@njit
def update_of(state: State) -> Any:
    """Change of a cluster's statistics by one item."""
    return function_at(state.model[9], _UPDATE)


@njit
def log_marginal_of(state: State) -> Any:
    """Log marginal likelihood of a cluster from its statistics."""
    return function_at(state.model[10], _LOG_MARGINAL)


@njit
def draw_posterior_of(state: State) -> Any:
    """Draw of a component's atoms given its statistics."""
    return function_at(state.model[11], _DRAW_POSTERIOR)


@njit
def refresh_of(state: State) -> Any:
    """What the predictive density needs of a cluster."""
    return function_at(state.model[12], _REFRESH)


@njit
def shift_of(state: State) -> Any:
    """Change of a cluster's statistics and cache by one item."""
    return function_at(state.model[13], _SHIFT)


@njit
def log_predictive_of(state: State) -> Any:
    """Log density of one item given the items of clusters."""
    return function_at(state.model[14], _LOG_PREDICTIVE)


@njit
def kernel_of_items(state: State) -> Any:
    """The kernel F of many items under one component."""
    return function_at(state.model[15], _KERNEL_OF_ITEMS)


@njit
def predictive_of(state: State) -> Any:
    """The urn's predictive weights."""
    return function_at(state.urn[0], _PREDICTIVE)


@njit
def is_crp(state: State) -> bool:
    """Whether the urn is a Chinese restaurant process."""
    return state.urn[5] == 1


@njit
def choose_slot_of(state: State) -> Any:
    """The urn's choice of a slot for a new cluster."""
    return function_at(state.urn[1], _CHOOSE_SLOT)


@njit
def log_prob_of(state: State) -> Any:
    """The urn's log p(z)."""
    return function_at(state.urn[2], _LOG_PROB)


@njit
def log_swap_of(state: State) -> Any:
    """The urn's change of log p(z) under a label swap."""
    return function_at(state.urn[3], _LOG_SWAP)


@njit
def draw_weights_of(state: State) -> Any:
    """Weights given the allocation."""
    return function_at(state.urn[4], _DRAW_WEIGHTS)
