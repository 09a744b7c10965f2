"""Gaussian diffusion over the parameters of all items, θ_1, …, θ_n, given the data.

Karras, T., Aittala, M., Aila, T. and Laine, S. (2022). Elucidating the design space of
diffusion-based generative models. NeurIPS 35: noise levels, preconditioning (Table 1), training
weights (section 5), deterministic and stochastic samplers (Algorithms 1 and 2).

Tokens are the observations, each with the noisy value of its θ_i, in value space and standardised
by the prior. θ has ties, so its law has no density, and a Gaussian diffusion only comes close to
them: `snap` makes a partition of a draw, at random and with a known probability, and says how far
the draw was from having these ties. Nothing here is exact, or corrected; see `paths` for what is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pymc_dpsteps.amortized.network import Inputs, SetEncoder
from pymc_dpsteps.jit import njit
from pymc_dpsteps.steps.arguments import check_option

__all__ = ["Sampler", "Snapped", "ThetaNetwork", "draw_theta", "snap", "theta_loss"]

Prediction = Literal["edm", "v", "noise"]


class ThetaNetwork(nn.Module):
    """Denoiser of θ_1, …, θ_n; of unit variance each before noise is added.

    Parameters
    ----------
    inputs, context, parameters : int
        Length of an item, of what is known of the data set, and of a θ_i.
    prediction : {"edm", "v", "noise"}, default "edm"
        What the network predicts: the preconditioned target F of Karras et al., the velocity of
        Salimans and Ho (2022), or the noise of Ho et al. (2020).
    width, heads, layers : int
    **encoder
        See `SetEncoder`.
    """

    def __init__(
        self,
        inputs: int,
        context: int,
        parameters: int,
        *,
        prediction: Prediction = "edm",
        width: int = 64,
        heads: int = 4,
        layers: int = 3,
        **encoder: Any,
    ) -> None:
        super().__init__()
        check_option("prediction", prediction, ("edm", "v", "noise"))
        self.prediction, self.parameters_per_item = prediction, parameters
        self.encoder = SetEncoder(
            inputs + parameters,
            context + 2 * _FREQUENCIES,
            width=width,
            heads=heads,
            layers=layers,
            **encoder,
        )
        self.out = nn.Linear(width, parameters)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, theta: Tensor, sigma: Tensor, inputs: Inputs) -> Tensor:
        """Expectation of θ given noisy θ.

        Parameters
        ----------
        theta : Tensor, shape (batch, n, parameters)
        sigma : Tensor, shape (batch,)
            Standard deviation of the noise.
        inputs : tuple of Tensor
            Items, context and pairs of the data set, see `SetEncoder`.

        Returns
        -------
        Tensor, shape (batch, n, parameters)
        """
        items, context, pairs = inputs
        skip, out, scale = (x.view(-1, 1, 1) for x in self._coefficients(sigma))
        angles = 0.25 * sigma.log().unsqueeze(1) * _frequencies(sigma)
        context = torch.cat([context, angles.sin(), angles.cos()], dim=1)
        rows = self.encoder(torch.cat([items, scale * theta], dim=2), context, pairs)
        return skip * theta + out * self.out(rows[:, 1:])

    def _coefficients(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """c_skip, c_out and c_in of Karras et al., Table 1, with data of unit variance."""
        scale = 1.0 / (1.0 + sigma**2).sqrt()
        if self.prediction == "noise":
            return torch.ones_like(sigma), -sigma, scale
        sign = 1.0 if self.prediction == "edm" else -1.0
        return scale**2, sign * sigma * scale, scale

    def weight(self, sigma: Tensor) -> Tensor:
        """Weight of the squared error at a noise level: what the network predicts counts alike."""
        return 1.0 / self._coefficients(sigma)[1] ** 2


_FREQUENCIES = 8


def _frequencies(like: Tensor) -> Tensor:
    return torch.pi * torch.arange(1, _FREQUENCIES + 1, device=like.device, dtype=like.dtype)


def theta_loss(
    network: ThetaNetwork,
    theta: Tensor,
    inputs: Inputs,
    generator: torch.Generator,
) -> Tensor:
    """Weighted squared error at random noise levels, log σ ~ Normal(-1.2, 1.2)."""
    normal = torch.randn(len(theta), generator=generator, device=theta.device)
    sigma = (1.2 * normal - 1.2).exp()
    noise = torch.randn(theta.shape, generator=generator, device=theta.device)
    denoised = network(theta + sigma.view(-1, 1, 1) * noise, sigma, inputs)
    error = ((denoised - theta) ** 2).mean((1, 2))
    return (network.weight(sigma) * error).mean()


@dataclass(frozen=True)
class Sampler:
    """How noise is taken away (Karras et al., Algorithm 2).

    Attributes
    ----------
    steps : int
        Noise levels.
    largest, smallest, curvature : float
        σ_max, σ_min and ρ of the levels.
    churn : float
        Noise that is added at every step before it is taken away; 0 for the deterministic
        sampler of Algorithm 1 (Heun's method).
    """

    steps: int = 32
    largest: float = 20.0
    smallest: float = 0.005
    curvature: float = 7.0
    churn: float = 0.0

    def levels(self) -> NDArray[np.float64]:
        """Noise levels in decreasing order, and 0."""
        root = 1.0 / self.curvature
        ends = self.largest**root, self.smallest**root
        return np.append(np.linspace(*ends, self.steps) ** self.curvature, 0.0)


@torch.no_grad()
def draw_theta(
    network: ThetaNetwork,
    inputs: Inputs,
    draws: int,
    generator: torch.Generator,
    sampler: Sampler | None = None,
) -> Tensor:
    """Draws of θ_1, …, θ_n for one data set.

    Parameters
    ----------
    network : ThetaNetwork
    inputs : tuple of Tensor
        Of one data set.
    draws : int
    generator : torch.Generator
    sampler : Sampler, optional

    Returns
    -------
    Tensor, shape (draws, n, parameters)
    """
    network.eval()  # branches of a block have noise in training only
    sampler = sampler or Sampler()
    levels = sampler.levels()
    repeated = tuple(x.expand(draws, *x.shape[1:]) for x in inputs)
    items = inputs[0]
    shape = (draws, items.shape[1], network.parameters_per_item)

    def noise() -> Tensor:
        return torch.randn(shape, generator=generator, device=items.device)

    def slope(x: Tensor, sigma: float) -> Tensor:
        level = torch.full((draws,), sigma, device=x.device)
        return (x - network(x, level, repeated)) / sigma

    x = levels[0] * noise()
    more = min(sampler.churn / sampler.steps, np.sqrt(2.0) - 1.0)
    for now, then in pairwise(levels):
        up = now * (1.0 + more)
        if more > 0.0:
            x = x + np.sqrt(up**2 - now**2) * noise()
        first = slope(x, up)
        moved = x + (then - up) * first
        if then > 0.0:  # Heun's second half
            moved = x + (then - up) * 0.5 * (first + slope(moved, then))
        x = moved
    return x


@dataclass(frozen=True)
class Snapped:
    """Partitions made of draws of θ.

    Attributes
    ----------
    labels : numpy.ndarray of int64, shape (draws, n)
    log_prob : numpy.ndarray of float64, shape (draws,)
        Log probability of this partition given the draw and the order of the items.
    error : numpy.ndarray of float64, shape (draws,)
        Root mean square distance of the θ_i from the mean of their cluster, in standard
        deviations of the prior.
    """

    labels: NDArray[np.int64]
    log_prob: NDArray[np.float64]
    error: NDArray[np.float64]


def snap(
    theta: NDArray[np.float64], rng: np.random.Generator, *, width: float = 0.1, alpha: float = 1.0
) -> Snapped:
    """Make partitions of draws of θ, at random, by which θ_i may be meant to be equal.

    Items come in random order. One joins a cluster of m with probability proportional to m times
    the normal density of θ_i about the cluster's mean, of variance width² (1 + 1 / m), or opens
    one in proportion to alpha times its density under Normal(0, 1 + width²): the rule of a Chinese
    restaurant process for values that are seen with a normal error of that width.

    Parameters
    ----------
    theta : numpy.ndarray of float64, shape (draws, n, parameters)
    rng : numpy.random.Generator
    width : float, default 0.1
        Error of the draws, in standard deviations of the prior.
    alpha : float, default 1.0

    Returns
    -------
    Snapped

    Raises
    ------
    ValueError
        If width or alpha is not positive.
    """
    if not (width > 0.0 and alpha > 0.0):
        raise ValueError(f"width = {width} and alpha = {alpha}; expected positive numbers.")
    theta = np.ascontiguousarray(theta, dtype=np.float64)
    draws, n, _ = theta.shape
    order = rng.permuted(np.broadcast_to(np.arange(n), (draws, n)), axis=1)
    labels = np.zeros((draws, n), dtype=np.int64)
    log_prob, error = np.zeros(draws), np.zeros(draws)
    _snap(theta, order, rng.random((draws, n)), width, alpha, labels, log_prob, error)
    return Snapped(labels, log_prob, error)


@njit
def _snap(
    theta: np.ndarray,
    order: np.ndarray,
    uniforms: np.ndarray,
    width: float,
    alpha: float,
    labels: np.ndarray,
    log_prob: np.ndarray,
    error: np.ndarray,
) -> None:
    n, q = theta.shape[1:]
    means, counts = np.zeros((n, q)), np.zeros(n)
    log_weight = np.empty(n + 1)
    for s in range(len(theta)):
        counts[:] = 0.0
        k = 0
        for t in range(n):
            x = theta[s, order[s, t]]
            for j in range(k + 1):
                variance = width**2 * (1.0 + 1.0 / counts[j]) if j < k else 1.0 + width**2
                distance = 0.0
                for p in range(q):
                    distance += (x[p] - (means[j, p] if j < k else 0.0)) ** 2
                log_weight[j] = np.log(counts[j] if j < k else alpha)
                log_weight[j] -= 0.5 * (distance / variance + q * np.log(variance))
            weight = np.exp(log_weight[: k + 1] - log_weight[: k + 1].max())
            threshold = uniforms[s, t] * weight.sum()
            chosen, passed = 0, weight[0]
            while passed <= threshold and chosen < k:
                chosen += 1
                passed += weight[chosen]
            log_prob[s] += np.log(weight[chosen] / weight.sum())
            if chosen == k:
                means[k] = 0.0
                k += 1
            labels[s, order[s, t]] = chosen
            counts[chosen] += 1.0
            means[chosen] += (x - means[chosen]) / counts[chosen]
        for i in range(n):
            error[s] += ((theta[s, i] - means[labels[s, i]]) ** 2).sum() / (n * q)
        error[s] = np.sqrt(error[s])
