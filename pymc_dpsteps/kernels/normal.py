"""Kernels of real numbers: normal and Student-t."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.kernels.checks import known, rows, setting
from pymc_dpsteps.kernels.place import Place, locate
from pymc_dpsteps.kernels.scales import spread

__all__ = ["normal", "normal_mean", "normal_variance", "student_t", "variance"]


def variance(
    place: Place, prior_shape: Any, typical_sd: Any, axes: Sequence[int] = ()
) -> TensorVariable:
    """Declare ``sigma2 ~ InverseGamma``, whose mean is the square of the typical sd."""
    prior_shape = setting(place, "prior_shape", prior_shape, "above one")
    rate = (prior_shape - 1.0) * typical_sd**2
    return place.atom(pm.InverseGamma, "sigma2", prior_shape, rate, axes=axes)


def normal_mean(
    name: str,
    z: TensorVariable,
    *,
    observed: Any,
    sigma: Any,
    location: Any = None,
    scale: Any = None,
    scale_to: Any = None,
    K: int | None = None,
    component: str | None = None,
    dims: str | Sequence[str] | None = None,
    prefix: str = "",
) -> TensorVariable:
    r"""Normal observations with a mean per component and a known sd.

    .. math::

        F(y \mid \mu) &= \frac{1}{\sigma\sqrt{2\pi}}
            \exp\left(-\frac{(y-\mu)^2}{2\sigma^2}\right) \\
        \mu &\sim \mathrm{Normal}(\text{location}, \text{scale})

    Conjugate: the mean can be integrated out.

    Parameters
    ----------
    name : str
        Name of the observed variable.
    z : TensorVariable
        The allocation, shape (N,).
    observed : array_like or pm.Data, shape (N,)
        Real numbers.
    sigma : float, array_like of shape (N,), or TensorVariable
        The sd, one for all items or each its own; or a variable of the model that all components
        share.
    location : float, optional
        Prior mean of the atom ``mu``. Default: 0, or the mean of `scale_to`.
    scale : float
        Prior sd of ``mu``: the sd of all data, in their units. May be left out with `scale_to`,
        whose sd it is then.
    scale_to, K, component, dims, prefix
        See `pymc_dpsteps.kernels`.

    Returns
    -------
    TensorVariable
        The observed variable.

    Raises
    ------
    TypeError
        If `scale` is missing.
    ValueError
        If data or settings are out of range or of another shape; if K is contradictory; if a
        variable of an atom's name exists.

    Examples
    --------
    >>> dps.kernels.normal_mean("y", z, sigma=1.0, location=20.0, scale=10.0, observed=y)
    """
    place = locate(name, z, K, component, dims, prefix)
    data = rows(place, observed)
    sigma = known(place, "sigma", sigma, "positive", len(data))
    location, scale = spread(place, location, scale, scale_to)
    mu = place.atom(pm.Normal, "mu", location, scale)
    return place.observe(pm.Normal, mu[z], sigma, observed=observed)


def normal_variance(
    name: str,
    z: TensorVariable,
    *,
    observed: Any,
    mean: Any,
    scale: Any = None,
    prior_shape: Any = 2.0,
    scale_to: Any = None,
    K: int | None = None,
    component: str | None = None,
    dims: str | Sequence[str] | None = None,
    prefix: str = "",
) -> TensorVariable:
    r"""Normal observations with a variance per component and a known mean.

    .. math::

        F(y \mid \sigma^2) &= \frac{1}{\sqrt{2\pi\sigma^2}}
            \exp\left(-\frac{(y-m)^2}{2\sigma^2}\right) \\
        \sigma^2 &\sim \mathrm{InverseGamma}(a, (a-1)\,\text{scale}^2),
            \quad a = \text{prior_shape}, \quad \mathrm{E}\,\sigma^2 = \text{scale}^2

    Conjugate: the variance can be integrated out.

    Parameters
    ----------
    name : str
        Name of the observed variable.
    z : TensorVariable
        The allocation, shape (N,).
    observed : array_like or pm.Data, shape (N,)
        Real numbers.
    mean : float, array_like of shape (N,), or TensorVariable
        The mean m, one for all items or each its own; or a variable of the model that all
        components share.
    scale : float
        Typical sd, the root of the prior mean of the atom ``sigma2``, in the units of the data.
        May be left out with `scale_to`, whose sd it is then.
    prior_shape : float, default 2
        Shape a > 1 of the prior.
    scale_to, K, component, dims, prefix
        See `pymc_dpsteps.kernels`.

    Returns
    -------
    TensorVariable
        The observed variable.

    Raises
    ------
    TypeError, ValueError
        As `normal_mean`.

    Examples
    --------
    >>> dps.kernels.normal_variance("returns", z, mean=0.0, scale=0.01, observed=returns)
    """
    place = locate(name, z, K, component, dims, prefix)
    data = rows(place, observed)
    mean = known(place, "mean", mean, "real", len(data))
    _, scale = spread(place, None, scale, scale_to)
    sigma2 = variance(place, prior_shape, scale)
    return place.observe(pm.Normal, mean, pt.sqrt(sigma2)[z], observed=observed)


def normal(
    name: str,
    z: TensorVariable,
    *,
    observed: Any,
    location: Any = None,
    scale: Any = None,
    ratio: Any = 1 / 3,
    prior_shape: Any = 2.0,
    independent: bool = False,
    scale_to: Any = None,
    K: int | None = None,
    component: str | None = None,
    dims: str | Sequence[str] | None = None,
    prefix: str = "",
) -> TensorVariable:
    r"""Normal observations with a mean and a variance per component.

    .. math::

        F(y \mid \mu, \sigma^2) &= \frac{1}{\sqrt{2\pi\sigma^2}}
            \exp\left(-\frac{(y-\mu)^2}{2\sigma^2}\right) \\
        \sigma^2 &\sim \mathrm{InverseGamma}(a, (a-1)\,\text{ratio}^2\,\text{scale}^2),
            \quad a = \text{prior_shape} \\
        \mu \mid \sigma^2 &\sim \mathrm{Normal}(\text{location}, \sigma / \text{ratio})

    so that :math:`\mathrm{E}\,\sigma^2 = \text{ratio}^2\,\text{scale}^2` and
    :math:`\operatorname{var} \mu = \text{scale}^2`. With ``independent=True``,
    :math:`\mu \sim \mathrm{Normal}(\text{location}, \text{scale})` whatever the variance.

    Conjugate (normal–inverse-gamma): mean and variance can be integrated out. With
    ``independent=True`` each is conjugate given the other only.

    Parameters
    ----------
    name : str
        Name of the observed variable.
    z : TensorVariable
        The allocation, shape (N,).
    observed : array_like or pm.Data, shape (N,)
        Real numbers.
    location : float, optional
        Prior mean of the atom ``mu``. Default: 0, or the mean of `scale_to`.
    scale : float
        Prior sd of ``mu``: the sd of all data, in their units. May be left out with `scale_to`,
        whose sd it is then.
    ratio : float, default 1/3
        Typical sd within a component, relative to `scale`. Its square is the κ of the
        normal–inverse-gamma law.
    prior_shape : float, default 2
        Shape a > 1 of the prior of the atom ``sigma2``.
    independent : bool, default False
        Whether mean and variance are independent a priori.
    scale_to, K, component, dims, prefix
        See `pymc_dpsteps.kernels`.

    Returns
    -------
    TensorVariable
        The observed variable.

    Raises
    ------
    TypeError, ValueError
        As `normal_mean`.

    Examples
    --------
    >>> dps.kernels.normal("y", z, location=20.0, scale=5.0, observed=y)
    """
    place = locate(name, z, K, component, dims, prefix)
    rows(place, observed)
    location, scale = spread(place, location, scale, scale_to)
    ratio = setting(place, "ratio", ratio, "positive")
    sigma2 = variance(place, prior_shape, ratio * scale)
    mu = place.atom(pm.Normal, "mu", location, scale if independent else pt.sqrt(sigma2) / ratio)
    return place.observe(pm.Normal, mu[z], pt.sqrt(sigma2)[z], observed=observed)


def student_t(
    name: str,
    z: TensorVariable,
    *,
    observed: Any,
    nu: Any = 4.0,
    location: Any = None,
    scale: Any = None,
    ratio: Any = 1 / 3,
    prior_shape: Any = 2.0,
    scale_to: Any = None,
    K: int | None = None,
    component: str | None = None,
    dims: str | Sequence[str] | None = None,
    prefix: str = "",
) -> TensorVariable:
    r"""Student-t observations with a location and a scale per component: normal, but for outliers.

    .. math::

        F(y \mid \mu, \sigma^2) &= \frac{\Gamma(\frac{\nu+1}{2})}
            {\Gamma(\frac{\nu}{2})\sqrt{\nu\pi\sigma^2}}
            \left(1 + \frac{(y-\mu)^2}{\nu\sigma^2}\right)^{-\frac{\nu+1}{2}} \\
        \mu &\sim \mathrm{Normal}(\text{location}, \text{scale}) \\
        \sigma^2 &\sim \mathrm{InverseGamma}(a, (a-1)\,\text{ratio}^2\,\text{scale}^2),
            \quad a = \text{prior_shape}

    Not conjugate.

    Parameters
    ----------
    name : str
        Name of the observed variable.
    z : TensorVariable
        The allocation, shape (N,).
    observed : array_like or pm.Data, shape (N,)
        Real numbers.
    nu : float or TensorVariable, default 4
        Degrees of freedom ν > 0, the same in all components; or a variable of the model.
    location : float, optional
        Prior mean of the atom ``mu``. Default: 0, or the mean of `scale_to`.
    scale : float
        Prior sd of ``mu``: the sd of all data, in their units. May be left out with `scale_to`,
        whose sd it is then.
    ratio : float, default 1/3
        Typical σ within a component, relative to `scale`.
    prior_shape : float, default 2
        Shape a > 1 of the prior of the atom ``sigma2``, the squared scale of the t distribution.
    scale_to, K, component, dims, prefix
        See `pymc_dpsteps.kernels`.

    Returns
    -------
    TensorVariable
        The observed variable.

    Raises
    ------
    TypeError, ValueError
        As `normal_mean`.

    Examples
    --------
    >>> dps.kernels.student_t("y", z, nu=3.0, location=20.0, scale=5.0, observed=y)
    """
    place = locate(name, z, K, component, dims, prefix)
    rows(place, observed)
    nu = setting(place, "nu", nu, "positive")
    location, scale = spread(place, location, scale, scale_to)
    ratio = setting(place, "ratio", ratio, "positive")
    mu = place.atom(pm.Normal, "mu", location, scale)
    sigma2 = variance(place, prior_shape, ratio * scale)
    return place.observe(pm.StudentT, nu=nu, mu=mu[z], sigma=pt.sqrt(sigma2)[z], observed=observed)
