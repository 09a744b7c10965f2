"""Pairs in which the atom is a rate, precision, scale or variance with a gamma law.

An atom is a rate λ ~ Gamma(shape, rate), of which Exponential is a case, or the reciprocal of
one, with an inverse-gamma prior. The likelihood's own rate is ``c λ`` with c known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytensor.tensor as pt
from pytensor.tensor.random.basic import ExponentialRV, GammaRV, InvGammaRV
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.conjugate.families.gamma import GAMMA
from pymc_dpsteps.conjugate.match import (
    Observations,
    at,
    join,
    make_block,
    refuse_children,
    refuse_dependence,
    terms_of_kind,
)
from pymc_dpsteps.conjugate.view import AtomView, Law, NoPairError, View
from pymc_dpsteps.mixture.structure import Block

__all__ = ["RateLaw", "RatePair", "rate_law", "rate_multiple"]


@dataclass(frozen=True)
class RateLaw:
    """The gamma law of a rate, and whether the atom is the rate or its reciprocal."""

    shape: TensorVariable
    rate: TensorVariable
    reciprocal: bool

    def turn(self, x: TensorVariable) -> TensorVariable:
        """From the atom to the rate, and back."""
        return 1.0 / x if self.reciprocal else x


def rate_law(atom: AtomView) -> RateLaw | None:
    """The atom's prior as the law of a rate, if it is one."""
    if atom.prior.problem:
        return None
    match atom.prior.op, atom.prior.parameters:
        case GammaRV(), (shape, scale):
            return RateLaw(shape, 1.0 / scale, reciprocal=False)
        case ExponentialRV(), (scale,):
            return RateLaw(pt.ones_like(scale), 1.0 / scale, reciprocal=False)
        case InvGammaRV(), (shape, scale):
            return RateLaw(shape, scale, reciprocal=True)
    return None


def rate_multiple(
    view: View, law: Law, rate: TensorVariable, atom: AtomView, prior: RateLaw
) -> TensorVariable:
    """The known c of a likelihood's rate c λ."""
    multiple = at(rate, atom.leaf, 1.0)
    if not view.identical([(rate, multiple * prior.turn(atom.leaf))]):
        raise NoPairError(
            f"{law.name} does not take {atom.name} as a "
            f"{'scale or variance' if prior.reciprocal else 'rate or precision'} times what is "
            "known"
        )
    return multiple


@dataclass(frozen=True)
class RatePair:
    """A likelihood ``λ^a exp(-b λ) h``.

    Attributes
    ----------
    name : str
        Likelihood and prior, in words.
    op : type
        The likelihood's op.
    rate : callable
        From the likelihood's parameters to its rate.
    known : dict
        Position of a parameter that must not depend on the atom -> its name.
    datum : callable
        ``datum(value, parameters, c)``: a, b and log h, where the rate is c λ.
    """

    name: str
    op: type
    rate: Callable[[Sequence[TensorVariable]], TensorVariable]
    known: dict[int, str]
    datum: Callable[
        [TensorVariable, Sequence[TensorVariable], TensorVariable], Sequence[TensorVariable]
    ]

    def match(self, view: View, atom: AtomView) -> Block | None:
        """See `Pair`."""
        prior = rate_law(atom)
        terms = terms_of_kind(view, atom, self.op)
        if prior is None or not terms:
            return None
        refuse_children(view, atom)
        observations = []
        for law, value in terms:
            for position, what in self.known.items():
                refuse_dependence(view, law.parameters[position], atom, f"the {what} of {law.name}")
            c = rate_multiple(view, law, self.rate(law.parameters), atom, prior)
            observations.append(
                Observations(law, self.datum(value, law.parameters, c), value.type.shape)
            )
        return make_block(
            view,
            self.name,
            GAMMA,
            [atom],
            d=1,
            batch=atom.leaf.type.shape,
            observations=observations,
            hyper=join([prior.shape[..., None], prior.rate[..., None]], atom.leaf.type.shape),
            natural=lambda draw: [prior.turn(draw[..., 0])],
        )
