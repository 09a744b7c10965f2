"""Every algorithm on the golden cases, whose exact posteriors others have enumerated."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import pytest

import pymc_dpsteps as dps
from pymc_dpsteps.diagnostics import integrated_autocorr_time
from tests.helpers_algorithms import ALGORITHMS, CRP, STICKS, serving
from tests.helpers_chain import (
    assert_means,
    atom_of_first_item,
    partition_functionals,
    run_chain,
)

GOLDENS = json.loads((Path(__file__).parents[1] / "goldens.json").read_text())
SWEEPS, LONG_SWEEPS, NEAL_SWEEPS = 15_000, 300_000, 1_000_000


def nine_points():
    y = np.array(GOLDENS["neal2000_nine_points"]["y"])
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1, shape=9)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=9, shape=9)
        pm.Normal("y", mu[z], 0.1, observed=y)
    return model


def seven_counts():
    y = np.array(GOLDENS["poisson_gamma_seven_counts"]["y"])
    with pm.Model() as model:
        rate = pm.Gamma("rate", 2, 0.5, shape=7)
        z = dps.ChineseRestaurantProcess("z", 0.8, K=7, shape=7)
        pm.Poisson("y", rate[z], observed=y)
    return model


def truncated_sticks():
    y = np.array(GOLDENS["truncated_sticks_six_points"]["y"])
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1.5, shape=4)
        w = pm.StickBreakingWeights("w", 1.5, K=3)
        z = pm.Categorical("z", w, shape=6)
        pm.Normal("y", mu[z], 0.4, observed=y)
    return model


@dataclass(frozen=True)
class GoldenCase:
    """A model, its prior of the allocation, and the value of its atom in the trace."""

    model: Callable[[], pm.Model]
    urn: str
    n_components: int
    atom: str
    to_natural: Callable[[Any], Any] = np.asarray


GOLDEN_CASES = {
    "neal2000_nine_points": GoldenCase(cache(nine_points), CRP, 9, "mu"),
    "poisson_gamma_seven_counts": GoldenCase(cache(seven_counts), CRP, 7, "rate_log__", np.exp),
    "truncated_sticks_six_points": GoldenCase(cache(truncated_sticks), STICKS, 4, "mu"),
}
ROWS = [(name, step) for name, case in GOLDEN_CASES.items() for step in serving(case.urn)]


def golden_exact(name):
    """Expectations of a golden case under the names of `partition_functionals`."""
    exact = GOLDENS[name]["exact"]
    found = {"k": exact["E_k"], "(k - E[k])^2": exact["Var_k"], "theta_1": exact["E_theta_1"]}
    found |= {f"k = {j}": p for j, p in enumerate(exact["P_k"], start=1)}
    together = enumerate(exact["co_clustering_row_1"][1:], start=2)
    found |= {f"item {i} with item 1": p for i, p in together}
    if "E_count_first_slot" in exact:
        found["n of slot 1"] = exact["E_count_first_slot"]
    return found


def golden_draws(name, step, sweeps):
    case = GOLDEN_CASES[name]
    model = case.model()
    with model:
        chain = run_chain(ALGORITHMS[step].make(), model, ["z", case.atom], sweeps, seed=20)
    functionals = partition_functionals(chain["z"], case.n_components, golden_exact(name)["k"])
    theta_1 = case.to_natural(atom_of_first_item(chain["z"], chain[case.atom]))
    return functionals | {"theta_1": theta_1}


@pytest.mark.parametrize(("name", "step"), ROWS)
def test_golden_posteriors(name, step):
    assert_means(golden_draws(name, step, SWEEPS), golden_exact(name))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "step"), ROWS)
def test_golden_posteriors_long(name, step):
    assert_means(golden_draws(name, step, LONG_SWEEPS), golden_exact(name))


# Neal (2000), Table 1 ----------------------------------------------------------------------------

TABLE_1 = {
    "neal4": "4",
    "neal5": "5, R=4",
    "neal6": "6, R=4",
    "neal7": "7",
    "neal8-m1": "8, m=1",
    "neal8-m2": "8, m=2",
    "neal8-m30": "8, m=30",
}


def autocorrelation_times(step, sweeps):
    """Our autocorrelation times of k and theta_1, and those of the independent program."""
    rows = GOLDENS["neal2000_nine_points"]["autocorrelation_time"]["rows"]
    (row,) = [row for row in rows if row["algorithm"] == TABLE_1[step]]
    draws = golden_draws("neal2000_nine_points", step, sweeps)
    found = {name: integrated_autocorr_time(draws[name]) for name in ("k", "theta_1")}
    # Each entry: the printed table, the independent program (more precise).
    return found, {"k": row["tau_k"][1], "theta_1": row["tau_theta_1"][1]}


def test_autocorrelation_times_of_neal_2000_roughly():
    found, expected = autocorrelation_times("neal8-m2", 40_000)
    assert found == pytest.approx(expected, rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("step", TABLE_1)
def test_autocorrelation_times_of_neal_2000(step):
    found, expected = autocorrelation_times(step, NEAL_SWEEPS)
    assert found == pytest.approx(expected, rel=0.15 if step == "neal6" else 0.1)
