"""Starts for many items: a chain on few of them, then on ever more.

The more items, the longer a chain takes to leave a poor partition: with a million, clusters that
share one group between three of them stay for good. With a thousand they do not form. So the chain
runs on a random subset of the items, which grows from time to time; new items join clusters by the
clusters' sizes and the kernel at their atoms. In the spirit of Chopin, N. (2002). A sequential
particle filter method for static models. Biometrika 89, 539–551.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pymc_dpsteps.jit import njit
from pymc_dpsteps.mixture.structure import MixtureError
from pymc_dpsteps.steps.state import State, derive_of, kernel_of
from pymc_dpsteps.steps.updates import pick

__all__ = ["FEW", "check_subsets", "start_on_subsets"]

FEW = 1_000
_GROWTH, _ITERATIONS = 4, 500


def check_subsets(atoms: str | None) -> None:
    """Refuse a step that does not update the atoms.

    Raises
    ------
    MixtureError
        If `atoms` is None.
    """
    if atoms is None:
        raise MixtureError(
            "init='subsets' lets a chain run on few of the items, but atoms=None leaves the atoms "
            "as they are. Let the step update the atoms, or take another init."
        )


def start_on_subsets(
    rng: np.random.Generator,
    state: State,
    start: Callable[[State], None],
    iterate: Callable[[State], None],
) -> None:
    """Start at a partition that a chain on growing subsets of the items has reached.

    Parameters
    ----------
    rng : numpy.random.Generator
    state : State
        Of more than `FEW` items; z and all that does not belong to single items is changed.
    start, iterate : callable
        Give a state of fewer items its start, and run an iteration on it.
    """
    n_items = len(state.z)
    order = rng.permutation(n_items)
    n = FEW
    subset = _subset(state, order[:n])
    start(subset)
    while True:
        for _ in range(_ITERATIONS):
            iterate(subset)
        last, n = subset, n * _GROWTH
        if n >= n_items:
            break
        subset = _subset(state, order[:n])
        subset.z[: len(last.z)] = last.z
        seat(rng, np.arange(len(last.z), n), subset)
    state.z[order[: len(last.z)]] = last.z
    seat(rng, order[len(last.z) :], state)


def _subset(state: State, chosen: np.ndarray) -> State:
    """The state of some of the items; atoms, weights and all else are shared with `state`.

    Observations of items that have several stay in their rows, behind those of all items.
    """
    n, items = len(chosen), state.items[chosen]
    if len(state.items) > len(state.z):
        items = np.concatenate([items, state.items[n:]])
    return state._replace(
        z=np.zeros(n, dtype=np.int64),
        items=items,
        members=np.zeros(n, dtype=np.int64),
    )


@njit
def seat(rng: np.random.Generator, newcomers: np.ndarray, state: State) -> None:
    """Let items join the clusters there are, by the counts of these and the kernel."""
    derive_of(state)(state.values, 0, len(state.counts), state.shared, state.columns)
    kernel, n = kernel_of(state), state.n_active[0]
    for a in range(n):
        state.candidates[a] = state.active[a]
        state.prior[a] = state.counts[state.active[a]]
    for i in newcomers:
        kernel(i, state.candidates, n, state.items, state.columns, state.shared, state.log_density)
        state.z[i] = state.candidates[pick(rng, state.log_density, state.prior, n)]
