"""Kernels of real vectors: multivariate normal with a full, diagonal or spherical covariance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.transforms import CholeskyCovTransform
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.kernels.checks import rows, setting
from pymc_dpsteps.kernels.normal import variance
from pymc_dpsteps.kernels.place import Place, locate
from pymc_dpsteps.kernels.scales import spread

__all__ = ["mvnormal"]


def mvnormal(
    name: str,
    z: TensorVariable,
    *,
    observed: Any,
    covariance: str = "full",
    location: Any = None,
    scale: Any = None,
    ratio: Any = 1 / 3,
    df: Any = None,
    prior_shape: Any = None,
    scale_to: Any = None,
    K: int | None = None,
    component: str | None = None,
    dims: Sequence[str] | None = None,
    prefix: str = "",
) -> TensorVariable:
    r"""Multivariate normal observations with a mean and a covariance per component.

    .. math::

        F(y \mid \mu, \Sigma) = (2\pi)^{-D/2} |\Sigma|^{-1/2}
            \exp\left(-\tfrac12 (y-\mu)^\top \Sigma^{-1} (y-\mu)\right)

    ``"full"``: the precision matrix :math:`T = \Sigma^{-1}` is the atom ``precision``, and with
    :math:`s^2` = scale²

    .. math::

        T &\sim \mathrm{Wishart}(\nu, V), \quad \nu = \text{df}, \quad
            V^{-1} = (\nu - D - 1)\,\text{ratio}^2\,\mathrm{diag}(s_1^2, \ldots, s_D^2) \\
        \mu \mid T &\sim \mathrm{MvNormal}(\text{location}, T^{-1} / \text{ratio}^2)

    so that :math:`\mathrm{E}\,\Sigma = \text{ratio}^2\,\mathrm{diag}(s^2)` and
    :math:`\operatorname{cov} \mu = \mathrm{diag}(s^2)`.

    ``"diagonal"``: every coordinate is a `normal` kernel, with atoms ``mu`` and ``sigma2``.

    ``"spherical"``: :math:`\Sigma = \sigma^2 I` with one atom ``sigma2``, and independent of it
    the means:

    .. math::

        \mu_j \sim \mathrm{Normal}(\text{location}_j, s_j), \quad
        \sigma^2 \sim \mathrm{InverseGamma}(a, (a-1)\,\text{ratio}^2\,\overline{s^2}),
            \quad a = \text{prior_shape}

    Conjugate for ``"full"`` (normal–Wishart) and ``"diagonal"`` (normal–inverse-gamma): all can be
    integrated out. For ``"spherical"``, mean and variance are conjugate given the other only.

    Parameters
    ----------
    name : str
        Name of the observed variable.
    z : TensorVariable
        The allocation, shape (N,).
    observed : array_like or pm.Data, shape (N, D)
        Real vectors, one per row.
    covariance : {"full", "diagonal", "spherical"}, default "full"
        Form of the covariance.
    location : float or array_like of shape (D,), optional
        Prior mean of the atom ``mu``, shape (K, D). Default: 0, or the column means of `scale_to`.
    scale : float or array_like of shape (D,)
        Prior sd of ``mu``: the sd of all data, in their units, by column. May be left out with
        `scale_to`, whose sd it is then.
    ratio : float, default 1/3
        Typical sd within a component, relative to `scale`.
    df : float, optional
        Degrees of freedom ν > D + 1, for ``"full"`` only. Default: D + 2.
    prior_shape : float, optional
        Shape a > 1 of the prior of ``sigma2``, for the others only. Default: 2.
    scale_to, K, component, dims, prefix
        See `pymc_dpsteps.kernels`; `scale_to` has D columns.

    Returns
    -------
    TensorVariable
        The observed variable.

    Raises
    ------
    TypeError, ValueError
        As `normal_mean`; also for a setting that the form of the covariance does not have.

    Examples
    --------
    >>> dps.kernels.mvnormal("y", z, scale_to=y, observed=y)
    """
    forms = {"full": _full, "diagonal": _diagonal, "spherical": _spherical}
    if covariance not in forms:
        raise ValueError(
            f"{name}: covariance = {covariance!r}; expected one of {', '.join(map(repr, forms))}."
        )
    unused = {"df": df} if covariance != "full" else {"prior_shape": prior_shape}
    for what, value in unused.items():
        if value is not None:
            raise ValueError(
                f"{name}: a {covariance} covariance has no {what}; leave it out, or take another "
                "covariance."
            )
    place = locate(name, z, K, component, dims, prefix)
    d = rows(place, observed, ndim=2).shape[1]
    location, scale = spread(place, location, scale, scale_to, shape=(d,))
    ratio = setting(place, "ratio", ratio, "positive")
    strength = df if covariance == "full" else 2.0 if prior_shape is None else prior_shape
    return forms[covariance](place, observed, d, location, scale, ratio, strength)


def _full(
    place: Place, observed: Any, d: int, location: Any, scale: Any, ratio: Any, df: Any
) -> TensorVariable:
    df = setting(place, "df", d + 2.0 if df is None else df, "positive")
    if not isinstance(df, TensorVariable) and df <= d + 1:
        raise ValueError(
            f"{place.name}: df = {df}; expected more than D + 1 = {d + 1}, so that the covariance "
            "has a mean."
        )
    typical_variance = pt.broadcast_to(pt.as_tensor(ratio * scale, dtype="float64") ** 2, (d,))
    precision = place.atom(
        pm.Wishart,
        "precision",
        df,
        pt.diag(1.0 / ((df - d - 1) * typical_variance)),
        axes=(d, d),
        # The default one takes n from the graph of V, and PyMC has no density if V is random.
        default_transform=CholeskyCovTransform(n=d),
    )
    covariance = pt.linalg.inv(precision)
    location = pt.broadcast_to(pt.as_tensor(location, dtype="float64"), (d,))
    mu = place.atom(pm.MvNormal, "mu", location, cov=covariance / ratio**2, axes=(d,))
    z = place.z
    return place.observe(pm.MvNormal, mu[z], cov=covariance[z], observed=observed)


def _diagonal(
    place: Place, observed: Any, d: int, location: Any, scale: Any, ratio: Any, prior_shape: Any
) -> TensorVariable:
    sigma2 = variance(place, prior_shape, ratio * scale, axes=(d,))
    mu = place.atom(pm.Normal, "mu", location, pt.sqrt(sigma2) / ratio, axes=(d,))
    z = place.z
    return place.observe(pm.Normal, mu[z], pt.sqrt(sigma2)[z], observed=observed)


def _spherical(
    place: Place, observed: Any, d: int, location: Any, scale: Any, ratio: Any, prior_shape: Any
) -> TensorVariable:
    mean_square = pt.mean(pt.as_tensor(scale, dtype="float64") ** 2)
    sigma2 = variance(place, prior_shape, ratio * pt.sqrt(mean_square))
    mu = place.atom(pm.Normal, "mu", location, scale, axes=(d,))
    z = place.z
    return place.observe(pm.Normal, mu[z], pt.sqrt(sigma2)[z][:, None], observed=observed)
