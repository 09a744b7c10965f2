"""Iterations over many items, in threads: what is independent given the rest, side by side.

Every item brings its own uniform number, and every cluster a generator seeded from the chain's, so
that draws do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pymc_dpsteps.jit import njit
from pymc_dpsteps.steps.label_swaps import swap_labels
from pymc_dpsteps.steps.state import State, chain_at
from pymc_dpsteps.steps.updates import group, update_given_atoms, update_row
from pymc_dpsteps.threads import in_threads

__all__ = ["over_items", "update_rest_in_threads"]

_CHUNK = 16_384


def over_items(assign: Callable[[int, int], None], state: State, threads: int) -> None:
    """Call ``assign(first, last)`` for chunks of all items."""
    n_items = len(state.z)
    in_threads(
        lambda first: assign(first, min(first + _CHUNK, n_items)),
        range(0, n_items, _CHUNK),
        threads,
    )


@njit
def swap_of_chain(chain: int) -> None:
    """Swap labels."""
    rng, state = chain_at(chain)
    swap_labels(rng, state)


@njit
def update_of_chain(chain: int, weights: int) -> int:
    """Update what follows the atoms of occupied slots."""
    rng, state = chain_at(chain)
    return update_given_atoms(rng, state, weights)


def update_rest_in_threads(
    chain: int,
    rng: np.random.Generator,
    state: State,
    swap: bool,
    slice_atoms: bool,
    weights: int,
    threads: int,
) -> int:
    """What `update_rest` does, the atoms of clusters side by side."""
    evaluations = 0
    if swap:
        swap_of_chain(chain)
    if slice_atoms:
        evaluations += _update_atoms(rng, state, threads)
    return evaluations + int(update_of_chain(chain, weights))


def _update_atoms(rng: np.random.Generator, state: State, threads: int) -> int:
    """Atoms of occupied slots given their items, the largest clusters first."""
    group(state)
    occupied = state.active[: state.n_active[0]]
    occupied = occupied[np.argsort(-state.counts[occupied], kind="stable")]
    seeds = rng.integers(2**63, size=len(occupied))

    def update(j: int) -> tuple[int, np.ndarray]:
        own = state._replace(
            scratch=np.empty_like(state.scratch),
            moves=np.zeros_like(state.moves),
            stats=np.empty_like(state.stats[-1:]),
            datum=np.empty_like(state.datum),
        )
        k = occupied[j]
        members = state.members[state.starts[k] : state.starts[k + 1]]
        return update_row(np.random.default_rng(seeds[j]), k, members, own), own.moves

    evaluations, moves = zip(*in_threads(update, range(len(occupied)), threads), strict=True)
    state.moves[:] = np.sum(moves, axis=0)
    return sum(evaluations)
