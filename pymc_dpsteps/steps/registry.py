"""Make plain ``pm.sample()`` pick Neal 8 for Dirichlet-process mixtures."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import pymc as pm
from pymc.distributions.multivariate import StickBreakingWeightsRV
from pymc.step_methods import STEP_METHODS
from pymc.step_methods.compound import Competence
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.basic import CategoricalRV
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.distributions.crp import ChineseRestaurantProcessRV
from pymc_dpsteps.mixture.read import find_allocations, read_mixture
from pymc_dpsteps.mixture.structure import MixtureError, PriorKind
from pymc_dpsteps.steps.neal8 import Neal8

__all__ = ["register"]

# Allocation and weights of a model, by the number of variables the model had when it was read:
# PyMC asks variable by variable, and reading a model takes a tenth of a second.
_claimed: WeakKeyDictionary[pm.Model, tuple[int, frozenset[str]]] = WeakKeyDictionary()


def register() -> None:
    """Enter Neal 8 into PyMC's list of step methods; calling it again changes nothing."""
    if Neal8 not in STEP_METHODS:
        STEP_METHODS.insert(0, Neal8)


def competence(var: TensorVariable, has_grad: bool) -> Competence:
    """How well Neal 8 suits a variable: ideal for allocation and weights of a DP mixture.

    Atoms and concentration are not claimed, so that a user's step can leave them to PyMC; Neal 8
    updates them all the same. Without a model in context (``pm.sample(model=model)``) the
    weights cannot be told from those of a mixture without allocation, and are not claimed.
    """
    op = None if var.owner is None else var.owner.op
    if isinstance(op, ChineseRestaurantProcessRV):
        return Competence.IDEAL  # no other step method can sample it
    model = pm.Model.get_context(error_if_none=False)
    if model is not None:
        ours = var.name in _claimed_names(model)
    else:
        ours = isinstance(op, CategoricalRV) and any(
            x.owner is not None and isinstance(x.owner.op, StickBreakingWeightsRV)
            for x in ancestors([var])
        )
    return Competence.IDEAL if ours else Competence.INCOMPATIBLE


def _claimed_names(model: pm.Model) -> frozenset[str]:
    size, names = _claimed.get(model, (-1, frozenset()))
    if size != len(model.basic_RVs):
        names = _read_claimed_names(model)
        _claimed[model] = (len(model.basic_RVs), names)
    return names


def _read_claimed_names(model: pm.Model) -> frozenset[str]:
    allocations = find_allocations(model)
    if len(allocations) != 1:
        return frozenset()
    try:
        mixture = read_mixture(model)
    except MixtureError:
        return frozenset()  # left to the step methods that PyMC would pick
    if mixture.prior.kind not in (PriorKind.CRP, PriorKind.STICKS):
        return frozenset()
    return frozenset(rv.name for rv in mixture.owned((), atoms=False))
