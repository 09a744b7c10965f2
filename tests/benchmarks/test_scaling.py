"""Time, memory and births of an iteration: every algorithm, several kernels, growing N."""

import json
import os
import subprocess
import sys
from pathlib import Path

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
