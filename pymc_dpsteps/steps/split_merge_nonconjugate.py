"""Split–merge proposals with the atoms in the state, for any kernel and base measure.

Jain, S. and Neal, R. M. (2007). Splitting and merging components of a nonconjugate Dirichlet
process mixture model. Bayesian Analysis 2, 445–472, section 3.

For the pair (i, j) and S, two launch states are built that do not look at the present split,
merge or atoms: one split, by random sides and t scans of the sides given the atoms and of the
atoms given the sides, and one merged, by t scans of its atoms. From the launch states a last scan
with a recorded density q proposes; where the chain is at its end already, q is that of proposing
what the chain has. A split is accepted with probability min(1, r), a merge with min(1, 1 / r),

    r = p(z_split) / p(z_merged) (K - k_merged)
        × g0(φ_i) Π_{i's side} F  g0(φ_j) Π_{j's side} F / (g0(φ) Π F)
        × q(φ | merged launch) / q(φ_i, φ_j, z_split | split launch),

all densities of atoms in value space. The paper takes q(φ | ·) to be the conditional of φ, which
needs a base measure that is conditionally conjugate. Here a scan over the coordinates of φ draws
each from a Student-t about the mode of its conditional, found by two Newton steps from the launch
value. The atoms of launch states are updated as between iterations, but any update would do: the
acceptance probability corrects the proposal given the launch states.
"""

from __future__ import annotations

from math import lgamma, log, log1p, pi, sqrt

import numpy as np

from pymc_dpsteps.jit import njit_inline, njit_lean
from pymc_dpsteps.steps.split_merge_moves import Scratch, choose_side, part, random_sides
from pymc_dpsteps.steps.state import State, derive_of, kernel_of, log_posterior_of
from pymc_dpsteps.steps.updates import update_row

__all__ = ["approximate_conditional", "log_density", "propose_by_scans", "scan_atoms"]

_DEGREES = 5.0  # of freedom: tails heavier than those of a conditional that Newton misjudges
_LOG_T = lgamma(0.5 * (_DEGREES + 1.0)) - lgamma(0.5 * _DEGREES) - 0.5 * log(_DEGREES * pi)
_NEWTON_STEPS = 2
_DIFFERENCE = 1e-3  # of the slice sampler's width


@njit_inline
def log_density(x: np.ndarray, members: np.ndarray, state: State) -> float:
    """Log g0 plus log F of the members, at atoms x in value space."""
    return log_posterior_of(state)(
        x, members, len(members), state.items, state.shared, state.scratch
    )


@njit_lean
def approximate_conditional(
    x: np.ndarray, q: int, members: np.ndarray, steps: int, state: State
) -> tuple[float, float]:
    """Centre and scale of the conditional of x[q], by Newton steps on finite differences.

    The width of the slice sampler bounds steps and scale, and gives the scale where the
    curvature is not negative. Restores x.
    """
    old, width = x[q], state.widths[q]
    h = _DIFFERENCE * width
    centre, scale = old, width / 3.0
    for _ in range(steps):
        x[q] = centre - h
        left = log_density(x, members, state)
        x[q] = centre + h
        right = log_density(x, members, state)
        x[q] = centre
        curvature = (left - 2.0 * log_density(x, members, state) + right) / h**2
        if not -np.inf < curvature < 0.0:
            break
        scale = min(1.0 / sqrt(-curvature), width)
        centre += min(max(0.5 * (left - right) / h / curvature, -width), width)
        h = min(h, 0.1 * scale)
    x[q] = old
    return centre, scale


@njit_lean
def scan_atoms(
    rng: np.random.Generator,
    row: int,
    members: np.ndarray,
    present: int,
    replay: bool,
    steps: int,
    state: State,
) -> float:
    """Last scan of the atoms of a launch row: draw them, or take those of row `present`.

    Returns the log density of the scan.
    """
    x = state.values[row]
    log_q = 0.0
    for q in range(len(x)):
        centre, scale = approximate_conditional(x, q, members, steps, state)
        x[q] = state.values[present, q] if replay else centre + scale * rng.standard_t(_DEGREES)
        distance = (x[q] - centre) / scale
        log_q += _LOG_T - log(scale) - 0.5 * (_DEGREES + 1.0) * log1p(distance**2 / _DEGREES)
    derive_of(state)(state.values, row, row + 1, state.shared, state.columns)
    return log_q


@njit_lean
def scan_sides(
    rng: np.random.Generator,
    row: int,
    n: int,
    discounts: tuple[float, float],
    replay: bool,
    state: State,
    scratch: Scratch,
) -> float:
    """Restricted Gibbs scan of S given the atoms of rows `row` (i's side) and `row + 1` (j's).

    Returns the log probability of the sides it ends at: drawn, or those of the present split.
    """
    z, members, side, out = state.z, scratch.members, scratch.side, state.log_density
    kernel = kernel_of(state)
    state.candidates[0], state.candidates[1] = row, row + 1
    first_slot = z[members[0]]
    n_first = side[:n].sum()
    log_q = 0.0
    for p in range(2, n):
        n_first -= side[p]
        k = members[p]
        kernel(k, state.candidates, 2, state.items, state.columns, state.shared, out)
        log_odds = log((n_first - discounts[0]) / (n - 1 - n_first - discounts[1]))
        log_odds += out[0] - out[1]
        side[p], log_p = choose_side(rng, log_odds, replay, int(z[k] == first_slot))
        n_first += side[p]
        log_q += log_p
    return log_q


@njit_lean
def launch(
    rng: np.random.Generator,
    row: int,
    n: int,
    t: int,
    discounts: tuple[float, float],
    state: State,
    scratch: Scratch,
) -> int:
    """Build both launch states in rows row, row + 1 (split) and row + 2 (merged), from G0.

    The atoms start given i and j alone, which costs little and sets the sides apart. Nothing here
    may depend on the present allocation of S or on present atoms. Returns the evaluations.
    """
    members, parts = scratch.members, scratch.parts
    random_sides(rng, scratch, n)
    evaluations = update_row(rng, row, members[:1], state)
    evaluations += update_row(rng, row + 1, members[1:2], state)
    evaluations += update_row(rng, row + 2, members[:2], state)
    for _ in range(t):
        scan_sides(rng, row, n, discounts, False, state, scratch)
        n_first = part(scratch, n)
        evaluations += update_row(rng, row, parts[:n_first], state)
        evaluations += update_row(rng, row + 1, parts[n_first:n], state)
        evaluations += update_row(rng, row + 2, members[:n], state)
    return evaluations


@njit_lean
def propose_by_scans(
    rng: np.random.Generator,
    row: int,
    n: int,
    slots: tuple[int, int],
    t: int,
    discounts: tuple[float, float],
    replay: bool,
    state: State,
    scratch: Scratch,
) -> tuple[float, float, int]:
    """Propose to split the members, or with `replay` to merge them.

    Leaves the sides in `scratch` and the atoms of i's side, of j's and of both in rows row,
    row + 1 and row + 2. Returns log density less log q of the split state and of the merged one,
    and the density evaluations.
    """
    members, parts, values = scratch.members, scratch.parts, state.values
    evaluations = launch(rng, row, n, t, discounts, state, scratch)
    n_first = part(scratch, n)
    log_split = -scan_atoms(rng, row, parts[:n_first], slots[0], replay, _NEWTON_STEPS, state)
    log_split -= scan_atoms(rng, row + 1, parts[n_first:n], slots[1], replay, _NEWTON_STEPS, state)
    log_split -= scan_sides(rng, row, n, discounts, replay, state, scratch)
    log_merged = -scan_atoms(rng, row + 2, members[:n], slots[1], not replay, _NEWTON_STEPS, state)
    n_first = part(scratch, n)
    log_split += log_density(values[row], parts[:n_first], state)
    log_split += log_density(values[row + 1], parts[n_first:n], state)
    log_merged += log_density(values[row + 2], members[:n], state)
    return log_split, log_merged, evaluations
