"""Seconds from `pm.sample` to the first draw on galaxies, in fresh processes."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import time
start = time.perf_counter()
import pymc as pm
import pymc_dpsteps as dps
imported = time.perf_counter()
y = dps.datasets.galaxies()
first = []

def callback(trace, draw):
    if not first:
        first.append(time.perf_counter())

with pm.Model():
    alpha = pm.Gamma("alpha", 2, 4)
    mu = pm.Normal("mu", 20, 10, shape=30)
    sigma = pm.HalfNormal("sigma", 3, shape=30)
    z = dps.ChineseRestaurantProcess("z", alpha, K=30, shape=len(y))
    pm.Normal("y", mu[z], sigma[z], observed=y)
    built = time.perf_counter()
    pm.sample(
        20, tune=10, chains=1, step=dps.Neal8(), quiet=True, progressbar=False,
        compute_convergence_checks=False, callback=callback,
    )
print(imported - start, built - imported, first[0] - built)
"""


@pytest.mark.benchmark
def test_first_draw(tmp_path, capsys):
    environment = os.environ | {"PYTENSOR_FLAGS": f"base_compiledir={tmp_path}"}
    lines = []
    for caches in ("cold", "warm", "warm"):
        output = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SCRIPT],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        imports, model, first = map(float, output.split()[-3:])
        lines.append(
            f"{caches} caches: import {imports:.1f} s, model {model:.1f} s, "
            f"step and pm.sample to the first draw {first:.1f} s"
        )
    with capsys.disabled():
        print("\n" + "\n".join(lines))
