"""A direct predictor of the posterior means E[θ_i | y] of the parameters of items.

The function of the data with the least expected squared error is the posterior mean: trained by
squared error on simulations from the model, a network comes close to it. A mean depends on the
space in which it is taken, E[f(θ)] being different from f(E[θ]). Here it is that of the model's own
space, so that it is what the average of MCMC draws estimates. It is no draw, and not the most
probable value: where two clusters are possible for an item it lies between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from pymc_dpsteps.amortized.learner import Learner
from pymc_dpsteps.amortized.network import Inputs, SetEncoder
from pymc_dpsteps.amortized.parameters import Parameters
from pymc_dpsteps.amortized.schedule import Schedule
from pymc_dpsteps.amortized.simulate import DataSets

__all__ = ["MeanNetwork", "MeanPredictor"]


class MeanNetwork(nn.Module):
    """A row of parameters for every item.

    Parameters
    ----------
    inputs, context, parameters : int
        Length of an item, of what is known of the data set, and of a row.
    width : int
    **encoder
        See `SetEncoder`.
    """

    def __init__(
        self, inputs: int, context: int, parameters: int, *, width: int, **encoder: Any
    ) -> None:
        super().__init__()
        self.encoder = SetEncoder(inputs, context, width=width, **encoder)
        self.out = nn.Linear(width, parameters)
        # Before training the prediction is the mean of the prior.
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, inputs: Inputs) -> Tensor:
        """Rows, shape (batch, n, parameters)."""
        return self.out(self.encoder(*inputs)[:, 1:])


class MeanBatch(NamedTuple):
    """Data sets, and the parameters of their items, shape (batch, n, q)."""

    inputs: Inputs
    theta: Tensor


class MeanPredictor(Learner):
    """Predicts the posterior means of the parameters of all items of any data set of a model.

    For any kernel and base measure. Made by `fit` or `load`.

    Parameters
    ----------
    build_model, n, size, settings, device
        See `Learner`.

    Attributes
    ----------
    parameters : Parameters
        Rows of θ as they are, standardised by the prior.
    network : MeanNetwork
    """

    network: MeanNetwork
    parameters: Parameters

    def _make_network(
        self, drawn: DataSets, inputs: int, context: int, induced: int
    ) -> MeanNetwork:
        self.parameters = Parameters(self.mixture, drawn.theta(), unconstrained=False)
        return MeanNetwork(
            inputs,
            context,
            self.parameters.width,
            induced=induced,
            **self.size.encoder(),
        )

    def batch(self, schedule: Schedule, rng: np.random.Generator) -> MeanBatch:
        """Simulate data sets with the parameters of their items."""
        simulated, setting = self.simulate(schedule.batch, rng)
        rows = self.parameters.rows(simulated.theta())
        return MeanBatch(self.inputs(simulated.items, setting), torch.from_numpy(rows).float())

    def loss(self, network: Any, batch: MeanBatch) -> Tensor:
        """Mean squared error, in variances of the prior."""
        return ((network(batch.inputs) - batch.theta) ** 2).mean()

    @torch.no_grad()
    def predict(
        self,
        data: ArrayLike | Mapping[str, ArrayLike],
        *,
        settings: Mapping[str, ArrayLike] | None = None,
    ) -> dict[str, NDArray[np.float64]]:
        """Predict E[θ_i | y].

        Parameters
        ----------
        data : array_like, or dict of array_like by name of kernel variable
            Observations, shape (n, …).
        settings : dict of array_like by name of container, optional
            What they are not as `build_model` sets them.

        Returns
        -------
        dict of numpy.ndarray of float64 by name of atom, shape (n, …)
            In the model's own space. Nothing keeps a poor prediction inside the bounds of a
            constrained parameter.
        """
        setting = self.setting(settings)
        rows = self.network(self.inputs(self.items_of(data, setting)[None], setting))[0]
        return self.parameters.theta(rows.double().cpu().numpy())
