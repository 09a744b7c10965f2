"""Missing entries of multivariate normal observations: integrated out, and drawn given the rest.

Of other distributions PyMC separates what was observed of an array from what was not, entry by
entry. The entries of a multivariate normal vector stay in one density, which holds the missing
ones as variables. Here that density is replaced by the one of the observed entries alone. In both,
the covariance is factorised with the observed entries first,

    L = [[L_oo, 0], [L_mo, L_mm]],   u = L_oo⁻¹ (y_o - m_o):

the density needs ``L_oo`` and u only, and ``y_m = m_m + L_mo u + L_mm ε`` is a draw given y_o.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, pi

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pymc.distributions.distribution import PartialObservedRV
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.random.basic import MvNormalRV
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps import linalg
from pymc_dpsteps.jit import njit
from pymc_dpsteps.mixture.small_matrices import SmallMatrixOp

__all__ = ["draw_given_observed", "without_missing"]


@njit
def factorise(y: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Order with the observed entries first, the factor L in that order, and their number."""
    order = np.empty(len(y), dtype=np.int64)
    n_observed, n_missing = 0, 0
    for i in range(len(y)):
        if np.isnan(y[i]):
            n_missing += 1
            order[len(y) - n_missing] = i
        else:
            order[n_observed] = i
            n_observed += 1
    root = np.zeros(covariance.shape)
    for i in range(len(y)):
        for j in range(i + 1):
            root[i, j] = covariance[order[i], order[j]]
    linalg.cholesky(root)
    return order, root, n_observed


@njit
def whiten(
    y: np.ndarray, mean: np.ndarray, order: np.ndarray, root: np.ndarray, n: int
) -> np.ndarray:
    """``L_oo⁻¹ (y_o - m_o)`` for the n observed entries."""
    u = np.empty(n)
    for i in range(n):
        u[i] = y[order[i]] - mean[order[i]]
    linalg.solve_lower(root, u)
    return u


class ObservedNormal(SmallMatrixOp):
    """Log density of the entries of a normal vector that are not NaN."""

    gufunc_signature = "(m),(m),(m,m)->()"
    output_ndim = 0

    @staticmethod
    def compute(y: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """Log density; minus infinity where the covariance is not positive definite."""
        order, root, n = factorise(y, covariance)
        u = whiten(y, mean, order, root, n)
        total = -0.5 * n * log(2.0 * pi)
        for i in range(n):
            total -= 0.5 * u[i] * u[i] + np.log(root[i, i])
        for i in range(len(y)):
            if not root[i, i] > 0.0:
                total = -np.inf
        return np.asarray(total)


class CompletedNormal(SmallMatrixOp):
    """A normal vector whose missing entries are drawn given the others, from normal noise."""

    gufunc_signature = "(m),(m),(m,m),(m)->(m)"
    output_ndim = 1

    @staticmethod
    def compute(
        y: np.ndarray, mean: np.ndarray, covariance: np.ndarray, noise: np.ndarray
    ) -> np.ndarray:
        """Replace NaN."""
        order, root, n = factorise(y, covariance)
        u = np.empty(len(y))
        u[:n] = whiten(y, mean, order, root, n)
        u[n:] = noise[n:]
        out = y.copy()
        for i in range(n, len(y)):
            out[order[i]] = mean[order[i]]
            for l in range(i + 1):
                out[order[i]] += root[i, l] * u[l]
        return out


def without_missing(
    model: pm.Model, factors: dict[TensorVariable, TensorVariable]
) -> tuple[dict[TensorVariable, TensorVariable], list[TensorVariable]]:
    """Integrate the missing entries of multivariate normal vectors out of their density.

    Parameters
    ----------
    model : pm.Model
        The frozen model.
    factors : dict
        Random variable or potential -> its log density.

    Returns
    -------
    factors : dict
        The same with densities of the observed entries alone.
    missing : list of TensorVariable
        The variables that were integrated out.
    """
    found = dict(factors)
    missing = []
    for rv in model.observed_RVs:
        if not _is_normal_with_gaps(rv):
            continue
        gaps = model.named_vars.get(f"{rv.name.removesuffix('_observed')}_unobserved")
        value = model.rvs_to_values.get(gaps)
        others = [factor for term, factor in factors.items() if term not in (rv, gaps)]
        if value is None or value in ancestors(others):
            continue
        observed, mean, covariance = _arguments(model, rv)
        found[rv] = Blockwise(ObservedNormal())(observed, mean, covariance)
        missing.append(gaps)
    return found, missing


def draw_given_observed(model: pm.Model, gaps: TensorVariable) -> Variable | None:
    """Draw of missing entries given the observed ones, where these are not independent.

    Returns
    -------
    Variable or None
        A random graph of the model's values, in the order of the variable `gaps`; None if it is
        not a part of a multivariate normal variable.
    """
    if not _is_normal_with_gaps(gaps):
        return None
    observed = gaps.owner.outputs[0]
    y, mean, covariance = _arguments(model, observed)
    rng = pytensor.shared(np.random.default_rng())  # the step's own takes its place
    noise = pt.random.normal(size=y.type.shape, rng=rng)
    completed = Blockwise(CompletedNormal())(y, mean, covariance, noise)
    return completed[np.isnan(y.data).nonzero()]


def _is_normal_with_gaps(rv: TensorVariable) -> bool:
    op = rv.owner.op
    if not isinstance(op, PartialObservedRV):
        return False
    normal, mask = rv.owner.inputs
    return (
        isinstance(normal.owner.op, MvNormalRV)
        and isinstance(mask, Constant)
        and mask.data.ndim == 2
    )


def _arguments(model: pm.Model, observed: TensorVariable) -> Sequence[TensorVariable]:
    """Data with NaN where missing, means and covariances, a row per item."""
    normal, mask = observed.owner.inputs
    data = np.full(mask.data.shape, np.nan)
    data[~mask.data] = model.rvs_to_values[observed].eval()
    mean, covariance = model.replace_rvs_by_values(normal.owner.op.dist_params(normal.owner))
    n, d = data.shape
    return (
        pt.constant(data),
        pt.specify_shape(pt.broadcast_to(mean, (n, d)), (n, d)),
        pt.specify_shape(pt.broadcast_to(covariance, (n, d, d)), (n, d, d)),
    )
