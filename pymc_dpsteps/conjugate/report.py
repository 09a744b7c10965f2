"""Tell a user which atoms of a model are conjugate, and why the others are not."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap

import pymc as pm
from pymc.model import modelcontext

from pymc_dpsteps.conjugate.find import find_conjugacy
from pymc_dpsteps.conjugate.view import View
from pymc_dpsteps.mixture.read import read_mixture
from pymc_dpsteps.mixture.structure import Conjugacy, Mixture

__all__ = ["AtomReport", "ConjugacyReport", "conjugacy", "describe"]

_WIDTH = 100


@dataclass(frozen=True)
class AtomReport:
    """What is conjugate about one atom.

    Attributes
    ----------
    name : str
        Name of the variable.
    prior : str
        Its distribution.
    likelihoods : tuple of str
        Likelihoods whose density depends on it, as ``"y ~ Normal"``.
    pair : str or None
        The conjugate pair found; None where there is none.
    given : tuple of str
        Other atoms of the component on whose values the pair is conditional.
    reason : str
        Why there is no pair; empty where there is one.
    """

    name: str
    prior: str
    likelihoods: tuple[str, ...]
    pair: str | None
    given: tuple[str, ...]
    reason: str

    @property
    def verdict(self) -> str:
        """The pair and what it is conditional on, or why there is none."""
        if self.pair is None:
            return f"none: {self.reason}"
        return self.pair + (f", given {', '.join(self.given)}" if self.given else "")


@dataclass(frozen=True, repr=False)
class ConjugacyReport:
    """What is conjugate in a mixture, atom by atom; prints as a table.

    Attributes
    ----------
    allocation : str
        Name of the allocation.
    atoms : tuple of AtomReport
        The atoms, in the order of the model.
    """

    allocation: str
    atoms: tuple[AtomReport, ...]

    @property
    def complete(self) -> bool:
        """Whether all atoms can be integrated out, as `Neal1`, `Neal2` and `Neal3` do."""
        return all(atom.pair is not None and not atom.given for atom in self.atoms)

    def __getitem__(self, name: str) -> AtomReport:
        """Report of one atom."""
        for atom in self.atoms:
            if atom.name == name:
                return atom
        known = ", ".join(atom.name for atom in self.atoms)
        raise KeyError(f"{name} is not an atom of {self.allocation}; the atoms are {known}")

    def __repr__(self) -> str:
        rows = [("atom", "prior", "likelihood", "conjugate pair")]
        rows += [(a.name, a.prior, ", ".join(a.likelihoods), a.verdict) for a in self.atoms]
        widths = [max(len(row[j]) for row in rows) for j in range(3)]
        indent = sum(widths) + 6
        lines = []
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            last, *more = wrap(row[3], max(_WIDTH - indent, 40))
            lines.append("  ".join([*cells, last]))
            lines += [" " * indent + part for part in more]
        verdict = (
            "All atoms can be integrated out: Neal1, Neal2 and Neal3 apply."
            if self.complete
            else "Not all atoms can be integrated out: Neal1, Neal2 and Neal3 do not apply."
        )
        return "\n".join([*lines, verdict])


def conjugacy(model: pm.Model | None = None, allocation: str | None = None) -> ConjugacyReport:
    """Report the conjugate pairs of a mixture model.

    Pairs are found on the model's graph, however it is written. Step methods draw the atoms of a
    pair exactly, where necessary given the component's other atoms; what has no pair they sample
    by slice sampling.

    Parameters
    ----------
    model : pymc.Model, optional
        The model; by default the one in context.
    allocation : str, optional
        Name of the allocation; needed only where the model has several.

    Returns
    -------
    ConjugacyReport
        A table when printed.

    Raises
    ------
    MixtureError
        If the model is not a mixture that the step methods can sample.

    Examples
    --------
    >>> with pm.Model():
    ...     mu = pm.Normal("mu", 0, 10, shape=20)
    ...     sigma = pm.HalfNormal("sigma", 1, shape=20)
    ...     z = dps.ChineseRestaurantProcess("z", 1.0, K=20, shape=len(y))
    ...     pm.Normal("y", mu[z], sigma[z], observed=y)
    ...     dps.conjugacy()
    atom   prior       likelihood  conjugate pair
    mu     Normal      y ~ Normal  Normal with a normal mean, given sigma
    sigma  HalfNormal  y ~ Normal  none: no pair has a prior HalfNormal with a likelihood y ~ Normal
    Not all atoms can be integrated out: Neal1, Neal2 and Neal3 do not apply.
    """
    model = modelcontext(model)
    mixture = read_mixture(model, allocation)
    report = describe(mixture, find_conjugacy(mixture))
    declared = [rv.name for rv in model.free_RVs]
    atoms = sorted(report.atoms, key=lambda atom: declared.index(atom.name))
    return ConjugacyReport(report.allocation, tuple(atoms))


def describe(mixture: Mixture, found: Conjugacy) -> ConjugacyReport:
    """Report what was found in a mixture.

    Parameters
    ----------
    mixture : Mixture
        A mixture as read by `read_mixture`.
    found : Conjugacy
        Its conjugate pairs.

    Returns
    -------
    ConjugacyReport
    """
    view = View(mixture)
    blocks = {atom.rv.name: block for block in found.blocks for atom in block.atoms}
    atoms = []
    for atom in view.atoms:
        block = blocks.get(atom.name)
        atoms.append(
            AtomReport(
                name=atom.name,
                prior=atom.prior.distribution,
                likelihoods=tuple(f"{x.name} ~ {x.distribution}" for x, _ in view.terms_of(atom)),
                pair=None if block is None else block.pair,
                given=() if block is None else block.given,
                reason=found.reasons.get(atom.name, ""),
            )
        )
    return ConjugacyReport(str(mixture.allocation.name), tuple(atoms))
