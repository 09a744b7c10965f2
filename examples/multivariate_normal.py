"""Multivariate normal components with full covariances: Old Faithful and the irises.

Eruptions of Old Faithful (their length and the time to the next one) and flowers of three species
of iris (four lengths each) are clustered by a Dirichlet process mixture of multivariate normal
distributions. The base measure of both is normal-Wishart, which is conjugate. Old Faithful is
sampled a second time with an LKJ prior of the correlations and log-normal standard deviations,
which is not: it mixes more slowly, as the effective sample sizes in its table show.

Prints, for each, what does not depend on the numbering of clusters, and how well the point
partition agrees with the groups known: eruptions longer than 3 minutes, and the species. The
figure shows the point partitions of the two conjugate models.
"""

import logging
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
import xarray as xr

import pymc_dpsteps as dps

OUTPUT = Path(__file__).parent / "output"
N_COMPONENTS = 20
# Okabe and Ito's colours, told apart with any colour vision; clusters beyond six share the last.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000"]
MARKERS = ["o", "^", "s"]


def normal_wishart_model(rows: np.ndarray) -> pm.Model:
    """Build the conjugate model; its prior has the location and scale of the data."""
    with pm.Model(coords={"component": range(N_COMPONENTS)}) as model:
        alpha = pm.Gamma("alpha", 2, 4)
        z = dps.ChineseRestaurantProcess("z", alpha, K=N_COMPONENTS, shape=len(rows))
        dps.kernels.mvnormal("y", z, scale_to=rows, observed=rows)
    return model


def normal_lkj_model(rows: np.ndarray) -> pm.Model:
    """Build the model with means, standard deviations and correlations independent a priori."""
    location, scale = rows.mean(axis=0), rows.std(axis=0, ddof=1)
    n_columns = rows.shape[1]
    with pm.Model(coords={"component": range(N_COMPONENTS), "column": range(n_columns)}) as model:
        alpha = pm.Gamma("alpha", 2, 4)
        mu = pm.Normal("mu", location, scale, dims=("component", "column"))
        # Rounded data have ties. A component on these alone has an infinite likelihood as its sd
        # goes to zero, where the prior density has to vanish: HalfNormal's does not.
        sd = pm.LogNormal("sd", np.log(scale / 3), 0.5, dims=("component", "column"))
        shape = (N_COMPONENTS, n_columns, n_columns)
        factor = pm.LKJCorr("factor", n=n_columns, eta=2, shape=shape)  # Cholesky factors
        z = dps.ChineseRestaurantProcess("z", alpha, K=N_COMPONENTS, shape=len(rows))
        pm.MvNormal("y", mu[z], chol=(sd[:, :, None] * factor)[z], observed=rows)
    return model


def report(label: str, idata: xr.DataTree, groups: np.ndarray) -> np.ndarray:
    """Print what a fit says, and return its point partition."""
    point = dps.partitions.point_partition(idata, random_seed=1).values
    index = dps.partitions.adjusted_rand_index(point, groups)
    sizes = np.bincount(point).tolist()
    print(f"{label}\n{dps.summary(idata)}")
    print(f"point partition: clusters of {sizes}; adjusted Rand index {index:.3f}\n")
    return point


def scatter(
    ax: Any, x: np.ndarray, y: np.ndarray, point: np.ndarray, groups: np.ndarray, title: str
) -> None:
    """Draw the point partition in colour, the known groups as markers."""
    for group, marker in zip(np.unique(groups), MARKERS, strict=False):
        chosen = groups == group
        colours = [COLOURS[min(k, len(COLOURS) - 1)] for k in point[chosen]]
        ax.scatter(x[chosen], y[chosen], c=colours, marker=marker, s=22, alpha=0.75, linewidth=0)
        ax.scatter([], [], c="grey", marker=marker, s=22, label=group)
    ax.set_title(title, fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8, loc="upper left")


def main(draws: int = 2000, tune: int = 500) -> None:
    """Fit, print, draw."""
    logging.getLogger("pymc").setLevel(logging.WARNING)  # the tables say it all
    geyser, flowers = dps.datasets.faithful(), dps.datasets.iris()
    eruptions, lengths = geyser.to_numpy(), flowers.iloc[:, :4].to_numpy(dtype=np.float64)
    kind = np.where(eruptions[:, 0] > 3.0, "longer than 3 min", "up to 3 min")
    species = flowers["species"].to_numpy(dtype=str)
    options: dict[str, Any] = dict(tune=tune, cores=1, random_seed=1, progressbar=False)
    points = []
    for label, rows, groups in [
        ("Old Faithful, normal-Wishart", eruptions, kind),
        ("Iris, normal-Wishart", lengths, species),
    ]:
        with normal_wishart_model(rows):
            # Two species overlap: single flowers hardly found a cluster of their own.
            step = [dps.SplitMerge(moves=5), dps.Neal2()]
            idata = dps.sample(draws, step=step, **options)
        points.append(report(label, idata, groups))
    with normal_lkj_model(eruptions):
        # Draws from LKJ take most of the time: one auxiliary component per item will do.
        idata = dps.sample(draws, step=dps.Neal8(m=1), chains=2, **options)
    report("Old Faithful, LKJ", idata, kind)

    OUTPUT.mkdir(exist_ok=True)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 4.0), layout="constrained")
    scatter(left, eruptions[:, 0], eruptions[:, 1], points[0], kind, "Old Faithful")
    left.set(xlabel="length of eruption (min)", ylabel="time to the next one (min)")
    scatter(right, lengths[:, 2], lengths[:, 0], points[1], species, "Iris")
    right.set(xlabel="petal length (cm)", ylabel="sepal length (cm)")
    figure.suptitle("Colour: cluster of the point partition. Marker: known group.", fontsize=9)
    figure.savefig(OUTPUT / "multivariate_normal.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
