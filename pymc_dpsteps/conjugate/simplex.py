"""Pairs in which the atom is a vector of probabilities with a Dirichlet law."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytensor.tensor.random.basic import DirichletRV
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.conjugate.families.dirichlet import DIRICHLET
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

__all__ = ["SimplexPair"]


@dataclass(frozen=True)
class SimplexPair:
    """A likelihood ``Π p_j^{a_j} h``.

    Attributes
    ----------
    name : str
        Likelihood and prior, in words.
    op : type
        The likelihood's op; its last parameter is the vector of probabilities.
    known : dict
        Position of a parameter that must not depend on the atom -> its name.
    ndim_value : int
        Dimensions of one observation: 0 for a category, 1 for a vector of counts.
    datum : callable
        ``datum(value, parameters, d)``: all a_j, in a last axis of length d, and log h.
    """

    name: str
    op: type
    known: dict[int, str]
    ndim_value: int
    datum: Callable[
        [TensorVariable, Sequence[TensorVariable], int], tuple[TensorVariable, TensorVariable]
    ]

    def match(self, view: View, atom: AtomView) -> Block | None:
        """See `Pair`."""
        terms = terms_of_kind(view, atom, self.op)
        if not isinstance(atom.prior.op, DirichletRV) or atom.prior.problem or not terms:
            return None
        refuse_children(view, atom)
        *batch, d = atom.leaf.type.shape
        observations = []
        for law, value in terms:
            for position, what in self.known.items():
                refuse_dependence(view, law.parameters[position], atom, f"the {what} of {law.name}")
            if not view.identical([(law.parameters[-1], atom.leaf)]):
                raise NoPairError(f"{law.name} does not take {atom.name} as its probabilities")
            counts, log_h = self.datum(value, law.parameters, d)
            shape = value.type.shape[: value.ndim - self.ndim_value]
            observations.append(
                Observations(law, [*(counts[..., j] for j in range(d)), log_h], shape)
            )
        return make_block(
            view,
            self.name,
            DIRICHLET,
            [atom],
            d=d,
            batch=tuple(batch),
            observations=observations,
            hyper=join([atom.prior.parameters[0]], tuple(batch)),
            natural=lambda draw: [draw],
        )
