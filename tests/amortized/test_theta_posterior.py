"""Diffusion over parameters, on models of several kernels."""

import numpy as np
import pytest

from tests.helpers_amortized import importorskip
from tests.helpers_chain import STANDARD_ERRORS
from tests.helpers_learners import (
    KERNELS,
    exact_means,
    four_points,
    losses,
    normal_both,
    normal_mean,
)

torch = importorskip()

from pymc_dpsteps.amortized import (  # noqa: E402
    AmortizedPosterior,
    Sampler,
    Schedule,
    Size,
    ThetaPosterior,
    fit,
)

SMALL = Size(width=16, heads=2, layers=1)
QUICK = Schedule(batch=16, warmup=5, averaging=0.5)
SHORT = Sampler(steps=6)


@pytest.fixture(scope="module")
def posterior():
    torch.manual_seed(0)
    return ThetaPosterior(normal_both, (3, 6), size=SMALL, prediction="v")


@pytest.mark.parametrize("name", KERNELS)
def test_learns_any_kernel(name):
    """A few steps reduce the loss, and draws are values of the model."""
    torch.manual_seed(1)
    learner = ThetaPosterior(KERNELS[name], (3, 6), size=SMALL)
    before, after = losses(learner, QUICK, 250)
    gain = before - after
    assert gain.mean() > STANDARD_ERRORS * gain.std() / np.sqrt(len(gain))
    assert (learner.target is None) == (name in ("normal_both", "exponential"))
    y = learner.simulator.draw(1).first(4).observed["y"][0]
    theta = learner.draw(y, 7, sampler=SHORT, random_seed=2)
    for atom, x in theta.items():
        assert x.shape == (7, 4, *learner.mixture.model[atom].type.shape[1:])
        assert np.isfinite(x).all()
        assert atom == "mu" or (x > 0.0).all()


@pytest.mark.slow
def test_close_to_exact_means():
    """Root mean square distance of the draws' mean from E[θ | y] below a tenth of the prior's.

    Its Monte Carlo error, with 200 draws, is below 0.07 of a posterior standard deviation.
    """
    torch.manual_seed(0)
    learner = ThetaPosterior(four_points, (4, 4), size=Size(width=32, heads=4, layers=2))
    fit(learner, budget=25.0, accelerator="cpu", random_seed=1, progressbar=False)
    learner.simulator.seed(2)
    data = learner.simulator.draw(30).observed["y"]
    exact = np.array([exact_means(y) for y in data])
    found = np.array([learner.draw(y, 200, random_seed=3)["mu"].mean(0) for y in data])
    error, alone = np.sqrt(((found - exact) ** 2).mean()), np.sqrt((exact**2).mean())
    assert error < 0.1 * alone


def test_partitions_of_draws(posterior):
    y = np.array([[0.0, 0.1], [0.1, 0.0], [3.0, 3.0]])
    theta = posterior.draw(y, 30, sampler=SHORT, random_seed=3)
    found = posterior.snap(theta, random_seed=4)
    assert found.labels.shape == (30, 3) and (found.error >= 0.0).all()
    tied = {name: np.broadcast_to(x[:, :1], x.shape) for name, x in theta.items()}
    np.testing.assert_allclose(
        posterior.snap(tied, width=0.01, random_seed=4).error, 0.0, atol=1e-9
    )
    with pytest.raises(ValueError, match="width = -1"):
        posterior.snap(theta, width=-1.0)


def test_draws_depend_on_the_seed_alone(posterior):
    y = np.zeros((3, 2))
    first, again, other = (
        posterior.draw(y, 5, sampler=SHORT, random_seed=seed) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first["mu"], again["mu"])
    assert not np.array_equal(first["mu"], other["mu"])


def test_fit_save_and_load(posterior, tmp_path):
    options = {"schedule": QUICK, "accelerator": "cpu", "progressbar": False}
    before = {name: x.clone() for name, x in posterior.network.state_dict().items()}
    path = tmp_path / "state.ckpt"
    assert fit(posterior, budget=0.5, checkpoint=path, random_seed=7, **options) is posterior
    assert any(
        not torch.equal(x, before[name]) for name, x in posterior.network.state_dict().items()
    )
    other = ThetaPosterior(normal_both, (3, 6), size=SMALL, prediction="edm")
    with pytest.raises(ValueError, match="of another network"):
        fit(other, budget=0.6, checkpoint=path, **options)
    posterior.save(tmp_path / "network")
    loaded = ThetaPosterior.load(tmp_path / "network", normal_both)
    assert loaded.prediction == "v"
    first, second = (
        p.draw(np.zeros((3, 2)), 5, sampler=SHORT, random_seed=8)["mu"] for p in (posterior, loaded)
    )
    np.testing.assert_array_equal(first, second)
    with pytest.raises(ValueError, match="holds a ThetaPosterior, not a AmortizedPosterior"):
        AmortizedPosterior.load(tmp_path / "network", normal_both)
    with pytest.raises(ValueError, match="trained for another model"):
        ThetaPosterior.load(tmp_path / "network", normal_mean)
    description = tmp_path / "network" / "posterior.json"
    description.write_text(description.read_text().replace('"format": 3', '"format": 1'))
    with pytest.raises(ValueError, match="format 1; this version reads format 3"):
        ThetaPosterior.load(tmp_path / "network", normal_both)


def test_bad_input(posterior):
    with pytest.raises(ValueError, match=r"shape \(3,\); expected \(n, 2\)"):
        posterior.draw(np.zeros(3))
    with pytest.raises(ValueError, match="7 observations"):
        posterior.draw(np.zeros((7, 2)))
    with pytest.raises(ValueError, match="prediction"):
        ThetaPosterior(normal_mean, (3, 6), prediction="score")
