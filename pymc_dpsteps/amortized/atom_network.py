"""A network that draws atoms as well, where they cannot be integrated out.

The item that opens a cluster is followed by the cluster's atoms φ, from

    r(φ) = (1 - ε) f(φ | state of "new", the item alone) + ε g0(φ),

f being a flow: Papamakarios, G. et al. (2017). Masked autoregressive flow for density estimation;
Durkan, C. et al. (2019). Neural spline flows. It lives where φ has mean 0 and standard deviation 1
given the item alone (`atom_target.Alone`), and starts as the standard normal distribution there.
The part of G0 keeps weights bounded where the flow is wrong (Hesterberg, T. 1995. Weighted average
importance sampling and defensive mixture distributions).
"""

from __future__ import annotations

from math import log
from typing import Any

import torch
from torch import Tensor, nn
from zuko.distributions import DiagNormal
from zuko.flows import Flow, MaskedAutoregressiveTransform, UnconditionalDistribution
from zuko.transforms import MonotonicRQSTransform

from pymc_dpsteps.amortized.allocation import AllocationNetwork

__all__ = ["FROM_BASE", "AtomNetwork", "mixed"]

FROM_BASE = 0.02
"""ε, the part of atoms that are drawn from G0."""

_BINS = 8


class AtomNetwork(AllocationNetwork):
    """Log probabilities of the options of an item, and a law of the atoms of a new cluster.

    Parameters
    ----------
    inputs, context : int
        See `AllocationNetwork`.
    values : int
        Q, the length of a row of atoms.
    width : int
    **size
        See `AllocationNetwork`.
    """

    def __init__(
        self, inputs: int, context: int, values: int, *, width: int = 64, **size: Any
    ) -> None:
        super().__init__(inputs, context, width=width, **size)
        self.atom = nn.Linear(values, width)
        self.state = nn.LayerNorm(width)
        # Shifts and scales in both orders of the coordinates: a mean may be tight where a scale is
        # small, and the other way round. Then splines, for what is not normal.
        splines = {
            "univariate": MonotonicRQSTransform,
            "shapes": ((_BINS,), (_BINS,), (_BINS - 1,)),
        }
        forward = torch.arange(values)
        transforms = [
            MaskedAutoregressiveTransform(
                values, width + 2 * values, order=order, hidden_features=(width, width), **kind
            )
            for order, kind in ((forward, {}), (forward.flip(0), {}), (forward, splines))
        ]
        for transform in transforms:  # to begin with they change nothing
            nn.init.zeros_(transform.hyper[-1].weight)
            nn.init.zeros_(transform.hyper[-1].bias)
        zero, one = torch.zeros(values), torch.ones(values)
        self.flow = Flow(transforms, UnconditionalDistribution(DiagNormal, zero, one, buffer=True))

    def draw_atoms(self, new: Tensor, seen: Tensor, generator: torch.Generator) -> Tensor:
        """Draws x from the flow, where φ = mean + sd · x, for every row.

        Parameters
        ----------
        new : Tensor, shape (rows, width)
            State of "new", as `forward` returns it.
        seen : Tensor, shape (rows, 2 Q)
            See `Alone`.
        generator : torch.Generator

        Returns
        -------
        Tensor, shape (rows, Q)
        """
        z = torch.randn(len(seen), seen.shape[1] // 2, generator=generator, device=seen.device)
        x: Tensor = self._given(new, seen).transform.inv(z)
        return x

    def log_r(
        self, new: Tensor, seen: Tensor, x: Tensor, log_scale: Tensor, log_g0: Tensor
    ) -> Tensor:
        """Log r of atoms.

        Parameters
        ----------
        new, seen : Tensor, shapes (…, width) and (…, 2 Q)
            See `draw_atoms`.
        x : Tensor, shape (…, Q)
        log_scale : Tensor, shape (…,)
            Sum of log sd.
        log_g0 : Tensor, shape (…,)
            Log density of the atoms under G0.

        Returns
        -------
        Tensor, shape (…,)
        """
        return mixed(self._given(new, seen).log_prob(x) - log_scale, log_g0)

    def _given(self, new: Tensor, seen: Tensor) -> Any:
        return self.flow(torch.cat([self.state(new), seen], dim=-1))


def mixed(log_flow: Tensor, log_g0: Tensor) -> Tensor:
    """Log density of a draw from a flow, or with probability ε from G0."""
    return torch.logaddexp(log_flow + log(1.0 - FROM_BASE), log_g0 + log(FROM_BASE))
