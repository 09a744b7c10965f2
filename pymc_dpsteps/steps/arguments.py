"""Checks of what a user gives a step method."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import pymc as pm
from pytensor.graph.basic import Variable

from pymc_dpsteps.conjugate.report import describe
from pymc_dpsteps.mixture.read import find_allocations
from pymc_dpsteps.mixture.structure import Conjugacy, Mixture, MixtureError, PriorKind

__all__ = [
    "changed",
    "check_option",
    "check_owned",
    "data_of",
    "named_allocation",
    "no_pair_message",
    "whole_number",
]


def check_option(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    """Refuse a value that is not among the allowed ones."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {allowed}; found {value!r}.")


def whole_number(step: Any, meaning: str, value: Any, *, least: int = 1) -> int:
    """An option of a step that counts something, as an int; `meaning` says what it counts."""
    whole = isinstance(value, Real) and not isinstance(value, bool) and float(value).is_integer()
    if not whole or value < least:
        raise ValueError(
            f"{type(step).__name__}: {meaning}; found {value!r}, "
            f"expected an integer of at least {least}."
        )
    return int(value)


def _given(vars: Any) -> list[Variable]:
    if vars is None:
        return []
    return list(vars) if isinstance(vars, list | tuple) else [vars]


def _rv_name(model: pm.Model, var: Any) -> str:
    if isinstance(var, str):
        return var
    rv = model.values_to_rvs.get(var, var)
    return str(rv.name)


def named_allocation(model: pm.Model, vars: Any) -> str | None:
    """Name of the allocation among `vars`, or None to let the model decide."""
    names = [_rv_name(model, var) for var in _given(vars)]
    allocations = [rv.name for rv in find_allocations(model) if rv.name in names]
    if len(allocations) > 1:
        raise MixtureError(
            f"One step samples one allocation; found {', '.join(allocations)}. Give each its own "
            "step."
        )
    if allocations:
        return str(allocations[0])
    return names[0] if len(names) == 1 else None


def check_owned(model: pm.Model, vars: Any, owned: list[Variable]) -> None:
    """Refuse variables that the step does not update."""
    names = [_rv_name(model, var) for var in _given(vars)]
    owned_names = [_rv_name(model, var) for var in owned]
    if extra := [name for name in names if name not in owned_names]:
        raise MixtureError(
            f"This step does not update {', '.join(extra)}; it updates {', '.join(owned_names)}. "
            "Leave the others to PyMC's step methods."
        )


def data_of(model: pm.Model) -> dict[str, np.ndarray]:
    """Copies of the model's mutable data."""
    return {str(v.name): np.array(v.get_value(borrow=True)) for v in model.data_vars if _is_data(v)}


def _is_data(variable: Variable) -> bool:
    return hasattr(variable, "get_value")


def changed(data: dict[str, np.ndarray], model: pm.Model) -> bool:
    """Whether the model's mutable data differ from the copies in `data`."""
    return any(
        not np.array_equal(data[str(v.name)], v.get_value(borrow=True), equal_nan=False)
        for v in model.data_vars
        if _is_data(v)
    )


# Algorithms for any kernel and base measure, by what they ask of the allocation's prior.
_ANY_PAIR = ("Neal8", "Neal7", "Neal6", "Neal5")
_BY_PRIOR = {
    PriorKind.CRP: (*_ANY_PAIR, "Neal4", "ImportanceConditional"),
    PriorKind.STICKS: (*_ANY_PAIR, "BlockedGibbs", "SliceGibbs", "ImportanceConditional"),
    PriorKind.DIRICHLET: (*_ANY_PAIR, "BlockedGibbs", "SliceGibbs", "ImportanceConditional"),
    PriorKind.WEIGHTS: ("BlockedGibbs", "SliceGibbs", "ImportanceConditional"),
}


def no_pair_message(step: str, mixture: Mixture, conjugacy: Conjugacy) -> str:
    """Why a step that integrates the atoms out cannot, and what can sample the model."""
    seen = [
        f"{atom.name} with the prior {atom.prior} and the likelihood "
        f"{', '.join(atom.likelihoods)} ({atom.verdict})"
        for atom in describe(mixture, conjugacy).atoms
    ]
    kind = mixture.prior.kind
    return (
        f"{step} integrates the atoms out, which needs a conjugate pair of likelihood and prior "
        f"for every atom, conditional on no other. Found: {'; '.join(seen)}. For any likelihood "
        f"and prior of the atoms, under {kind.value}: "
        f"{', '.join(f'dps.{name}()' for name in _BY_PRIOR[kind])}."
    )
