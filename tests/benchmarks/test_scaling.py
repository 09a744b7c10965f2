"""Time, memory and births of an iteration: every algorithm, several kernels, growing N."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("scaling.py")
ALGORITHMS = [
    "Neal2",
    "Neal3",
    "Neal4",
    "Neal5",
    "Neal6",
    "Neal7",
    "Neal8",
    "BlockedGibbs",
    "SliceGibbs",
    "ImportanceConditional",
    "SplitMerge",
]
KERNELS = ["Normal", "Poisson", "MvNormal 2", "MvNormal 5", "MvNormal 20"]


@pytest.mark.benchmark
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_scaling(kernel, algorithm, record):
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[2])}
    output = subprocess.run(
        [sys.executable, "-W", "ignore", SCRIPT, algorithm, kernel],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    for row in rows:
        record("scaling", **row)
    measured = [r for r in rows if r["items"] >= 1_000 and "ns_per_item" in r]
    if len(measured) > 1:
        items = np.array([r["items"] for r in measured])
        slope, _ = np.polyfit(np.log(items), np.log([r["ns_per_item"] for r in measured]), 1)
        record(
            "exponents",
            algorithm=algorithm,
            kernel=kernel,
            largest=int(items[-1]),
            exponent=float(1.0 + slope),
        )
