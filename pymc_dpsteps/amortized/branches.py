"""Several denoising paths at a time that are scored by the model's density on the way.

Sequential Monte Carlo over partitions, for the sequence of densities p(y_σ(1..t), c_σ(1..t)) of the
items placed so far: MacEachern, S. N., Clyde, M. and Liu, J. S. (1999). Sequential importance
sampling for nonparametric Bayes models: the next generation. Canadian Journal of Statistics 27,
251–267. Here the network, which sees the masked items, proposes. A weight is density over proposal;
when the effective sample size falls below half of the paths they are resampled (Doucet, A. and
Johansen, A. M. 2009, A tutorial on particle filtering and smoothing, section 3.5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp

from pymc_dpsteps.amortized.paths import Draws, Paths, at
from pymc_dpsteps.amortized.resampling import systematic

__all__ = ["Branches", "find_best", "run_branches"]

_FEW = 0.5  # of the paths: an effective sample size below it has them resampled


@dataclass(frozen=True)
class Branches:
    """Paths at their end.

    Attributes
    ----------
    draws : Draws
        Partitions. Their log q is such that p / q is the weight: that of the path since it was
        last resampled, times the mean weights before.
    resampled : int
        How often paths were resampled.
    log_evidence : float
        Estimate of log p(y), of which the exponential is unbiased.
    """

    draws: Draws
    resampled: int
    log_evidence: float


@torch.no_grad()
def run_branches(
    paths: Paths,
    order: NDArray[np.int64],
    generator: torch.Generator,
    rng: np.random.Generator,
) -> Branches:
    """Let paths run along one order, weighted and resampled.

    Parameters
    ----------
    paths : Paths
        Nothing placed yet.
    order : numpy.ndarray of int64, shape (n,)
    generator, rng : torch.Generator, numpy.random.Generator

    Returns
    -------
    Branches
    """
    n_paths = len(paths.log_q)
    log_weight, log_evidence, resampled = np.zeros(n_paths), 0.0, 0
    for t, item in enumerate(order):
        chosen, before = np.full(n_paths, item), paths.walks.log_prob - paths.log_q
        log_q = paths.options(chosen)
        option = torch.multinomial(log_q.exp(), 1, generator=generator)[:, 0].cpu().numpy()
        paths.take(chosen, option, at(log_q, option))
        log_weight += paths.walks.log_prob - paths.log_q - before
        weight = np.exp(log_weight - log_weight.max())
        few = weight.sum() ** 2 / (weight**2).sum() < _FEW * n_paths
        if few and t + 1 < len(order):
            log_evidence += log_weight.max() + np.log(weight.mean())
            paths.choose(systematic(weight / weight.sum(), n_paths, rng))
            log_weight[:] = 0.0
            resampled += 1
    drawn = paths.draws(generator)
    log_weight += drawn.log_p - paths.walks.log_prob - (drawn.log_q - paths.log_q)  # of slots
    total = log_evidence + logsumexp(log_weight) - np.log(n_paths)
    weighted = replace(drawn, log_q=drawn.log_p - log_weight - log_evidence)
    return Branches(weighted, resampled, total)


@torch.no_grad()
def find_best(paths: Paths, order: NDArray[np.int64]) -> Draws:
    """Search for a partition of high posterior probability, along one order.

    At every item those paths and options go on that the network holds to be most probable (beam
    search), and at the end all are scored by the model's density. Nothing is drawn from the
    posterior.

    Parameters
    ----------
    paths : Paths
        Nothing placed yet.
    order : numpy.ndarray of int64, shape (n,)

    Returns
    -------
    Draws
        The partitions found, the best first.
    """
    n_paths = len(paths.log_q)
    alive = np.arange(n_paths) == 0  # all paths are the same to begin with
    for item in order:
        chosen = np.full(n_paths, item)
        log_q = paths.options(chosen).double().cpu().numpy()
        score = np.where(alive[:, None], paths.log_q[:, None] + log_q, -np.inf).ravel()
        best = np.argsort(-score, kind="stable")[:n_paths]
        best = np.resize(best[score[best] > -np.inf], n_paths)
        alive = np.arange(n_paths) < np.sum(score > -np.inf)
        kept, option = np.divmod(best, log_q.shape[1])
        paths.choose(kept)
        paths.take(chosen, option, log_q[kept, option])
    found = paths.draws()
    order_found = np.flatnonzero(alive)[np.argsort(-found.log_p[alive], kind="stable")]
    return found.take(order_found)
