"""Calibration of exact and wrong samplers of a mixture whose 52 partitions are enumerated."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp
from scipy.stats import chisquare

from pymc_dpsteps.amortized.check_calibration import calibration, ecdf_band, rank, uniformity
from pymc_dpsteps.amortized.check_draws import DataSet, Draws
from tests.helpers_chain import FIVE_SIGMA
from tests.helpers_partitions import all_partitions

N, NOISE, SPREAD = 5, 0.7, 1.5  # y_i ~ Normal(mu[c_i], NOISE), mu_k ~ Normal(0, SPREAD), alpha = 1
PARTITIONS = all_partitions(N)
COUNTS = np.array([np.bincount(row, minlength=N) for row in PARTITIONS])
LOG_PRIOR = np.where(COUNTS > 0, gammaln(np.maximum(COUNTS, 1)), 0.0).sum(1) - gammaln(N + 1)

type Array = NDArray[np.float64]


def log_joint_of(y: Array) -> tuple[Array, Array, Array]:
    """log p(y, c) of every partition, but for a constant, and mean and precision of theta_1."""
    sums = np.stack([(PARTITIONS == k) @ y for k in range(N)], axis=1)
    precision = COUNTS / NOISE**2 + SPREAD**-2
    mean = sums / NOISE**2 / precision
    likelihood = 0.5 * (precision * mean**2 - np.log(precision * SPREAD**2)).sum(axis=1)
    return LOG_PRIOR + likelihood, mean[:, 0], precision[:, 0]


def simulate(rng: np.random.Generator) -> DataSet:
    c = rng.choice(len(PARTITIONS), p=np.exp(LOG_PRIOR))
    atoms = rng.normal(0.0, SPREAD, N)
    labels = PARTITIONS[c]
    y = rng.normal(atoms[labels], NOISE)
    return DataSet(y, labels, atoms[0], log_joint_of(y)[0][c])


def posterior(y: Array, draws: int, rng: np.random.Generator, power: float = 1.0) -> Draws:
    """Exact for power 1; sharper for larger powers: an overconfident sampler."""
    log_joint, mean, precision = log_joint_of(y)
    log_p = power * log_joint
    c = rng.choice(len(PARTITIONS), size=draws, p=np.exp(log_p - logsumexp(log_p)))
    first = rng.normal(mean[c], (power * precision[c]) ** -0.5)
    return Draws(PARTITIONS[c], first, log_joint[c])


def overconfident(y: Array, draws: int, rng: np.random.Generator) -> Draws:
    return posterior(y, draws, rng, power=3.0)


def prior(y: Array, draws: int, rng: np.random.Generator) -> Draws:
    c = rng.choice(len(PARTITIONS), size=draws, p=np.exp(LOG_PRIOR))
    return Draws(PARTITIONS[c], rng.normal(0.0, SPREAD, draws), log_joint_of(y)[0][c])


def check(sample):
    return calibration(simulate, sample, n_datasets=300, draws=99, random_seed=3)


def test_the_exact_sampler_is_calibrated_and_covers():
    found = check(posterior)
    assert list(found["functional"].values) == [
        *("n_clusters", "sum_squared_proportions", "largest_cluster", "together"),
        *("theta_1", "log_joint"),
    ]
    assert found["rank"].min() == 0 and found["rank"].max() == 99
    # P-values under the hypothesis: below that of five standard errors once in two million.
    assert (found["p_value"] > FIVE_SIGMA).all() and found["coverage_p_value"] > FIVE_SIGMA
    # Dvoretzky, Kiefer, Wolfowitz and Massart's bound at the same probability.
    level, ecdf, lower, upper = ecdf_band(found["coverage_pit"])
    assert np.abs(ecdf - level).max() < np.sqrt(np.log(2.0 / FIVE_SIGMA) / (2 * 300))
    # The band of 99% is left once in a hundred seeds.
    assert ((lower <= ecdf) & (ecdf <= upper)).all()


def test_contraction_equals_what_was_learnt():
    found = check(posterior)
    # E Var(x | y) + Var E(x | y) = Var(x), so contraction is the squared correlation of x and
    # its posterior mean: here of theta_1, between that of n = 1 and of n = 5 in one cluster.
    low, high = (SPREAD**2 / (SPREAD**2 + NOISE**2 / n) for n in (1, N))
    contraction = float(found["contraction"].sel(functional="theta_1"))
    assert low - 0.1 < contraction < high  # sd of a variance from 300 values: 8% of 1 - low
    assert abs(float(check(prior)["contraction"].sel(functional="theta_1"))) < 5 * (2 / 300) ** 0.5


def test_the_prior_is_rejected_by_what_depends_on_the_data():
    found = check(prior)
    assert found["p_value"].sel(functional="log_joint") < FIVE_SIGMA
    # Parameters alone can't tell: the prior is calibrated on average over the data.
    assert found["p_value"].sel(functional="theta_1") > FIVE_SIGMA


def test_an_overconfident_sampler_leaves_the_band():
    found = check(overconfident)
    level, ecdf, lower, upper = ecdf_band(found["coverage_pit"])
    assert ((ecdf < lower) | (ecdf > upper)).any()
    assert np.interp(0.5, level, ecdf) < 0.5 and np.interp(0.9, level, ecdf) < 0.9
    assert found["coverage_p_value"] < FIVE_SIGMA
    assert found["p_value"].sel(functional="theta_1") < FIVE_SIGMA


def test_ties_are_broken_uniformly():
    rng = np.random.default_rng(1)
    values = rng.choice([1.0, 2.0, 3.0], p=[0.6, 0.3, 0.1], size=(20_000, 10))
    # Rounding of the true value leaves ties what they are.
    ranks = rank(values[:, 1:], values[:, :1] * (1.0 + 1e-14), rng)
    assert chisquare(np.bincount(ranks, minlength=10)).pvalue > FIVE_SIGMA
    np.testing.assert_array_equal(rank([[1.0, 2.0, 4.0]], [[3.0]], rng), [2])


def test_uniformity_sees_spread_and_bias():
    rng = np.random.default_rng(2)
    assert uniformity(rng.random(400)) > FIVE_SIGMA
    for wrong in (rng.beta(0.5, 0.5, 400), rng.beta(2.5, 2.5, 400), rng.beta(1.6, 1.0, 400)):
        assert uniformity(wrong) < FIVE_SIGMA


def test_a_seed_gives_the_same_data_whatever_the_sampler_draws():
    def more_numbers(y, draws, rng):
        rng.random(7)
        return posterior(y, draws, rng)

    first, second = (
        calibration(simulate, sample, n_datasets=20, draws=9, random_seed=8)
        for sample in (posterior, more_numbers)
    )
    np.testing.assert_array_equal(first["true"], second["true"])


@pytest.mark.parametrize(
    "sample, message",
    [
        (lambda y, draws, rng: posterior(y, draws - 1, rng), "returned 8 draws; expected 9"),
        (lambda y, draws, rng: Draws(posterior(y, 9, rng).labels), "first and log_joint with both"),
        (
            lambda y, draws, rng: Draws(posterior(y, 9, rng).labels, weights=np.ones(9)),
            "9 weighted draws",
        ),
        (
            lambda y, draws, rng: Draws(posterior(y, 9, rng).labels, np.full(9, np.nan)),
            "theta_1 is not finite in 9 of 9 draws",
        ),
    ],
)
def test_what_a_sampler_may_not_return(sample, message):
    with pytest.raises(ValueError, match=message):
        calibration(simulate, sample, n_datasets=20, draws=9)


def test_too_few_data_sets():
    with pytest.raises(ValueError, match="at least 20"):
        calibration(simulate, posterior, n_datasets=3, draws=9)
