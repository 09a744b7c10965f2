"""Recognise the prior of an allocation: urn, stick-breaking, Dirichlet, or unknown weights."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pymc.distributions.multivariate import StickBreakingWeightsRV
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.elemwise import DimShuffle
from pytensor.tensor.random.basic import BetaRV, DirichletRV
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.distributions.crp import ChineseRestaurantProcessRV
from pymc_dpsteps.mixture.structure import AllocationPrior, PriorKind

__all__ = ["read_concentration", "read_prior"]


def read_prior(
    model: pm.Model,
    z: TensorVariable,
    n_components: int,
    touched: dict[TensorVariable, set[Variable]],
) -> AllocationPrior:
    """Prior of the allocation `z`; `touched` maps a variable to what its density depends on."""
    op = z.owner.op
    if isinstance(op, ChineseRestaurantProcessRV):
        alpha, discount = op.dist_params(z.owner)[:2]
        parameters = pt.stack([alpha, discount]).astype("float64")[None, :]
        return AllocationPrior(PriorKind.CRP, parameters, None, None)

    p = _without_batch_axes(op.dist_params(z.owner)[0])
    weights = p.reshape((n_components,))
    sources = _random_parents([p], model)
    if len(sources) == 1 and sources[0].ndim == 1 and _only_used_by(model, sources[0], z, touched):
        (rv,) = sources
        match rv.owner.op:
            case StickBreakingWeightsRV() if p is rv:
                alpha = rv.owner.op.dist_params(rv.owner)[0]
                return AllocationPrior(
                    PriorKind.STICKS, _columns(1.0, alpha, n_components - 1), weights, rv
                )
            case DirichletRV() if p is rv:
                (a,) = rv.owner.op.dist_params(rv.owner)
                return AllocationPrior(
                    PriorKind.DIRICHLET, _columns(a, 0.0, n_components), weights, rv
                )
            case BetaRV() if _are_sticks(rv, p, n_components):
                a, b = rv.owner.op.dist_params(rv.owner)
                return AllocationPrior(
                    PriorKind.STICKS, _columns(a, b, n_components - 1), weights, rv
                )
    return AllocationPrior(PriorKind.WEIGHTS, pt.zeros((0, 2)), weights, None)


def _without_batch_axes(p: TensorVariable) -> TensorVariable:
    """Undo the length-one axes by which PyTensor matches the weights to the items."""
    if p.owner is not None and isinstance(p.owner.op, DimShuffle) and p.ndim > 1:
        (inner,) = p.owner.inputs
        if inner.ndim == 1:
            return inner
    return p


def _columns(first: object, second: object, n_rows: int) -> TensorVariable:
    columns = [
        pt.broadcast_to(pt.as_tensor(c, dtype="float64"), (n_rows,)) for c in (first, second)
    ]
    return pt.stack(columns, axis=1)


def _are_sticks(v: TensorVariable, p: TensorVariable, n_components: int) -> bool:
    """Whether ``p`` is the stick-breaking map of ``v``, tested by value at random points."""
    if v.type.shape != (n_components - 1,):
        return False
    function = pytensor.function([v], p, mode="FAST_COMPILE")
    rng = np.random.default_rng(0)
    for _ in range(3):
        sticks = rng.uniform(0.05, 0.95, size=n_components - 1)
        remaining = np.concatenate([[1.0], np.cumprod(1.0 - sticks)])
        expected = np.append(sticks, 1.0) * remaining
        if not np.allclose(np.ravel(function(sticks)), expected, rtol=1e-10, atol=0.0):
            return False
    return True


def read_concentration(
    model: pm.Model,
    z: TensorVariable,
    prior: AllocationPrior,
    touched: dict[TensorVariable, set[Variable]],
) -> tuple[TensorVariable, ...]:
    """Scalar variables that the data reach through the allocation's prior alone."""
    child = z if prior.weight_rv is None else prior.weight_rv
    parents = _random_parents([prior.parameters], model)
    return tuple(
        rv
        for rv in model.free_RVs
        if rv in parents
        and rv.ndim == 0
        and np.dtype(rv.dtype).kind == "f"
        and _only_used_by(model, rv, child, touched)
    )


def _random_parents(graphs: Iterable[Variable], model: pm.Model) -> list[TensorVariable]:
    """Random variables met first on the way from `graphs` to the leaves."""
    variables = set(model.basic_RVs)
    return [x for x in ancestors(graphs, blockers=variables) if x in variables]


def _only_used_by(
    model: pm.Model,
    rv: TensorVariable,
    z: TensorVariable,
    touched: dict[TensorVariable, set[Variable]],
) -> bool:
    value = model.rvs_to_values[rv]
    return not any(value in met for term, met in touched.items() if term not in (rv, z))
