"""Multivariate normal kernels against hand-written ones in the same run: ratios are the result."""

import numpy as np
import pymc as pm
import pytest

import pymc_dpsteps as dps
from pymc_dpsteps.steps.neal3 import collapsed_sweep
from pymc_dpsteps.steps.neal8 import neal8_sweep
from pymc_dpsteps.steps.statistics import collect_statistics
from tests.benchmarks import reference_multivariate as reference
from tests.benchmarks.timing import alternate, arrays_of, settled

N, K, M, SPREAD = 1_000, 30, 3, 6.0


def data(d):
    """Five groups."""
    rng = np.random.default_rng(0)
    return rng.normal(rng.normal(0.0, SPREAD, size=(5, d))[rng.integers(0, 5, size=N)], 1.0)


@pytest.mark.benchmark
@pytest.mark.parametrize("d", [2, 5, 10, 20])
def test_neal8_against_hand_written(d, benchmark, capsys):
    y, correlation = data(d), 0.7 * np.eye(d) + 0.3
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, SPREAD, shape=(K, d))
        scale = pm.HalfNormal("scale", 1.0, shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        cov = scale[:, None, None] ** 2 * correlation
        pm.MvNormal("y", mu[z], cov=cov[z], observed=y)
        step = dps.Neal8(m=M)
    state = settled(step, model)
    scales = np.append(np.exp(state.values[:K, -1]), np.ones(M))
    means = np.vstack([state.values[:K, :d], np.zeros((M, d))])
    roots = scales[:, None, None] * np.linalg.cholesky(correlation)
    constants = -0.5 * d * np.log(2.0 * np.pi) - np.log(np.diagonal(roots, 0, 1, 2)).sum(axis=1)
    z, counts, active = state.z.copy(), state.counts.copy(), state.active.copy()
    position, n_active = state.position.copy(), state.n_active.copy()
    rng = np.random.default_rng(2)

    def by_hand():
        reference.neal8_sweep(
            rng, y, z, counts, active, position, n_active, means, roots, constants, correlation,
            SPREAD, 1.0, M,
        )  # fmt: skip

    def ours():
        neal8_sweep(step.rng, state, M)

    ours_s, reference_s = alternate(
        (ours, arrays_of(state)),
        (by_hand, [z, counts, active, position, n_active, means, roots, constants]),
        repeats=200,
    )
    benchmark.pedantic(ours, rounds=10)
    benchmark.extra_info["ratio"] = ours_s / reference_s
    with capsys.disabled():
        print(
            f"\nNeal 8, MvNormal, D={d}, {int(state.n_active[0])} clusters: "
            f"{ours_s / N * 1e9:.0f} ns per observation, hand-written "
            f"{reference_s / N * 1e9:.0f} ns, ratio {ours_s / reference_s:.2f}"
        )


class Both(dps.Neal3):
    """Neal 3 that has marginal likelihoods as well."""

    uses_statistics = (*dps.Neal3.uses_statistics, "log_marginal")


@pytest.mark.benchmark
@pytest.mark.parametrize("d", [2, 5, 10, 20])
def test_neal3_against_refactorising(d, benchmark, capsys):
    """Normal-Wishart: predictive densities from factors that are kept up to date."""
    y = data(d)
    with pm.Model() as model:
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        dps.kernels.mvnormal("y", z, scale=SPREAD, observed=y)
        step = Both()
    state = settled(step, model, sweeps=100)
    collect_statistics(state)
    log_marginal = step._compiled.functions["log_marginal"]
    log_marginals = np.array([log_marginal(row, state.shared) for row in state.stats])

    def ours():
        collapsed_sweep(step.rng, state)

    def refactorising():
        reference.refactorising_sweep(step.rng, state, log_marginals)

    ours_s, reference_s = alternate(
        (ours, arrays_of(state)), (refactorising, [*arrays_of(state), log_marginals]), repeats=30
    )
    benchmark.pedantic(ours, rounds=5)
    benchmark.extra_info["ratio"] = reference_s / ours_s
    with capsys.disabled():
        print(
            f"\nNeal 3, normal-Wishart, D={d}, {int(state.n_active[0])} clusters: "
            f"{ours_s / N * 1e9:.0f} ns per observation, refactorising "
            f"{reference_s / N * 1e9:.0f} ns, {reference_s / ours_s:.1f} times faster"
        )
