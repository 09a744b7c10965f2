"""Normal linear regression: coefficients with a normal prior, sd known given everything else.

``y ~ Normal(o + x'β, sd)``. β joins all atoms with a normal prior in which the mean is linear:
a vector of coefficients, or an intercept and slopes that are atoms of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.random.basic import MvNormalRV, NormalRV
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.conjugate.families.linear import LINEAR
from pymc_dpsteps.conjugate.location import mean_atoms, mean_terms
from pymc_dpsteps.conjugate.match import Observations, at, make_block, refuse_children
from pymc_dpsteps.conjugate.view import AtomView, NoPairError, View
from pymc_dpsteps.mixture.structure import Block


@dataclass(frozen=True)
class LinearRegression:
    """See the module."""

    name: str = "Normal linear regression with normal coefficients"

    def match(self, view: View, atom: AtomView) -> Block | None:
        """See `Pair`."""
        if not isinstance(atom.prior.op, NormalRV | MvNormalRV) or atom.prior.problem:
            return None
        terms = mean_terms(view, atom, NormalRV)
        if not terms:
            return None
        atoms = mean_atoms(view, terms)
        names = [law.name for law, _ in terms]
        for other in atoms:
            if [law.name for law, _ in mean_terms(view, other, NormalRV)] != names:
                raise NoPairError(f"{other.name} enters other likelihoods than {atom.name}")
        refuse_children(view, *atoms)
        priors = [_normal_prior(a) for a in atoms]
        prior_mean = pt.concatenate([m for m, _ in priors])
        observations = []
        for law, value in terms:
            mean, sd = law.parameters
            at_zero = _at_units(mean, atoms, None)
            design = [
                _at_units(mean, atoms, (a, q)) - at_zero for a in atoms for q in range(a.size)
            ]
            beta = pt.concatenate([a.leaf.reshape((-1,)) for a in atoms])
            linear = sum(x * beta[q] for q, x in enumerate(design))
            if not view.identical([(mean - at_zero, linear)], around=at_zero):
                raise NoPairError(
                    f"the mean of {law.name} is not linear in {', '.join(a.name for a in atoms)}"
                )
            centre = at_zero + sum(x * prior_mean[q] for q, x in enumerate(design))
            observations.append(
                Observations(law, (*design, value - centre, sd**-2), value.type.shape)
            )
        precision = (
            pt.linalg.block_diag(*[p for _, p in priors]) if len(priors) > 1 else priors[0][1]
        )
        return make_block(
            view,
            self.name,
            LINEAR,
            atoms,
            d=sum(a.size for a in atoms),
            batch=(),
            observations=observations,
            hyper=pt.concatenate([prior_mean, precision.reshape((-1,))]),
            natural=lambda draw: _split(draw, atoms),
        )


def _normal_prior(atom: AtomView) -> tuple[TensorVariable, TensorVariable]:
    """Mean vector and precision matrix of an atom's prior."""
    shape, (m, scale) = atom.leaf.type.shape, atom.prior.parameters
    mean = pt.broadcast_to(m, shape).reshape((atom.size,)).astype("float64")
    if isinstance(atom.prior.op, NormalRV):
        return mean, pt.diag(pt.broadcast_to(scale, shape).reshape((atom.size,)) ** -2.0)
    if len(shape) != 1:
        raise NoPairError(f"{atom.name} has several coefficient vectors per component")
    return mean, pt.linalg.inv(scale)


def _at_units(
    mean: TensorVariable, atoms: Sequence[AtomView], unit: tuple[AtomView, int] | None
) -> TensorVariable:
    """The mean with all coefficients zero except, where given, one that is one."""
    for atom in atoms:
        value = np.zeros(prod(atom.leaf.type.shape))
        if unit is not None and unit[0] is atom:
            value[unit[1]] = 1.0
        mean = at(mean, atom.leaf, pt.constant(value.reshape(atom.leaf.type.shape)))
    return mean


def _split(draw: TensorVariable, atoms: Sequence[AtomView]) -> list[TensorVariable]:
    ends = np.cumsum([0, *(a.size for a in atoms)])
    return [draw[start:end] for start, end in pairwise(ends)]


PAIR = LinearRegression()
