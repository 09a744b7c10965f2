"""One call, one table, one figure."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from pymc_dpsteps.amortized.check import DataSet, Draws, check_sampler, plot_check


def simulate(rng: np.random.Generator) -> DataSet:
    """Data that say nothing about the partition: its posterior is its prior."""
    n_items = rng.integers(4, 9)
    return DataSet(rng.normal(size=n_items), rng.integers(0, n_items, n_items))


def sample(y: np.ndarray, draws: int, rng: np.random.Generator) -> Draws:
    labels = rng.integers(0, len(y), size=(draws, len(y)))
    return Draws(labels, log_predictive=rng.normal(size=(draws, 5)))


@pytest.fixture(scope="module")
def report():
    return check_sampler(
        simulate,
        sample,
        reference=lambda y, rng: sample(y, 400, rng),
        n_datasets=50,
        draws=30,
        n_references=3,
        random_seed=4,
    )


def test_table(report):
    table = report.table()
    assert list(table.columns) == ["value", "floor", "worst"]
    for name in ("n_clusters", "together"):
        p_value = float(report.calibration["p_value"].sel(functional=name))
        assert table.loc[("calibration p", name), "value"] == p_value
    distances = table.loc["against reference"]
    assert (distances["worst"] >= distances["value"]).all() and (distances["floor"] > 0.0).all()
    assert table.loc[("effective size", "sample"), "value"] > 200
    assert ("log predictive density", "less reference (nats)") in table.index
    assert "coverage p" in str(report) and "nan" not in str(report).lower()
    # Numbers of clusters seen in one of the data sets only have probability 0 in the others.
    probability = report.comparison["probability"]
    np.testing.assert_allclose(probability.sum("n_clusters", skipna=False), 1.0)
    assert report.comparison.sizes["dataset"] == 3


def test_the_figure_shows_all_three(report):
    figure = plot_check(report)
    ranks, coverage, clusters = figure.axes
    line = next(line for line in coverage.lines if line.get_label() == "sampler")
    level, covered = line.get_data()
    pit = report.calibration["coverage_pit"].values
    np.testing.assert_allclose(covered, [np.mean(pit <= x) for x in level])
    labels = {line.get_label() for line in ranks.lines}
    assert set(report.calibration["functional"].values) < labels
    worst = report.comparison["total_variation"].sel(pair="sample").values.argmax()
    shown = report.comparison["probability"].isel(dataset=int(worst)).sel(source="reference")
    heights = {round(bar.get_x() + 0.4): bar.get_height() for bar in clusters.patches}
    assert {k: p for k, p in heights.items() if p > 0.001} == {
        int(k): float(p) for k, p in zip(shown["n_clusters"], shown, strict=True) if p > 0.001
    }
    plt.close(figure)


def test_without_a_reference():
    report = check_sampler(simulate, sample, n_datasets=20, draws=9, random_seed=5)
    assert report.comparison is None and list(report.table().columns) == ["value"]
    figure = plot_check(report)
    assert len(figure.axes) == 2
    plt.close(figure)
