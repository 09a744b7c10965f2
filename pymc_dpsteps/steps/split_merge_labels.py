"""Labels of the clusters of a proposed split or merge, and what the prior makes of it.

Where slots are exchangeable, i's side of a split goes into a uniformly chosen empty slot, and all
else stays where it is. Under sticks, which put large clusters into early slots, that would fail: a
small cluster before large ones, or the slot of a large one left empty, is improbable however good
the partition is. There a proposal gives all clusters new slots, drawn in order: where n items in r
clusters have none yet, slot k takes cluster c with probability proportional to n_c - d and stays
empty with b_k + (r - 1) d, where its stick is Beta(a_k, b_k) and d = 1 - a_k, or 0 if that is
negative. For a Dirichlet or Pitman–Yor process without truncation that is the distribution of the
labels given the partition (Pitman 1996, Some developments of the Blackwell–MacQueen urn scheme), so
that labels take no part in the acceptance of a partition.
"""

from math import log

import numpy as np

from pymc_dpsteps.jit import njit_lean
from pymc_dpsteps.steps.label_swaps import follow_labels, keep_labels, trade
from pymc_dpsteps.steps.split_merge_moves import Scratch
from pymc_dpsteps.steps.state import State, log_prob_of

__all__ = ["draw_slots", "log_slots", "propose_slots", "relabel"]


@njit_lean
def slot_weights(k: int, counts: np.ndarray, parameters: np.ndarray) -> tuple[float, float, float]:
    """Discount d, and the weights for slot k of all that are in k and later slots, and of none."""
    items = clusters = 0
    for l in range(k, len(counts)):
        items += counts[l]
        clusters += counts[l] > 0
    if clusters == 0 or clusters == len(counts) - k:
        return 0.0, float(items), 0.0
    discount = max(1.0 - parameters[k, 0], 0.0)
    return discount, items - clusters * discount, parameters[k, 1] + (clusters - 1) * discount


@njit_lean
def draw_slots(
    rng: np.random.Generator, counts: np.ndarray, parameters: np.ndarray, partner: np.ndarray
) -> None:
    """Draw new slots: one after the other trades contents with its partner, itself or a later one.

    Changes `counts`, and writes `partner`.
    """
    for k in range(len(counts)):
        partner[k] = k
        discount, some, none = slot_weights(k, counts, parameters)
        u = rng.random() * (some + none)
        empty = u >= some
        for l in range(k, len(counts)):
            if (counts[l] == 0) == empty:
                partner[k] = l
                u -= counts[l] - discount
                if empty or u < 0.0:
                    break
        l = partner[k]
        counts[k], counts[l] = counts[l], counts[k]


@njit_lean
def log_slots(counts: np.ndarray, n_active: int, sticks: bool, parameters: np.ndarray) -> float:
    """Log probability of the slots given the partition: of `draw_slots`, or of a uniform choice."""
    result = 0.0
    if sticks:
        for k in range(len(counts)):
            discount, some, none = slot_weights(k, counts, parameters)
            if some > 0.0:
                result += log((counts[k] - discount if counts[k] > 0 else none) / (some + none))
    else:
        for l in range(n_active):
            result -= log(len(counts) - l)
    return result


@njit_lean
def propose_slots(rng: np.random.Generator, sticks: bool, state: State, scratch: Scratch) -> float:
    """Log of p(z) over the probability of its slots, of a proposed state less the present one.

    `scratch.sizes` holds the items of each slot in the proposed state. Under sticks it gets other
    slots, and the trades that lead there are left in `scratch`.
    """
    counts, sizes, parameters = state.counts, scratch.sizes, state.parameters
    log_prob = log_prob_of(state)
    present = log_prob(counts, state.n_active[0], parameters)
    present -= log_slots(counts, state.n_active[0], sticks, parameters)
    n_active = 0
    for k in range(len(sizes)):
        n_active += sizes[k] > 0
    if sticks:
        draw_slots(rng, sizes, parameters, scratch.partner)
    proposed = log_prob(sizes, n_active, parameters)
    proposed -= log_slots(sizes, n_active, sticks, parameters)
    return proposed - present


@njit_lean
def relabel(state: State, partner: np.ndarray) -> None:
    """Make the trades that `draw_slots` drew."""
    keep_labels(state)
    for k in range(len(partner)):
        if partner[k] != k:
            trade(state, k, partner[k])
    follow_labels(state)
