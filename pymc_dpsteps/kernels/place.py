"""Where the variables of a kernel go: their names, shapes and dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import pymc as pm
from pymc.model import modelcontext
from pytensor.graph.basic import Constant
from pytensor.tensor.random.basic import CategoricalRV
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.distributions import ChineseRestaurantProcessRV

__all__ = ["Place", "locate"]


@dataclass(frozen=True)
class Place:
    """Where the variables of a kernel go.

    Attributes
    ----------
    name : str
        Name of the observed variable.
    z : TensorVariable
        The allocation, of shape (N,).
    n_items : int or None
        N, where it is known before the model is complete.
    K : int
        Number of components.
    component : str or None
        Dimension along the components.
    dims : tuple of str or None
        Dimensions of the observed variable.
    prefix : str
        What the names of the atoms begin with.
    """

    name: str
    z: TensorVariable
    n_items: int | None
    K: int
    component: str | None
    dims: tuple[str, ...] | None
    prefix: str

    def atom(
        self,
        distribution: Any,
        label: str,
        *parameters: Any,
        axes: Sequence[int] = (),
        **named: Any,
    ) -> TensorVariable:
        """Declare an atom; `axes` is the shape of one component's value."""
        model = modelcontext(None)
        name = f"{self.prefix}_{label}" if self.prefix else label
        if model.name_for(name) in model.named_vars:
            raise ValueError(
                f"{self.name}: the model has a variable {name} already, which is the name of an "
                f"atom of this kernel. Give prefix={self.name!r}, or another."
            )
        dims: tuple[str, ...] | None = None
        if self.component is not None and not axes:
            dims = (self.component,)
        elif self.component is not None and len(axes) == 1 and self.dims and len(self.dims) == 2:
            dims = (self.component, self.dims[1])
        return distribution(name, *parameters, shape=(self.K, *axes), dims=dims, **named)

    def observe(self, distribution: Any, *parameters: Any, observed: Any, **named: Any) -> Any:
        """Declare the observed variable."""
        return distribution(self.name, *parameters, observed=observed, dims=self.dims, **named)


def locate(
    name: str,
    z: TensorVariable,
    K: int | None,
    component: str | None,
    dims: str | Sequence[str] | None,
    prefix: str,
) -> Place:
    """Find the number of components and the dimensions.

    Raises
    ------
    TypeError
        If `z` is not a variable, or there is no model in context.
    ValueError
        If `z` is not a vector of integers, or the number of components is unknown or
        contradictory.
    """
    model = modelcontext(None)
    if not isinstance(z, TensorVariable):
        raise TypeError(
            f"{name}: the allocation is of type {type(z).__name__}. Give the variable z itself, "
            "dps.ChineseRestaurantProcess(...) or pm.Categorical(...)."
        )
    if z.ndim != 1 or z.dtype[:3] not in ("int", "uin"):
        raise ValueError(
            f"{name}: the allocation {z.name} has {z.ndim} axes and dtype {z.dtype}; expected a "
            "vector of integers, one label per item."
        )
    if component is None and "component" in model.dim_lengths:
        component = "component"
    return Place(
        name=name,
        z=z,
        n_items=_items(model, z),
        K=_components(model, name, z, K, component),
        component=component,
        dims=(dims,) if isinstance(dims, str) else None if dims is None else tuple(dims),
        prefix=prefix,
    )


def _components(
    model: pm.Model, name: str, z: TensorVariable, K: int | None, component: str | None
) -> int:
    if K is not None and (isinstance(K, bool) or not isinstance(K, Integral) or K < 1):
        raise ValueError(f"{name}: K = {K!r}; expected a number of components, such as K=30.")
    found = {"K": K, f"the allocation {z.name}": _slots(z)}
    if component is not None and component in model.dim_lengths:
        found[f"the dimension {component}"] = _length(model, component)
    known = {source: int(n) for source, n in found.items() if n is not None}
    if not known:
        raise ValueError(
            f"{name}: the number of components is unknown. Give K=, or the model a dimension "
            '"component".'
        )
    if len(set(known.values())) > 1:
        listed = ", ".join(f"{n} by {source}" for source, n in known.items())
        raise ValueError(
            f"{name}: the number of components is {listed}. Make them agree, or leave out K=."
        )
    return next(iter(known.values()))


def _slots(z: TensorVariable) -> int | None:
    """Number of labels that an allocation can have, where its distribution shows it."""
    op = z.owner.op if z.owner is not None else None
    if isinstance(op, ChineseRestaurantProcessRV):
        slots = op.dist_params(z.owner)[2]
        return int(slots.data) if isinstance(slots, Constant) else None
    if isinstance(op, CategoricalRV):
        length: int | None = op.dist_params(z.owner)[0].type.shape[-1]
        return length
    return None


def _items(model: pm.Model, z: TensorVariable) -> int | None:
    length: int | None = z.type.shape[0]
    if length is None and model.named_vars_to_dims.get(z.name):
        length = _length(model, model.named_vars_to_dims[z.name][0])
    return length


def _length(model: pm.Model, dim: str) -> int:
    return int(model.dim_lengths[dim].eval(mode="FAST_COMPILE"))
