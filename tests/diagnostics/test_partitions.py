import numpy as np
import pytest

from pymc_dpsteps.diagnostics import (
    adjusted_rand_index,
    coclustering,
    leaf_order,
    least_squares_partition,
    n_clusters,
    sum_squared_proportions,
)

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


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64])
def test_coclustering_equals_a_direct_mean(dtype):
    rows = LABELS.reshape(-1, 9)
    expected = (rows[:, :, None] == rows[:, None, :]).mean(axis=0)
    np.testing.assert_allclose(coclustering(LABELS.astype(dtype)), expected, rtol=1e-14)


def test_leaf_order_puts_clusters_side_by_side():
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    order = leaf_order(coclustering(labels[None]))
    assert sorted(order) == list(range(8))
    assert np.count_nonzero(np.diff(labels[order])) == 2


def test_leaf_order_of_one_item():
    assert leaf_order(np.ones((1, 1))).tolist() == [0]


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


@pytest.mark.parametrize("function", [coclustering, least_squares_partition])
def test_pairs_need_draws(function):
    with pytest.raises(ValueError, match=f"{function.__name__}: no draws"):
        function(np.zeros((0, 4), dtype=int))


def test_least_squares_partition_equals_a_direct_search():
    rows = LABELS.reshape(-1, 9)
    same = rows[:, :, None] == rows[:, None, :]
    losses = ((same - same.mean(axis=0)) ** 2).sum(axis=(1, 2))
    found = least_squares_partition(LABELS)
    assert np.array_equal(found[:, None] == found, same[losses.argmin()])
    assert found.dtype == np.int64


def test_least_squares_partition_takes_the_first_of_ties_and_numbers_by_first_items():
    # Every pair is together in one draw of three: all three draws are equally near.
    tied = np.array([[5, 2, 2], [4, 0, 4], [1, 1, 7]])
    assert least_squares_partition(tied).tolist() == [0, 1, 1]
    assert least_squares_partition(tied[1:]).tolist() == [0, 1, 0]
    assert least_squares_partition(np.array([[9]])).tolist() == [0]


def test_adjusted_rand_index_equals_a_count_of_pairs():
    table = np.array([[1, 1, 0], [1, 2, 1], [0, 0, 4]])
    first = np.repeat([0, 0, 0, 1, 1, 1, 2, 2, 2], table.ravel())
    second = np.repeat([0, 1, 2] * 3, table.ravel())
    i, j = np.triu_indices(len(first), k=1)
    in_first, in_second = first[i] == first[j], second[i] == second[j]
    expected = in_first.sum() * in_second.sum() / len(i)
    largest = (in_first.sum() + in_second.sum()) / 2
    found = adjusted_rand_index(first, second)
    assert found == pytest.approx(
        ((in_first & in_second).sum() - expected) / (largest - expected), rel=1e-14
    )
    assert found == pytest.approx(0.3126, abs=1e-4)
    assert adjusted_rand_index(second, first) == pytest.approx(found, rel=1e-14)


def test_adjusted_rand_index_of_the_extremes():
    names = np.array(["setosa", "virginica", "setosa", "versicolor"])
    assert adjusted_rand_index(names, [3, 1, 3, 0]) == 1.0
    for same in (np.zeros(4), np.arange(4), np.zeros(1)):
        assert adjusted_rand_index(same, same) == 1.0
    assert adjusted_rand_index(np.zeros(4), np.arange(4)) == 0.0
    assert adjusted_rand_index([0, 0, 1, 1], [0, 1, 0, 1]) == pytest.approx(-0.5)


@pytest.mark.parametrize("second", [np.zeros(3), np.zeros((4, 1))])
def test_adjusted_rand_index_needs_the_same_items(second):
    with pytest.raises(ValueError, match="have shapes"):
        adjusted_rand_index(np.zeros(4), second)
