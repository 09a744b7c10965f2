"""Data sets from the prior predictive of a PyMC mixture, with all that they were made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pymc as pm
from numpy.typing import NDArray
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors

from pymc_dpsteps.amortized.target import Target
from pymc_dpsteps.mixture.structure import MixtureError

__all__ = ["DataSets", "Simulator"]


@dataclass(frozen=True)
class DataSets:
    """Simulated data sets of N items.

    Attributes
    ----------
    items : numpy.ndarray of float64, shape (data set, N, P)
        The data as the target reads them.
    labels : numpy.ndarray of int64, shape (data set, N)
        Allocation.
    observed : dict
        Values of the kernel variables, shape (data set, N, …).
    atoms : dict
        Atoms by name, shape (data set, K, …).
    """

    items: NDArray[np.float64]
    labels: NDArray[np.int64]
    observed: dict[str, NDArray]
    atoms: dict[str, NDArray]


class Simulator:
    """Prior predictive of a mixture: the model's own random variables, compiled.

    A part of the items of a data set is a data set of fewer items: with atoms, weights and
    concentration given, items are independent.

    Parameters
    ----------
    target : Target

    Raises
    ------
    MixtureError
        If the data enter the kernel in a way that new data could not.
    """

    def __init__(self, target: Target) -> None:
        mixture = target.mixture
        model = mixture.model
        self._kernels = [model[name] for name in mixture.kernel_names]
        items, _ = target.compiled.context_graphs
        values = {model.rvs_to_values[rv]: rv for rv in self._kernels}
        missing = [rv.name for value, rv in values.items() if value not in set(ancestors([items]))]
        if missing:
            raise MixtureError(
                f"The data of {', '.join(missing)} do not enter the kernel as they are; expected "
                "plain observed values. Use MCMC: dps.sample()."
            )
        self._values: list[Variable] = list(values)
        (drawn,) = clone_replace([items], values, rebuild_strict=False)
        atoms = [atom.rv for atom in mixture.atoms]
        self._names = [rv.name for rv in atoms]
        outputs = [drawn, mixture.allocation, *self._kernels, *atoms]
        self._draw = pm.pytensorf.compile([], outputs, random_seed=0, mode="NUMBA")
        inputs = [value.type(name=rv.name) for value, rv in values.items()]
        replaced = dict(zip(values, inputs, strict=True))
        (of_data,) = clone_replace([items], replaced, rebuild_strict=False)
        self._items = pm.pytensorf.compile(inputs, [of_data], mode="NUMBA")

    @property
    def kernel_names(self) -> tuple[str, ...]:
        """Names of the kernel variables, in the order of the model."""
        return tuple(rv.name for rv in self._kernels)

    @property
    def kernel_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the data of the kernel variables."""
        return tuple(value.type.shape for value in self._values)

    def seed(self, seed: int) -> None:
        """Start a stream of draws that depends on `seed` alone."""
        pm.pytensorf.reseed_rngs(
            [
                v
                for v in self._draw.get_shared()
                if hasattr(v.get_value(borrow=True), "bit_generator")
            ],
            seed,
        )

    def draw(self, n_datasets: int) -> DataSets:
        """Draw data sets, one after the other."""
        columns = list(zip(*(self._draw() for _ in range(n_datasets)), strict=True))
        items, labels, *rest = [np.stack(column) for column in columns]
        kernels, atoms = rest[: len(self._kernels)], rest[len(self._kernels) :]
        return DataSets(
            items=items,
            labels=labels,
            observed=dict(zip(self.kernel_names, kernels, strict=True)),
            atoms=dict(zip(self._names, atoms, strict=True)),
        )

    def items_of(self, *data: NDArray) -> NDArray[np.float64]:
        """Rows of the target of observed data, one array a kernel variable, of N items."""
        (items,) = self._items(*data)
        return np.ascontiguousarray(items)
