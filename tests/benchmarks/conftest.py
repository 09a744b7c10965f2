"""Results of the benchmarks: collected, printed as tables, written to .benchmarks as JSON."""

import json
import platform
from collections import defaultdict
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numba
import pytest
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parents[2] / ".benchmarks"
PACKAGES = ("pymc_dpsteps", "pymc", "pytensor", "numba", "numpy")
_ROWS = pytest.StashKey[dict]()


@pytest.fixture
def record(request):
    """``record(part, **row)``: keep one row of the table `part`.

    The rows of a part replace all that an earlier run left of it.
    """
    rows = request.config.stash.setdefault(_ROWS, defaultdict(list))

    def keep(part, **row):
        rows[part].append(row)

    return keep


def machine():
    """Where and with what the numbers were measured."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "date": date.today().isoformat(),
        "processor": names[0] if names else platform.processor(),
        "cores": numba.config.NUMBA_NUM_THREADS,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def pytest_terminal_summary(terminalreporter, config):
    for part, rows in config.stash.get(_ROWS, {}).items():
        RESULTS.mkdir(exist_ok=True)
        results = {"machine": machine(), "rows": rows}
        (RESULTS / f"{part}.json").write_text(json.dumps(results, indent=1))
        # Standard errors and means are for the file.
        names = dict.fromkeys(name for row in rows for name in row)
        columns = [name for name in names if not name.endswith(("_se", "_mean"))]
        table = Table(*columns, title=part)
        for row in rows:
            table.add_row(*(shown(row.get(name)) for name in columns))
        Console(width=160).print(table)


def shown(value):
    """Three digits of a number."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"
