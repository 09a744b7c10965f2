import matplotlib
import numpy as np
import pytest
import xarray as xr

matplotlib.use("Agg")
import matplotlib.pyplot as plt


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def idata() -> xr.DataTree:
    """Two chains of twenty draws of six items, and functionals."""
    rng = np.random.default_rng(5)
    dims = ("chain", "draw")
    posterior = {
        "z": ((*dims, "obs"), rng.integers(0, 3, size=(2, 20, 6))),
        "mu": ((*dims, "component"), rng.normal(size=(2, 20, 3))),
    }
    functionals = {
        "n_clusters": (dims, rng.integers(2, 4, size=(2, 20))),
        "log_likelihood": (dims, rng.normal(size=(2, 20))),
        "alpha": (dims, np.ones((2, 20))),
    }
    coords = {"chain": [0, 1], "draw": np.arange(20)}
    return xr.DataTree.from_dict(
        {"posterior": xr.Dataset(posterior, coords), "partition": xr.Dataset(functionals, coords)}
    )
