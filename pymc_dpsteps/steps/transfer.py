"""Transfers: a cluster's weight and atoms change, and another's with them, labels summed out.

Of many items, a cluster within or across large ones may have any of a wide range of sizes, and
atoms that go with its size. Gibbs sampling changes a size n by about √n a sweep, and a split or
merge all of it. Let s be such a cluster, b another one, and let weights π be drawn from
Dirichlet(n_k - d). With ρ = π_s / (π_s + π_b), W = π_s + π_b and R_i = Σ_k≠s,b π_k F(y_i | φ_k),

    L(ρ, φ_s, φ_b) = Π_i [R_i + W ρ F(y_i | φ_s) + W (1 - ρ) F(y_i | φ_b)]

has the labels summed out, and is as wide as the data leave it. One item of each cluster k ≠ s, b,
any with equal probability, keeps its label and is not in the product: no such cluster is emptied.
A quarter of the times s is a cluster that does not exist yet. With x = (logit ρ, φ_s, φ_b), atoms
in value space and of many coordinates some at random, a transfer is

1. A walk on L(x) g0(φ_s) g0(φ_b) (W ρ (1 - ρ))^-d, 0 where N π_s < 1 or N π_b < 1, and on
   L(0, ·, φ_b) g0(φ_b) where s does not exist.
   a. Where s does not exist, it begins with atoms from G0 and log N π_s from a uniform on
      (0, log 8); where it does, and N π_s <= 8, it ends. Accepted after Metropolis and Hastings,
      often, since so small a cluster changes L little.
   b. If s exists, ten steps of random-walk Metropolis with proposals from Normal(x, h² G(x)⁻¹).
      G is the Fisher information that some of the items give, by finite differences, and 1 / s²
      for a prior of spread s; h is random. A metric that depends on the position is that of
      Girolami, M. and Calderhead, B. (2011), Riemann manifold Langevin and Hamiltonian Monte Carlo
      methods, Journal of the Royal Statistical Society B 73, 123–214.
   c. As a.
2. New labels given x and π: every item goes to s, to b, or to the rest, where it keeps its label if
   it has one of these.

The walk leaves invariant what is left of the extended target when labels are summed out; labels
are drawn from their conditional law, both ways. So they are accepted with probability min(1, r),

    r = h(z') P(s, b | z', φ') / (h(z) P(s, b | z, φ)),
    h(z) = p(z) Γ(N - k d) / (Π_k Γ(n_k - d) Π_k≠s,b n_k),

0 where b would be empty, or s if it exists. For the Chinese restaurant process p(z) cancels the
Gamma functions but for α and d. P is about the choice of clusters. Where s begins, it is that of b,
n_b / N. Else s is chosen with probability proportional to n_s / (n_s + 10) / (1 + (4 n_s / n̄)²),
n̄ the mean size, and b ≠ s with probability

    Σ_i P(s | y_i) P(b | y_i) / Σ_i P(s | y_i) P(k ≠ s | y_i)

over some random items i, given the sizes and atoms of all clusters, or n_b / (N - n_s), each half
of the time. A broad cluster goes a long way, so that b need not be near it in the end.
"""

from __future__ import annotations

from math import exp, lgamma, log

import numpy as np

from pymc_dpsteps.exponential import exp_negative
from pymc_dpsteps.jit import njit, njit_lean
from pymc_dpsteps.steps.marginal import accept
from pymc_dpsteps.steps.occupancy import occupy, vacate
from pymc_dpsteps.steps.split_merge_labels import propose_slots, relabel
from pymc_dpsteps.steps.split_merge_moves import Scratch
from pymc_dpsteps.steps.state import State, chain_at, kernel_of
from pymc_dpsteps.steps.transfer_choice import BEGINNING, choose_slots, log_choice
from pymc_dpsteps.steps.transfer_walk import (
    TILE,
    WITNESSES,
    Work,
    holds_items,
    log_share,
    new_tile,
    new_work,
    read,
    sum_rest,
    walk,
)
from pymc_dpsteps.steps.updates import copy_row, pick, prepare

__all__ = ["transfer_step"]

_CERTAIN = 1e8  # log R of an item that keeps its label; no log density is as large


@njit_lean
def draw_coordinates(rng: np.random.Generator, work: Work) -> None:
    """Draw which coordinates change: of Q, each `len(moved)` are as likely (Vitter's reservoir)."""
    n = len(work.moved)
    for q in range(n, len(work.spread)):
        place = int(rng.random() * (q + 1))
        if place < n:
            work.moved[place] = q


# Labels ------------------------------------------------------------------------------------------


@njit
def draw_labels(
    rng: np.random.Generator,
    slots: tuple[int, int],
    rows: tuple[int, int],
    logit: float,
    log_total: float,
    state: State,
    work: Work,
    scratch: Scratch,
) -> None:
    """Write new labels to `scratch.members`, and their numbers to `scratch.sizes`."""
    z, labels, sizes = state.z, scratch.members, scratch.sizes
    tile = new_tile()
    first, second, largest = tile.first, tile.second, tile.largest
    sizes[:] = 0
    for start in range(0, len(z), TILE):
        m = min(TILE, len(z) - start)
        read(start, m, rows, logit, log_total, state, work, tile)
        for p in range(m):
            first[p] = exp_negative(first[p] - largest[p])
            second[p] = first[p] + exp_negative(second[p] - largest[p])
            rest = exp_negative(work.rest[start + p] - largest[p])
            largest[p] = second[p] + rest  # the sum of all
        for p in range(m):
            i = start + p
            u = rng.random() * largest[p]
            if u < first[p]:
                label = slots[0]
            elif u < second[p]:
                label = slots[1]
            elif z[i] == slots[0] or z[i] == slots[1]:
                label = draw_other(rng, i, slots, state, work)
            else:
                label = z[i]
            labels[i] = label
            sizes[label] += 1


@njit_lean
def draw_other(
    rng: np.random.Generator, i: int, slots: tuple[int, int], state: State, work: Work
) -> int:
    """Draw the cluster of an item among those in neither slot."""
    n = 0
    for a in range(state.n_active[0]):
        k = state.active[a]
        if k != slots[0] and k != slots[1]:
            state.candidates[n], state.prior[n] = k, exp(work.log_weights[k])
            n += 1
    kernel_of(state)(
        i, state.candidates, n, state.items, state.columns, state.shared, state.log_density
    )
    return state.candidates[pick(rng, state.log_density, state.prior, n)]


@njit_lean
def keep_labels(
    rng: np.random.Generator,
    slots: tuple[int, int],
    state: State,
    work: Work,
    scratch: Scratch,
) -> None:
    """Let one item of each cluster of the rest, any with equal probability, keep its label."""
    place = scratch.sizes
    for a in range(state.n_active[0]):
        k = state.active[a]
        kept = k != slots[0] and k != slots[1]
        place[k] = int(rng.random() * state.counts[k]) if kept else -1
    for i in range(len(state.z)):
        k = state.z[i]
        if place[k] == 0:
            work.rest[i] = _CERTAIN
        place[k] -= 1


@njit_lean
def log_hidden(slots: tuple[int, int], sizes: np.ndarray, discount: float) -> float:
    """Log of Π Γ(n_k - d) / Γ(N - k d), and of n_k of the rest."""
    result = total = 0.0
    for k in range(len(sizes)):
        if sizes[k] > 0:
            total += sizes[k] - discount
            result += lgamma(sizes[k] - discount)
            if k != slots[0] and k != slots[1]:
                result += log(sizes[k])
    return result - lgamma(total)


@njit_lean
def draw_weights(rng: np.random.Generator, discount: float, state: State, work: Work) -> None:
    """Draw the weights of occupied slots, in units of an item."""
    log_weights, n_active, total = work.log_weights, state.n_active[0], 0.0
    for a in range(n_active):
        k = state.active[a]
        weight = rng.standard_gamma(state.counts[k] - discount)
        total += weight
        log_weights[k] = log(weight)
    for a in range(n_active):
        log_weights[state.active[a]] += log(len(state.z) / total)


@njit
def transfer(
    rng: np.random.Generator,
    spread: np.ndarray,
    discount: float,
    sticks: bool,
    state: State,
    scratch: Scratch,
) -> bool:
    """One transfer, with rows of the pool as scratch. Returns whether it was accepted."""
    counts, n_active, at = state.counts, state.n_active[0], len(state.counts)
    begins = rng.random() < BEGINNING
    if n_active == len(counts) if begins else n_active == 1:
        return False
    work = new_work(len(counts), len(state.z), spread)
    for p in range(WITNESSES):
        work.witnesses[p] = int(rng.random() * len(state.z))
    draw_coordinates(rng, work)
    slots, rows = choose_slots(rng, begins, state, work), (at, at + 1)
    log_r = log_hidden(slots, counts, discount)
    log_r -= log_choice(begins, slots, slots, counts, state, work)
    draw_weights(rng, discount, state, work)
    first, log_total = work.log_weights[slots[0]], work.log_weights[slots[1]]
    logit = first - log_total
    log_total -= log_share(-logit)
    if not holds_items(logit, log_total):
        return False
    sum_rest(slots, state, work)
    keep_labels(rng, slots, state, work, scratch)
    for s in range(2):
        copy_row(state, slots[s], rows[s])
    logit = walk(rng, at, logit, log_total, discount, state, work)
    ends = logit == -np.inf
    if begins and ends:
        return False
    draw_labels(rng, slots, rows, logit, log_total, state, work, scratch)
    if (scratch.sizes[slots[0]] == 0) != ends or scratch.sizes[slots[1]] == 0:
        return False
    log_r += log_choice(ends, slots, rows, scratch.sizes, state, work)
    log_r -= log_hidden(slots, scratch.sizes, discount)
    sizes = scratch.sizes.copy()
    log_r += propose_slots(rng, sticks, state, scratch)
    if not accept(rng, log_r, 0.0):
        return False
    state.z[:] = scratch.members[: len(state.z)]
    counts[:] = sizes
    for s in range(2):
        copy_row(state, rows[s], slots[s])
    if begins:
        occupy(state, slots[0])
    elif ends:
        vacate(state, slots[0])
    if sticks:
        relabel(state, scratch.partner)
    return True


@njit
def transfer_step(
    chain: int, scratch: Scratch, spread: np.ndarray, transfers: int, crp: bool, sticks: bool
) -> tuple[int, int, int]:
    """Make transfers; returns how many were accepted, and how many clusters began and ended."""
    rng, state = chain_at(chain)
    prepare(state)
    discount = state.parameters[0, 1] if crp else 0.0
    accepted = births = deaths = 0
    for _ in range(transfers):
        before = state.n_active[0]
        accepted += transfer(rng, spread, discount, sticks, state, scratch)
        births += state.n_active[0] > before
        deaths += state.n_active[0] < before
    return accepted, births, deaths
