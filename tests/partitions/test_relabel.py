import arviz_stats
import numpy as np
import pytest
import xarray as xr

from pymc_dpsteps.partitions import relabel

TRUTH = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
MEANS = np.array([-5.0, 0.0, 5.0])


@pytest.fixture
def idata():
    """Clusters that are the truth's under numbers that change; the last is missing in places."""
    rng = np.random.default_rng(7)
    z = np.empty((2, 50, 9), dtype=np.int64)
    mu, location = rng.normal(50, 1, (2, 50, 6)), rng.normal(size=(2, 50, 6, 2))
    for s in np.ndindex(2, 50):
        slots = rng.permutation(6)[:3]
        z[s] = slots[TRUTH]
        mu[s][slots] = MEANS + 0.1 * rng.normal(size=3)
        location[s][slots] = MEANS[:, None] * [1, 2]
        if s[1] % 5 == 0:  # its items join the first cluster
            z[s][7:] = slots[0]
    data = {
        "z": (("chain", "draw", "obs"), z),
        "mu": (("chain", "draw", "component"), mu),
        "location": (("chain", "draw", "component", "axis"), location),
        "alpha": (("chain", "draw"), np.ones((2, 50))),
    }
    coords = {"component": range(6), "axis": ["x", "y"]}
    return xr.DataTree.from_dict({"posterior": xr.Dataset(data, coords=coords)})


def test_clusters_keep_their_parameters(idata):
    found = relabel(idata, TRUTH, var_names=["mu", "location"])
    assert found["mu"].dims == ("chain", "draw", "cluster")
    assert found["location"].dims == ("chain", "draw", "cluster", "axis")
    np.testing.assert_allclose(found["matched"], [1.0, 1.0, 0.8])
    assert found["center_size"].values.tolist() == [4, 3, 2]
    gone = found["draw"] % 5 == 0
    assert (found["mu"].isnull() == (gone & (found["cluster"] == 2))).all()
    assert (np.abs(found["mu"] - xr.DataArray(MEANS, dims="cluster")).max() < 0.6).all()
    exact = xr.DataArray(MEANS[:, None] * [1, 2], dims=("cluster", "axis"))
    assert (np.abs(found["location"] - exact).max() < 1e-12).all()
    sizes = found["size"]
    assert (sizes.sel(cluster=0) == xr.where(gone, 6, 4)).all()
    assert (sizes.sel(cluster=2) == xr.where(gone, 0, 2)).all()


def test_labels_of_the_center_name_the_clusters(idata):
    found = relabel(idata, np.array([9, 4, 6])[TRUTH], var_names="mu")
    assert found["cluster"].values.tolist() == [4, 6, 9]
    np.testing.assert_allclose(found["mu"].sel(cluster=9).mean(), MEANS[0], atol=0.1)


def test_arviz_summarises_the_clusters(idata):
    found = relabel(idata, TRUTH, var_names="mu")
    table = arviz_stats.summary(found, skipna=True, round_to="none")
    assert list(table.index) == [f"{x}[{k}]" for x in ("mu", "size") for k in range(3)]
    np.testing.assert_allclose(table["mean"][:3], MEANS, atol=0.1)
    assert np.isfinite(table["ess_bulk"].iloc[:2]).all() and np.isnan(table["ess_bulk"].iloc[2])


def test_variables_need_a_component_axis(idata):
    with pytest.raises(ValueError, match="does not hold sigma"):
        relabel(idata, TRUTH, var_names="sigma")
    with pytest.raises(ValueError, match=r"have lengths \{'mu': 6, 'alpha': 0\}"):
        relabel(idata, TRUTH, var_names=["mu", "alpha"])
    with pytest.raises(ValueError, match=r"shape \(4,\); expected \(9,\)"):
        relabel(idata, TRUTH[:4], var_names="mu")
