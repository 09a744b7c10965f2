"""What a step asks of an urn.

An urn is five compiled functions of the occupation counts ``n`` (of length K) and of its
parameter matrix. Algorithms are written once against this interface: join an occupied slot, or
open a new cluster whose slot the urn chooses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import float64, int64, types

from pymc_dpsteps.jit import address_of
from pymc_dpsteps.mixture.structure import PriorKind

__all__ = [
    "CHOOSE_SLOT",
    "DRAW_WEIGHTS",
    "LOG_PROB",
    "LOG_SWAP",
    "PREDICTIVE",
    "Urn",
    "urn_for",
]

_COUNTS = int64[::1]
_PARAMETERS = float64[:, ::1]
_ROW = float64[::1]

PREDICTIVE = float64(_COUNTS, int64[::1], int64, _PARAMETERS, _ROW)
"""``predictive(counts, active, n_active, parameters, weights)``: writes the unnormalised weight
of every occupied slot ``active[:n_active]`` and returns the total weight of a new cluster."""
CHOOSE_SLOT = int64(float64, _COUNTS, int64, _PARAMETERS, _ROW)
"""``choose_slot(u, counts, n_active, parameters, weights)``: the empty slot of a new cluster,
for u uniform on [0, 1) and `weights` as the last call of `predictive` left them."""
LOG_PROB = float64(_COUNTS, int64, _PARAMETERS)
"""``log_prob(counts, n_active, parameters)``: log p(z), weights integrated out."""
LOG_SWAP = float64(_COUNTS, int64, int64, _PARAMETERS)
"""``log_swap(counts, j, l, parameters)``: change of log p(z) when slots j < l trade items."""
DRAW_WEIGHTS = types.void(types.npy_rng, _COUNTS, _PARAMETERS, _ROW, _ROW)
"""``draw_weights(rng, counts, parameters, weights, sticks)``: K weights given the allocation,
and the K - 1 sticks they are made of (untouched where there are none)."""

_SIGNATURES = (PREDICTIVE, CHOOSE_SLOT, LOG_PROB, LOG_SWAP, DRAW_WEIGHTS)


@dataclass(frozen=True)
class Urn:
    """Compiled urn.

    Attributes
    ----------
    kind : PriorKind
        Family of the prior.
    exchangeable : bool
        Whether slots are exchangeable, so that label swaps change nothing.
    addresses : numpy.ndarray
        Machine addresses of predictive, choose_slot, log_prob, log_swap and draw_weights, int64;
        and 1 for the Chinese restaurant process, else 0.
    """

    kind: PriorKind
    exchangeable: bool
    addresses: np.ndarray


@cache
def urn_for(kind: PriorKind) -> Urn:
    """Urn of a family of priors.

    Parameters
    ----------
    kind : PriorKind
        Any family but ``WEIGHTS``, whose weights cannot be integrated out.

    Returns
    -------
    Urn
    """
    functions = _functions(kind)
    addresses = [address_of(f, s) for f, s in zip(functions, _SIGNATURES, strict=True)]
    return Urn(
        kind, kind is PriorKind.CRP, np.array([*addresses, kind is PriorKind.CRP], dtype=np.int64)
    )


def _functions(kind: PriorKind) -> tuple[Any, ...]:
    from pymc_dpsteps.urns import crp, dirichlet, stick_breaking

    modules = {
        PriorKind.CRP: crp,
        PriorKind.STICKS: stick_breaking,
        PriorKind.DIRICHLET: dirichlet,
    }
    m = modules[kind]
    return m.predictive, m.choose_slot, m.log_prob, m.log_swap, m.draw_weights
