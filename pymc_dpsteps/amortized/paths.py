"""Denoising paths of one data set, side by side: partitions that grow item by item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pymc_dpsteps.amortized.allocation import AllocationNetwork, Encoded
from pymc_dpsteps.amortized.slots import counts_of
from pymc_dpsteps.amortized.target import Seating
from pymc_dpsteps.amortized.walks import assign_items, weigh_options

__all__ = ["Draws", "Paths", "draw_allocations"]


@dataclass(frozen=True)
class Draws:
    """Partitions drawn from a network; allocations where the model's slots differ.

    Attributes
    ----------
    labels : numpy.ndarray of int64, shape (draws, n)
        Under a Chinese restaurant process numbered from 0 as clusters were opened along each
        order, otherwise the model's slots.
    log_q, log_p : numpy.ndarray of float64, shape (draws,)
        log q(c | σ, y) and log p(y, c), or those of the allocation z, see `Slots`; with atoms
        log q(c, φ | σ, y) and log p(y, c, φ).
    values : numpy.ndarray of float64, shape (draws, K, Q)
        Atoms φ of the clusters by their labels, in value space; Q is 0 where they are integrated
        out.
    """

    labels: NDArray[np.int64]
    log_q: NDArray[np.float64]
    log_p: NDArray[np.float64]
    values: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: Sequence[Draws]) -> Draws:
        """All draws one after the other."""
        return cls(
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.log_q for part in parts]),
            np.concatenate([part.log_p for part in parts]),
            np.concatenate([part.values for part in parts]),
        )

    def take(self, chosen: NDArray[np.int64]) -> Draws:
        """Some of the draws."""
        log_q, log_p = self.log_q[chosen], self.log_p[chosen]
        return Draws(self.labels[chosen], log_q, log_p, self.values[chosen])


class Paths:
    """States of the diffusion, S of them.

    Parameters
    ----------
    network : AllocationNetwork
    target : Seating
    items : numpy.ndarray of float64, shape (n, P)
    encoded : Encoded
        The data set, a batch of one.
    n_paths : int
        S.

    Attributes
    ----------
    walks : Walk or AtomWalk
        Counts, and log p(y, c) of the items placed so far.
    labels : numpy.ndarray of int64, shape (S, n)
        Clusters as they were opened, from 0 on; 0 for masked items too.
    log_q : numpy.ndarray of float64, shape (S,)
    """

    @torch.no_grad()
    def __init__(
        self,
        network: AllocationNetwork,
        target: Seating,
        items: NDArray[np.float64],
        encoded: Encoded,
        n_paths: int,
    ) -> None:
        self._network, self._items, self._encoded = network, items, encoded
        self._code, self._slots = target.code, target.slots
        self._members = network.member(encoded.rows[0, 1:])
        n, n_slots = len(items), target.n_components
        like = self._members
        self._sums = like.new_zeros(n_paths, n_slots, like.shape[1])
        self._linked = like.new_zeros(n_paths, n_slots, n)
        self._masked = torch.ones(n_paths, n, dtype=torch.bool, device=like.device)
        self._log_weights = np.empty((n_paths, n_slots + 1))
        self._number = torch.arange(n_paths, device=like.device)
        self.walks = target.walks(n_paths)
        self.labels = np.zeros((n_paths, n), dtype=np.int64)
        self.log_q = np.zeros(n_paths)

    def weigh(self, chosen: NDArray[np.int64]) -> None:
        """Weigh the options of an item of every path, before one is taken."""
        weigh_options(chosen, self._items, self.walks, self._code, self._log_weights)

    def options(self, chosen: NDArray[np.int64]) -> Tensor:
        """Log q of the options of an item of every path, shape (S, 1 + clusters)."""
        self.weigh(chosen)
        most = int(self.walks.clusters.max())
        item = self._index(chosen)
        masked = self._masked.clone()
        masked[self._number, item] = False
        counts = torch.from_numpy(self.walks.counts[:, 1 : most + 1]).to(self._sums)
        means, linked = self._summaries(counts)
        log_q: Tensor
        log_q, self._new = self._network(
            self._encoded,
            item[None],
            masked[None],
            means[None],
            linked[None],
            counts[None],
            torch.from_numpy(self._log_weights[None, :, : most + 1]).to(self._sums),
        )
        return log_q[0]

    def _summaries(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """What the network sees of clusters; their numbers of items are counts (S, clusters)."""
        shares, most = 1.0 / counts.clamp(min=1).unsqueeze(-1), counts.shape[1]
        return self._sums[:, :most] * shares, self._linked[:, :most] * shares

    def take(
        self, chosen: NDArray[np.int64], option: NDArray[np.int64], log_q: NDArray[np.float64]
    ) -> None:
        """Let an item of every path, whose options were weighed, take one, whose log q this is."""
        self._assign(chosen, option)
        cluster = np.where(option == 0, self.walks.clusters, option) - 1
        self.labels[np.arange(len(chosen)), chosen] = cluster
        self.log_q += log_q
        item, joined = self._index(chosen), self._index(cluster)
        self._masked[self._number, item] = False
        self._sums[self._number, joined] += self._members[item]
        self._link(item, joined)

    def _index(self, numbers: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(numbers).to(self._number)

    def _assign(self, chosen: NDArray[np.int64], option: NDArray[np.int64]) -> None:
        assign_items(chosen, option, self._log_weights, self._items, self.walks, self._code)

    def _link(self, item: Tensor, joined: Tensor) -> None:
        self._linked[self._number, joined] += self._encoded.pairs[0, item]

    def choose(self, kept: NDArray[np.int64]) -> None:
        """Go on with these paths, in the place of all."""
        self.walks = type(self.walks)(*(np.ascontiguousarray(x[kept]) for x in self.walks))
        self.labels, self.log_q = self.labels[kept], self.log_q[kept]
        self._log_weights = self._log_weights[kept]
        index = self._index(kept)
        self._sums, self._linked = self._sums[index], self._linked[index]
        self._masked = self._masked[index]

    def draws(self, generator: torch.Generator | None = None) -> Draws:
        """What was drawn, when all items are placed.

        Slots are drawn as well, where there are some; without a generator the largest clusters come
        first.
        """
        n_paths, n_slots = len(self.labels), self._log_weights.shape[1] - 1
        values = np.empty((n_paths, n_slots, 0))
        if self._slots is None:
            return Draws(self.labels, self.log_q, self.walks.log_prob, values)
        uniforms = None
        if generator is not None:
            drawn = torch.rand(
                (n_paths, n_slots),
                generator=generator,
                dtype=torch.float64,
                device=generator.device,
            )
            uniforms = drawn.cpu().numpy()
        z = self._slots.place(self.labels, uniforms)
        counts = counts_of(z, n_slots)
        log_q = self.log_q + self._slots.log_q(counts)
        return Draws(z, log_q, self.walks.log_prob + self._slots.log_change(counts), values)


@torch.no_grad()
def draw_allocations(
    paths: Paths,
    order: NDArray[np.int64],
    generator: torch.Generator,
    *,
    given: NDArray[np.int64] | None = None,
    first: int = 0,
) -> Draws:
    """Draw one allocation along every order.

    Parameters
    ----------
    paths : Paths
        As many as orders, nothing placed yet.
    order : numpy.ndarray of int64, shape (draws, n)
    generator : torch.Generator
        On the device of the network.
    given : numpy.ndarray of int64, shape (draws, n), optional
        Options to take; -1 where one is to be drawn.
    first : int, default 0
        Place from which on the network is asked. All options before must be given, and their
        probabilities are not part of log q.

    Returns
    -------
    Draws
    """
    if given is None:
        given = np.full(order.shape, -1)
    for t in range(order.shape[1]):
        chosen, wanted = (np.ascontiguousarray(x[:, t]) for x in (order, given))
        if t < first:
            paths.weigh(chosen)
            paths.take(chosen, wanted, np.zeros(len(order)))
            continue
        log_q = paths.options(chosen)
        drawn = torch.multinomial(log_q.exp(), 1, generator=generator)[:, 0].cpu().numpy()
        option = np.where(wanted >= 0, wanted, drawn)
        paths.take(chosen, option, at(log_q, option))
    return paths.draws(generator)


def at(log_q: Tensor, option: NDArray[np.int64]) -> NDArray[np.float64]:
    """Log q of one option a row."""
    index = torch.from_numpy(option).to(log_q.device).unsqueeze(1)
    return torch.gather(log_q, 1, index)[:, 0].double().cpu().numpy()
