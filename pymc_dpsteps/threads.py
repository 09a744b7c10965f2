"""Calls of compiled code side by side.

Python threads, not numba's parallel loops: these run on GNU OpenMP, which ends a process that was
forked after it was used, as `pymc.sample` forks its workers, or on a work queue that two threads
may not enter at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import parent_process

__all__ = ["in_threads", "threads_of_a_chain"]


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


def threads_of_a_chain() -> int:
    """All cores in the main process; one in a worker, whose sisters occupy the others."""
    return (os.cpu_count() or 1) if parent_process() is None else 1
