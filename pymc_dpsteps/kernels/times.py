"""Kernels of times and other positive numbers: exponential, Weibull and gamma."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.kernels.checks import numbers, rows, setting
from pymc_dpsteps.kernels.place import Place, locate
from pymc_dpsteps.kernels.scales import mean_scale

__all__ = ["exponential", "gamma", "weibull"]


def exponential(
    name: str,
    z: TensorVariable,
    *,
    observed: Any,
    censored: Any = None,
    scale: Any = None,
    prior_shape: Any = 2.0,
    scale_to: Any = None,
    K: int | None = None,
    component: str | None = None,
    dims: str | Sequence[str] | None = None,
    prefix: str = "",
) -> TensorVariable:
    r"""Exponential times with a rate per component, some of them censored on the right.

    .. math::

        F(t \mid \lambda) &= \lambda \exp(-\lambda t) \text{ for an event at } t,
            \quad \exp(-\lambda t) \text{ if censored at } t \\
        \lambda &\sim \mathrm{Gamma}(a, (a - 1)\,\text{scale}), \quad a = \text{prior_shape},
            \quad \mathrm{E}\,\lambda^{-1} = \text{scale}

    Conjugate without censoring: the rate can be integrated out. Not recognised as conjugate where
    any time is censored.

    Parameters
    ----------
    name : str
        Name of the observed variable.
    z : TensorVariable
        The allocation, shape (N,).
    observed : array_like or pm.Data, shape (N,)
        Times of event or of censoring, at least zero.
    censored : array_like of bool or pm.Data, shape (N,), optional
        True where the event was not seen until the time in `observed`. Default: nowhere.
    scale : float
        Typical time to an event, the prior mean of one over the atom ``rate``, in the units of
        the data. May be left out with `scale_to`, whose mean it is then; the mean of censored
        times is too small.
    prior_shape : float, default 2
        Shape a > 1 of the prior.
    scale_to, K, component, dims, prefix
        See `pymc_dpsteps.kernels`.

    Returns
    -------
    TensorVariable
        The observed variable, of the distribution `pymc.Censored` where a time is censored.

    Raises
    ------
    TypeError
        If `scale` is missing.
    ValueError
        If data or settings are out of range or of another shape; if K is contradictory; if a
        variable of an atom's name exists.

    Notes
    -----
    PyMC computes the density of a censored time from its distribution function: where the
    probability of surviving is below 1e-308, the log density is minus infinity.

    Examples
    --------
    >>> dps.kernels.exponential("days", z, censored=alive, scale=100.0, observed=days)
    """
    place = locate(name, z, K, component, dims, prefix)
    data = rows(place, observed, support="not negative")
    scale = mean_scale(place, scale, scale_to, "the typical time to an event")
    prior_shape = setting(place, "prior_shape", prior_shape, "above one")
    rate = place.atom(pm.Gamma, "rate", prior_shape, (prior_shape - 1.0) * scale)
    return _observe_times(place, pm.Exponential, [rate[z]], observed, data, censored)


def weibull(
    name: str,
    z: TensorVariable,
    *,
    observed: Any,
    censored: Any = None,
    scale: Any = None,
    spread: Any = 1.0,
    shape_spread: Any = 0.5,
    scale_to: Any = None,
    K: int | None = None,
    component: str | None = None,
    dims: str | Sequence[str] | None = None,
    prefix: str = "",
) -> TensorVariable:
    r"""Weibull times with a shape and a scale per component, some of them censored on the right.

    .. math::

        F(t \mid k, b) &= \frac{k}{b} \left(\frac{t}{b}\right)^{k-1}
            \exp\left(-(t/b)^k\right) \text{ for an event at } t,
            \quad \exp\left(-(t/b)^k\right) \text{ if censored at } t \\
        k &\sim \mathrm{LogNormal}(0, \text{shape_spread}) \\
        b &\sim \mathrm{LogNormal}(\log \text{scale}, \text{spread})

    A shape k below one is a hazard that falls, above one a hazard that rises. Not conjugate.

    Parameters
    ----------
    name : str
        Name of the observed variable.
    z : TensorVariable
        The allocation, shape (N,).
    observed : array_like or pm.Data, shape (N,)
        Times of event or of censoring, above zero.
    censored : array_like of bool or pm.Data, shape (N,), optional
        True where the event was not seen until the time in `observed`. Default: nowhere.
    scale : float
        Typical time to an event, the prior median of the atom ``scale``, in the units of the
        data. May be left out with `scale_to`, whose mean it is then; the mean of censored times
        is too small.
    spread : float, default 1
        Prior sd of the logarithm of ``scale``.
    shape_spread : float, default 0.5
        Prior sd of the logarithm of the atom ``shape``, whose median is one.
    scale_to, K, component, dims, prefix
        See `pymc_dpsteps.kernels`.

    Returns
    -------
    TensorVariable
        The observed variable, of the distribution `pymc.Censored` where a time is censored.

    Raises
    ------
    TypeError, ValueError
        As `exponential`.

    Notes
    -----
    As in `exponential`, probabilities of surviving below 1e-308 count as zero.

    Examples
    --------
    >>> dps.kernels.weibull("days", z, censored=alive, scale=100.0, observed=days)
    """
    place = locate(name, z, K, component, dims, prefix)
    data = rows(place, observed, support="positive")
    median = mean_scale(place, scale, scale_to, "the typical time to an event")
    spread = setting(place, "spread", spread, "positive")
    shape_spread = setting(place, "shape_spread", shape_spread, "positive")
    k = place.atom(pm.LogNormal, "shape", 0.0, shape_spread)
    b = place.atom(pm.LogNormal, "scale", pt.log(median), spread)
    return _observe_times(place, pm.Weibull, [k[z], b[z]], observed, data, censored)


def gamma(
    name: str,
    z: TensorVariable,
    *,
    observed: Any,
    shape: Any = None,
    scale: Any = None,
    ratio: Any = 0.5,
    spread: Any = 1.0,
    prior_shape: Any = 2.0,
    scale_to: Any = None,
    K: int | None = None,
    component: str | None = None,
    dims: str | Sequence[str] | None = None,
    prefix: str = "",
) -> TensorVariable:
    r"""Gamma observations with a rate per component; the shape is known or one per component.

    .. math::

        F(y \mid s, \lambda) &= \frac{\lambda^s}{\Gamma(s)} y^{s-1} \exp(-\lambda y) \\
        \lambda \mid s &\sim \mathrm{Gamma}(a, (a - 1)\,\text{scale} / s),
            \quad a = \text{prior_shape} \\
        s &\sim \mathrm{LogNormal}(-2 \log \text{ratio}, \text{spread})
            \text{ where it is not known}

    so that the mean :math:`s/\lambda` of a component has the prior mean scale, and its coefficient
    of variation :math:`s^{-1/2}` the prior median ratio.

    Conjugate for a known shape: the rate can be integrated out. Otherwise the rate is conjugate
    given the shape.

    Parameters
    ----------
    name : str
        Name of the observed variable.
    z : TensorVariable
        The allocation, shape (N,).
    observed : array_like or pm.Data, shape (N,)
        Numbers above zero.
    shape : float or TensorVariable, optional
        Shape s, where it is known, or a variable of the model that all components share. Default:
        an atom ``shape``.
    scale : float
        Typical observation, the prior mean of a component's mean, in the units of the data. May
        be left out with `scale_to`, whose mean it is then.
    ratio : float, default 0.5
        Typical coefficient of variation within a component; not used with a known shape.
    spread : float, default 1
        Prior sd of the logarithm of ``shape``; not used with a known shape.
    prior_shape : float, default 2
        Shape a > 1 of the prior of the atom ``rate``.
    scale_to, K, component, dims, prefix
        See `pymc_dpsteps.kernels`.

    Returns
    -------
    TensorVariable
        The observed variable.

    Raises
    ------
    TypeError, ValueError
        As `exponential`.

    Examples
    --------
    >>> dps.kernels.gamma("income", z, scale_to=income, observed=income)
    """
    place = locate(name, z, K, component, dims, prefix)
    rows(place, observed, support="positive")
    mean = mean_scale(place, scale, scale_to, "the typical observation")
    prior_shape = setting(place, "prior_shape", prior_shape, "above one")
    if shape is None:
        median = setting(place, "ratio", ratio, "positive") ** -2.0
        spread = setting(place, "spread", spread, "positive")
        atom = place.atom(pm.LogNormal, "shape", pt.log(median), spread)
        s, s_of_item = atom, atom[z]
    else:
        s = s_of_item = setting(place, "shape", shape, "positive")
    rate = place.atom(pm.Gamma, "rate", prior_shape, (prior_shape - 1.0) * mean / s)
    return place.observe(pm.Gamma, s_of_item, rate[z], observed=observed)


def _observe_times(
    place: Place,
    distribution: Any,
    parameters: Sequence[TensorVariable],
    observed: Any,
    data: NDArray[np.float64],
    censored: Any,
) -> TensorVariable:
    """Declare times; a time censored on the right is at the upper bound of its own."""
    if censored is None:
        return place.observe(distribution, *parameters, observed=observed)
    flags = numbers(place, "censored", censored)
    if flags.shape != data.shape or not np.isin(flags, [0.0, 1.0]).all():
        raise ValueError(
            f"{place.name}: censored has the shape {flags.shape} and values "
            f"{np.unique(flags)[:5].tolist()}; expected True or False for each of the {len(data)} "
            "items. Give True where the event was not seen until the time observed."
        )
    if np.isnan(data).any():
        raise ValueError(
            f"{place.name}: {np.isnan(data).sum()} times are missing, which cannot be imputed "
            "beside censored ones. Drop these items; or give the last time at which the event had "
            "not been seen, and call it censored."
        )
    if isinstance(observed, Variable) or isinstance(censored, Variable):
        upper = pt.switch(pt.neq(censored, 0), observed, np.inf)  # follows pm.set_data
    elif flags.any():
        upper = np.where(flags == 1.0, data, np.inf)
    else:
        return place.observe(distribution, *parameters, observed=observed)
    latent = distribution.dist(*parameters)
    return place.observe(pm.Censored, latent, lower=None, upper=upper, observed=observed)
