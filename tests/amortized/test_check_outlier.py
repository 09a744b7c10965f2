"""Data unlike the prior predictive are flagged, typical data at the rate that was asked for."""

import numpy as np
import pytest

from pymc_dpsteps.amortized.check_outlier import out_of_distribution


def data_set(rng: np.random.Generator, size: int = 30) -> np.ndarray:
    """Two clusters in two dimensions, far apart by chance."""
    return rng.normal(rng.normal(0.0, 2.0, size=(2, 2))[rng.integers(0, 2, size)], 0.5)


def test_typical_data_are_flagged_at_the_level():
    rng = np.random.default_rng(1)
    flagged = [
        out_of_distribution(data_set(rng), [data_set(rng) for _ in range(59)], level=0.1).flagged
        for _ in range(300)
    ]
    # 6 ranks of 60 have p-values up to 0.1.
    assert abs(np.mean(flagged) - 0.1) < 5.0 * np.sqrt(0.1 * 0.9 / 300)


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y + 12.0 * np.eye(2)[0],
        lambda y: 8.0 * y,
        lambda y: 0.01 * y,
        lambda y: np.vstack([y[:-1], [300.0, 0.0]]),
    ],
    ids=["shift", "scale", "no spread", "one far value"],
)
def test_strange_data_are_flagged(change):
    rng = np.random.default_rng(2)
    simulated = [data_set(rng) for _ in range(200)]
    typical = data_set(rng)
    assert not out_of_distribution(typical, simulated).flagged
    found = out_of_distribution(change(typical), simulated)
    assert found.flagged and found.p_value == pytest.approx(1 / 201)


def test_counts_without_spread():
    rng = np.random.default_rng(3)
    simulated = [rng.poisson(0.1, 20) for _ in range(200)]
    assert not out_of_distribution(np.zeros(20), simulated).flagged
    assert out_of_distribution(np.full(20, 9), simulated).flagged
    # All alike: nothing is unusual.
    assert out_of_distribution(np.zeros(20), [np.zeros(20)] * 200).p_value == 1.0


def test_what_is_refused():
    sets = [np.zeros(5)] * 150
    with pytest.raises(ValueError, match="at least 99"):
        out_of_distribution(np.zeros(5), sets[:98])
    with pytest.raises(ValueError, match=r"shape \(4,\), simulated ones have \[\(5,\)\]"):
        out_of_distribution(np.zeros(4), sets)
    with pytest.raises(ValueError, match="not finite"):
        out_of_distribution(np.full(5, np.nan), sets)
