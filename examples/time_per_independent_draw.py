"""Time per independent draw of every algorithm, against the dimension and the number of items.

Four groups on a line, neighbours three standard deviations apart, are allocated by Dirichlet
process mixtures with alpha = 1. Dimensions are added across the line, in which the groups do not
differ: two neighbours overlap as much in 32 dimensions as in one (Bhattacharyya coefficient
exp(-9/8)), and so do the Dirichlet laws, whose dimension is their number of parts less one. With
full covariances one long component would do for such groups; there they are six standard
deviations apart, and there are 2,000 items, not 200. The base measure of the means has the
variance of the data. What grows with the dimension is the number of coordinates of an atom, and
with it how seldom a draw from the base measure fits an item.

For the number of clusters, the sum of squared proportions and the density at the middle of the
line, four chains from the step's own starts give the integrated autocorrelation time tau, in
draws, with a standard error by jackknife over the chains. Time per independent draw is tau times
the milliseconds of a draw: the processor time of the thread inside the steps, so that other work
on the machine disturbs it little, and threads that some steps can use are off. What `pymc.sample`
adds to record a draw is left out. Chains shorter than 50 tau give a lower bound: they have not
lasted long enough for tau, and may not have left their start. They are drawn as open triangles.

Without options it runs a few sizes; with ``--full``, the figure of docs/which_algorithm.md. Every
result is appended to a file in `examples/output` as it is found, and is not computed again: an
interrupted run goes on where it was. Results of other options are kept apart.
"""

import argparse
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import thread_time
from typing import Any

import matplotlib

matplotlib.use("Agg")

import arviz_stats
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pymc as pm
from pymc.step_methods.compound import CompoundStep
from scipy.optimize import brentq
from scipy.special import gammaln, softmax

import pymc_dpsteps as dps

OUTPUT = Path(__file__).parent / "output"
N_ITEMS = 200  # where the dimension varies
N_ITEMS_FULL = 2_000  # with full covariances
DISTANCE = 3.0  # between neighbouring groups, in standard deviations
DISTANCE_FULL = 6.0
N_COMPONENTS = 30
N_CHAINS = 4
SHAPE = 10.0  # of the parts of a Dirichlet law, on average
ENOUGH = 50  # autocorrelation times that a chain should last
FEWEST = 20  # draws of a chain, below which a step is left out

ANY: Mapping[str, Sequence[Any]] = {
    "Neal 8": [dps.Neal8],
    "split–merge, Neal 8": [dps.SplitMerge, dps.Neal8],
    "importance": [dps.ImportanceConditional],
    "slice": [partial(dps.SliceGibbs, threads=1)],
    "blocked": [partial(dps.BlockedGibbs, threads=1)],
}
CONJUGATE: Mapping[str, Sequence[Any]] = {**ANY, "Neal 2": [dps.Neal2], "Neal 3": [dps.Neal3]}
SEVERAL: Mapping[str, Sequence[Any]] = {"Neal 8, 5 sweeps": [partial(dps.Neal8, sweeps=5)]}


@dataclass(frozen=True)
class Budget:
    """Draws of a chain, sweeps before them, and seconds of all chains, whichever ends first."""

    draws: int
    tune: int
    seconds: float
    all_sizes: bool


FEW = Budget(draws=2_000, tune=500, seconds=0.8, all_sizes=False)
FULL = Budget(draws=5_000, tune=1_000, seconds=2.5, all_sizes=True)


@dataclass(frozen=True)
class Problem:
    """A model for each of several sizes.

    `atoms_and_kernel(z, size)` adds atoms and observations of allocation z to the model in
    context; `log_kernel(size, *atoms)` is the log density of all components at one place.
    """

    name: str
    atoms_and_kernel: Callable[[Any, int], Any]
    log_kernel: Callable[..., np.ndarray]
    steps: Mapping[str, Sequence[Any]]
    sizes: Sequence[int]
    few_sizes: Sequence[int]
    n_items: int | None = N_ITEMS  # None where the size is the number of items

    def model(self, size: int, sticks: bool) -> pm.Model:
        """Build the model, on truncated sticks or on the process itself."""
        n_items = self.n_items or size
        with pm.Model() as model:
            if sticks:
                w = pm.StickBreakingWeights("w", 1.0, K=N_COMPONENTS - 1)
                z = pm.Categorical("z", w, shape=n_items)
            else:
                z = dps.ChineseRestaurantProcess("z", 1.0, K=N_COMPONENTS, shape=n_items)
            self.atoms_and_kernel(z, size)
        return model


def normal_data(
    dimension: int, n_items: int = N_ITEMS, distance: float = DISTANCE
) -> tuple[np.ndarray, float]:
    """Items of four equal groups along the diagonal, and the standard deviation of a coordinate."""
    centers = distance * np.array([-1.5, -0.5, 0.5, 1.5]) / np.sqrt(dimension)
    noise = np.random.default_rng(1).normal(size=(n_items, dimension))
    y = np.repeat(centers, n_items // 4)[:, None] + noise
    return y, float(np.sqrt(1.0 + centers.var()))


def known_covariance(z: Any, dimension: int, conjugate: bool) -> None:
    """Add unknown means of MvNormal(mu, I)."""
    shape = (N_COMPONENTS, dimension)
    y, scale = normal_data(dimension)
    if conjugate:
        mu = pm.Normal("mu", 0.0, scale, shape=shape)
    else:
        # Student's t has nu / (nu - 2) times the variance of its scale.
        mu = pm.StudentT("mu", nu=5.0, sigma=scale * np.sqrt(3 / 5), shape=shape)
    pm.MvNormal("y", mu[z], cov=np.eye(dimension), observed=y)


def log_known(dimension: int, mu: np.ndarray) -> np.ndarray:
    """Log density of the components at 0."""
    return -0.5 * (mu**2).sum(axis=1) - 0.5 * dimension * np.log(2.0 * np.pi)


def full_covariance(z: Any, dimension: int) -> None:
    """Add normal-Wishart atoms; a component's covariance is I on average."""
    y, s = normal_data(dimension, N_ITEMS_FULL, DISTANCE_FULL)
    dps.kernels.mvnormal("y", z, location=0.0, scale=s, ratio=1 / s, df=dimension + 4, observed=y)


def log_full(dimension: int, precision: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """Log density of the components at 0."""
    squares = np.einsum("ki,kij,kj->k", mu, precision, mu)
    log_det = np.linalg.slogdet(precision)[1]
    return 0.5 * (log_det - squares - dimension * np.log(2.0 * np.pi))


def composition(t: float, n_parts: int) -> np.ndarray:
    """Parameters of the Dirichlet law at place t of the line: odd parts up, even ones down."""
    direction = np.where(np.arange(n_parts) % 2 == 0, 1.0, -1.0)
    return SHAPE * n_parts * softmax(t * direction)


def log_overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Logarithm of the Bhattacharyya coefficient of two Dirichlet laws."""

    def log_beta(x: np.ndarray) -> float:
        return float(gammaln(x).sum() - gammaln(x.sum()))

    return log_beta(0.5 * (a + b)) - 0.5 * (log_beta(a) + log_beta(b))


def dirichlet_groups(n_parts: int) -> list[np.ndarray]:
    """Parameters of four Dirichlet laws on a line that overlap as the normal groups do."""
    target = -(DISTANCE**2) / 8.0

    def gap(t: float, other: float) -> float:
        return log_overlap(composition(t, n_parts), composition(other, n_parts)) - target

    inner = brentq(lambda t: gap(t, -t), 1e-3, 3.0)
    upper = brentq(lambda t: gap(t, inner), inner + 1e-3, 6.0)
    lower = brentq(lambda t: gap(t, -inner), -6.0, -inner - 1e-3)
    return [composition(t, n_parts) for t in (lower, -inner, inner, upper)]


def dirichlet(z: Any, dimension: int) -> None:
    """Add Dirichlet atoms; neither mean nor precision is conjugate."""
    n_parts = dimension + 1
    _, scale = normal_data(dimension)
    rng = np.random.default_rng(1)
    groups = [rng.dirichlet(a, size=N_ITEMS // 4) for a in dirichlet_groups(n_parts)]
    dps.kernels.dirichlet(
        "y",
        z,
        precision=SHAPE * n_parts,
        spread=0.5,
        weight=SHAPE * n_parts / scale**2,
        observed=np.concatenate(groups),
    )


def log_dirichlet(dimension: int, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Log density of the components where all parts are the same."""
    a = precision[:, None] * mean
    return gammaln(precision) - gammaln(a).sum(axis=1) - ((a - 1.0) * np.log(dimension + 1)).sum(1)


def univariate(z: Any, n_items: int) -> None:
    """Add normal-inverse-gamma atoms; a component's variance is 1 on average."""
    rows, s = normal_data(1, n_items)
    y = rows[:, 0]
    dps.kernels.normal("y", z, location=0.0, scale=s, ratio=1 / s, prior_shape=3.0, observed=y)


def log_univariate(n_items: int, sigma2: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """Log density of the components at 0."""
    return -0.5 * (np.log(2.0 * np.pi * sigma2) + mu**2 / sigma2)


DIMENSIONS = (1, 2, 4, 8, 16, 32)
PROBLEMS = (
    Problem(
        "normal, known covariance,\nnormal base",
        partial(known_covariance, conjugate=True),
        log_known,
        CONJUGATE,
        DIMENSIONS,
        (1, 8),
    ),
    Problem(
        "normal, known covariance,\nStudent t base",
        partial(known_covariance, conjugate=False),
        log_known,
        ANY,
        DIMENSIONS,
        (1, 8),
    ),
    Problem(
        "normal, full covariance,\nnormal–Wishart base",
        full_covariance,
        log_full,
        CONJUGATE,
        (1, 2, 4, 8),
        (2, 8),
        N_ITEMS_FULL,
    ),
    Problem(
        "Dirichlet",
        dirichlet,
        log_dirichlet,
        ANY,
        DIMENSIONS,
        (2, 8),
    ),
    Problem(
        "univariate normal",
        univariate,
        log_univariate,
        {**CONJUGATE, **SEVERAL},
        (100, 1_000, 10_000, 100_000),
        (100, 1_000),
        n_items=None,
    ),
)
FUNCTIONALS = {
    "n_clusters": "number of clusters",
    "sum_squared_proportions": "Σp²",
    "density": "density",
}


def functionals(z: np.ndarray, log_kernel: np.ndarray) -> list[float]:
    """Those of a draw, with the weights integrated out, less what a constant adds to the density.

    A new cluster adds alpha / (N + alpha) times the density under the base measure.
    """
    n = np.bincount(z, minlength=N_COMPONENTS)
    density = n @ np.exp(log_kernel) / (len(z) + 1.0)
    return [float(x) for x in (np.count_nonzero(n), ((n / len(z)) ** 2).sum(), density)]


def jackknife(chains: np.ndarray) -> tuple[float, float]:
    """Autocorrelation time of chains around their common mean, and its standard error."""
    tau = dps.diagnostics.integrated_autocorr_time
    without = [tau(np.delete(chains, c, axis=0)) for c in range(len(chains))]
    return tau(chains), float(np.std(without) * np.sqrt(len(chains) - 1.0))


def rows(chains: np.ndarray, milliseconds: float) -> list[dict[str, Any]]:
    """What the table says of each functional."""
    found = []
    for f, name in enumerate(FUNCTIONALS):
        x = chains[:, :, f]
        tau, error = jackknife(x)
        found.append(
            {
                "functional": name,
                "mean": x.mean(),
                "r_hat": float(arviz_stats.rhat(x)) if x.std() > 0.0 else np.nan,
                "draws": x.size,
                "tau": tau,
                "tau_se": error,
                "ms_per_draw": milliseconds,
                "ms_per_independent_draw": tau * milliseconds,
                "lower_bound": bool(x.shape[1] < ENOUGH * tau),
            }
        )
    return found


def sample(problem: Problem, size: int, label: str, budget: Budget) -> list[dict[str, Any]]:
    """Run the chains of a step and return its rows of the table, none if there are too few draws.

    Chains have equal shares of the seconds, of which at most a quarter goes to tuning. Sweeps of
    many items are long: from 1,000 items on the seconds grow with the root of their number.
    """
    share = budget.seconds * max(1.0, ((problem.n_items or size) / 1_000) ** 0.5) / N_CHAINS
    model = problem.model(size, sticks=label == "blocked")
    with model:
        step = CompoundStep([make() for make in problem.steps[label]])
    rvs = [rv for rv in model.free_RVs if rv.name not in ("z", "w")]
    atoms = model.compile_fn(
        model.replace_rvs_by_values(rvs), inputs=[model.rvs_to_values[rv] for rv in rvs]
    )
    values = [model.rvs_to_values[rv].name for rv in rvs]
    chains, clocks = [], []
    for chain_rng in np.random.default_rng(1).spawn(N_CHAINS):
        step.setup_chain(chain_rng, budget.tune, budget.draws)
        point, _ = step.step(model.initial_point())  # what compiles at the first call does so here
        before, n = 0.0, 0
        while n < budget.tune and before < 0.25 * share:
            start = thread_time()
            point, _ = step.step(point)
            before += thread_time() - start
            n += 1
        step.stop_tuning()
        clock = 0.0
        kept: list[list[float]] = []
        while len(kept) < budget.draws and before + clock < share:
            start = thread_time()
            point, _ = step.step(point)
            clock += thread_time() - start
            natural = atoms({name: point[name] for name in values})
            kept.append(functionals(point["z"], problem.log_kernel(size, *natural)))
        chains.append(kept)
        clocks.append(clock)
    shortest = min(map(len, chains))
    if shortest < FEWEST:
        return []
    milliseconds = 1e3 * sum(clocks) / sum(map(len, chains))
    return rows(np.array([kept[-shortest:] for kept in chains]), milliseconds)


def compute(path: Path, budget: Budget) -> pd.DataFrame:
    """All results, those in the file and those that are not there yet, which are added to it."""
    cells = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(cell["problem"], cell["size"], cell["step"]) for cell in cells}
    for problem in PROBLEMS:
        for size in problem.sizes if budget.all_sizes else problem.few_sizes:
            for label in problem.steps:
                if (problem.name, size, label) in done or (label in SEVERAL and size > 1_000):
                    continue
                cell = {
                    "problem": problem.name,
                    "size": size,
                    "step": label,
                    "rows": sample(problem, size, label, budget),
                }
                cells.append(cell)
                with path.open("a") as file:
                    file.write(json.dumps(cell) + "\n")
    # In the order of the steps, which gives each the same colour in all panels.
    labels = [*CONJUGATE, *SEVERAL]
    cells.sort(key=lambda cell: (cell["size"], labels.index(cell["step"])))
    return pd.DataFrame(
        {"problem": cell["problem"], "size": cell["size"], "step": cell["step"]} | row
        for cell in cells
        for row in cell["rows"]
    )


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw a row of panels for every functional."""
    figure, axes = plt.subplots(
        len(FUNCTIONALS), len(PROBLEMS), figsize=(23, 11), layout="constrained"
    )
    for row, (functional, title) in zip(axes, FUNCTIONALS.items(), strict=True):
        for ax, problem in zip(row, PROBLEMS, strict=True):
            here = table[(table["problem"] == problem.name) & (table["functional"] == functional)]
            if here["ms_per_independent_draw"].isna().all():
                ax.set_axis_off()
                continue
            label = "dimension" if problem.n_items else "number of items"
            dps.plots.scaling(here, x="size", label=label, ax=ax)
            bounds = here[here["lower_bound"]]
            ax.scatter(
                bounds["size"],
                bounds["ms_per_independent_draw"],
                s=60,
                marker="^",
                facecolors="white",
                edgecolors="#333333",
                zorder=3,
            )
            ax.set_title(f"{title}: {problem.name}", fontsize=9)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main(*, full: bool = False) -> None:
    """Compute what is missing, print, draw."""
    logging.getLogger("pymc").setLevel(logging.WARNING)
    OUTPUT.mkdir(exist_ok=True)
    stem = OUTPUT / f"time_per_independent_draw_{'full' if full else 'few'}"
    table = compute(stem.with_suffix(".jsonl"), FULL if full else FEW)
    for problem in PROBLEMS:
        print(problem.name.replace("\n", " "))
        here = table[table["problem"] == problem.name].drop(columns="problem")
        print(here.to_string(index=False, float_format="{:.3g}".format), "\n", flush=True)
    draw(table, stem.with_suffix(".png"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="all sizes, longer chains")
    main(full=parser.parse_args().full)
