"""Networks on sets: attention without positions, so that the order of items does not matter.

Vaswani, A. et al. (2017). Attention is all you need. Lee, J. et al. (2019). Set transformer: a
framework for attention-based permutation-invariant neural networks, section 3.1 (induced points).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from pymc_dpsteps.amortized.branch_layer import BranchLayer

__all__ = [
    "Attention",
    "Block",
    "Inputs",
    "PairBias",
    "SetEncoder",
    "induced_points",
    "perceptron",
]

type Inputs = tuple[Tensor, Tensor, Tensor]
"""Items, what is known of the data set, and log odds of pairs; see `SetEncoder.forward`."""

_MOST_PAIRS = 256  # from this number of items on they attend to each other by induced points


def perceptron(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Two layers."""
    return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, outputs))


class Attention(nn.Module):
    """Several heads of scaled dot products.

    Parameters
    ----------
    width, heads : int
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, y: Tensor, bias: Tensor | None = None) -> Tensor:
        """What every row of x (…, q, width) takes from the rows of y (…, m, width).

        `bias` (…, heads or 1, q or 1, m) is added to the logarithms of the attention: -inf for
        rows of y that are not there. There must be one.
        """
        query, (key, value) = self._split(self.query(x)), self.key_value(y).chunk(2, dim=-1)
        result = functional.scaled_dot_product_attention(
            query, self._split(key), self._split(value), attn_mask=bias
        )
        return self.out(result.transpose(-3, -2).flatten(-2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)


class Block(nn.Module):
    """Attention, then a perceptron on every row, each added to its input.

    Parameters
    ----------
    width, heads : int
    hidden : int, optional
        Hidden units of a perceptron; twice the width without.
    branches : int, default 0
        Perceptrons side by side, see `BranchLayer`; 0 for one, without a router.
    """

    def __init__(
        self, width: int, heads: int, *, hidden: int | None = None, branches: int = 0
    ) -> None:
        super().__init__()
        n_hidden = 2 * width if hidden is None else hidden
        if n_hidden < 1:
            raise ValueError(f"hidden = {hidden}; expected a number of units, or None.")
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.attention = Attention(width, heads)
        self.perceptron: nn.Module = (
            BranchLayer(width, branches, lambda: perceptron(width, n_hidden, width))
            if branches
            else perceptron(width, n_hidden, width)
        )

    def forward(self, x: Tensor, y: Tensor, bias: Tensor | None = None) -> Tensor:
        """Rows of x after they have seen those of y; see `Attention`."""
        x = x + self.attention(self.norms[0](x), self.norms[1](y), bias)
        return x + self.perceptron(self.norms[2](x))


class PairBias(nn.Module):
    """Attention by what is known of pairs, with a slope for every head and every kind of it.

    Parameters
    ----------
    heads, kinds : int
    """

    def __init__(self, heads: int, kinds: int) -> None:
        super().__init__()
        # To begin with, half of the heads look at what is alike, the others at all.
        slopes = (torch.arange(heads) < (heads + 1) // 2).float() / kinds
        self.slopes = nn.Parameter(slopes.unsqueeze(1).repeat(1, kinds))

    def forward(self, *pairs: Tensor) -> Tensor:
        """From matrices (…, q, m), one a kind, to a bias (…, heads, q, m)."""
        biases = [
            slope.view(-1, 1, 1) * x.unsqueeze(-3)
            for slope, x in zip(self.slopes.unbind(1), pairs, strict=True)
        ]
        return sum(biases[1:], start=biases[0])


class SetEncoder(nn.Module):
    """Items of a data set, each seen in the light of all, and a token for the whole.

    Parameters
    ----------
    inputs, context : int
        Length of an item and of what is known of the data set.
    width, heads, layers : int
    induced : int, default 0
        Number of induced points; 0 for attention between all pairs.
    hidden, branches : int
        See `Block`.
    """

    def __init__(
        self,
        inputs: int,
        context: int,
        *,
        width: int,
        heads: int,
        layers: int,
        induced: int = 0,
        hidden: int | None = None,
        branches: int = 0,
    ) -> None:
        super().__init__()
        self.item = perceptron(inputs, width, width)
        self.context = perceptron(context, width, width)
        block = partial(Block, width, heads, hidden=hidden, branches=branches)
        self.blocks = nn.ModuleList(block() for _ in range(layers))
        self.biases = nn.ModuleList(PairBias(heads, 1) for _ in range(0 if induced else layers))
        self.points = nn.ParameterList(
            nn.Parameter(torch.randn(induced, width)) for _ in range(layers if induced else 0)
        )
        self.to_points = nn.ModuleList(block() for _ in self.points)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, items: Tensor, context: Tensor, pairs: Tensor, keep: Tensor | None = None
    ) -> Tensor:
        """Encode data sets.

        Parameters
        ----------
        items : Tensor, shape (batch, n, inputs)
        context : Tensor, shape (batch, context)
        pairs : Tensor, shape (batch, n, n)
            How alike items are. Induced points do without.
        keep : Tensor of bool, shape (batch, n), optional
            Which items there are.

        Returns
        -------
        Tensor, shape (batch, 1 + n, width)
            First the token of the whole.
        """
        x = torch.cat([self.context(context).unsqueeze(1), self.item(items)], dim=1)
        pairs = functional.pad(pairs, (1, 0, 1, 0))
        absent = x.new_zeros(len(x), 1, 1, x.shape[1])
        if keep is not None:
            keep = functional.pad(keep, (1, 0), value=True)
            absent = absent.masked_fill(~keep[:, None, None], -torch.inf)
        for layer, block in enumerate(self.blocks):
            if len(self.points) > 0:
                points = self.points[layer].expand(len(x), -1, -1)
                x = block(x, self.to_points[layer](points, x, absent))
            else:
                x = block(x, x, self.biases[layer](pairs) + absent)
        return self.norm(x)


def induced_points(n_items: int) -> int:
    """Number of induced points for data sets of up to so many items."""
    return 0 if n_items <= _MOST_PAIRS else 64
