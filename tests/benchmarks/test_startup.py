"""Seconds from the start of a process and of `pm.sample` to the first draw on galaxies."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("startup.py")
RUNS = [("cold", ""), ("warm", ""), ("warm", "fork"), ("warm", "spawn"), ("warm", "forkserver")]


@pytest.mark.benchmark
def test_first_draw(tmp_path, record):
    """`first_draw_s` counts building the step; compilations are counted, not loads from disk."""
    folder = tmp_path / "cache"
    environment = os.environ | {
        "PYTENSOR_FLAGS": f"base_compiledir={folder}",
        "PYTHONPATH": str(SCRIPT.parents[2]),
    }
    for n, (caches, method) in enumerate(RUNS):
        command = [sys.executable, "-W", "ignore", SCRIPT, tmp_path / f"compiled{n}"]
        start = time.perf_counter()
        output = subprocess.run(
            [*command, *method.split()], env=environment, capture_output=True, text=True, check=True
        ).stdout
        whole = time.perf_counter() - start
        record(
            "startup",
            caches=caches,
            workers=f"2 by {method}" if method else "none",
            **json.loads(output.splitlines()[-1]),
            whole_process_s=whole,
        )
