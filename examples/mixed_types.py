"""Mixed types: a Normal, a Bernoulli and a Poisson variable share one allocation.

Three things are known of each of 137 men when they enter a trial of chemotherapy against lung
cancer: age, whether there was a therapy before, and the months since diagnosis. One Dirichlet
process allocates the men, and in every component the three are independent, each with its own
distribution; what they tell of each other, in whatever shape, is in the components.

The figure shows what the joint density implies: probability of an earlier therapy and mean age,
given the months since diagnosis, with 89% bands over the data.
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
from scipy.stats import poisson

import pymc_dpsteps as dps

OUTPUT = Path(__file__).parent / "output"
N_COMPONENTS = 25
BLUE, GREY = "#0072B2", "#767676"


def mixed_types_model(men: pd.DataFrame, n_components: int = N_COMPONENTS) -> pm.Model:
    """Mixture of products of a Normal, a Bernoulli and a Poisson distribution."""
    coords = {"man": range(len(men)), "component": range(n_components)}
    with pm.Model(coords=coords) as model:
        alpha = pm.Gamma("alpha", 2, 2)
        w = pm.StickBreakingWeights("w", alpha, K=n_components - 1, dims="component")
        z = pm.Categorical("z", w, dims="man")
        mean_age = pm.Normal("mean_age", 60, 10, dims="component")
        # Ages in whole years tie: were variances near zero not improbable, the likelihood of a
        # component of equal ages would have no bound.
        var_age = pm.InverseGamma("var_age", 3, 100, dims="component")
        p_prior = pm.Beta("p_prior", 1, 1, dims="component")
        mean_months = pm.Gamma("mean_months", 1, 0.1, dims="component")
        pm.Normal("age", mean_age[z], pm.math.sqrt(var_age[z]), observed=men["age"], dims="man")
        pm.Bernoulli("prior", p_prior[z], observed=men["prior"].astype(int), dims="man")
        pm.Poisson("months", mean_months[z], observed=men["months"], dims="man")
    return model


def given_months(
    posterior: xr.Dataset, months: NDArray[np.int64]
) -> tuple[xr.DataArray, xr.DataArray]:
    """Probability of an earlier therapy and mean age given the months, in every draw.

    A component counts by its weight times its probability of so many months: no quantity here
    depends on how the components are numbered.
    """
    at = xr.DataArray(months, {"months": months}, "months")
    likely = xr.apply_ufunc(poisson.pmf, at, posterior["mean_months"]) * posterior["w"]
    share = likely / likely.sum("component")
    return (share * posterior["p_prior"]).sum("component"), (share * posterior["mean_age"]).sum(
        "component"
    )


def draw_band(ax: plt.Axes, curve: xr.DataArray) -> None:
    """Posterior mean of a curve over the months, with its 89% band."""
    lower, upper = curve.quantile([0.055, 0.945], dim=("chain", "draw"))
    ax.fill_between(curve["months"], lower, upper, color=BLUE, alpha=0.25, label="89% band")
    ax.plot(curve["months"], curve.mean(("chain", "draw")), color=BLUE, label="posterior mean")


def save_figure(men: pd.DataFrame, probability: xr.DataArray, age: xr.DataArray) -> None:
    """Save both curves over the data."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2), layout="constrained")
    draw_band(left, probability)
    # Men with the same number of months would hide each other.
    jitter = np.random.default_rng(0).uniform(-0.04, 0.04, len(men))
    style = {"color": GREY, "alpha": 0.6, "linewidths": 0, "s": 18, "label": "one man"}
    left.scatter(men["months"], men["prior"] + jitter, **style)
    left.set(ylabel="earlier therapy (1) or not (0)", ylim=(-0.1, 1.1))
    draw_band(right, age)
    right.scatter(men["months"], men["age"], **style)
    right.set(ylabel="age (years)", ylim=(12, 85))  # room for the legend
    right.legend(loc="lower right", frameon=False)
    for ax in (left, right):
        ax.set(xlabel="time since diagnosis (months)", xscale="log")
        ax.set_xticks([1, 2, 5, 10, 20, 50], labels=["1", "2", "5", "10", "20", "50"])
        ax.minorticks_off()
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / "mixed_types.png", dpi=150)
    plt.close(figure)


def main(draws: int = 6000, tune: int = 1000) -> None:
    """Fit, print, draw."""
    logging.getLogger("pymc").setLevel(logging.WARNING)  # the table says it all
    men = dps.datasets.va_lung()
    with mixed_types_model(men):
        idata = dps.sample(draws, tune=tune, cores=1, random_seed=1, progressbar=False)
    print(dps.summary(idata), "\n")
    thinned = idata["posterior"].to_dataset().isel(draw=slice(None, None, max(1, draws // 250)))
    months = np.arange(1, men["months"].max() + 1)
    probability, age = given_months(thinned, months)
    print("months  P(earlier therapy)  mean age (years)")
    for m in (1, 5, 10, 20, 50):
        p, a = (float(curve.sel(months=m).mean()) for curve in (probability, age))
        print(f"{m:6d}  {p:18.2f}  {a:16.1f}")
    save_figure(men, probability, age)


if __name__ == "__main__":
    main()
