"""Kernel of a mixture of linear regressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.kernels.checks import check_items, known, missing_scale, numbers, rows, setting
from pymc_dpsteps.kernels.normal import variance
from pymc_dpsteps.kernels.place import Place, locate
from pymc_dpsteps.kernels.scales import spread

__all__ = ["linear_regression"]


def linear_regression(
    name: str,
    z: TensorVariable,
    *,
    observed: Any,
    x: Any,
    sigma: Any = None,
    location: Any = None,
    scale: Any = None,
    slope_scale: Any = None,
    ratio: Any = 1 / 3,
    prior_shape: Any = 2.0,
    scale_to: Any = None,
    K: int | None = None,
    component: str | None = None,
    dims: str | Sequence[str] | None = None,
    prefix: str = "",
) -> TensorVariable:
    r"""Linear regression with an intercept, slopes and a variance per component.

    .. math::

        F(y \mid a, b, \sigma^2) &= \frac{1}{\sqrt{2\pi\sigma^2}}
            \exp\left(-\frac{(y - a - x^\top b)^2}{2\sigma^2}\right) \\
        a &\sim \mathrm{Normal}(\text{location}, \text{scale}), \quad
            b_j \sim \mathrm{Normal}(0, \text{slope_scale}_j) \\
        \sigma^2 &\sim \mathrm{InverseGamma}(h, (h-1)\,\text{ratio}^2\,\text{scale}^2),
            \quad h = \text{prior_shape}

    Conjugate: intercept and slopes together, given the variance, and the variance given these.
    With a known `sigma` intercept and slopes can be integrated out.

    Parameters
    ----------
    name : str
        Name of the observed variable.
    z : TensorVariable
        The allocation, shape (N,).
    observed : array_like or pm.Data, shape (N,)
        Real numbers.
    x : array_like or pm.Data, shape (N,) or (N, P)
        Covariates, without a column of ones. The prior of the atom ``intercept`` is that of the
        mean at ``x = 0``: centre the covariates, and divide them by their sd where they have
        different units.
    sigma : float, array_like of shape (N,), or TensorVariable, optional
        The sd, where it is known, or a variable of the model that all components share. Default:
        an atom ``sigma2``.
    location : float, optional
        Prior mean of ``intercept``. Default: 0, or the mean of `scale_to`.
    scale : float
        Prior sd of ``intercept``: the sd of all data, in their units. May be left out with
        `scale_to`, whose sd it is then.
    slope_scale : float or array_like of shape (P,)
        Prior sd of the atom ``slope``, shape (K,) or (K, P) as `x`: units of the data per unit of
        the covariate. May be left out with `scale_to`; it is then `scale` over the sd of the
        covariate.
    ratio : float, default 1/3
        Typical sd about the line, relative to `scale`; not used with a known sd.
    prior_shape : float, default 2
        Shape h > 1 of the prior of ``sigma2``; not used with a known sd.
    scale_to, K, component, dims, prefix
        See `pymc_dpsteps.kernels`.

    Returns
    -------
    TensorVariable
        The observed variable.

    Raises
    ------
    TypeError
        If `scale` or `slope_scale` is missing.
    ValueError
        If data or settings are out of range or of another shape; if K is contradictory; if a
        variable of an atom's name exists.

    Examples
    --------
    >>> x = (age - age.mean()) / age.std()
    >>> dps.kernels.linear_regression("y", z, x=x, scale=10.0, slope_scale=10.0, observed=y)
    """
    place = locate(name, z, K, component, dims, prefix)
    data = rows(place, observed)
    covariates = _covariates(place, x, len(data))
    location, scale = spread(place, location, scale, scale_to)
    if slope_scale is None and scale_to is not None:
        slope_scale = scale / covariates.std(axis=0, ddof=1)
    if slope_scale is None:
        raise missing_scale(place, "slope_scale", "the prior sd of a slope")
    axes = covariates.shape[1:]
    slope_scale = setting(place, "slope_scale", slope_scale, "positive", axes)
    intercept = place.atom(pm.Normal, "intercept", location, scale)
    slope = place.atom(pm.Normal, "slope", 0.0, slope_scale, axes=axes)
    if sigma is None:
        ratio = setting(place, "ratio", ratio, "positive")
        sd = pt.sqrt(variance(place, prior_shape, ratio * scale))[z]
    else:
        sd = known(place, "sigma", sigma, "positive", len(data))
    x = x if isinstance(x, Variable) else covariates
    effect = x * slope[z] if not axes else (x * slope[z]).sum(axis=1)
    return place.observe(pm.Normal, intercept[z] + effect, sd, observed=observed)


def _covariates(place: Place, x: Any, n_items: int) -> NDArray[np.float64]:
    data = numbers(place, "x", x)
    if data.ndim not in (1, 2) or len(data) != n_items:
        raise ValueError(
            f"{place.name}: x has the shape {data.shape}; expected one row for each of the "
            f"{n_items} items, (N,) or (N, P)."
        )
    bad = ~np.isfinite(data).reshape(n_items, -1).all(axis=1)
    check_items(place, "x", data, bad, "expected finite numbers")
    return data
