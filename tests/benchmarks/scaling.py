"""An algorithm and a kernel for growing N: prints what it measured as JSON, a line per N.

A process of its own, so that the rise of its peak memory is that of the step. Arguments: algorithm
and kernel.
"""

import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pymc as pm

import pymc_dpsteps as dps

K, N_GROUPS = 30, 10
SIZES = [100, 1_000, 10_000, 100_000, 1_000_000]
ITERATIONS, LIMIT_S = 3, 10.0  # at least so many iterations, unless they would take longer


def data(kernel, n_items):
    """Ten groups, apart by a few standard deviations."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, N_GROUPS, size=n_items)
    if kernel == "Poisson":
        return rng.poisson(2.0 ** np.arange(N_GROUPS)[group])
    if kernel == "Normal":
        return rng.normal(6.0 * (group - 4.5), 1.0)
    return rng.normal(rng.normal(0.0, 6.0, size=(N_GROUPS, int(kernel.split()[-1])))[group], 1.0)


def model(kernel, y, sticks):
    """Conjugate bases, so that all algorithms apply."""
    with pm.Model() as result:
        if sticks:
            z = pm.Categorical("z", pm.StickBreakingWeights("w", 1.0, K=K - 1), shape=len(y))
        else:
            z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=len(y))
        if kernel == "Poisson":
            dps.kernels.poisson("y", z, scale=100.0, observed=y)
        elif kernel == "Normal":
            dps.kernels.normal("y", z, scale=18.0, observed=y)
        else:
            dps.kernels.mvnormal("y", z, scale=6.0, observed=y)
    return result


def peak_mib():
    # That of resource.getrusage begins with the peak of the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024


def measure(algorithm, kernel, n_items):
    y = data(kernel, n_items)
    before = peak_mib()
    m = model(kernel, y, sticks=algorithm == "BlockedGibbs")
    with m:
        step = getattr(dps, algorithm)()
    point = m.initial_point()
    step.setup_chain(np.random.default_rng(1), 10**6, 0)
    point, _ = step.step(point)  # the start: a partition from the prior, or many clusters
    times, births = [], []
    while len(times) < ITERATIONS or (sum(times) < 0.5 and len(times) < 200):
        start = time.perf_counter()
        point, (stats,) = step.step(point)
        times.append(time.perf_counter() - start)
        births.append(int(stats["births"]))
    settled = slice(len(times) // 2, None)
    return dict(
        ns_per_item=float(np.median(times[settled])) / n_items * 1e9,
        births=float(np.mean(births[settled])),
        clusters=int(stats["n_clusters"]),
        memory_mib=peak_mib() - before,
    )


def main(algorithm, kernel):
    measure(algorithm, kernel, 50)  # compiles, which raises the peak
    seconds = 0.0
    for n_items in SIZES:
        row = dict(algorithm=algorithm, kernel=kernel, items=n_items)
        if ITERATIONS * seconds > LIMIT_S:
            row["note"] = f"skipped: about {seconds:.0f} s an iteration"
        else:
            row |= measure(algorithm, kernel, n_items)
            seconds = row["ns_per_item"] * n_items / 1e9
        print(json.dumps(row))
        seconds *= 10


if __name__ == "__main__":
    main(*sys.argv[1:])
