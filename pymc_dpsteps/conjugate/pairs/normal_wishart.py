"""Multivariate normal mean and precision: the normal–Wishart law.

``T ~ Wishart(ν, V)``, ``mu ~ MvNormal(m, cov=T⁻¹ / κ)``, ``y ~ MvNormal(mu, cov=T⁻¹)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytensor.tensor as pt
from pymc.distributions.multivariate import WishartRV
from pytensor.tensor.random.basic import MvNormalRV

from pymc_dpsteps.conjugate.families.normal_wishart import NORMAL_WISHART
from pymc_dpsteps.conjugate.location import mean_terms, offset
from pymc_dpsteps.conjugate.match import (
    Observations,
    at,
    make_block,
    refuse_children,
    refuse_dependence,
    terms_of_kind,
)
from pymc_dpsteps.conjugate.view import AtomView, NoPairError, View
from pymc_dpsteps.mixture.structure import Block


@dataclass(frozen=True)
class NormalWishart:
    """See the module; the pair is recognised from its precision matrix."""

    name: str = "Multivariate normal with a normal–Wishart mean and precision"

    def match(self, view: View, atom: AtomView) -> Block | None:
        """See `Pair`."""
        children = [a for a in view.atoms if view.depends(a.prior.parameters, atom)]
        if not isinstance(atom.prior.op, WishartRV) or atom.prior.problem or len(children) != 1:
            return None
        (mean_atom,) = children
        if not isinstance(mean_atom.prior.op, MvNormalRV) or mean_atom.leaf.ndim != 1:
            return None
        terms = terms_of_kind(view, atom, MvNormalRV)
        if len(terms) != 1 or len(mean_terms(view, mean_atom, MvNormalRV)) != 1:
            return None
        refuse_children(view, atom, mean_atom)
        ((law, value),) = terms
        (d,) = mean_atom.leaf.type.shape
        m, prior_covariance = mean_atom.prior.parameters
        mean, covariance = law.parameters
        refuse_dependence(view, m, atom, f"the prior mean of {mean_atom.name}")
        refuse_dependence(view, mean, atom, f"the mean of {law.name}")
        known = offset(view, mean, mean_atom)
        kappa = 1.0 / at(prior_covariance, atom.leaf, pt.eye(d))[0, 0]
        if known is None or not view.identical(
            [(covariance @ atom.leaf, pt.eye(d)), (kappa * prior_covariance @ atom.leaf, pt.eye(d))]
        ):
            raise NoPairError(
                f"{law.name} and {mean_atom.name} do not take the inverse of {atom.name}, and a "
                "known multiple of it, as their covariances"
            )
        nu, root = atom.prior.parameters
        residual = pt.broadcast_to(value - known, (d,))
        inverse_scale = pt.linalg.inv(root @ root.T)
        parts = [kappa.reshape((1,)), nu.reshape((1,)), inverse_scale.reshape((-1,))]
        return make_block(
            view,
            self.name,
            NORMAL_WISHART,
            [mean_atom, atom],
            d=d,
            batch=(),
            observations=[Observations(law, [residual[j] for j in range(d)], ())],
            hyper=pt.concatenate([pt.broadcast_to(m, (d,)), *parts]).astype("float64"),
            natural=lambda draw: [draw[:d], draw[d:]],
        )


PAIR = NormalWishart()
