"""How fast the algorithms mix: Table 1 of Neal (2000) again.

Neal's nine observations, y_i ~ Normal(theta_i, sd 0.1), theta_i ~ G, G ~ DP(1, Normal(0, 1)).
Printed are the integrated autocorrelation times of the number of clusters k and of theta_1, and
the time of one iteration, beside Neal's own values and those of an independent C++ program. The
time that one independent draw of k costs is the product of the two.

Neal's programs draw the atoms given their items from the conjugate normal law; so does this
package, which recognises the pair. The last rows use algorithms that the paper does not have.

    python examples/neal2000.py                  20,000 iterations, as in the paper
    python examples/neal2000.py 1000000          the precision of the independent program
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import pymc as pm

import pymc_dpsteps as dps

Y = np.array([-1.48, -1.40, -1.16, -1.08, -1.02, 0.14, 0.51, 0.53, 0.78])
E_K, E_THETA_1 = 4.47145, -1.39856  # exact, by enumeration of all partitions


@dataclass(frozen=True)
class Row:
    """A line of the table: tau(k) and tau(theta_1) as printed, and by the independent program."""

    label: str
    steps: Sequence[Callable[[], Any]]
    neal: tuple[float, float] | None = None
    independent: tuple[float, float] | None = None


ROWS = (
    Row("Algorithm 4", [dps.Neal4], (13.7, 8.5), (13.7, 10.0)),
    Row("Algorithm 5, R=4", [partial(dps.Neal5, R=4)], (8.1, 10.2), (7.9, 9.1)),
    Row("Algorithm 6, R=4", [partial(dps.Neal6, R=4)], (19.4, 64.1), (22.1, 79.9)),
    Row("Algorithm 7", [dps.Neal7], (6.9, 5.3), (7.2, 5.8)),
    Row("Algorithm 8, m=1", [partial(dps.Neal8, m=1)], (5.2, 5.6), (5.3, 6.0)),
    Row("Algorithm 8, m=2", [partial(dps.Neal8, m=2)], (3.7, 4.7), (3.7, 4.8)),
    Row("Algorithm 8, m=30", [partial(dps.Neal8, m=30)], (2.0, 2.8), (2.0, 2.8)),
    Row("Algorithm 1", [dps.Neal1]),
    Row("Algorithm 2", [dps.Neal2]),
    Row("Algorithm 3", [dps.Neal3]),
    Row("slice", [dps.SliceGibbs]),
    Row("importance conditional, m=3", [partial(dps.ImportanceConditional, m=3)]),
    Row("split-merge + Algorithm 3", [dps.SplitMerge, dps.Neal3]),
    Row("split-merge + Algorithm 8, m=1", [dps.SplitMerge, partial(dps.Neal8, m=1)]),
)


def nine_points() -> pm.Model:
    """Build the model of section 7 of the paper."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1, shape=9)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=9, shape=9)
        pm.Normal("y", mu[z], 0.1, observed=Y)
    return model


def run(row: Row, n_iterations: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, float]:
    """Draws of k and theta_1, and microseconds per iteration.

    The steps are iterated directly: `pm.sample` would add its own time per draw.
    """
    n_tune = 1000
    model = nine_points()
    with model:
        steps = [make() for make in row.steps]
    for step, rng in zip(steps, np.random.default_rng(seed).spawn(len(steps)), strict=True):
        step.setup_chain(rng, n_tune, n_iterations)
    point = model.initial_point()
    k, theta_1 = np.empty(n_iterations), np.empty(n_iterations)
    for iteration in range(-n_tune, n_iterations):
        if iteration == 0:
            for step in steps:
                step.stop_tuning()
            start = perf_counter()
        for step in steps:
            point, (stats,) = step.step(point)
        if iteration >= 0:
            k[iteration] = stats["n_clusters"]
            theta_1[iteration] = point["mu"][point["z"][0]]
    return k, theta_1, 1e6 * (perf_counter() - start) / n_iterations


def main(n_iterations: int) -> None:
    """Run every row and print the table."""
    print(f"{n_iterations:,} iterations; exact E[k] = {E_K:.3f}, E[theta_1] = {E_THETA_1:.3f}\n")
    print(
        f"{'':<32}{'mean':>13}{'tau(k)':>20}{'tau(theta_1)':>22}{'us per':>10}{'us per draw':>13}\n"
        f"{'':<32}{'k':>5}{'theta_1':>8}{'ours':>8}{'Neal':>6}{'C++':>6}"
        f"{'ours':>10}{'Neal':>6}{'C++':>6}{'iteration':>10}{'of k':>13}\n" + "-" * 110
    )
    for row in ROWS:
        k, theta_1, microseconds = run(row, n_iterations)
        tau = [dps.diagnostics.integrated_autocorr_time(x) for x in (k, theta_1)]
        printed = [f"{x:.1f}" if x else "" for x in (*(row.neal or (0, 0)),)]
        checked = [f"{x:.1f}" if x else "" for x in (*(row.independent or (0, 0)),)]
        print(
            f"{row.label:<32}{k.mean():>5.2f}{theta_1.mean():>8.3f}"
            f"{tau[0]:>8.1f}{printed[0]:>6}{checked[0]:>6}"
            f"{tau[1]:>10.1f}{printed[1]:>6}{checked[1]:>6}"
            f"{microseconds:>10.0f}{microseconds * tau[0]:>13.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
