"""The comparison of networks and chains: it runs, and times to equal accuracy are as defined."""

import importlib.util
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from pymc_dpsteps.amortized.check_draws import Draws

PATH = Path(__file__).parents[2] / "examples" / "amortized_vs_mcmc.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("amortized_vs_mcmc", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their annotations up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


SECONDS = 2.0 ** np.arange(8)


@pytest.mark.parametrize(("level", "extrapolated"), [(0.2, False), (0.03, True)])
@pytest.mark.parametrize("floor", [0.0, 0.02])
def test_passing(example, level, extrapolated, floor):
    error = np.sqrt(floor**2 + 1.0 / SECONDS)
    time, found = example.passing(SECONDS, error, level, floor)
    assert found is extrapolated
    # Exact beyond the last, and between two points for a power law.
    assert time == pytest.approx(1.0 / (level**2 - floor**2), rel=1e-9 if extrapolated else 1e-2)


def test_passing_never_and_at_once(example):
    error = np.sqrt(0.1**2 + 1.0 / SECONDS)
    assert example.passing(SECONDS, error, 0.1, 0.1) == (np.inf, False)
    assert example.passing(SECONDS, error, 2.0, 0.1) == (1.0, False)
    # For good: an error that was small by chance does not count.
    assert example.passing(SECONDS[:3], np.array([0.01, 0.2, 0.05]), 0.1, 0.0)[0] == pytest.approx(
        np.sqrt(8.0)
    )


def test_floor_of_raw_draws(example):
    curves = example.Curves(exact=False)
    for m in (8, 16, 32, 64):
        curves.errors[m].append(np.sqrt(np.array([0.1, 0.01]) ** 2 + 1.0 / m))
        curves.seconds[m].append(m * 1e-3)
    curves.cost.append(1.0)
    row = curves.row()
    assert row["P(k) floor"] == pytest.approx(0.1) and row["s to P(k)"] == np.inf
    assert row["co-clustering floor"] == pytest.approx(0.01)
    assert row["s to co-clustering"] == pytest.approx(1e-3 / (0.02**2 - 0.01**2))
    assert row["ms per independent draw"] == pytest.approx(1.0)


def test_errors(example):
    truth = example.summarise(Draws(np.array([[0, 0, 1], [0, 0, 0]])))
    one = Draws(np.array([[0, 0, 1], [0, 1, 2]]), weights=np.array([3.0, 1.0]))
    # P(k) is (1/2, 1/2, 0), then (0, 3/4, 1/4); the first two share a cluster always, then in 3/4.
    expected = [0.5, np.sqrt((0.25**2 + 2 * 0.5**2) / 3)]
    np.testing.assert_allclose(example.errors(one, truth), expected)


def test_break_even(example):
    seconds = {example.RAW: np.inf, example.WEIGHTED: 1.0, "Neal 3": 3.0}
    seconds["split–merge + Neal 3"] = 4.0
    rows = pd.DataFrame({f"s to {name}": seconds for name in example.LEVELS})
    found = example.break_even(rows, 100.0)["N* P(k)"]
    assert found[example.RAW] == np.inf and found[example.WEIGHTED] == 50.0
    assert found[list(example.MCMC)].isna().all()


@pytest.mark.slow
def test_table(example, tmp_path, monkeypatch, capsys):
    torch = pytest.importorskip("torch", reason="the extra amortized is not installed")
    threads = torch.get_num_threads()
    monkeypatch.setattr(example, "OUTPUT", tmp_path)
    try:
        table, search = example.main(example.QUICK)
    finally:
        torch.set_num_threads(threads)
    assert "D = 1, n = 12" in capsys.readouterr().out
    assert list(table.index.unique("n")) == list(search.index.unique("n")) == [8, 12]
    assert (table["ms per draw"].astype(float) > 0.0).all()
    assert table["P(k) last error"].astype(float).between(0.0, 0.6).all()
    # The same partitions are there for the search and for the chains.
    assert (search.filter(like="search less").abs() < 5.0).all(axis=None)
    assert (tmp_path / "amortized_vs_mcmc.csv").exists()
    colours = matplotlib.image.imread(tmp_path / "amortized_vs_mcmc.png")[:, :, :3].reshape(-1, 3)
    assert len(np.unique(colours, axis=0)) > 10
