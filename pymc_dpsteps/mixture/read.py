"""Read a PyMC model as a mixture: recognise its parts, or refuse and say why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.model.transform.optimization import freeze_dims_and_data
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.basic import CategoricalRV
from pytensor.tensor.shape import Shape
from pytensor.tensor.subtensor import AdvancedSubtensor
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.distributions.crp import ChineseRestaurantProcessRV
from pymc_dpsteps.mixture.group import group_of, without_masks
from pymc_dpsteps.mixture.hyperparameters import read_hyperparameters
from pymc_dpsteps.mixture.lift import Lifter
from pymc_dpsteps.mixture.missing import without_missing
from pymc_dpsteps.mixture.prior import read_concentration, read_prior
from pymc_dpsteps.mixture.rules import Axis, ComponentError, LiftError
from pymc_dpsteps.mixture.structure import (
    AllocationPrior,
    Atom,
    GroupedTerm,
    Mixture,
    MixtureError,
)

__all__ = ["find_allocations", "read_mixture", "with_fixed_shapes"]

_LOOKED_FOR = (
    "An allocation is an integer vector, dps.ChineseRestaurantProcess(...) or "
    "pm.Categorical(..., w) with one weight vector w, that indexes the leading axis of the atoms "
    "in a likelihood, as in pm.Normal('y', mu[z], sigma[z], observed=...)"
)


def find_allocations(model: pm.Model) -> list[TensorVariable]:
    """Free random variables of `model` that can be an allocation and index something.

    Parameters
    ----------
    model : pm.Model
        Any PyMC model.

    Returns
    -------
    list of TensorVariable
        In the order of the model's free variables; empty when the model is not a mixture. Those
        of a model of `pymc.dims` are tensors with the same names.
    """
    model = _in_tensors(model)
    graph = list(ancestors(model.basic_RVs + model.deterministics + model.potentials))
    indices = [
        index
        for x in graph
        if x.owner is not None and isinstance(x.owner.op, AdvancedSubtensor)
        for index in x.owner.inputs[1:]
    ]
    # z itself, or a function of it such as z[group], which is refused later with its reason.
    used_as_index = set(ancestors(indices, blockers=set(model.basic_RVs)))
    return [rv for rv in model.free_RVs if _is_label_vector(rv) and rv in used_as_index]


def _is_label_vector(rv: TensorVariable) -> bool:
    op = rv.owner.op
    return isinstance(op, ChineseRestaurantProcessRV | CategoricalRV) and rv.ndim == 1


def read_mixture(model: pm.Model, allocation: str | None = None) -> Mixture:
    """Read a PyMC model as a mixture over one allocation.

    Parameters
    ----------
    model : pm.Model
        The user's model; it is not changed.
    allocation : str, optional
        Name of the allocation. May be left out when there is exactly one.

    Returns
    -------
    Mixture
        The parts of the model, and its kernel and base measure lifted to one item and one
        component.

    Raises
    ------
    MixtureError
        If the model is not a mixture, names several allocations, or has a part that cannot be
        sampled exactly; the message names the variable and the way out.
    """
    model = _in_tensors(model)
    name = _allocation_name(model, allocation)
    model = _freeze(model)
    z = model[name]
    z_value = model.rvs_to_values[z]
    n_items, n_components = _sizes(z)

    terms = model.basic_RVs + model.potentials
    factors = dict(zip(terms, model.logp(vars=terms, sum=False), strict=True))
    factors, integrated = without_missing(model, factors)
    log_densities = without_masks(with_fixed_shapes(list(factors.values())))
    factors = dict(zip(factors, log_densities, strict=True))
    touched = {term: set(ancestors([factor])) for term, factor in factors.items()}
    kernel_rvs = [rv for rv in model.basic_RVs if rv is not z and z_value in touched[rv]]
    if not kernel_rvs:
        raise MixtureError(f"The allocation {name} indexes nothing. {_LOOKED_FOR}.")
    imputed = [*_missing_observations(model, kernel_rvs, touched), *integrated]
    kernel_rvs = [rv for rv in kernel_rvs if rv not in imputed]
    _refuse_nan(model, kernel_rvs)

    lifter = Lifter(z_value, model.value_vars, n_components)
    log_kernel: TensorVariable = pt.constant(0.0)
    grouped = []
    for rv in kernel_rvs:
        group = group_of(factors[rv], z_value)
        if group is None:
            log_kernel = log_kernel + _lift_kernel(lifter, model, rv, factors[rv], n_items)
        else:
            within = lifter.for_group(group)
            lifted = _lift_kernel(within, model, rv, factors[rv], len(group))
            grouped.append(GroupedTerm(rv.name, group, lifted, within.items))
    if not lifter.indexed:
        raise MixtureError(
            f"The allocation {name} enters {_names(kernel_rvs)} but indexes nothing there. "
            f"{_LOOKED_FOR}."
        )
    log_base, atom_rvs = _lift_base(lifter, model, factors)
    prior = read_prior(model, z, n_components, touched)
    atoms = tuple(
        Atom(rv, model.rvs_to_values[rv], lifter.atoms[model.rvs_to_values[rv]]) for rv in atom_rvs
    )
    used = [*lifter.items, *lifter.shared, *(x for t in grouped for x in t.observations)]
    _refuse_other_uses(model, name, atoms, [*kernel_rvs, *imputed], touched, used, prior)
    concentration = read_concentration(model, z, prior, touched)
    others = [z, *kernel_rvs, *imputed, *concentration]
    return Mixture(
        model=model,
        allocation=z,
        n_items=n_items,
        n_components=n_components,
        prior=prior,
        concentration=concentration,
        atoms=atoms,
        kernel_names=tuple(rv.name for rv in kernel_rvs),
        hyperparameters=read_hyperparameters(model, atom_rvs, others, touched),
        imputed=tuple(imputed),
        log_kernel=log_kernel,
        grouped=tuple(grouped),
        log_base=log_base,
        items=lifter.items,
        shared=lifter.shared,
    )


def _allocation_name(model: pm.Model, allocation: str | None) -> str:
    found = [rv.name for rv in find_allocations(model)]
    if allocation is not None:
        if allocation in found:
            return allocation
        if allocation not in model.named_vars:
            raise MixtureError(f"The model has no variable named {allocation}.")
        rv = model[allocation]
        if rv in model.free_RVs and _is_label_vector(rv):
            raise MixtureError(f"The allocation {allocation} indexes nothing. {_LOOKED_FOR}.")
        raise MixtureError(f"{allocation} is not an allocation. {_LOOKED_FOR}.")
    if len(found) == 1:
        return found[0]
    if found:
        raise MixtureError(
            f"The model has {len(found)} allocations: {', '.join(found)}. Name the one this step "
            f"samples, and give each its own: step=[dps.Neal8({found[0]}), …]."
        )
    idle = [rv.name for rv in model.free_RVs if _is_label_vector(rv)]
    if idle:
        raise MixtureError(f"The allocation {', '.join(idle)} indexes nothing. {_LOOKED_FOR}.")
    raise MixtureError(
        f"The model is not a mixture with an allocation. {_LOOKED_FOR}. "
        f"Free variables found: {_names(model.free_RVs) or 'none'}."
    )


def _in_tensors(model: pm.Model) -> pm.Model:
    """The model, or where its variables have named axes (`pymc.dims`) a copy in plain tensors."""
    if not any(hasattr(x.type, "dims") for x in ancestors(model.basic_RVs + model.potentials)):
        return model
    # Not at the top: importing pymc.dims enters rewrites into PyMC.
    from pymc_dpsteps.mixture.dims import in_tensors

    return in_tensors(model)


def _freeze(model: pm.Model) -> pm.Model:
    """Copy of the model in which data are constants and all shapes are known."""
    model = freeze_dims_and_data(model)
    if any(None in value.type.shape for value in model.value_vars):
        start = model.initial_point(random_seed=0)
        for value in model.value_vars:
            value.type = value.type.clone(shape=start[value.name].shape)
    return model


def with_fixed_shapes(graphs: Sequence[TensorVariable]) -> list[TensorVariable]:
    """Replace the shape of whatever has a known shape by that constant."""
    replace = {
        x: pt.constant(np.array(x.owner.inputs[0].type.shape, dtype="int64"))
        for x in ancestors(graphs)
        if x.owner is not None
        and isinstance(x.owner.op, Shape)
        and None not in x.owner.inputs[0].type.shape
    }
    return list(clone_replace(graphs, replace, rebuild_strict=False))


def _sizes(z: TensorVariable) -> tuple[int, int]:
    (n_items,) = z.type.shape
    first = z.owner.op.dist_params(z.owner)
    if isinstance(z.owner.op, ChineseRestaurantProcessRV):
        n_components = int(first[2].data)
    else:
        p = first[0]
        if p.ndim != 1 and not all(p.type.broadcastable[:-1]):
            raise MixtureError(
                f"The allocation {z.name} has a weight vector per item (an array of "
                f"{p.ndim} dimensions); one weight vector for all items is expected."
            )
        n_components = p.type.shape[-1]
    if n_items is None or n_components is None:
        raise MixtureError(
            f"The lengths of {z.name} and of its weights must be fixed: found N={n_items}, "
            f"K={n_components}. Give shape= or dims= with coords."
        )
    return n_items, n_components


def _missing_observations(
    model: pm.Model, kernel_rvs: list[TensorVariable], touched: dict[TensorVariable, set[Variable]]
) -> list[TensorVariable]:
    """Variables that PyMC makes of missing data, ``y_unobserved`` beside ``y_observed``.

    As long as no other term depends on them their density integrates to one.
    """
    return [
        rv
        for rv in kernel_rvs
        if rv.name.endswith("_unobserved")
        and f"{rv.name.removesuffix('_unobserved')}_observed" in model.named_vars
        and not any(model.rvs_to_values[rv] in met for x, met in touched.items() if x is not rv)
    ]


def _lift_kernel(
    lifter: Lifter, model: pm.Model, rv: TensorVariable, factor: TensorVariable, n_items: int
) -> TensorVariable:
    if factor.ndim == 0 or factor.type.shape[0] != n_items:
        rows = "items" if lifter.group is None else "observations"
        raise MixtureError(
            f"{rv.name} has a log-density of shape {factor.type.shape}, but the allocation "
            f"{lifter.allocation.name} indexes {n_items} {rows}: its leading axis must be the "
            f"{rows}, one independent observation each. A likelihood that sums over items or "
            "joins several in one density (a time series, a multivariate normal over all items) "
            "cannot be sampled item by item."
        )
    try:
        return _sum_all(lifter.take(factor, Axis.ITEM))
    except ComponentError as error:
        values = lifter.value_vars.intersection(ancestors([error.indexed]))
        raise MixtureError(
            f"The atoms {_rv_names(model, values)} that {rv.name} indexes are not one independent "
            f"value per component: {error}. Give one row per slot, in no order, and no other "
            "constraint across components."
        ) from error
    except LiftError as error:
        raise MixtureError(
            f"The density of {rv.name} for one item cannot be separated: {error}. Element i of a "
            "kernel may depend on the allocation through z[i] alone. Write the likelihood with "
            "parameters indexed by the allocation, atom[z], one row per item."
        ) from error


def _lift_base(
    lifter: Lifter, model: pm.Model, factors: dict[TensorVariable, TensorVariable]
) -> tuple[TensorVariable, list[TensorVariable]]:
    """Lift the prior of every atom; parents with a component axis are atoms as well."""
    log_base: TensorVariable = pt.constant(0.0)
    done: list[TensorVariable] = []
    while pending := [v for v in lifter.atoms if model.values_to_rvs[v] not in done]:
        rv = model.values_to_rvs[pending[0]]
        if np.dtype(rv.dtype).kind in "iub":
            raise MixtureError(
                f"The atom {rv.name} is discrete ({rv.dtype}); atoms must be continuous. "
                "Sum it out of the likelihood or give it a continuous prior."
            )
        try:
            if factors[rv].ndim == 0:
                raise LiftError("its density is one number for all components together")
            log_base = log_base + _sum_all(lifter.take(factors[rv], Axis.COMPONENT))
        except LiftError as error:
            raise MixtureError(
                f"The atom {rv.name} is not independent and identically distributed over its "
                f"leading (component) axis: {error}. The base measure G0 must be the same for "
                "every component: give the prior parameters without a component axis, and no "
                "ordering or random walk over components."
            ) from error
        done.append(rv)
    in_model_order = [rv for rv in model.free_RVs if rv in done]
    return log_base, in_model_order


def _sum_all(x: TensorVariable) -> TensorVariable:
    return x.sum() if x.ndim else x


def _refuse_other_uses(
    model: pm.Model,
    name: str,
    atoms: tuple[Atom, ...],
    kernel_rvs: list[TensorVariable],
    touched: dict[TensorVariable, set[Variable]],
    used: Sequence[Variable],
    prior: AllocationPrior,
) -> None:
    atom_values = {atom.value_var for atom in atoms}
    atom_rvs = [atom.rv for atom in atoms]
    for potential in model.potentials:
        reached = atom_values.union([model.rvs_to_values[model[name]]])
        if met := reached.intersection(touched[potential]):
            raise MixtureError(
                f"The potential {potential.name} touches {_rv_names(model, met)}: a factor "
                "outside the priors and likelihoods cannot be attributed to one item or one "
                "component. Write it as a likelihood term or into the atoms' prior (pm.CustomDist)."
            )
    for rv in model.basic_RVs:
        if rv in kernel_rvs or rv in atom_rvs:
            continue
        if met := atom_values.intersection(touched[rv]):
            raise MixtureError(
                f"{rv.name} uses the atoms {_rv_names(model, met)} without the allocation {name}: "
                f"only kernel terms, which index atoms by {name}, may depend on them."
            )
    loose = atom_values.intersection(ancestors(used))
    if loose:
        raise MixtureError(
            f"{_names(kernel_rvs)} or the atoms' prior use {_rv_names(model, loose)} for all "
            f"components at once, not row by row through {name}: the components are not "
            "independent."
        )
    weight_value = None if prior.weight_rv is None else model.rvs_to_values[prior.weight_rv]
    if weight_value in set(ancestors(used)):
        raise MixtureError(f"The kernel {_names(kernel_rvs)} depends on the weights themselves.")


def _refuse_nan(model: pm.Model, kernel_rvs: list[TensorVariable]) -> None:
    for rv in kernel_rvs:
        for x in ancestors([model.rvs_to_values[rv]]):
            if not isinstance(x, Constant) or np.asarray(x.data).dtype.kind != "f" or x.ndim == 0:
                continue
            missing = np.isnan(np.ma.filled(x.data, np.nan)).reshape(len(x.data), -1).any(axis=1)
            if missing.any():
                raise MixtureError(
                    f"The data of {rv.name} hold NaN at {missing.sum()} items (first: "
                    f"{np.flatnonzero(missing)[:5].tolist()}). Check the data: drop these items, "
                    "or impute them first."
                )


def _names(variables: Iterable[Variable]) -> str:
    return ", ".join(sorted(str(v.name) for v in variables))


def _rv_names(model: pm.Model, values: Iterable[Variable]) -> str:
    return _names(model.values_to_rvs[value] for value in values)
