"""Denoising paths of one data set with the atoms of the clusters as a part of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pymc_dpsteps.amortized.allocation import Encoded
from pymc_dpsteps.amortized.atom_network import FROM_BASE, AtomNetwork
from pymc_dpsteps.amortized.atom_target import AtomTarget, cluster_odds
from pymc_dpsteps.amortized.atom_walks import AtomWalk, assign_with_atoms, weigh_with_atoms
from pymc_dpsteps.amortized.learner import MOST_ODDS
from pymc_dpsteps.amortized.paths import Draws, Paths

__all__ = ["AtomPaths"]


class AtomPaths(Paths):
    """States of the diffusion, S of them, with atoms.

    Parameters
    ----------
    network, target, items, encoded, n_paths
        See `Paths`.
    generator : torch.Generator
        Of the flow's draws.
    rng : numpy.random.Generator
        Of the draws from G0.

    Attributes
    ----------
    known : (S, K, Q) float64 and (S,) int64
        Atoms that are given, not drawn: of the clusters in the order in which a path opens them,
        so many of each path; at first none. Their density r is a part of log q where the network
        was asked for the option of the item that opens the cluster.
    """

    known: tuple[NDArray[np.float64], NDArray[np.int64]]
    _network: AtomNetwork
    _new: Tensor | None  # state of "new" for the item at hand, once the network was asked
    walks: AtomWalk

    @torch.no_grad()
    def __init__(
        self,
        network: AtomNetwork,
        target: AtomTarget,
        items: NDArray[np.float64],
        encoded: Encoded,
        n_paths: int,
        generator: torch.Generator,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(network, target, items, encoded, n_paths)
        self._target, self._alone = target, target.alone(items)
        self._generator, self._rng = generator, rng
        self._fit = np.empty((n_paths, target.n_components + 1, len(items)))
        self._atoms = torch.zeros_like(self._sums)
        shape = (n_paths, target.n_components, target.n_values)
        self.known = np.zeros(shape), np.zeros(n_paths, dtype=np.int64)

    def weigh(self, chosen: NDArray[np.int64]) -> None:
        """Weigh the options of an item of every path, before one is taken."""
        log_new, log_weights = self._alone.log_marginal, self._log_weights
        weigh_with_atoms(chosen, log_new, self._fit, self.walks, self._code, log_weights)
        self._new = None

    def draws(self, generator: torch.Generator | None = None) -> Draws:
        """What was drawn, when all items are placed; see `Paths.draws`."""
        drawn, path = super().draws(generator), np.arange(len(self.labels))[:, None]
        values = np.zeros_like(self.walks.values[:, 1:])
        values[path, drawn.labels] = self.walks.values[path, 1 + self.labels]
        return replace(drawn, values=values)

    def choose(self, kept: NDArray[np.int64]) -> None:
        """Go on with these paths, in the place of all."""
        super().choose(kept)
        self._fit = self._fit[kept]
        self.known = self.known[0][kept], self.known[1][kept]
        self._atoms = self._atoms[self._index(kept)]

    def _summaries(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        most = counts.shape[1]
        means = self._sums[:, :most] / counts.clamp(min=1).unsqueeze(-1)
        return means + self._atoms[:, :most], self._linked[:, :most]

    def _assign(self, chosen: NDArray[np.int64], option: NDArray[np.int64]) -> None:
        target = self._target
        path = np.flatnonzero(option == 0)
        values = self._open(chosen[path], path)
        log_g0, log_f = target.log_base(values), target.log_kernel(self._items, values)
        if self._new is not None and len(path) > 0:  # PyTorch cannot reshape what has no rows
            new = self._new[0, self._index(path)]
            self.log_q[path] += self._log_r(new, chosen[path], values, log_g0)
        fit, walks = self._fit, self.walks
        assign_with_atoms(chosen, option, values, log_g0, log_f, fit, walks, self._code)
        odds = cluster_odds(log_f, self._alone.log_marginal).clip(-MOST_ODDS, MOST_ODDS)
        opened = self._index(path), self._index(walks.clusters[path] - 1)
        self._linked[opened] = torch.from_numpy(odds).to(self._linked)
        rows = torch.from_numpy(target.standardise(values)).to(self._sums)
        self._atoms[opened] = self._network.atom(rows)

    def _open(self, item: NDArray[np.int64], path: NDArray[np.int64]) -> NDArray[np.float64]:
        """Atoms of clusters that items open, known or drawn, shape (new, Q)."""
        known, n_known = self.known
        opened = self.walks.clusters[path]
        drawn = opened >= n_known[path]
        values = np.empty((len(path), self._target.n_values))
        values[~drawn] = known[path[~drawn], opened[~drawn]]
        if drawn.any():
            assert self._new is not None  # where the network is not asked, all must be known
            new = self._new[0, self._index(path[drawn])]
            values[drawn] = self._draw_atoms(new, item[drawn])
        return values

    def _draw_atoms(self, new: Tensor, item: NDArray[np.int64]) -> NDArray[np.float64]:
        """Atoms from r, given the state of "new" and the item of each."""
        seen = torch.from_numpy(self._alone.seen[item]).to(new)
        x = self._network.draw_atoms(new, seen, self._generator)
        values = self._alone.mean[item] + self._alone.sd[item] * x.double().cpu().numpy()
        from_base = self._rng.random(len(item)) < FROM_BASE
        values[from_base] = self._target.draw_base(int(from_base.sum()), self._rng)
        return values

    def _log_r(
        self,
        new: Tensor,
        item: NDArray[np.int64],
        values: NDArray[np.float64],
        log_g0: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Log r of atoms, given the state of "new" and the item of each."""
        mean, sd = self._alone.mean[item], self._alone.sd[item]
        arrays = self._alone.seen[item], (values - mean) / sd, np.log(sd).sum(1), log_g0
        log_r = self._network.log_r(new, *(torch.from_numpy(a).to(new) for a in arrays))
        return log_r.double().cpu().numpy()

    def _link(self, item: Tensor, joined: Tensor) -> None:
        """Nothing to add: the atoms tell all that a cluster's items do."""
