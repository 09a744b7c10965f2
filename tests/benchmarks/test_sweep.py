"""Time of one sweep against a hand-written one, in the same run: the ratio is the result."""

import numpy as np
import pymc as pm
import pymc.math as pmm
import pytest

import pymc_dpsteps as dps
from pymc_dpsteps.steps.blocked import blocked_sweep
from pymc_dpsteps.steps.neal3 import collapsed_sweep
from pymc_dpsteps.steps.neal8 import neal8_sweep
from pymc_dpsteps.steps.statistics import collect_statistics
from tests.benchmarks import reference
from tests.benchmarks.timing import alternate, arrays_of, settled

SIZES = [100, 1_000, 10_000, 100_000]
K, M = 30, 3
ALPHA, M0, S0, T0 = 1.0, 0.0, 10.0, 2.0
KAPPA, A, B = 0.01, 2.0, 1.0


def data(n_items):
    rng = np.random.default_rng(0)
    return rng.normal(rng.choice([-10.0, -4.0, 0.0, 5.0, 11.0], size=n_items), 1.0)


def measured(record, algorithm, state, ours, by_hand):
    n_items = len(state.z)
    ours_s, reference_s = alternate(
        (ours, arrays_of(state)), by_hand, repeats=min(1_000, max(20, 1_000_000 // n_items))
    )
    record(
        "sweeps",
        algorithm=algorithm,
        items=n_items,
        clusters=int(state.n_active[0]),
        ns_per_item=ours_s / n_items * 1e9,
        hand_written_ns=reference_s / n_items * 1e9,
        ratio=ours_s / reference_s,
    )


@pytest.mark.benchmark
@pytest.mark.parametrize("n_items", SIZES)
@pytest.mark.parametrize("reuse", [False, True])
def test_neal8(reuse, n_items, record):
    """By hand all auxiliaries are drawn anew for each item, as with ``reuse=False``."""
    y = data(n_items)
    with pm.Model() as model:
        mu = pm.Normal("mu", M0, S0, shape=K)
        sigma = pm.HalfNormal("sigma", T0, shape=K)
        z = dps.ChineseRestaurantProcess("z", ALPHA, K=K, shape=n_items)
        pm.Normal("y", mu[z], sigma[z], observed=y)
        step = dps.Neal8(m=M, reuse=reuse)
    state = settled(step, model)
    rng, prior = np.random.default_rng(2), (ALPHA, M0, S0, T0)
    occupancy = [a.copy() for a in (state.z, state.counts, state.active, state.position)]
    n_active = state.n_active.copy()
    mu, log_sigma = state.values[:K, 0].copy(), state.values[:K, 1].copy()
    arrays = [*occupancy, n_active, mu, np.exp(log_sigma), log_sigma]

    def by_hand():
        reference.neal8_sweep(rng, y, *arrays, prior, reference.draw_half_normal, M)

    def ours():
        neal8_sweep(step.rng, state, M, reuse)

    algorithm = "Neal 8, auxiliaries kept" if reuse else "Neal 8"
    measured(record, algorithm, state, ours, (by_hand, arrays))


@pytest.mark.benchmark
@pytest.mark.parametrize("n_items", [*SIZES, 1_000_000])
def test_blocked(n_items, record):
    y = data(n_items)
    with pm.Model() as model:
        mu = pm.Normal("mu", M0, S0, shape=K)
        sigma = pm.HalfNormal("sigma", T0, shape=K)
        w = pm.StickBreakingWeights("w", ALPHA, K=K - 1)
        z = pm.Categorical("z", w, shape=n_items)
        pm.Normal("y", mu[z], sigma[z], observed=y)
        step = dps.BlockedGibbs()
    state = settled(step, model)
    blocked_sweep(step.rng, state)  # fills the weights
    rng = np.random.default_rng(2)
    arrays = [state.z.copy(), state.counts.copy()]
    w, mu, sigma = state.weights.copy(), state.values[:K, 0].copy(), np.exp(state.values[:K, 1])

    def by_hand():
        reference.blocked_sweep(rng, y, *arrays, w, mu, sigma)

    measured(record, "blocked", state, lambda: blocked_sweep(step.rng, state), (by_hand, arrays))


@pytest.mark.benchmark
@pytest.mark.parametrize("n_items", SIZES)
def test_collapsed(n_items, record):
    y = data(n_items)
    with pm.Model() as model:
        variance = pm.InverseGamma("variance", A, B, shape=K)
        mu = pm.Normal("mu", M0, pmm.sqrt(variance / KAPPA), shape=K)
        z = dps.ChineseRestaurantProcess("z", ALPHA, K=K, shape=n_items)
        pm.Normal("y", mu[z], pmm.sqrt(variance[z]), observed=y)
        step = dps.Neal3()
    state = settled(step, model)
    collect_statistics(state)
    rng, prior = np.random.default_rng(2), (ALPHA, M0, KAPPA, A, B)
    z, counts = state.z.copy(), np.append(state.counts, 0)
    active, position = np.append(state.active, 0), state.position.copy()
    sums, squares = (np.bincount(z, x, minlength=K + 1) for x in (y, y**2))
    ratios = reference.gamma_ratios(A, n_items)
    predictive = np.empty((K + 1, 4))
    for k in range(K + 1):
        reference.refresh(k, counts, sums, squares, ratios, prior, predictive)
    arrays = [z, counts[:K], active, position, state.n_active.copy(), sums, squares]

    def by_hand():
        reference.collapsed_sweep(rng, y, *arrays, ratios, prior, predictive)

    measured(
        record,
        "collapsed",
        state,
        lambda: collapsed_sweep(step.rng, state),
        (by_hand, [*arrays, predictive]),
    )
