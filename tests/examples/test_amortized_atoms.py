"""The network for clusters of unknown mean and spread, trained for a moment."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "examples" / "amortized_atoms.py"


@pytest.mark.slow
def test_table(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="the extra amortized is not installed")
    spec = importlib.util.spec_from_file_location("amortized_atoms", PATH)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    monkeypatch.setattr(example, "OUTPUT", tmp_path)
    monkeypatch.setattr(example, "DRAWS", 100)
    monkeypatch.setattr(example, "CHAIN", 200)
    table = example.main(0.05, 2, "cpu")
    assert list(table.index) == [(n, name) for n in (8, 32) for name in ("network", "untrained")]
    assert table["ESS per draw"].between(0.005, 1.0).all()
    assert table["P(k) corrected"].between(0.0, 0.6).all()
    assert (tmp_path / "amortized_atoms" / "network.safetensors").exists()
    assert (tmp_path / "amortized_atoms.csv").exists()
