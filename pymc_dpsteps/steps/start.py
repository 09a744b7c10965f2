"""Dispersed starts of chains: a partition, and atoms from G0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pymc_dpsteps.steps.occupancy import count
from pymc_dpsteps.steps.state import State, weights_of_point
from pymc_dpsteps.steps.updates import (
    draw_allocation,
    fill_pool,
    prepare,
    share_hyperparameters,
)

__all__ = ["spread_of_base", "start_at"]


def spread_of_base(rng: np.random.Generator, state: State) -> NDArray[np.float64]:
    """Interquartile range of draws from G0, by coordinate of the atoms, and leave the draws.

    Returns
    -------
    numpy.ndarray of float64, shape (Q,)
        1 where it is not positive, or the draws are too few.
    """
    share_hyperparameters(state)
    fill_pool(rng, state)
    pool = state.values[len(state.counts) :]
    spread = np.subtract(*np.percentile(pool, [75, 25], axis=0)) if len(pool) > 3 else 0.0
    return np.where(np.asarray(spread) > 0.0, spread, np.ones(pool.shape[1]))


def start_at(rng: np.random.Generator, state: State, init: str, *, integrated: bool) -> None:
    """Start at a partition, with the draws from G0 that the pool holds as atoms.

    Parameters
    ----------
    rng : numpy.random.Generator
    state : State
        With draws from G0 in its pool; changed in place.
    init : {"prior", "one", "singletons"}
        See `MixtureStep`.
    integrated : bool
        Whether there is an urn to draw the partition from; else it is drawn given the weights.
    """
    n_items, n_slots = len(state.z), len(state.counts)
    state.values[:n_slots] = state.values[n_slots : 2 * n_slots]
    prepare(state)
    if init == "one":
        state.z[:] = 0
    elif init == "singletons":
        state.z[:] = rng.permutation(np.arange(n_items) % n_slots)
    elif integrated:
        draw_allocation(rng, state)
    else:
        weights_of_point(state)
        state.z[:] = rng.choice(n_slots, n_items, p=state.weights / state.weights.sum())
    count(state)
