"""Parameters of items, θ_i = atoms[z_i], as rows that a network sees, standardised by the prior."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import ArrayLike, NDArray
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.mixture.structure import Atom, Mixture, MixtureError

__all__ = ["Parameters"]


class Parameters:
    """The map between parameters in the model's space and standardised rows, both ways.

    A row has all atoms of an item side by side, vectors and matrices flattened; in value space
    (the logarithm of what is positive, …) or as they are. Each column has mean 0 and standard
    deviation 1 under the prior.

    Parameters
    ----------
    mixture : Mixture
    theta : dict of numpy.ndarray by name of atom, shape (data set, N, …)
        Draws from the prior.
    unconstrained : bool
        Whether rows are in value space.

    Attributes
    ----------
    width : int
        Length q of a row.

    Raises
    ------
    MixtureError
        If the value space of an atom depends on other random variables.
    """

    def __init__(
        self, mixture: Mixture, theta: Mapping[str, NDArray], *, unconstrained: bool
    ) -> None:
        self._atoms = mixture.atoms
        self._shapes = {str(a.rv.name): tuple(a.rv.type.shape[1:]) for a in mixture.atoms}
        natural = [_rows_like(atom.rv) for atom in mixture.atoms]
        value = [_rows_like(atom.value_var if unconstrained else atom.rv) for atom in mixture.atoms]
        forward, backward = natural, value
        if unconstrained:
            forward = [
                mixture.in_value_space(atom.rv, x)
                for atom, x in zip(mixture.atoms, natural, strict=True)
            ]
            backward = [
                _from_value_space(mixture, atom, x)
                for atom, x in zip(mixture.atoms, value, strict=True)
            ]
        flat = pt.concatenate([x.reshape((x.shape[0], -1)) for x in forward], axis=1)
        self._forward = pm.pytensorf.compile(natural, [flat], mode="NUMBA")
        self._backward = pm.pytensorf.compile(value, backward, mode="NUMBA")
        self._value_shapes = [x.type.shape[1:] for x in value]
        rows = self.values(theta)
        self.width = rows.shape[-1]
        self._mean, self._sd = rows.mean((0, 1)), rows.std((0, 1))

    def rows(self, theta: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """Rows of parameters.

        Parameters
        ----------
        theta : dict of array_like by name of atom, shape (…, *shape of the atom)

        Returns
        -------
        numpy.ndarray of float64, shape (…, q)

        Raises
        ------
        ValueError
            If names or shapes are not those of the atoms.
        """
        return (self.values(theta) - self._mean) / self._sd

    def values(self, theta: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """As `rows`, but not standardised.

        Raises
        ------
        ValueError
            If names or shapes are not those of the atoms.
        """
        if set(theta) != set(self._shapes):
            raise ValueError(
                f"Found parameters {', '.join(sorted(theta))}; expected {', '.join(self._shapes)}."
            )
        arrays, leading = [], None
        for name, shape in self._shapes.items():
            x = np.asarray(theta[name], dtype=np.float64)
            before = x.shape[: x.ndim - len(shape)]
            if x.shape != (*before, *shape) or before != (before if leading is None else leading):
                expected = (*("…" if leading is None else leading), *shape)
                raise ValueError(f"{name} has shape {x.shape}; expected {expected}.")
            leading = before
            arrays.append(x.reshape(-1, *shape))
        (rows,) = self._forward(*arrays)
        return rows.reshape(*(leading or ()), -1)

    def theta(self, rows: NDArray) -> dict[str, NDArray[np.float64]]:
        """Parameters in the model's space.

        Parameters
        ----------
        rows : numpy.ndarray, shape (…, q)

        Returns
        -------
        dict of numpy.ndarray by name of atom, shape (…, *shape of the atom)
        """
        leading = rows.shape[:-1]
        flat = rows.reshape(-1, self.width) * self._sd + self._mean
        ends = np.cumsum([int(np.prod(shape)) for shape in self._value_shapes])[:-1]
        values = [
            np.ascontiguousarray(part).reshape(-1, *shape)
            for part, shape in zip(np.split(flat, ends, axis=1), self._value_shapes, strict=True)
        ]
        natural = self._backward(*values)
        return {
            name: x.reshape(*leading, *shape)
            for (name, shape), x in zip(self._shapes.items(), natural, strict=True)
        }


def _rows_like(x: TensorVariable) -> TensorVariable:
    """An input with any number of rows."""
    return pt.tensor(name=x.name, shape=(None, *x.type.shape[1:]), dtype="float64")


def _from_value_space(mixture: Mixture, atom: Atom, x: TensorVariable) -> TensorVariable:
    model = mixture.model
    transform = model.rvs_to_transforms[atom.rv]
    if transform is None:
        return x
    result = transform.backward(x, *atom.rv.owner.inputs)
    if met := set(model.basic_RVs).intersection(ancestors([result])):
        raise MixtureError(
            f"The space of {atom.rv.name} depends on {', '.join(sorted(rv.name for rv in met))}; "
            "expected bounds that are known. Fix them, or use MCMC: dps.sample()."
        )
    return result
