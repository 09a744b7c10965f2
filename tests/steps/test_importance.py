"""What is particular to the importance conditional sampler: exact with any number of draws."""

import numpy as np
import pymc as pm
import pytest
from scipy.stats import norm

import pymc_dpsteps as dps
from tests.helpers_chain import assert_means, run_chain


@pytest.mark.parametrize("m", [2, 3, 50])
def test_one_item_whose_atom_no_other_update_moves(m):
    """Fails if a weight is kept after its cluster has emptied, however many the draws.

    With m = 1 the item would put its own atoms in place of the only draw, and stay for ever.
    """
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1, shape=2)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=2, shape=1)
        pm.Normal("y", mu[z], 0.5, observed=[1.0])
        step = dps.ImportanceConditional(m=m, atoms=None)
        chain = run_chain(step, model, ["z", "mu"], 20_000, seed=32)
    x = chain["mu"][np.arange(20_000), chain["z"][:, 0]]
    mean, variance = 0.8, 0.2
    exact = {"mean": mean, "variance": variance, "tail": float(norm.sf(0.5, mean, variance**0.5))}
    assert_means({"mean": x, "variance": (x - mean) ** 2, "tail": x > 0.5}, exact)


@pytest.mark.parametrize("m", [0, -1, 2.5, True, "3"])
def test_refuses_what_is_no_number_of_draws(m):
    with pm.Model(), pytest.raises(ValueError, match="expected an integer of at least 1"):
        z = dps.ChineseRestaurantProcess("z", 1.0, K=2, shape=2)
        pm.Normal("y", pm.Normal("mu", 0, 1, shape=2)[z], 1, observed=[0.0, 1.0])
        dps.ImportanceConditional(m=m)
