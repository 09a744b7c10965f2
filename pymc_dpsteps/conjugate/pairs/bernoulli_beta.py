"""Bernoulli observations, beta probability: ``p^y (1 - p)^{1-y}``."""

import pytensor.tensor as pt
from pytensor.tensor.random.basic import BernoulliRV

from pymc_dpsteps.conjugate.probability import ProbabilityPair

PAIR = ProbabilityPair(
    name="Bernoulli with a beta probability",
    op=BernoulliRV,
    known={},
    datum=lambda y, parameters: (y, 1.0 - y, pt.zeros_like(y, dtype="float64")),
)
