"""Times censored on the right, each at a time of its own."""

from functools import cache, partial

import numpy as np
import pymc as pm
import pytest
from scipy.special import digamma, gammaln
from scipy.stats import weibull_min

import pymc_dpsteps as dps
from tests.helpers_chain import assert_means, atom_of_first_item, partition_functionals, run_chain
from tests.helpers_exact import crp, dirichlet
from tests.helpers_subsets import (
    by_closed_form,
    by_quadrature,
    normal_rule,
    of_subsets,
    product_rule,
)

K, SCALE = 4, 2.0
TIMES = np.array([0.1, 0.2, 0.5, 1.7, 4.0, 9.0])
CENSORED = np.array([False, True, False, False, True, True])
WEIGHTS = np.full(K, 0.5)
PRIOR_SHAPE = 2.0  # rate ~ Gamma(PRIOR_SHAPE, PRIOR_RATE) has E[1 / rate] = SCALE
PRIOR_RATE = (PRIOR_SHAPE - 1.0) * SCALE
SPREAD, SHAPE_SPREAD = 1.0, 0.5


def exponential(z):
    dps.kernels.exponential(
        "y", z, scale=SCALE, prior_shape=PRIOR_SHAPE, censored=CENSORED, observed=TIMES
    )


def weibull(z):
    dps.kernels.weibull(
        "y",
        z,
        scale=SCALE,
        spread=SPREAD,
        shape_spread=SHAPE_SPREAD,
        censored=CENSORED,
        observed=TIMES,
    )


@cache
def subsets_of(kernel):
    return exponential_subsets() if kernel is exponential else weibull_subsets()


def exponential_subsets():
    """Events and time at risk suffice: the rate stays gamma, though PyMC's graph hides it."""

    def integrate(mask):
        a, b = PRIOR_SHAPE + (~CENSORED[mask]).sum(), PRIOR_RATE + TIMES[mask].sum()
        prior = PRIOR_SHAPE * np.log(PRIOR_RATE) - gammaln(PRIOR_SHAPE)
        return prior + gammaln(a) - a * np.log(b), {"log rate_1": digamma(a) - np.log(b)}

    return by_closed_form(len(TIMES), integrate)


def weibull_subsets():
    (log_shape, log_scale), log_weights = product_rule(
        normal_rule(0.0, SHAPE_SPREAD), normal_rule(np.log(SCALE), SPREAD)
    )
    law = weibull_min(np.exp(log_shape), scale=np.exp(log_scale))
    log_likelihood = np.array(
        [law.logsf(t) if cut else law.logpdf(t) for t, cut in zip(TIMES, CENSORED, strict=True)]
    )
    functions = {"log shape_1": log_shape, "log scale_1": log_scale}
    return by_quadrature(log_weights, of_subsets(log_likelihood), functions)


ATOMS = {exponential: ("rate",), weibull: ("shape", "scale")}
STEPS = {
    "neal5": dps.Neal5,
    "neal8": partial(dps.Neal8, m=2),
    "split-merge": partial(dps.SplitMerge, proposal="nonconjugate", moves=3),
    "blocked": dps.BlockedGibbs,
    "slice": dps.SliceGibbs,
}


def check(kernel, step, sweeps):
    """Under the Chinese restaurant process, or Dirichlet weights for the conditional samplers."""
    of_weights = step in ("blocked", "slice")
    log_prior = partial(dirichlet, a=WEIGHTS) if of_weights else crp
    exact = subsets_of(kernel).posterior(K, log_prior)
    names = [f"{atom}_log__" for atom in ATOMS[kernel]]
    with pm.Model() as model:
        if of_weights:
            kernel(pm.Categorical("z", pm.Dirichlet("w", WEIGHTS), shape=len(TIMES)))
        else:
            kernel(dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=len(TIMES)))
        chain = run_chain(STEPS[step](), model, ["z", *names], sweeps, seed=56)
    draws = partition_functionals(chain["z"], K, exact["k"])
    for atom, name in zip(ATOMS[kernel], names, strict=True):
        draws[f"log {atom}_1"] = atom_of_first_item(chain["z"], chain[name])
    assert_means(draws, exact)


@pytest.mark.parametrize(
    ("kernel", "step"), [(exponential, "neal8"), (exponential, "blocked"), (weibull, "neal8")]
)
def test_censored(kernel, step):
    check(kernel, step, 10_000)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [exponential, weibull])
@pytest.mark.parametrize("step", STEPS)
def test_censored_long(kernel, step):
    check(kernel, step, 100_000)


def test_closed_form_and_quadrature_agree_on_the_exponential():
    """A check of the reference values: two routes to the same integrals."""
    log_rate = np.linspace(-12.0, 6.0, 2_001)
    rate = np.exp(log_rate)
    log_weights = (
        PRIOR_SHAPE * (np.log(PRIOR_RATE) + log_rate) - PRIOR_RATE * rate - gammaln(PRIOR_SHAPE)
    ) + np.log(log_rate[1] - log_rate[0])
    log_likelihood = np.where(CENSORED, 0.0, 1.0)[:, None] * log_rate - TIMES[:, None] * rate
    found = by_quadrature(log_weights, of_subsets(log_likelihood), {"log rate_1": log_rate})
    expected = exponential_subsets()
    np.testing.assert_allclose(found.log_marginal, expected.log_marginal, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found.means["log rate_1"], expected.means["log rate_1"], rtol=1e-7)
