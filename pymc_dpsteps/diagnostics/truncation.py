"""How many sticks approximate a Dirichlet process: a bound that needs no data."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from scipy.special import xlog1py
from scipy.stats import gamma

__all__ = ["truncation_bound", "truncation_level"]

_N_NODES = 4001
_TAIL = 1e-15  # relative mass of the integrand outside the nodes


def truncation_bound(alpha: float, n: int, K: int) -> float:
    r"""Bound on what a truncation at K sticks changes in the density of n observations.

    .. math::

        \int |m_K(y) - m_\infty(y)| \, dy \;\le\;
            4 \left[1 - E\left\{\left(\sum_{k=1}^{K-1} w_k\right)^n\right\}\right]

    where :math:`m_K` and :math:`m_\infty` are the marginal densities of all n observations under
    the process truncated at K weights and under the Dirichlet process, whatever kernel and base
    measure: theorem 2 of [1]_. The term in brackets is the prior probability that one of n items
    is not in the first K - 1 components.

    Parameters
    ----------
    alpha : float
        Concentration.
    n : int
        Number of items, at least 1.
    K : int
        Number of weights, at least 1; the last one takes what the others leave.

    Returns
    -------
    float
        Between 0 and 4. An L1 distance of densities is at most 2: a larger bound says nothing.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    The expectation is computed, not approximated. The first K - 1 sticks leave
    :math:`R = \prod_k (1 - V_k) = e^{-G / \alpha}` with :math:`G \sim` Gamma(K - 1, 1), so that
    the bound is :math:`4 \, E[1 - (1 - e^{-G / \alpha})^n]`, a one-dimensional integral with a
    log-concave, positive integrand, by the trapezoid rule in log G.

    The approximation :math:`4 n e^{-(K-1)/\alpha}` in [1]_ puts the mean of G in its place. It is
    smaller than the bound itself, by a factor that grows with :math:`K / \alpha^2`: 5e-8 instead of
    6e-7 for n = 100,000, :math:`\alpha` = 5 and K = 150.

    For a Pitman-Yor process R has no such law; the bound is not computed.

    References
    ----------
    .. [1] Ishwaran, H. and James, L. F. (2001). Gibbs sampling methods for stick-breaking
       priors. Journal of the American Statistical Association 96, 161-173.
    """
    _check(alpha=alpha)
    _check_count(n=n, K=K)
    return _bound(float(alpha), n, K)


def truncation_level(alpha: float, n: int, eps: float = 0.01) -> int:
    """Smallest number of sticks for which the bound of a truncation is at most eps.

    Parameters
    ----------
    alpha : float
        Concentration of the Dirichlet process.
    n : int
        Number of items, at least 1.
    eps : float, default 0.01
        Greatest L1 distance, between 0 and 2, that is allowed between the marginal densities of
        the n observations under the truncated and the full process; see
        `dps.diagnostics.truncation_bound`.

    Returns
    -------
    int
        The number of weights K, the length of ``pm.StickBreakingWeights("w", alpha, K=K - 1)``.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    The bound is for the prior, and loose: a posterior often needs fewer sticks, as
    `dps.check_truncation` shows. Where alpha is unknown, take a high quantile of its prior.

    References
    ----------
    .. [1] Ishwaran, H. and James, L. F. (2001). Gibbs sampling methods for stick-breaking
       priors. Journal of the American Statistical Association 96, 161-173. Theorem 2.
    """
    _check(alpha=alpha, eps=eps)
    _check_count(n=n)
    # E[1 - (1 - R)^n] <= n E[R] = n (alpha / (1 + alpha))^(K - 1) brackets the answer.
    enough = max(np.log(4.0 * n / eps) / np.log1p(1.0 / alpha), 0.0)
    levels = range(1, int(np.ceil(enough)) + 3)  # one to spare, for rounding
    return levels[bisect_left(levels, -eps, key=lambda K: -_bound(float(alpha), n, K))]


def _bound(alpha: float, n: int, K: int) -> float:
    if K == 1:
        return 4.0
    # The integrand lies, in likelihood-ratio order, between Gamma(K - 1, rate 1 + 1 / alpha),
    # since 1 - (1 - R)^n <= n R, and Gamma(K - 1, rate 1).
    low = gamma.ppf(_TAIL, K - 1, scale=alpha / (1.0 + alpha))
    high = gamma.isf(_TAIL, K - 1)
    log_g = np.linspace(np.log(low), np.log(high), _N_NODES)
    g = np.exp(log_g)
    outside = -np.expm1(xlog1py(n, -np.exp(-g / alpha)))
    density = np.exp(gamma.logpdf(g, K - 1) + log_g)
    return float(4.0 * np.trapezoid(outside * density, log_g))


def _check(**values: float) -> None:
    for name, value in values.items():
        if not 0.0 < value < np.inf:
            raise ValueError(f"{name} = {value}; expected a positive, finite number.")


def _check_count(**values: int) -> None:
    for name, value in values.items():
        if value != int(value) or value < 1:
            raise ValueError(f"{name} = {value}; expected an integer of at least 1.")
