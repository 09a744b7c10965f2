"""Timing of sweeps: settled states, and medians of calls that take turns."""

import time

import numpy as np

from pymc_dpsteps.steps.updates import prepare


def settled(step, model, sweeps=30):
    """The packed state of a step after some iterations."""
    point = model.initial_point()
    step.setup_chain(np.random.default_rng(1), sweeps, 0)
    for _ in range(sweeps):
        point, _ = step.step(point)
    step._unpack(point)
    prepare(step._state)
    return step._state


def restore(arrays, copies):
    for array, copy in zip(arrays, copies, strict=True):
        array[...] = copy


def alternate(ours, reference, repeats):
    """Median seconds of each, measured in turns so that both see the same machine.

    Both start every sweep from the same state: (call, arrays it changes).
    """
    times = np.empty((repeats, 2))
    pairs = [(call, arrays, [a.copy() for a in arrays]) for call, arrays in (ours, reference)]
    for r in range(-1, repeats):  # the first may compile
        for j, (call, arrays, copies) in enumerate(pairs):
            restore(arrays, copies)
            start = time.perf_counter()
            call()
            times[r, j] = time.perf_counter() - start
    for _, arrays, copies in pairs:
        restore(arrays, copies)
    return np.median(times, axis=0).tolist()


def median_seconds(call, repeats):
    """Median seconds of a call, once compiled."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


def arrays_of(state):
    """What a sweep changes of a state."""
    return [
        state.z,
        state.counts,
        state.active,
        state.position,
        state.n_active,
        state.values,
        state.columns,
        state.stats,
        state.cache,
    ]
