"""Numbers of a model that are drawn anew for every batch of training, and shown to the network.

A setting is a `pymc.Data` container, such as the concentration or a parameter of the base measure.
The model is read with a random variable in its place, which no step updates: whatever depends on it
is then computed again for every value, by the compiled functions that hyperparameters have anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
from numpy.typing import ArrayLike, NDArray
from pymc.model.fgraph import fgraph_from_model, model_free_rv, model_from_fgraph
from pymc.model.transform.optimization import freeze_dims_and_data
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.sharedvar import TensorSharedVariable
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.amortized.atom_target import AtomTarget
from pymc_dpsteps.amortized.target import Target

__all__ = ["Scale", "Setting", "Settings"]

_DRAWN = 1_000  # settings that say what is usual
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Scale:
    """How rows of numbers are scaled: by the prior's quartiles, far out by the logarithm.

    Never by the data set, whose location and scale are information.

    Attributes
    ----------
    center, spread : numpy.ndarray of float64
        Median and interquartile range of every column.
    """

    center: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def of(cls, rows: NDArray[np.float64]) -> Scale:
        """By draws from the prior, shape (draws, P)."""
        low, center, high = np.quantile(rows, [0.25, 0.5, 0.75], axis=0)
        spread = np.where(high > low, high - low, rows.std(0))
        return cls(center, np.where(spread > 0.0, spread, 1.0))

    def __call__(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows, scaled."""
        return np.arcsinh((rows - self.center) / self.spread)


@dataclass(frozen=True)
class Setting:
    """One value of every setting, and what follows from them.

    Attributes
    ----------
    values : dict of numpy.ndarray by name of container
    row : numpy.ndarray of float64, shape (width,)
        As the network sees them.
    target : Target, AtomTarget or None
        Exact density of partitions under them; None where there is none in closed form.
    """

    values: dict[str, NDArray]
    row: NDArray[np.float64]
    target: Target | AtomTarget | None

    @property
    def exact(self) -> Target | AtomTarget:
        """The target, which there is."""
        assert self.target is not None
        return self.target


class Settings:
    """Containers of a model that are settings, and their law.

    Parameters
    ----------
    model : pymc.Model
    laws : dict by name of container
        The law of each, such as ``pm.Gamma.dist(2, 2)``; independent of each other.

    Attributes
    ----------
    own : dict of numpy.ndarray by name of container
        What the model has.
    width : int
        How many numbers they are.

    Raises
    ------
    ValueError
        If a name is not one of a container that can be a setting, or a law is no distribution of
        its shape.
    """

    def __init__(self, model: pm.Model, laws: Mapping[str, Any]) -> None:
        self._laws: dict[str, TensorVariable] = dict(laws)
        self.own = self.of(model)
        self.width = int(sum(np.size(x) for x in self.own.values()))
        outputs = list(self._laws.values())
        self._draw = pm.pytensorf.compile([], outputs, random_seed=0, mode="FAST_COMPILE")
        values = [law.type() for law in outputs]
        log_density = [pm.logp(law, x).sum() for law, x in zip(outputs, values, strict=True)]
        self._log_density = pm.pytensorf.compile(values, log_density, mode="FAST_COMPILE")
        self._least = np.full(len(outputs), -np.inf)
        drawn = self.draw(_DRAWN, np.random.default_rng(0))
        for name, x in self.own.items():
            if drawn[name].shape[1:] != x.shape:
                raise ValueError(
                    f"The law of {name} has shape {drawn[name].shape[1:]}, the container "
                    f"{x.shape}; expected one shape."
                )
        self._range = {name: (x.min(0), x.max(0)) for name, x in drawn.items()}
        rows = list(zip(*drawn.values(), strict=True)) or [()]
        least = np.min([self._log_density(*row) for row in rows], axis=0)
        self._least = least - _ROUNDING * np.abs(least)
        self._scale = Scale.of(np.array([_flat(row) for row in rows]))

    def of(self, model: pm.Model) -> dict[str, NDArray]:
        """What the containers of a model hold."""
        for name, law in self._laws.items():
            _check(model, name, law)
        return {name: np.asarray(model[name].get_value()) for name in self._laws}

    def as_random(self, model: pm.Model) -> pm.Model:
        """Copy of a model in which the containers are random variables that follow their law.

        Their values are those of the containers: there is no transform.
        """
        if not self._laws:
            return model
        others = [x.name for x in model.data_vars if x.name not in self._laws]
        model = freeze_dims_and_data(model, data=others)  # a copy
        for rv in model.free_RVs:
            model.set_initval(rv, None)
        graph, copied = fgraph_from_model(model)
        for name, law in self._laws.items():
            container = copied[model[name]]
            (of_model,) = clone_replace([law], {})
            dims = model.named_vars_to_dims.get(name, ())
            new = model_free_rv(of_model, law.type(name=name), None, name, *dims)
            for old in (*container.owner.inputs, container):
                graph.replace(old, new, import_missing=True)
        return model_from_fgraph(graph, mutate_fgraph=True)

    def draw(self, n_draws: int, rng: np.random.Generator) -> dict[str, NDArray]:
        """Draw from the law; by name, shape (n_draws, …).

        What is less probable than all of 1,000 draws is left out: see `complete`.
        """
        if not self._laws:
            return {}
        generators = [x for x in self._draw.get_shared() if _is_generator(x)]
        pm.pytensorf.reseed_rngs(generators, int(rng.integers(2**31)))
        rows: list[Any] = []
        while len(rows) < n_draws:
            row = self._draw()
            if all(self._usual(row)):
                rows.append(row)
        return {
            name: np.stack(x) for name, x in zip(self._laws, zip(*rows, strict=True), strict=True)
        }

    def _usual(self, values: Iterable[NDArray]) -> NDArray[np.bool_]:
        usual: NDArray[np.bool_] = np.array(self._log_density(*values)) >= self._least
        return usual

    def complete(self, given: Mapping[str, ArrayLike] | None) -> dict[str, NDArray]:
        """Values of all settings, those not given as the model has them.

        Parameters
        ----------
        given : dict of array_like by name of container, optional

        Raises
        ------
        ValueError
            If a name or shape is not that of a setting, or a value is less probable under its law
            than all of 1,000 that were drawn from it. Training leaves such out. Answers that are
            corrected would be right all the same, but at a price that nobody knows beforehand.
        """
        given = given or {}
        if unknown := set(given) - set(self._laws):
            raise ValueError(
                f"Found settings {', '.join(sorted(unknown))}; the network was trained with "
                f"{', '.join(self._laws) or 'none'}."
            )
        values = {}
        for name, present in self.own.items():
            x = np.asarray(given.get(name, present), dtype=present.dtype)
            if x.shape != present.shape:
                raise ValueError(f"{name} has shape {x.shape}; expected {present.shape}.")
            values[name] = x
        for name, within in zip(values, self._usual(values.values()), strict=True):
            if not within:
                low, high = self._range[name]
                raise ValueError(
                    f"{name} = {values[name]} is less probable than all of {_DRAWN:,} draws from "
                    f"its law, which lie between {low} and {high}: the network has not seen its "
                    "like. Train one with a wider law, or use dps.sample()."
                )
        return values

    def row(self, values: Mapping[str, NDArray]) -> NDArray[np.float64]:
        """Values of all settings, scaled by their law, shape (width,)."""
        return self._scale(_flat(values.values()))


def _check(model: pm.Model, name: str, law: Any) -> None:
    containers = [x.name for x in model.data_vars]
    if name not in containers:
        found = ", ".join(containers) or "none"
        raise ValueError(
            f"The model has no container {name}; expected one of {found}. "
            f"Write {name} = pm.Data({name!r}, …) in it."
        )
    container = model[name]
    if container in model.rvs_to_values.values():
        raise ValueError(f"{name} holds observations; expected parameters of the model.")
    if not isinstance(container, TensorSharedVariable) or np.dtype(container.dtype).kind != "f":
        raise ValueError(
            f"{name} has type {container.type}; expected a pymc.Data container of floating-point "
            "numbers."
        )
    for rv in model.basic_RVs:
        # Numbers of items, components and axes are whole.
        whole = [x for x in rv.owner.inputs if np.dtype(getattr(x, "dtype", "f8")).kind in "iu"]
        if container in ancestors(whole, blockers=model.basic_RVs):
            raise ValueError(
                f"{name} decides on the shape of {rv.name}; expected parameters alone: a network "
                "is for one shape. Give the shape as a number, or by coords."
            )
    if not isinstance(law, TensorVariable) or law.owner is None or law.dtype != container.dtype:
        raise ValueError(
            f"The law of {name} is {law!r}; expected a distribution of type {container.dtype}, "
            "such as pm.Gamma.dist(2, 2)."
        )


def _is_generator(x: SharedVariable) -> bool:
    return hasattr(x.get_value(borrow=True), "bit_generator")


def _flat(values: Iterable[NDArray]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros(0), *(np.ravel(x) for x in values)])
