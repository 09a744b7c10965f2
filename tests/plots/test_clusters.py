from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from scipy.stats import chi2

import pymc_dpsteps as dps
from pymc_dpsteps.plots.partition import _aligned
from pymc_dpsteps.plots.style import COLOURS, cluster_style, spread

RNG = np.random.default_rng(8)


def test_n_clusters_draws_the_proportions_of_the_draws_and_of_each_chain(idata):
    z = idata["posterior"]["z"].values
    k = np.array([[len(set(row)) for row in chain] for chain in z])
    ax = dps.plots.n_clusters(idata)
    for bar in ax.patches:
        value = round(bar.get_x() + bar.get_width() / 2)
        assert bar.get_height() == pytest.approx((k == value).mean())
    values = np.arange(k.min(), k.max() + 1)
    for chain, line in zip(k, ax.lines, strict=True):
        np.testing.assert_allclose(line.get_ydata(), [(chain == value).mean() for value in values])
    assert len(ax.patches) == len(values)


def test_cluster_sizes_draws_quantiles_by_rank():
    # The largest cluster has 4, ..., 8 of 8 items; the others have the rest, alone or together.
    rows = [[0] * n + list(range(1, 9 - n)) for n in (4, 5, 6, 7, 8)]
    idata = tree(np.array(rows)[None])
    ax = dps.plots.cluster_sizes(idata)
    (medians,) = ax.lines
    np.testing.assert_array_equal(medians.get_ydata()[:3], [6, 1, 1])
    outer, inner = ax.collections
    np.testing.assert_array_equal(outer.get_segments()[0][:, 1], [4, 8])
    np.testing.assert_array_equal(inner.get_segments()[0][:, 1], [5, 7])
    assert dps.plots.cluster_sizes(idata, log=True).get_yscale() == "symlog"


def test_cluster_sizes_leaves_out_ranks_that_are_hardly_ever_there():
    rows = np.zeros((1, 100, 4), dtype=np.int64)
    rows[0, 0] = [0, 1, 2, 2]
    (medians,) = dps.plots.cluster_sizes(tree(rows)).lines
    np.testing.assert_array_equal(medians.get_xdata(), [1])


def test_clusters_draws_every_item_in_the_colour_of_its_cluster():
    y, labels = RNG.normal(size=(20, 2)), np.repeat([0, 1, 8], [9, 9, 2])
    ax = dps.plots.clusters(y, labels, quantities=("length", "wait"), units=("min", None))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("length (min)", "wait")
    drawn = [c for c in ax.collections if len(c.get_offsets())]
    for label, points in zip([0, 1, 8], drawn, strict=True):
        np.testing.assert_array_equal(points.get_offsets(), y[labels == label])
        colour = plt.matplotlib.colors.to_rgb(COLOURS[label % 7])
        np.testing.assert_allclose(points.get_facecolor()[0][:3], colour)
    legend = ax.get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["0 (n = 9)", "1 (n = 9)", "8 (n = 2)"]


def test_ellipses_are_contours_of_the_normal_distribution_of_the_items():
    y = RNG.normal(size=(200, 2)) @ [[1.0, 0.8], [0.0, 0.3]]
    ax = dps.plots.clusters(y, np.zeros(200, dtype=int))
    inverse, mean = np.linalg.inv(np.cov(y.T)), y.mean(axis=0)
    for line, probability in zip(ax.lines, [0.5, 0.9], strict=True):
        apart = np.stack(line.get_data(), axis=1) - mean
        distance = np.einsum("ij,jk,ik->i", apart, inverse, apart)
        np.testing.assert_allclose(distance, chi2.ppf(probability, 2))
    assert not dps.plots.clusters(y, np.zeros(200, dtype=int), ellipses=False).lines


def test_certainty_is_opacity():
    y, certainty = RNG.normal(size=(4, 2)), [0.0, 0.5, 1.0, np.nan]
    ax = dps.plots.clusters(y, np.zeros(4, dtype=int), certainty=certainty)
    alphas = ax.collections[0].get_alpha()
    np.testing.assert_allclose(alphas, [0.15, 0.575, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"certainty has shape \(1,\)"):
        dps.plots.clusters(y, np.zeros(4, dtype=int), certainty=[0.5])


def test_clusters_refuses_data_that_are_not_in_the_plane():
    with pytest.raises(ValueError, match=r"shape \(5, 3\); expected \(N, 2\)"):
        dps.plots.clusters(np.ones((5, 3)), np.zeros(5, dtype=int))
    with pytest.raises(ValueError, match=r"partition has shape \(4,\)"):
        dps.plots.clusters(np.ones((5, 2)), np.zeros(4, dtype=int))


def tree(z: np.ndarray) -> xr.DataTree:
    return xr.DataTree.from_dict({"posterior": xr.Dataset({"z": (("chain", "draw", "item"), z)})})


def ball_of(labels: np.ndarray) -> xr.Dataset:
    z = np.array([labels, labels // 2, np.arange(len(labels)), labels])
    return dps.partitions.credible_ball(tree(z[None]), labels, ci_prob=0.9)


def test_partition_on_the_line_has_a_row_for_the_estimate_and_every_bound():
    y, labels = RNG.normal(size=12), np.repeat([0, 1, 2], 4)
    ax = dps.plots.partition(y, labels, ball_of(labels), quantity="speed", units="km/s")
    titles = [text.get_text() for text in ax.get_yticklabels()]
    assert titles == [
        "point estimate, 3 clusters",
        "horizontal bound\nVI 2.00, 12 clusters",
        "vertical upper bound\nVI 0.67, 2 clusters",
        "vertical lower bound\nVI 2.00, 12 clusters",
    ]
    assert ax.get_xlabel() == "speed (km/s)"
    points = np.concatenate([c.get_offsets() for c in ax.collections])
    for row in range(4):
        inside = np.abs(points[:, 1] - row) < 0.5
        np.testing.assert_array_equal(np.sort(points[inside, 0]), np.sort(y))
    alone = dps.plots.partition(y, labels)
    assert len(alone.get_yticklabels()) == 1


def test_partition_in_the_plane_has_a_panel_for_the_estimate_and_every_bound():
    y, labels = RNG.normal(size=(12, 2)), np.repeat([0, 1, 2], 4)
    axes = dps.plots.partition(y, labels, ball_of(labels), certainty=np.ones(12))
    assert axes.shape == (2, 2)
    assert axes[0, 0].get_title(loc="left") == "point estimate, 3 clusters"
    assert axes[1, 0].get_title(loc="left") == "vertical upper bound\nVI 0.67, 2 clusters"
    with pytest.raises(ValueError, match=r"expected \(N, 2\)"):
        dps.plots.partition(np.ones((12, 3)), labels)
    with pytest.raises(ValueError, match=r"shape \(12,\); expected \(5,\)"):
        dps.plots.partition(y[:5], labels)


def test_bounds_are_numbered_like_the_clusters_that_they_overlap_most():
    for bound, labels in product(product(range(3), repeat=5), [(0, 0, 1, 1, 2), (0, 0, 0, 4, 4)]):
        found = _aligned(np.array(bound), np.array(labels))
        same = np.equal.outer(bound, bound)
        np.testing.assert_array_equal(np.equal.outer(found, found), same)  # the same partition
        assert (found == labels).sum() == max(
            sum(x == y for x, y in zip([names[b] for b in bound], labels, strict=True))
            for names in product(range(8), repeat=3)
            if len({names[b] for b in set(bound)}) == len(set(bound))
        )


def test_styles_of_clusters_differ():
    styles = [cluster_style(k)[:2] for k in range(49)]
    assert len(set(styles)) == 49


def test_labels_are_spread_as_little_as_needed():
    assert spread([], 1.0).shape == (0,)
    np.testing.assert_array_equal(spread([5.0, 1.0, 3.0], 2.0), [5.0, 1.0, 3.0])
    np.testing.assert_allclose(spread([1.0, 1.0, 9.0], 2.0), [0.0, 2.0, 9.0])
    positions = RNG.normal(size=20)
    moved = spread(positions, 0.3)
    assert (np.diff(np.sort(moved)) >= 0.3 - 1e-12).all()
    np.testing.assert_array_equal(np.argsort(moved), np.argsort(positions))
