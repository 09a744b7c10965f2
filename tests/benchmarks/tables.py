"""Writes the tables of docs/benchmarks.md from .benchmarks: python -m tests.benchmarks.tables.

A table stands between ``<!-- table: part -->`` and ``<!-- end -->``; parts that were not measured
keep what is there.
"""

import json
import re
from pathlib import Path

import numpy as np

from tests.benchmarks.scaling import SIZES

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "benchmarks.md"

_EFFICIENCY = {
    "algorithm": "{algorithm}",
    "`pm.sample`, ms per draw": "{sample_ms:.3g}",
    "`step()`, ms": "{step_ms:.3g}",
    "τ(k)": "{k_tau:.1f} ± {k_tau_se:.1f}",
    "τ(Σp²)": "{squares_tau:.0f} ± {squares_tau_se:.0f}",
    "τ(density)": "{density_tau:.1f} ± {density_tau_se:.1f}",
    "k per s": "{k_per_s:,.0f}",
    "Σp² per s": "{squares_per_s:,.0f}",
    "density per s": "{density_per_s:,.0f}",
}
_RATIOS = {
    "k ÷ hand-written": "{k_vs_hand:.2f}",
    "density ÷ hand-written": "{density_vs_hand:.2f}",
    "`step()` alone: k": "{step_k_vs_hand:.2f}",
    "density": "{step_density_vs_hand:.2f}",
    "": "{note}",
}
COLUMNS = {
    "targets": {"what": "{what}", "wanted": "{wanted}", "found": "{found}", "met": "{met}"},
    "sweeps": {
        "sweep": "{algorithm}",
        "N": "{items:,}",
        "clusters": "{clusters}",
        "ns per observation": "{ns_per_item:.0f}",
        "hand-written": "{hand_written_ns:.0f}",
        "ratio": "{ratio:.2f}",
    },
    "multivariate sweeps": {
        "sweep": "{algorithm}",
        "D": "{dimension}",
        "N": "{items:,}",
        "clusters": "{clusters}",
        "sweep, ms": "{sweep_ms:.2f}",
        "hand-written, ms": "{hand_written_ms:.2f}",
        "ratio": "{ratio:.2f}",
        "whole iteration, ms": "{iteration_ms:.2f}",
    },
    "efficiency, galaxies": _EFFICIENCY | _RATIOS,
    "efficiency, N = 1,000": _EFFICIENCY | _RATIOS,
    "efficiency, galaxies, conjugate": _EFFICIENCY
    | {"τ(α)": "{alpha_tau:.1f} ± {alpha_tau_se:.1f}", "α per s": "{alpha_per_s:,.0f}"},
    "peers": {
        "program": "{program}",
        "data": "{case}",
        "draws": "{draws:,}",
        "ms per draw": "{ms_per_draw:.2f}",
        "τ(k)": "{k_tau:.0f} ± {k_tau_se:.0f}",
        "τ(density)": "{density_tau:.1f} ± {density_tau_se:.1f}",
        "k per s": "{k_per_s:.3g}",
        "density per s": "{density_per_s:.3g}",
        "Neal 8 ÷ it: k": "{neal8_k:,.0f}",
        "density": "{neal8_density:,.3g}",
        "difference, s.e.": "{disagreement:.1f}",
    },
    "variational": {
        "program": "{program}",
        "seconds to fit": "{seconds:.2f}",
        "density at 21": "{density:.4f}",
        "posterior mean": "{posterior_mean:.4f} ± {monte_carlo_error:.4f}",
        "relative error": "{relative_error:.1%}",
    },
    "startup": {
        "caches": "{caches}",
        "worker processes": "{workers}",
        "import, s": "{import_s:.1f}",
        "step and `pm.sample` to the first draw, s": "{first_draw_s:.2f}",
        "whole process, s": "{whole_process_s:.1f}",
        "functions compiled": "{compiled}",
        "by workers": "{compiled_by_workers}",
    },
    "scaling": {
        "algorithm": "{algorithm}",
        "kernel": "{kernel}",
        **{f"N = {n:,}": f"{{at_{n}:,.0f}}" for n in SIZES},
        "exponent": "{exponent:.2f}",
        "largest N": "{largest:,}",
        "clusters": "{clusters}",
        "memory, MiB": "{memory_mib:,.0f}",
        "": "{note}",
    },
    "kernels": {
        "kernel": "{kernel}",
        "clusters": "{clusters}",
        "ns per observation": "{ns_per_item:,.0f}",
    },
    "simulation": {
        "worker processes": "{workers}",
        "items": "{items}",
        "data sets per second": "{data_sets_per_s:,.0f}",
    },
    "partitions": {
        "draws": "{draws:,}",
        "items": "{items:,}",
        "similarity matrix, s": "{similarity_matrix_s:.1f}",
        "point partition, s": "{point_partition_s:.1f}",
        "processor time, s": "{processor_s:.1f}",
        "memory, GiB": "{memory_gib:.1f}",
    },
}


def number(value):
    """Three digits, and no power of ten."""
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


def targets(results):
    """Rows (what, wanted, found, met) of the goals, from the rows of the parts."""
    rows = []

    def goal(what, wanted, found, met):
        rows.append({"what": what, "wanted": wanted, "found": found, "met": "yes" if met else "no"})

    def at_least(what, bound, value, unit="×"):
        goal(what, f"≥ {bound} {unit}", f"{number(value)} {unit}", value >= bound)

    def at_most(what, bound, value, unit):
        goal(what, f"≤ {bound} {unit}", f"{number(value)} {unit}", value <= bound)

    sweeps = results.get("sweeps", [])
    for algorithm in dict.fromkeys(row["algorithm"] for row in sweeps):
        own = [r["ratio"] for r in sweeps if r["algorithm"] == algorithm and r["items"] >= 1_000]
        at_most(f"{algorithm} sweep ÷ hand-written, N ≥ 1,000, largest", 1.2, max(own), "×")
    for row in results.get("multivariate sweeps", []):
        if row["dimension"] == 5 and "iteration_ms" in row:
            name = f"{row['algorithm']}, N = 2,000, D = 5: iteration"
            at_most(name, 4, row["iteration_ms"], "ms")
    best = 1.0  # of all algorithms on galaxies, over Neal 8 with ten sweeps per draw
    for part, density in (("galaxies", 1.0), ("N = 1,000", 1.2)):
        own = {r["algorithm"]: r for r in results.get(f"efficiency, {part}", [])}
        hand = own.pop("hand-written Neal 8", None)
        if hand is None or "Neal 8" not in own:
            continue
        of_k = max(own.values(), key=lambda r: r["k_vs_hand"])
        of_density = max(own.values(), key=lambda r: r["density_vs_hand"])
        gain = of_k["k_vs_hand"] / own["Neal 8"]["k_vs_hand"]
        name = f"{part}: density per s ÷ hand-written Neal 8, {of_density['algorithm']}"
        at_least(name, density, of_density["density_vs_hand"])
        if part == "galaxies":
            if (ten := own.get("Neal 8, ten sweeps per draw")) is not None:
                best = of_k["k_vs_hand"] / ten["k_vs_hand"]
            name = f"{part}: k per s ÷ hand-written Neal 8, {of_k['algorithm']}"
            at_least(name, 1.0, of_k["k_vs_hand"])
        else:
            name = f"{part}: k per s, {of_k['algorithm']}"
            at_least(f"{name} ÷ hand-written Neal 8", 2.0, of_k["k_vs_hand"])
            at_least(f"{name} ÷ our Neal 8", 2.0, gain)
    for row in results.get("peers", []):
        bound = {"jags": 80, "pymc_compound": 800, "pymc_nuts": 100, "nutpie": 50}
        if row["case"] == "galaxies" and row["program"] in bound:
            name = f"galaxies: k per s, our best ÷ {row['program']}"
            at_least(name, bound[row["program"]], best * row["neal8_k"])
    for row in results.get("scaling", []):
        if (row["algorithm"], row["kernel"], row["items"]) == ("BlockedGibbs", "Normal", 10**6):
            seconds = row["ns_per_item"] / 1e3
            at_most("blocked, Normal, N = 1,000,000: iteration", 0.25, seconds, "s")
            at_most("the same: memory beyond the data", 1024, row["memory_mib"], "MiB")
    for row in by_algorithm(results.get("scaling", [])):
        if (row["algorithm"], row["kernel"]) == ("BlockedGibbs", "Normal"):
            at_most("the same: exponent of N from 1,000 on", 1.05, row["exponent"], "")
    if (rows_of := results.get("simulation")) is not None:
        rate = max(row["data_sets_per_s"] for row in rows_of)
        at_least("simulated data sets of 64 items a second", 10_000, rate, "")
    for row in results.get("startup", []):
        if row["caches"] == "warm":
            name = f"second process, workers: {row['workers']}"
            if row["workers"] == "none":
                at_most(f"{name}: first draw", 1.5, row["first_draw_s"], "s")
                at_most(f"{name}: all of it", 5, row["whole_process_s"], "s")
            n_compiled = row["compiled"] + row["compiled_by_workers"]
            goal(f"{name}: functions compiled", "0", str(n_compiled), n_compiled == 0)
    return rows


def by_algorithm(rows):
    """One row per algorithm and kernel, with a column per N."""
    result = {}
    for row in rows:
        wide = result.setdefault((row["kernel"], row["algorithm"]), {})
        if "ns_per_item" in row:
            wide |= row | {f"at_{row['items']}": row["ns_per_item"], "largest": row["items"]}
        else:
            wide |= {"note": f"N = {row['items']:,} {row['note']}"}
    for wide in result.values():
        log_ns = {n: np.log(wide[f"at_{n}"]) for n in SIZES if f"at_{n}" in wide and n >= 1_000}
        if len(log_ns) > 1:
            slope, _ = np.polyfit(np.log(list(log_ns)), list(log_ns.values()), 1)
            wide["exponent"] = 1.0 + slope
    return list(result.values())


def cell(template, row):
    """One cell; empty where the row does not have its value."""
    try:
        return template.format(**row)
    except KeyError:
        return ""


def table(part, found):
    """A table in Markdown, with the machine and the date below."""
    columns = COLUMNS[part]
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(cell(c, row) for c in columns.values()) for row in found["rows"]]
    machine = found["machine"]
    versions = ", ".join(f"{k} {machine[k]}" for k in ("python", "pymc", "pytensor", "numba"))
    caption = f"{machine['date']}, {machine['processor']}, {machine['cores']} cores; {versions}."
    return "\n".join(f"| {line} |" for line in lines) + f"\n\n{caption}"


def main():
    """Replace every table that was measured."""
    found = {p.stem: json.loads(p.read_text()) for p in (ROOT / ".benchmarks").glob("*.json")}
    rows = targets({part: result["rows"] for part, result in found.items()})
    if "scaling" in found:
        found["scaling"]["rows"] = by_algorithm(found["scaling"]["rows"])
    newest = max((result["machine"] for result in found.values()), key=lambda m: m["date"])
    found["targets"] = {"machine": newest, "rows": rows}

    def measured(match):
        part = match[1]
        if part not in found:
            return match[0]
        return f"<!-- table: {part} -->\n\n{table(part, found[part])}\n\n<!-- end -->"

    text = DOCUMENT.read_text(encoding="utf-8")
    pattern = r"<!-- table: (.+?) -->.*?<!-- end -->"
    DOCUMENT.write_text(re.sub(pattern, measured, text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
