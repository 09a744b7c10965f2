"""Partitions, drawn elsewhere, completed to draws of all variables of a model."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pymc as pm
import xarray as xr

from pymc_dpsteps.amortized.paths import Draws
from pymc_dpsteps.jit import njit
from pymc_dpsteps.mixture.structure import PriorKind
from pymc_dpsteps.steps.marginal import MarginalStep
from pymc_dpsteps.steps.state import chain_at
from pymc_dpsteps.steps.updates import prepare, update_concentration, update_rest

__all__ = ["replay", "sample_chain"]

# Slice updates of the concentration given a partition, so many that it forgets the one before.
_UPDATES = 20


@njit
def complete(chain: int, updates: int, swap: bool, update_atoms: bool, weights: int) -> None:
    """Draw atoms, concentration and weights given the allocation."""
    rng, state = chain_at(chain)
    prepare(state)
    if len(state.theta) > 0:
        for _ in range(updates):
            update_concentration(rng, state)
    update_rest(rng, state, swap, update_atoms, weights)


class Replay(MarginalStep):
    """Take the allocation of every draw from a list, and draw the rest given it.

    Where the atoms cannot be drawn given the allocation alone, the list has them too; an update
    that leaves their law given the allocation invariant moves them on.
    """

    name = "replay"
    atoms_options: ClassVar[tuple[str | None, ...]] = ("auto",)

    def __init__(self, drawn: Draws, **kwargs: Any) -> None:
        self.drawn = drawn
        super().__init__(**kwargs)

    def _iterate(self, rest: tuple[bool, bool, int]) -> tuple[int, int, int]:
        slots = np.arange(self._mixture.n_components)
        if self._mixture.prior.kind is PriorKind.CRP:
            # Slots have no order: as in MCMC a cluster may be in any.
            slots = self.rng.permutation(slots)
        self._state.z[:] = slots[self.drawn.labels[self.iteration]]
        values = self.drawn.values[self.iteration]
        if values.size > 0:
            self._state.values[slots] = values
        _, atoms, weights = rest
        complete(self._chain, _UPDATES, False, atoms, weights)
        return 0, 0, 0


def sample_chain(
    model: pm.Model, step: Any, draws: int, *, tune: int, random_seed: Any
) -> xr.DataTree:
    """One chain in this process, without a word.

    Parameters
    ----------
    model : pymc.Model
    step : step method, or list of step methods
    draws, tune : int
    random_seed : int or numpy.random.Generator, optional

    Returns
    -------
    xarray.DataTree
        As `pymc.sample` returns it.
    """
    return pm.sample(
        draws,
        tune=tune,
        chains=1,
        cores=1,
        step=step,
        random_seed=random_seed,
        model=model,
        progressbar=False,
        quiet=True,
        compute_convergence_checks=False,
    )


def replay(model: pm.Model, drawn: Draws, *, random_seed: Any = None) -> xr.DataTree:
    """Complete partitions to draws of all variables, as `pymc.sample` returns them.

    Parameters
    ----------
    model : pymc.Model
        With the data.
    drawn : Draws
        Partitions.
    random_seed : int or numpy.random.Generator, optional

    Returns
    -------
    xarray.DataTree
        One chain. ``sample_stats`` has ``log_q`` and ``log_p`` of every partition.
    """
    step = Replay(drawn, model=model)
    result = sample_chain(model, step, len(drawn.labels), tune=0, random_seed=random_seed)
    for name in ("log_q", "log_p"):
        result["sample_stats"][name] = (("chain", "draw"), getattr(drawn, name)[None])
    return result
