"""Diffusion over the parameters of items, and partitions made of it."""

import numpy as np
import pytest

from tests.helpers_amortized import importorskip
from tests.helpers_chain import STANDARD_ERRORS

torch = importorskip()

from pymc_dpsteps.amortized.theta import (  # noqa: E402
    Sampler,
    ThetaNetwork,
    draw_theta,
    snap,
    theta_loss,
)


def inputs(n, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    items = torch.randn(batch, n, 3, generator=generator)
    pairs = torch.randn(batch, n, n, generator=generator)
    return items, torch.randn(batch, 1, generator=generator), pairs + pairs.mT


def network(prediction="edm", seed=0):
    torch.manual_seed(seed)
    return ThetaNetwork(3, 1, 2, prediction=prediction, width=16, heads=2, layers=1)


@pytest.mark.parametrize("prediction", ["edm", "v", "noise"])
def test_order_of_items_does_not_matter(prediction):
    denoiser = network(prediction)
    torch.nn.init.normal_(denoiser.out.weight)
    x, sigma = torch.randn(2, 5, 2), torch.tensor([0.3, 4.0])
    items, context, pairs = inputs(5, batch=2)
    order = torch.randperm(5)
    result = denoiser(x, sigma, (items, context, pairs))
    turned = (items[:, order], context, pairs[:, order][:, :, order])
    torch.testing.assert_close(
        denoiser(x[:, order], sigma, turned), result[:, order], atol=1e-5, rtol=1e-5
    )
    assert torch.isfinite(result).all() and result.shape == (2, 5, 2)


@pytest.mark.parametrize("sampler", [Sampler(), Sampler(steps=64, churn=8.0)])
def test_untrained_draws_are_those_of_a_standard_normal(sampler):
    """Before training the denoiser is exact for data that are standard normal."""
    draws = 4_000
    theta = draw_theta(
        network(), inputs(3), draws, torch.Generator().manual_seed(1), sampler
    ).numpy()
    size = theta.size
    assert abs(theta.mean()) < STANDARD_ERRORS / np.sqrt(size)
    # Heun's steps are off by less than half a per cent.
    assert abs(theta.var() - 1.0) < STANDARD_ERRORS * np.sqrt(2.0 / size) + 0.005


def test_noise_levels():
    levels = Sampler(steps=10, largest=5.0, smallest=0.1).levels()
    assert levels[0] == pytest.approx(5.0) and levels[-2] == pytest.approx(0.1)
    assert levels[-1] == 0.0 and (np.diff(levels) < 0.0).all() and len(levels) == 11


@pytest.mark.parametrize("prediction", ["edm", "v", "noise"])
def test_learns_what_the_data_say(prediction):
    """One item with theta = (x_1, x_2): after some steps the error is below that of no data."""
    denoiser = network(prediction)
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(2)
    losses = []
    for step in range(150):
        items, context, pairs = inputs(4, batch=64, seed=step)
        loss = theta_loss(denoiser, items[..., :2], (items, context, pairs), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:5])


def test_unknown_prediction():
    with pytest.raises(ValueError, match="prediction"):
        network("score")


def test_snap_is_a_distribution_over_partitions():
    """The mean of 1 / q over draws from q is the number of partitions, 5 for three items."""
    draws = 40_000
    theta = np.repeat(np.array([[[0.0, 0.1], [0.1, 0.0], [0.3, 0.2]]]), draws, axis=0)
    found = snap(theta, np.random.default_rng(3), width=0.3)
    inverse = np.exp(-found.log_prob)
    assert len(np.unique(_by_first(found.labels), axis=0)) == 5
    assert abs(inverse.mean() - 5.0) < STANDARD_ERRORS * inverse.std() / np.sqrt(draws)


def test_snap_finds_ties():
    rng = np.random.default_rng(4)
    truth = np.array([0, 1, 0, 2, 1, 0])
    centres = np.array([[-1.5, 0.0], [0.0, 1.5], [1.5, 0.0]])
    theta = centres[truth] + 0.02 * rng.normal(size=(50, 6, 2))
    found = snap(theta, rng, width=0.05)
    assert (_by_first(found.labels) == truth).all(1).mean() > 0.9
    assert 0.005 < np.median(found.error) < 0.03
    far = snap(theta + 0.3 * rng.normal(size=theta.shape), rng, width=0.5)
    assert np.median(far.error) > 3.0 * np.median(found.error)


def _by_first(labels):
    result = np.empty_like(labels)
    for s, c in enumerate(labels):
        _, first, inverse = np.unique(c, return_index=True, return_inverse=True)
        result[s] = np.argsort(np.argsort(first))[inverse]
    return result
