"""Missing data: measurements removed at random, and some items as a whole.

NaN in the data are variables of the model. They are integrated out when items are allocated, and
then drawn from the kernel of the cluster that their item is in, given what is known of the item:

- irises, with columns that are normal and independent within a cluster;
- Old Faithful, with a full covariance per cluster: the time to the next eruption tells of the
  length of the last one within a cluster as well.

Prints what does not depend on the numbering of clusters, the largest R-hat of an imputed value, and
how many of the 89% intervals hold the true value. The figure shows the intervals against the true
values; those of wholly missing items are alike, for nothing is known of these.
"""

import logging
import warnings
from pathlib import Path
from typing import Any

import arviz_stats
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
import xarray as xr

import pymc_dpsteps as dps

OUTPUT = Path(__file__).parent / "output"
N_COMPONENTS = 20
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7"]  # Okabe and Ito
MINUTES = [2, 5, 10, 20, 50, 100]


def remove(rows: np.ndarray, n_whole: int = 3) -> np.ndarray:
    """Remove a tenth of the entries at random, and some whole rows."""
    rng = np.random.default_rng(1)
    gone = rng.random(rows.shape) < 0.1
    gone[rng.choice(len(rows), size=n_whole, replace=False)] = True
    return np.where(gone, np.nan, rows)


def missing_model(rows: np.ndarray, covariance: str) -> pm.Model:
    """Build a mixture whose covariance is "diagonal" or "full"; rows hold NaN where unknown."""
    with pm.Model(coords={"component": range(N_COMPONENTS)}) as model:
        alpha = pm.Gamma("alpha", 2, 4)
        z = dps.ChineseRestaurantProcess("z", alpha, K=N_COMPONENTS, shape=len(rows))
        # Location and scale of the prior come from the complete rows.
        dps.kernels.mvnormal("y", z, covariance=covariance, scale_to=rows, observed=rows)
    return model


def compare(
    ax: Any, idata: xr.DataTree, rows: np.ndarray, truth: np.ndarray, names: list[str]
) -> None:
    """Print and draw the imputed values against the true ones."""
    posterior = idata["posterior"].to_dataset()
    r_hat = arviz_stats.rhat(posterior[["y_unobserved"]])["y_unobserved"]
    print(f"largest R-hat of an imputed value: {float(r_hat.max()):.3f}")
    imputed = posterior["y_unobserved"].values.reshape(-1, np.isnan(rows).sum())
    item, column = np.nonzero(np.isnan(rows))  # the order in which PyMC keeps them
    lower, upper = np.quantile(imputed, [0.055, 0.945], axis=0)
    true, mean = truth[item, column], imputed.mean(axis=0)
    whole = np.isnan(rows).all(axis=1)[item]
    styles = [("single entries", ~whole, "o"), ("entries of whole items", whole, "s")]
    for what, of_kind, marker in styles:
        if not of_kind.any():
            continue
        held = np.count_nonzero(((lower <= true) & (true <= upper))[of_kind])
        print(f"{what}: {held} of {np.count_nonzero(of_kind)} in their 89% intervals")
        for j in np.unique(column):
            at, colour = of_kind & (column == j), COLOURS[j]
            face = colour if marker == "o" else "white"
            label = names[j].replace("_", " ") if marker == "o" else None
            ax.vlines(true[at], lower[at], upper[at], color=colour, alpha=0.4, linewidth=1.0)
            ax.scatter(
                true[at], mean[at], 22, facecolor=face, edgecolor=colour, marker=marker, label=label
            )
    if whole.any():
        ax.scatter([], [], 22, facecolor="white", edgecolor="grey", marker="s", label="whole item")
    ends = [true.min(), true.max()]
    ax.plot(ends, ends, "--", color="grey", linewidth=1.0, zorder=0)
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    ax.spines[["top", "right"]].set_visible(False)


def main(draws: int = 2000, tune: int = 500) -> None:
    """Fit, print, draw."""
    logging.getLogger("pymc").setLevel(logging.WARNING)  # the tables say it all
    flowers, geyser = dps.datasets.iris().iloc[:, :4], dps.datasets.faithful()
    OUTPUT.mkdir(exist_ok=True)
    figure, axes = plt.subplots(1, 2, figsize=(9.4, 4.6), layout="constrained")
    cases = [
        ("Irises, independent columns", flowers, "diagonal", "cm"),
        ("Old Faithful, full covariance", geyser, "full", "min"),
    ]
    for ax, (title, table, covariance, units) in zip(axes, cases, strict=True):
        truth = table.to_numpy(dtype=np.float64)
        rows = remove(truth)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pm.exceptions.ImputationWarning)  # it is what we want
            model = missing_model(rows, covariance)
        with model:
            # One auxiliary component per item: draws of atoms are the larger part of the cost.
            step = dps.Neal8(m=1)
            idata = dps.sample(
                draws, tune=tune, chains=2, cores=1, step=step, random_seed=1, progressbar=False
            )
        print(f"{title}\n{dps.summary(idata)}")
        compare(ax, idata, rows, truth, list(table.columns))
        print()
        ax.set(title=title, xlabel=f"true value ({units})", ylabel=f"imputed value ({units})")
    # Eruptions last minutes, what is between them an hour.
    for set_scale, set_ticks in [
        (axes[1].set_xscale, axes[1].set_xticks),
        (axes[1].set_yscale, axes[1].set_yticks),
    ]:
        set_scale("log")
        set_ticks(MINUTES, labels=MINUTES)
    axes[1].minorticks_off()
    figure.suptitle("Posterior mean and 89% interval of values removed", fontsize=10)
    figure.savefig(OUTPUT / "missing_data.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
