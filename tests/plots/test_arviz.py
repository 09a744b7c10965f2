"""Pictures that are made with arviz_plots."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

import pymc_dpsteps as dps

RNG = np.random.default_rng(3)


def test_trace_draws_every_chain_of_what_varies(idata):
    collection = dps.plots.trace(idata)
    functionals = idata["partition"]
    names = list(collection.viz["plot"].data_vars)
    assert names == ["n_clusters", "log_likelihood"]  # alpha is constant
    for name in names:
        ax = collection.get_target(name, {"column": "trace"})
        for line, chain in zip(ax.get_lines(), functionals[name].values, strict=True):
            np.testing.assert_array_equal(line.get_ydata(), chain)
        assert ax.get_ylabel() == name.replace("_", " ") or "\n" in ax.get_ylabel()
        assert len({line.get_color() for line in ax.get_lines()}) == 2
        beside = collection.get_target(name, {"column": "dist"})
        assert len(beside.get_lines()) == 2


def test_trace_of_chosen_functionals(idata):
    collection = dps.plots.trace(idata, var_names="alpha")
    assert list(collection.viz["plot"].data_vars) == ["alpha"]
    with pytest.raises(ValueError, match="No functional beta in the result; it has n_clusters"):
        dps.plots.trace(idata, var_names=["alpha", "beta"])
    constant = xr.DataTree.from_dict({"partition": idata["partition"].to_dataset()[["alpha"]]})
    with pytest.raises(ValueError, match="All functionals are constant"):
        dps.plots.trace(constant)
    del idata["partition"]
    with pytest.raises(ValueError, match="No group 'partition'"):
        dps.plots.trace(idata)


def new_data(*event: int) -> xr.DataTree:
    dims = ["obs", *(f"y_dim_{d}" for d in range(len(event)))]
    drawn = {
        "y": (("chain", "draw", *dims), RNG.normal(size=(1, 30, 9, *event))),
        "z": (("chain", "draw", "obs"), RNG.integers(0, 3, size=(1, 30, 9))),
    }
    observed = {"y": (dims, RNG.normal(size=(9, *event)))}
    groups = {"posterior_predictive": xr.Dataset(drawn), "observed_data": xr.Dataset(observed)}
    return xr.DataTree.from_dict(groups)


def assert_distribution(line: Any, y: np.ndarray) -> None:
    """Check that a line is the distribution function of these values, at the points it has."""
    x = line.get_xdata() + 1e-12  # the first point is the least value, but for rounding
    np.testing.assert_allclose(line.get_ydata(), (y[:, None] <= x).mean(axis=0))


def test_predictive_check_draws_the_data_among_new_data_sets():
    new = new_data()
    collection = dps.plots.predictive_check(new, n_sets=20)
    assert list(collection.viz["plot"].data_vars) == ["y"]
    lines = collection.get_target("y", {}).get_lines()
    assert len(lines) == 21
    assert_distribution(lines[-1], new["observed_data"]["y"].values)
    sets = new["posterior_predictive"]["y"].values[0]
    for line in lines[:-1]:
        assert_distribution(line, sets[np.isclose(sets.min(axis=1), line.get_xdata()[0])][0])


def test_predictive_check_has_a_panel_for_every_coordinate():
    new = new_data(3)
    new["observed_data"]["y"][2, 1] = np.nan
    collection = dps.plots.predictive_check(new)
    assert list(collection.viz["plot"].data_vars) == ["y[0]", "y[1]", "y[2]"]
    observed = new["observed_data"]["y"].values
    for d in range(3):
        line = collection.get_target(f"y[{d}]", {}).get_lines()[-1]
        assert_distribution(line, observed[np.isfinite(observed[:, d]), d])


def test_predictive_check_refuses_what_is_not_there():
    new = new_data()
    with pytest.raises(ValueError, match=r"No observed variable \['x'\].*share \['y'\]"):
        dps.plots.predictive_check(new, var_names="x")
    del new["observed_data"]
    with pytest.raises(ValueError, match="No group 'observed_data'"):
        dps.plots.predictive_check(new)
