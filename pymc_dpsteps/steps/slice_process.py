"""The Chinese restaurant process in the slice sampler: the infinite process, revealed as needed.

In the Chinese restaurant process the weights are infinitely many, and revealed as slices need
them. With T ~ Gamma(n + alpha) independent, the posterior process given a partition is T times

- jumps J_j ~ Gamma(n_j - d) at the atoms of its k clusters (Pitman 1996, Corollary 20), and
- a Poisson process of jumps with atoms from G0 and intensity c s^(-1-d) e^(-s) ds, where
  c = a d / Γ(1 - d) with a ~ Gamma((alpha + d k) / d), or c = alpha for d = 0 (Pitman and Yor
  1997, Proposition 21).

T cancels in u_i / T. So no stick is ever broken, and all jumps above any level are found in
decreasing order, exactly. As given the process the items are independent, forbidding a further
cluster when K are occupied is Gibbs sampling of the process restricted to K clusters.

Pitman, J. (1996). Some developments of the Blackwell–MacQueen urn scheme. Pitman, J. and Yor, M.
(1997). The two-parameter Poisson–Dirichlet distribution derived from a stable subordinator. Annals
of Probability 25, 855–900. Rosiński, J. (2001). Series representations of Lévy processes from the
perspective of point processes. In Lévy Processes, Birkhäuser, 401–415.
"""

from __future__ import annotations

from math import exp, gamma, log
from typing import NamedTuple

import numpy as np

from pymc_dpsteps.jit import njit, njit_lean
from pymc_dpsteps.steps.occupancy import occupy, vacate
from pymc_dpsteps.steps.state import (
    State,
    chain_at,
    choose_slot_of,
    derive_of,
    draw_base_of,
    kernel_of,
)
from pymc_dpsteps.steps.updates import pick_at

__all__ = ["assign_by_process", "process_sweep", "reveal_process", "settle_process"]


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
def reveal_process(chain: int, uniforms: np.ndarray) -> Process:
    """`reveal`, for a caller in Python."""
    rng, state = chain_at(chain)
    return reveal(rng, state, uniforms)


@njit
def settle_process(chain: int, process: Process) -> tuple[int, int]:
    """`settle`, for a caller in Python."""
    rng, state = chain_at(chain)
    return settle(rng, state, process)
