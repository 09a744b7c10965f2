"""Independent draws per second of other programs, beside Neal 8 on the same data and model.

Neal 8 makes ten sweeps per draw. `neal8_k` and `neal8_density` say how many times more independent
draws per second it makes, with the whole loop of `pymc.sample` counted and timed before and after
the other program. `disagreement` is the largest difference of a posterior mean from that of Neal 8,
in standard errors.
"""

import shutil
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest

import pymc_dpsteps as dps
from tests.benchmarks import chains, peers
from tests.benchmarks.cases import CASES
from tests.benchmarks.test_efficiency import disagreement

CONJUGATE = "galaxies, normal-inverse-gamma"
ALL = CASES | {
    CONJUGATE: replace(
        CASES["galaxies, conjugate"], prior=(1.0, *CASES["galaxies, conjugate"].prior[1:])
    )
}
NEAL_8 = [partial(dps.Neal8, sweeps=10)]
# Program, case, and as many draws as take a minute or two.
RUNS = [
    (peers.jags, "galaxies", 30_000),
    (peers.pymc_compound, "galaxies", 6_000),
    (peers.pymc_nuts, "galaxies", 8_000),
    (peers.nutpie, "galaxies", 30_000),
    (peers.numpyro, "galaxies", 3_000),
    (peers.pyrichlet, CONJUGATE, 15_000),
    (peers.jags, "N = 1,000", 4_000),
    (peers.nutpie, "N = 1,000", 1_000),
]
NEEDS = {peers.nutpie: "nutpie", peers.numpyro: "numpyro", peers.pyrichlet: "pyrichlet"}


@cache
def neal8(name):
    """τ of Neal 8 with ten sweeps per draw, and its steps."""
    case, length = ALL[name], chains.LENGTHS["N = 1,000" if name == "N = 1,000" else "galaxies"]
    draws, _ = chains.run(case, case.restaurant, NEAL_8, length)
    return chains.Result.of(draws), chains.compound(case.restaurant, NEAL_8).methods


@pytest.mark.benchmark
@pytest.mark.parametrize(("peer", "name", "draws"), RUNS, ids=lambda x: getattr(x, "__name__", x))
def test_peer(peer, name, draws, record):
    if peer in NEEDS:
        pytest.importorskip(NEEDS[peer], reason=f"{NEEDS[peer]} is not installed")
    if peer is peers.jags and not shutil.which("jags"):
        pytest.skip("the program jags is not installed")
    case = ALL[name]
    ours, steps = neal8(name)
    before = chains.sample_seconds(case.restaurant, steps)
    rows, seconds = peer(case, draws)
    ours_s = (before + chains.sample_seconds(case.restaurant, steps)) / 2
    result = chains.Result.of(rows[None])
    times = result.tau * seconds / (ours.tau * ours_s)
    record(
        "peers",
        program=peer.__name__,
        case=name,
        draws=draws,
        ms_per_draw=1e3 * seconds,
        neal8_k=float(times[0]),
        neal8_density=float(times[2]),
        disagreement=disagreement(result, ours),
        **result.row(1e3 * seconds),
    )


@pytest.mark.benchmark
def test_scikit_learn(record):
    """A variational approximation: no draws, but a density that can be wrong."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    density, seconds = peers.sklearn_density(ALL[CONJUGATE])
    ours, _ = neal8(CONJUGATE)
    record(
        "variational",
        program="scikit-learn",
        case=CONJUGATE,
        seconds=seconds,
        density=density,
        posterior_mean=float(ours.mean[2]),
        monte_carlo_error=float(ours.mean_se[2]),
        relative_error=float(np.abs(density / ours.mean[2] - 1.0)),
    )
