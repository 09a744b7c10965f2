"""Between PyMC's points, dictionaries of value variables, and the packed state of a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pymc.blocking import PointType
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.mixture.structure import Mixture
from pymc_dpsteps.steps.state import State

__all__ = ["Packing"]


@dataclass(frozen=True)
class Place:
    """Where the value of a variable lies in a packed row."""

    name: str
    columns: slice
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Packing:
    """Names of a step's value variables and their places in its state.

    Attributes
    ----------
    allocation : str
    weights : str or None
    concentration : tuple of str
    atoms, hyperparameters : tuple of Place
        Places in a row of ``values``, and in ``hyper``.
    """

    allocation: str
    weights: str | None
    concentration: tuple[str, ...]
    atoms: tuple[Place, ...]
    hyperparameters: tuple[Place, ...]

    @classmethod
    def of(
        cls,
        mixture: Mixture,
        concentration: Sequence[TensorVariable],
        hyperparameters: Sequence[TensorVariable],
    ) -> Packing:
        """Packing of the variables that a step updates."""
        values = mixture.model.rvs_to_values
        weight_rv = mixture.prior.weight_rv
        return cls(
            allocation=values[mixture.allocation].name,
            weights=None if weight_rv is None else values[weight_rv].name,
            concentration=tuple(values[rv].name for rv in concentration),
            atoms=_side_by_side(atom.placeholder for atom in mixture.atoms),
            hyperparameters=_side_by_side(values[rv] for rv in hyperparameters),
        )

    @property
    def n_hyper(self) -> int:
        """Length of ``hyper``."""
        return self.hyperparameters[-1].columns.stop if self.hyperparameters else 0

    def unpack(self, point: PointType, state: State) -> None:
        """Copy the values of a point into the state."""
        state.z[:] = point[self.allocation]
        n_components = len(state.counts)
        for atom in self.atoms:
            state.values[:n_components, atom.columns] = point[atom.name].reshape(n_components, -1)
        for t, name in enumerate(self.concentration):
            state.theta[t] = point[name]
        if self.weights is not None:
            state.weight_value[:] = point[self.weights].ravel()
        self.unpack_hyperparameters(point, state)

    def unpack_hyperparameters(self, point: PointType, state: State) -> None:
        """Copy the values of the hyperparameters alone."""
        for place in self.hyperparameters:
            state.hyper[place.columns] = point[place.name].ravel()

    def pack(self, point: PointType, state: State) -> PointType:
        """A new point with the values of the state, in the order of `point`."""
        new = {self.allocation: state.z.astype(point[self.allocation].dtype)}
        n_components = len(state.counts)
        for atom in self.atoms:
            rows = state.values[:n_components, atom.columns]
            new[atom.name] = rows.reshape((n_components, *atom.shape)).copy()
        for place in self.hyperparameters:
            new[place.name] = state.hyper[place.columns].reshape(place.shape).copy()
        for t, name in enumerate(self.concentration):
            new[name] = np.array(state.theta[t])
        if self.weights is not None:
            new[self.weights] = state.weight_value.reshape(point[self.weights].shape).copy()
        return {**point, **new}


def _side_by_side(leaves: Iterable[TensorVariable]) -> tuple[Place, ...]:
    places = []
    start = 0
    for leaf in leaves:
        width = int(np.prod(leaf.type.shape))
        places.append(Place(leaf.name, slice(start, start + width), leaf.type.shape))
        start += width
    return tuple(places)
