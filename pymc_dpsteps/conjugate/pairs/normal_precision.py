"""Normal observations of known mean μ, gamma precision (or inverse-gamma variance).

``y ~ Normal(μ, precision c λ)``: density ``λ^{1/2} exp(-c (y - μ)² λ / 2) (c / 2π)^{1/2}``.
"""

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.random.basic import NormalRV

from pymc_dpsteps.conjugate.rate import RatePair

PAIR = RatePair(
    name="Normal with a gamma precision",
    op=NormalRV,
    rate=lambda parameters: parameters[1] ** -2,
    known={0: "mean"},
    datum=lambda y, parameters, c: (
        0.5 * pt.ones_like(c),
        0.5 * c * (y - parameters[0]) ** 2,
        0.5 * pt.log(c) - 0.5 * np.log(2.0 * np.pi),
    ),
)
