"""The kernel of one variable at new points, under every component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import ArrayLike, NDArray
from pymc.distributions.censored import CensoredRV
from pymc.distributions.distribution import PartialObservedRV
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.replace import clone_replace, vectorize_graph
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.mixture import Mixture, MixtureError
from pymc_dpsteps.mixture.group import group_of, without_masks
from pymc_dpsteps.mixture.lift import Lifter
from pymc_dpsteps.mixture.read import with_fixed_shapes
from pymc_dpsteps.mixture.rules import Axis

__all__ = ["Covariates", "Kind", "kernel_variable", "log_kernel_at", "points_of"]

Covariates = Mapping[str, ArrayLike]
Kind = Literal["density", "cdf", "survival"]

_FUNCTIONS: dict[str, Any] = {"density": pm.logp, "cdf": pm.logcdf, "survival": pm.logccdf}


@dataclass(frozen=True)
class _Rows:
    """A leaf with a row per observation or per item, its new values, and the rows they may take."""

    leaf: Variable
    values: NDArray
    rows: NDArray

    def piece(self, first: int, n: int) -> Constant:
        """Some of the new values in an array of the shape of the leaf."""
        data = np.resize(self.values[first : first + 1], self.leaf.type.shape)
        data[self.rows[:n]] = self.values[first : first + n]
        return pt.constant(data)


def kernel_variable(mixture: Mixture, variable: str | None) -> str:
    """Name of the observed kernel variable that is meant.

    Raises
    ------
    MixtureError
        If there are several and none is named, or the one named is not an observed one.
    """
    names = mixture.kernel_names
    observed = [n for n in names if isinstance(_value(mixture, n), Constant)]
    found = ", ".join(observed) or "none"
    if variable is None:
        if len(observed) != 1:
            raise MixtureError(
                f"The kernel of {mixture.allocation.name} has {len(observed)} observed variables: "
                f"{found}. Give variable= the name of one."
            )
        return observed[0]
    if variable not in observed:
        raise MixtureError(
            f"{variable} is not among the observed variables of the kernel of "
            f"{mixture.allocation.name}: {found}."
        )
    return variable


def points_of(mixture: Mixture, variable: str, points: ArrayLike) -> NDArray:
    """Points at which the kernel is wanted, as values of the variable: shape (G, ...).

    Raises
    ------
    ValueError
        If they do not have the shape of observations, or are not integers for integer data.
    """
    observed = _value(mixture, variable)
    array = np.asarray(points)
    event = tuple(observed.type.shape[1:])
    if array.ndim == 0 or array.shape[1:] != event or len(array) == 0:
        expected = ", ".join(["G", *map(str, event)]) + ("," if not event else "")
        raise ValueError(
            f"The points have shape {array.shape}; expected ({expected}) with G >= 1, as "
            f"{variable} has observations of shape {event}."
        )
    found = array.astype(observed.dtype)
    if not np.array_equal(found, array):
        raise ValueError(
            f"The points hold values that {variable} of type {observed.dtype} cannot have. Give "
            "integers."
        )
    return found


def log_kernel_at(
    mixture: Mixture,
    variable: str,
    points: NDArray,
    covariates: Covariates | None = None,
    *,
    kind: Kind = "density",
) -> TensorVariable:
    """Log density, distribution or survival function of a variable under every component.

    Parameters
    ----------
    mixture : Mixture
        Read in the space of its variables, see `read_untransformed`.
    variable : str
        Name of an observed variable of the kernel. Of a censored one it is the distribution
        before censoring.
    points : numpy.ndarray, shape (G, ...)
        Values of the variable.
    covariates : mapping of str to array_like, shape (G, ...), optional
        Values of the ``pm.Data`` with a row per observation on which the kernel depends.
    kind : {"density", "cdf", "survival"}
        Which of the three.

    Returns
    -------
    TensorVariable
        Shape (G, K), a graph of the value variables of ``mixture.model``.

    Raises
    ------
    MixtureError
        If the kernel depends on something else with a row per observation, or PyMC does not know
        the function.
    ValueError
        If a covariate is unknown or has another shape than expected.
    """
    value, factor = _factor(mixture, variable, kind)
    z_value = mixture.model.rvs_to_values[mixture.allocation]
    lifter = Lifter(z_value, mixture.model.value_vars, mixture.n_components)
    group = group_of(factor, z_value)
    if group is not None:
        lifter = lifter.for_group(group)
    lifted = lifter.take(factor, Axis.ITEM)
    if lifted.ndim and kind != "density":
        raise MixtureError(f"{variable} has several coordinates: it has no distribution function.")

    rows, items = np.arange(value.type.shape[0]), None
    if group is not None:  # one observation per item, so that an item's covariate is free
        items, rows = np.unique(group, return_index=True)
    leaves = [_Rows(value, points, rows)]
    for name, x in (covariates or {}).items():
        leaf = _covariate(mixture, name)
        n_rows = leaf.type.shape[0] if leaf.ndim else 0
        if n_rows not in (value.type.shape[0], mixture.n_items):
            raise ValueError(
                f"{name} has shape {leaf.type.shape}; a covariate has a row for each of the "
                f"{value.type.shape[0]} observations of {variable}."
            )
        at = items if items is not None and n_rows == mixture.n_items else rows
        leaves.append(_Rows(leaf, _values_of(leaf, x, len(points)), at))
    replace: dict[Variable, Variable] = {}
    for source, placeholder in lifter.items.items():
        _refuse_other_rows(variable, source, {leaf.leaf for leaf in leaves}, lifter)
        replace[placeholder] = pt.expand_dims(_at_points(source, leaves, rows), 1)
    for atom, placeholder in lifter.atoms.items():
        replace[placeholder] = pt.expand_dims(atom, 0)
    replace |= {placeholder: source for source, placeholder in lifter.shared.items()}
    total = lifted.sum() if lifted.ndim else lifted
    (result,) = vectorize_graph([total], replace)
    return pt.broadcast_to(result, (len(points), mixture.n_components)).astype("float64")


def _value(mixture: Mixture, variable: str) -> Variable:
    return mixture.model.rvs_to_values[mixture.model[variable]]


def _factor(mixture: Mixture, variable: str, kind: Kind) -> tuple[Variable, TensorVariable]:
    """A leaf of the shape of the observed values, and the function of it, row by row."""
    model = mixture.model
    rv = model[variable]
    while isinstance(rv.owner.op, CensoredRV | PartialObservedRV):
        rv = rv.owner.inputs[0]
    value = rv.type(name=variable)
    if None in value.type.shape:
        value = pt.tensor(name=variable, shape=_value(mixture, variable).type.shape, dtype=rv.dtype)
    try:
        factor = _FUNCTIONS[kind](rv, value)
    except NotImplementedError as error:
        raise MixtureError(
            f"PyMC knows no {kind} function of {variable}, a {type(rv.owner.op).__name__}; only "
            "its density can be computed."
        ) from error
    (factor,) = model.replace_rvs_by_values([factor])
    (factor,) = without_masks(with_fixed_shapes([factor]))
    return value, factor


def _covariate(mixture: Mixture, name: str) -> Constant:
    data = {x.name: x for x in mixture.model.data_vars}
    if name not in data:
        raise ValueError(
            f"{name} is not a pm.Data of the model; there are: {', '.join(data) or 'none'}."
        )
    return data[name]


def _values_of(leaf: Constant, values: ArrayLike, n_points: int) -> NDArray:
    array = np.asarray(values, dtype=leaf.dtype)
    expected = (n_points, *leaf.type.shape[1:])
    if array.shape != expected:
        raise ValueError(
            f"The covariate {leaf.name} has shape {array.shape}; expected {expected}, a row for "
            "every point."
        )
    return array


def _refuse_other_rows(
    variable: str, source: Variable, given: set[Variable], lifter: Lifter
) -> None:
    """Refuse what varies with the observation and is not given for the new points."""
    lengths = {source.type.shape[0], lifter.allocation.type.shape[0]}

    def varies(x: Variable) -> bool:
        if not isinstance(x, Constant):
            return isinstance(x, TensorVariable)
        gathers = lifter.group is not None and np.array_equal(x.data, lifter.group)
        return not gathers and not (x.data == x.data[:1]).all()

    others = [
        x
        for x in ancestors([source])
        if x.owner is None
        and x not in given
        and getattr(x, "ndim", 0) > 0
        and x.type.shape[0] in lengths
        and varies(x)
    ]
    if not others:
        return
    names = ", ".join(sorted(str(x.name or "a constant") for x in others))
    raise MixtureError(
        f"The density of {variable} is conditional on more than the observation: {names}, with "
        "one value per observation. Give covariates={name: values}, for which the model must hold "
        "it as pm.Data(name, ...)."
    )


def _at_points(source: Variable, leaves: Sequence[_Rows], rows: NDArray) -> TensorVariable:
    """Rows of `source` at the new points, put in the place of the data piece by piece.

    With the lengths of the data all shapes of the model are right.
    """
    n_points = len(leaves[0].values)
    pieces = []
    for first in range(0, n_points, len(rows)):
        n = min(len(rows), n_points - first)
        replace = {leaf.leaf: leaf.piece(first, n) for leaf in leaves}
        (piece,) = clone_replace([source], replace)
        pieces.append(piece[rows[:n]])
    return pt.concatenate(pieces)
