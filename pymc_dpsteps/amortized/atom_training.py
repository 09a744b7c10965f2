"""What a network that draws partitions with atoms is trained on.

Options are learnt as in `allocation_training`: at every place of a random order, from the
probability of each given all other items of a simulated partition and the atoms of their clusters,
the item's own being integrated out where it is alone. Its mean given what is known at the place is
the posterior's own probability. Where an item opens a cluster, the flow learns from the atoms that
the data were made with, which given what is known there are a draw from their posterior.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pymc_dpsteps.amortized.allocation import Encoded, placed_before, rows_at
from pymc_dpsteps.amortized.allocation_training import (
    AllocationBatch,
    choose_places,
    in_random_order,
    loss_of_options,
)
from pymc_dpsteps.amortized.atom_network import AtomNetwork, mixed
from pymc_dpsteps.amortized.atom_target import AtomTarget, cluster_odds
from pymc_dpsteps.amortized.atom_walks import walk_with_atoms
from pymc_dpsteps.amortized.learner import MOST_ODDS
from pymc_dpsteps.amortized.network import Inputs
from pymc_dpsteps.amortized.schedule import Schedule
from pymc_dpsteps.amortized.simulate import DataSets

__all__ = ["AtomBatch", "atom_batch", "atom_loss", "log_q_with_atoms"]

_SCALES = ("mean", "sd", "seen")
_OPENINGS = 4  # clusters that are looked at, a data set


class AtomBatch(NamedTuple):
    """Data sets along orders with the atoms of their clusters, and places of these.

    Attributes
    ----------
    allocation : AllocationBatch
    atoms : Tensor, shape (batch, clusters, Q)
        In units of the prior, by the order in which clusters are opened.
    linked : Tensor, shape (batch, clusters, n)
        Log odds of items to be in the clusters.
    opening : Tensor of int, shape (batch, T)
        Places where clusters are opened.
    seen, x, log_scale, log_g0 : Tensor, shapes (batch, T, …)
        There; see `AtomNetwork.log_r`.
    weight : Tensor, shape (batch, T)
        Of each of these; on average Σ weight · loss is the loss of all clusters of a data set.
    """

    allocation: AllocationBatch
    atoms: Tensor
    linked: Tensor
    opening: Tensor
    seen: Tensor
    x: Tensor
    log_scale: Tensor
    log_g0: Tensor
    weight: Tensor


def atom_batch(
    simulated: DataSets,
    values: NDArray[np.float64],
    target: AtomTarget,
    inputs: Callable[[NDArray[np.float64]], Inputs],
    schedule: Schedule,
    rng: np.random.Generator,
) -> AtomBatch:
    """Choose data sets and places of random orders.

    Parameters
    ----------
    simulated : DataSets
        More than a batch, all of one size.
    values : numpy.ndarray of float64, shape (data set, K, Q)
        Their atoms in value space.
    target : AtomTarget
        Under the settings that they were drawn with.
    inputs : callable
        `Learner.inputs` with these.
    schedule : Schedule
    rng : numpy.random.Generator
    """
    items, options, labels = in_random_order(simulated, rng)
    opened = np.cumsum(options == 0, axis=1)
    fit = np.zeros((len(items), target.n_components + 1, items.shape[1]))
    values, log_new = values.copy(), np.empty(options.shape)
    for s, (rows, number) in enumerate(zip(items, opened[:, -1], strict=True)):
        values[s, :number] = values[s, labels[s, options[s] == 0]]
        fit[s, 1 : number + 1] = target.log_kernel(rows, values[s, :number])
        log_new[s] = target.log_marginal(rows)
    log_weights = np.empty((*options.shape, target.n_components + 1))
    wanted = np.empty_like(log_weights)
    walk_with_atoms(options, log_new, fit, target.code, log_weights, wanted)
    allocation, chosen, weight = choose_places(
        items, options, log_weights, wanted, inputs, schedule, rng
    )
    most, row = opened[chosen, -1].max(), np.arange(len(chosen))[:, None]
    number = (rng.random((len(chosen), _OPENINGS)) * opened[chosen, -1:]).astype(np.int64)
    opening = (opened[chosen][:, None] <= number[..., None]).sum(2)
    alone = [target.alone(items[s]) for s in chosen]
    mean, sd, seen = (np.stack([getattr(a, x) for a in alone])[row, opening] for x in _SCALES)
    values = values[chosen]
    of_opening = values[row, number]
    odds = cluster_odds(fit[chosen, 1 : most + 1], log_new[chosen, None])
    arrays = (
        target.standardise(values[:, :most]),
        np.where(np.arange(most)[:, None] < opened[chosen, -1:, None], odds, 0.0).clip(
            -MOST_ODDS, MOST_ODDS
        ),
        seen,
        (of_opening - mean) / sd,
        np.log(sd).sum(2),
        target.log_base(of_opening.reshape(-1, target.n_values)).reshape(number.shape),
        np.repeat(weight[:, None] * opened[chosen, -1:] / _OPENINGS, _OPENINGS, axis=1),
    )
    atoms, linked, *rest = (torch.from_numpy(x).float() for x in arrays)
    return AtomBatch(allocation, atoms, linked, torch.from_numpy(opening), *rest)


def atom_loss(network: Any, batch: AtomBatch) -> Tensor:
    """Nats a data set by which q is worse than what is known without learning.

    Of options as in `allocation_loss`; of atoms by the density that r has before it is trained.
    """
    allocation, n_places = batch.allocation, batch.allocation.place.shape[1]
    log_q, new = log_q_with_atoms(
        network,
        network.encode(*allocation.inputs),
        allocation.options,
        allocation.log_weights,
        torch.cat([allocation.place, batch.opening], dim=1),
        batch.atoms,
        batch.linked,
    )
    x, log_scale, log_g0 = batch.x, batch.log_scale, batch.log_g0
    log_r = network.log_r(new[:, n_places:], batch.seen, x, log_scale, log_g0)
    untrained = -0.5 * (x**2 + log(2.0 * pi)).sum(-1)
    gain = log_r - mixed(untrained - log_scale, log_g0)
    return loss_of_options(log_q[:, :n_places], allocation) - (gain * batch.weight).sum(1).mean()


def log_q_with_atoms(
    network: AtomNetwork,
    encoded: Encoded,
    options: Tensor,
    log_weights: Tensor,
    place: Tensor,
    atoms: Tensor,
    linked: Tensor,
) -> tuple[Tensor, Tensor]:
    """Log q of all options on the way along given ones and atoms, at some places of the order.

    Parameters
    ----------
    network : AtomNetwork
    encoded, options, log_weights, place
        See `log_q_all`.
    atoms, linked
        See `AtomBatch`.

    Returns
    -------
    log_q, new : Tensor
        See `AllocationNetwork.forward`.
    """
    share, counts, after = placed_before(options, place)
    means = torch.einsum("btkn,bnd->btkd", share, network.member(encoded.rows[:, 1:]))
    means = means + network.atom(atoms).unsqueeze(1)
    linked = linked.unsqueeze(1).expand(-1, place.shape[1], -1, -1)
    weights = rows_at(log_weights[..., : 1 + counts.shape[2]], place)
    log_q, new = network(encoded, place, after, means, linked, counts, weights)
    return log_q, new
