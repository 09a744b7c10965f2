"""Data sets from the prior predictive of a PyMC mixture, with all that they were made from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from numpy.typing import ArrayLike, NDArray
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.amortized.target import refuse_incomplete
from pymc_dpsteps.mixture.structure import Mixture, MixtureError

__all__ = ["DataSets", "Simulator", "item_rows"]


@dataclass(frozen=True)
class DataSets:
    """Simulated data sets of N items.

    Attributes
    ----------
    items : numpy.ndarray of float64, shape (data set, N, P)
        A row of data per item.
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

    def first(self, n: int) -> DataSets:
        """Data sets of the first n items."""
        return DataSets(
            self.items[:, :n],
            self.labels[:, :n],
            {name: y[:, :n] for name, y in self.observed.items()},
            self.atoms,
        )

    def theta(self) -> dict[str, NDArray]:
        """Parameters θ_i = atoms[z_i] of the items by name, shape (data set, N, …)."""
        rows = np.arange(len(self.labels))[:, None]
        return {name: atoms[rows, self.labels] for name, atoms in self.atoms.items()}


class Simulator:
    """Prior predictive of a mixture: the model's own random variables, compiled.

    A part of the items of a data set is a data set of fewer items: with atoms, weights and
    concentration given, items are independent.

    Parameters
    ----------
    mixture : Mixture
    items : TensorVariable, shape (N, P)
        The row of data per item, as a graph of the mixture's model.
    settings : dict of numpy.ndarray by name, optional
        Values of variables of the model that are random in it, but given: see `Settings`.

    Raises
    ------
    MixtureError
        If the data enter the rows in a way that new data could not, items have not one complete
        row each, or the model has observed variables or potentials beside the kernel.
    """

    def __init__(
        self,
        mixture: Mixture,
        items: TensorVariable,
        settings: Mapping[str, NDArray] | None = None,
    ) -> None:
        refuse_incomplete(mixture)
        model = mixture.model
        self._kernels = [model[name] for name in mixture.kernel_names]
        others = [rv for rv in model.observed_RVs if rv not in self._kernels]
        if found := [x.name for x in [*others, *model.potentials]]:
            raise MixtureError(
                f"{', '.join(found)} would be left out of what is simulated; expected no observed "
                f"variables and potentials but {', '.join(mixture.kernel_names)}. Use MCMC: "
                "dps.sample()."
            )
        values = {model.rvs_to_values[rv]: rv for rv in self._kernels}
        missing = [rv.name for value, rv in values.items() if value not in set(ancestors([items]))]
        if missing:
            raise MixtureError(
                f"The data of {', '.join(missing)} do not enter the kernel as they are; expected "
                "plain observed values. Use MCMC: dps.sample()."
            )
        self._values: list[Variable] = list(values)
        self._own = settings or {}
        self._settings = {
            name: pytensor.shared(x, name=name, shape=x.shape) for name, x in self._own.items()
        }
        atoms = [atom.rv for atom in mixture.atoms]
        self._names = [rv.name for rv in atoms]
        given = {model[name]: shared for name, shared in self._settings.items()}
        outputs = [mixture.allocation, *self._kernels, *atoms]
        outputs = list(clone_replace(outputs, given, rebuild_strict=False))
        known = {model.rvs_to_values[rv]: shared for rv, shared in given.items()}
        drawn = dict(zip(self._values, outputs[1:], strict=False))
        (rows,) = clone_replace([items], known | drawn, rebuild_strict=False)
        self._draw = pm.pytensorf.compile([], [rows, *outputs], random_seed=0, mode="NUMBA")
        inputs = [value.type(name=value.name) for value in self._values]
        replaced = known | dict(zip(self._values, inputs, strict=True))
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

    def is_discrete(self, name: str) -> bool:
        """Whether the values of a kernel variable are integers."""
        value = self._values[self.kernel_names.index(name)]
        return np.dtype(value.type.dtype).kind in "iub"

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

    def draw(self, n_datasets: int, settings: Mapping[str, NDArray] | None = None) -> DataSets:
        """Draw data sets, one after the other.

        Parameters
        ----------
        n_datasets : int
        settings : dict of numpy.ndarray by name, shape (data set, …), optional
            Default: as the simulator was made with.
        """
        rows = []
        for s in range(n_datasets):
            self._set(settings and {name: x[s] for name, x in settings.items()})
            rows.append(self._draw())
        items, labels, *rest = [np.stack(column) for column in zip(*rows, strict=True)]
        kernels, atoms = rest[: len(self._kernels)], rest[len(self._kernels) :]
        return DataSets(
            items=items,
            labels=labels,
            observed=dict(zip(self.kernel_names, kernels, strict=True)),
            atoms=dict(zip(self._names, atoms, strict=True)),
        )

    def items_of(
        self, *data: NDArray, settings: Mapping[str, NDArray] | None = None
    ) -> NDArray[np.float64]:
        """Rows of observed data, one array a kernel variable, of N items."""
        self._set(settings)
        typed = [y.astype(value.type.dtype) for y, value in zip(data, self._values, strict=True)]
        (items,) = self._items(*typed)
        return np.ascontiguousarray(items)

    def _set(self, settings: Mapping[str, ArrayLike] | None) -> None:
        for name, shared in self._settings.items():
            shared.set_value(np.asarray((settings or self._own)[name]))


def item_rows(mixture: Mixture, settings: Collection[str] = ()) -> TensorVariable:
    """Rows of data for networks where there is no `Target`: the observed values and covariates.

    Parameters
    ----------
    mixture : Mixture
    settings : collection of str
        Names of variables that are random in the model, but given.

    Returns
    -------
    TensorVariable, shape (N, P)
        A graph of the mixture's model.

    Raises
    ------
    MixtureError
        If what the kernel reads of an item depends on variables that are random for all clusters.
    """
    model = mixture.model
    values = [model.rvs_to_values[model[name]] for name in mixture.kernel_names]
    free = {model.rvs_to_values[rv] for rv in model.free_RVs if rv.name not in settings}
    covariates = []
    for source in mixture.items:
        reached = set(ancestors([source]))
        if met := free.intersection(reached):
            raise MixtureError(
                f"What the kernel reads of an item depends on "
                f"{', '.join(sorted(str(v.name) for v in met))}, random for all clusters; expected "
                "data alone. Fix them, or use MCMC: dps.sample()."
            )
        if reached.isdisjoint(values):
            covariates.append(source)
    columns = [x.astype("float64").reshape((mixture.n_items, -1)) for x in [*values, *covariates]]
    return pt.concatenate(columns, axis=1)
