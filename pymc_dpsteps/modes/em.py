"""Penalised EM for the continuous variables, with any kernel and base measure.

Dempster, A. P., Laird, N. M. and Rubin, D. B. (1977). Maximum likelihood from incomplete data via
the EM algorithm. Journal of the Royal Statistical Society B 39, 1-38: with a prior, and in the
generalised form, whose M-steps increase Q and need not maximise it. The last stretch, where EM is
slow, is climbed by quasi-Newton steps on the log posterior itself, as in Jamshidian, M. and
Jennrich, R. I. (1997). Acceleration of the EM algorithm by using quasi-Newton methods. Journal of
the Royal Statistical Society B 59, 569-587.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from pymc_dpsteps.mixture.structure import MixtureError
from pymc_dpsteps.modes.objective import Objective

__all__ = ["Mode", "ascend", "draw_start", "find_mode"]

type Vector = NDArray[np.float64]

_M_STEPS = 10  # quasi-Newton iterations of an M-step: it need not reach the maximum of Q
_START_STEPS = 50  # of one that comes from elsewhere
_POLISH_STEPS = 2_000
_MAX_ITERATIONS = 1_000
_SMALL_GAIN = 1e-3  # nats; below this per iteration EM hands over
_STARTS = 100


@dataclass(frozen=True)
class Mode:
    """A local maximum of the log posterior, or the way to it.

    Attributes
    ----------
    x : numpy.ndarray
        All continuous variables.
    log_posterior : float
        log p(x, y), the allocation summed out.
    responsibilities : numpy.ndarray, shape (N, K)
        Probability that item i belongs to component k, given x.
    path : tuple of float
        Log posterior before and after every iteration of EM.
    """

    x: Vector
    log_posterior: float
    responsibilities: Vector
    path: tuple[float, ...]

    @property
    def labels(self) -> NDArray[np.int64]:
        """Most probable component of every item."""
        return self.responsibilities.argmax(axis=1)


def find_mode(objective: Objective, rng: np.random.Generator) -> Mode:
    """Climb to a local maximum from a random start.

    Parameters
    ----------
    objective : Objective
        What to maximise.
    rng : numpy.random.Generator
        Draws the start.

    Returns
    -------
    Mode

    Raises
    ------
    MixtureError
        If no start has a finite density.
    """
    # L-BFGS-B solves small systems, at which threads of BLAS lose more time waiting than they save.
    with threadpool_limits(limits=1, user_api="blas"):
        return _find_mode(objective, rng)


def _find_mode(objective: Objective, rng: np.random.Generator) -> Mode:
    found = ascend(objective, draw_start(objective, rng))
    # Under stick-breaking the order of the components counts: larger ones come first.
    while True:
        order = np.argsort(-found.responsibilities.sum(axis=0), kind="stable")
        x = objective.reordered(found.x, order)
        r = found.responsibilities[:, order]
        other = ascend(objective, _maximise_expected(objective, x, r, _START_STEPS))
        if not other.log_posterior > found.log_posterior + _SMALL_GAIN:
            return _polish(objective, found)
        found = other


def ascend(objective: Objective, x: Vector) -> Mode:
    """Iterate EM from `x` until the log posterior gains little; it never falls."""
    log_posterior, r = objective.marginal(x)
    path = [float(log_posterior)]
    for _ in range(_MAX_ITERATIONS):
        new = _maximise_expected(objective, x, r, _M_STEPS)
        log_posterior, new_r = objective.marginal(new)
        gain = float(log_posterior) - path[-1]
        if not gain > 0.0:
            break
        x, r = new, new_r
        path.append(float(log_posterior))
        if gain < _SMALL_GAIN:
            break
    return Mode(x, path[-1], r, tuple(path))


def draw_start(objective: Objective, rng: np.random.Generator) -> Vector:
    """Fit every component to an item of its own and, with the weight of one more, to all items.

    Different components get different items. That the fit starts from draws from G0 and stops
    early matters little: it has to tell the components apart, no more.
    """
    n_items, n_components = objective.n_items, objective.n_components
    n_seeds = min(n_items, n_components)
    for _ in range(_STARTS):
        x = objective.pack(objective.draw(int(rng.integers(2**31))))
        r = np.zeros((n_items, n_components))
        r[:, :n_seeds] = 1.0 / n_items
        r[rng.choice(n_items, n_seeds, replace=False), np.arange(n_seeds)] += 1.0
        r[~np.isfinite(objective.log_kernel(x))] = 0.0  # items outside a component's support
        x = _maximise_expected(objective, x, r, _START_STEPS)
        if np.isfinite(objective.marginal(x)[0]):
            return x
    raise MixtureError(
        f"{_STARTS} starts with atoms drawn from their prior have density zero, or none. Check the "
        "range of the data, the priors and the initial values (initval=) of the other variables."
    )


def _maximise_expected(objective: Objective, x: Vector, r: Vector, steps: int) -> Vector:
    return _climb(lambda at: objective.expected(at, r), x, steps)


def _polish(objective: Objective, mode: Mode) -> Mode:
    def marginal(x: Vector) -> tuple[float, Vector]:
        log_posterior, r = objective.marginal(x)
        return log_posterior, objective.expected(x, r)[1]  # Fisher's identity

    x = _climb(marginal, mode.x, _POLISH_STEPS)
    log_posterior, r = objective.marginal(x)
    if not log_posterior >= mode.log_posterior:
        return mode
    return Mode(x, float(log_posterior), r, mode.path)


def _climb(f: Callable[[Vector], tuple[float, Vector]], x: Vector, steps: int) -> Vector:
    """Maximise by L-BFGS, at most so many iterations."""
    # Infinity would end the line search; a value that is merely bad shortens the step.
    bad = 1.0 + 2.0 * abs(float(f(x)[0]))

    def negative(x: Vector) -> tuple[float, Vector]:
        value, gradient = f(x)
        if np.isfinite(value) and np.isfinite(gradient).all():
            return -float(value), -gradient
        return bad, np.zeros_like(x)

    # ftol: rounding alone ends the climb before the gradient does.
    options = {"maxiter": steps, "maxfun": 10 * steps, "ftol": 1e-15, "gtol": 1e-6}
    found: Vector = minimize(negative, x, jac=True, method="L-BFGS-B", options=options).x
    return found
