"""Survival: exponential and Weibull mixtures of times censored on the right.

The times from the start of a trial to death of 137 men with advanced lung cancer (Kalbfleisch and
Prentice, 1980), some of whom were alive at their last follow-up. Survival and hazard of a further
patient are computed from a Dirichlet process mixture with either kernel. Prints tables of what
does not depend on the numbering of clusters, and the median survival. The figure compares the
survival curves with the Kaplan-Meier estimate, which uses no model, and shows the hazards.
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
TYPICAL_DAYS = 100.0
DAYS = np.linspace(0.0, 600.0, 301)
BLUE = "#0072B2"


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


def crossing(days: np.ndarray, curve: np.ndarray) -> float:
    """First day on which a distribution function reaches one half."""
    return float(days[np.argmax(curve >= 0.5)])


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
    figure, axes = plt.subplots(
        2, 2, figsize=(9.0, 6.6), sharex=True, sharey="row", layout="constrained"
    )
    models = {"exponential": exponential_model, "Weibull": weibull_model}
    for (above, below), (kernel, build) in zip(axes.T, models.items(), strict=True):
        with build(days, ~died):
            idata = dps.sample(draws, tune=tune, cores=1, random_seed=1, progressbar=False)
            cdf = dps.predict.cdf(idata, DAYS, draws=1000, random_seed=1)
            hazard = dps.predict.hazard(idata, DAYS[5:], draws=1000, random_seed=1)
        print(f"\n{kernel} kernel\n{dps.summary(idata)}")
        # The median is before a day where the distribution function is above one half there.
        low, high = crossing(DAYS, cdf["upper"].values), crossing(DAYS, cdf["lower"].values)
        median = crossing(DAYS, cdf["mean"].values)
        print(f"median survival {median:.0f} days, 89% interval {low:.0f} to {high:.0f}")
        above.fill_between(
            DAYS, 1 - cdf["upper"], 1 - cdf["lower"], color=BLUE, alpha=0.28, label="89% interval"
        )
        above.plot(DAYS, 1 - cdf["mean"], color=BLUE, label="mixture, posterior mean")
        above.step(times, estimate, where="post", color="black", label="Kaplan-Meier", lw=1.0)
        at = days[~died]
        values = estimate[np.searchsorted(times, at, side="right") - 1]
        above.plot(at, values, "+", color="black", markersize=7, label="censored")
        above.set(title=f"{kernel} kernel", xlim=(0, DAYS[-1]), ylim=(0.0, 1.02))
        below.fill_between(
            DAYS[5:], 100 * hazard["lower"], 100 * hazard["upper"], color=BLUE, alpha=0.28
        )
        below.plot(DAYS[5:], 100 * hazard["mean"], color=BLUE)
        below.set(xlabel="time since start (days)", ylim=(0.0, 1.6))
        for ax in (above, below):
            ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("probability of survival")
    axes[1, 0].set_ylabel("hazard (deaths per 100 patient-days)")
    axes[0, 1].legend(frameon=False)
    figure.savefig(OUTPUT / "survival.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
