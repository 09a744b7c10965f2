"""Multivariate normal mean with a normal prior; the covariance is known given everything else.

``y ~ MvNormal(o + mu, Σ)``, where Σ may be shared or the component's own but not the item's.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytensor.tensor as pt
from pytensor.tensor.random.basic import MvNormalRV, NormalRV

from pymc_dpsteps.conjugate.families.mvnormal import MVNORMAL
from pymc_dpsteps.conjugate.location import mean_terms, offset
from pymc_dpsteps.conjugate.match import Observations, make_block, refuse_children
from pymc_dpsteps.conjugate.view import AtomView, NoPairError, View
from pymc_dpsteps.mixture.structure import Block


@dataclass(frozen=True)
class MvNormalMean:
    """See the module."""

    name: str = "Multivariate normal with a normal mean"

    def match(self, view: View, atom: AtomView) -> Block | None:
        """See `Pair`."""
        if not isinstance(atom.prior.op, NormalRV | MvNormalRV) or atom.prior.problem:
            return None
        terms = mean_terms(view, atom, MvNormalRV)
        if not terms or atom.leaf.ndim != 1:
            return None
        if len(terms) > 1:
            raise NoPairError(f"{atom.name} is the mean of several multivariate normals")
        refuse_children(view, atom)
        ((law, value),) = terms
        mean, covariance = law.parameters
        known = offset(view, mean, atom)
        if known is None:
            raise NoPairError(f"the mean of {law.name} is not {atom.name} plus an offset")
        if view.depends_on_item(covariance):
            raise NoPairError(f"the covariance of {law.name} differs between items")
        (d,) = atom.leaf.type.shape
        m, scale = atom.prior.parameters
        prior_mean = pt.broadcast_to(m, (d,)).astype("float64")
        prior_precision = (
            pt.diag(pt.broadcast_to(scale, (d,)) ** -2.0)
            if isinstance(atom.prior.op, NormalRV)
            else pt.linalg.inv(scale)
        )
        residual = pt.broadcast_to(value - known, (d,))
        parts = [prior_precision.reshape((-1,)), pt.linalg.inv(covariance).reshape((-1,))]
        return make_block(
            view,
            self.name,
            MVNORMAL,
            [atom],
            d=d,
            batch=(),
            observations=[Observations(law, [residual[j] for j in range(d)], ())],
            hyper=pt.concatenate([prior_mean, *parts]),
            natural=lambda draw: [draw],
        )


PAIR = MvNormalMean()
