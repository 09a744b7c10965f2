"""How many sweeps one independent draw costs: the integrated autocorrelation time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, next_fast_len, rfft

__all__ = ["integrated_autocorr_time"]

_WINDOW = 5.0  # Sokal's c


def integrated_autocorr_time(
    x: ArrayLike | xr.DataArray | xr.Dataset | xr.DataTree,
    *,
    method: Literal["geyer", "sokal"] = "geyer",
) -> Any:
    r"""Integrated autocorrelation time, in sweeps.

    .. math::

        \tau = 1 + 2 \sum_{t=1}^{\infty} \rho_t

    where :math:`\rho_t` is the autocorrelation at lag t. The mean of n draws is as good as that of
    :math:`n / \tau` independent ones.

    Parameters
    ----------
    x : array_like of float, shape (draw,) or (chain, draw), or xarray object
        Draws of a scalar. An xarray object has the dimension draw and may have the dimension
        chain; its other dimensions are kept. A node of a tree stands for its dataset, as in
        ``integrated_autocorr_time(idata["partition"])``.
    method : {"geyer", "sokal"}, default "geyer"
        Where the sum stops:

        - "geyer": initial monotone sequence [1]_, section 3.3. Sums of adjacent pairs
          :math:`\gamma_{2j} + \gamma_{2j+1}` of autocovariances are positive and decreasing
          for a reversible chain; the sum stops before the first that is not positive, and an
          increase is levelled. Right for negative autocorrelations as well.
        - "sokal": automatic window [2]_, section 3. The first lag W that is at least
          :math:`5 (1/2 + \sum_{t \le W} \rho_t)` is the last; 1/2 + … is half our
          :math:`\tau`. Where autocorrelations decay exponentially it misses about
          :math:`e^{-5}` of :math:`\tau`. Not for chains with negative :math:`\rho_1`, where it
          stops at once.

    Returns
    -------
    float, or xarray.DataArray or Dataset
        The dimensions chain and draw are gone. nan where all draws are the same, or some are
        not finite.

    Raises
    ------
    ValueError
        If there are no draws, the shape is another, or the method is not known.

    Notes
    -----
    Autocovariances are averaged over the chains and taken around the mean of all chains, so that
    chains which disagree show as a long time. They are divided by the number of draws, not of
    pairs, at every lag (the biased estimate), and computed by FFT in O(n log n).

    The relative standard error is about :math:`\sqrt{2 (2 W + 1) / n}`, where n counts the draws
    of all chains and W is the last lag in the sum ([2]_, equation 3.19): about a third for
    :math:`\tau = 40` from 4,000 draws. The result is never below 1 / n.

    References
    ----------
    .. [1] Geyer, C. J. (1992). Practical Markov chain Monte Carlo. Statistical Science 7,
       473-483.
    .. [2] Sokal, A. D. (1997). Monte Carlo methods in statistical mechanics: foundations and new
       algorithms. In DeWitt-Morette, C., Cartier, P. and Folacci, A. (eds), Functional
       Integration: Basics and Applications. Plenum, 131-192.
    """
    if method not in _METHODS:
        raise ValueError(f"method = {method!r}; expected one of {', '.join(map(repr, _METHODS))}.")
    if isinstance(x, xr.DataTree):
        x = x.to_dataset()
    if isinstance(x, xr.DataArray | xr.Dataset):
        if "draw" not in x.dims:
            raise ValueError(f"Dimensions {tuple(x.dims)}; expected 'draw', and maybe 'chain'.")
        return xr.apply_ufunc(
            _time,
            x if "chain" in x.dims else x.expand_dims("chain"),
            input_core_dims=[["chain", "draw"]],
            kwargs={"method": method},
            vectorize=True,
        )
    values = np.asarray(x, dtype=np.float64)
    if values.ndim not in (1, 2):
        raise ValueError(f"Shape {values.shape}; expected (draw,) or (chain, draw).")
    return _time(np.atleast_2d(values), method)


def _time(x: NDArray, method: str) -> float:
    """Time of draws of shape (chain, draw)."""
    x = np.asarray(x, dtype=np.float64)
    if x.size == 0:
        raise ValueError(f"Shape {x.shape}: there are no draws.")
    if not np.isfinite(x).all() or (x == x[0, 0]).all():
        return np.nan
    covariance = _autocovariance(x)
    return max(_METHODS[method](covariance / covariance[0]), 1.0 / x.size)


def _autocovariance(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average over the chains at every lag, shape (draw,)."""
    n = x.shape[1]
    length = next_fast_len(2 * n, real=True)  # zeros behind the draws keep the ends apart
    spectrum = np.abs(rfft(x - x.mean(), length)) ** 2
    covariance: NDArray[np.float64] = irfft(spectrum.mean(axis=0), length)[:n] / n
    return covariance


def _geyer(correlation: NDArray[np.float64]) -> float:
    padded = np.append(correlation, np.zeros(len(correlation) % 2))
    pairs = padded.reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0.0)
    pairs = np.minimum.accumulate(pairs[: ends[0] if len(ends) else None])
    return float(2.0 * pairs.sum() - 1.0)


def _sokal(correlation: NDArray[np.float64]) -> float:
    half = np.cumsum(correlation) - 0.5
    wide = np.flatnonzero(np.arange(len(half)) >= _WINDOW * half)
    return float(2.0 * half[wide[0] if len(wide) else -1])


_METHODS: dict[str, Callable[[NDArray[np.float64]], float]] = {"geyer": _geyer, "sokal": _sokal}
