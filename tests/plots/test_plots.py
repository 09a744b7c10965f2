import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import xarray as xr

import pymc_dpsteps as dps

matplotlib.use("Agg")
import matplotlib.pyplot as plt

RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def curves() -> xr.Dataset:
    x = np.linspace(-3, 3, 50)
    mean = np.exp(-(x**2) / 2)
    data = {"mean": ("y", mean), "lower": ("y", 0.8 * mean), "upper": ("y", 1.2 * mean)}
    return xr.Dataset(data, coords={"y": x}, attrs={"ci_prob": 0.89, "n_draws": 10})


@pytest.fixture
def idata() -> xr.DataTree:
    z = RNG.integers(0, 3, size=(2, 20, 6))
    data = {
        "z": (("chain", "draw", "obs"), z),
        "mu": (("chain", "draw", "component"), RNG.normal(size=(2, 20, 3))),
    }
    return xr.DataTree.from_dict({"posterior": xr.Dataset(data)})


def test_density_draws_the_curve_the_band_and_the_data(curves):
    y = RNG.normal(size=30)
    ax = dps.plots.density(curves, observed=y, quantity="speed", units="km/s")
    assert ax.get_xlabel() == "speed (km/s)"
    assert ax.get_ylabel() == "density (per km/s)"
    legend = ax.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["posterior mean", "89% interval", "data (n = 30)"]
    (line,) = [line for line in ax.lines if line.get_label() == "posterior mean"]
    np.testing.assert_array_equal(line.get_ydata(), curves["mean"])
    assert sum(bar.get_width() * bar.get_height() for bar in ax.patches) == pytest.approx(1.0)


def test_density_into_given_axes_without_data(curves):
    _, ax = plt.subplots()
    assert dps.plots.density(curves, ax=ax) is ax
    assert ax.get_xlabel() == "y" and ax.get_ylabel() == "density"
    assert len(ax.patches) == 0


def test_coclustering_shows_the_ordered_matrix(idata):
    labels = idata["posterior"]["z"].values
    together = dps.diagnostics.coclustering(labels)
    order = dps.diagnostics.leaf_order(together)
    ax = dps.plots.coclustering(idata, item="galaxy")
    shown = np.asarray(ax.images[0].get_array())
    assert any(np.array_equal(shown, together[np.ix_(o, o)]) for o in (order, order[::-1]))
    assert ax.get_xlabel() == "galaxy (ordered by similarity)"


def test_coclustering_in_a_given_order(idata):
    together = dps.diagnostics.coclustering(idata["posterior"]["z"].values)
    _, ax = plt.subplots()
    assert dps.plots.coclustering(idata, order=None, ax=ax, colorbar=False) is ax
    np.testing.assert_array_equal(np.asarray(ax.images[0].get_array()), together)
    ax = dps.plots.coclustering(idata, order=[5, 4, 3, 2, 1, 0])
    np.testing.assert_array_equal(np.asarray(ax.images[0].get_array()), together[::-1, ::-1])


def test_coclustering_refuses_what_is_not_clear(idata):
    with pytest.raises(ValueError, match="permutation of the 6 items"):
        dps.plots.coclustering(idata, order=[0, 1])
    with pytest.raises(ValueError, match="expected 'linkage'"):
        dps.plots.coclustering(idata, order="size")
    with pytest.raises(ValueError, match="mu is not among the integer vectors of the posterior: z"):
        dps.plots.coclustering(idata, allocation="mu")
    idata["posterior"]["s"] = idata["posterior"]["z"]
    with pytest.raises(ValueError, match="No allocation is named"):
        dps.plots.coclustering(idata)
    assert dps.plots.coclustering(idata, allocation="s").images


def test_importing_the_package_does_not_import_pyplot():
    code = "import sys, pymc_dpsteps; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
