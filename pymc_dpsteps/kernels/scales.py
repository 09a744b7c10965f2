"""Location and scale of a prior: given, or derived from data where asked."""

from __future__ import annotations

from typing import Any

import numpy as np
from pytensor.graph.basic import Variable

from pymc_dpsteps.kernels.checks import missing_scale, real, setting
from pymc_dpsteps.kernels.place import Place

__all__ = ["composition_prior", "mean_scale", "spread"]


def spread(
    place: Place, location: Any, scale: Any, scale_to: Any, shape: tuple[int, ...] = ()
) -> tuple[Any, Any]:
    """Location and scale of real data: where not given, mean and sd of `scale_to`."""
    if scale_to is not None:
        data = real(place, "scale_to", scale_to)
        if data.shape[1:] != shape:
            wanted = f"a matrix with {shape[0]} columns" if shape else "a vector"
            raise ValueError(
                f"{place.name}: scale_to has the shape {data.shape}; expected {wanted}."
            )
        location = data.mean(axis=0) if location is None else location
        scale = data.std(axis=0, ddof=1) if scale is None else scale
    if scale is None:
        raise missing_scale(place, "scale", "the sd of all data, in their units")
    location = 0.0 if location is None else location
    return (
        setting(place, "location", location, "real", shape),
        setting(place, "scale", scale, "positive", shape),
    )


def mean_scale(place: Place, scale: Any, scale_to: Any, meaning: str) -> Any:
    """Scale of positive data: where not given, the mean of `scale_to`."""
    if scale is None and scale_to is not None:
        scale = float(np.mean(real(place, "scale_to", scale_to)))
    if scale is None:
        raise missing_scale(place, "scale", meaning)
    return setting(place, "scale", scale, "positive")


def composition_prior(place: Place, location: Any, weight: Any, scale_to: Any, d: int) -> Any:
    """Parameter of a Dirichlet prior: its mean, or the shares in `scale_to`, times its weight."""
    if location is None:
        location = np.full(d, 1.0 / d)
        if scale_to is not None:
            data = real(place, "scale_to", scale_to)
            if data.shape[1:] != (d,):
                raise ValueError(
                    f"{place.name}: scale_to has the shape {data.shape}; expected {d} columns."
                )
            location = data.sum(axis=0) / data.sum()
    location = setting(place, "location", location, "fraction", (d,))
    if not isinstance(location, Variable) and not np.isclose(np.broadcast_to(location, d).sum(), 1):
        raise ValueError(
            f"{place.name}: location = {location.tolist()} sums to {location.sum():.6g}; expected "
            f"{d} fractions that sum to one."
        )
    weight = setting(place, "weight", float(d) if weight is None else weight, "positive")
    return weight * location
