"""Negative binomial counts of known n, beta probability.

``p^n (1 - p)^y Γ(y + n) / (Γ(n) y!)``.
"""

import pytensor.tensor as pt
from pytensor.tensor.random.basic import NegBinomialRV

from pymc_dpsteps.conjugate.probability import ProbabilityPair

PAIR = ProbabilityPair(
    name="Negative binomial with a beta probability",
    op=NegBinomialRV,
    known={0: "number of successes"},
    datum=lambda y, parameters: (
        parameters[0],
        y,
        pt.gammaln(y + parameters[0]) - pt.gammaln(parameters[0]) - pt.gammaln(y + 1.0),
    ),
)
