"""The orders in which items are unmasked.

Weights p(y, c) / q(c | σ, y) are exact for any order σ that is chosen without looking at c, and
depend much on which it is. Since

    KL(q(· | σ, y) ‖ p(· | y)) = log p(y) - E_q [log p(y, c) - log q(c | σ, y)],

orders along which the mean log weight is large have proposals close to the posterior. A few draws
along each of several random orders tell. The divergence forgives a proposal that leaves out a part
of the posterior. So not one order is taken but the better ones of several, and every draw moves one
item of its order, which costs little. That also makes weights differ between draws of the same
partition: tails with ties have no shape that k̂ could tell. Few items have few partitions, and
proposals close to their posterior along any order: there orders are random.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from pymc_dpsteps.amortized.paths import Paths, draw_allocations

__all__ = ["choose_orders", "spread"]

_DRAWS = 16  # along every order
_PART = 4  # one draw in so many, of those that are wanted, is spent on orders
_MOST = 64  # orders
_TAKEN = 4  # one order in so many
_FEW = 16  # items, below which orders are not tried


def choose_orders(
    start: Callable[[int], Paths],
    n_items: int,
    draws: int,
    generator: torch.Generator,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Choose among random orders, the more the more draws are wanted.

    Parameters
    ----------
    start : callable
        Makes so many paths, nothing placed yet.
    n_items : int
    draws : int
        How many draws are wanted.
    generator, rng : torch.Generator, numpy.random.Generator

    Returns
    -------
    numpy.ndarray of int64, shape (orders, n)
        The best first. Where fewer than 256 draws are wanted, or of fewer than 16 items, a random
        order for each draw.
    """
    tried = min(draws // (_PART * _DRAWS), _MOST)
    if tried < _TAKEN or n_items < _FEW:
        return rng.permuted(np.tile(np.arange(n_items), (draws, 1)), axis=1)
    orders = rng.permuted(np.tile(np.arange(n_items), (tried, 1)), axis=1)
    drawn = draw_allocations(start(tried * _DRAWS), np.repeat(orders, _DRAWS, axis=0), generator)
    log_weights = (drawn.log_p - drawn.log_q).reshape(tried, _DRAWS)
    best = np.argsort(-log_weights.mean(axis=1), kind="stable")
    return orders[best[: tried // _TAKEN]]


def spread(orders: NDArray[np.int64], draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Orders of draws, shape (draws, n): one after the other, each with an item moved anywhere."""
    n_items = orders.shape[1]
    along = orders[np.arange(draws) % len(orders)]
    place = np.tile(np.arange(n_items, dtype=np.float64), (draws, 1))
    place[np.arange(draws), rng.integers(n_items, size=draws)] = rng.uniform(
        -0.5, n_items - 0.5, draws
    )
    return np.take_along_axis(along, np.argsort(place, axis=1), axis=1)
