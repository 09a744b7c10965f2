"""Train a network on data sets from the prior predictive of a model.

One run for all networks: a stream of batches and a loss, both of the `Learner`, are what differs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
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

from pymc_dpsteps.amortized.learner import Learner, Size
from pymc_dpsteps.amortized.posterior import AmortizedPosterior
from pymc_dpsteps.amortized.schedule import Schedule

__all__ = ["Stream", "fit", "train"]

_log = logging.getLogger("pymc_dpsteps")
_CHECKED_EVERY = 100  # steps
_HELD_OUT = 20  # batches
_MOST_GRADIENT = 5.0


class Stream(IterableDataset):
    """Endless batches, that depend on the seed alone."""

    def __init__(self, learner: Learner, schedule: Schedule, seed: int) -> None:
        self.learner, self.schedule, self.seed = learner, schedule, seed

    def __iter__(self) -> Iterator[Any]:
        worker = torch.utils.data.get_worker_info()
        seeds = np.random.SeedSequence([self.seed, 0 if worker is None else worker.id])
        rng = np.random.default_rng(seeds)
        self.learner.simulator.seed(int(rng.integers(2**31)))
        while True:
            yield self.learner.batch(self.schedule, rng)


def train(
    build_model: Callable[[int], pm.Model],
    n: tuple[int, int],
    *,
    budget: str | float = "10min",
    settings: Mapping[str, Any] | None = None,
    size: Size | None = None,
    schedule: Schedule | None = None,
    checkpoint: str | Path | None = None,
    workers: int = 0,
    accelerator: str = "auto",
    random_seed: Any = None,
    progressbar: bool = True,
) -> AmortizedPosterior:
    """Train a network that draws from the posterior of any data set of a model.

    It draws partitions where the atoms can be integrated out, and atoms as well where not.

    Parameters
    ----------
    build_model : callable
        ``build_model(n)`` returns the `pymc.Model` of n observations; its data do not matter.
    n : tuple of int
        Smallest and largest number of observations.
    settings : dict by name of container, optional
        Laws of `pymc.Data` containers of the model, such as ``{"alpha": pm.Gamma.dist(2, 2)}``: the
        network is trained for all their values, not for what `build_model` sets.
    size : Size, optional
    budget, schedule, checkpoint, workers, accelerator, random_seed, progressbar
        See `fit`.

    Returns
    -------
    AmortizedPosterior

    Raises
    ------
    MixtureError
        If the model is not one whose partitions have a probability in closed form, alone or with
        the atoms of their clusters.
    ValueError
        If n, settings or budget makes no sense.
    """
    rng = np.random.default_rng(random_seed)
    torch.manual_seed(int(rng.integers(2**31)))
    posterior = AmortizedPosterior(build_model, n, size=size, settings=settings)
    return fit(
        posterior,
        budget=budget,
        schedule=schedule,
        checkpoint=checkpoint,
        workers=workers,
        accelerator=accelerator,
        random_seed=rng,
        progressbar=progressbar,
    )


def fit[L: Learner](
    learner: L,
    *,
    budget: str | float = "10min",
    schedule: Schedule | None = None,
    checkpoint: str | Path | None = None,
    workers: int = 0,
    accelerator: str = "auto",
    random_seed: Any = None,
    progressbar: bool = True,
) -> L:
    """Train the network of a learner.

    Parameters
    ----------
    learner : Learner
        Its weights are where training begins; ``torch.manual_seed`` before it is made fixes them.
    budget : str or float, default "10min"
        Wall-clock time, as pandas reads it, or in seconds. The learning rate falls along it.
    schedule : Schedule, optional
    checkpoint : str or pathlib.Path, optional
        File to keep the state of training in. Where it exists, training goes on from it.
    workers : int, default 0
        Processes that simulate; with 0 the process that trains does.
    accelerator : str, default "auto"
        As `lightning.fabric.Fabric` takes it: "cpu", "cuda", …
    random_seed : int or numpy.random.Generator, optional
    progressbar : bool, default True

    Returns
    -------
    Learner
        The same.

    Raises
    ------
    ValueError
        If budget makes no sense, or the checkpoint is of another model.
    """
    seconds = budget if isinstance(budget, int | float) else pd.Timedelta(budget).total_seconds()
    if not seconds > 0.0:
        raise ValueError(f"budget = {budget!r}; expected a positive time, such as '10min'.")
    fabric = Fabric(accelerator=accelerator, devices=1)
    fabric.launch()
    seed = int(np.random.default_rng(random_seed).integers(2**31))
    torch.manual_seed(seed)
    path = Path(checkpoint) if checkpoint else None
    run = _Run(fabric, learner, schedule or Schedule(), seconds, path)
    run.go(seed, workers, progressbar)
    return learner


class _Run:
    """One training run."""

    def __init__(
        self,
        fabric: Fabric,
        learner: Learner,
        schedule: Schedule,
        seconds: float,
        checkpoint: Path | None,
    ) -> None:
        self.fabric, self.learner, self.schedule = fabric, learner, schedule
        self.seconds, self.checkpoint = seconds, checkpoint
        network = learner.network
        optimizer = torch.optim.AdamW(network.parameters(), lr=schedule.learning_rate)
        self.network, self.optimizer = fabric.setup(network, optimizer)
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(schedule.averaging))
        self.spent, self.step, self.best, self.since_best = 0.0, 0, np.inf, 0

    def go(self, seed: int, workers: int, progressbar: bool) -> None:
        """Train until the budget is spent or nothing is learnt any more."""
        if self.checkpoint is not None and self.checkpoint.exists():
            self._resume(self.checkpoint)
        held_out = list(islice(Stream(self.learner, self.schedule, seed + 1), _HELD_OUT))
        # A run that goes on sees other data sets than before.
        stream = Stream(self.learner, self.schedule, seed + 2 + self.step)
        loader = DataLoader(stream, batch_size=None, num_workers=workers)
        columns = [
            TextColumn("Training"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[rate]:.0f} data sets/s, loss {task.fields[loss]:.3f}"),
        ]
        with Progress(*columns, disable=not progressbar) as progress:
            task = progress.add_task("", total=self.seconds, rate=0.0, loss=0.0)
            last = perf_counter()
            try:
                for batch in loader:
                    self._update(batch)
                    if self.step % _CHECKED_EVERY == 0 and not self._check(held_out):
                        break
                    now = perf_counter()
                    self.spent, last = self.spent + now - last, now
                    rate = self.step * self.schedule.batch / self.spent
                    progress.update(task, completed=self.spent, rate=rate, loss=self.best)
                    if self.spent > self.seconds:
                        break
            except KeyboardInterrupt:
                _log.warning(
                    "Interrupted after %.0f s: what was learnt so far is kept.", self.spent
                )
        self._save()
        self.learner.network.eval().load_state_dict(self.average.module.state_dict())

    def _update(self, batch: Any) -> None:
        warm = min(1.0, (self.step + 1) / self.schedule.warmup)
        fall = 0.5 * (1.0 + np.cos(np.pi * min(self.spent / self.seconds, 1.0)))
        for group in self.optimizer.param_groups:
            group["lr"] = float(self.schedule.learning_rate * warm * fall)
        self.network.train()
        self.optimizer.zero_grad()
        self.fabric.backward(self._loss(self.network, batch))
        self.fabric.clip_gradients(self.network, self.optimizer, max_norm=_MOST_GRADIENT)
        self.optimizer.step()
        self.average.update_parameters(self.learner.network)
        self.step += 1

    def _loss(self, network: Any, batch: Any) -> Tensor:
        return self.learner.loss(network, self.fabric.to_device(batch))

    def _check(self, held_out: list[Any]) -> bool:
        """Loss of the averaged network on held-out data; whether to go on."""
        self.average.eval()
        with torch.no_grad():
            losses = [self._loss(self.average.module, batch) for batch in held_out]
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
            "description": self.learner.description(),
            "since_best": self.since_best,
            **numbers,
        }

    def _save(self) -> None:
        if self.checkpoint is not None:
            # First beside it: a kill while writing must not lose what was there.
            beside = self.checkpoint.with_suffix(".part")
            self.fabric.save(beside, self._state())
            beside.replace(self.checkpoint)

    def _resume(self, path: Path) -> None:
        if self.fabric.load(path)["description"] != self.learner.description():
            raise ValueError(
                f"{path} is of another model than the learner's, or of another network. Give "
                "another file, or the learner that training began with."
            )
        state = self._state()
        self.fabric.load(path, state)
        for name in ("spent", "step", "best", "since_best"):
            setattr(self, name, state[name])
