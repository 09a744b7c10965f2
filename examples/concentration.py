"""Concentration: how its prior, and a discount, act on the number of clusters.

The velocities of 82 galaxies as a Dirichlet-process mixture of normal distributions, under five
priors of the concentration alpha: Gamma, HalfCauchy, Uniform, a fixed value, and a Gamma beside a
Pitman-Yor discount with a Beta prior. All are sampled by the same step, which updates
concentration and discount with the weights integrated out, whatever their prior.

The figure has a row for every prior: prior and posterior of alpha on the left (log scale, density
per unit of log10), of the number of clusters on the right.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
from numpy.typing import NDArray

import pymc_dpsteps as dps

OUTPUT = Path(__file__).parent / "output"
BLUE, ORANGE = "#0072B2", "#E69F00"
PRIOR_DRAWS = 4000
MOST_CLUSTERS = 25  # shown in the figure

# Each declares the concentration, and the discount if there is one, in the model in context.
PRIORS: dict[str, Callable[[], tuple[object, object]]] = {
    "Gamma(2, 4)": lambda: (pm.Gamma("alpha", 2, 4), 0.0),
    "HalfCauchy(1)": lambda: (pm.HalfCauchy("alpha", 1), 0.0),
    "Uniform(0, 10)": lambda: (pm.Uniform("alpha", 0, 10), 0.0),
    "fixed at 1": lambda: (1.0, 0.0),
    "Gamma(2, 4), discount Beta(1, 4)": lambda: (
        pm.Gamma("alpha", 2, 4),
        pm.Beta("discount", 1, 4),
    ),
}


def concentration_model(velocities: NDArray[np.float64], prior: str) -> pm.Model:
    """Mixture of normal distributions with one of the priors above.

    There are as many slots as galaxies, so that storage never cuts off a prior.
    """
    n_slots = len(velocities)
    with pm.Model(coords={"galaxy": range(len(velocities)), "slot": range(n_slots)}) as model:
        alpha, discount = PRIORS[prior]()
        mu = pm.Normal("mu", 20, 10, dims="slot")
        sigma = pm.HalfNormal("sigma", 3, dims="slot")
        z = dps.ChineseRestaurantProcess("z", alpha, discount, K=n_slots, dims="galaxy")
        pm.Normal("y", mu[z], sigma[z], observed=velocities, dims="galaxy")
    return model


def prior_and_posterior(
    model: pm.Model, draws: int, tune: int
) -> dict[str, tuple[NDArray, NDArray]]:
    """Draws of number of clusters, alpha and discount from prior and posterior."""
    names = [name for name in ("alpha", "discount") if name in model.named_vars]
    variables = [model["z"], *(model[name] for name in names)]
    labels, *values = pm.draw(variables, draws=PRIOR_DRAWS, random_seed=1)
    idata = dps.sample(
        draws,
        tune=tune,
        model=model,
        cores=1,
        random_seed=1,
        progressbar=False,
        var_names=["z", *names],
    )
    functionals = idata["partition"]
    found = {"n_clusters": dps.partitions.n_clusters(labels)} | dict(
        zip(names, values, strict=True)
    )
    return {name: (prior, functionals[name].values.ravel()) for name, prior in found.items()}


def print_row(prior: str, results: dict[str, tuple[NDArray, NDArray]]) -> None:
    """Print means, and medians for alpha: HalfCauchy has no mean."""
    cells = [f"{prior:<34}"]
    for name, centre in (("n_clusters", np.mean), ("alpha", np.median), ("discount", np.mean)):
        if name in results:
            before, after = results[name]
            cells.append(f"{centre(before):8.2f} -> {centre(after):5.2f}")
        else:
            cells.append(" " * 17)
    print("".join(cells).rstrip())


def save_figure(table: dict[str, dict[str, tuple[NDArray, NDArray]]]) -> None:
    """Save prior and posterior under every prior."""
    figure, axes = plt.subplots(
        len(table), 2, figsize=(8.4, 9.6), sharex="col", layout="constrained"
    )
    clusters = np.arange(1, MOST_CLUSTERS + 1)
    edges = np.linspace(-2.0, 2.0, 61)
    colours = (ORANGE, BLUE)
    for (prior, results), (left, right) in zip(table.items(), axes, strict=True):
        left.set_title(prior, loc="left", fontsize=10)
        if "alpha" in results:
            for values, colour in zip(results["alpha"], colours, strict=True):
                left.hist(
                    np.log10(values), edges, density=True, histtype="step", color=colour, lw=1.6
                )
            left.set_ylabel("density")
        else:
            left.axvline(0.0, color="black", lw=1.6)
            left.set_yticks([])
        for values, colour, shift in zip(results["n_clusters"], colours, (-0.2, 0.2), strict=True):
            share = [(values == k).mean() for k in clusters]
            right.bar(clusters + shift, share, width=0.4, color=colour)
        right.set_ylabel("probability")
    axes[-1, 0].set_xlabel("alpha")
    axes[-1, 0].set_xticks(range(-2, 3), labels=["0.01", "0.1", "1", "10", "100"])
    axes[-1, 1].set_xlabel("number of clusters among 82 galaxies")
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in colours]
    axes[0, 1].legend(handles, ["prior", "posterior"], frameon=False)
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / "concentration.png", dpi=150)
    plt.close(figure)


def main(draws: int = 15_000, tune: int = 500) -> None:
    """Fit under every prior, print, draw."""
    logging.getLogger("pymc").setLevel(logging.WARNING)  # the table says it all
    velocities = dps.datasets.galaxies()
    print(f"{'prior of alpha':<34}{'mean clusters':>17}{'median alpha':>17}{'mean discount':>17}")
    table = {}
    for prior in PRIORS:
        model = concentration_model(velocities, prior)
        table[prior] = prior_and_posterior(model, draws, tune)
        print_row(prior, table[prior])
    save_figure(table)


if __name__ == "__main__":
    main()
