"""What all networks that learn one model have in common: what they see, and how they are kept."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pymc as pm
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pymc_dpsteps.amortized.atom_target import AtomTarget
from pymc_dpsteps.amortized.fingerprint import fingerprint
from pymc_dpsteps.amortized.network import Inputs, induced_points
from pymc_dpsteps.amortized.schedule import Schedule
from pymc_dpsteps.amortized.settings import Scale, Setting, Settings
from pymc_dpsteps.amortized.simulate import DataSets, Simulator, item_rows
from pymc_dpsteps.amortized.target import Target
from pymc_dpsteps.mixture import read_mixture
from pymc_dpsteps.mixture.structure import MixtureError

__all__ = ["MOST_ODDS", "Learner", "Size"]

_FORMAT = 3
_WEIGHTS, _DESCRIPTION = "network.safetensors", "posterior.json"
_SCALED_BY = 1_000  # data sets from the prior
MOST_ODDS = 5.0  # log odds of a pair beyond which it makes no difference


@dataclass(frozen=True)
class Size:
    """Size of a network.

    Attributes
    ----------
    width : int
        Length of the vectors that stand for items.
    heads, layers : int
        See `SetEncoder`.
    head_layers : int
        How often options (`AllocationNetwork`) or slots (`ComponentNetwork`) look at the items and
        at each other.
    hidden : int, optional
        Hidden units of every perceptron of a block; twice the width without.
    branches : int, default 0
        Perceptrons side by side in every block, see `BranchLayer`; 0 for one, without a router.
    """

    width: int = 64
    heads: int = 4
    layers: int = 2
    head_layers: int = 1
    hidden: int | None = None
    branches: int = 0

    def encoder(self) -> dict[str, Any]:
        """Options of `SetEncoder`."""
        options = asdict(self)
        del options["head_layers"]
        return options


class Learner(ABC):
    """A network for the data sets of one model.

    Parameters
    ----------
    build_model : callable
        ``build_model(n)`` returns the model of n observations.
    n : tuple of int
        Smallest and largest number of observations.
    size : Size, optional
    settings : dict by name of container, optional
        Laws of `pymc.Data` containers of the model, such as ``{"alpha": pm.Gamma.dist(2, 2)}``.
        They are drawn anew for every batch and shown to the network.
    device : str, default "cpu"

    Attributes
    ----------
    settings : Settings
    target : Target, AtomTarget or None
        Exact density of partitions under the model's own settings; None where there is none in
        closed form.
    simulator : Simulator
        Prior predictive.
    network : torch.nn.Module

    Raises
    ------
    MixtureError
        If the model is not one that the network can learn.
    ValueError
        If n, settings or device makes no sense.
    """

    def __init__(
        self,
        build_model: Callable[[int], pm.Model],
        n: tuple[int, int],
        *,
        size: Size | None = None,
        settings: Mapping[str, Any] | None = None,
        device: str = "cpu",
    ) -> None:
        if not 1 <= n[0] <= n[1]:
            raise ValueError(f"n = {n}; expected the smallest and largest number of observations.")
        self.build_model, self.n, self.size = build_model, (int(n[0]), int(n[1])), size or Size()
        model = build_model(self.n[1])
        self.settings = Settings(model, settings or {})
        self.mixture = read_mixture(self.settings.as_random(model))
        self.target = self._find_target()
        own = self.settings.own
        self.simulator = Simulator(
            self.mixture,
            self.target.compiled.context_graphs[0] if self.target else item_rows(self.mixture, own),
            own,
        )
        self.simulator.seed(0)
        drawn = self.simulator.draw(
            _SCALED_BY, self.settings.draw(_SCALED_BY, np.random.default_rng(0))
        )
        rows = drawn.items.reshape(-1, drawn.items.shape[2])
        # Rows for exact densities have columns that tell nothing, or have no bounds (log 0).
        self._seen = np.flatnonzero(np.isfinite(rows).all(0) & (rows != rows[0]).any(0))
        self._scale = Scale.of(rows[:, self._seen])
        context = 1 + self.settings.width
        network = self._make_network(drawn, len(self._seen), context, induced_points(self.n[1]))
        self.network = network.to(_device(device)).eval()

    @abstractmethod
    def _make_network(self, drawn: DataSets, inputs: int, context: int, induced: int) -> nn.Module:
        """Make the network for items and context of that length; `drawn` is there to scale by."""

    @abstractmethod
    def batch(self, schedule: Schedule, rng: np.random.Generator) -> Any:
        """Simulate a batch: a named tuple, which depends on `rng` and the simulator's seed alone.

        Parameters
        ----------
        schedule : Schedule
        rng : numpy.random.Generator
        """

    @abstractmethod
    def loss(self, network: Any, batch: Any) -> Tensor:
        """What training makes smaller.

        Parameters
        ----------
        network : torch.nn.Module
            Like `network`.
        batch : tuple
            As `batch` makes them.

        Returns
        -------
        Tensor, shape ()
        """

    def options(self) -> dict[str, Any]:
        """What it was made with beside model, n, size, settings and device."""
        return {}

    def _find_target(self) -> Target | AtomTarget | None:
        try:
            return Target(self.mixture, self.settings.own)
        except MixtureError:
            return None

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def setting(self, settings: Mapping[str, ArrayLike] | None = None) -> Setting:
        """Values of the settings, those not given as `build_model` sets them.

        Raises
        ------
        ValueError
            See `Settings.complete`.
        """
        return self._setting(self.settings.complete(settings))

    def _setting(self, values: dict[str, NDArray]) -> Setting:
        target = self.target.at(values) if self.target and values else self.target
        return Setting(values, self.settings.row(values), target)

    def simulate(self, n_datasets: int, rng: np.random.Generator) -> tuple[DataSets, Setting]:
        """Draw data sets from the prior, all of one size that is drawn from the range.

        Parameters
        ----------
        n_datasets : int
        rng : numpy.random.Generator

        Returns
        -------
        DataSets, Setting
            What they were drawn with, the same for all.
        """
        n = int(rng.integers(self.n[0], self.n[1] + 1))
        drawn = self.settings.draw(1, rng)
        simulated = self.simulator.draw(
            n_datasets, {name: np.repeat(x, n_datasets, axis=0) for name, x in drawn.items()}
        )
        return simulated.first(n), self._setting({name: x[0] for name, x in drawn.items()})

    def inputs(self, items: NDArray[np.float64], setting: Setting | None = None) -> Inputs:
        """What the network sees of data sets, items of shape (data set, n, P).

        Returns
        -------
        tuple of Tensor
            Items, what is known of the data set (its size and the settings), and log odds of
            pairs, clipped (zero where they are not known in closed form); see `SetEncoder`.
        """
        setting = setting or self.setting()
        known = [np.log(items.shape[1] / self.n[1]), *setting.row]
        context = np.broadcast_to(known, (len(items), len(known))).copy()
        log_odds = np.zeros((len(items), items.shape[1], items.shape[1]))
        if setting.target is not None:
            log_odds = setting.target.log_odds(items).clip(-MOST_ODDS, MOST_ODDS)
        arrays = self._scale(items[..., self._seen]), context, log_odds
        tensors = [torch.from_numpy(x).to(self.device, torch.float32) for x in arrays]
        return tensors[0], tensors[1], tensors[2]

    def items_of(
        self, data: ArrayLike | Mapping[str, ArrayLike], setting: Setting | None = None
    ) -> NDArray[np.float64]:
        """Rows of a data set, shape (n, P).

        Raises
        ------
        ValueError
            If names or shapes are not those of the model, the number of observations is outside
            the trained range, or there are entries that are not finite, or no integers where the
            model has them.
        """
        names, shapes = self.simulator.kernel_names, self.simulator.kernel_shapes
        if not isinstance(data, Mapping):
            data = {names[0]: data}
        if set(data) != set(names):
            raise ValueError(
                f"Found data of {', '.join(sorted(data))}; expected those of {', '.join(names)}."
            )
        arrays = []
        for name, shape in zip(names, shapes, strict=True):
            y = np.asarray(data[name], dtype=np.float64)
            if y.ndim != len(shape) or y.shape[1:] != shape[1:]:
                expected = ("n", *shape[1:])
                raise ValueError(
                    f"{name} has shape {y.shape}; expected {expected}.".replace("'", "")
                )
            if not self.n[0] <= len(y) <= self.n[1]:
                raise ValueError(
                    f"{name} has {len(y)} observations; the network was trained for "
                    f"{self.n[0]} to {self.n[1]}. Train one for that many, or use dps.sample()."
                )
            if not np.isfinite(y).all():
                raise ValueError(
                    f"{name} has {np.sum(~np.isfinite(y))} entries that are not finite; expected "
                    "complete data. Drop these items, or use dps.sample(), which imputes."
                )
            if self.simulator.is_discrete(name) and (y != np.round(y)).any():
                raise ValueError(f"{name} has entries that are no integers; expected counts.")
            arrays.append(y)
        n = len(arrays[0])
        if any(len(y) != n for y in arrays):
            raise ValueError(f"{', '.join(names)} have different numbers of observations.")
        whole = [np.concatenate([y, np.repeat(y[:1], self.n[1] - n, axis=0)]) for y in arrays]
        values = None if setting is None else setting.values
        return np.ascontiguousarray(self.simulator.items_of(*whole, settings=values)[:n])

    @cached_property
    def fingerprint(self) -> str:
        """See `fingerprint`."""
        return fingerprint(self.mixture)

    def description(self) -> dict[str, Any]:
        """What is saved beside the weights; equal where these fit."""
        return {
            "format": _FORMAT,
            "learner": type(self).__name__,
            "fingerprint": self.fingerprint,
            "n": list(self.n),
            "settings": sorted(self.settings.own),
            "size": asdict(self.size),
            "options": self.options(),
        }

    def save(self, path: str | Path) -> None:
        """Save network and description into a folder.

        Parameters
        ----------
        path : str or pathlib.Path
        """
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        save_file(self.network.state_dict(), path / _WEIGHTS)
        text = json.dumps(self.description(), indent=2)
        (path / _DESCRIPTION).write_text(text, encoding="utf-8")

    @classmethod
    def load(
        cls,
        path: str | Path,
        build_model: Callable[[int], pm.Model],
        *,
        settings: Mapping[str, Any] | None = None,
        device: str = "cpu",
    ) -> Self:
        """Load what `save` saved.

        Parameters
        ----------
        path : str or pathlib.Path
        build_model : callable
            The model it was trained for.
        settings : dict by name of container, optional
            The laws it was trained with. What the containers hold does not matter.
        device : str, default "cpu"

        Returns
        -------
        Learner
            Of the class that it is called on.

        Raises
        ------
        ValueError
            If it is a network of another class or format, or was trained for another model or with
            other settings.
        """
        path = Path(path)
        description = json.loads((path / _DESCRIPTION).read_text(encoding="utf-8"))
        if (version := description.get("format")) != _FORMAT:
            raise ValueError(
                f"{path} was saved in format {version}; this version reads format {_FORMAT}. "
                "Train the network again."
            )
        if (found := description["learner"]) != cls.__name__:
            raise ValueError(f"{path} holds a {found}, not a {cls.__name__}: {found}.load() it.")
        if (names := description["settings"]) != sorted(settings or {}):
            raise ValueError(
                f"The network in {path} was trained with settings {', '.join(names) or 'none'}; "
                f"found {', '.join(sorted(settings or {})) or 'none'}. Give their laws as in "
                "training, settings={…}."
            )
        size, options = Size(**description["size"]), description["options"]
        result = cls(
            build_model,
            tuple(description["n"]),
            size=size,
            settings=settings,
            device=device,
            **options,
        )
        if result.fingerprint != description["fingerprint"]:
            raise ValueError(
                f"The network in {path} was trained for another model than build_model returns: "
                "its densities, constants, laws of settings or number of components differ. Train "
                "one for this model, or give the model it was trained for."
            )
        result.network.load_state_dict(load_file(path / _WEIGHTS, device=str(result.device)))
        return result


def _device(name: str) -> torch.device:
    """A device that is there."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        found = ["cpu", *(f"cuda:{j}" for j in range(torch.cuda.device_count()))]
        raise ValueError(f"device = {name!r}; expected one of {', '.join(found)}.") from error
    return device
