"""Counts of categories, Dirichlet probabilities: ``Π p_j^{y_j} n! / Π y_j!``."""

import pytensor.tensor as pt
from pytensor.tensor.random.basic import MultinomialRV

from pymc_dpsteps.conjugate.simplex import SimplexPair

PAIR = SimplexPair(
    name="Multinomial with Dirichlet probabilities",
    op=MultinomialRV,
    known={0: "number of trials"},
    ndim_value=1,
    datum=lambda y, parameters, d: (
        y,
        pt.gammaln(parameters[0] + 1.0) - pt.gammaln(y + 1.0).sum(axis=-1),
    ),
)
