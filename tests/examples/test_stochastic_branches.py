"""The comparison of branches with plain transformers, trained for a moment."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra amortized is not installed")

PATH = Path(__file__).parents[2] / "examples" / "stochastic_branches.py"


@pytest.fixture
def example(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("stochastic_branches", PATH)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    for name, value in {"DRAWS": 50, "DATA_SETS": 2, "HELD_OUT": 3, "OUTPUT": tmp_path}.items():
        monkeypatch.setattr(example, name, value)
    return example


def test_sizes_are_equal(example):
    """To the nearest hidden unit of all four blocks."""
    batch = SimpleNamespace(inputs=(torch.zeros(1, 3, 4), torch.zeros(1, 1), torch.zeros(1, 3, 3)))
    branches, plain = example.BRANCHES, example.matched(example.n_parameters, batch)
    assert plain.branches == 0
    one_unit = 4 * (2 * plain.width + 1)
    difference = np.diff([example.n_parameters(size, batch) for size in (branches, plain)])
    assert abs(difference) <= one_unit / 2


@pytest.mark.slow
def test_table(example, tmp_path):
    table = example.main(0.1, 2)
    for name in ("branches", "equal parameters", "equal operations"):
        assert 0.01 < table.loc[(name, "ESS per draw"), "mean"] < 1.0
        assert np.isfinite(table.loc[(name, "loss")]).all()
        assert table.loc[(name, "steps"), "mean"] == table.loc[("branches", "steps"), "mean"]
    assert 0.0 < table.loc[("branches", "entropy"), "mean"] < np.log(4.0)
    assert ("branches − equal parameters", "loss") in table.index
    assert ("equal parameters", "entropy") not in table.index
    assert (tmp_path / "stochastic_branches.csv").exists()
