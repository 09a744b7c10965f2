"""What the network that draws partitions is trained on.

At every place of a random order the network should give each option its posterior probability
given the items placed so far and all data. The probability given all other items of a partition
drawn from the posterior (the one that the data were made with) has that as its mean, and is what
the network is fitted to by cross-entropy. Most places are clear: data sets and places are drawn
where these probabilities differ from those without masked items, and weighted back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pymc_dpsteps.amortized.allocation import log_q_all
from pymc_dpsteps.amortized.network import Inputs
from pymc_dpsteps.amortized.schedule import Schedule
from pymc_dpsteps.amortized.simulate import DataSets
from pymc_dpsteps.amortized.target import Target
from pymc_dpsteps.amortized.walks import options_along, walk_partition

__all__ = [
    "AllocationBatch",
    "allocation_batch",
    "allocation_loss",
    "choose_places",
    "in_random_order",
    "loss_of_options",
]

_CLEAR = 0.02  # added to the difference by which places are drawn: none is never drawn


class AllocationBatch(NamedTuple):
    """Data sets along orders, and places of these.

    Attributes
    ----------
    inputs : tuple of Tensor
        Of `AllocationNetwork.encode`.
    options, place : Tensor of int, shapes (batch, n) and (batch, T)
    log_weights : Tensor, shape (batch, n, 1 + K)
    wanted : Tensor, shape (batch, T, 1 + K)
        Probabilities of the options given all other items.
    weight : Tensor, shape (batch, T)
        Of each place; on average Σ weight · loss is the loss summed over all places of a data set.
    """

    inputs: Inputs
    options: Tensor
    place: Tensor
    log_weights: Tensor
    wanted: Tensor
    weight: Tensor


def allocation_batch(
    simulated: DataSets,
    target: Target,
    inputs: Callable[[NDArray[np.float64]], Inputs],
    schedule: Schedule,
    rng: np.random.Generator,
) -> AllocationBatch:
    """Choose data sets and places of random orders.

    Parameters
    ----------
    simulated : DataSets
        More than a batch, all of one size.
    target : Target
        Under the settings that they were drawn with.
    inputs : callable
        `Learner.inputs` with these.
    schedule : Schedule
    rng : numpy.random.Generator
    """
    items, options, _ = in_random_order(simulated, rng)
    log_weights = np.empty((*options.shape, target.n_components + 1))
    wanted = np.empty_like(log_weights)
    walk_partition(options, items, target.walks(len(items)), target.code, log_weights, wanted)
    return choose_places(items, options, log_weights, wanted, inputs, schedule, rng)[0]


def in_random_order(
    simulated: DataSets, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Items (data set, n, P), options and labels (data set, n) along a random order of each."""
    labels = simulated.labels
    order = rng.permuted(np.broadcast_to(np.arange(labels.shape[1]), labels.shape), axis=1)
    items = np.take_along_axis(simulated.items, order[..., None], axis=1).copy()
    labels = np.take_along_axis(labels, order, axis=1)
    return items, options_along(labels), labels


def choose_places(
    items: NDArray[np.float64],
    options: NDArray[np.int64],
    log_weights: NDArray[np.float64],
    wanted: NDArray[np.float64],
    inputs: Callable[[NDArray[np.float64]], Inputs],
    schedule: Schedule,
    rng: np.random.Generator,
) -> tuple[AllocationBatch, NDArray[np.int64], NDArray[np.float64]]:
    """Choose data sets and places of their orders where there is something to learn.

    Parameters
    ----------
    items, options
        See `in_random_order`.
    log_weights, wanted : numpy.ndarray of float64, shape (data set, n, K + 1)
        Of options without masked items, and their probabilities given all other items.
    inputs, schedule, rng
        See `allocation_batch`.

    Returns
    -------
    batch : AllocationBatch
    chosen : numpy.ndarray of int64, shape (batch,)
        The data sets.
    weight : numpy.ndarray of float64, shape (batch,)
        Of each, as if all were equally probable.
    """
    now = np.exp(log_weights - np.logaddexp.reduce(log_weights, axis=2, keepdims=True))
    unclear = np.abs(now - wanted).sum(2) + _CLEAR
    n = options.shape[1]

    p_set = unclear.sum(1) / unclear.sum()
    chosen = rng.choice(len(p_set), schedule.batch, p=p_set)
    p_place = unclear[chosen] / unclear[chosen].sum(1, keepdims=True)
    uniform = rng.random((schedule.batch, min(schedule.places, n), 1))
    place = (uniform > np.cumsum(p_place, axis=1)[:, None]).sum(2).clip(max=n - 1)
    weight = 1.0 / (p_set[chosen] * len(p_set))
    p = np.take_along_axis(p_place, place, axis=1)
    wanted = np.take_along_axis(wanted[chosen], place[..., None], axis=1)
    batch = AllocationBatch(
        inputs=inputs(np.ascontiguousarray(items[chosen])),
        options=torch.from_numpy(options[chosen]),
        place=torch.from_numpy(place),
        log_weights=torch.from_numpy(log_weights[chosen]).float(),
        wanted=torch.from_numpy(wanted).float(),
        weight=torch.from_numpy(weight[:, None] / (p * place.shape[1])).float(),
    )
    return batch, chosen, weight


def allocation_loss(network: Any, batch: AllocationBatch) -> Tensor:
    """Nats a data set by which q is worse than the exact predictive density.

    Negative where the network has learnt something; that of a perfect one is the same less its
    Kullback–Leibler divergence from the posterior.
    """
    encoded = network.encode(*batch.inputs)
    log_q = log_q_all(network, encoded, batch.options, batch.log_weights, batch.place)
    return loss_of_options(log_q, batch)


def loss_of_options(log_q: Tensor, batch: AllocationBatch) -> Tensor:
    """See `allocation_loss`; log q of shape (batch, T, 1 + clusters)."""
    n_options = log_q.shape[2]
    index = batch.place.unsqueeze(-1).expand(-1, -1, n_options)
    base = torch.gather(batch.log_weights[..., :n_options].log_softmax(-1), 1, index)
    wanted = batch.wanted[..., :n_options]
    gain = (wanted * (log_q - base).masked_fill(wanted == 0.0, 0.0)).sum(-1)
    return -(gain * batch.weight).sum(1).mean()
