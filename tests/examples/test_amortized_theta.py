"""The diffusion over parameters, trained for a moment."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "examples" / "amortized_theta.py"


@pytest.mark.slow
def test_table(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="the extra amortized is not installed")
    spec = importlib.util.spec_from_file_location("amortized_theta", PATH)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    monkeypatch.setattr(example, "OUTPUT", tmp_path)
    monkeypatch.setattr(example, "DRAWS", 40)
    names = ["normal_both", "dirichlet"]
    monkeypatch.setattr(example, "KERNELS", {name: example.KERNELS[name] for name in names})
    table = example.main(0.05, 2, "cpu")
    assert list(table.index) == names
    assert table["coverage"].between(0.3, 1.0).all() and (table["mean"] < 1.5).all()
    assert table["P(k)"].between(0.0, 1.0).all()
    assert (tmp_path / "amortized_theta.csv").exists()
