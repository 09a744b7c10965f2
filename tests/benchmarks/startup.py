"""A whole program: galaxies from the import to the first draws. Prints what it measured as JSON.

Arguments: a file for compilations (a line each, with the process), and the start method of two
worker processes, if any. Workers that are not forked import this file as well, so that their
compilations are written down like those of the parent.
"""

import json
import os
import sys
import time

START = time.perf_counter()

from numba.core import event  # noqa: E402

FILE = sys.argv[1]


class Compilations(event.Listener):
    """Writes the process that compiles a function; one that is loaded from disk is none."""

    def on_start(self, event):
        with open(FILE, "a") as file:
            print(os.getpid(), event.data["dispatcher"].py_func.__qualname__, file=file)

    def on_end(self, event):
        pass


event.register("numba:compile", Compilations())

import pymc as pm  # noqa: E402

import pymc_dpsteps as dps  # noqa: E402


def main():
    imported = time.perf_counter()
    first = []

    def callback(trace, draw):
        first.append(time.perf_counter())

    y = dps.datasets.galaxies()
    with pm.Model():
        alpha = pm.Gamma("alpha", 2, 4)
        mu = pm.Normal("mu", 20, 10, shape=30)
        sigma = pm.HalfNormal("sigma", 3, shape=30)
        z = dps.ChineseRestaurantProcess("z", alpha, K=30, shape=len(y))
        pm.Normal("y", mu[z], sigma[z], observed=y)
        built = time.perf_counter()
        workers = dict(chains=2, cores=2, mp_ctx=sys.argv[2]) if sys.argv[2:] else dict(chains=1)
        pm.sample(
            20, tune=10, step=dps.Neal8(), quiet=True, progressbar=False, callback=callback,
            compute_convergence_checks=False, **workers,
        )  # fmt: skip
    lines = open(FILE).read().splitlines() if os.path.exists(FILE) else []
    own = sum(line.split()[0] == str(os.getpid()) for line in lines)
    row = {
        "import_s": imported - START,
        "model_s": built - imported,
        "first_draw_s": first[0] - built,
        "compiled": own,
        "compiled_by_workers": len(lines) - own,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
