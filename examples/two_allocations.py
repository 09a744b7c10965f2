"""Two allocations: intercepts and slopes of school classes cluster separately.

2,287 Dutch pupils in 133 classes took a language test. Each class has a regression line of the
score on the pupil's verbal IQ. Its intercept is one of the values of a first Dirichlet process, its
slope one of a second, so that classes with the same level need not have the same slope:
language = a[z_level[class]] + b[z_slope[class]] (iq - mean iq) + noise. Each allocation has its own
step, and the noise, which both share, is sampled by NUTS.

The figure compares the posterior means of level and slope of every class with the least-squares
line of the class alone.
"""

import logging
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr
from numpy.typing import NDArray

import pymc_dpsteps as dps

OUTPUT = Path(__file__).parent / "output"
N_COMPONENTS = 30
BLUE, GREY = "#0072B2", "#767676"


def two_allocations_model(pupils: pd.DataFrame, n_components: int = N_COMPONENTS) -> pm.Model:
    """Regression with a Dirichlet process of intercepts and one of slopes, over classes."""
    classes, school_class = np.unique(pupils["school_class"], return_inverse=True)
    iq = (pupils["iq"] - pupils["iq"].mean()).to_numpy()
    coords = {"school_class": classes, "pupil": range(len(pupils)), "slot": range(n_components)}
    with pm.Model(coords=coords) as model:
        level_alpha = pm.Gamma("level_alpha", 2, 2)
        slope_alpha = pm.Gamma("slope_alpha", 2, 2)
        z_level = dps.ChineseRestaurantProcess(
            "z_level", level_alpha, K=n_components, dims="school_class"
        )
        z_slope = dps.ChineseRestaurantProcess(
            "z_slope", slope_alpha, K=n_components, dims="school_class"
        )
        a = pm.Normal("a", 40, 10, dims="slot")
        b = pm.Normal("b", 2.5, 0.5, dims="slot")
        noise = pm.Gamma("noise", 4, 0.5)
        mean = a[z_level[school_class]] + b[z_slope[school_class]] * iq
        pm.Normal("language", mean, noise, observed=pupils["language"], dims="pupil")
    return model


def of_classes(posterior: xr.Dataset, atoms: str, allocation: str) -> xr.DataArray:
    """Posterior mean of the atom of every class."""
    return posterior[atoms].isel(slot=posterior[allocation]).mean(("chain", "draw"))


def least_squares(pupils: pd.DataFrame) -> NDArray[np.float64]:
    """Level at the mean IQ and slope of every class from its own pupils, shape (classes, 2)."""
    iq = pupils["iq"] - pupils["iq"].mean()
    lines = [
        np.polyfit(iq[group.index], group["language"], 1)[::-1]
        for _, group in pupils.groupby("school_class")
    ]
    return np.array(lines)


def save_figure(alone: NDArray[np.float64], level: xr.DataArray, slope: xr.DataArray) -> None:
    """Save posterior means against least squares."""
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.6), layout="constrained")
    panels = (("level at the mean IQ (points)", level), ("slope (points per point of IQ)", slope))
    for ax, own, (quantity, together) in zip(axes, alone.T, panels, strict=True):
        ends = [own.min(), own.max()]
        ax.plot(ends, ends, color=GREY, lw=1, label="equal")
        ax.scatter(own, together, s=16, color=BLUE, alpha=0.6, linewidths=0, label="one class")
        ax.set(xlabel=f"{quantity},\nleast squares of the class", ylabel=f"{quantity},\nposterior")
        ax.legend(loc="upper left", frameon=False)
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / "two_allocations.png", dpi=150)
    plt.close(figure)


def main(draws: int = 4000, tune: int = 500) -> None:
    """Fit, print, draw."""
    logging.getLogger("pymc").setLevel(logging.WARNING)  # the table says it all
    pupils = dps.datasets.nlschools()
    with two_allocations_model(pupils):
        idata = dps.sample(draws, tune=tune, cores=1, random_seed=1, progressbar=False)
    print(dps.summary(idata), "\n")
    posterior = idata["posterior"].to_dataset()
    noise = posterior["noise"]
    print(f"noise: mean {float(noise.mean()):.2f}, sd {float(noise.std()):.2f} points")
    level, slope = of_classes(posterior, "a", "z_level"), of_classes(posterior, "b", "z_slope")
    for name, values in (("level", level), ("slope", slope)):
        lowest, highest = (float(x) for x in values.quantile([0.05, 0.95]))
        print(f"{name} of the classes, 5% to 95%: {lowest:.2f} to {highest:.2f}")
    save_figure(least_squares(pupils), level, slope)


if __name__ == "__main__":
    main()
