"""Train a network on data sets from the prior predictive of a model.

At every place of a random order the network should give each option its posterior probability
given the items placed so far and all data. The probability given all other items of a partition
drawn from the posterior (the one that the data were made with) has that as its mean, and is what
the network is fitted to by cross-entropy. Most places are clear: data sets and places are drawn
where these probabilities differ from those without masked items, and weighted back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import torch
from lightning_fabric import Fabric
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset

from pymc_dpsteps.amortized.allocation import log_q_all
from pymc_dpsteps.amortized.posterior import AmortizedPosterior, Size
from pymc_dpsteps.amortized.walks import options_along, walk_partition

__all__ = ["Schedule", "train"]

_log = logging.getLogger("pymc_dpsteps")
_CHECKED_EVERY = 100  # steps
_HELD_OUT = 20  # batches
_MOST_GRADIENT = 5.0
_CLEAR = 0.02  # added to the difference by which places are drawn: none is never drawn


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    Attributes
    ----------
    batch : int
        Data sets per step.
    simulated : int
        Data sets that are simulated for each of them.
    places : int
        Places of the order that are looked at, a data set.
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


@dataclass(frozen=True)
class Batch:
    """Data sets along orders, and places of these.

    Attributes
    ----------
    inputs : tuple of Tensor
        Of `AllocationNetwork.encode`.
    options, place : Tensor of int, shapes (batch, n) and (batch, T)
    log_weights : Tensor, shape (batch, n, 1 + K)
    wanted : Tensor, shape (batch, T, 1 + K)
        Probabilities of the options given all other items.
    weight : Tensor, shape (batch, T)
        Of each place; on average Σ weight · loss is the loss summed over all places of a data set.
    """

    inputs: tuple[Tensor, Tensor, Tensor]
    options: Tensor
    place: Tensor
    log_weights: Tensor
    wanted: Tensor
    weight: Tensor

    def on(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return replace(
            self,
            inputs=tuple(x.to(device) for x in self.inputs),
            **{
                name: getattr(self, name).to(device)
                for name in ("options", "place", "log_weights", "wanted", "weight")
            },
        )


class Stream(IterableDataset):
    """Endless batches, that depend on the seed alone."""

    def __init__(self, posterior: AmortizedPosterior, schedule: Schedule, seed: int) -> None:
        self.posterior, self.schedule, self.seed = posterior, schedule, seed

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        seeds = np.random.SeedSequence([self.seed, 0 if worker is None else worker.id])
        rng = np.random.default_rng(seeds)
        self.posterior.simulator.seed(int(rng.integers(2**31)))
        while True:
            yield self.batch(rng)

    def batch(self, rng: np.random.Generator) -> Batch:
        """Simulate one batch, all data sets of one size."""
        posterior, schedule = self.posterior, self.schedule
        n = int(rng.integers(posterior.n[0], posterior.n[1] + 1))
        simulated = posterior.simulator.draw(schedule.batch * schedule.simulated)
        labels = simulated.labels[:, :n]
        order = rng.permuted(np.broadcast_to(np.arange(n), labels.shape), axis=1)
        items = np.take_along_axis(simulated.items[:, :n], order[..., None], axis=1).copy()
        options = options_along(np.take_along_axis(labels, order, axis=1))
        log_weights = np.empty((*labels.shape, posterior.target.n_components + 1))
        wanted = np.empty_like(log_weights)
        walks = posterior.target.walks(len(labels))
        walk_partition(options, items, walks, posterior.target.code, log_weights, wanted)
        now = np.exp(log_weights - np.logaddexp.reduce(log_weights, axis=2, keepdims=True))
        unclear = np.abs(now - wanted).sum(2) + _CLEAR

        p_set = unclear.sum(1) / unclear.sum()
        chosen = rng.choice(len(p_set), schedule.batch, p=p_set)
        p_place = unclear[chosen] / unclear[chosen].sum(1, keepdims=True)
        uniform = rng.random((schedule.batch, min(schedule.places, n), 1))
        place = (uniform > np.cumsum(p_place, axis=1)[:, None]).sum(2).clip(max=n - 1)
        p = p_set[chosen, None] * len(p_set) * np.take_along_axis(p_place, place, axis=1)
        return Batch(
            inputs=posterior.inputs(np.ascontiguousarray(items[chosen])),
            options=torch.from_numpy(options[chosen]),
            place=torch.from_numpy(place),
            log_weights=torch.from_numpy(log_weights[chosen]).float(),
            wanted=torch.from_numpy(
                np.take_along_axis(wanted[chosen], place[..., None], axis=1)
            ).float(),
            weight=torch.from_numpy(1.0 / (p * place.shape[1])).float(),
        )


def loss_of(network: Any, batch: Batch) -> Tensor:
    """Nats a data set by which q is worse than the exact predictive density.

    Negative where the network has learnt something; that of a perfect one is the same less its
    Kullback–Leibler divergence from the posterior.
    """
    encoded = network.encode(*batch.inputs)
    log_q = log_q_all(network, encoded, batch.options, batch.log_weights, batch.place)
    n_options = log_q.shape[2]
    index = batch.place.unsqueeze(-1).expand(-1, -1, n_options)
    base = torch.gather(batch.log_weights[..., :n_options].log_softmax(-1), 1, index)
    wanted = batch.wanted[..., :n_options]
    gain = (wanted * (log_q - base).masked_fill(wanted == 0.0, 0.0)).sum(-1)
    return -(gain * batch.weight).sum(1).mean()


def train(
    build_model: Callable[[int], pm.Model],
    n: tuple[int, int],
    *,
    budget: str | float = "10min",
    size: Size | None = None,
    schedule: Schedule | None = None,
    checkpoint: str | Path | None = None,
    workers: int = 0,
    accelerator: str = "auto",
    random_seed: int | None = None,
    progressbar: bool = True,
) -> AmortizedPosterior:
    """Train a network that draws from the posterior of any data set of a model.

    Parameters
    ----------
    build_model : callable
        ``build_model(n)`` returns the `pymc.Model` of n observations; its data do not matter.
    n : tuple of int
        Smallest and largest number of observations.
    budget : str or float, default "10min"
        Wall-clock time, as pandas reads it, or in seconds. The learning rate falls along it.
    size : Size, optional
    schedule : Schedule, optional
    checkpoint : str or pathlib.Path, optional
        File to keep the state of training in. Where it exists, training goes on from it.
    workers : int, default 0
        Processes that simulate; with 0 the process that trains does.
    accelerator : str, default "auto"
        As `lightning.fabric.Fabric` takes it: "cpu", "cuda", …
    random_seed : int, optional
    progressbar : bool, default True

    Returns
    -------
    AmortizedPosterior

    Raises
    ------
    MixtureError
        If the model is not one whose partitions have a probability in closed form.
    ValueError
        If n or budget makes no sense.
    """
    seconds = budget if isinstance(budget, int | float) else pd.Timedelta(budget).total_seconds()
    if not seconds > 0.0:
        raise ValueError(f"budget = {budget!r}; expected a positive time, such as '10min'.")
    schedule = schedule or Schedule()
    fabric = Fabric(accelerator=accelerator, devices=1)
    fabric.launch()
    seed = int(np.random.default_rng(random_seed).integers(2**31))
    torch.manual_seed(seed)
    posterior = AmortizedPosterior(build_model, n, size=size)
    run = _Run(fabric, posterior, schedule, seconds, Path(checkpoint) if checkpoint else None)
    run.go(seed, workers, progressbar)
    return posterior


class _Run:
    """One training run."""

    def __init__(
        self,
        fabric: Fabric,
        posterior: AmortizedPosterior,
        schedule: Schedule,
        seconds: float,
        checkpoint: Path | None,
    ) -> None:
        self.fabric, self.posterior, self.schedule = fabric, posterior, schedule
        self.seconds, self.checkpoint = seconds, checkpoint
        network = posterior.network
        optimizer = torch.optim.AdamW(network.parameters(), lr=schedule.learning_rate)
        self.network, self.optimizer = fabric.setup(network, optimizer)
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(schedule.averaging))
        self.spent, self.step, self.best, self.since_best = 0.0, 0, np.inf, 0

    def go(self, seed: int, workers: int, progressbar: bool) -> None:
        """Train until the budget is spent or nothing is learnt any more."""
        if self.checkpoint is not None and self.checkpoint.exists():
            self._resume()
        held_out = list(islice(Stream(self.posterior, self.schedule, seed + 1), _HELD_OUT))
        # A run that goes on sees other data sets than before.
        stream = Stream(self.posterior, self.schedule, seed + 2 + self.step)
        loader = DataLoader(stream, batch_size=None, num_workers=workers)
        columns = [
            TextColumn("Training"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[rate]:.0f} data sets/s, loss {task.fields[loss]:.3f}"),
        ]
        with Progress(*columns, disable=not progressbar) as progress:
            task = progress.add_task("", total=self.seconds, rate=0.0, loss=0.0)
            try:
                for batch in loader:
                    start = perf_counter()
                    self._update(batch)
                    if self.step % _CHECKED_EVERY == 0 and not self._check(held_out):
                        break
                    self.spent += perf_counter() - start
                    rate = self.step * self.schedule.batch / self.spent
                    progress.update(task, completed=self.spent, rate=rate, loss=self.best)
                    if self.spent > self.seconds:
                        break
            except KeyboardInterrupt:
                _log.warning(
                    "Interrupted after %.0f s: what was learnt so far is kept.", self.spent
                )
        self._save()
        self.posterior.network.eval().load_state_dict(self.average.module.state_dict())

    def _update(self, batch: Batch) -> None:
        warm = min(1.0, (self.step + 1) / self.schedule.warmup)
        fall = 0.5 * (1.0 + np.cos(np.pi * min(self.spent / self.seconds, 1.0)))
        for group in self.optimizer.param_groups:
            group["lr"] = float(self.schedule.learning_rate * warm * fall)
        self.network.train()
        self.optimizer.zero_grad()
        self.fabric.backward(loss_of(self.network, batch.on(self.fabric.device)))
        self.fabric.clip_gradients(self.network, self.optimizer, max_norm=_MOST_GRADIENT)
        self.optimizer.step()
        self.average.update_parameters(self.posterior.network)
        self.step += 1

    def _check(self, held_out: list[Batch]) -> bool:
        """Loss of the averaged network on held-out data; whether to go on."""
        self.average.eval()
        with torch.no_grad():
            losses = [loss_of(self.average.module, b.on(self.fabric.device)) for b in held_out]
        loss = float(torch.stack(losses).mean())
        self.since_best = 0 if loss < self.best else self.since_best + 1
        self.best = min(loss, self.best)
        self._save()
        return self.since_best < self.schedule.patience

    def _state(self) -> dict[str, Any]:
        numbers = {"spent": self.spent, "step": self.step, "best": self.best}
        return {
            "network": self.network,
            "average": self.average,
            "optimizer": self.optimizer,
            "fingerprint": self.posterior.fingerprint,
            "since_best": self.since_best,
            **numbers,
        }

    def _save(self) -> None:
        if self.checkpoint is not None:
            # First beside it: a kill while writing must not lose what was there.
            beside = self.checkpoint.with_suffix(".part")
            self.fabric.save(beside, self._state())
            beside.replace(self.checkpoint)

    def _resume(self) -> None:
        state = self._state()
        self.fabric.load(self.checkpoint, state)
        if state["fingerprint"] != self.posterior.fingerprint:
            raise ValueError(
                f"{self.checkpoint} is of another model than build_model returns. Give another "
                "file, or the model that training began with."
            )
        for name in ("spent", "step", "best", "since_best"):
            setattr(self, name, state[name])
