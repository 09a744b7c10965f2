"""What the pairs of normal likelihoods share: how an atom enters the mean."""

from __future__ import annotations

from pytensor.tensor.random.basic import MvNormalRV, NormalRV
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.conjugate.match import Term, at, refuse_dependence, terms_of_kind
from pymc_dpsteps.conjugate.view import AtomView, View

__all__ = ["mean_atoms", "mean_terms", "offset"]


def mean_terms(view: View, atom: AtomView, op: type) -> list[Term]:
    """Terms of a normal likelihood in whose mean, and nowhere else, the atom enters."""
    terms = terms_of_kind(view, atom, op)
    for law, _ in terms:
        refuse_dependence(view, law.parameters[1], atom, f"the scale of {law.name}")
    return terms


def mean_atoms(view: View, terms: list[Term]) -> list[AtomView]:
    """Atoms with a normal prior in the means of the terms."""
    means = [law.parameters[0] for law, _ in terms]
    return [
        atom
        for atom in view.atoms_in(means)
        if isinstance(atom.prior.op, NormalRV | MvNormalRV) and not atom.prior.problem
    ]


def offset(view: View, mean: TensorVariable, atom: AtomView) -> TensorVariable | None:
    """The known o of a mean ``o + atom``; None where the mean is another function of the atom."""
    known = at(mean, atom.leaf, 0.0)
    return known if view.identical([(mean - known, atom.leaf)], around=known) else None
