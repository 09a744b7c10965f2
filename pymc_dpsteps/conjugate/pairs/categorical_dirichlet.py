"""Categories, Dirichlet probabilities: ``p_y``."""

import pytensor.tensor as pt
from pytensor.tensor.random.basic import CategoricalRV

from pymc_dpsteps.conjugate.simplex import SimplexPair

PAIR = SimplexPair(
    name="Categorical with Dirichlet probabilities",
    op=CategoricalRV,
    known={},
    ndim_value=0,
    datum=lambda y, parameters, d: (
        pt.eq(y[..., None], pt.arange(d)),
        pt.zeros_like(y, dtype="float64"),
    ),
)
