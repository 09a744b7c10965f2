"""The check of a network, on a model whose answers are known."""

import numpy as np
import pytest

import pymc_dpsteps as dps
from tests.helpers_amortized import (
    ALPHA,
    DATA,
    NOISE,
    SPREAD,
    build_model,
    disturbed,
    importorskip,
)

importorskip()


@pytest.fixture(scope="module")
def posterior():
    """A poor network, which its importance weights make right."""
    return disturbed(dps.amortized.AmortizedPosterior(build_model, n=(5, 6)))


def test_predictive_density_of_one_more_item(posterior):
    """By hand after two items, apart and together: urn times normal predictive densities."""
    items, labels = posterior.items_of(DATA), np.array([[0, 1], [0, 0]])
    found = posterior.target.log_predictive(items[:2], labels, items[3:5])

    def density(y, members):
        precision = 1.0 / SPREAD**2 + len(members) / NOISE**2
        mean = np.sum(members, axis=0) / NOISE**2 / precision
        variance = NOISE**2 + 1.0 / precision
        distance = ((y - mean) ** 2).sum()
        return np.exp(-0.5 * distance / variance) / (2.0 * np.pi * variance)

    for j, y in enumerate(DATA[3:5]):
        apart = density(y, DATA[:1]) + density(y, DATA[1:2]) + ALPHA * density(y, DATA[:0])
        joined = 2.0 * density(y, DATA[:2]) + ALPHA * density(y, DATA[:0])
        exact = np.log([apart, joined]) - np.log(2.0 + ALPHA)
        np.testing.assert_allclose(found[:, j], exact, rtol=1e-5)


@pytest.mark.slow
def test_corrected_draws_are_calibrated(posterior):
    report = dps.amortized.check_posterior(
        posterior, corrected=True, n_datasets=20, draws=20, n_references=1, random_seed=1
    )
    table = report.table()
    assert {"n_clusters", "together", "theta_1[0]", "theta_1[1]", "log_joint"} < set(
        table.loc["calibration p"].index
    )
    # The smallest of nine p-values falls below 1e-5 once in ten thousand runs.
    assert table.loc["calibration p", "value"].min() > 1e-5
    assert table.loc[("coverage p", "all functionals"), "value"] > 1e-5
    assert table.loc[("against reference", "total_variation"), "value"] < 0.2


def test_data_unlike_simulated_ones_give_a_warning(posterior, caplog):
    assert not posterior.out_of_distribution(DATA, random_seed=2).flagged
    far = DATA + 40.0
    assert posterior.out_of_distribution(far, random_seed=2).flagged
    idata = posterior.sample(far, draws=5, random_seed=2)
    assert idata.posterior.sizes["draw"] == 5  # of more, which were weighted
    assert "unlike those that the model simulates" in caplog.text
