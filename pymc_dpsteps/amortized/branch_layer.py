"""Stochastic branches: perceptrons side by side, weighed by a noisy router and by attention.

Shazeer, N. et al. (2017). Outrageously large neural networks: the sparsely-gated
mixture-of-experts layer. ICLR. Section 2.1: a router with noise whose scale is learnt (equation 4),
here without leaving branches out. Vaswani, A. et al. (2017). Attention is all you need, section
3.2.1. For a row x and branches f_1, …, f_B

    r_b ∝ exp(g_b(x) + s_b(x) ε_b),   ε_b ~ Normal(0, 1),
    w_b ∝ r_b exp(query(x) · key(f_b(x)) / √d),

and the row that comes out is Σ_b w_b f_b(x): the router weighs branches before they are heard,
attention by what they say.

There is noise in training only, as with dropout; in evaluation ε = 0. Draws of an allocation are
weighted by q(c | σ, y), and Metropolis–Hastings scores the present partition and a proposal by the
same q, which therefore has to be one function that can be computed again. Noise that is drawn once
a path and without looking at c would do for importance weights (q given the noise), but not for
comparing partitions, and the mean of q over the noise is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["BranchLayer", "BranchMetrics", "branch_metrics"]

_KEY = 16  # length of queries and keys: there are few branches to tell apart


@dataclass(frozen=True)
class BranchMetrics:
    """What the branches of a layer do, without noise; means over rows.

    Attributes
    ----------
    entropy : float
        Of the router, in nats, between 0 and log B.
    usage_entropy : float
        Of the mean of the router over rows, never below `entropy`. Near 0 where all rows go to the
        same branch; equal to `entropy` where the router does not tell rows apart.
    diversity : float
        Cosine distance of what two branches say, over all pairs: 0 where they say the same, 1
        where it is orthogonal.
    noise_scale : float
        Learnt standard deviation of the router's noise, which there is in training.
    """

    entropy: float
    usage_entropy: float
    diversity: float
    noise_scale: float


class BranchLayer(nn.Module):
    """Mixture of branches, each a module from rows to rows.

    Parameters
    ----------
    width : int
        Length of a row.
    branches : int
        B.
    make_branch : callable
        ``make_branch()`` returns a new branch.

    Raises
    ------
    ValueError
        If there are fewer than two branches.
    """

    def __init__(self, width: int, branches: int, make_branch: Callable[[], nn.Module]) -> None:
        super().__init__()
        if branches < 2:
            raise ValueError(
                f"branches = {branches}; expected 2 or more, or 0 for one perceptron and no router."
            )
        self.branches = nn.ModuleList(make_branch() for _ in range(branches))
        self.router = nn.Linear(width, branches)
        self.noise = nn.Linear(width, branches)
        self.query = nn.Linear(width, _KEY)
        self.key = nn.Linear(width, _KEY, bias=False)  # it would be the same for all branches
        nn.init.zeros_(self.noise.weight)
        nn.init.zeros_(self.noise.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Mix what the branches say of rows (…, width)."""
        logits = self.router(x)
        if self.training:
            logits = logits + self._noise_scale(x) * torch.randn_like(logits)
        said = self._said(x)
        attention = torch.einsum("...d,...bd->...b", self.query(x), self.key(said)) / _KEY**0.5
        weight = (logits + attention).softmax(-1)
        return torch.einsum("...b,...bw->...w", weight, said)

    def _noise_scale(self, x: Tensor) -> Tensor:
        return functional.softplus(self.noise(x))

    def _said(self, x: Tensor) -> Tensor:
        """Rows (…, B, width) of all branches."""
        return torch.stack([branch(x) for branch in self.branches], dim=-2)

    @torch.no_grad()
    def metrics(self, x: Tensor) -> BranchMetrics:
        """Metrics at rows (…, width)."""
        n_branches = len(self.branches)
        router = self.router(x).softmax(-1).reshape(-1, n_branches)
        # |Σ u|² over unit vectors is B and the cosines of all ordered pairs.
        total = functional.normalize(self._said(x), dim=-1).sum(-2).square().sum(-1)
        cosine = (total - n_branches) / (n_branches * (n_branches - 1))
        return BranchMetrics(
            entropy=float(_entropy(router).mean()),
            usage_entropy=float(_entropy(router.mean(0))),
            diversity=float(1.0 - cosine.mean()),
            noise_scale=float(self._noise_scale(x).mean()),
        )


def _entropy(p: Tensor) -> Tensor:
    return torch.special.entr(p).sum(-1)


def branch_metrics(network: nn.Module, run: Callable[[], object]) -> dict[str, BranchMetrics]:
    """Metrics of all branch layers of a network, at the rows that they are given.

    Parameters
    ----------
    network : torch.nn.Module
    run : callable
        ``run()`` evaluates the network; of several evaluations the last one counts.

    Returns
    -------
    dict of BranchMetrics by name of layer

    Raises
    ------
    ValueError
        If the network has no branch layers, or `run` evaluates none.
    """
    found: dict[str, BranchMetrics] = {}

    def record(name: str) -> Callable[[BranchLayer, tuple[Tensor], Tensor], None]:
        def hook(layer: BranchLayer, inputs: tuple[Tensor], output: Tensor) -> None:
            found[name] = layer.metrics(*inputs)

        return hook

    handles = [
        layer.register_forward_hook(record(name))
        for name, layer in network.named_modules()
        if isinstance(layer, BranchLayer)
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise ValueError(
            f"Of {len(handles)} branch layers none was evaluated; expected some. Make the network "
            "with Size(branches=4), say, and evaluate it in run."
        )
    return found
