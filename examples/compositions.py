"""Compositions: lavas of the Isle of Skye as a mixture of Dirichlet distributions.

The shares of three groups of oxides in 23 lavas (Aitchison, 1986) sum to one. The kernel is a
Dirichlet distribution with a mean and a precision per component; its prior is not conjugate, so
that atoms are slice-sampled. Prints a table of what does not depend on the numbering of clusters.
The figure shows the lavas in a ternary diagram, coloured by the point partition, and the posterior
probability that two of them share a cluster.
"""

import logging
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm

import pymc_dpsteps as dps

OUTPUT = Path(__file__).parent / "output"
N_COMPONENTS = 15
PARTS = ["alkali oxides (A)", "iron oxide (F)", "magnesium oxide (M)"]
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000"]  # Okabe and Ito
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])


def compositions_model(shares: np.ndarray) -> pm.Model:
    """Build the Dirichlet process mixture of Dirichlet kernels."""
    coords = {"lava": range(len(shares)), "component": range(N_COMPONENTS), "oxide": PARTS}
    with pm.Model(coords=coords) as model:
        alpha = pm.Gamma("alpha", 2, 4)
        z = dps.ChineseRestaurantProcess("z", alpha, K=N_COMPONENTS, dims="lava")
        dps.kernels.dirichlet("y", z, scale_to=shares, observed=shares, dims=("lava", "oxide"))
    return model


def ternary_axes(ax: Any) -> None:
    """Draw a triangle with a grid of shares, labelled along the edge on which each is read."""
    ax.add_patch(plt.Polygon(CORNERS, closed=True, fill=False, color="black", linewidth=1.0))
    for share in (0.2, 0.4, 0.6, 0.8):
        for part in range(3):
            ends = np.zeros((2, 3))
            ends[:, part] = share
            ends[0, (part + 1) % 3] = ends[1, (part + 2) % 3] = 1.0 - share
            (x, y) = (ends @ CORNERS).T
            ax.plot(x, y, color="#CCCCCC", linewidth=0.6, zorder=0)
            # Along the line of equal shares, a little beyond the edge.
            beyond = ends[0] + 0.045 / (1.0 - share) * (ends[0] - ends[1])
            label = f"{100 * share:.0f}%"
            ax.text(*(beyond @ CORNERS), label, ha="center", va="center", fontsize=7)
    for corner, below, name in zip(CORNERS, (0.11, 0.11, -0.05), PARTS, strict=True):
        ax.text(corner[0], corner[1] - below, name, ha="center", va="center", fontsize=9)
    ax.set(xlim=(-0.2, 1.2), ylim=(-0.15, 0.95))
    ax.set_aspect("equal")
    ax.axis("off")


def main(draws: int = 4000, tune: int = 1000) -> None:
    """Fit, print, draw."""
    logging.getLogger("pymc").setLevel(logging.WARNING)  # the table says it all
    table = dps.datasets.skye().to_numpy()
    shares = table / table.sum(axis=1, keepdims=True)
    with compositions_model(shares):
        idata = dps.sample(draws, tune=tune, cores=1, random_seed=1, progressbar=False)
    point = dps.partitions.point_partition(idata, random_seed=1).values
    print(f"{len(shares)} lavas\n{dps.summary(idata)}\n\npoint partition:")
    for k in range(point.max() + 1):
        means = ", ".join(
            f"{name} {100 * share:.0f}%"
            for name, share in zip(PARTS, shares[point == k].mean(axis=0), strict=True)
        )
        print(f"cluster of {np.count_nonzero(point == k)}: mean {means}")

    OUTPUT.mkdir(exist_ok=True)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.6, 4.4), width_ratios=[1.15, 1.0], layout="constrained"
    )
    ternary_axes(left)
    for k in range(point.max() + 1):
        x, y = (shares[point == k] @ CORNERS).T
        colour = COLOURS[min(k, len(COLOURS) - 1)]
        left.scatter(x, y, s=30, color=colour, label=f"cluster of {len(x)}", zorder=2)
    left.legend(
        title="point partition", frameon=False, fontsize=8, title_fontsize=8, loc="upper left"
    )
    dps.plots.coclustering(idata, item="lava", ax=right)
    figure.savefig(OUTPUT / "compositions.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
