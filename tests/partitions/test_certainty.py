import numpy as np
import pytest
import xarray as xr

from pymc_dpsteps.partitions import certainty


def test_equals_a_direct_mean():
    rng = np.random.default_rng(6)
    draws = rng.integers(0, 4, (3, 20, 11))
    center = np.array([7, 7, 2, 2, 2, 9, 7, 2, 7, 0, 7])
    together = np.equal(draws[..., :, None], draws[..., None, :]).mean(axis=(0, 1))
    found = certainty(draws, center)
    for i in range(11):
        means = {
            k: together[i, (center == k) & (np.arange(11) != i)].mean()
            for k in (0, 2, 7, 9)
            if np.any((center == k) & (np.arange(11) != i))
        }
        own = means.pop(center[i], np.nan)
        np.testing.assert_allclose(found["own"][i], own, atol=1e-12)
        assert float(found["other"][i]) == pytest.approx(max(means.values()), abs=1e-12)
        nearest = int(found["nearest"][i])
        assert nearest != center[i] and means[nearest] == pytest.approx(max(means.values()))
    assert np.isnan(found["own"][5]) and np.isnan(found["own"][9])  # alone


def test_a_single_cluster_has_no_other():
    z = xr.DataArray([[0, 0, 1], [0, 0, 0]], dims=("draw", "obs"), coords={"obs": list("abc")})
    found = certainty(z, [3, 3, 3])
    np.testing.assert_allclose(found["own"], [0.75, 0.75, 0.5])
    assert found["other"].isnull().all() and (found["nearest"] == -1).all()
    assert found["obs"].values.tolist() == list("abc")


def test_of_equally_near_clusters_the_first_label():
    found = certainty([[0, 0, 0]], [5, 2, 1])
    assert found["nearest"].values.tolist() == [1, 1, 2]
    assert (found["other"] == 1.0).all()
