"""Draws of the parameters of items, θ_1, …, θ_n, from a diffusion trained on a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pymc as pm
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from pymc_dpsteps.amortized.learner import Learner, Size
from pymc_dpsteps.amortized.network import Inputs
from pymc_dpsteps.amortized.parameters import Parameters
from pymc_dpsteps.amortized.schedule import Schedule
from pymc_dpsteps.amortized.simulate import DataSets
from pymc_dpsteps.amortized.theta import (
    Prediction,
    Sampler,
    Snapped,
    ThetaNetwork,
    draw_theta,
    snap,
    theta_loss,
)

__all__ = ["ThetaPosterior"]


class ThetaBatch(NamedTuple):
    """Data sets, the parameters of their items, and a seed of the noise.

    Attributes
    ----------
    inputs : tuple of Tensor
    theta : Tensor, shape (batch, n, q)
    seed : int
    """

    inputs: Inputs
    theta: Tensor
    seed: int


class ThetaPosterior(Learner):
    """Draws of the parameters of all items of any data set of a model, by a trained diffusion.

    For any kernel and base measure, since only simulations from the model are needed. The draws
    are approximate and cannot be corrected: θ has ties, and a Gaussian diffusion only comes close
    to them. `AmortizedPosterior`, where it takes the model, can be corrected to exactness.

    Made by `fit` or `load`.

    Parameters
    ----------
    build_model, n, size, settings, device
        See `Learner`.
    prediction : {"edm", "v", "noise"}, default "edm"
        See `ThetaNetwork`.

    Attributes
    ----------
    parameters : Parameters
        Rows of θ in value space, standardised by the prior, which is where the diffusion lives.
    network : ThetaNetwork
    """

    network: ThetaNetwork
    parameters: Parameters

    def __init__(
        self,
        build_model: Callable[[int], pm.Model],
        n: tuple[int, int],
        *,
        size: Size | None = None,
        settings: Mapping[str, Any] | None = None,
        prediction: Prediction = "edm",
        device: str = "cpu",
    ) -> None:
        self.prediction: Prediction = prediction
        super().__init__(build_model, n, size=size, settings=settings, device=device)

    def options(self) -> dict[str, Any]:
        """What it was made with beside model, n, size, settings and device."""
        return {"prediction": self.prediction}

    def _make_network(
        self, drawn: DataSets, inputs: int, context: int, induced: int
    ) -> ThetaNetwork:
        self.parameters = Parameters(self.mixture, drawn.theta(), unconstrained=True)
        return ThetaNetwork(
            inputs,
            context,
            self.parameters.width,
            prediction=self.prediction,
            induced=induced,
            **self.size.encoder(),
        )

    def batch(self, schedule: Schedule, rng: np.random.Generator) -> ThetaBatch:
        """Simulate data sets with the parameters of their items."""
        simulated, setting = self.simulate(schedule.batch, rng)
        theta = torch.from_numpy(self.parameters.rows(simulated.theta())).float()
        return ThetaBatch(self.inputs(simulated.items, setting), theta, int(rng.integers(2**31)))

    def loss(self, network: Any, batch: ThetaBatch) -> Tensor:
        """See `theta_loss`."""
        generator = torch.Generator(batch.theta.device).manual_seed(batch.seed)
        return theta_loss(network, batch.theta, batch.inputs, generator)

    def draw(
        self,
        data: ArrayLike | Mapping[str, ArrayLike],
        draws: int = 1_000,
        *,
        settings: Mapping[str, ArrayLike] | None = None,
        sampler: Sampler | None = None,
        random_seed: Any = None,
        batch: int = 250,
    ) -> dict[str, NDArray[np.float64]]:
        """Draw the parameters of all items.

        Parameters
        ----------
        data : array_like, or dict of array_like by name of kernel variable
            Observations, shape (n, …).
        draws : int, default 1000
        settings : dict of array_like by name of container, optional
            What they are not as `build_model` sets them.
        sampler : Sampler, optional
        random_seed : int or numpy.random.Generator, optional
        batch : int, default 250
            Draws at a time.

        Returns
        -------
        dict of numpy.ndarray of float64 by name of atom, shape (draws, n, …)
            In the model's own space.
        """
        rng = np.random.default_rng(random_seed)
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(2**63)))
        setting = self.setting(settings)
        inputs = self.inputs(self.items_of(data, setting)[None], setting)
        parts = [
            draw_theta(self.network, inputs, min(batch, draws - first), generator, sampler)
            for first in range(0, draws, batch)
        ]
        return self.parameters.theta(torch.cat(parts).double().cpu().numpy())

    def snap(
        self,
        theta: Mapping[str, ArrayLike],
        *,
        width: float = 0.1,
        alpha: float = 1.0,
        random_seed: Any = None,
    ) -> Snapped:
        """Make partitions of draws, at random; how far the draws are from ties is their error.

        Parameters
        ----------
        theta : dict of array_like by name of atom, shape (draws, n, …)
            As `draw` returns them.
        width, alpha : float
            See `pymc_dpsteps.amortized.theta.snap`; distances are in standard deviations of the
            prior, in value space.
        random_seed : int or numpy.random.Generator, optional

        Returns
        -------
        Snapped
        """
        rng = np.random.default_rng(random_seed)
        return snap(self.parameters.rows(theta), rng, width=width, alpha=alpha)
