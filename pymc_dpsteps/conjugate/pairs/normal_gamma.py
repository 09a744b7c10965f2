"""Normal mean and variance: ``mu ~ Normal(m, sqrt(s2 / κ))``, ``s2 ~ InverseGamma``.

The normal–inverse-gamma law, or in terms of the precision the normal–gamma law:
``mu ~ Normal(m, tau=κ t)``, ``t ~ Gamma``.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytensor.tensor.random.basic import NormalRV

from pymc_dpsteps.conjugate.families.normal_gamma import NORMAL_GAMMA
from pymc_dpsteps.conjugate.location import mean_terms, offset
from pymc_dpsteps.conjugate.match import (
    Observations,
    at,
    join,
    make_block,
    refuse_children,
    refuse_dependence,
    terms_of_kind,
)
from pymc_dpsteps.conjugate.rate import rate_law, rate_multiple
from pymc_dpsteps.conjugate.view import AtomView, NoPairError, View
from pymc_dpsteps.mixture.structure import Block


@dataclass(frozen=True)
class NormalGamma:
    """See the module; the pair is recognised from its variance or precision."""

    name: str = "Normal with a normal–inverse-gamma mean and variance"

    def match(self, view: View, atom: AtomView) -> Block | None:
        """See `Pair`."""
        prior = rate_law(atom)
        children = [a for a in view.atoms if view.depends(a.prior.parameters, atom)]
        if prior is None or len(children) != 1 or not isinstance(children[0].prior.op, NormalRV):
            return None
        (mean_atom,) = children
        terms = terms_of_kind(view, atom, NormalRV)
        if not terms or [t[0].name for t in mean_terms(view, mean_atom, NormalRV)] != [
            t[0].name for t in terms
        ]:
            return None
        refuse_children(view, atom, mean_atom)
        if mean_atom.leaf.type.shape != atom.leaf.type.shape:
            raise NoPairError(f"{mean_atom.name} and {atom.name} have different shapes")
        m, s = mean_atom.prior.parameters
        refuse_dependence(view, m, atom, f"the prior mean of {mean_atom.name}")
        kappa = at(s**-2, atom.leaf, 1.0)
        if not view.identical([(s**-2, kappa * prior.turn(atom.leaf))]):
            raise NoPairError(
                f"the prior variance of {mean_atom.name} is not a known multiple of the variance"
            )
        observations = []
        for law, value in terms:
            refuse_dependence(view, law.parameters[0], atom, f"the mean of {law.name}")
            known = offset(view, law.parameters[0], mean_atom)
            if known is None:
                raise NoPairError(f"the mean of {law.name} is not {mean_atom.name} plus an offset")
            c = rate_multiple(view, law, law.parameters[1] ** -2, atom, prior)
            observations.append(Observations(law, (value - known, c), value.type.shape))
        return make_block(
            view,
            self.name,
            NORMAL_GAMMA,
            [mean_atom, atom],
            d=1,
            batch=atom.leaf.type.shape,
            observations=observations,
            hyper=join(
                [x[..., None] for x in (m, kappa, prior.shape, prior.rate)], atom.leaf.type.shape
            ),
            natural=lambda draw: [draw[..., 0], prior.turn(draw[..., 1])],
        )


PAIR = NormalGamma()
