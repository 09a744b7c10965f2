"""Gamma observations of known shape k, gamma rate (or inverse-gamma scale).

``y ~ Gamma(k, c λ)``: density ``λ^k exp(-c y λ) c^k y^{k-1} / Γ(k)``.
"""

import pytensor.tensor as pt
from pytensor.tensor.random.basic import GammaRV

from pymc_dpsteps.conjugate.rate import RatePair

PAIR = RatePair(
    name="Gamma with a gamma rate",
    op=GammaRV,
    rate=lambda parameters: 1.0 / parameters[1],
    known={0: "shape"},
    datum=lambda y, parameters, c: (
        parameters[0],
        c * y,
        parameters[0] * pt.log(c) + (parameters[0] - 1.0) * pt.log(y) - pt.gammaln(parameters[0]),
    ),
)
