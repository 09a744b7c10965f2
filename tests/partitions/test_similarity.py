import numpy as np
import pytest
import xarray as xr

from pymc_dpsteps.partitions import coclustering, leaf_order


@pytest.mark.parametrize("n_items, n_draws, n_labels", [(1, 1, 1), (9, 14, 5), (700, 600, 3)])
@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64])
def test_coclustering_equals_a_direct_mean(n_items, n_draws, n_labels, dtype):
    rows = np.random.default_rng(n_items).integers(0, n_labels, size=(n_draws, n_items))
    expected = sum(np.equal.outer(row, row).astype(float) for row in rows) / n_draws
    found = coclustering(rows.astype(dtype))
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    assert found.dtype == np.float32 and found.dims == ("item", "item_2")


def test_more_than_256_clusters():
    rows = np.stack([np.arange(300), np.minimum(np.arange(300), 298)])
    together = coclustering(rows)
    assert together[298, 299] == 0.5 and float(together.sum()) == 301.0


def test_coordinates_of_the_items_are_kept():
    z = xr.DataArray(
        np.array([[[0, 0, 2], [1, 0, 0]]]),
        dims=("chain", "draw", "galaxy"),
        coords={"galaxy": ["a", "b", "c"], "redshift": ("galaxy", [0.1, 0.2, 0.3])},
        name="z",
    )
    idata = xr.DataTree.from_dict({"posterior": xr.Dataset({"z": z})})
    for data in (idata, z, z.transpose("galaxy", "draw", "chain")):
        together = coclustering(data)
        assert together.dims == ("galaxy", "galaxy_2")
        assert together.sel(galaxy="a", galaxy_2="b") == 0.5
        assert "redshift" in together.coords
    with pytest.raises(ValueError, match="w is not among the integer vectors of the posterior: z"):
        coclustering(idata, allocation="w")
    with pytest.raises(ValueError, match="names a variable of a result"):
        coclustering(z, allocation="z")


def test_pairs_need_draws():
    with pytest.raises(ValueError, match="No draws"):
        coclustering(np.zeros((0, 4), dtype=int))


def test_leaf_order_puts_clusters_side_by_side():
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    order = leaf_order(coclustering(labels[None]))
    assert sorted(order) == list(range(8))
    assert np.count_nonzero(np.diff(labels[order])) == 2


def test_leaf_order_of_one_item():
    assert leaf_order(np.ones((1, 1))).tolist() == [0]
