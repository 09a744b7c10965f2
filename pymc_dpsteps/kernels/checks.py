"""Checks of data against the support of a kernel, and of prior settings.

Errors name the observed variable, and say what was found, what is expected and what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymc.model import modelcontext
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors

from pymc_dpsteps.kernels.place import Place

__all__ = [
    "check_items",
    "counts",
    "known",
    "missing_scale",
    "numbers",
    "real",
    "rows",
    "setting",
    "values_of",
]

_SUPPORTS: dict[str, tuple[Callable[[NDArray], NDArray], str]] = {
    "real": (np.isfinite, "finite numbers"),
    "above one": (lambda x: (x > 1) & (x < np.inf), "finite numbers above one"),
    "positive": (lambda x: (x > 0) & (x < np.inf), "finite numbers above zero"),
    "not negative": (lambda x: (x >= 0) & (x < np.inf), "finite numbers of at least zero"),
    "fraction": (lambda x: (x > 0) & (x < 1), "numbers between zero and one, neither included"),
    "count": (lambda x: (x >= 0) & (x == np.floor(x)) & (x < np.inf), "counts: 0, 1, 2, …"),
}


def values_of(name: str, what: str, x: Any) -> NDArray[np.float64] | None:
    """Numbers of an argument, NaN where missing; None where these depend on random variables."""
    if isinstance(x, SharedVariable):
        x = x.get_value()
    elif isinstance(x, Variable):
        found = set(ancestors([x]))
        roots = {v for v in found if v.owner is None}
        random = found.intersection(modelcontext(None).basic_RVs)
        if random or not all(isinstance(v, Constant | SharedVariable) for v in roots):
            return None
        x = x.eval(mode="FAST_COMPILE")
    try:
        if np.ma.isMaskedArray(x):
            return np.ma.filled(x.astype(np.float64), np.nan)
        return np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name}: {what} cannot be read as numbers ({error}). Give an array of numbers."
        ) from error


def numbers(place: Place, what: str, x: Any) -> NDArray[np.float64]:
    """Numbers of an argument that has to be known, NaN where missing."""
    data = values_of(place.name, what, x)
    if data is None:
        raise TypeError(
            f"{place.name}: {what} depends on random variables. Give data: an array or pm.Data."
        )
    return data


def rows(
    place: Place, observed: Any, *, ndim: int = 1, support: str = "real"
) -> NDArray[np.float64]:
    """Data with one row per item, checked; missing values are NaN."""
    data = numbers(place, "observed", observed)
    if data.ndim != ndim:
        expected = "one number per item" if ndim == 1 else "a matrix, one row per item"
        raise ValueError(f"{place.name}: observed has the shape {data.shape}; expected {expected}.")
    if place.n_items is not None and len(data) != place.n_items:
        raise ValueError(
            f"{place.name}: observed has {len(data)} rows, but the allocation {place.z.name} has "
            f"{place.n_items} items. Give one row per item, in the order of {place.z.name}."
        )
    inside, expected = _SUPPORTS[support]
    bad = ~(inside(data) | np.isnan(data)).reshape(len(data), -1).all(axis=1)
    check_items(place, "observed", data, bad, f"expected {expected}")
    return data


def check_items(
    place: Place, what: str, data: NDArray[np.float64], bad: NDArray[np.bool_], expected: str
) -> None:
    """Refuse an argument in which some items are bad, and show the first."""
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{place.name}: {what} is out of range at {bad.sum()} of {len(bad)} items, first at "
            f"item {first}: {np.asarray(data)[first].tolist()}; {expected}. Correct or drop these "
            "items, or take another kernel."
        )


def counts(place: Place, observed: Any, *, ndim: int = 1) -> NDArray[np.float64]:
    """Counts with one row per item, checked."""
    return rows(place, observed, ndim=ndim, support="count")


def real(place: Place, what: str, x: Any) -> NDArray[np.float64]:
    """Numbers from which prior settings are to be derived, without the missing ones' rows."""
    data = np.atleast_1d(numbers(place, what, x))
    data = data[~np.isnan(data).reshape(len(data), -1).any(axis=1)]
    if len(data) < 2 or not np.isfinite(data).all():
        raise ValueError(
            f"{place.name}: {what} has {len(data)} complete rows, "
            f"{np.isfinite(data).reshape(len(data), -1).all(axis=1).sum()} of them finite; "
            "expected at least two, all finite. Give the settings by hand."
        )
    return data


def known(place: Place, what: str, x: Any, support: str, n_items: int) -> Any:
    """What is known of every item, or of all alike: an exposure, a number of trials, an sd."""
    data = values_of(place.name, what, x)
    if data is None:
        return x
    if data.shape not in ((), (1,), (n_items,)):
        raise ValueError(
            f"{place.name}: {what} has the shape {data.shape}; expected one number, or one for "
            f"each of the {n_items} items."
        )
    inside, expected = _SUPPORTS[support]
    check_items(place, what, np.atleast_1d(data), ~np.atleast_1d(inside(data)), expected)
    return x if isinstance(x, Variable) else data


def setting(place: Place, what: str, x: Any, support: str, shape: tuple[int, ...] = ()) -> Any:
    """A prior setting: one number or an array of `shape`, or a variable of the model."""
    if isinstance(x, Variable):
        return x
    data = values_of(place.name, what, x)
    inside, expected = _SUPPORTS[support]
    if data is None or data.shape not in ((), shape) or not inside(data).all():
        size = f" or {shape[0]} of them" if shape else ""
        raise ValueError(
            f"{place.name}: {what} = {x!r}; expected {expected}, one{size}. What the settings "
            "mean is in the kernel's docstring."
        )
    return data


def missing_scale(place: Place, what: str, meaning: str) -> TypeError:
    """The error for a required scale that was not given."""
    return TypeError(
        f"{place.name}: {what} is missing. Give {what}=, {meaning}; or scale_to=data, to derive it "
        "from data."
    )
