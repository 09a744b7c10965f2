"""Kernels of fractions and compositions: beta and Dirichlet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.kernels.checks import check_items, missing_scale, real, rows, setting
from pymc_dpsteps.kernels.place import Place, locate
from pymc_dpsteps.kernels.scales import composition_prior

__all__ = ["beta", "dirichlet"]


def beta(
    name: str,
    z: TensorVariable,
    *,
    observed: Any,
    precision: Any = None,
    spread: Any = 1.0,
    location: Any = None,
    weight: Any = 2.0,
    scale_to: Any = None,
    K: int | None = None,
    component: str | None = None,
    dims: str | Sequence[str] | None = None,
    prefix: str = "",
) -> TensorVariable:
    r"""Fractions with a beta law, of a mean and a precision per component.

    .. math::

        F(y \mid m, c) &= \frac{\Gamma(c)}{\Gamma(cm)\,\Gamma(c(1-m))}
            y^{cm-1} (1-y)^{c(1-m)-1} \\
        m &\sim \mathrm{Beta}(w l, w (1 - l)), \quad l = \text{location}, \quad w = \text{weight} \\
        c &\sim \mathrm{LogNormal}(\log \text{precision}, \text{spread})

    Within a component y has the mean m and the variance :math:`m(1-m)/(c+1)`. With the defaults m
    is uniform. Not conjugate.

    Parameters
    ----------
    name : str
        Name of the observed variable.
    z : TensorVariable
        The allocation, shape (N,).
    observed : array_like or pm.Data, shape (N,)
        Numbers between zero and one, neither included.
    precision : float
        Typical c, the prior median of the atom ``precision``. May be left out with `scale_to`; it
        is then the c at which a component with the mean of these data has a third of their sd.
    spread : float, default 1
        Prior sd of the logarithm of ``precision``.
    location : float, optional
        Prior mean of the atom ``mean``. Default: 1/2, or the mean of `scale_to`.
    weight : float, default 2
        Prior number of observations that `location` is worth, as in the kernel `binomial`.
    scale_to, K, component, dims, prefix
        See `pymc_dpsteps.kernels`.

    Returns
    -------
    TensorVariable
        The observed variable.

    Raises
    ------
    TypeError
        If `precision` is missing.
    ValueError
        If data or settings are out of range or of another shape; if K is contradictory; if a
        variable of an atom's name exists.

    Examples
    --------
    >>> dps.kernels.beta("share", z, precision=20.0, observed=share)
    """
    place = locate(name, z, K, component, dims, prefix)
    rows(place, observed, support="fraction")
    if location is None:
        location = 0.5 if scale_to is None else real(place, "scale_to", scale_to).mean()
    location = setting(place, "location", location, "fraction")
    weight = setting(place, "weight", weight, "positive")
    precision = _precision(place, precision, scale_to)
    spread = setting(place, "spread", spread, "positive")
    m = place.atom(pm.Beta, "mean", weight * location, weight * (1.0 - location))
    c = place.atom(pm.LogNormal, "precision", pt.log(precision), spread)
    return place.observe(pm.Beta, (c * m)[z], (c * (1.0 - m))[z], observed=observed)


def dirichlet(
    name: str,
    z: TensorVariable,
    *,
    observed: Any,
    precision: Any = None,
    spread: Any = 1.0,
    location: Any = None,
    weight: Any = None,
    scale_to: Any = None,
    K: int | None = None,
    component: str | None = None,
    dims: Sequence[str] | None = None,
    prefix: str = "",
) -> TensorVariable:
    r"""Compositions with a Dirichlet law, of a mean and a precision per component.

    .. math::

        F(y \mid m, c) &= \Gamma(c) \prod_{j=1}^{D} \frac{y_j^{c m_j - 1}}{\Gamma(c m_j)} \\
        m &\sim \mathrm{Dirichlet}(w l), \quad l = \text{location}, \quad w = \text{weight} \\
        c &\sim \mathrm{LogNormal}(\log \text{precision}, \text{spread})

    Within a component part j has the mean :math:`m_j` and the variance
    :math:`m_j(1-m_j)/(c+1)`. With the defaults m is uniform on the simplex. Not conjugate.

    Parameters
    ----------
    name : str
        Name of the observed variable.
    z : TensorVariable
        The allocation, shape (N,).
    observed : array_like or pm.Data, shape (N, D)
        Compositions of D parts: positive, and summing to one up to 1e-6.
    precision : float
        Typical c, the prior median of the atom ``precision``. May be left out with `scale_to`; it
        is then the c at which a component with the mean of these data has a third of their sd, as
        the median over parts.
    spread : float, default 1
        Prior sd of the logarithm of ``precision``.
    location : array_like of shape (D,), optional
        Prior mean of the atom ``mean``, shape (K, D), which sums to one. Default: all 1/D, or the
        mean of `scale_to`.
    weight : float, optional
        Prior number of observations that `location` is worth, as in the kernel `multinomial`.
        Default: D.
    scale_to, K, component, dims, prefix
        See `pymc_dpsteps.kernels`; `scale_to` has D columns.

    Returns
    -------
    TensorVariable
        The observed variable.

    Raises
    ------
    TypeError, ValueError
        As `beta`.

    Examples
    --------
    >>> dps.kernels.dirichlet("rock", z, precision=50.0, observed=rock)
    """
    place = locate(name, z, K, component, dims, prefix)
    data = rows(place, observed, ndim=2, support="fraction")
    off = ~(abs(data.sum(axis=1) - 1.0) <= 1e-6)
    check_items(place, "observed", data, off, "expected parts that sum to one, none missing")
    a = composition_prior(place, location, weight, scale_to, data.shape[1])
    precision = _precision(place, precision, scale_to)
    spread = setting(place, "spread", spread, "positive")
    m = place.atom(pm.Dirichlet, "mean", a, axes=(data.shape[1],))
    c = place.atom(pm.LogNormal, "precision", pt.log(precision), spread)
    return place.observe(pm.Dirichlet, (c[:, None] * m)[z], observed=observed)


def _precision(place: Place, precision: Any, scale_to: Any) -> Any:
    """Typical precision: given, or that at which the sd is a third of the sd of `scale_to`."""
    if precision is None and scale_to is not None:
        data = real(place, "scale_to", scale_to)
        mean, within = data.mean(axis=0), data.var(axis=0, ddof=1) / 9.0
        precision = float(np.median(mean * (1.0 - mean) / within - 1.0))
    if precision is None:
        raise missing_scale(
            place,
            "precision",
            "the typical precision c of a component, var y = m (1 - m) / (c + 1)",
        )
    return setting(place, "precision", precision, "positive")
