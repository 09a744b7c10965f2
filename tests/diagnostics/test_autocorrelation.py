import numpy as np
import pytest
import xarray as xr
from scipy.signal import lfilter

from pymc_dpsteps.diagnostics import integrated_autocorr_time

RNG = np.random.default_rng(11)


def autoregression(phi: float, *, chains: int, draws: int) -> np.ndarray:
    """Stationary AR(1) chains, whose tau is (1 + phi) / (1 - phi)."""
    noise = RNG.normal(size=(chains, draws))
    noise[:, 0] /= np.sqrt(1.0 - phi**2)
    return lfilter([1.0], [1.0, -phi], noise, axis=1)


def direct(x: np.ndarray, lag: int) -> float:
    """Average over the chains of the autocovariance at a lag."""
    deviations = x - x.mean()
    n = x.shape[1]
    return float((deviations[:, : n - lag] * deviations[:, lag:]).sum() / x.size)


# Known biases: Sokal's window misses about e^-5 of tau. Geyer's sum stops, and is levelled, by the
# noise of single pairs of correlations, which is of the order of 1 / sqrt(n).
@pytest.mark.parametrize(
    ("method", "phi"),
    [(method, phi) for method in ("geyer", "sokal") for phi in (0.0, 0.5, 0.9, 0.98)]
    + [("geyer", -0.5), ("geyer", -0.9)],
)
def test_autoregression_has_its_known_time(method, phi):
    repeats, shape = 20, {"chains": 4, "draws": 25_000}
    found = [
        integrated_autocorr_time(autoregression(phi, **shape), method=method)
        for _ in range(repeats)
    ]
    tau = (1 + phi) / (1 - phi)
    error = np.std(found) / np.sqrt(repeats)
    bias = np.exp(-5.0) * tau if method == "sokal" else 5.0 / np.sqrt(100_000)
    assert error < 0.05 * tau
    assert abs(np.mean(found) - tau) < 5 * error + bias
    if phi >= 0.0:  # the standard error in the documentation, within that of 20 repeats
        assert np.std(found) < 2 * tau * np.sqrt((10 * tau + 2) / 100_000)


def test_geyer_equals_a_direct_computation():
    x = autoregression(0.95, chains=3, draws=201)
    correlation = [direct(x, lag) / direct(x, 0) for lag in range(201)] + [0.0]
    expected, smallest = -1.0, np.inf
    for pair in np.reshape(correlation, (-1, 2)).sum(axis=1):
        if pair <= 0.0:
            break
        smallest = min(smallest, pair)
        expected += 2.0 * smallest
    assert integrated_autocorr_time(x) == pytest.approx(expected, rel=1e-10)


def test_sokal_equals_a_direct_computation():
    x = autoregression(0.95, chains=3, draws=201)
    half, lag = 0.5, 0
    while lag < 5.0 * half:
        lag += 1
        half += direct(x, lag) / direct(x, 0)
    assert integrated_autocorr_time(x, method="sokal") == pytest.approx(2 * half, rel=1e-10)


def test_chains_that_disagree_have_a_long_time():
    x = RNG.normal(size=(2, 5000))
    assert integrated_autocorr_time(x) < 1.2
    assert integrated_autocorr_time(x + np.array([[0.0], [3.0]])) > 1000.0


def test_one_chain_may_have_one_axis():
    x = autoregression(0.5, chains=1, draws=1000)
    assert integrated_autocorr_time(x[0]) == integrated_autocorr_time(x)
    assert isinstance(integrated_autocorr_time(x[0].tolist()), float)


def test_xarray_objects_keep_their_other_dimensions():
    x = autoregression(0.5, chains=6, draws=400).reshape(2, 3, 400)
    a = xr.DataArray(x, {"item": list("abc")}, ("chain", "item", "draw"))
    found = integrated_autocorr_time(a)
    assert found.dims == ("item",) and found["item"].values.tolist() == list("abc")
    assert found.sel(item="b") == integrated_autocorr_time(x[:, 1])
    data = xr.Dataset({"a": a, "k": (("draw", "chain"), RNG.integers(0, 9, size=(400, 2)))})
    tree = xr.DataTree.from_dict({"partition": data})
    for both in (integrated_autocorr_time(data), integrated_autocorr_time(tree["partition"])):
        assert both["a"].equals(found)
        assert both["k"] == integrated_autocorr_time(data["k"].values.T)
    assert integrated_autocorr_time(a[0, 0]) == integrated_autocorr_time(x[0, 0])


@pytest.mark.parametrize("method", ["geyer", "sokal"])
def test_draws_that_say_nothing(method):
    assert np.isnan(integrated_autocorr_time(np.full((2, 100), 0.1), method=method))
    assert np.isnan(integrated_autocorr_time([1.0, np.nan, 2.0, 0.0], method=method))
    alternating = np.resize([1.0, -1.0], 1000)
    assert 0.0 < integrated_autocorr_time(alternating, method=method) < 0.01


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"'bartlett'; expected one of 'geyer', 'sokal'"):
        integrated_autocorr_time(np.zeros(3), method="bartlett")
    with pytest.raises(ValueError, match=r"expected \(draw,\) or \(chain, draw\)"):
        integrated_autocorr_time(np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="no draws"):
        integrated_autocorr_time(np.zeros((4, 0)))
    with pytest.raises(ValueError, match="expected 'draw'"):
        integrated_autocorr_time(xr.DataArray(np.zeros((2, 5)), dims=("chain", "sample")))
