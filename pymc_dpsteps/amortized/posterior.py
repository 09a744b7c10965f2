"""A network that draws from the posterior of any data set of one model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, Literal

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from pytensor.compile.sharedvalue import SharedVariable
from torch import Tensor

from pymc_dpsteps.amortized.allocation import AllocationNetwork, Encoded
from pymc_dpsteps.amortized.allocation_training import (
    AllocationBatch,
    allocation_batch,
    allocation_loss,
)
from pymc_dpsteps.amortized.atom_network import AtomNetwork
from pymc_dpsteps.amortized.atom_paths import AtomPaths
from pymc_dpsteps.amortized.atom_target import AtomTarget
from pymc_dpsteps.amortized.atom_training import AtomBatch, atom_batch, atom_loss
from pymc_dpsteps.amortized.branches import find_best, run_branches
from pymc_dpsteps.amortized.check_outlier import OutOfDistribution, out_of_distribution
from pymc_dpsteps.amortized.correct import resample
from pymc_dpsteps.amortized.learner import Learner
from pymc_dpsteps.amortized.parameters import Parameters
from pymc_dpsteps.amortized.paths import Draws, Paths, draw_allocations
from pymc_dpsteps.amortized.replay import replay
from pymc_dpsteps.amortized.schedule import Schedule
from pymc_dpsteps.amortized.settings import Setting
from pymc_dpsteps.amortized.simulate import DataSets
from pymc_dpsteps.amortized.target import Target
from pymc_dpsteps.conjugate import find_conjugacy
from pymc_dpsteps.mixture.structure import MixtureError
from pymc_dpsteps.steps.arguments import check_option

__all__ = ["AmortizedPosterior", "with_data"]

_log = logging.getLogger("pymc_dpsteps")
_COMPARED = 199  # data sets from the prior
_FEWEST = 100  # draws that are weighted


class AmortizedPosterior(Learner):
    """Draws from the posterior of partitions of any data set of a model, by a trained network.

    Where the atoms have no conjugate pair to be integrated out by, they are drawn as well.

    Made by `train` or `load`.

    Parameters
    ----------
    build_model, n, size, settings, device
        See `Learner`.

    Attributes
    ----------
    target : Target or AtomTarget
        Exact density of partitions, or of partitions and atoms.
    simulator : Simulator
        Prior predictive.
    network : AllocationNetwork
        An `AtomNetwork` where atoms are drawn as well.
    parameters : Parameters
        Only there: atoms in value space.
    """

    target: Target | AtomTarget
    network: AllocationNetwork

    def _find_target(self) -> Target | AtomTarget:
        integrated = find_conjugacy(self.mixture).complete
        return (Target if integrated else AtomTarget)(self.mixture, self.settings.own)

    def _make_network(
        self, drawn: DataSets, inputs: int, context: int, induced: int
    ) -> AllocationNetwork:
        size = {"induced": induced, **asdict(self.size)}
        if isinstance(self.target, Target):
            return AllocationNetwork(inputs, context, **size)
        self.parameters = Parameters(self.mixture, drawn.theta(), unconstrained=True)
        return AtomNetwork(inputs, context, self.target.n_values, **size)

    def batch(self, schedule: Schedule, rng: np.random.Generator) -> AllocationBatch | AtomBatch:
        """Simulate a batch; see `allocation_batch` and `atom_batch`."""
        simulated, setting = self.simulate(schedule.batch * schedule.simulated, rng)
        inputs, target = partial(self.inputs, setting=setting), setting.exact
        if isinstance(target, Target):
            return allocation_batch(simulated, target, inputs, schedule, rng)
        values = self.parameters.values(simulated.atoms)
        return atom_batch(simulated, values, target, inputs, schedule, rng)

    def loss(self, network: Any, batch: AllocationBatch | AtomBatch) -> Tensor:
        """See `allocation_loss` and `atom_loss`."""
        if isinstance(batch, AtomBatch):
            return atom_loss(network, batch)
        return allocation_loss(network, batch)

    def draw(
        self,
        data: ArrayLike | Mapping[str, ArrayLike],
        draws: int = 1_000,
        *,
        settings: Mapping[str, ArrayLike] | None = None,
        random_seed: Any = None,
        batch: int = 1_000,
    ) -> Draws:
        """Draw partitions from the network, with atoms where needed, and their exact densities.

        Parameters
        ----------
        data : array_like, or dict of array_like by name of kernel variable
            Observations, shape (n, …).
        draws : int, default 1000
        settings : dict of array_like by name of container, optional
            What they are not as `build_model` sets them.
        random_seed : int or numpy.random.Generator, optional
        batch : int, default 1000
            Draws at a time.

        Returns
        -------
        Draws
        """
        rng = np.random.default_rng(random_seed)
        generator = self._generator(rng)
        setting = self.setting(settings)
        items = self.items_of(data, setting)
        encoded = self.encode(items, setting)
        parts = []
        for first in range(0, draws, batch):
            shape = (min(batch, draws - first), len(items))
            paths = self.paths_of(setting.exact, items, encoded, shape[0], generator, rng)
            order = rng.permuted(np.broadcast_to(np.arange(shape[1]), shape), axis=1)
            parts.append(draw_allocations(paths, order, generator))
        return Draws.joined(parts)

    def branch(
        self,
        data: ArrayLike | Mapping[str, ArrayLike],
        branches: int = 1_000,
        *,
        mode: Literal["smc", "best"] = "smc",
        settings: Mapping[str, ArrayLike] | None = None,
        random_seed: Any = None,
    ) -> Draws:
        """Run denoising paths along one random order, scored by the model's density on the way.

        Parameters
        ----------
        data, settings, random_seed
            See `draw`.
        branches : int, default 1000
            Number of paths.
        mode : {"smc", "best"}
            "smc" for inference: weighted partitions, see `run_branches` and `importance`. "best"
            for search: the partitions found by `find_best`, the most probable first. They are no
            draws from the posterior.

        Returns
        -------
        Draws
        """
        check_option("mode", mode, ("smc", "best"))
        if mode == "best" and isinstance(self.target, AtomTarget):
            raise MixtureError(
                "mode = 'best' compares partitions by their probability, which is not known in "
                f"closed form where the atoms of {self.mixture.allocation.name} cannot be "
                "integrated out. Use dps.find_map()."
            )
        rng = np.random.default_rng(random_seed)
        paths = self.paths(data, branches, settings=settings, random_seed=rng)
        order = rng.permutation(paths.labels.shape[1])
        if mode == "best":
            return find_best(paths, order)
        return run_branches(paths, order, self._generator(rng), rng).draws

    def paths(
        self,
        data: ArrayLike | Mapping[str, ArrayLike],
        n_paths: int,
        *,
        settings: Mapping[str, ArrayLike] | None = None,
        random_seed: Any = None,
    ) -> Paths:
        """Paths of a data set, nothing placed yet; the seed is that of atoms."""
        rng = np.random.default_rng(random_seed)
        setting = self.setting(settings)
        items = self.items_of(data, setting)
        encoded = self.encode(items, setting)
        generator = self._generator(rng)
        return self.paths_of(setting.exact, items, encoded, n_paths, generator, rng)

    def paths_of(
        self,
        target: Target | AtomTarget,
        items: NDArray[np.float64],
        encoded: Encoded,
        n_paths: int,
        generator: torch.Generator,
        rng: np.random.Generator,
    ) -> Paths:
        """Paths of rows of data, under a target; see `Paths` and `AtomPaths`."""
        network = self.network
        if isinstance(network, AtomNetwork) and isinstance(target, AtomTarget):
            return AtomPaths(network, target, items, encoded, n_paths, generator, rng)
        return Paths(network, target, items, encoded, n_paths)

    @torch.no_grad()
    def encode(self, items: NDArray[np.float64], setting: Setting | None = None) -> Encoded:
        """A data set, rows of shape (n, P), as the network sees it when it draws."""
        return self.network.eval().encode(*self.inputs(items[None], setting))

    def _generator(self, rng: np.random.Generator) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(int(rng.integers(2**63)))

    def sample(
        self,
        data: ArrayLike | Mapping[str, ArrayLike],
        draws: int = 1_000,
        *,
        settings: Mapping[str, ArrayLike] | None = None,
        random_seed: Any = None,
        correct: bool = True,
    ) -> xr.DataTree:
        """Draw from the posterior.

        Parameters
        ----------
        data, draws, settings, random_seed
            See `draw`.
        correct : bool, default True
            Resample the partitions by their Pareto-smoothed importance weights, see
            `importance`. A warning says where these cannot be trusted. Without, the draws are
            the network's own. Data that are unlike simulated ones give a warning in any case.

        Returns
        -------
        xarray.DataTree
            As MCMC's: the model's variables with its dims, atoms and concentration given the
            partition drawn exactly; where atoms cannot be, the network's own after one update of
            MCMC given the partition. ``sample_stats`` has log q and log p of what was drawn.
        """
        rng = np.random.default_rng(random_seed)
        found = self.out_of_distribution(data, settings=settings, random_seed=rng)
        if found.flagged:
            _log.warning(
                "The data are unlike those that the model simulates (p = %.3f): the network has "
                "seen few such, if any. Look at the prior, or use dps.sample().",
                found.p_value,
            )
        n_draws = max(draws, _FEWEST) if correct else draws
        drawn = self.draw(data, n_draws, settings=settings, random_seed=rng)
        if correct:
            drawn = resample(drawn, rng, draws)
        return replay(self.model(data, settings=settings), drawn, random_seed=rng)

    def model(
        self,
        data: ArrayLike | Mapping[str, ArrayLike],
        *,
        settings: Mapping[str, ArrayLike] | None = None,
    ) -> pm.Model:
        """Build the model of a data set.

        Parameters
        ----------
        data, settings
            See `draw`.
        """
        names = self.simulator.kernel_names
        data = data if isinstance(data, Mapping) else {names[0]: data}
        model = with_data(self.build_model(len(np.asarray(data[names[0]]))), data)
        pm.set_data(self.settings.complete(settings), model=model)
        return model

    def out_of_distribution(
        self,
        data: ArrayLike | Mapping[str, ArrayLike],
        *,
        settings: Mapping[str, ArrayLike] | None = None,
        random_seed: Any = None,
    ) -> OutOfDistribution:
        """Whether a data set is unlike those that the network was trained on.

        Parameters
        ----------
        data, settings, random_seed
            See `draw`.

        Returns
        -------
        OutOfDistribution
            Against 199 data sets of the same size from the prior predictive, with these settings.
        """
        setting = self.setting(settings)
        items = self.items_of(data, setting)[:, self._seen]
        self.simulator.seed(int(np.random.default_rng(random_seed).integers(2**31)))
        repeated = {name: np.repeat(x[None], _COMPARED, 0) for name, x in setting.values.items()}
        simulated = self.simulator.draw(_COMPARED, repeated).items[:, : len(items), self._seen]
        return out_of_distribution(items, list(simulated))


def with_data(model: pm.Model, data: Mapping[str, ArrayLike]) -> pm.Model:
    """Give a model other observed values.

    Parameters
    ----------
    model : pymc.Model
        It is changed.
    data : dict of array_like by name of the observed variable
        Of the shapes that the model has.

    Returns
    -------
    pymc.Model
        The same model.
    """
    for name, values in data.items():
        rv = model[name]
        old = model.rvs_to_values[rv]
        if isinstance(old, SharedVariable):
            old.set_value(np.asarray(values, dtype=old.type.dtype))
            continue
        new = pt.constant(np.asarray(values, dtype=old.type.dtype), name=old.name)
        del model.values_to_rvs[old]
        model.rvs_to_values[rv], model.values_to_rvs[new] = new, rv
    return model
