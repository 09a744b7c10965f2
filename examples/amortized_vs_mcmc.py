"""When a network pays: time to equal accuracy, amortized and by compiled Markov chains.

Normal clusters of unit spread in 1, 2 and 8 dimensions, 16 to 500 observations; one network for
every dimension and range of sizes. For held-out data sets, the distribution of the number of
clusters (total variation) and the co-clustering probabilities (root mean square over pairs) are
compared with those of a long chain.

*Time to equal accuracy* is when the median error, over data sets and repetitions, passes a level
for good, between numbers of draws that double. Beyond the draws made it is extrapolated by
error² = floor² + c² / time, which a column says, and open circles in the figure. The floor of
exact methods is zero. That of raw draws of a network, which are biased, follows from their errors
at the most draws and at a quarter of them; with a floor above the level they never get there: inf.

Times are processor time of one core, which other work on the machine disturbs little. Chains are
timed by calls of the steps, after compilation: what `pymc.sample` adds is left out, and so is
making the steps ready for a data set, which has a column of its own. They start at a partition
drawn from the prior; a fifth of the draws is dropped, but its time counts. A draw of theirs is
five sweeps. Networks are timed from the data to partitions with their densities. The break-even
number of data sets is N* = T_train / (t_mcmc - t_amortized) with the better of the chains;
infinite where the network is no faster.

    python examples/amortized_vs_mcmc.py [--minutes 2] [--quick]
"""

from __future__ import annotations

import argparse
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pymc as pm
from numpy.typing import NDArray
from pymc.step_methods.compound import CompoundStep

import pymc_dpsteps as dps
from pymc_dpsteps.amortized.check_draws import Draws
from pymc_dpsteps.amortized.check_reference import coclustering, probability_of_n_clusters
from pymc_dpsteps.mixture import read_mixture
from pymc_dpsteps.modes.greedy import Greedy

OUTPUT = Path(__file__).parent / "output"
LEVELS = {"P(k)": 0.05, "co-clustering": 0.02}
SWEEPS = 5  # of a chain per draw
FEWEST_WEIGHTED = 32  # draws; of fewer weights there is no tail to smooth
BRANCHES = 50  # of the search for the most probable partition
SLOTS = 20  # clusters at most
RAW, WEIGHTED, REMASKED = "network, raw", "network, weighted", "network, re-masking + Neal 3"
type Array = NDArray[np.float64]


@dataclass(frozen=True)
class Effort:
    """What is compared, and with how many draws."""

    ranges: tuple[tuple[int, ...], ...] = ((16, 64), (200, 500))  # sizes, a network for each range
    dimensions: tuple[int, ...] = (1, 2, 8)
    minutes: float = 2.0  # training of a network
    data_sets: int = 5  # of each size
    chains: int = 2  # for a data set
    draws: int = 2_048  # of a chain
    reference: int = 4_096  # draws of the chain that is the truth
    network_draws: int = 1_024  # at most, at a time
    network_seconds: float = 5.0  # that they may take, about
    remasked: int = 64  # draws of the chain with re-masking
    remasked_up_to: int = 64  # its largest n
    climbs: int = 20  # to modes of the density of partitions


FULL = Effort()
QUICK = Effort(
    ranges=((8, 12),), dimensions=(1,), minutes=0.02, data_sets=2, chains=1, draws=64,
    reference=256, network_draws=64, remasked=8, remasked_up_to=8, climbs=2,
)  # fmt: skip


def build_model(n: int, dimension: int) -> pm.Model:
    """Clusters of unit spread, their centres around the origin."""
    with pm.Model() as model:
        alpha = pm.Gamma("alpha", 2.0, 2.0)
        mu = pm.Normal("mu", 0.0, 3.0, shape=(SLOTS, dimension))
        z = dps.ChineseRestaurantProcess("z", alpha, K=SLOTS, shape=n)
        pm.Normal("y", mu[z], 1.0, observed=np.zeros((n, dimension)))
    return model


def neal3() -> list[Any]:
    """Sweeps of one item at a time."""
    return [dps.Neal3(sweeps=SWEEPS)]


def split_merge() -> list[Any]:
    """The same, and before them three proposals to split or merge."""
    return [dps.SplitMerge(atoms=None), *neal3()]


def remask(posterior: Any) -> list[Any]:
    """The same, and before them a neighbourhood drawn by the network."""
    return [dps.amortized.RemaskingStep(posterior), *neal3()]


MCMC: dict[str, Callable[[], list[Any]]] = {"Neal 3": neal3, "split–merge + Neal 3": split_merge}


@dataclass(frozen=True)
class Chain:
    """Allocations in the order in which they were drawn, and the seconds up to each."""

    labels: NDArray[np.int64]
    seconds: Array

    def kept(self, m: int) -> Draws:
        """The first m draws, without a fifth of them."""
        return Draws(self.labels[m // 5 : m])


def run_chains(
    y: Array, steps: Callable[[], list[Any]], n_chains: int, draws: int, seed: int
) -> tuple[list[Chain], float]:
    """Chains for one data set, and the seconds that it took to make their steps ready."""
    start = process_time()
    with build_model(*y.shape) as model:
        dps.amortized.with_data(model, {"y": y})
        step = CompoundStep(steps())
    step.setup_chain(np.random.default_rng(seed), 0, draws)
    step.step(model.initial_point())  # what is compiled or loaded at the first call
    ready = process_time() - start
    found = []
    for rng in np.random.default_rng(seed).spawn(n_chains):
        step.setup_chain(rng, 0, draws)
        point, labels, seconds = model.initial_point(), [], []
        start = process_time()
        for _ in range(draws):
            point, _ = step.step(point)
            labels.append(point["z"])
            seconds.append(process_time() - start)
        found.append(Chain(np.array(labels), np.array(seconds)))
    return found, ready


def run_climbs(y: Array, restarts: int, seed: int) -> Chain:
    """Partitions that no move of one item improves, as `dps.find_map` finds them, as a chain."""
    with build_model(*y.shape) as model:
        greedy = Greedy(read_mixture(dps.amortized.with_data(model, {"y": y})))
    rng = np.random.default_rng(seed)
    greedy.find_mode(rng)  # what is compiled or loaded at the first call
    labels, seconds, start = [], [], process_time()
    for _ in range(restarts):
        labels.append(greedy.find_mode(rng).labels)
        seconds.append(process_time() - start)
    return Chain(np.array(labels), np.array(seconds))


def doubling_draws(posterior: Any, y: Array, effort: Effort, seed: int) -> list[tuple[Any, float]]:
    """8, 16, ... draws of the network, and the seconds of each."""
    posterior.draw(y, 8, random_seed=seed)  # what is compiled or loaded at the first call
    rng = np.random.default_rng(seed)
    found: list[tuple[Any, float]] = []
    for m in (8 * 2**j for j in range((effort.network_draws // 8).bit_length())):
        start = process_time()
        drawn = posterior.draw(y, m, random_seed=rng)
        found.append((drawn, process_time() - start))
        if len(found) > 2 and 2.0 * found[-1][1] > effort.network_seconds:
            break
    return found


def summarise(draws: Draws) -> tuple[Array, Array]:
    """P(k), and co-clustering probabilities of the pairs."""
    together = coclustering(draws)
    return probability_of_n_clusters(draws, SLOTS), together[np.triu_indices(len(together), 1)]


def errors(draws: Draws, truth: tuple[Array, Array]) -> Array:
    """Errors of draws, in the order of `LEVELS`."""
    p, together = summarise(draws)
    rms = np.sqrt(np.mean((together - truth[1]) ** 2))
    return np.array([0.5 * np.abs(p - truth[0]).sum(), rms])


class Curves:
    """Errors and seconds of a method by number of draws, of all data sets and repetitions."""

    def __init__(self, exact: bool) -> None:
        self.exact = exact
        self.errors: dict[int, list[Array]] = defaultdict(list)
        self.seconds: dict[int, list[float]] = defaultdict(list)
        self.cost: list[float] = []  # draws that an independent one is worth

    def add_chains(self, chains: list[Chain], truth: tuple[Array, Array]) -> None:
        """Add chains: what each knows after 1, 2, 4, ... draws."""
        for chain in chains:
            for m in (2**j for j in range(len(chain.labels).bit_length())):
                self.errors[m].append(errors(chain.kept(m), truth))
                self.seconds[m].append(chain.seconds[m - 1])
            k = chain.kept(len(chain.labels)).functionals()["n_clusters"]
            # Thinned to every fifth sweep, a draw is worth one at most; nan where k never changes.
            self.cost.append(np.fmax(1.0, dps.diagnostics.integrated_autocorr_time(k)))

    def add_draws(self, parts: list[tuple[Any, float]], truth: tuple[Array, Array]) -> None:
        """Add draws of a network: what so many know, in up to eight ways."""
        drawn = type(parts[0][0]).joined([part for part, _ in parts])
        n_drawn = len(drawn.labels)
        for part, seconds in parts:
            m = len(part.labels)
            if self.exact and m < FEWEST_WEIGHTED:
                continue
            for first in range(0, n_drawn - m + 1, max(m, n_drawn // 8)):
                chosen = drawn.take(np.arange(first, first + m))
                weights = dps.amortized.importance(chosen).weights if self.exact else None
                self.errors[m].append(errors(Draws(chosen.labels, weights=weights), truth))
            self.seconds[m].append(seconds)
        ess = dps.amortized.importance(drawn).ess if self.exact else n_drawn
        self.cost.append(n_drawn / ess)

    def row(self) -> dict[str, float]:
        """What the table says."""
        draws = np.array(sorted(self.errors))
        error = np.maximum([np.median(self.errors[m], axis=0) for m in draws], 1e-9)
        seconds = np.array([np.median(self.seconds[m]) for m in draws])
        cost, ms = float(np.median(self.cost)), 1e3 * seconds[-1] / draws[-1]
        found = {"draws": draws[-1], "ms per draw": ms, "draws per independent one": cost}
        found["ms per independent draw"] = cost * ms
        for (name, level), e in zip(LEVELS.items(), error.T, strict=True):
            # error² = floor² + c² / draws, at the last number and at a quarter of it
            floor = 0.0 if self.exact else np.sqrt(max(0.0, (4.0 * e[-1] ** 2 - e[-3] ** 2) / 3.0))
            time, extrapolated = passing(seconds, e, level, floor)
            found |= {f"s to {name}": time, f"{name} extrapolated": extrapolated}
            found |= {f"{name} last error": e[-1], f"{name} floor": floor}
        return found


def passing(seconds: Array, error: Array, level: float, floor: float) -> tuple[float, bool]:
    """Time at which an error passes a level for good, and whether that is extrapolated."""
    above = np.flatnonzero(error > level)
    if len(above) == 0:
        return float(seconds[0]), False
    last = above[-1]
    if last + 1 < len(error):
        share = np.log(error[last] / level) / np.log(error[last] / error[last + 1])
        return float(seconds[last] * (seconds[last + 1] / seconds[last]) ** share), False
    if floor >= level:
        return np.inf, False
    return float(seconds[-1] * (error[-1] ** 2 - floor**2) / (level**2 - floor**2)), True


def search(posterior: Any, y: Array, chains: dict[str, list[Chain]]) -> dict[str, float]:
    """The best partition by the network's search, and when others meet one that is as good."""
    start = process_time()
    best = posterior.branch(y, BRANCHES, mode="best", random_seed=0).log_p[0]
    found = {"s search": process_time() - start}
    items = posterior.items_of(y)
    for name, of_step in chains.items():
        log_p = np.array([posterior.target.log_prob(items, chain.labels) for chain in of_step])
        seconds = np.array([chain.seconds for chain in of_step])
        there = np.where(log_p >= best - 1e-6, seconds, np.inf).min(1)
        found[f"search less {name}"] = best - np.median(log_p.max(1))
        found[f"s {name} to the same"] = float(np.median(there))
    return found


def compare(
    posterior: Any, data: Sequence[Array], effort: Effort
) -> tuple[pd.DataFrame, pd.Series]:
    """One cell: a row for every method, and medians of the search for the best partition."""
    remasked = [REMASKED] if len(data[0]) <= effort.remasked_up_to else []
    curves = {name: Curves(exact=name != RAW) for name in (RAW, WEIGHTED, *MCMC, *remasked)}
    searches, reference_errors, ready = [], [], []
    for seed, y in enumerate(data):
        (long,), _ = run_chains(y, split_merge, 1, effort.reference, 1_000 + seed)
        kept = long.kept(effort.reference)
        truth, second = summarise(kept), summarise(kept.half(second=True))
        # Halves are twice as far from each other as the whole is from the truth.
        reference_errors.append(0.5 * errors(kept.half(second=False), second))
        chains: dict[str, list[Chain]] = {}
        for name, steps in MCMC.items():
            chains[name], spent = run_chains(y, steps, effort.chains, effort.draws, seed)
            ready.append(spent)
        climbs = [run_climbs(y, effort.climbs, seed)]
        searches.append(search(posterior, y, chains | {"greedy climbs": climbs}))
        for name in remasked:
            both = partial(remask, posterior)
            chains[name], _ = run_chains(y, both, 1, effort.remasked, seed)
        for name, of_step in chains.items():
            curves[name].add_chains(of_step, truth)
        parts = doubling_draws(posterior, y, effort, seed)
        for name in (RAW, WEIGHTED):
            curves[name].add_draws(parts, truth)
    rows = pd.DataFrame({name: curve.row() for name, curve in curves.items()}).T
    for name, value in zip(LEVELS, np.median(reference_errors, axis=0), strict=True):
        rows[f"{name} reference error"] = value
    rows["s to make steps ready"] = np.median(ready)
    return rows, pd.DataFrame(searches).median()


def break_even(rows: pd.DataFrame, trained: float) -> pd.DataFrame:
    """Add N* of the methods with a network."""
    for name in LEVELS:
        time = rows[f"s to {name}"].astype(float)
        gain = time[list(MCMC)].min() - time
        rows[f"N* {name}"] = (trained / gain).where(gain > 0.0, np.inf).drop(list(MCMC))
    rows["s of training"] = trained
    return rows


def draw_figure(table: pd.DataFrame, path: Path) -> None:
    """Draw the time to equal accuracy against n: a column for every dimension."""
    methods = table.index.unique("method")
    dimensions = table.index.unique("D")
    figure, axes = plt.subplots(
        len(LEVELS), len(dimensions), figsize=(11, 6.5), sharex=True, sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for row, (name, level) in zip(axes, LEVELS.items(), strict=True):
        for ax, dimension in zip(row, dimensions, strict=True):
            for j, method in enumerate(methods):
                here = table.xs((dimension, method), level=("D", "method"))
                time = here[f"s to {name}"].astype(float).replace(np.inf, np.nan)
                ax.plot(time, f"C{j}o-", label=method)
                open_ = time[here[f"{name} extrapolated"].astype(bool)]
                ax.plot(open_, f"C{j}o", markerfacecolor="white")
            ax.set(xscale="log", yscale="log", title=f"{name} to {level}, D = {dimension}")
            ax.set_xticks(table.index.unique("n"), table.index.unique("n"))
            ax.minorticks_off()
    figure.supxlabel("observations")
    figure.supylabel("seconds")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main(effort: Effort) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train, compare, print, save and draw; a cell is saved as soon as it is there."""
    import torch

    logging.getLogger("pymc").setLevel(logging.WARNING)
    torch.set_num_threads(1)
    OUTPUT.mkdir(exist_ok=True)
    # Large data sets take long to simulate: fewer of them, and more places of each.
    large = dps.amortized.Schedule(batch=16, places=24, warmup=30)
    tables, searches = {}, {}
    for dimension in effort.dimensions:
        for sizes in effort.ranges:
            start = process_time()
            posterior = dps.amortized.train(
                partial(build_model, dimension=dimension),
                n=(min(sizes), max(sizes)),
                budget=60.0 * effort.minutes,
                schedule=large if max(sizes) > 100 else None,
                accelerator="cpu",
                random_seed=1,
                progressbar=False,
            )
            trained = process_time() - start
            posterior.simulator.seed(2)  # other data sets than those it was trained on
            data = posterior.simulator.draw(effort.data_sets).observed["y"]
            for n in sizes:
                rows, searches[dimension, n] = compare(posterior, list(data[:, :n]), effort)
                tables[dimension, n] = break_even(rows, trained)
                table = pd.concat(tables, names=["D", "n", "method"])
                found = pd.DataFrame(searches).T.rename_axis(["D", "n"])
                table.to_csv(OUTPUT / "amortized_vs_mcmc.csv")
                found.to_csv(OUTPUT / "amortized_vs_mcmc_search.csv")
                print(f"\nD = {dimension}, n = {n}")
                print(rows.T.to_string(float_format="{:.3g}".format))
                print(searches[dimension, n].to_string(float_format="{:.3g}".format), flush=True)
    draw_figure(table, OUTPUT / "amortized_vs_mcmc.png")
    return table, found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=FULL.minutes, help="training a network")
    parser.add_argument("--quick", action="store_true", help="a few seconds: does it run?")
    options = parser.parse_args()
    main(QUICK if options.quick else replace(FULL, minutes=options.minutes))
