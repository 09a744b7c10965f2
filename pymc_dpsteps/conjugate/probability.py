"""Pairs in which the atom is a probability with a beta law."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytensor.tensor.random.basic import BetaRV
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.conjugate.families.beta import BETA
from pymc_dpsteps.conjugate.match import (
    Observations,
    join,
    make_block,
    refuse_children,
    refuse_dependence,
    terms_of_kind,
)
from pymc_dpsteps.conjugate.view import AtomView, NoPairError, View
from pymc_dpsteps.mixture.structure import Block

__all__ = ["ProbabilityPair"]


@dataclass(frozen=True)
class ProbabilityPair:
    """A likelihood ``p^a (1 - p)^b h``.

    Attributes
    ----------
    name : str
        Likelihood and prior, in words.
    op : type
        The likelihood's op; its last parameter is the probability.
    known : dict
        Position of a parameter that must not depend on the atom -> its name.
    datum : callable
        ``datum(value, parameters)``: a, b and log h.
    """

    name: str
    op: type
    known: dict[int, str]
    datum: Callable[[TensorVariable, Sequence[TensorVariable]], Sequence[TensorVariable]]

    def match(self, view: View, atom: AtomView) -> Block | None:
        """See `Pair`."""
        terms = terms_of_kind(view, atom, self.op)
        if not isinstance(atom.prior.op, BetaRV) or atom.prior.problem or not terms:
            return None
        refuse_children(view, atom)
        observations = []
        for law, value in terms:
            for position, what in self.known.items():
                refuse_dependence(view, law.parameters[position], atom, f"the {what} of {law.name}")
            if not view.identical([(law.parameters[-1], atom.leaf)]):
                raise NoPairError(f"{law.name} does not take {atom.name} as its probability")
            observations.append(
                Observations(law, self.datum(value, law.parameters), value.type.shape)
            )
        a, b = atom.prior.parameters
        return make_block(
            view,
            self.name,
            BETA,
            [atom],
            d=1,
            batch=atom.leaf.type.shape,
            observations=observations,
            hyper=join([a[..., None], b[..., None]], atom.leaf.type.shape),
            natural=lambda draw: [draw[..., 0]],
        )
