"""Poisson counts with exposure c, gamma rate.

``y ~ Poisson(c λ)``: probability ``λ^y exp(-c λ) c^y / y!``.
"""

import pytensor.tensor as pt
from pytensor.tensor.random.basic import PoissonRV
from pytensor.tensor.special import xlogy

from pymc_dpsteps.conjugate.rate import RatePair

PAIR = RatePair(
    name="Poisson with a gamma rate",
    op=PoissonRV,
    rate=lambda parameters: parameters[0],
    known={},
    datum=lambda y, parameters, c: (y, c, xlogy(y, c) - pt.gammaln(y + 1.0)),
)
