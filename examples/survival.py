"""Survival: exponential and Weibull mixtures of times censored on the right.

The times from the start of a trial to death of 137 men with advanced lung cancer (Kalbfleisch and
Prentice, 1980), some of whom were alive at their last follow-up. The survival curve of a further
patient is computed from a Dirichlet process mixture with either kernel. Prints tables of what does
not depend on the numbering of clusters, and the median survival. The figure compares the curves
with the Kaplan-Meier estimate, which uses no model.
"""

import logging
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
import xarray as xr

import pymc_dpsteps as dps

OUTPUT = Path(__file__).parent / "output"
N_COMPONENTS = 20
TYPICAL_DAYS = 100.0
DAYS = np.linspace(0.0, 600.0, 301)


def exponential_model(days: np.ndarray, censored: np.ndarray) -> pm.Model:
    """Build the mixture of exponential distributions: a constant hazard per component."""
    with pm.Model(coords={"component": range(N_COMPONENTS)}) as model:
        alpha = pm.Gamma("alpha", 2, 4)
        z = dps.ChineseRestaurantProcess("z", alpha, K=N_COMPONENTS, shape=len(days))
        dps.kernels.exponential("days", z, scale=TYPICAL_DAYS, censored=censored, observed=days)
    return model


def weibull_model(days: np.ndarray, censored: np.ndarray) -> pm.Model:
    """Build the mixture of Weibull distributions: a hazard that rises or falls per component."""
    with pm.Model(coords={"component": range(N_COMPONENTS)}) as model:
        alpha = pm.Gamma("alpha", 2, 4)
        z = dps.ChineseRestaurantProcess("z", alpha, K=N_COMPONENTS, shape=len(days))
        dps.kernels.weibull("days", z, scale=TYPICAL_DAYS, censored=censored, observed=days)
    return model


def survival_curves(posterior: xr.Dataset, n_curves: int = 1000) -> np.ndarray:
    """Probability that a further patient survives each of DAYS, given each of some draws."""
    draws = posterior.stack(sample=("chain", "draw")).transpose("sample", ...)
    chosen = np.linspace(0, draws.sizes["sample"] - 1, n_curves).round().astype(int)
    draws = draws.isel(sample=chosen)
    labels, alpha = draws["z"].values, draws["alpha"].values[:, None]
    counts = (labels[:, :, None] == np.arange(N_COMPONENTS)).sum(axis=1)
    empty = counts == 0
    # A new cluster has the atoms of an empty slot, which are draws from the base measure.
    new = alpha / np.maximum(empty.sum(axis=1, keepdims=True), 1)
    weights = np.where(empty, new, counts) / (alpha + labels.shape[1])
    if "rate" in draws:
        cumulative_hazard = draws["rate"].values[:, None] * DAYS[:, None]
    else:
        scale, shape = draws["scale"].values[:, None], draws["shape"].values[:, None]
        cumulative_hazard = (DAYS[:, None] / scale) ** shape
    return np.einsum("stk,sk->st", np.exp(-cumulative_hazard), weights)


def kaplan_meier(days: np.ndarray, died: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimate survival just after each time of death, beginning with one at time zero."""
    times = np.unique(days[died])
    at_risk = (days[:, None] >= times).sum(axis=0)
    deaths = (days[died][:, None] == times).sum(axis=0)
    return np.append(0.0, times), np.append(1.0, np.cumprod(1.0 - deaths / at_risk))


def main(draws: int = 12_000, tune: int = 1000) -> None:
    """Fit, print, draw."""
    logging.getLogger("pymc").setLevel(logging.WARNING)  # the tables say it all
    patients = dps.datasets.va_lung()
    days, died = patients["days"].to_numpy(), patients["died"].to_numpy()
    times, estimate = kaplan_meier(days, died)
    print(f"{len(days)} patients, {np.count_nonzero(~died)} of them censored")
    print(f"Kaplan-Meier: median survival {times[np.argmax(estimate <= 0.5)]:.0f} days")

    OUTPUT.mkdir(exist_ok=True)
    figure, axes = plt.subplots(1, 2, figsize=(9.0, 4.0), sharey=True, layout="constrained")
    models = {"exponential": exponential_model, "Weibull": weibull_model}
    for ax, (kernel, build) in zip(axes, models.items(), strict=True):
        with build(days, ~died):
            idata = dps.sample(draws, tune=tune, cores=1, random_seed=1, progressbar=False)
        curves = survival_curves(idata["posterior"].to_dataset())
        lower, upper = np.quantile(curves, [0.055, 0.945], axis=0)
        medians = DAYS[np.argmax(curves <= 0.5, axis=1)]
        low, high = np.quantile(medians, [0.055, 0.945])
        print(f"\n{kernel} kernel\n{dps.summary(idata)}")
        print(f"median survival {medians.mean():.0f} days, 89% interval {low:.0f} to {high:.0f}")
        ax.fill_between(DAYS, lower, upper, color="#0072B2", alpha=0.28, label="89% interval")
        ax.plot(DAYS, curves.mean(axis=0), color="#0072B2", label="mixture, posterior mean")
        ax.step(times, estimate, where="post", color="black", label="Kaplan-Meier", linewidth=1.0)
        at = days[~died]
        values = estimate[np.searchsorted(times, at, side="right") - 1]
        ax.plot(at, values, "+", color="black", markersize=7, label="censored")
        ax.set(title=f"{kernel} kernel", xlabel="time since start (days)", xlim=(0, DAYS[-1]))
        ax.set_ylim(0.0, 1.02)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("probability of survival")
    axes[1].legend(frameon=False)
    figure.savefig(OUTPUT / "survival.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
