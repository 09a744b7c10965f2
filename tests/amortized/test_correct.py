"""Corrected answers equal enumeration, whatever the network."""

from dataclasses import replace

import numpy as np
import pymc as pm
import pytest

import pymc_dpsteps as dps
from tests.helpers_amortized import (
    DATA,
    NOISE,
    SPREAD,
    build_model,
    build_with_alpha,
    disturbed,
    enumerate_posterior,
    importorskip,
)
from tests.helpers_chain import STANDARD_ERRORS, assert_means, run_chain

torch = importorskip()

from pymc_dpsteps.amortized import (  # noqa: E402
    AmortizedPosterior,
    RemaskingStep,
    Size,
    importance,
)

SMALL = Size(width=16, heads=2, layers=1)


def made(build, n=(2, 6)):
    torch.manual_seed(0)
    return disturbed(AmortizedPosterior(build, n, size=SMALL), seed=1)


def functionals(labels):
    k = np.array([len(np.unique(c)) for c in labels])
    found = {f"k = {j}": k == j for j in range(1, 5)}
    found |= {f"0 with {j}": labels[:, 0] == labels[:, j] for j in range(1, labels.shape[1])}
    return found


def exact(posterior, y):
    labels, p = enumerate_posterior(posterior.target, posterior.items_of(y))
    return {name: float(p @ x) for name, x in functionals(labels).items()}


@pytest.mark.parametrize("build", [build_model, build_with_alpha])
def test_importance_weights(build):
    posterior = made(build)
    drawn = posterior.draw(DATA, 20_000, random_seed=5)
    found = importance(drawn)
    assert found.reliable and found.ess > 1_000
    with pytest.raises(ValueError, match="Found 10 draws; expected at least 30"):
        importance(drawn.take(np.arange(10)))
    raw = np.exp(drawn.log_p - drawn.log_q - (drawn.log_p - drawn.log_q).max())
    raw /= raw.sum()
    exact_of = exact(posterior, DATA)
    for name, value in exact_of.items():
        x = functionals(drawn.labels)[name]
        # Of a ratio of weighted means (delta method).
        error = np.sqrt((raw**2 * (x - value) ** 2).sum())
        assert abs(raw @ x - value) < STANDARD_ERRORS * error, name
        assert abs(found.weights @ x - value) < STANDARD_ERRORS * error + 1e-3, name
    # The network is far off without them.
    plain = functionals(drawn.labels)
    assert max(abs(plain[name].mean() - value) for name, value in exact_of.items()) > 0.02


def test_equal_weights_have_no_tail():
    posterior = made(build_model)
    drawn = posterior.draw(DATA, 100, random_seed=0)
    same = replace(drawn, log_q=drawn.log_p - 2.0)
    found = importance(same)
    assert found.reliable and found.ess == pytest.approx(100.0)
    np.testing.assert_allclose(found.weights, 0.01)


def test_untrustworthy_weights_are_reported(caplog):
    posterior = made(build_model)
    drawn = posterior.draw(DATA, 1_000, random_seed=0)
    heavy = np.random.default_rng(0).standard_t(1.0, size=1_000) * 3.0
    rows = replace(drawn, log_q=drawn.log_p - heavy)
    from pymc_dpsteps.amortized.correct import resample

    resample(rows, np.random.default_rng(1))
    assert "cannot be trusted: k-hat is" in caplog.text


@pytest.mark.parametrize(
    ("build", "block", "draws"),
    [
        (build_model, 3, 800),
        (build_with_alpha, None, 500),
        pytest.param(build_model, None, 4_000, marks=pytest.mark.slow),
        pytest.param(build_with_alpha, 3, 10_000, marks=pytest.mark.slow),
    ],
)
def test_remasking(build, block, draws):
    posterior = made(build)
    step = RemaskingStep(posterior, block=block, proposals=4, model=_observe(build(6), DATA))
    z = run_chain(step, step.model, ["z"], draws, seed=6, tune=50)["z"]
    assert_means(functionals(z), exact(posterior, DATA))


def _observe(model, y):
    from pymc_dpsteps.amortized.posterior import with_data

    return with_data(model, {"y": y})


def test_sample_has_all_variables():
    posterior = made(build_with_alpha)
    idata = posterior.sample(DATA, 3_000, random_seed=7)
    reference = set(pm.sample_prior_predictive(1, model=build_with_alpha(6))["prior"].data_vars)
    assert set(idata["posterior"].data_vars) == reference
    assert idata["posterior"]["z"].dims == ("chain", "draw", "item")
    np.testing.assert_array_equal(idata["observed_data"]["y"], DATA)
    z = idata["posterior"]["z"].values[0]
    for name, value in exact(posterior, DATA).items():
        x = functionals(z)[name]
        error = np.sqrt(value * (1.0 - value) / (0.3 * len(z)))  # of weighted draws
        assert abs(x.mean() - value) < STANDARD_ERRORS * error, name
    # Atoms given the partition: standardised by their posterior they are standard normal.
    mu = idata["posterior"]["mu"].values[0]
    own = z[:, [0]] == z
    precision = own.sum(1) / NOISE**2 + 1.0 / SPREAD**2
    mean = (own @ DATA) / NOISE**2 / precision[:, None]
    first = (mu[np.arange(len(z)), z[:, 0]] - mean) * np.sqrt(precision)[:, None]
    assert abs(first.mean()) < STANDARD_ERRORS / np.sqrt(first.size)
    assert abs((first**2).mean() - 1.0) < STANDARD_ERRORS * np.sqrt(2.0 / first.size)
    # Concentration given k: against a slice sampler that starts elsewhere, by its mean for k = 2.
    alpha = idata["posterior"]["alpha"].values[0]
    k = np.array([len(np.unique(c)) for c in z])
    grid = np.linspace(1e-4, 20.0, 40_000)
    rising = np.prod([grid + i for i in range(6)], axis=0)
    for clusters in (2, 3):
        p = grid * np.exp(-2.0 * grid) * grid**clusters / rising
        p /= p.sum()
        x = alpha[k == clusters]
        mean = p @ grid
        sd = np.sqrt(p @ (grid - mean) ** 2)
        assert abs(x.mean() - mean) < STANDARD_ERRORS * sd / np.sqrt(len(x))


def test_remasking_refuses_another_model():
    posterior = made(build_model)
    with build_model(6, spread=3.0), pytest.raises(dps.MixtureError, match="another model"):
        RemaskingStep(posterior)
    with build_model(7), pytest.raises(dps.MixtureError, match=r"7 items.*2 to 6"):
        RemaskingStep(posterior)
