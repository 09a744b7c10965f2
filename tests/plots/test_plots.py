import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import pymc_dpsteps as dps

RNG = np.random.default_rng(5)


@pytest.fixture
def curves() -> xr.Dataset:
    x = np.linspace(-3, 3, 50)
    mean = np.exp(-(x**2) / 2)
    data = {"mean": ("y", mean), "lower": ("y", 0.8 * mean), "upper": ("y", 1.2 * mean)}
    return xr.Dataset(data, coords={"y": x}, attrs={"ci_prob": 0.89, "n_draws": 10})


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


def test_density_of_counts(curves):
    curves = curves.assign_coords(y=np.arange(50))
    ax = dps.plots.density(curves, observed=[2, 2, 3, 7], units="fits")
    assert ax.get_ylabel() == "probability" and ax.get_xlim() == (-0.5, 49.5)
    heights = {bar.get_x() + 0.5: bar.get_height() for bar in ax.patches}
    assert heights == {2: 0.5, 3: 0.25, 4: 0, 5: 0, 6: 0, 7: 0.25}


def test_density_draws_the_parts_of_the_clusters(curves):
    parts = np.stack([0.7 * curves["mean"], 0.2 * curves["mean"], 0.1 * curves["mean"]])
    curves = curves.assign(components=(("cluster", "y"), parts)).assign_coords(
        cluster=["0", "1", "new"]
    )
    ax = dps.plots.density(curves)
    lines = {line.get_label(): line for line in ax.lines}
    for name, part in zip(["cluster 0", "cluster 1", "new cluster"], parts, strict=True):
        np.testing.assert_array_equal(lines[name].get_ydata(), part)
    assert lines["new cluster"].get_linestyle() == "--"
    assert len({line.get_color() for line in ax.lines}) == 4


def test_density_of_a_distribution_function_and_a_hazard(curves):
    y = RNG.normal(size=30)
    curves.attrs["kind"] = "cdf"
    ax = dps.plots.density(curves, observed=y, true=np.linspace(0, 1, 50))
    assert ax.get_ylim() == (0.0, 1.0) and len(ax.patches) == 0
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(lines["data (n = 30)"][1:], np.arange(1, 31) / 30)
    np.testing.assert_array_equal(lines["truth"], np.linspace(0, 1, 50))
    curves.attrs["kind"] = "hazard"
    ax = dps.plots.density(curves, observed=y, units="days")
    assert ax.get_ylabel() == "hazard (per days)" and len(ax.patches) == 0


def test_density_at_several_points_of_covariates(curves):
    several = xr.concat([curves, 0.5 * curves], "point").assign_coords(x=("point", [1.0, 2.5]))
    several.attrs = curves.attrs
    ax = dps.plots.density(several)
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_array_equal(lines["x = 1"].get_ydata(), curves["mean"])
    np.testing.assert_array_equal(lines["x = 2.5"].get_ydata(), 0.5 * curves["mean"])
    assert dps.plots.density(several.isel(point=0)).get_xlabel() == "y"


def test_density_refuses_what_it_cannot_draw(curves):
    several = xr.concat([curves] * 8, "point")
    several.attrs = curves.attrs
    with pytest.raises(ValueError, match="at 8 points; at most 7"):
        dps.plots.density(several)
    parts = several.assign(components=several["mean"])
    with pytest.raises(ValueError, match=r"isel\(point=0\)"):
        dps.plots.density(parts)
    plane = curves.drop_vars("y").rename(y="grid_point")
    with pytest.raises(ValueError, match="several coordinates"):
        dps.plots.density(plane)


def test_coclustering_shows_the_ordered_matrix(idata):
    labels = idata["posterior"]["z"].values
    together = dps.partitions.coclustering(labels).values
    order = dps.partitions.leaf_order(together)
    ax = dps.plots.coclustering(idata, item="galaxy")
    shown = np.asarray(ax.images[0].get_array())
    assert any(np.array_equal(shown, together[np.ix_(o, o)]) for o in (order, order[::-1]))
    assert ax.get_xlabel() == "galaxy (ordered by similarity)"


def test_coclustering_in_a_given_order(idata):
    together = dps.partitions.coclustering(idata).values
    _, ax = plt.subplots()
    assert dps.plots.coclustering(idata, order=None, ax=ax, colorbar=False) is ax
    np.testing.assert_array_equal(np.asarray(ax.images[0].get_array()), together)
    ax = dps.plots.coclustering(idata, order=[5, 4, 3, 2, 1, 0])
    np.testing.assert_array_equal(np.asarray(ax.images[0].get_array()), together[::-1, ::-1])


def test_coclustering_by_cluster_of_a_partition(idata):
    together = dps.partitions.coclustering(idata).values
    partition = [7, 3, 3, 7, 3, 5]
    ax = dps.plots.coclustering(idata, partition=partition, order=None, item="galaxy")
    rows = [1, 2, 4, 0, 3, 5]  # the largest cluster first
    shown = np.asarray(ax.images[0].get_array())
    np.testing.assert_array_equal(shown, together[np.ix_(rows, rows)])
    outlines = [(box.get_x(), box.get_y(), box.get_width()) for box in ax.patches]
    assert outlines == [(0.5, 0.5, 3), (3.5, 3.5, 2), (5.5, 5.5, 1)]
    texts = [text.get_text() for text in ax.get_yticklabels()]
    assert texts == ["3 (n = 3)", "7 (n = 2)", "5 (n = 1)"]
    with pytest.raises(ValueError, match=r"shape \(2,\); expected \(6,\)"):
        dps.plots.coclustering(idata, partition=[0, 1])


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


def table_of(*milliseconds: float) -> pd.DataFrame:
    names = ["n_clusters", "entropy"]
    index = pd.MultiIndex.from_product([["Neal8", "Neal2"], names], names=["step", "functional"])
    return pd.DataFrame({"ms_per_independent_draw": milliseconds}, index)


def test_efficiency_draws_a_bar_for_every_step_and_functional():
    ax = dps.plots.efficiency(table_of(2.0, 3.0, 5.0, 700.0))
    first, second = ax.containers
    assert [bar.get_width() for bar in first] == [2.0, 5.0]  # n_clusters, the steps as given
    assert [bar.get_width() for bar in second] == [3.0, 700.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Neal8", "Neal2"]
    assert [text.get_text() for text in ax.texts] == ["2", "5", "3", "700"]
    assert ax.get_xlabel() == "time per independent draw (ms)" and ax.get_xscale() == "log"


def test_efficiency_of_one_functional_into_given_axes():
    _, ax = plt.subplots()
    assert dps.plots.efficiency(table_of(2, 3, 5, 700), functionals=["n_clusters"], ax=ax) is ax
    assert ax.get_xscale() == "linear" and ax.get_xlim()[0] == 0.0
    assert ax.get_legend() is None and ax.get_title(loc="left") == "n_clusters"


def test_efficiency_leaves_out_what_is_constant():
    ax = dps.plots.efficiency(table_of(np.nan, 3.0, np.nan, 7.0))
    assert ax.get_title(loc="left") == "entropy"
    with pytest.raises(ValueError, match="nothing to draw"):
        dps.plots.efficiency(table_of(*[np.nan] * 4))
    with pytest.raises(ValueError, match="No functional alpha in the table; it has n_clusters"):
        dps.plots.efficiency(table_of(1, 2, 3, 4), functionals=["alpha"])


def test_importing_the_package_does_not_import_pyplot():
    code = "import sys, pymc_dpsteps; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
