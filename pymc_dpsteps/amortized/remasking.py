"""Block re-masking: a neighbourhood of items is masked and unmasked again by the network.

A set B of items and an order σ of it are chosen without looking at the allocation: a uniform item
and its nearest neighbours by their log odds of sharing a cluster, which depend on the data alone.
Items outside B are placed as they are; those of B are drawn from q(c_B | c_rest, σ, y) and accepted
with probability

    min(1, p(y, c') q(c_B | c_rest, σ, y) / (p(y, c) q(c'_B | c_rest, σ, y))),

the atoms integrated out: a split–merge proposal that was learnt. Where they cannot be, clusters
with items outside B keep theirs, and p and q are of c_B with the atoms of the other clusters. With
all items in B it is independence Metropolis. As proposals do not depend on the present c_B, several
are drawn at a time and put to the test one after the other.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pymc.blocking import PointType

from pymc_dpsteps.amortized.allocation import Encoded
from pymc_dpsteps.amortized.atom_paths import AtomPaths
from pymc_dpsteps.amortized.fingerprint import fingerprint
from pymc_dpsteps.amortized.paths import draw_allocations
from pymc_dpsteps.amortized.posterior import AmortizedPosterior
from pymc_dpsteps.amortized.replay import complete
from pymc_dpsteps.amortized.settings import Setting
from pymc_dpsteps.amortized.walks import options_along
from pymc_dpsteps.mixture.read import read_mixture
from pymc_dpsteps.mixture.structure import MixtureError
from pymc_dpsteps.steps.arguments import whole_number
from pymc_dpsteps.steps.marginal import MarginalStep, accept
from pymc_dpsteps.steps.updates import prepare

__all__ = ["RemaskingStep"]


class RemaskingStep(MarginalStep):
    """Re-mask a neighbourhood and redraw it from a trained network, by Metropolis–Hastings.

    ``pm.sample(step=[dps.amortized.RemaskingStep(posterior), dps.Neal3()])`` runs both in every
    iteration. Exact whatever the network, even one that is not trained.

    Parameters
    ----------
    posterior : AmortizedPosterior
        Trained for this model.
    vars : variable or list of variables, optional
        The allocation; needed only where the model has several.
    block : int or None, default 16
        Items that are re-masked at a time; None for all: independence Metropolis.
    proposals : int, default 8
        Proposals for a block, tested one after the other.
    concentration, init, sweeps, model, rng
        See `MixtureStep`. There is no option ``atoms``: every iteration draws them given the
        allocation, or updates them where they cannot be integrated out.

    Raises
    ------
    MixtureError
        If the network was trained for another model, or for other numbers of items.
    """

    name = "remasking"
    atoms_options: ClassVar[tuple[str | None, ...]] = ("auto",)

    def __init__(
        self,
        posterior: AmortizedPosterior,
        vars: Any = None,
        *,
        block: int | None = 16,
        proposals: int = 8,
        **kwargs: Any,
    ) -> None:
        self.posterior = posterior
        if block is not None:
            block = whole_number(self, "block is a number of items", block)
        self.block = block
        self.proposals = whole_number(self, "proposals is a number of proposals", proposals)
        super().__init__(vars, **kwargs)

    def _compile(self) -> None:
        super()._compile()
        settings = self.posterior.settings
        values = settings.complete(settings.of(self.model))
        model = settings.as_random(self.model)
        mixture = read_mixture(model, self._allocation_name) if values else self._mixture
        smallest, largest = self.posterior.n
        if fingerprint(mixture) != self.posterior.fingerprint:
            raise MixtureError(
                "The network was trained for another model than this one: densities, constants or "
                "the number of components differ. Train one for this model."
            )
        if not smallest <= self._mixture.n_items <= largest:
            raise MixtureError(
                f"The model has {self._mixture.n_items} items; the network was trained for "
                f"{smallest} to {largest}. Train one for that many."
            )
        # In rows of data that look like those that the network was trained on.
        self._target = type(self.posterior.target)(mixture, values)
        self._setting = Setting(values, settings.row(values), self._target)
        self._encoded: Encoded | None = None

    def _set_context(self, point: PointType) -> None:
        super()._set_context(point)
        self._encoded = None

    @torch.no_grad()
    def _iterate(self, rest: tuple[bool, bool, int]) -> tuple[int, int, int]:
        rng, state = self.rng, self._state
        prepare(state)  # brings alpha up to date
        encoded = self._encode()
        before = state.z.copy()
        order, first = self._order(encoded)
        options = options_along(state.z[order][None])
        given = np.repeat(options, 1 + self.proposals, axis=0)
        given[1:, first:] = -1
        target = self._target.given(state.parameters)
        generator = torch.Generator(self.posterior.device).manual_seed(int(rng.integers(2**63)))
        paths = self.posterior.paths_of(target, target.items, encoded, len(given), generator, rng)
        if isinstance(paths, AtomPaths):
            opens = options[0] == 0
            paths.known = self._known(state.z[order[opens]], int(opens[:first].sum()), len(given))
        drawn = draw_allocations(
            paths,
            np.repeat(order[None], len(given), axis=0),
            generator,
            given=given,
            first=first,
        )
        log_weight = drawn.log_p - drawn.log_q
        if target.slots is not None:  # the present partition is in slots already
            counts = state.counts[None]
            log_weight[0] = paths.walks.log_prob[0] - paths.log_q[0]
            log_weight[0] += (target.slots.log_change(counts) - target.slots.log_q(counts))[0]
        present = 0
        for proposed in range(1, len(given)):
            if accept(rng, log_weight[proposed], log_weight[present]):
                present = proposed
        if present > 0:
            self._take(drawn.labels[present], drawn.values[present], order[:first])
        complete(self._chain, 0, *rest)
        occupied, occupied_before = np.unique(state.z), np.unique(before)
        births = len(np.setdiff1d(occupied, occupied_before))
        return births, len(np.setdiff1d(occupied_before, occupied)), 0

    def _encode(self) -> Encoded:
        """The data as the network sees them, kept until they change."""
        if self._encoded is None:
            self._encoded = self.posterior.encode(self._target.items, self._setting)
        return self._encoded

    def _order(self, encoded: Encoded) -> tuple[NDArray[np.int64], int]:
        """All items, those to re-mask last and in random order; and the number of the others."""
        n = len(self._state.z)
        block = n if self.block is None else min(self.block, n)
        centre = int(self.rng.integers(n))
        log_odds = encoded.pairs[0, centre].cpu().numpy().copy()
        log_odds[centre] = np.inf
        masked = np.argsort(-log_odds, kind="stable")[:block]
        others = np.setdiff1d(np.arange(n), masked)
        return np.concatenate([others, self.rng.permutation(masked)]), n - block

    def _known(
        self, slots: NDArray[np.int64], n_others: int, n_paths: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Atoms that are not drawn: on the first path all, on others those of the first clusters.

        `slots` are those of the clusters as they are opened.
        """
        known = np.zeros((n_paths, self._mixture.n_components, self._state.values.shape[1]))
        known[:, : len(slots)] = self._state.values[slots]
        n_known = np.full(n_paths, n_others)
        n_known[0] = len(slots)
        return known, n_known

    def _take(
        self,
        labels: NDArray[np.int64],
        values: NDArray[np.float64],
        others: NDArray[np.int64],
    ) -> None:
        """Take over a partition: clusters with other items keep their slots, new ones get any.

        Where slots differ they were drawn with it, all of them.
        """
        z, slots = self._state.z, np.arange(self._mixture.n_components)
        if self._target.slots is None:
            slots[labels[others]] = z[others]
            empty = np.setdiff1d(np.arange(len(slots)), z[others])
            new = np.setdiff1d(labels, labels[others])
            slots[new] = self.rng.permutation(empty)[: len(new)]
        z[:] = slots[labels]
        if values.size > 0:
            occupied = np.unique(labels)
            self._state.values[slots[occupied]] = values[occupied]
