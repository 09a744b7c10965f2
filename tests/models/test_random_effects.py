"""Counts of items that are seen several times, with a rate per cluster of items."""

from functools import cache, partial

import numpy as np
import pymc as pm
import pytest
from scipy.special import digamma, gammaln
from scipy.stats import poisson

import pymc_dpsteps as dps
from tests.helpers_chain import assert_means, atom_of_first_item, partition_functionals, run_chain
from tests.helpers_exact import crp, dirichlet
from tests.helpers_subsets import by_closed_form

K, A, B = 4, 2.0, 0.5
WEIGHTS = np.full(K, 0.7)
COUNTS = np.array([9, 0, 4, 12, 1, 7, 0, 3, 2, 5])
ITEM = np.array([3, 0, 1, 3, 4, 3, 0, 1, 5, 1])  # item 2 is never seen
EXPOSURE = np.array([1.5, 0.4, 1.0, 2.0, 0.7, 1.0, 0.3, 1.2, 0.2, 1.1])
N = 6


def seen(z):
    rate = pm.Gamma("rate", A, B, shape=K)
    pm.Poisson("y", EXPOSURE * rate[z[ITEM]], observed=COUNTS)


@cache
def subsets_of_items():
    """Totals of counts and of exposure suffice; constants are those of the Poisson densities."""

    def integrate(mask):
        of = mask[ITEM]
        a, b = A + COUNTS[of].sum(), B + EXPOSURE[of].sum()
        constant = poisson.logpmf(COUNTS[of], EXPOSURE[of]).sum() + EXPOSURE[of].sum()
        log_marginal = constant + A * np.log(B) - gammaln(A) + gammaln(a) - a * np.log(b)
        return log_marginal, {"rate_1": a / b, "log rate_1": digamma(a) - np.log(b)}

    return by_closed_form(N, integrate)


STEPS = {
    "neal2": dps.Neal2,
    "neal3": dps.Neal3,
    "neal8": partial(dps.Neal8, m=2),
    "neal8-slice": partial(dps.Neal8, m=2, atoms="slice"),
    "split-merge": partial(dps.SplitMerge, moves=3),
    "split-merge-nonconjugate": partial(dps.SplitMerge, proposal="nonconjugate", moves=3),
    "blocked": dps.BlockedGibbs,
}


def check(step, sweeps):
    log_prior = partial(dirichlet, a=WEIGHTS) if step == "blocked" else crp
    exact = subsets_of_items().posterior(K, log_prior)
    with pm.Model() as model:
        if step == "blocked":
            seen(pm.Categorical("z", pm.Dirichlet("w", WEIGHTS), shape=N))
        else:
            seen(dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N))
        chain = run_chain(STEPS[step](), model, ["z", "rate_log__"], sweeps, seed=57)
    draws = partition_functionals(chain["z"], K, exact["k"])
    log_rate = atom_of_first_item(chain["z"], chain["rate_log__"])
    assert_means(draws | {"rate_1": np.exp(log_rate), "log rate_1": log_rate}, exact)


@pytest.mark.parametrize("step", ["neal3", "neal8"])
def test_counts_of_items_seen_several_times(step):
    check(step, 10_000)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_counts_of_items_seen_several_times_long(step):
    check(step, 100_000)
