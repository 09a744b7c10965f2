"""Normal mean with a normal prior; the sd is known, shared, or the component's own.

``y ~ Normal(o + mu, sd)`` with o and sd known given everything else.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytensor.tensor.random.basic import NormalRV

from pymc_dpsteps.conjugate.families.normal import NORMAL
from pymc_dpsteps.conjugate.location import mean_atoms, mean_terms, offset
from pymc_dpsteps.conjugate.match import Observations, join, make_block, refuse_children
from pymc_dpsteps.conjugate.view import AtomView, View
from pymc_dpsteps.mixture.structure import Block


@dataclass(frozen=True)
class NormalMean:
    """See the module."""

    name: str = "Normal with a normal mean"

    def match(self, view: View, atom: AtomView) -> Block | None:
        """See `Pair`."""
        if not isinstance(atom.prior.op, NormalRV) or atom.prior.problem:
            return None
        terms = mean_terms(view, atom, NormalRV)
        if not terms or len(mean_atoms(view, terms)) > 1:
            return None  # several coefficients are drawn together: see linear_regression
        observations = []
        for law, value in terms:
            mean, sd = law.parameters
            known = offset(view, mean, atom)
            if known is None:
                return None
            observations.append(Observations(law, (value - known, sd**-2), value.type.shape))
        refuse_children(view, atom)
        m, s = atom.prior.parameters
        return make_block(
            view,
            self.name,
            NORMAL,
            [atom],
            d=1,
            batch=atom.leaf.type.shape,
            observations=observations,
            hyper=join([m[..., None], s[..., None] ** -2], atom.leaf.type.shape),
            natural=lambda draw: [draw[..., 0]],
        )


PAIR = NormalMean()
