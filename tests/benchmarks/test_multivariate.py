"""Multivariate normal kernels against hand-written ones in the same run: ratios are the result."""

import numpy as np
import pymc as pm
import pytest

import pymc_dpsteps as dps
from pymc_dpsteps.steps.neal1 import gibbs_sweep
from pymc_dpsteps.steps.neal3 import collapsed_sweep
from pymc_dpsteps.steps.neal8 import neal8_sweep
from pymc_dpsteps.steps.statistics import collect_statistics
from tests.benchmarks import reference_multivariate as reference
from tests.benchmarks.timing import alternate, arrays_of, median_seconds, settled

DIMENSIONS = [2, 5, 20]
K, M, SPREAD = 30, 3, 6.0


def data(n_items, n_groups, d):
    rng = np.random.default_rng(0)
    centers = rng.normal(0.0, SPREAD, size=(n_groups, d))
    return rng.normal(centers[rng.integers(0, n_groups, size=n_items)], 1.0)


@pytest.mark.benchmark
@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("reuse", [False, True])
def test_neal8(reuse, d, record):
    n_items = 1_000
    y, correlation = data(n_items, 5, d), 0.7 * np.eye(d) + 0.3
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, SPREAD, shape=(K, d))
        scale = pm.HalfNormal("scale", 1.0, shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=n_items)
        cov = scale[:, None, None] ** 2 * correlation
        pm.MvNormal("y", mu[z], cov=cov[z], observed=y)
        step = dps.Neal8(m=M, reuse=reuse)
    state = settled(step, model)
    scales = np.append(np.exp(state.values[:K, -1]), np.ones(M))
    means = np.vstack([state.values[:K, :d], np.zeros((M, d))])
    roots = scales[:, None, None] * np.linalg.cholesky(correlation)
    constants = -0.5 * d * np.log(2.0 * np.pi) - np.log(np.diagonal(roots, 0, 1, 2)).sum(axis=1)
    rng = np.random.default_rng(2)
    occupancy = (state.z, state.counts, state.active, state.position, state.n_active)
    arrays = [*(a.copy() for a in occupancy), means, roots, constants]

    def by_hand():
        reference.neal8_sweep(rng, y, *arrays, correlation, SPREAD, 1.0, M)

    def ours():
        neal8_sweep(step.rng, state, M, reuse)

    ours_s, reference_s = alternate((ours, arrays_of(state)), (by_hand, arrays), repeats=200)
    record(
        "multivariate sweeps",
        algorithm="Neal 8, auxiliaries kept" if reuse else "Neal 8",
        dimension=d,
        items=n_items,
        clusters=int(state.n_active[0]),
        sweep_ms=1e3 * ours_s,
        hand_written_ms=1e3 * reference_s,
        ratio=ours_s / reference_s,
    )


def conjugate_model(y):
    with pm.Model() as model:
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=len(y))
        dps.kernels.mvnormal("y", z, scale=SPREAD, observed=y)
    return model


def hand_written(y, state):
    """A collapsed sweep of the same model from the same state, and the arrays it changes."""
    d = y.shape[1]
    prior, inverse_scale = (1.0, 1 / 9, d + 2.0), SPREAD**2 / 9 * np.eye(d)
    z, counts, active = state.z.copy(), np.append(state.counts, 0), np.append(state.active, 0)
    sums = np.array([y[z == k].sum(axis=0) for k in range(K + 1)])
    squares = np.array([y[z == k].T @ y[z == k] for k in range(K + 1)])
    predictive = np.empty((K + 1, d)), np.empty((K + 1, d, d)), np.empty(K + 1)
    for k in range(K + 1):
        reference.refresh(k, counts, sums, squares, prior, inverse_scale, *predictive)
    position, n_active = state.position.copy(), state.n_active.copy()
    arrays = [z, counts[:K], active, position, n_active, sums, squares]
    rng = np.random.default_rng(2)

    def by_hand():
        reference.collapsed_sweep(rng, y, *arrays, prior, inverse_scale, *predictive)

    return by_hand, [*arrays, *predictive]


@pytest.mark.benchmark
@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("algorithm", ["Neal2", "Neal3"])
def test_conjugate(algorithm, d, record):
    """Normal-Wishart: factors that are kept up to date, against one per change."""
    y = data(2_000, 4, d)
    model = conjugate_model(y)
    with model:
        step = getattr(dps, algorithm)()
    state = settled(step, model, sweeps=200)
    if algorithm == "Neal3":
        collect_statistics(state)
    sweep = {"Neal2": gibbs_sweep, "Neal3": collapsed_sweep}[algorithm]
    ours_s, reference_s = alternate(
        (lambda: sweep(step.rng, state), arrays_of(state)), hand_written(y, state), repeats=50
    )
    record(
        "multivariate sweeps",
        algorithm=f"{algorithm}, normal-Wishart",
        dimension=d,
        items=len(y),
        clusters=int(state.n_active[0]),
        sweep_ms=1e3 * ours_s,
        hand_written_ms=1e3 * reference_s,
        ratio=ours_s / reference_s,
        iteration_ms=1e3 * median_seconds(lambda: step._iterate(step._rest), repeats=50),
    )
