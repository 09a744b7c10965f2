"""Hyperpriors: the base measure learns where the clusters lie and how wide they are.

The velocities of 82 galaxies as a Dirichlet-process mixture of normal distributions. The mean and
sd of the clusters' centres, and the scale of their widths, have priors themselves. They are
sampled two ways that have the same posterior:

- given the atoms of occupied components only, those of empty ones being redrawn afterwards, as
  the steps of this package do;
- the plain way, by NUTS given the atoms of all components (``hyperparameters=None``): the empty
  ones, drawn from the base measure as it is, hold it where it is.

Prints posterior and effective sample sizes of both. The figure shows posteriors on the left, which
agree, and autocorrelations on the right, which do not.
"""

import logging
from pathlib import Path
from time import perf_counter

import arviz as az
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
import xarray as xr
from arviz_stats.base import array_stats

import pymc_dpsteps as dps

OUTPUT = Path(__file__).parent / "output"
N_COMPONENTS = 40
LABELS = {
    "centre_mean": "mean of the centres (1000 km/s)",
    "centre_sd": "sd of the centres (1000 km/s)",
    "width_scale": "scale of the widths (1000 km/s)",
}
COLOURS = {"occupied components only": "#0072B2", "all components": "#D55E00"}
N_LAGS = 60


def hyperprior_model(velocities: np.ndarray) -> pm.Model:
    """Build a mixture whose base measure has parameters with priors."""
    coords = {"galaxy": range(len(velocities)), "component": range(N_COMPONENTS)}
    with pm.Model(coords=coords) as model:
        alpha = pm.Gamma("alpha", 2, 4)
        centre_mean = pm.Normal("centre_mean", 20, 10)
        centre_sd = pm.HalfNormal("centre_sd", 10)
        width_scale = pm.HalfNormal("width_scale", 3)
        mu = pm.Normal("mu", centre_mean, centre_sd, dims="component")
        sigma = pm.HalfNormal("sigma", width_scale, dims="component")
        z = dps.ChineseRestaurantProcess("z", alpha, K=N_COMPONENTS, dims="galaxy")
        pm.Normal("y", mu[z], sigma[z], observed=velocities, dims="galaxy")
    return model


def fit(model: pm.Model, step: dps.Neal8, draws: int, tune: int) -> tuple[xr.DataTree, float]:
    """Sample; returns the result and the seconds it took."""
    start = perf_counter()
    idata = dps.sample(
        draws,
        tune=tune,
        step=step,
        model=model,
        chains=2,
        cores=1,
        random_seed=1,
        progressbar=False,
        quiet=True,
    )
    return idata, perf_counter() - start


def print_rows(label: str, idata: xr.DataTree, seconds: float) -> None:
    """Print posterior and effective sample size of every hyperparameter."""
    summary = az.summary(idata["posterior"], var_names=list(LABELS), round_to="none")
    for n, (name, row) in enumerate(summary.iterrows()):
        print(
            f"{label if n == 0 else '':<26}{name:<14}{row['mean']:>8.2f}{row['sd']:>7.2f}"
            f"{row['ess_bulk']:>8.0f}{row['r_hat']:>8.3f}{row['ess_bulk'] / seconds:>12.0f}"
        )


def save_figure(results: dict[str, xr.DataTree]) -> None:
    """Save posteriors and autocorrelations."""
    figure, axes = plt.subplots(len(LABELS), 2, figsize=(8.4, 8.0), layout="constrained")
    for (name, label), (left, right) in zip(LABELS.items(), axes, strict=True):
        for way, idata in results.items():
            draws = idata["posterior"].to_dataset()[name].values
            grid, density, _ = array_stats.kde(draws.ravel())
            left.plot(grid, density, color=COLOURS[way], lw=1.6)
            correlation = array_stats.autocorr(draws, axis=-1).mean(axis=0)
            right.plot(correlation[: N_LAGS + 1], color=COLOURS[way], lw=1.6, label=way)
        left.set_xlabel(label)
        left.set_ylabel("posterior density")
        right.set_ylabel("autocorrelation")
        right.axhline(0.0, color="0.6", lw=0.8, zorder=0)
        right.set_ylim(-0.1, 1.02)
    axes[-1, 1].set_xlabel("lag (iterations)")
    axes[0, 1].legend(title="updated given", frameon=False)
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / "hyperpriors.png", dpi=150)
    plt.close(figure)


def main(draws: int = 3000, tune: int = 1000) -> None:
    """Fit both ways, print, draw."""
    logging.getLogger("pymc").setLevel(logging.WARNING)  # the table says it all
    model = hyperprior_model(dps.datasets.galaxies())
    steps = {
        "occupied components only": dps.Neal8(model=model),
        "all components": dps.Neal8(hyperparameters=None, model=model),
    }
    print(f"{'updated given':<26}{'':<14}{'mean':>8}{'sd':>7}{'ESS':>8}{'R-hat':>8}{'ESS / s':>12}")
    results = {}
    for way, step in steps.items():
        results[way], seconds = fit(model, step, draws, tune)
        print_rows(way, results[way], seconds)
    save_figure(results)


if __name__ == "__main__":
    main()
