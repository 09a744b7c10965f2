"""How long, how fast and on how much a network is trained."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    Attributes
    ----------
    batch : int
        Data sets per step.
    simulated : int
        Data sets that are simulated for each of them; `AmortizedPosterior` chooses among these.
    places : int
        Places of the order that `AmortizedPosterior` looks at, a data set.
    learning_rate : float
        After `warmup` steps; it falls to nothing along a half cosine.
    warmup : int
        Steps.
    averaging : float
        Decay of the moving average of the weights, which is what is kept.
    patience : int
        Training ends when the loss on held-out data sets has not fallen for so many checks.
    """

    batch: int = 48
    simulated: int = 4
    places: int = 12
    learning_rate: float = 2e-3
    warmup: int = 100
    averaging: float = 0.995
    patience: int = 20
