"""Hyperparameters of G0, which a step updates given the atoms of occupied components only."""

from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import pymc as pm
import pytest
from scipy.special import logsumexp
from scipy.stats import halfnorm

import pymc_dpsteps as dps
from tests import helpers_joint as joint
from tests.helpers_algorithms import ALGORITHMS, CRP
from tests.helpers_chain import (
    assert_means,
    atom_of_first_item,
    partition_functionals,
    run_chain,
    slot_counts,
)
from tests.helpers_exact import NOISE, SIX_POINTS, SPREAD, all_labels, crp, dirichlet

Y = SIX_POINTS + 1.0
N, K = len(Y), 4
WEIGHTS = np.array([0.3, 1.0, 2.0, 0.7])
TAU = 2.0  # scale of the prior of tau
LABELS = all_labels(N, K)


def location(z):
    """The mean of G0 is random."""
    m = pm.Normal("m", 0, 1)
    pm.Normal("y", pm.Normal("mu", m, SPREAD, shape=K)[z], NOISE, observed=Y)


def location_and_scale(z):
    """The mean and the scale of G0 are random."""
    m, tau = pm.Normal("m", 0, 1), pm.HalfNormal("tau", TAU)
    pm.Normal("y", pm.Normal("mu", m, tau, shape=K)[z], NOISE, observed=Y)


@dataclass(frozen=True)
class GivenPartition:
    """Of every partition that a label vector stands for: what the data say, m and mu integrated."""

    log_marginal: np.ndarray
    means: dict[str, np.ndarray]


@cache
def given_partition(kernel):
    """All is normal given tau, which is known or integrated by the trapezoidal rule."""
    tau, log_weights = np.array([SPREAD]), np.zeros(1)
    if kernel is location_and_scale:
        log_tau = np.linspace(-14.0, 4.0, 361)
        tau = np.exp(log_tau)
        log_weights = halfnorm(scale=TAU).logpdf(tau) + log_tau + np.log(log_tau[1] - log_tau[0])
        assert abs(logsumexp(log_weights)) < 1e-5
    same = LABELS[:, :, None] == LABELS[:, None, :]
    same, inverse = np.unique(same, axis=0, return_inverse=True)
    rows = [integrate_normals(block, tau, log_weights) for block in same]
    log_marginal = np.array([row[0] for row in rows])
    means = {name: np.array([row[1][name] for row in rows]) for name in rows[0][1]}
    inverse = inverse.ravel()
    return GivenPartition(log_marginal[inverse], {name: x[inverse] for name, x in means.items()})


def integrate_normals(same, tau, log_weights):
    """Log marginal likelihood of one partition, and expectations of m, tau and theta_1."""
    covariance = NOISE**2 * np.eye(N) + 1.0 + tau[:, None, None] ** 2 * same
    solved = np.linalg.solve(covariance, np.broadcast_to(Y[:, None], (len(tau), N, 1)))[..., 0]
    ones = np.linalg.solve(covariance, np.ones((len(tau), N, 1)))[..., 0]
    log_density = -0.5 * (solved @ Y + np.linalg.slogdet(2 * np.pi * covariance)[1])
    log_joint = log_density + log_weights
    posterior = np.exp(log_joint - logsumexp(log_joint))
    m = solved.sum(axis=1)
    theta_1 = m + tau**2 * (solved @ same[0])
    given_tau = {"m": m, "m^2": m**2 + 1.0 - ones.sum(axis=1), "theta_1": theta_1}
    if len(tau) > 1:
        given_tau |= {"log tau": np.log(tau), "m log tau": m * np.log(tau)}
    return logsumexp(log_joint), {name: posterior @ x for name, x in given_tau.items()}


@cache
def exact_of(kernel, log_prior):
    given = given_partition(kernel)
    counts = slot_counts(LABELS, K)
    log_posterior = log_prior(counts) + given.log_marginal
    probability = np.exp(log_posterior - logsumexp(log_posterior))
    mean_k = float(probability @ (counts > 0).sum(axis=1))
    exact = {name: probability @ x for name, x in given.means.items()}
    exact |= {name: probability @ x for name, x in partition_functionals(LABELS, K, mean_k).items()}
    # Atoms of empty components are draws from G0, whatever the rest.
    exact |= {"empty atoms": 0.0, "empty atoms by m": 0.0, "empty atoms^2": K - mean_k}
    return {name: float(x) for name, x in exact.items()}


def draws_of(chain, mean_k):
    m, mu, log_tau = chain["m"], chain["mu"], chain.get("tau_log__")
    empty = slot_counts(chain["z"], K) == 0
    tau = SPREAD if log_tau is None else np.exp(log_tau)[:, None]
    atoms = empty * (mu - m[:, None]) / tau
    draws = {
        "m": m,
        "m^2": m**2,
        "theta_1": atom_of_first_item(chain["z"], mu),
        "empty atoms": atoms.sum(axis=1),
        "empty atoms by m": atoms.sum(axis=1) * m,
        "empty atoms^2": (atoms**2).sum(axis=1),
    }
    if log_tau is not None:
        draws |= {"log tau": log_tau, "m log tau": m * log_tau}
    return draws | partition_functionals(chain["z"], K, mean_k)


def weighted(counts):
    return dirichlet(counts, WEIGHTS)


def check(kernel, make, sweeps, *, by_weights=False, between=None):
    exact = exact_of(kernel, weighted if by_weights else crp)
    with pm.Model() as model:
        if by_weights:
            kernel(pm.Categorical("z", pm.Dirichlet("w", WEIGHTS), shape=N))
        else:
            kernel(dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N))
        step = make()
        names = ["z", "mu", "m"] + ["tau_log__"] * (kernel is location_and_scale)
        chain = run_chain(step, model, names, sweeps, seed=61, between=between)
    owned = {v.name for v in step.vars}
    assert owned.issuperset(names[2:]) == (between is None)
    assert_means(draws_of(chain, exact["k"]), exact)


def check_algorithm(kernel, name, sweeps):
    algorithm = ALGORITHMS[name]
    check(kernel, algorithm.make, sweeps, by_weights=CRP not in algorithm.urns)


@pytest.mark.parametrize("name", ["neal3", "neal8-m2", "blocked", "split-merge-sequential"])
def test_location_and_scale(name):
    check_algorithm(location_and_scale, name, 10_000)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [location, location_and_scale])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_location_and_scale_long(kernel, name):
    check_algorithm(kernel, name, 100_000)


@pytest.mark.slow
def test_atoms_by_slice_sampling():
    check(location_and_scale, partial(dps.Neal8, m=2, atoms="slice"), 100_000)


def draw_location(point, rng):
    """M given the atoms of all components, as other step methods update it."""
    precision = 1.0 + K / SPREAD**2
    mean = point["mu"].sum() / SPREAD**2 / precision
    return point | {"m": np.array(rng.normal(mean, precision**-0.5))}


def test_left_to_other_steps():
    make = partial(dps.Neal8, m=2, hyperparameters=None)
    check(location, make, 20_000, between=draw_location)


# Joint-distribution tests -------------------------------------------------------------------------


def normal_of_random_base(z):
    m, tau = pm.Normal("m", 0, 1), pm.Gamma("tau", 4, 3)
    mu = pm.Normal("mu", m, tau, shape=joint.K)
    pm.Normal("y", mu[z], 0.7, shape=joint.N)


def counts_of_random_base(z):
    b = pm.Gamma("b", 12, 24)  # squares of counts need a variance: 1 / b has eight moments and more
    rate = pm.Gamma("rate", 2, b, shape=joint.K)
    pm.Poisson("y", rate[z], shape=joint.N)


# Products with functions of the data: ranks are uniform as well where a posterior is that given a
# part of the data only, unless a functional depends on all (Modrák et al. 2023).


def normal_base(p):
    m, tau, mu, y = p["m"], np.log(p["tau"]), p["mu"], p["y"]
    empty = np.bincount(p["z"], minlength=joint.K) == 0
    atoms = (mu - m) / p["tau"]
    own = [m, tau, m * tau, m * mu[p["z"][0]], m * y.mean(), tau * y.std()]
    return [*own, *of_empty(atoms, empty), m * (atoms @ empty)]


def counts_base(p):
    rate, b = p["rate"], p["b"]
    empty = np.bincount(p["z"], minlength=joint.K) == 0
    return [b, np.log(b), b * rate[p["z"][0]], b * p["y"].mean(), *of_empty(b * rate - 2.0, empty)]


def of_empty(atoms, empty):
    return [atoms @ empty, atoms**2 @ empty]


NORMAL = joint.Kernel(
    normal_of_random_base,
    lambda rng, p, z: rng.normal(p["mu"][z], 0.7),
    "mu",
    [joint.crp, joint.sticks],
    conjugate=True,
    more=normal_base,
)
COUNTS = joint.Kernel(
    counts_of_random_base,
    lambda rng, p, z: rng.poisson(p["rate"][z]),
    "rate",
    [joint.pitman_yor, joint.dirichlet, joint.crp],
    conjugate=True,
    more=counts_base,
)
CASES = [case for name in ALGORITHMS for case in joint.cases_of(name, [NORMAL, COUNTS])]
CALIBRATION = [case for case in CASES if case.algorithm in ("neal3", "neal8-m2", "blocked")]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_geweke(case):
    """Every mean within 5 standard errors (ESS-based for the chain)."""
    assert np.abs(joint.geweke_z_scores(case, 50_000, seed=14)).max() < 5.0


@pytest.mark.slow
@pytest.mark.parametrize("case", CALIBRATION, ids=str)
def test_simulation_based_calibration(case):
    """Fails at p < 1e-5 for any functional of the parameters."""
    p_values = joint.calibration_p_values(case, seed=23)
    assert min(p_values.values()) > 1e-5, p_values
