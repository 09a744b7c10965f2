import numpy as np
import pytest
import xarray as xr
from scipy import stats

import pymc_dpsteps as dps
from pymc_dpsteps.diagnostics.sizes import entropy, sorted_sizes

RNG = np.random.default_rng(8)


def tree(**draws: np.ndarray) -> xr.DataTree:
    data = {name: (("chain", "draw", f"{name}_item"), z) for name, z in draws.items()}
    coords = {"chain": [0, 1], "draw": [3, 5, 7]}
    return xr.DataTree.from_dict({"posterior": xr.Dataset(data, coords)})


@pytest.mark.parametrize("n_labels", [1, 4, 30])
def test_sizes_equal_a_direct_count(n_labels):
    labels = RNG.integers(0, n_labels, size=(2, 5, 9))
    sizes = sorted_sizes(labels)
    expected = -np.sort(-np.apply_along_axis(np.bincount, 2, labels, minlength=n_labels), axis=2)
    width = (expected > 0).sum(axis=2).max()
    np.testing.assert_array_equal(sizes, expected[..., :width])
    np.testing.assert_allclose(entropy(sizes), stats.entropy(expected, axis=2), atol=1e-15)


def test_entropy_at_its_ends():
    assert entropy(sorted_sizes(np.zeros(6, dtype=int))) == 0.0
    assert entropy(sorted_sizes(np.arange(6)[::-1])) == pytest.approx(np.log(6), rel=1e-14)
    assert sorted_sizes(np.zeros((0, 6), dtype=int)).shape == (0, 0)


def test_cluster_sizes_of_a_result():
    z = RNG.integers(0, 4, size=(2, 3, 9))
    found = dps.diagnostics.cluster_sizes(tree(z=z))
    assert found.dims == ("chain", "draw", "rank")
    assert found["draw"].values.tolist() == [3, 5, 7]
    assert found["rank"].values[0] == 1
    assert (found.sum("rank") == 9).all() and (found.diff("rank") <= 0).all()
    np.testing.assert_array_equal((found > 0).sum("rank"), dps.partitions.n_clusters(z))


def test_the_allocation_must_be_clear():
    z, s = RNG.integers(0, 4, size=(2, 3, 9)), RNG.integers(0, 2, size=(2, 3, 5))
    assert (dps.diagnostics.cluster_sizes(tree(z=z, s=s), allocation="s").sum("rank") == 5).all()
    with pytest.raises(ValueError, match="No allocation is named the integer"):
        dps.diagnostics.cluster_sizes(tree(z=z, s=s))
    with pytest.raises(ValueError, match="c is not among the integer vectors of the posterior: z"):
        dps.diagnostics.cluster_sizes(tree(z=z), allocation="c")
