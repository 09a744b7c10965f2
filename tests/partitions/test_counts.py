import numpy as np
import pytest

from pymc_dpsteps.partitions import coclustering, n_clusters, sum_squared_proportions

LABELS = np.random.default_rng(0).integers(0, 5, size=(2, 7, 9))


def test_summaries_equal_a_direct_count():
    clusters, squares = n_clusters(LABELS), sum_squared_proportions(LABELS)
    assert clusters.shape == squares.shape == (2, 7)
    for s in np.ndindex(2, 7):
        _, sizes = np.unique(LABELS[s], return_counts=True)
        assert clusters[s] == len(sizes)
        assert squares[s] == pytest.approx(np.sum((sizes / 9) ** 2), rel=1e-14)


def test_summaries_do_not_depend_on_the_numbering():
    renamed = np.array([7, 0, 3, 11, 2])[LABELS]
    assert np.array_equal(n_clusters(renamed), n_clusters(LABELS))
    assert np.array_equal(sum_squared_proportions(renamed), sum_squared_proportions(LABELS))
    assert np.array_equal(coclustering(renamed), coclustering(LABELS))


def test_summaries_of_the_extremes():
    assert n_clusters(np.zeros(6, dtype=int)) == 1
    assert sum_squared_proportions(np.zeros(6, dtype=int)) == 1.0
    assert n_clusters(np.arange(6)) == 6
    assert sum_squared_proportions(np.arange(6)) == pytest.approx(1 / 6)
    assert n_clusters(np.zeros((0, 6), dtype=int)).shape == (0,)


@pytest.mark.parametrize(
    "labels, message",
    [
        (np.zeros((3, 4)), "expected integers"),
        (np.array([[0, -1]]), "at least 0"),
        (np.zeros((3, 0), dtype=int), "N >= 1"),
        (np.int64(3), "shape"),
    ],
)
def test_bad_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        n_clusters(labels)
