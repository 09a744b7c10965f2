"""Find the conjugate pairs of a mixture."""

from __future__ import annotations

from pymc_dpsteps.conjugate.pairs import PAIRS
from pymc_dpsteps.conjugate.view import AtomView, NoPairError, View
from pymc_dpsteps.mixture.structure import Block, Conjugacy, Mixture

__all__ = ["find_conjugacy"]


def find_conjugacy(mixture: Mixture) -> Conjugacy:
    """Recognise conjugate pairs on the model's graph.

    Pairs are tried in the order of `PAIRS`, on every atom; an atom is taken by the first pair
    that fits.

    Parameters
    ----------
    mixture : Mixture
        A mixture as read by `read_mixture`.

    Returns
    -------
    Conjugacy
    """
    view = View(mixture)
    blocks: list[Block] = []
    taken: set[str] = set()
    # Two pairs of one family refuse for the same reason: the first is named.
    reasons: dict[str, dict[str, str]] = {atom.name: {} for atom in view.atoms}
    for pair in PAIRS:
        for atom in view.atoms:
            if atom.name in taken:
                continue
            try:
                block = pair.match(view, atom)
            except NoPairError as error:
                reasons[atom.name].setdefault(str(error), pair.name)
                continue
            if block is not None:
                blocks.append(block)
                taken.update(str(a.rv.name) for a in block.atoms)
    return view.conjugacy(
        blocks,
        {
            atom.name: "; ".join(f"{pair}: {why}" for why, pair in reasons[atom.name].items())
            or _nothing_fits(view, atom)
            for atom in view.atoms
            if atom.name not in taken
        },
    )


def _nothing_fits(view: View, atom: AtomView) -> str:
    """What was seen, where no pair has this prior and likelihood."""
    kernels = ", ".join(f"{law.name} ~ {law.distribution}" for law, _ in view.terms_of(atom))
    return f"no pair has a prior {atom.prior.distribution} with a likelihood {kernels}"
