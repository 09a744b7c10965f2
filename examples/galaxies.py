"""Galaxies: one data set, two priors of the allocation, two algorithms, the same answer.

The velocities of 82 galaxies (Roeder, 1990) cluster in superclusters. A mixture of normal
distributions with unknown mean and standard deviation per component, and an unknown number of
components, is sampled three ways:

- the Dirichlet process itself, as a Chinese restaurant process, by Neal's Algorithm 8;
- truncated at 30 stick-breaking weights, by Neal's Algorithm 8 with the weights integrated out;
- the same truncated model by blocked Gibbs sampling.

The truncated models approximate the first so well that all three agree within Monte Carlo error.
Prints a table and saves two pictures in examples/output.
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

import pymc_dpsteps as dps

OUTPUT = Path(__file__).parent / "output"
N_COMPONENTS = 30
N_DRAWS = 20_000  # per chain
QUANTITIES = {"n_clusters": "clusters", "alpha": "alpha", "log_likelihood": "log-likelihood"}


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


def save_pictures(idata: xr.DataTree, model: pm.Model, velocities: np.ndarray) -> None:
    """Save the density with its band, and the co-clustering matrix."""
    OUTPUT.mkdir(exist_ok=True)
    grid = np.linspace(5.0, 40.0, 351)
    curves = dps.predict.density(idata, grid, model=model, draws=2000)
    ax = dps.plots.density(
        curves, observed=velocities, bins=35, quantity="velocity", units="1000 km/s"
    )
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.savefig(OUTPUT / "galaxies_density.png", dpi=150)
    plt.close(figure)

    ax = dps.plots.coclustering(idata, item="galaxy")
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.savefig(OUTPUT / "galaxies_coclustering.png", dpi=150)
    plt.close(figure)


def main() -> None:
    """Fit, print, draw."""
    start = perf_counter()
    logging.getLogger("pymc").setLevel(logging.WARNING)  # the table says it all
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
    save_pictures(results[0], restaurant, velocities)
    print(f"\nPictures in {OUTPUT.relative_to(Path.cwd(), walk_up=True)}.", end=" ")
    print(f"{perf_counter() - start:.0f} s in all.")


if __name__ == "__main__":
    main()
