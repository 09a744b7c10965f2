"""Time of one sweep against a hand-written one, in the same run: the ratio is the result."""

import numpy as np
import pymc as pm
import pytest

import pymc_dpsteps as dps
from pymc_dpsteps.steps.blocked import blocked_sweep
from pymc_dpsteps.steps.neal8 import neal8_sweep
from tests.benchmarks.reference import reference_sweep
from tests.benchmarks.timing import alternate, settled

M = 3
PRIOR = (1.0, 0.0, 10.0, 2.0)


def data(n_items):
    rng = np.random.default_rng(0)
    return rng.normal(rng.choice([-10.0, -4.0, 0.0, 5.0, 11.0], size=n_items), 1.0)


def model(y, n_slots):
    alpha, m0, s0, t0 = PRIOR
    with pm.Model() as result:
        mu = pm.Normal("mu", m0, s0, shape=n_slots)
        sigma = pm.HalfNormal("sigma", t0, shape=n_slots)
        z = dps.ChineseRestaurantProcess("z", alpha, K=n_slots, shape=len(y))
        pm.Normal("y", mu[z], sigma[z], observed=y)
    return result


@pytest.mark.benchmark
@pytest.mark.parametrize("n_items", [100, 1_000, 10_000])
def test_neal8_against_hand_written(n_items, benchmark, capsys):
    n_slots = 30
    y = data(n_items)
    with model(y, n_slots) as m:
        step = dps.Neal8(m=M)
    state = settled(step, m)
    rng = np.random.default_rng(2)
    z, counts = state.z.copy(), state.counts.copy()
    active, position = state.active.copy(), state.position.copy()
    n_active = state.n_active.copy()
    mu, log_sigma = state.values[:n_slots, 0].copy(), state.values[:n_slots, 1].copy()
    sigma = np.exp(log_sigma)

    def ours():
        neal8_sweep(step.rng, state, M)

    def reference():
        reference_sweep(
            rng, y, z, counts, active, position, n_active, mu, sigma, log_sigma, PRIOR, M
        )

    ours_s, reference_s = alternate(
        (ours, [state.z, state.counts, state.active, state.position, state.n_active,
                state.values, state.columns]),
        (reference, [z, counts, active, position, n_active, mu, sigma, log_sigma]),
        repeats=max(50, 300_000 // n_items),
    )  # fmt: skip
    benchmark.pedantic(ours, rounds=10)
    benchmark.extra_info["ratio"] = ours_s / reference_s
    with capsys.disabled():
        print(
            f"\nNeal 8, N={n_items}, {int(state.n_active[0])} clusters: "
            f"{ours_s / n_items * 1e9:.0f} ns per observation, hand-written "
            f"{reference_s / n_items * 1e9:.0f} ns, ratio {ours_s / reference_s:.2f}"
        )


@pytest.mark.benchmark
@pytest.mark.parametrize("n_items", [100, 1_000, 10_000])
def test_blocked_sweep(n_items, benchmark, capsys):
    n_slots = 30
    y = data(n_items)
    with pm.Model() as m:
        mu = pm.Normal("mu", 0, 10, shape=n_slots)
        sigma = pm.HalfNormal("sigma", 2, shape=n_slots)
        w = pm.StickBreakingWeights("w", 1.0, K=n_slots - 1)
        z = pm.Categorical("z", w, shape=n_items)
        pm.Normal("y", mu[z], sigma[z], observed=y)
        step = dps.BlockedGibbs()
    state = settled(step, m)
    benchmark.pedantic(lambda: blocked_sweep(step.rng, state), rounds=20)
    ns = benchmark.stats["median"] / n_items * 1e9
    with capsys.disabled():
        print(f"\nBlocked Gibbs, N={n_items}, K={n_slots}: {ns:.0f} ns per observation")
