"""Partitions by brute force: all of them, losses by their definitions, random posteriors."""

from itertools import combinations
from typing import Any

import numpy as np

LOSSES = ("vi", "binder", "omari", "nvi")


def all_partitions(n_items: int) -> np.ndarray:
    """All partitions, one a row, clusters numbered in the order of their first items."""
    rows = [[0]]
    for _ in range(n_items - 1):
        rows = [[*row, k] for row in rows for k in range(max(row) + 2)]
    return np.array(rows)


def loss_by_definition(first: Any, second: Any, loss: str) -> float:
    """Entropies as sums over clusters, numbers of pairs by going through all pairs."""
    n = len(first)
    if loss in ("vi", "nvi"):

        def entropy(labels: list[Any]) -> float:
            p = [labels.count(x) / n for x in set(labels)]
            return -sum(x * np.log2(x) for x in p)

        a, b = entropy(list(first)), entropy(list(second))
        joint = entropy(list(zip(first, second, strict=True)))
        information = a + b - joint
        if loss == "vi":
            return a + b - 2 * information
        return 1 - information / joint if joint > 0 else 0.0
    pairs = list(combinations(range(n), 2))
    in_first = np.array([first[i] == first[j] for i, j in pairs], dtype=bool)
    in_second = np.array([second[i] == second[j] for i, j in pairs], dtype=bool)
    if loss == "binder":
        return np.count_nonzero(in_first != in_second) / (n**2 / 2)
    if np.array_equal(in_first, in_second):
        return 0.0
    chance = in_first.sum() * in_second.sum() / len(pairs)
    most = (in_first.sum() + in_second.sum()) / 2
    return 1 - float(((in_first & in_second).sum() - chance) / (most - chance))


def random_posterior(rng: np.random.Generator, n_items: int, n_draws: int) -> np.ndarray:
    """Noisy copies of one partition, from nearly sure to nearly unrelated."""
    base = rng.integers(0, rng.integers(1, 5), n_items)
    noise = rng.random((n_draws, n_items)) < rng.uniform(0.05, 0.7)
    return np.where(noise, rng.integers(0, rng.integers(2, n_items + 1), noise.shape), base)
