"""What the pairs share: the checks on a kernel's parameters, and the making of a block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.conjugate.view import AtomView, Law, NoPairError, View
from pymc_dpsteps.mixture.structure import Block, BlockData, Family

__all__ = [
    "Observations",
    "Pair",
    "Term",
    "at",
    "join",
    "make_block",
    "refuse_children",
    "refuse_dependence",
    "terms_of_kind",
]

type Term = tuple[Law, TensorVariable]


class Pair(Protocol):
    """A conjugate pair of a likelihood and a prior."""

    @property
    def name(self) -> str:
        """Likelihood and prior, in words."""

    def match(self, view: View, atom: AtomView) -> Block | None:
        """Recognise the pair with `atom` in it.

        Returns None where prior or likelihood are others, and raises `NoPairError` where they
        are those of the pair but their parameters are not.
        """


@dataclass(frozen=True)
class Observations:
    """What a kernel variable contributes to the statistics.

    Attributes
    ----------
    law : Law
        The kernel variable.
    datum : sequence of TensorVariable
        What `Family.update` takes, each broadcastable to `shape`.
    shape : tuple of int
        Shape of one row of the variable, without the axes of a vector-valued distribution.
    """

    law: Law
    datum: Sequence[TensorVariable]
    shape: tuple[int, ...]


def terms_of_kind(view: View, atom: AtomView, op: type) -> list[Term]:
    """Kernel terms of an atom if all are of one distribution and are understood, else none."""
    terms = view.terms_of(atom)
    if not all(isinstance(law.op, op) for law, _ in terms):
        return []
    for law, _ in terms:
        if law.problem:
            raise NoPairError(f"the parameters of {law.name} cannot be separated: {law.problem}")
        if view.has_transform(law.name):
            raise NoPairError(f"{law.name} is latent and its value is transformed")
    return terms


def refuse_dependence(view: View, graph: TensorVariable, atom: AtomView, what: str) -> None:
    """Refuse a parameter that must not depend on the atom but does."""
    if view.depends([graph], atom):
        raise NoPairError(f"{what} depends on {atom.name} as well")


def refuse_children(view: View, *block: AtomView) -> None:
    """Refuse a block when the prior of an atom outside it depends on it."""
    inside = [atom.name for atom in block]
    for other in view.atoms:
        for atom in block:
            if other.name not in inside and view.depends(other.prior.parameters, atom):
                raise NoPairError(f"the prior of {other.name} depends on {atom.name}")


def at(graph: TensorVariable, leaf: TensorVariable, value: Variable | float) -> TensorVariable:
    """The graph at another value of an atom."""
    value = pt.broadcast_to(pt.as_tensor(value, dtype="float64"), leaf.type.shape)
    return clone_replace([graph], {leaf: value})[0]


def join(parts: Sequence[TensorVariable], batch: tuple[int, ...]) -> TensorVariable:
    """Parameters of all copies as one vector; a part has a shape like ``batch + (length,)``."""
    full = [pt.broadcast_to(p, (*batch, p.type.shape[-1])) for p in parts]
    return pt.concatenate(full, axis=-1).reshape((-1,)).astype("float64")


def make_block(
    view: View,
    pair: str,
    family: Family,
    atoms: Sequence[AtomView],
    *,
    d: int,
    batch: tuple[int, ...],
    observations: Sequence[Observations],
    hyper: TensorVariable,
    natural: Callable[[TensorVariable], Sequence[TensorVariable]],
) -> Block:
    """Lay out the data of a block and complete it.

    `batch` is the shape of independent copies; one item's observations have the same shape or,
    where there is one copy, any. `natural` maps a draw, of shape ``batch + (n_natural,)``, to the
    values of the atoms.
    """
    by_group: dict[int | None, list[TensorVariable]] = {}
    for observation in observations:
        if batch and observation.shape != batch:
            raise NoPairError(
                f"{atoms[0].name} has the shape {batch} per component, but one item's "
                f"observations have {observation.shape}"
            )
        size = prod(observation.shape)
        columns = [
            pt.broadcast_to(g.astype("float64"), observation.shape).reshape((size,))
            for g in observation.datum
        ]
        data = by_group.setdefault(observation.law.group, [])
        data.extend(column[j] for j in range(size) for column in columns)
    width = family.n_natural(d)
    draw = pt.tensor(name="draw", shape=(prod(batch) * width,), dtype="float64")
    values = natural(draw.reshape((*batch, width)))
    inside = [atom.name for atom in atoms]
    hyper = hyper.reshape((prod(batch) * family.n_hyper(d),)).astype("float64")
    graphs = [graph for data in by_group.values() for graph in data]
    outside = view.atoms_in([*graphs, hyper])
    (hyper,) = view.in_values([hyper], outside)
    return Block(
        pair=pair,
        family=family,
        d=d,
        copies=prod(batch),
        atoms=tuple(atom.atom for atom in atoms),
        data=tuple(
            BlockData(group, tuple(view.in_values(data, outside)))
            for group, data in by_group.items()
        ),
        n_datum=len(observations[0].datum),
        hyper=hyper,
        natural=draw,
        values=tuple(
            view.to_value(atom, value.reshape(atom.leaf.type.shape))
            for atom, value in zip(atoms, values, strict=True)
        ),
        given=tuple(atom.name for atom in outside if atom.name not in inside),
    )
