"""Updates that all algorithms share: each leaves the posterior given the rest invariant.

Order within a step: allocation (the algorithm's own), label swaps, atoms of occupied slots,
hyperparameters of G0, atoms of empty slots, concentration, weights. Swaps and the concentration
have the weights integrated out, and the hyperparameters the atoms of empty slots, which is exact
because what is integrated out is redrawn from its conditional law right after.
"""

import numpy as np

from pymc_dpsteps.exponential import exp_negative
from pymc_dpsteps.jit import njit, njit_inline, njit_lean
from pymc_dpsteps.steps.label_swaps import swap_labels
from pymc_dpsteps.steps.occupancy import count, occupy
from pymc_dpsteps.steps.state import (
    State,
    choose_slot_of,
    concentration_of,
    derive_of,
    draw_atoms_of,
    draw_base_of,
    draw_weights_of,
    hyperparameters_of,
    kernel_of,
    log_posterior_of,
    log_prob_of,
    predictive_of,
    weight_value_of,
)

# What a slice sampler moves.
_ATOMS, _CONCENTRATION, _HYPERPARAMETERS = 0, 1, 2
_MAX_STEPS_OUT = 1000
_TINY = np.finfo(np.float64).tiny
_ALMOST_ONE = 1.0 - 2.0**-53


@njit_lean
def prepare(state: State) -> None:
    """Bring everything derived up to date with a point that other steps may have changed."""
    count(state)
    share_hyperparameters(state)
    concentration_of(state)(state.theta, state.shared, state.parameters)
    derive_of(state)(state.values, 0, len(state.counts), state.shared, state.columns)


@njit_lean
def share_hyperparameters(state: State) -> None:
    """Fill the entries of the shared vector that depend on hyperparameters of the step."""
    hyperparameters_of(state)(state.hyper, state.active, 0, state.values, state.shared)


@njit_lean
def fill_pool(rng: np.random.Generator, state: State) -> None:
    """Draw all pool rows afresh from G0."""
    n_slots = len(state.counts)
    draw_base = draw_base_of(state)
    for first in range(n_slots, len(state.values), n_slots):
        draw_base(rng, state.shared, state.values, first)
    derive_of(state)(state.values, n_slots, len(state.values), state.shared, state.columns)


@njit_lean
def pool_empty(state: State) -> int:
    """Copy the atoms of empty slots, which follow G0 given all else, to the first pool rows.

    Returns the row after the last one. Atoms of empty slots must be drawn anew in the end.
    """
    n_slots = len(state.counts)
    row = n_slots
    for k in range(n_slots):
        if state.counts[k] == 0:
            copy_row(state, k, row)
            row += 1
    return row


@njit
def mark_possible(state: State, possible: np.ndarray) -> None:
    """Mark the items whose density is finite under at least one pool row."""
    n_slots, n_pool = len(state.counts), len(state.values) - len(state.counts)
    kernel = kernel_of(state)
    for j in range(n_pool):
        state.candidates[j] = n_slots + j
    for i in range(len(possible)):
        if not possible[i]:
            kernel(
                i,
                state.candidates,
                n_pool,
                state.items,
                state.columns,
                state.shared,
                state.log_density,
            )
            possible[i] = np.isfinite(state.log_density[:n_pool]).any()


@njit_lean
def copy_row(state: State, source: int, target: int) -> None:
    """Copy the atoms of one row to another."""
    for q in range(state.values.shape[1]):
        state.values[target, q] = state.values[source, q]
    for c in range(state.columns.shape[1]):
        state.columns[target, c] = state.columns[source, c]


@njit_inline
def pick(rng: np.random.Generator, log_density: np.ndarray, prior: np.ndarray, n: int) -> int:
    """Index j < n with probability proportional to prior[j] exp(log_density[j])."""
    return pick_at(rng.random(), log_density, prior, n)


@njit_inline
def pick_at(uniform: float, log_density: np.ndarray, prior: np.ndarray, n: int) -> int:
    """Index j < n where the cumulated prior[j] exp(log_density[j]) pass `uniform` of their sum.

    Overwrites `log_density`. Where every density is zero, the prior alone decides: that happens
    only outside the posterior's support, at a start.
    """
    largest = -np.inf
    for j in range(n):
        if prior[j] > 0.0 and log_density[j] > largest:
            largest = log_density[j]
    total = 0.0
    for j in range(n):
        log_density[j] = prior[j] * exp_negative(log_density[j] - largest)
    for j in range(n):
        total += log_density[j]
        log_density[j] = total
    if not total > 0.0:
        for j in range(n):
            total += prior[j]
            log_density[j] = total
    threshold = uniform * total
    chosen = 0
    for j in range(n - 1):  # to count costs less than to leave the loop at the right moment
        chosen += 1 if log_density[j] <= threshold else 0
    return chosen


@njit_lean
def group(state: State) -> None:
    """Group items by slot (counting sort)."""
    starts, members = state.starts, state.members
    starts[0] = 0
    for k in range(len(state.counts)):
        starts[k + 1] = starts[k] + state.counts[k]
    for i in range(len(state.z)):
        k = state.z[i]
        members[starts[k]] = i
        starts[k] += 1
    for k in range(len(state.counts), 0, -1):
        starts[k] = starts[k - 1]
    starts[0] = 0


@njit_inline
def _log_target(x: np.ndarray, target: int, members: np.ndarray, state: State) -> float:
    """Log density of what is sampled, up to a constant.

    Of one component's atoms given its members; of theta given z; or of the hyperparameters given
    the atoms of the rows `members`. A branch, and not a function argument: numba cannot cache a
    function that is passed one.
    """
    if target == _ATOMS:
        return log_posterior_of(state)(
            x, members, len(members), state.items, state.shared, state.scratch
        )
    if target == _HYPERPARAMETERS:
        return hyperparameters_of(state)(x, members, len(members), state.values, state.shared)
    log_prior = concentration_of(state)(x, state.shared, state.parameters)
    if not log_prior > -np.inf:
        return -np.inf
    result = log_prior + log_prob_of(state)(state.counts, state.n_active[0], state.parameters)
    return result if result == result else -np.inf


@njit_lean
def slice_coordinate(
    rng: np.random.Generator,
    x: np.ndarray,
    q: int,
    width: float,
    current: float,
    target: int,
    members: np.ndarray,
    state: State,
) -> tuple[float, int]:
    """Univariate slice sampling of x[q] in place; `current` is the log target at x.

    Stepping out with at most 1,000 steps, and shrinkage (Neal 2003, Figures 3 and 5). Returns the
    log density at the new point and the number of its evaluations.
    """
    old = x[q]
    level = current - rng.standard_exponential()
    left = old - width * rng.random()
    right = left + width
    steps_left = int(rng.random() * _MAX_STEPS_OUT)
    steps_right = _MAX_STEPS_OUT - 1 - steps_left
    evaluations = 0
    x[q] = left
    while steps_left > 0:
        evaluations += 1
        if _log_target(x, target, members, state) <= level:
            break
        x[q] -= width
        steps_left -= 1
    left = x[q]
    x[q] = right
    while steps_right > 0:
        evaluations += 1
        if _log_target(x, target, members, state) <= level:
            break
        x[q] += width
        steps_right -= 1
    right = x[q]
    while True:
        x[q] = left + (right - left) * rng.random()
        current = _log_target(x, target, members, state)
        evaluations += 1
        if current > level or x[q] == old:
            return current, evaluations
        if x[q] < old:
            left = x[q]
        else:
            right = x[q]


@njit_lean
def update_row(rng: np.random.Generator, row: int, members: np.ndarray, state: State) -> int:
    """Atoms of one row given its members, at least one.

    What a conjugate block covers is drawn from its conditional law; every other coordinate is
    slice-sampled in value space. Returns the number of density evaluations.
    """
    x = state.values[row]
    evaluations = 0
    if len(state.sliced) < len(x):
        draw_atoms_of(state)(
            rng,
            x,
            members,
            len(members),
            state.items,
            state.shared,
            state.stats[-1],
            state.datum,
        )
    if len(state.sliced) > 0:
        current = _log_target(x, _ATOMS, members, state)
        evaluations += 1
        if current > -np.inf:
            for q in state.sliced:
                old = x[q]
                current, cost = slice_coordinate(
                    rng, x, q, state.widths[q], current, _ATOMS, members, state
                )
                evaluations += cost
                state.moves[q] += abs(x[q] - old) / state.n_active[0]
    derive_of(state)(state.values, row, row + 1, state.shared, state.columns)
    return evaluations


@njit_lean
def update_atoms(rng: np.random.Generator, state: State) -> int:
    """Atoms of occupied slots given their items; returns the number of density evaluations."""
    group(state)
    evaluations = 0
    state.moves[:] = 0.0
    for a in range(state.n_active[0]):
        k = state.active[a]
        evaluations += update_row(
            rng, k, state.members[state.starts[k] : state.starts[k + 1]], state
        )
    return evaluations


@njit_lean
def update_hyperparameters(rng: np.random.Generator, state: State) -> int:
    """Slice sampling of the hyperparameters of G0 given the atoms of occupied slots.

    Those of empty slots are integrated out, and must be redrawn right after. Leaves the shared
    vector at the new values. Returns the number of density evaluations.
    """
    occupied = state.active[: state.n_active[0]]
    evaluations = 1
    current = _log_target(state.hyper, _HYPERPARAMETERS, occupied, state)
    if not current > -np.inf:
        return evaluations
    for h in range(len(state.hyper)):
        old = state.hyper[h]
        current, cost = slice_coordinate(
            rng,
            state.hyper,
            h,
            state.hyper_widths[h],
            current,
            _HYPERPARAMETERS,
            occupied,
            state,
        )
        evaluations += cost
        state.hyper_moves[h] = abs(state.hyper[h] - old)
    return evaluations


@njit_lean
def redraw_empty(rng: np.random.Generator, state: State) -> None:
    """Atoms of empty slots, given everything else, follow G0."""
    n_slots = len(state.counts)
    if state.n_active[0] == n_slots:
        return
    draw_base_of(state)(rng, state.shared, state.values, n_slots)
    for k in range(n_slots):
        if state.counts[k] == 0:
            for q in range(state.values.shape[1]):
                state.values[k, q] = state.values[n_slots + k, q]


@njit_lean
def update_concentration(rng: np.random.Generator, state: State) -> int:
    """Slice sampling of alpha (and discount) in value space given z, the weights integrated out.

    Valid for any prior; the density is p(alpha) p(z | alpha). Leaves the urn's parameters at the
    new values. Returns the number of evaluations.
    """
    evaluations = 1
    nobody = state.members[:0]
    current = _log_target(state.theta, _CONCENTRATION, nobody, state)
    if not current > -np.inf:
        return evaluations
    for t in range(len(state.theta)):
        current, cost = slice_coordinate(
            rng, state.theta, t, 1.0, current, _CONCENTRATION, nobody, state
        )
        evaluations += cost
    return evaluations


@njit_lean
def update_weights(rng: np.random.Generator, state: State, by_sticks: bool) -> None:
    """Weights given z: the urn's conjugate draw, kept strictly inside the simplex.

    A weight or stick that rounds to 0 or 1 becomes the nearest double inside (0, 1), since the
    boundary would give gradient-based steps on other variables a density of -inf.
    """
    draw_weights_of(state)(rng, state.counts, state.parameters, state.weights, state.sticks)
    row = state.sticks if by_sticks else state.weights
    for k in range(len(row)):
        row[k] = min(max(row[k], _TINY), _ALMOST_ONE)
    weight_value_of(state)(row, state.shared, state.weight_value)


@njit_lean
def draw_allocation(rng: np.random.Generator, state: State) -> None:
    """Draw an allocation from its prior, the weights integrated out."""
    predictive, choose_slot = predictive_of(state), choose_slot_of(state)
    state.counts[:] = 0
    state.n_active[0] = 0
    n_slots = len(state.counts)
    for i in range(len(state.z)):
        n_active = state.n_active[0]
        new = predictive(state.counts, state.active, n_active, state.parameters, state.weights)
        total = new
        for j in range(n_active):
            total += state.weights[state.active[j]]
        u = rng.random() * total - new
        if n_active == 0 or (u < 0.0 and n_active < n_slots):
            k = choose_slot(rng.random(), state.counts, n_active, state.parameters, state.weights)
            occupy(state, k)
        else:
            k = state.active[0]
            for j in range(n_active):
                k = state.active[j]
                u -= state.weights[k]
                if u < 0.0:
                    break
        state.z[i] = k
        state.counts[k] += 1


@njit_lean
def update_rest(
    rng: np.random.Generator, state: State, swap: bool, slice_atoms: bool, weights: int
) -> int:
    """All that follows the algorithm's own update of the allocation.

    `weights` says what to redraw: 0 nothing, 1 the weights, 2 the sticks. Returns the number of
    density evaluations of the slice samplers.
    """
    evaluations = 0
    if swap:
        swap_labels(rng, state)
    if slice_atoms:
        evaluations += update_atoms(rng, state)
    return evaluations + update_given_atoms(rng, state, weights)


@njit_lean
def update_given_atoms(rng: np.random.Generator, state: State, weights: int) -> int:
    """What follows the atoms of occupied slots; see `update_rest`."""
    evaluations = 0
    if len(state.hyper) > 0:
        evaluations += update_hyperparameters(rng, state)
    redraw_empty(rng, state)
    if len(state.theta) > 0:
        evaluations += update_concentration(rng, state)
    if weights > 0:
        update_weights(rng, state, weights == 2)
    return evaluations
