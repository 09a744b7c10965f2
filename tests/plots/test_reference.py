"""Pictures against reference images, of invented data.

Where a picture is meant to change, remove its file in tests/plots/reference, run this file, which
writes the missing ones and fails, and look at them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.testing.compare import compare_images
from PIL import Image

import pymc_dpsteps as dps

REFERENCE = Path(__file__).parent / "reference"
# Root mean square difference of levels from 0 to 255. The palettes of the references cost up to 2;
# a legend or a label that is missing 10 or more, all colours replaced by grey 6 or more.
TOLERANCE = 4.0
# Unhinted letters have the same widths whatever the version of the font library.
STYLE = {"backend": "Agg", "font.size": 8, "text.hinting": "none"}
RNG = np.random.default_rng(11)
LABELS = np.repeat([0, 1, 2], [24, 12, 4])
Y = np.repeat([0.0, 4.0, 8.0], [24, 12, 4]) + RNG.normal(size=40)
PLANE = np.stack([Y, 0.5 * Y + RNG.normal(size=40)], axis=1)
GRID = np.linspace(-4.0, 12.0, 81)


def draws() -> xr.DataTree:
    """Two chains in which single items now and then leave their cluster, some for one of its own.

    With them the functionals that `dps.sample` adds.
    """
    z = np.tile(LABELS, (2, 50, 1))
    moved = RNG.random(z.shape) < 0.08
    z[moved] = RNG.integers(0, 6, size=moved.sum())
    dims, coords = ("chain", "draw"), {"chain": [0, 1], "draw": np.arange(50)}
    posterior = xr.Dataset({"z": ((*dims, "obs"), z)}, coords)
    functionals = {
        "n_clusters": (dims, dps.partitions.n_clusters(z)),
        "sum_squared_proportions": (dims, dps.partitions.sum_squared_proportions(z)),
    }
    groups = {"posterior": posterior, "partition": xr.Dataset(functionals, coords)}
    return xr.DataTree.from_dict(groups)


def curves() -> xr.Dataset:
    parts = [np.exp(-0.5 * (GRID - m) ** 2) / np.sqrt(2 * np.pi) for m in (0.0, 4.0, 8.0)]
    weighted = np.array([0.55, 0.28, 0.1])[:, None] * parts
    new = 0.07 * np.exp(-0.5 * (GRID - 3.0) ** 2 / 25) / np.sqrt(50 * np.pi)
    components = np.vstack([weighted, new])
    mean = components.sum(axis=0)
    return xr.Dataset(
        {
            "mean": ("y", mean),
            "lower": ("y", 0.7 * mean),
            "upper": ("y", 1.3 * mean),
            "components": (("cluster", "y"), components),
        },
        {"y": GRID, "cluster": ["0", "1", "2", "new"]},
        {"kind": "density", "ci_prob": 0.89},
    )


def conditional() -> xr.Dataset:
    one = curves()[["mean", "lower", "upper"]]
    found = xr.concat([one, one.roll(y=10)], "point").assign_coords(x=("point", [0.5, 1.5]))
    return found.assign_attrs(one.attrs)


def sets() -> xr.DataTree:
    rng = np.random.default_rng(12)
    drawn = rng.choice(Y, size=(1, 20, 40)) + 0.3 * rng.normal(size=(1, 20, 40))
    groups = {
        "posterior_predictive": xr.Dataset({"y": (("chain", "draw", "obs"), drawn)}),
        "observed_data": xr.Dataset({"y": ("obs", Y)}),
    }
    return xr.DataTree.from_dict(groups)


def times() -> pd.DataFrame:
    rows = [
        (step, n, factor * n**power)
        for step, factor, power in [("Neal2", 1.0, 1.0), ("Neal8", 1.1, 1.0), ("slice", 0.5, 2.0)]
        for n in (2, 4, 8, 16)
    ]
    return pd.DataFrame(rows, columns=["step", "dimension", "ms_per_independent_draw"])


def bars() -> pd.DataFrame:
    index = pd.MultiIndex.from_product(
        [["Neal8", "Neal2"], ["n_clusters", "entropy"]], names=["step", "functional"]
    )
    return pd.DataFrame({"ms_per_independent_draw": [2.0, 3.0, 5.0, 4.0]}, index)


IDATA = draws()
BALL = dps.partitions.credible_ball(IDATA, LABELS)
CERTAINTY = dps.partitions.certainty(IDATA, LABELS)["own"]
PICTURES: dict[str, tuple[tuple[float, float], Callable[[], Any]]] = {
    "cluster_sizes": ((4, 2.6), lambda: dps.plots.cluster_sizes(IDATA)),
    "clusters": ((4, 3), lambda: dps.plots.clusters(PLANE, LABELS, certainty=CERTAINTY)),
    "coclustering": ((4, 3.4), lambda: dps.plots.coclustering(IDATA, partition=LABELS)),
    "conditional": ((4, 2.6), lambda: dps.plots.density(conditional())),
    "density": ((4, 2.6), lambda: dps.plots.density(curves(), observed=Y)),
    "efficiency": ((4, 2.4), lambda: dps.plots.efficiency(bars())),
    "n_clusters": ((4, 2.6), lambda: dps.plots.n_clusters(IDATA)),
    "partition": ((4.4, 3), lambda: dps.plots.partition(Y, LABELS, BALL, certainty=CERTAINTY)),
    "partition_plane": ((4.6, 3.0), lambda: dps.plots.partition(PLANE, LABELS, BALL)),
    "predictive_check": ((3.6, 2.6), lambda: dps.plots.predictive_check(sets())),
    "scaling": ((4, 2.8), lambda: dps.plots.scaling(times(), x="dimension")),
    "trace": ((4.6, 2.4), lambda: dps.plots.trace(IDATA)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_that_of_the_reference(name, tmp_path):
    size, draw = PICTURES[name]
    reference, found = REFERENCE / f"{name}.png", tmp_path / f"{name}.png"
    with mpl.rc_context(mpl.rcParamsDefault | STYLE):
        picture = draw()
        if hasattr(picture, "viz"):
            figure = picture.viz["figure"].item()
        else:
            figure = np.ravel(picture)[0].get_figure(root=True)
        figure.set_size_inches(size)
        missing = not reference.exists()
        figure.savefig(reference if missing else found, dpi=100, metadata={"Software": None})
    if missing:
        # A palette takes a third of the bytes.
        image = Image.open(reference).convert("RGB")
        image.quantize(128, Image.Quantize.MAXCOVERAGE).save(reference, optimize=True)
        pytest.fail(f"{reference.name} was missing and has been written: look at it.")
    assert compare_images(str(reference), str(found), TOLERANCE) is None
