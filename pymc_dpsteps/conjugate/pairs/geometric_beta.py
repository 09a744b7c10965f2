"""Geometric waiting times y = 1, 2, …, beta probability: ``p (1 - p)^{y-1}``."""

import pytensor.tensor as pt
from pytensor.tensor.random.basic import GeometricRV

from pymc_dpsteps.conjugate.probability import ProbabilityPair

PAIR = ProbabilityPair(
    name="Geometric with a beta probability",
    op=GeometricRV,
    known={},
    datum=lambda y, parameters: (
        pt.ones_like(y, dtype="float64"),
        y - 1.0,
        pt.zeros_like(y, dtype="float64"),
    ),
)
