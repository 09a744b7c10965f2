"""A likelihood and a prior that PyMC lacks: Gompertz survival times, censored on the right.

Days from the start of a trial to death for 137 men with lung cancer; some were alive when last
seen. In each component the hazard grows exponentially, h(t) = h0 exp(t / scale): a Gompertz
distribution, whose censored density is written with `pm.CustomDist(logp=...)`. A component is
described by its median time, with a log-logistic prior, which is a `pm.CustomDist` as well: `logp`
for the density, `random` for draws, and nothing else is needed.

The figure shows the survival curve implied by the mixture, with an 89% band, over the Kaplan-Meier
estimate.
"""

import logging
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from numpy.typing import NDArray
from pytensor.tensor.variable import TensorVariable

import pymc_dpsteps as dps

OUTPUT = Path(__file__).parent / "output"
N_COMPONENTS = 20
BLUE, BLACK = "#0072B2", "#222222"


def gompertz_logp(
    days: TensorVariable, median: TensorVariable, scale: TensorVariable, died: TensorVariable
) -> TensorVariable:
    """Log density at the time of death, log survival probability at the time last seen.

    The cumulative hazard is log 2 at the median: H(t) = log 2 (e^(t / scale) - 1) /
    (e^(median / scale) - 1), here without powers that overflow where the median is many scales.
    """
    log_growth = (days - median) / scale - pt.log(-pt.expm1(-median / scale))
    cumulative = np.log(2.0) * pt.exp(log_growth) * -pt.expm1(-days / scale)
    log_hazard = np.log(np.log(2.0)) + log_growth - pt.log(scale)
    return died * log_hazard - cumulative


def log_logistic_logp(
    x: TensorVariable, median: TensorVariable, shape: TensorVariable
) -> TensorVariable:
    """Log density of the log-logistic distribution."""
    log_ratio = shape * (pt.log(x) - pt.log(median))
    return pt.log(shape) - pt.log(x) + log_ratio - 2.0 * pt.softplus(log_ratio)


def log_logistic_random(
    median: NDArray, shape: NDArray, rng: np.random.Generator, size: tuple[int, ...]
) -> NDArray[np.float64]:
    """Draws from it: the logarithm is logistic."""
    return median * np.exp(rng.logistic(size=size) / shape)


def gompertz_model(men: pd.DataFrame, n_components: int = N_COMPONENTS) -> pm.Model:
    """Mixture of Gompertz distributions with weights by stick-breaking."""
    coords = {"man": range(len(men)), "component": range(n_components)}
    with pm.Model(coords=coords) as model:
        alpha = pm.Gamma("alpha", 2, 2)
        w = pm.StickBreakingWeights("w", alpha, K=n_components - 1, dims="component")
        z = pm.Categorical("z", w, dims="man")
        median = pm.CustomDist(
            "median",
            100.0,
            1.5,
            logp=log_logistic_logp,
            random=log_logistic_random,
            transform=pm.distributions.transforms.log,
            dims="component",
        )
        scale = pm.LogNormal("scale", np.log(200.0), 1.0, dims="component")
        died = men["died"].to_numpy(dtype=float)
        pm.CustomDist(
            "days", median[z], scale[z], died, logp=gompertz_logp, observed=men["days"], dims="man"
        )
    return model


def survival(posterior: xr.Dataset, days: NDArray[np.float64]) -> xr.DataArray:
    """Probability to survive the days, for every draw: the weighted mean over components."""
    t = xr.DataArray(days, {"days": days}, "days")
    median, scale = posterior["median"], posterior["scale"]
    growth = np.exp(((t - median) / scale).clip(max=100.0))  # by then nobody is left
    halvings = growth * np.expm1(-t / scale) / np.expm1(-median / scale)
    return (posterior["w"] * 0.5**halvings).sum("component")


def kaplan_meier(men: pd.DataFrame) -> pd.Series:
    """Estimate of the survival probability after every day with a death."""
    deaths = men.groupby("days")["died"].sum()
    at_risk = len(men) - men.groupby("days").size().cumsum().shift(fill_value=0)
    return (1.0 - deaths / at_risk).cumprod()


def save_figure(men: pd.DataFrame, curve: xr.DataArray) -> None:
    """Save the survival curve over the Kaplan-Meier estimate."""
    figure, ax = plt.subplots(figsize=(7.6, 4.4), layout="constrained")
    lower, upper = curve.quantile([0.055, 0.945], dim=("chain", "draw"))
    ax.fill_between(curve["days"], lower, upper, color=BLUE, alpha=0.25, label="89% band")
    ax.plot(curve["days"], curve.mean(("chain", "draw")), color=BLUE, label="posterior mean")
    estimate = kaplan_meier(men)
    ax.step(
        [0.0, *estimate.index],
        [1.0, *estimate],
        where="post",
        color=BLACK,
        lw=1,
        label="Kaplan-Meier",
    )
    censored = men.loc[~men["died"], "days"]
    ax.plot(censored, estimate[censored], "+", color=BLACK, ms=8, label="censored")
    ax.set(xlabel="time since the start of the trial (days)", ylabel="probability of survival")
    ax.set(xlim=(0, 1000), ylim=(0, 1))
    ax.legend(frameon=False)
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / "custom_likelihood.png", dpi=150)
    plt.close(figure)


def main(draws: int = 6000, tune: int = 1000) -> None:
    """Fit, print, draw."""
    logging.getLogger("pymc").setLevel(logging.WARNING)  # the table says it all
    men = dps.datasets.va_lung()
    with gompertz_model(men):
        idata = dps.sample(draws, tune=tune, cores=1, random_seed=1, progressbar=False)
    print(dps.summary(idata), "\n")
    thinned = idata["posterior"].to_dataset().isel(draw=slice(None, None, max(1, draws // 500)))
    curve = survival(thinned, np.linspace(0.0, 1000.0, 201))
    estimate = kaplan_meier(men)
    print("days  P(survive)  Kaplan-Meier")
    for days in (50, 100, 200, 400):
        fitted, empirical = float(curve.sel(days=days).mean()), estimate.loc[:days].iloc[-1]
        print(f"{days:4d}  {fitted:10.2f}  {empirical:12.2f}")
    save_figure(men, curve)


if __name__ == "__main__":
    main()
