"""Kernels of counts: Poisson, binomial and multinomial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.kernels.checks import (
    check_items,
    counts,
    known,
    missing_scale,
    numbers,
    real,
    setting,
)
from pymc_dpsteps.kernels.place import locate
from pymc_dpsteps.kernels.scales import composition_prior

__all__ = ["binomial", "multinomial", "poisson"]


def poisson(
    name: str,
    z: TensorVariable,
    *,
    observed: Any,
    exposure: Any = 1.0,
    scale: Any = None,
    prior_shape: Any = 1.0,
    scale_to: Any = None,
    K: int | None = None,
    component: str | None = None,
    dims: str | Sequence[str] | None = None,
    prefix: str = "",
) -> TensorVariable:
    r"""Poisson counts with a rate per component and a known exposure.

    .. math::

        F(y \mid \lambda) &= \frac{(e\lambda)^y}{y!} \exp(-e\lambda),
            \quad e = \text{exposure} \\
        \lambda &\sim \mathrm{Gamma}(a, a / \text{scale}), \quad a = \text{prior_shape},
            \quad \mathrm{E}\,\lambda = \text{scale}

    Conjugate: the rate can be integrated out.

    Parameters
    ----------
    name : str
        Name of the observed variable.
    z : TensorVariable
        The allocation, shape (N,).
    observed : array_like or pm.Data, shape (N,)
        Counts.
    exposure : float, array_like of shape (N,), pm.Data or TensorVariable, default 1
        Time at risk, population, area: above zero.
    scale : float
        Typical count per unit of exposure, the prior mean of the atom ``rate``. May be left out
        with `scale_to`; it is then the mean of these counts over the mean exposure.
    prior_shape : float, default 1
        Shape a > 0 of the prior, 1 over its squared coefficient of variation.
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
    >>> dps.kernels.poisson("deaths", z, exposure=years, scale=0.1, observed=deaths)
    """
    place = locate(name, z, K, component, dims, prefix)
    data = counts(place, observed)
    exposure = known(place, "exposure", exposure, "positive", len(data))
    if scale is None and scale_to is not None:
        scale = (
            real(place, "scale_to", scale_to).mean() / numbers(place, "exposure", exposure).mean()
        )
    if scale is None:
        raise missing_scale(place, "scale", "the typical count per unit of exposure")
    scale = setting(place, "scale", scale, "positive")
    prior_shape = setting(place, "prior_shape", prior_shape, "positive")
    rate = place.atom(pm.Gamma, "rate", prior_shape, prior_shape / scale)
    return place.observe(pm.Poisson, exposure * rate[z], observed=observed)


def binomial(
    name: str,
    z: TensorVariable,
    *,
    observed: Any,
    trials: Any,
    location: Any = None,
    weight: Any = 2.0,
    scale_to: Any = None,
    K: int | None = None,
    component: str | None = None,
    dims: str | Sequence[str] | None = None,
    prefix: str = "",
) -> TensorVariable:
    r"""Binomial counts with a probability per component and a known number of trials.

    .. math::

        F(y \mid p) &= \binom{n}{y} p^y (1-p)^{n-y}, \quad n = \text{trials} \\
        p &\sim \mathrm{Beta}(w m, w (1 - m)), \quad m = \text{location},
            \quad w = \text{weight}

    With the defaults p is uniform. Conjugate: the probability can be integrated out.

    Parameters
    ----------
    name : str
        Name of the observed variable.
    z : TensorVariable
        The allocation, shape (N,).
    observed : array_like or pm.Data, shape (N,)
        Counts of at most `trials`.
    trials : int, array_like of shape (N,), or pm.Data
        Number of trials n.
    location : float, optional
        Prior mean of the atom ``p``. Default: 1/2, or the mean of `scale_to` over the mean number
        of trials.
    weight : float, default 2
        Prior number of trials that `location` is worth.
    scale_to, K, component, dims, prefix
        See `pymc_dpsteps.kernels`.

    Returns
    -------
    TensorVariable
        The observed variable.

    Raises
    ------
    TypeError, ValueError
        As `poisson`; no scale is needed, for the probability has none.

    Examples
    --------
    >>> dps.kernels.binomial("hits", z, trials=at_bats, observed=hits)
    """
    place = locate(name, z, K, component, dims, prefix)
    data = counts(place, observed)
    trials = known(place, "trials", trials, "count", len(data))
    n = numbers(place, "trials", trials)
    check_items(place, "observed", data, data > n, "expected at most the number of trials")
    if location is None:
        location = 0.5
        if scale_to is not None:
            location = real(place, "scale_to", scale_to).mean() / n.mean()
    location = setting(place, "location", location, "fraction")
    weight = setting(place, "weight", weight, "positive")
    p = place.atom(pm.Beta, "p", weight * location, weight * (1.0 - location))
    return place.observe(pm.Binomial, trials, p[z], observed=observed)


def multinomial(
    name: str,
    z: TensorVariable,
    *,
    observed: Any,
    location: Any = None,
    weight: Any = None,
    scale_to: Any = None,
    K: int | None = None,
    component: str | None = None,
    dims: Sequence[str] | None = None,
    prefix: str = "",
) -> TensorVariable:
    r"""Multinomial counts with a vector of probabilities per component.

    .. math::

        F(y \mid p) &= \frac{n!}{\prod_j y_j!} \prod_{j=1}^{D} p_j^{y_j},
            \quad n = \textstyle\sum_j y_j \\
        p &\sim \mathrm{Dirichlet}(w m), \quad m = \text{location}, \quad w = \text{weight}

    With the defaults p is uniform on the simplex. Conjugate: the probabilities can be integrated
    out.

    Parameters
    ----------
    name : str
        Name of the observed variable.
    z : TensorVariable
        The allocation, shape (N,).
    observed : array_like or pm.Data, shape (N, D)
        Counts of D categories; the total of a row is known.
    location : array_like of shape (D,), optional
        Prior mean of the atom ``p``, shape (K, D), which sums to one. Default: all 1/D, or the
        share of every category in the total of `scale_to`.
    weight : float, optional
        Prior number of observations that `location` is worth. Default: D.
    scale_to, K, component, dims, prefix
        See `pymc_dpsteps.kernels`; `scale_to` has D columns.

    Returns
    -------
    TensorVariable
        The observed variable.

    Raises
    ------
    TypeError, ValueError
        As `poisson`; no scale is needed.

    Examples
    --------
    >>> dps.kernels.multinomial("votes", z, observed=votes)
    """
    place = locate(name, z, K, component, dims, prefix)
    data = counts(place, observed, ndim=2)
    check_items(place, "observed", data, np.isnan(data).any(axis=1), "expected no missing counts")
    a = composition_prior(place, location, weight, scale_to, data.shape[1])
    totals = observed.sum(axis=1) if isinstance(observed, Variable) else data.sum(axis=1)
    p = place.atom(pm.Dirichlet, "p", a, axes=(data.shape[1],))
    return place.observe(pm.Multinomial, totals, p[z], observed=observed)
