"""Mixture of regressions: the length of iris petals on that of the sepals.

A line through all flowers is much steeper than those of the species, for flowers of different
species have petals of different lengths also where their sepals are alike. A Dirichlet process
mixture of linear regressions y ~ Normal(a[z] + b[z] x, s[z]) is not told the species. Prints a
table of what does not depend on the numbering of clusters, and slopes. The figure shows the point
partition, with the posterior of every cluster's line, and the species as markers; beside it, the
density of the petal length of a flower given the length of its sepal, which has several modes.
"""

import logging
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm

import pymc_dpsteps as dps

OUTPUT = Path(__file__).parent / "output"
N_COMPONENTS = 20
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000"]  # Okabe and Ito
MARKERS = {"setosa": "o", "versicolor": "^", "virginica": "s"}
GRID = np.linspace(4.2, 8.0, 39)


def regression_model(sepal: np.ndarray, petal: np.ndarray) -> pm.Model:
    """Build the mixture of regressions.

    A flower's cluster depends on its petals given its sepals, not on how likely the sepals are.
    """
    with pm.Model(coords={"component": range(N_COMPONENTS)}) as model:
        alpha = pm.Gamma("alpha", 2, 4)
        z = dps.ChineseRestaurantProcess("z", alpha, K=N_COMPONENTS, shape=len(petal))
        # The prior of an intercept is that of a flower of mean length.
        x = pm.Data("x", sepal - sepal.mean())
        dps.kernels.linear_regression("petal", z, x=x, scale_to=petal, observed=petal)
    return model


def main(draws: int = 10_000, tune: int = 1000) -> None:
    """Fit, print, draw."""
    logging.getLogger("pymc").setLevel(logging.WARNING)  # the table says it all
    flowers = dps.datasets.iris()
    sepal, petal = flowers["sepal_length"].to_numpy(), flowers["petal_length"].to_numpy()
    species = flowers["species"].to_numpy(dtype=str)
    model = regression_model(sepal, petal)
    idata = dps.sample(draws, tune=tune, cores=1, random_seed=1, progressbar=False, model=model)
    point = dps.partitions.point_partition(idata, random_seed=1).values
    print(f"{dps.summary(idata)}\n")
    relabelled = dps.partitions.relabel(idata, point, var_names=["intercept", "slope"])
    print(f"slope over all flowers: {np.polyfit(sepal, petal, 1)[0]:.2f}")

    OUTPUT.mkdir(exist_ok=True)
    figure, (ax, right) = plt.subplots(1, 2, figsize=(11.0, 4.6), layout="constrained")
    for k in range(point.max() + 1):
        members, colour = np.flatnonzero(point == k), COLOURS[min(k, len(COLOURS) - 1)]
        lines_of = relabelled.sel(cluster=k).stack(sample=("chain", "draw")).dropna("sample")
        a, b = lines_of["intercept"].values, lines_of["slope"].values
        low, high = np.quantile(b, [0.055, 0.945])
        print(f"cluster of {len(members)}: slope {b.mean():.2f}, 89% {low:.2f} to {high:.2f}")
        near = (sepal[members].min() <= GRID) & (sepal[members].max() >= GRID)
        lines = a[:, None] + b[:, None] * (GRID[near] - sepal.mean())
        lower, upper = np.quantile(lines, [0.055, 0.945], axis=0)
        ax.fill_between(GRID[near], lower, upper, color=colour, alpha=0.2, linewidth=0)
        label = f"cluster of {len(members)}"
        ax.plot(GRID[near], lines.mean(axis=0), color=colour, label=label)
        for name, marker in MARKERS.items():
            chosen = members[species[members] == name]
            ax.scatter(sepal[chosen], petal[chosen], s=20, color=colour, marker=marker, alpha=0.7)
    for name, marker in MARKERS.items():
        ax.scatter([], [], color="grey", marker=marker, s=20, label=name)
    agreement = dps.partitions.adjusted_rand_index(point, species)
    print(f"adjusted Rand index with the species: {agreement:.3f}")
    ax.set(xlabel="sepal length (cm)", ylabel="petal length (cm)")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8, ncols=2, loc="lower right")
    given = np.array([5.0, 5.8, 6.6])
    curves = dps.predict.density(
        idata,
        np.linspace(0.5, 7.5, 211),
        covariates={"x": given - sepal.mean()},
        model=model,
        draws=1000,
        random_seed=1,
    )
    for row, (length, style) in enumerate(zip(given, ("-", "--", ":"), strict=True)):
        curve = curves.isel(point=row)
        colour = ("#56B4E9", "#0072B2", "#000000")[row]
        right.fill_between(
            curve["petal"], curve["lower"], curve["upper"], color=colour, alpha=0.2, linewidth=0
        )
        label = f"{length:.1f} cm"
        right.plot(curve["petal"], curve["mean"], color=colour, linestyle=style, label=label)
    right.set(xlabel="petal length (cm)", ylabel="density (per cm)", xlim=(0.5, 7.5))
    right.set_ylim(bottom=0.0)
    right.spines[["top", "right"]].set_visible(False)
    right.legend(title="sepal length; 89% band", frameon=False)
    figure.savefig(OUTPUT / "regression_mixture.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
