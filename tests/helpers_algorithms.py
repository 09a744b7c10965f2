"""The algorithms, and which models each serves: one row per algorithm under test."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pymc_dpsteps as dps

# Priors of the allocation: the Chinese restaurant process with a fixed discount below 1/2 (or
# none) and with a random one, truncated sticks, Dirichlet weights, and weights of unknown law.
CRP, RANDOM_DISCOUNT = "crp", "crp with a random discount"
STICKS, DIRICHLET, WEIGHTS = "sticks", "dirichlet", "weights"


@dataclass(frozen=True)
class Algorithm:
    """A step method and what it serves.

    Attributes
    ----------
    make : callable
        Builds the step; takes the options that all steps have.
    urns : frozenset of str
        Priors of the allocation that it serves.
    conjugate : bool
        Whether it needs a conjugate model.
    """

    make: Callable[..., Any]
    urns: frozenset[str]
    conjugate: bool = False


CRPS = frozenset({CRP, RANDOM_DISCOUNT})
EXPLICIT = frozenset({STICKS, DIRICHLET, WEIGHTS})
URNS = CRPS | {STICKS, DIRICHLET}  # the weights can be integrated out

ALGORITHMS = {
    "neal1": Algorithm(dps.Neal1, URNS, conjugate=True),
    "neal2": Algorithm(dps.Neal2, URNS, conjugate=True),
    "neal3": Algorithm(dps.Neal3, URNS, conjugate=True),
    "neal4": Algorithm(dps.Neal4, CRPS),
    "neal5": Algorithm(dps.Neal5, URNS),
    "neal6": Algorithm(dps.Neal6, URNS),
    "neal7": Algorithm(dps.Neal7, URNS),
    "neal8": Algorithm(dps.Neal8, URNS),
    "neal8-m1": Algorithm(partial(dps.Neal8, m=1, reuse=False), URNS),
    "neal8-m2": Algorithm(partial(dps.Neal8, m=2, reuse=False), URNS),
    "neal8-m30": Algorithm(partial(dps.Neal8, m=30, reuse=False), URNS),
    "blocked": Algorithm(dps.BlockedGibbs, EXPLICIT),
    "slice": Algorithm(dps.SliceGibbs, EXPLICIT | {CRP}),
    "slice-xi": Algorithm(partial(dps.SliceGibbs, xi=0.5), EXPLICIT),
    "importance-m1": Algorithm(partial(dps.ImportanceConditional, m=1), EXPLICIT | CRPS),
    "split-merge": Algorithm(partial(dps.SplitMerge, proposal="nonconjugate", moves=3), URNS),
    "split-merge-plug-in": Algorithm(
        partial(dps.SplitMerge, proposal="plug_in", moves=3, transfers=1), URNS
    ),
    "split-merge-restricted": Algorithm(
        partial(dps.SplitMerge, proposal="restricted_gibbs", moves=3), URNS, conjugate=True
    ),
    "split-merge-sequential": Algorithm(
        partial(dps.SplitMerge, proposal="sequential", moves=3, transfers=1),
        URNS,
        conjugate=True,
    ),
    "importance": Algorithm(dps.ImportanceConditional, EXPLICIT | CRPS),
}


def serving(urn: str, *, conjugate: bool = True) -> list[str]:
    """Names of the algorithms that serve a prior, and a model that is conjugate or is not."""
    return [
        name
        for name, algorithm in ALGORITHMS.items()
        if urn in algorithm.urns and (conjugate or not algorithm.conjugate)
    ]
