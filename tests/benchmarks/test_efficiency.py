"""Independent draws per second of every algorithm, against a hand-written Neal 8.

The ratio to the hand-written sampler counts the whole loop of `pymc.sample`, with all that it
records of a draw, and takes turns with it. All must agree on the posterior, where chains are long
enough to tell.
"""

from functools import partial

import numpy as np
import pytest

import pymc_dpsteps as dps
from tests.benchmarks import chains
from tests.benchmarks.cases import CASES

ALGORITHMS = {
    "Neal 8": [dps.Neal8],
    "Neal 8, five sweeps per draw": [partial(dps.Neal8, sweeps=5)],
    "Neal 8, ten sweeps per draw": [partial(dps.Neal8, sweeps=10)],
    "Neal 8, m = 1": [partial(dps.Neal8, m=1)],
    "Neal 8, fresh auxiliaries": [partial(dps.Neal8, reuse=False)],
    "Neal 4": [dps.Neal4],
    "Neal 5": [dps.Neal5],
    "Neal 6": [dps.Neal6],
    "Neal 7": [dps.Neal7],
    "slice": [dps.SliceGibbs],
    "importance conditional": [dps.ImportanceConditional],
    "split-merge, Neal 8": [
        partial(dps.SplitMerge, atoms=None, concentration=None),
        partial(dps.Neal8, m=1),
    ],
    "split-merge, five moves, Neal 8": [
        partial(dps.SplitMerge, moves=5, atoms=None, concentration=None),
        partial(dps.Neal8, m=1),
    ],
    "blocked, sticks": [dps.BlockedGibbs],
    "Neal 8, sticks": [dps.Neal8],
}
CONJUGATE = {
    "Neal 2": [dps.Neal2],
    "Neal 3": [dps.Neal3],
    "split-merge, Neal 2": [dps.SplitMerge, dps.Neal2],
    "Neal 8": [dps.Neal8],
    "blocked, sticks": [dps.BlockedGibbs],
}


def disagreement(result, other):
    """Largest difference of the means, in standard errors."""
    error = np.hypot(result.mean_se, other.mean_se)
    return float(np.max(np.abs(result.mean - other.mean) / error))


def measure(case, algorithm, makers, length):
    model = case.sticks if "sticks" in algorithm else case.restaurant
    draws, step_s = chains.run(case, model, makers, length)
    steps = list(chains.compound(model, makers).methods)
    return chains.Result.of(draws), step_s, partial(chains.sample_seconds, model, steps)


@pytest.mark.benchmark
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", ["galaxies", "N = 1,000"])
def test_against_hand_written(name, algorithm, record):
    case, hand = CASES[name], chains.reference_result(name)
    result, step_s, timed = measure(case, algorithm, ALGORITHMS[algorithm], chains.LENGTHS[name])
    sample_s, hand_s = chains.seconds_in_turns([timed, partial(chains.by_hand_seconds, case)])
    # A start that is not forgotten counts for less than the Monte Carlo error.
    too_short = bool(result.tau.max() > chains.LENGTHS[name][1] / 20)
    if algorithm == "Neal 8":
        record(f"efficiency, {name}", algorithm="hand-written Neal 8", **hand.row(1e3 * hand_s))
    speed = hand.tau[:3] * hand_s / (result.tau[:3] * sample_s)
    record(
        f"efficiency, {name}",
        algorithm=algorithm,
        sample_ms=1e3 * sample_s,
        step_ms=1e3 * step_s,
        **result.row(1e3 * sample_s),
        **{f"{f}_vs_hand": float(s) for f, s in zip(chains.FUNCTIONALS, speed, strict=False)},
        step_k_vs_hand=float(speed[0] * sample_s / step_s),
        step_density_vs_hand=float(speed[2] * sample_s / step_s),
        note="chains too short" if too_short else "",
    )
    assert too_short or disagreement(result, hand) < 5.0


@pytest.mark.benchmark
@pytest.mark.parametrize("algorithm", CONJUGATE)
def test_conjugate(algorithm, record):
    name = "galaxies, conjugate"
    result, step_s, timed = measure(
        CASES[name], algorithm, CONJUGATE[algorithm], chains.LENGTHS["galaxies"]
    )
    sample_s = timed()
    record(
        f"efficiency, {name}",
        algorithm=algorithm,
        sample_ms=1e3 * sample_s,
        step_ms=1e3 * step_s,
        **result.row(1e3 * sample_s),
    )
