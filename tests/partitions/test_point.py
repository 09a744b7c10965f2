from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.spatial.distance import squareform

from pymc_dpsteps.partitions import coclustering, expected_loss, n_clusters, point_partition
from pymc_dpsteps.partitions.labels import number_by_first
from pymc_dpsteps.partitions.losses import loss_code, losses_to
from tests.helpers_partitions import LOSSES, all_partitions, random_posterior


@pytest.mark.parametrize("loss", LOSSES)
def test_equals_the_exhaustive_minimum(loss):
    rng = np.random.default_rng(4)
    for _ in range(50):
        n_items = int(rng.integers(2, 9))
        draws = random_posterior(rng, n_items, int(rng.integers(1, 40)))
        rows = number_by_first(draws)
        candidates = number_by_first(all_partitions(n_items))
        expected = np.array([losses_to(loss_code(loss), c, rows).mean() for c in candidates])
        for limit in (n_items, None):
            allowed = candidates.max(axis=1) <= (rows.max() if limit is None else n_items)
            found = point_partition(draws, loss=loss, max_clusters=limit, random_seed=1, cores=1)
            assert found.attrs["expected_loss"] == pytest.approx(expected[allowed].min(), abs=1e-9)
            direct = expected_loss(found, draws, loss=loss)
            assert float(direct) == pytest.approx(found.attrs["expected_loss"], abs=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_is_as_good_as_samples_and_linkage(loss):
    # Every tenth draw of dps.sample: CRP with concentration 1, dps.kernels.normal, the galaxies.
    draws = np.load(Path(__file__).with_name("galaxies_labels.npz"))["labels"]
    found = point_partition(xr.DataArray(draws, dims=("draw", "galaxy")), loss=loss, random_seed=2)
    apart = squareform(1.0 - coclustering(draws).values, checks=False)
    trees = [linkage(apart, method) for method in ("average", "complete")]
    most = draws.shape[1] if loss == "vi" else n_clusters(draws).max()
    cuts = np.concatenate([cut_tree(tree, np.arange(1, most + 1)).T for tree in trees])
    others = expected_loss(np.concatenate([draws, cuts]), draws, loss=loss)
    assert found.attrs["expected_loss"] <= float(others.min()) + 1e-12
    assert found.dims == ("galaxy",)


def test_numbers_clusters_by_size_and_says_how_it_was_found():
    truth = np.array([5, 3, 5, 3, 3, 0])
    found = point_partition(np.tile(truth, (8, 1)))
    assert found.values.tolist() == [1, 0, 1, 0, 0, 2]
    assert found.name == "partition" and found.dims == ("item",) and found.dtype == np.int64
    assert found.attrs["expected_loss"] == 0.0 and found.attrs["n_clusters"] == 3
    assert found.attrs["n_agreeing"] == found.attrs["n_starts"] >= 16
    assert point_partition([[1, 0, 1, 0]]).values.tolist() == [0, 1, 0, 1]  # a tie
    assert point_partition([[4]]).values.tolist() == [0]


def test_the_limit_is_kept():
    draws = np.tile(np.repeat(np.arange(6), 3), (5, 1))
    found = point_partition(draws, max_clusters=2, random_seed=1)
    assert found.attrs["n_clusters"] == 2
    assert found.attrs["start"] != "sampled partition"
    assert point_partition(draws, max_clusters=1, restarts=0).attrs["n_clusters"] == 1


def test_many_clusters_are_opened():
    draws = np.stack([np.arange(40), np.minimum(np.arange(40), 38)])
    found = point_partition(draws, loss="binder", restarts=3, random_seed=1)
    assert found.attrs["n_clusters"] >= 39


@pytest.mark.parametrize("loss", LOSSES)
def test_the_same_for_a_seed_whatever_the_cores(loss):
    draws = random_posterior(np.random.default_rng(8), 60, 50)
    first, second, other = (
        point_partition(draws, loss=loss, random_seed=seed, cores=cores)
        for seed, cores in ((3, 1), (3, 4), (4, 2))
    )
    xr.testing.assert_identical(first, second)
    assert other.attrs["expected_loss"] == pytest.approx(first.attrs["expected_loss"], rel=0.02)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"restarts": -1}, "restarts = -1"),
        ({"max_clusters": 0}, "max_clusters = 0"),
        ({"cores": 0}, "cores = 0"),
        ({"loss": "least squares"}, "expected one of"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        point_partition(np.zeros((2, 3), dtype=int), **options)
