"""A network that draws from the posterior of any data set of one model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from pytensor.compile.sharedvalue import SharedVariable
from safetensors.torch import load_file, save_file
from torch import Tensor

from pymc_dpsteps.amortized.allocation import AllocationNetwork, Encoded
from pymc_dpsteps.amortized.branches import find_best, run_branches
from pymc_dpsteps.amortized.correct import resample
from pymc_dpsteps.amortized.network import induced_points
from pymc_dpsteps.amortized.paths import Draws, Paths, draw_allocations
from pymc_dpsteps.amortized.replay import replay
from pymc_dpsteps.amortized.simulate import Simulator
from pymc_dpsteps.amortized.target import Target
from pymc_dpsteps.amortized.walks import pair_log_odds
from pymc_dpsteps.mixture import read_mixture
from pymc_dpsteps.steps.arguments import check_option

__all__ = ["AmortizedPosterior", "Size", "fingerprint", "with_data"]

_WEIGHTS, _DESCRIPTION = "network.safetensors", "posterior.json"
_SCALED_BY = 1_000  # data sets from the prior


@dataclass(frozen=True)
class Size:
    """Size of a network.

    Attributes
    ----------
    width : int
        Length of the vectors that stand for items.
    heads, layers, head_layers : int
        See `AllocationNetwork`.
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


class AmortizedPosterior:
    """Draws from the posterior of partitions of any data set of a model, by a trained network.

    Made by `train` or `load`.

    Parameters
    ----------
    build_model : callable
        ``build_model(n)`` returns the model of n observations.
    n : tuple of int
        Smallest and largest number of observations.
    size : Size, optional
    device : str, default "cpu"

    Attributes
    ----------
    target : Target
        Exact density of partitions.
    simulator : Simulator
        Prior predictive.
    network : AllocationNetwork
    """

    def __init__(
        self,
        build_model: Callable[[int], pm.Model],
        n: tuple[int, int],
        *,
        size: Size | None = None,
        device: str = "cpu",
    ) -> None:
        if not 1 <= n[0] <= n[1]:
            raise ValueError(f"n = {n}; expected the smallest and largest number of observations.")
        self.build_model, self.n, self.size = build_model, (int(n[0]), int(n[1])), size or Size()
        self.target = Target(read_mixture(build_model(self.n[1])))
        self.simulator = Simulator(self.target)
        self.simulator.seed(0)
        drawn = self.simulator.draw(_SCALED_BY).items
        # By the prior's quartiles, never by the data set: its location and scale are information.
        low, self._center, high = np.quantile(drawn, [0.25, 0.5, 0.75], axis=(0, 1))
        spread = np.where(high > low, high - low, drawn.std((0, 1)))
        self._spread = np.where(spread > 0.0, spread, 1.0)
        network = AllocationNetwork(
            drawn.shape[2], 1, induced=induced_points(self.n[1]), **asdict(self.size)
        )
        self.network = network.to(_device(device)).eval()

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def inputs(self, items: NDArray[np.float64]) -> tuple[Tensor, Tensor, Tensor]:
        """What the network sees of data sets, items of shape (data set, n, P).

        Returns
        -------
        tuple of Tensor
            Items, what is known of the data set, and log odds of pairs; see
            `AllocationNetwork.encode`.
        """
        # Far out, where the prior is not, only the logarithm counts.
        scaled = np.arcsinh((items - self._center) / self._spread)
        context = np.full((len(items), 1), np.log(items.shape[1] / self.n[1]))
        log_odds = np.empty((len(items), items.shape[1], items.shape[1]))
        pair_log_odds(items, self.target.walks(1), self.target.code, log_odds)
        scaled, context, log_odds = (
            torch.from_numpy(x).to(self.device, torch.float32) for x in (scaled, context, log_odds)
        )
        return scaled, context, log_odds

    def items_of(self, data: ArrayLike | Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """Rows of a data set as the target reads them, shape (n, P).

        Raises
        ------
        ValueError
            If names or shapes are not those of the model, the number of observations is outside
            the trained range, or there are entries that are not finite.
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
            arrays.append(y)
        n = len(arrays[0])
        if any(len(y) != n for y in arrays):
            raise ValueError(f"{', '.join(names)} have different numbers of observations.")
        whole = [np.concatenate([y, np.repeat(y[:1], self.n[1] - n, axis=0)]) for y in arrays]
        return np.ascontiguousarray(self.simulator.items_of(*whole)[:n])

    def draw(
        self,
        data: ArrayLike | Mapping[str, ArrayLike],
        draws: int = 1_000,
        *,
        random_seed: Any = None,
        batch: int = 1_000,
    ) -> Draws:
        """Draw partitions from the network, with their exact densities.

        Parameters
        ----------
        data : array_like, or dict of array_like by name of kernel variable
            Observations, shape (n, …).
        draws : int, default 1000
        random_seed : int or numpy.random.Generator, optional
        batch : int, default 1000
            Draws at a time.

        Returns
        -------
        Draws
        """
        rng = np.random.default_rng(random_seed)
        generator = self._generator(rng)
        items = self.items_of(data)
        encoded = self.encode(items)
        parts = []
        for first in range(0, draws, batch):
            shape = (min(batch, draws - first), len(items))
            paths = Paths(self.network, self.target, items, encoded, shape[0])
            order = rng.permuted(np.broadcast_to(np.arange(shape[1]), shape), axis=1)
            parts.append(draw_allocations(paths, order, generator))
        return Draws.joined(parts)

    def branch(
        self,
        data: ArrayLike | Mapping[str, ArrayLike],
        branches: int = 1_000,
        *,
        mode: Literal["smc", "best"] = "smc",
        random_seed: Any = None,
    ) -> Draws:
        """Run denoising paths along one random order, scored by the model's density on the way.

        Parameters
        ----------
        data, random_seed
            See `draw`.
        branches : int, default 1000
            Number of paths.
        mode : {"smc", "best"}
            "smc" for inference: weighted partitions, see `run_branches` and `importance`. "best"
            for search: the partitions found by `find_best`, the most probable first. They are no
            draws from the posterior.

        Returns
        -------
        Draws
        """
        check_option("mode", mode, ("smc", "best"))
        rng = np.random.default_rng(random_seed)
        paths = self.paths(data, branches)
        order = rng.permutation(paths.labels.shape[1])
        if mode == "best":
            return find_best(paths, order)
        return run_branches(paths, order, self._generator(rng), rng).draws

    def paths(self, data: ArrayLike | Mapping[str, ArrayLike], n_paths: int) -> Paths:
        """Paths of a data set, nothing placed yet."""
        items = self.items_of(data)
        return Paths(self.network, self.target, items, self.encode(items), n_paths)

    @torch.no_grad()
    def encode(self, items: NDArray[np.float64]) -> Encoded:
        """A data set, rows of shape (n, P), as the network sees it when it draws."""
        return self.network.eval().encode(*self.inputs(items[None]))

    def _generator(self, rng: np.random.Generator) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(int(rng.integers(2**63)))

    def sample(
        self,
        data: ArrayLike | Mapping[str, ArrayLike],
        draws: int = 1_000,
        *,
        random_seed: Any = None,
        correct: bool = True,
    ) -> xr.DataTree:
        """Draw from the posterior.

        Parameters
        ----------
        data, draws, random_seed
            See `draw`.
        correct : bool, default True
            Resample the partitions by their Pareto-smoothed importance weights, see
            `importance`. A warning says where these cannot be trusted. Without, the draws are
            the network's own.

        Returns
        -------
        xarray.DataTree
            As MCMC's: the model's variables with its dims, atoms and concentration given the
            partition drawn exactly. ``sample_stats`` has log q and log p of the partitions.
        """
        rng = np.random.default_rng(random_seed)
        drawn = self.draw(data, draws, random_seed=rng)
        if correct:
            drawn = resample(drawn, rng)
        names = self.simulator.kernel_names
        data = data if isinstance(data, Mapping) else {names[0]: data}
        model = with_data(self.build_model(len(drawn.labels[0])), data)
        return replay(model, drawn, random_seed=rng)

    @cached_property
    def fingerprint(self) -> str:
        """See `fingerprint`."""
        return fingerprint(self.target)

    def save(self, path: str | Path) -> None:
        """Save network and description into a folder.

        Parameters
        ----------
        path : str or pathlib.Path
        """
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        save_file(self.network.state_dict(), path / _WEIGHTS)
        description = {
            "format": 1,
            "fingerprint": self.fingerprint,
            "n": list(self.n),
            "size": asdict(self.size),
        }
        (path / _DESCRIPTION).write_text(json.dumps(description, indent=2), encoding="utf-8")

    @classmethod
    def load(
        cls, path: str | Path, build_model: Callable[[int], pm.Model], *, device: str = "cpu"
    ) -> AmortizedPosterior:
        """Load what `save` saved.

        Parameters
        ----------
        path : str or pathlib.Path
        build_model : callable
            The model it was trained for.
        device : str, default "cpu"

        Returns
        -------
        AmortizedPosterior

        Raises
        ------
        ValueError
            If it was trained for another model.
        """
        path = Path(path)
        description = json.loads((path / _DESCRIPTION).read_text(encoding="utf-8"))
        n = tuple(description["n"])
        result = cls(build_model, n, size=Size(**description["size"]), device=device)
        if result.fingerprint != description["fingerprint"]:
            raise ValueError(
                f"The network in {path} was trained for another model than build_model returns: "
                "its densities, constants or number of components differ. Train one for this "
                "model, or give the model it was trained for."
            )
        result.network.load_state_dict(load_file(path / _WEIGHTS, device=str(result.device)))
        return result


def fingerprint(target: Target) -> str:
    """Identify a model by its densities at fixed numbers, which are not its data."""
    n_columns = target.compiled.context()[0].shape[1]
    items = np.abs(np.random.default_rng(0).normal(size=(1, 4, n_columns)))
    log_odds = np.empty((1, 4, 4))
    with np.errstate(all="ignore"):
        pair_log_odds(items, target.walks(1), target.code, log_odds)
        alone = target.log_prob(items[0, :1], np.zeros((1, 1), dtype=np.int64))
    sizes = [target.n_components, n_columns, *target.code.discount]
    numbers = np.concatenate([sizes, alone, log_odds.ravel(), target.seats[:3].ravel()])
    return sha256(np.nan_to_num(numbers, neginf=-1e9).round(6).tobytes()).hexdigest()


def with_data(model: pm.Model, data: Mapping[str, ArrayLike]) -> pm.Model:
    """Give a model other observed values.

    Parameters
    ----------
    model : pymc.Model
        It is changed.
    data : dict of array_like by name of the observed variable
        Of the shapes that the model has.

    Returns
    -------
    pymc.Model
        The same model.
    """
    for name, values in data.items():
        rv = model[name]
        old = model.rvs_to_values[rv]
        if isinstance(old, SharedVariable):
            old.set_value(np.asarray(values, dtype=old.type.dtype))
            continue
        new = pt.constant(np.asarray(values, dtype=old.type.dtype), name=old.name)
        del model.values_to_rvs[old]
        model.rvs_to_values[rv], model.values_to_rvs[new] = new, rv
    return model


def _device(name: str) -> torch.device:
    """A device that is there."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        found = ["cpu", *(f"cuda:{j}" for j in range(torch.cuda.device_count()))]
        raise ValueError(f"device = {name!r}; expected one of {', '.join(found)}.") from error
    return device
