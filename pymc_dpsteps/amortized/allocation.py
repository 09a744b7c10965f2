"""Diffusion over allocations: items are unmasked one after the other, in any order.

Austin, J. et al. (2021). Structured denoising diffusion models in discrete state-spaces, section
3.1 (absorbing states). Hoogeboom, E. et al. (2022). Autoregressive diffusion models, section 3: an
absorbing diffusion that unmasks position by position, in an order that is chosen first, is an
autoregressive model of any order. Pakman, A. et al. (2020). Neural clustering processes: an item
points to a cluster, by a summary of its items, or to "new".

    q(c | σ, y) = Π_t q(c_σ(t) | c_σ(1), …, c_σ(t - 1), y)

is a product and exactly known. Clusters are numbered as they are opened, so labels have no
symmetry to learn. What q would be if the masked items did not exist is known too: the urn times
the predictive density (`target`). The network adds to its logarithm what the masked items tell,
and starts from adding nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from pymc_dpsteps.amortized.network import Block, PairBias, SetEncoder, perceptron

__all__ = ["AllocationNetwork", "Encoded", "log_q_all", "placed_before", "rows_at"]

_FEATURES = 9
_FLOOR = -30.0  # of a log probability as an input


@dataclass(frozen=True)
class Encoded:
    """Data sets as the network sees them.

    Attributes
    ----------
    rows : Tensor, shape (batch, 1 + n, width)
        By the encoder: the whole, then the items.
    pairs : Tensor, shape (batch, n, n)
        Log odds of pairs.
    """

    rows: Tensor
    pairs: Tensor


class AllocationNetwork(nn.Module):
    """Log probabilities of the options of an item, given the items placed before.

    Parameters
    ----------
    inputs, context : int
        Length of an item and of what is known of the data set.
    width, heads, layers, head_layers : int
        Size of the encoder, and how often options look at the masked items and each other.
    induced, hidden, branches : int
        See `SetEncoder`.
    """

    def __init__(
        self,
        inputs: int,
        context: int,
        *,
        width: int = 64,
        heads: int = 4,
        layers: int = 3,
        head_layers: int = 1,
        induced: int = 0,
        hidden: int | None = None,
        branches: int = 0,
    ) -> None:
        super().__init__()
        self.encoder = SetEncoder(
            inputs,
            context,
            width=width,
            heads=heads,
            layers=layers,
            induced=induced,
            hidden=hidden,
            branches=branches,
        )
        block = partial(Block, width, heads, hidden=hidden, branches=branches)
        self.member = nn.Linear(width, width)
        self.new = nn.Parameter(torch.zeros(width))
        self.item = nn.Linear(width, width)
        self.option = perceptron(width + _FEATURES, width, width)
        self.to_masked = nn.ModuleList(block() for _ in range(head_layers))
        self.biases = nn.ModuleList(PairBias(heads, 2) for _ in range(head_layers))
        self.to_options = nn.ModuleList(block() for _ in range(head_layers))
        last = nn.Linear(width, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.out = nn.Sequential(nn.LayerNorm(width), last)

    def encode(self, items: Tensor, context: Tensor, log_odds: Tensor) -> Encoded:
        """Encode data sets: items (batch, n, inputs), context and log odds of pairs."""
        return Encoded(self.encoder(items, context, log_odds), log_odds)

    def forward(
        self,
        encoded: Encoded,
        item: Tensor,
        masked: Tensor,
        means: Tensor,
        linked: Tensor,
        counts: Tensor,
        log_weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Log q of all options, at T states of the diffusion of every data set.

        Parameters
        ----------
        encoded : Encoded
        item : Tensor of int, shape (batch, T)
            The item that is to take an option.
        masked : Tensor of bool, shape (batch, T, n)
            Which items come after it.
        means : Tensor, shape (batch, T, K, width)
            What stands for every cluster: the mean of `member` over its items.
        linked : Tensor, shape (batch, T, K, n)
            Log odds of items to be in every cluster: the mean of those of pairs over its items.
        counts : Tensor, shape (batch, T, K)
            Items of every cluster.
        log_weights : Tensor, shape (batch, T, 1 + K)
            Of the options, were there no masked items; -inf where there is none.

        Returns
        -------
        log_q : Tensor, shape (batch, T, 1 + K)
        new : Tensor, shape (batch, T, width)
            What stands for a new cluster, in the light of masked items and other clusters.
        """
        n_places, n_options = log_weights.shape[1:]
        rows = encoded.rows
        base = log_weights.log_softmax(-1)
        there = base > -torch.inf
        means = torch.cat([self.new.expand(*means.shape[:2], 1, -1), means], dim=2)
        linked = functional.pad(linked, (0, 0, 1, 0))
        own = rows_at(encoded.pairs, item).unsqueeze(2).expand_as(linked)
        features = self._features(base, counts, item, masked, linked, own)
        x = self.option(torch.cat([means, features], dim=-1))
        x = x + self.item(rows_at(rows[:, 1:], item)).unsqueeze(2)
        # The token of the whole is never masked, so that there always is something to see.
        seen = functional.pad(masked, (1, 0), value=True).repeat_interleave(n_options, dim=1)
        placed = torch.zeros_like(seen, dtype=x.dtype).masked_fill(~seen, -torch.inf)
        pairs = [functional.pad(m.flatten(1, 2), (1, 0)) for m in (own, linked)]
        absent = torch.zeros_like(base).masked_fill(~there, -torch.inf)[:, :, None, None]
        for j, block in enumerate(self.to_masked):
            bias = self.biases[j](*pairs) + placed.unsqueeze(1)
            x = block(x.flatten(1, 2), rows, bias).unflatten(1, (n_places, n_options))
            x = self.to_options[j](x, x, absent)
        change = self.out(x).squeeze(-1)
        return (base + change).masked_fill(~there, -torch.inf).log_softmax(-1), x[:, :, 0]

    def _features(
        self,
        base: Tensor,
        counts: Tensor,
        item: Tensor,
        masked: Tensor,
        linked: Tensor,
        own: Tensor,
    ) -> Tensor:
        """What is known of every option: now, and of masked items that are like it."""
        counts = functional.pad(counts, (1, 0))
        like_item, like_cluster = own.sigmoid(), linked.sigmoid()
        weight = masked.unsqueeze(2).to(base.dtype)
        here = torch.gather(linked, 3, item[:, :, None, None].expand(*base.shape, 1)).squeeze(-1)
        features = [
            counts.log1p(),
            (1 + masked.sum(-1, keepdim=True)).expand_as(base).log(),
            base.clamp(min=_FLOOR) / 5.0,
            base.exp(),
            torch.zeros_like(base).index_fill(2, item.new_zeros(1), 1.0),
            here,
            (like_item * weight).sum(-1).log1p(),
            (like_cluster * weight).sum(-1).log1p(),
            (like_item * like_cluster * weight).sum(-1).log1p(),
        ]
        return torch.stack(features, dim=-1)


def rows_at(rows: Tensor, place: Tensor) -> Tensor:
    """Rows (batch, n, m) at places (batch, T)."""
    return torch.gather(rows, 1, place.unsqueeze(-1).expand(-1, -1, rows.shape[2]))


def placed_before(options: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Clusters of the items placed before some places of an order.

    Parameters
    ----------
    options : Tensor of int, shape (batch, n)
    place : Tensor of int, shape (batch, T)

    Returns
    -------
    share : Tensor, shape (batch, T, clusters, n)
        One over the number of items, for those that are in the cluster.
    counts : Tensor, shape (batch, T, clusters)
    after : Tensor of bool, shape (batch, T, n)
        Which items come after the place.
    """
    opened = (options == 0).cumsum(1)
    cluster = torch.where(options == 0, opened, options) - 1
    number = torch.arange(int(opened.max()), device=options.device)
    places = torch.arange(options.shape[1], device=options.device)
    before, after = places < place.unsqueeze(-1), places > place.unsqueeze(-1)
    inside = (cluster.unsqueeze(1) == number.view(1, -1, 1)).unsqueeze(1) & before.unsqueeze(2)
    counts = inside.sum(-1)
    return inside / counts.clamp(min=1).unsqueeze(-1), counts, after


def log_q_all(
    network: AllocationNetwork,
    encoded: Encoded,
    options: Tensor,
    log_weights: Tensor,
    place: Tensor,
) -> Tensor:
    """Log q of all options on the way along given ones, at some places of the order.

    Parameters
    ----------
    network : AllocationNetwork
    encoded : Encoded
    options : Tensor of int, shape (batch, n)
    log_weights : Tensor, shape (batch, n, 1 + K)
        As `walks.walk_partition` gives them.
    place : Tensor of int, shape (batch, T)

    Returns
    -------
    Tensor, shape (batch, T, 1 + clusters)
    """
    share, counts, after = placed_before(options, place)
    means = torch.einsum("btkn,bnd->btkd", share, network.member(encoded.rows[:, 1:]))
    linked = torch.einsum("btkn,bnm->btkm", share, encoded.pairs)
    weights = rows_at(log_weights[..., : 1 + counts.shape[2]], place)
    log_q, _ = network(encoded, place, after, means, linked, counts, weights)
    return log_q
