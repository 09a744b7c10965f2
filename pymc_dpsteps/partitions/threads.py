"""Calls of compiled code side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

__all__ = ["in_threads"]


def in_threads[Item, Result](
    function: Callable[[Item], Result], items: Iterable[Item], cores: int | None
) -> list[Result]:
    """Results of a function that releases Python's lock, in the order of the items.

    Raises
    ------
    ValueError
        If `cores` is less than 1.
    """
    if cores is None:
        cores = os.cpu_count() or 1
    if cores < 1:
        raise ValueError(f"cores = {cores}; expected at least 1, or None for all.")
    with ThreadPoolExecutor(cores) as pool:
        return list(pool.map(function, items))
