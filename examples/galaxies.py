"""Galaxies: from a model in PyMC to answers that can be published.

The velocities of 82 galaxies (Roeder, 1990) cluster in superclusters. How many, which galaxy is in
which, and where would a further one belong? A mixture of normal distributions with unknown mean
and standard deviation per component, and an unknown number of components, is

1. sampled three ways: the Dirichlet process itself, as a Chinese restaurant process, by Neal's
   Algorithm 8; truncated at 30 stick-breaking weights, by the same algorithm with the weights
   integrated out, and by blocked Gibbs sampling. The truncation is so good that all three agree
   within Monte Carlo error;
2. checked, by what does not depend on how clusters are numbered;
3. summarised by one partition of the galaxies and its credible ball;
4. used to predict: the density of velocities with a band, and the cluster of a new galaxy.

Prints tables, and saves three pictures and a report in examples/output.
"""

import logging
from pathlib import Path
from time import perf_counter

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
import xarray as xr
from matplotlib.axes import Axes

import pymc_dpsteps as dps

OUTPUT = Path(__file__).parent / "output"
N_COMPONENTS = 30
N_DRAWS = 20_000  # per chain
THIN = 20  # draws are kept for partitions and predictions: 4,000 in all
QUANTITIES = {"n_clusters": "clusters", "alpha": "alpha", "log_likelihood": "log-likelihood"}
NEW = [9.5, 13.0, 20.5, 28.0, 45.0]  # velocities of new galaxies, 1000 km/s
UNITS = "1000 km/s"


def chinese_restaurant_model(velocities: np.ndarray) -> pm.Model:
    """Dirichlet-process mixture, stored in 30 slots."""
    coords = {"obs": range(len(velocities)), "component": range(N_COMPONENTS)}
    with pm.Model(coords=coords) as model:
        alpha = pm.Gamma("alpha", 2, 4)
        mu = pm.Normal("mu", 20, 10, dims="component")
        sigma = pm.HalfNormal("sigma", 3, dims="component")
        z = dps.ChineseRestaurantProcess("z", alpha, K=N_COMPONENTS, dims="obs")
        pm.Normal("y", mu[z], sigma[z], observed=velocities, dims="obs")
    return model


def stick_breaking_model(velocities: np.ndarray) -> pm.Model:
    """Build the same mixture, truncated at 30 stick-breaking weights."""
    coords = {"obs": range(len(velocities)), "component": range(N_COMPONENTS)}
    with pm.Model(coords=coords) as model:
        alpha = pm.Gamma("alpha", 2, 4)
        mu = pm.Normal("mu", 20, 10, dims="component")
        sigma = pm.HalfNormal("sigma", 3, dims="component")
        w = pm.StickBreakingWeights("w", alpha, K=N_COMPONENTS - 1)
        z = pm.Categorical("z", w, dims="obs")
        pm.Normal("y", mu[z], sigma[z], observed=velocities, dims="obs")
    return model


def milliseconds_per_sweep(model: pm.Model, step: dps.Neal8 | dps.BlockedGibbs) -> float:
    """Time of one update of allocation, atoms, concentration and weights."""
    n_sweeps = 1000
    step.setup_chain(np.random.default_rng(0), tune=0, draws=2 * n_sweeps)
    point = model.initial_point()
    for sweep in range(2 * n_sweeps):
        if sweep == n_sweeps:
            start = perf_counter()
        point, _ = step.step(point)
    return 1000.0 * (perf_counter() - start) / n_sweeps


def print_rows(label: str, idata: xr.DataTree, milliseconds: float) -> None:
    """Print three rows of the table for one fit."""
    table = dps.summary(idata, round_to="none")
    for n, (name, quantity) in enumerate(QUANTITIES.items()):
        row = table.loc[name]
        print(
            f"{label if n == 0 else '':<34}{quantity:<16}{row['mean']:>9.2f}{row['sd']:>8.2f}"
            f"{row['ess_bulk']:>8.0f}{row['r_hat']:>8.3f}"
            + (f"{milliseconds:>11.3f}" if n == 0 else "")
        )


def print_partition(idata: xr.DataTree, point: xr.DataArray, ball: xr.Dataset) -> None:
    """Print the point partition, its credible ball, and the parameters of its clusters."""
    print(f"\nPartition with the least expected variation of information: {point.n_clusters}")
    print(f"clusters, expected loss {point.expected_loss:.2f} bits. Its 95% credible ball has")
    fewest, most = (ball[name][0].max().item() + 1 for name in ("vertical_upper", "vertical_lower"))
    print(f"radius {ball['radius'].item():.2f} and holds {fewest} to {most} clusters.\n")
    clusters = dps.partitions.relabel(idata, point, var_names=["mu", "sigma"])
    certain = dps.partitions.certainty(idata, point)["own"].groupby(point).mean()
    mean, sd = clusters.mean(("chain", "draw")), clusters.std(("chain", "draw"))
    print(
        f"{'cluster':<9}{'galaxies':>9}{'mean':>8}{'sd':>6}{'spread':>9}{'sd':>6}{'certainty':>11}"
    )
    for c in clusters["cluster"].values:
        print(
            f"{c:<9}{clusters['center_size'].values[c]:>9}"
            f"{mean['mu'].values[c]:>8.1f}{sd['mu'].values[c]:>6.1f}"
            f"{mean['sigma'].values[c]:>9.1f}{sd['sigma'].values[c]:>6.1f}"
            f"{certain.values[c]:>11.2f}"
        )


def print_new_galaxies(idata: xr.DataTree, model: pm.Model, point: xr.DataArray) -> None:
    """Print which cluster new galaxies belong to, or whether to a new one."""
    found = dps.predict.membership(idata, NEW, partition=point, model=model)
    names = [str(name) for name in found["cluster"].values]
    print(f"\nProbability that a new galaxy belongs to a cluster\n\n{'velocity':<10}", end="")
    print("".join(f"{name:>8}" for name in names) + f"{'log density':>14}")
    for velocity, row, log_density in zip(
        NEW, found["probability"].values, found["log_density"].values, strict=True
    ):
        print(f"{velocity:<10.1f}" + "".join(f"{p:>8.3f}" for p in row) + f"{log_density:>14.2f}")


def save(ax: Axes, name: str) -> None:
    """Save the figure of some axes."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.savefig(OUTPUT / name, dpi=150)
    plt.close(figure)


def save_pictures(
    idata: xr.DataTree,
    model: pm.Model,
    velocities: np.ndarray,
    point: xr.DataArray,
    ball: xr.Dataset,
) -> None:
    """Save the density with its band, the co-clustering matrix and the partition."""
    grid = np.linspace(5.0, 40.0, 351)
    curves = dps.predict.density(
        idata, grid, model=model, partition=point, draws=2000, random_seed=1
    )
    ax = dps.plots.density(curves, observed=velocities, bins=35, quantity="velocity", units=UNITS)
    save(ax, "galaxies_density.png")
    save(dps.plots.coclustering(idata, partition=point, item="galaxy"), "galaxies_coclustering.png")
    certain = dps.partitions.certainty(idata, point)["own"]
    _, ax = plt.subplots(figsize=(8.0, 3.8), layout="constrained")
    dps.plots.partition(
        velocities, point, ball, certainty=certain, quantity="velocity", units=UNITS, ax=ax
    )
    save(ax, "galaxies_partition.png")


def main() -> None:
    """Fit, check, summarise, predict, report."""
    start = perf_counter()
    logging.getLogger("pymc").setLevel(logging.WARNING)  # the table says it all
    OUTPUT.mkdir(exist_ok=True)
    velocities = dps.datasets.galaxies()
    restaurant, sticks = chinese_restaurant_model(velocities), stick_breaking_model(velocities)
    fits = [
        ("Neal 8, Chinese restaurant", restaurant, dps.Neal8(model=restaurant)),
        ("Neal 8, sticks", sticks, dps.Neal8(model=sticks)),
        ("blocked Gibbs, sticks", sticks, dps.BlockedGibbs(model=sticks)),
    ]
    print(f"{len(velocities)} galaxies; 4 chains from dispersed starts; K = {N_COMPONENTS}\n")
    header = f"{'algorithm, prior':<34}{'posterior of':<16}{'mean':>9}{'sd':>8}{'ESS':>8}"
    print(f"{header}{'R-hat':>8}{'ms / sweep':>11}\n" + "-" * 94)
    results = []
    for label, model, step in fits:
        milliseconds = milliseconds_per_sweep(model, step)
        # One process: sweeps are so short that two processes were slower when tried.
        idata = dps.sample(
            N_DRAWS, step=step, model=model, cores=1, random_seed=1, progressbar=False
        )
        print_rows(label, idata, milliseconds)
        results.append(idata)

    print("\nThe Chinese restaurant process in full\n")
    print(dps.summary(results[0]))
    print(" ".join(dps.check_truncation(results[0], model=restaurant).messages))

    idata = results[0].isel(draw=slice(None, None, THIN))
    point = dps.partitions.point_partition(idata, random_seed=1)
    ball = dps.partitions.credible_ball(idata, point)
    print_partition(idata, point, ball)
    print_new_galaxies(idata, restaurant, point)
    save_pictures(idata, restaurant, velocities, point, ball)
    page = dps.report(
        idata,
        OUTPUT / "galaxies.html",
        model=restaurant,
        partition=point,
        title="Velocities of 82 galaxies",
        quantity="velocity",
        units=UNITS,
        random_seed=1,
    )
    print(f"\nPictures, and a report to open in a browser ({page.name}), are in", end=" ")
    print(f"{OUTPUT.relative_to(Path.cwd(), walk_up=True)}. {perf_counter() - start:.0f} s in all.")


if __name__ == "__main__":
    main()
