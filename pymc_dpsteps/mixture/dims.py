"""Models of `pymc.dims` as models of plain tensors.

In a model of `pymc.dims` axes have names, ``mu.isel(component=z)`` stands for ``mu[z]``, and value
variables, transforms and operations are of other classes than those that the rest of this package
knows. PyTensor can lower such graphs to tensors; here this is done for a whole model. The copy has
the same variables, with the same value variables by name, shape and transform: a point of one is a
point of the other.
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.dims.distributions import transforms as of_dims
from pymc.distributions import transforms as of_tensors
from pymc.logprob.transforms import Transform
from pymc.model.fgraph import ModelFreeRV, ModelVar, fgraph_from_model, model_from_fgraph
from pymc.model.transform.optimization import freeze_dims_and_data
from pytensor.compile import optdb
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import out2in
from pytensor.graph.traversal import ancestors
from pytensor.tensor.rewriting.elemwise import local_dimshuffle_lift
from pytensor.xtensor import as_xtensor
from pytensor.xtensor.basic import TensorFromXTensor, XTensorFromTensor
from pytensor.xtensor.type import XTensorType

from pymc_dpsteps.mixture.structure import MixtureError

__all__ = ["in_tensors"]


def in_tensors(model: pm.Model) -> pm.Model:
    """Copy of a model of `pymc.dims` with tensors in place of all variables.

    Parameters
    ----------
    model : pm.Model
        The user's model; it is not changed.

    Returns
    -------
    pm.Model
        Data and dimensions are constants in it, and it has no initial values.

    Raises
    ------
    MixtureError
        If a variable has a transform or an operation without a counterpart for tensors.
    """
    model = freeze_dims_and_data(model)
    for rv in model.free_RVs:
        model.set_initval(rv, None)
    graph, _ = fgraph_from_model(model)
    for node in graph.toposort():
        if isinstance(node.op, ModelVar) and isinstance(node.outputs[0].type, XTensorType):
            _replace(graph, node)
    optdb.query("+lower_xtensor").rewrite(graph)
    out2in(local_dimshuffle_lift).rewrite(graph)  # z, and not z with an axis added and taken away
    _fold_constants(graph)
    _refuse_what_is_left(graph)
    return model_from_fgraph(graph, mutate_fgraph=True)


def _replace(graph: FunctionGraph, node: Apply) -> None:
    """Declare a variable of the model as a tensor; its users convert it back for now."""
    (old,) = node.outputs
    op = node.op
    if isinstance(op, ModelFreeRV):
        op = ModelFreeRV(op.name, op.dims, _transform(op, old.type.dims))
    new = op(*[_tensor(x) for x in node.inputs])
    graph.replace(old, as_xtensor(new, dims=old.type.dims), import_missing=True)


def _tensor(x: Variable) -> Variable:
    if not isinstance(x.type, XTensorType):
        return x
    if isinstance(x, Constant):
        return pt.constant(x.data, name=x.name)
    if x.owner is None:  # a value variable
        return pt.tensor(x.name, dtype=x.type.dtype, shape=x.type.shape)
    return x.values


def _transform(op: ModelFreeRV, dims: tuple[str, ...]) -> Transform | None:
    """PyMC's transform of tensors that computes the same."""
    match op.transform:
        case None:
            return None
        case of_dims.LogTransform():
            return of_tensors.log
        case of_dims.LogOddsTransform():
            return of_tensors.logodds
        case of_dims.CircularTransform():
            return of_tensors.circular
        case of_dims.IntervalTransform(lower=lower, upper=upper) if not lower.ndim + upper.ndim:
            return of_tensors.Interval(
                *[None if np.isinf(x.data) else float(x.data) for x in (lower, upper)]
            )
        case of_dims.SimplexTransform(core_dim=dim) if dim == dims[-1]:
            return of_tensors.simplex
    raise MixtureError(
        f"{op.name} has the transform {type(op.transform).__name__} of pymc.dims over {dims}, "
        "which cannot be read here. Declare this variable as one of pm, not of pymc.dims, and give "
        "it names of axes where it is used: pymc.dims.as_xtensor(variable, dims=...)."
    )


def _fold_constants(graph: FunctionGraph) -> None:
    for node in graph.toposort():
        if isinstance(node.op, TensorFromXTensor) and isinstance(node.inputs[0], Constant):
            graph.replace(node.outputs[0], pt.constant(node.inputs[0].data))


def _refuse_what_is_left(graph: FunctionGraph) -> None:
    """All that variables depend on must have been lowered."""
    for node in graph.toposort():
        if not isinstance(node.op, ModelVar):
            continue
        for x in ancestors(node.inputs):
            op = None if x.owner is None else x.owner.op
            if isinstance(x.type, XTensorType) and not isinstance(op, XTensorFromTensor | None):
                raise MixtureError(
                    f"{node.op.name} depends on the operation {type(op).__name__} of named axes, "
                    "which cannot be written with tensors. Write this part of the model with pm "
                    "and pytensor.tensor."
                )
