"""Binomial counts out of known n, beta probability: ``p^y (1 - p)^{n-y} n! / (y! (n-y)!)``."""

import pytensor.tensor as pt
from pytensor.tensor.random.basic import BinomialRV

from pymc_dpsteps.conjugate.probability import ProbabilityPair

PAIR = ProbabilityPair(
    name="Binomial with a beta probability",
    op=BinomialRV,
    known={0: "number of trials"},
    datum=lambda y, parameters: (
        y,
        parameters[0] - y,
        pt.gammaln(parameters[0] + 1.0) - pt.gammaln(y + 1.0) - pt.gammaln(parameters[0] - y + 1.0),
    ),
)
