"""A direct predictor of the set of component parameters.

Carion, N. et al. (2020). End-to-end object detection with transformers, section 3.1: a fixed
number of slots, each a parameter and the probability that there is a component, compared with the
components of a simulated data set by the best matching (Kuhn 1955, the Hungarian method).

With p_j the probability of slot j, and d_jk half the squared distance of its parameter from that of
component k in standard deviations of the prior, a matching of every component to a slot of its own
costs

    Σ_{(j, k) matched} (d_jk - log p_j) - Σ_{j not matched} log(1 - p_j).

Its least value does not depend on the order of slots or of components. As k slots are matched,
at the optimum Σ_j p_j is the posterior mean of the number of components.

Chamfer's distance leaves out that slots be different: every component takes the slot nearest to it,
and every slot pays p_j times its distance from the component nearest to it. It seeks modes: slots
go where some component is likely to be, several components may share one, so that Σ_j p_j counts
no components.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import pymc as pm
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional

from pymc_dpsteps.amortized.learner import Learner, Size
from pymc_dpsteps.amortized.network import Block, Inputs, SetEncoder
from pymc_dpsteps.amortized.parameters import Parameters
from pymc_dpsteps.amortized.schedule import Schedule
from pymc_dpsteps.amortized.simulate import DataSets
from pymc_dpsteps.steps.arguments import check_option

__all__ = [
    "ComponentNetwork",
    "ComponentPredictor",
    "Components",
    "chamfer_loss",
    "hungarian_loss",
]

Matching = Literal["hungarian", "chamfer"]


class ComponentNetwork(nn.Module):
    """Slots that look at the items and at each other.

    Parameters
    ----------
    inputs, context, parameters, slots : int
        Length of an item, of what is known of the data set and of a row of parameters; number of
        slots.
    width, heads, head_layers : int
        Size, and how often slots look at the items and at each other.
    hidden, branches : int
        See `Block`.
    **encoder
        See `SetEncoder`.
    """

    def __init__(
        self,
        inputs: int,
        context: int,
        parameters: int,
        slots: int,
        *,
        width: int,
        heads: int,
        head_layers: int,
        hidden: int | None = None,
        branches: int = 0,
        **encoder: Any,
    ) -> None:
        super().__init__()
        block = partial(Block, width, heads, hidden=hidden, branches=branches)
        self.encoder = SetEncoder(
            inputs, context, width=width, heads=heads, hidden=hidden, branches=branches, **encoder
        )
        self.slots = nn.Parameter(torch.randn(slots, width))
        self.to_items = nn.ModuleList(block() for _ in range(head_layers))
        self.to_slots = nn.ModuleList(block() for _ in range(head_layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, 1 + parameters)

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Logits that there is a component, (batch, slots), and rows (batch, slots, parameters)."""
        rows = self.encoder(*inputs)
        x = self.slots.expand(len(rows), -1, -1)
        nothing = rows.new_zeros(1, 1, 1, 1)  # no row of either is absent
        for to_items, to_slots in zip(self.to_items, self.to_slots, strict=True):
            x = to_items(x, rows, nothing)
            x = to_slots(x, x, nothing)
        out = self.out(self.norm(x))
        return out[..., 0], out[..., 1:]


def _distances(rows: Tensor, wanted: Tensor) -> Tensor:
    """Half the squared distances of slots from components, shape (batch, slots, components)."""
    return 0.5 * ((rows.unsqueeze(2) - wanted.unsqueeze(1)) ** 2).sum(-1)


def hungarian_loss(logits: Tensor, rows: Tensor, wanted: Tensor, there: Tensor) -> Tensor:
    """Cost of the best matching of components to slots, a data set.

    Parameters
    ----------
    logits : Tensor, shape (batch, slots)
        That there is a component.
    rows : Tensor, shape (batch, slots, q)
    wanted : Tensor, shape (batch, components, q)
        At most as many components as slots.
    there : Tensor of bool, shape (batch, components)
        Which components there are, the others being padding.

    Returns
    -------
    Tensor, shape (batch,)
    """
    # -log p - (-log(1 - p)) = -logit: what a slot costs more when it is matched.
    cost = _distances(rows, wanted) - logits.unsqueeze(2)
    matched = torch.zeros_like(cost)
    for b, components in enumerate(there):
        of_set = cost[b, :, components].detach().cpu().numpy()
        slots, column = linear_sum_assignment(of_set)
        matched[b, slots, components.nonzero()[column, 0]] = 1.0
    return functional.softplus(logits).sum(1) + (cost * matched).sum((1, 2))


def chamfer_loss(logits: Tensor, rows: Tensor, wanted: Tensor, there: Tensor) -> Tensor:
    """Cost without a matching: every component takes the slot nearest to it.

    Parameters
    ----------
    logits, rows, wanted, there
        See `hungarian_loss`.

    Returns
    -------
    Tensor, shape (batch,)
    """
    absent = ~there.unsqueeze(1)
    distances = _distances(rows, wanted)
    taken = torch.zeros_like(distances).scatter(1, distances.argmin(1, keepdim=True), 1.0)
    taken = taken.masked_fill(absent, 0.0)
    to_slots = (distances * taken).sum((1, 2)) - (logits * taken.amax(2)).sum(1)
    nearest = distances.masked_fill(absent, torch.inf).amin(2)
    to_components = (logits.sigmoid() * nearest).sum(1)
    return functional.softplus(logits).sum(1) + to_slots + to_components


_LOSSES: dict[str, Callable[..., Tensor]] = {"hungarian": hungarian_loss, "chamfer": chamfer_loss}


@dataclass(frozen=True)
class Components:
    """Predicted components, the most probable first.

    Attributes
    ----------
    probability : numpy.ndarray of float64, shape (slots,)
        That there is such a component.
    theta : dict of numpy.ndarray of float64 by name of atom, shape (slots, …)
        Their parameters in the model's own space.
    """

    probability: NDArray[np.float64]
    theta: dict[str, NDArray[np.float64]]


class ComponentBatch(NamedTuple):
    """Data sets, and the parameters of their components; see `hungarian_loss`."""

    inputs: Inputs
    wanted: Tensor
    there: Tensor


class ComponentPredictor(Learner):
    """Predicts the set of component parameters of any data set of a model.

    For any kernel and base measure. Made by `fit` or `load`. There are as many slots as the model
    has components.

    Parameters
    ----------
    build_model, n, size, settings, device
        See `Learner`.
    matching : {"hungarian", "chamfer"}, default "hungarian"
        See `hungarian_loss` and `chamfer_loss`; the latter seeks modes and counts nothing.

    Attributes
    ----------
    parameters : Parameters
        Rows of parameters in value space, so that every prediction is a possible value.
    network : ComponentNetwork
    """

    network: ComponentNetwork
    parameters: Parameters

    def __init__(
        self,
        build_model: Callable[[int], pm.Model],
        n: tuple[int, int],
        *,
        size: Size | None = None,
        settings: Mapping[str, Any] | None = None,
        matching: Matching = "hungarian",
        device: str = "cpu",
    ) -> None:
        check_option("matching", matching, tuple(_LOSSES))
        self.matching: Matching = matching
        super().__init__(build_model, n, size=size, settings=settings, device=device)

    def options(self) -> dict[str, Any]:
        """What it was made with beside model, n, size, settings and device."""
        return {"matching": self.matching}

    def _make_network(
        self, drawn: DataSets, inputs: int, context: int, induced: int
    ) -> ComponentNetwork:
        self.parameters = Parameters(self.mixture, drawn.theta(), unconstrained=True)
        return ComponentNetwork(
            inputs,
            context,
            self.parameters.width,
            self.mixture.n_components,
            head_layers=self.size.head_layers,
            induced=induced,
            **self.size.encoder(),
        )

    def batch(self, schedule: Schedule, rng: np.random.Generator) -> ComponentBatch:
        """Simulate data sets with the parameters of the components that have items."""
        simulated, setting = self.simulate(schedule.batch, rng)
        rows = self.parameters.rows(simulated.atoms)
        there = np.zeros(rows.shape[:2], dtype=bool)
        np.put_along_axis(there, simulated.labels, True, axis=1)
        return ComponentBatch(
            self.inputs(simulated.items, setting),
            torch.from_numpy(rows).float(),
            torch.from_numpy(there),
        )

    def loss(self, network: Any, batch: ComponentBatch) -> Tensor:
        """Mean over data sets of the cost of the matching."""
        cost = _LOSSES[self.matching](*network(batch.inputs), batch.wanted, batch.there)
        return cost.mean()

    @torch.no_grad()
    def predict(
        self,
        data: ArrayLike | Mapping[str, ArrayLike],
        *,
        settings: Mapping[str, ArrayLike] | None = None,
    ) -> Components:
        """Predict the components.

        Parameters
        ----------
        data : array_like, or dict of array_like by name of kernel variable
            Observations, shape (n, …).
        settings : dict of array_like by name of container, optional
            What they are not as `build_model` sets them.

        Returns
        -------
        Components
        """
        setting = self.setting(settings)
        logits, rows = self.network(self.inputs(self.items_of(data, setting)[None], setting))
        order = logits[0].argsort(descending=True)
        return Components(
            logits[0][order].sigmoid().double().cpu().numpy(),
            self.parameters.theta(rows[0][order].double().cpu().numpy()),
        )
