"""The predictors of means and of components, trained for a moment."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "examples" / "amortized_means.py"


@pytest.mark.slow
def test_tables(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="the extra amortized is not installed")
    spec = importlib.util.spec_from_file_location("amortized_means", PATH)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    monkeypatch.setattr(example, "OUTPUT", tmp_path)
    monkeypatch.setattr(example, "SWEEPS", 200)
    names = ["base", "wide kernel"]
    monkeypatch.setattr(example, "SETTINGS", {name: example.SETTINGS[name] for name in names})
    means, components = example.main(0.05, 2, "cpu")
    assert list(means.index) == [(name, n) for name in names for n in (8, 64)]
    assert (means.to_numpy() >= 0.0).all()
    assert (means["network"] < 1.5).all() and (means["network - chain"] < 1.0).all()
    assert (means["error of chain"] < means["network - chain"]).all()
    assert len(components) == 4 and components["sum of p"].between(0.1, 40.0).all()
    assert {path.name for path in tmp_path.iterdir()} == {
        "amortized_means.csv",
        "amortized_components.csv",
    }
