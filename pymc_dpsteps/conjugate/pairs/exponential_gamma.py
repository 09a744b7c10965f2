"""Exponential observations, gamma rate (or inverse-gamma mean).

``y ~ Exponential(c λ)``: density ``λ exp(-c y λ) c``.
"""

import pytensor.tensor as pt
from pytensor.tensor.random.basic import ExponentialRV

from pymc_dpsteps.conjugate.rate import RatePair

PAIR = RatePair(
    name="Exponential with a gamma rate",
    op=ExponentialRV,
    rate=lambda parameters: 1.0 / parameters[0],
    known={},
    datum=lambda y, parameters, c: (pt.ones_like(c), c * y, pt.log(c)),
)
