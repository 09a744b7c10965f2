"""Every example runs with few draws, prints a table and draws what it says."""

import importlib.util
import inspect
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "examples"
# Their main takes no number of draws: the demo, those that time the algorithms, and training.
WITHOUT_DRAWS = {
    "amortized_atoms",
    "amortized_gaussian",
    "amortized_means",
    "amortized_theta",
    "amortized_vs_mcmc",
    "galaxies",
    "neal2000",
    "stochastic_branches",
    "time_per_independent_draw",
}
# Those that compile for longer than about twenty seconds where nothing is cached.
SLOW = {
    "compositions",
    "concentration",
    "custom_likelihood",
    "data_containers",
    "density_estimation",
    "hyperpriors",
    "million_items",
    "missing_data",
    "mixed_types",
    "multivariate_normal",
    "random_effects",
    "two_allocations",
}
NAMES = sorted({path.stem for path in FOLDER.glob("*.py")} - WITHOUT_DRAWS)


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=pytest.mark.slow if x in SLOW else ()) for x in NAMES]
)
def test_example(name, tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    options = inspect.signature(example.main).parameters
    assert {"draws", "tune"} <= set(options)
    monkeypatch.setattr(example, "OUTPUT", tmp_path / "output")
    less = {"n_sets": 1, "n_items": 2_000}
    example.main(draws=20, tune=20, **{name: x for name, x in less.items() if name in options})
    table = capsys.readouterr().out.splitlines()
    assert len(table) > 3 and any("mean" in line for line in table)
    pictures = list((tmp_path / "output").glob("*.png"))
    assert pictures
    for picture in pictures:
        colours = matplotlib.image.imread(picture)[:, :, :3].reshape(-1, 3)
        assert len(np.unique(colours, axis=0)) > 10, f"{picture.name} is empty"
