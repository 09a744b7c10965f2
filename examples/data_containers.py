"""Data containers: one model, fitted again after its data were corrected.

The velocities of 82 galaxies (Roeder, 1990) hold a typing error, 26.690 for 26.960, and omit an
83rd galaxy at 5.607 (in 1000 km/s). The model is declared once, with the velocities in `pm.Data`
and named dimensions throughout, and fitted to the published, the corrected and the complete data:
`pm.set_data` changes values and number of the galaxies between runs. The same model written with
`pymc.dims`, where axes have names in all operations, is fitted to the complete data as well.

The figure shows the predictive density of the velocity under the three sets of data, on a log scale
on which a single galaxy is seen.
"""

import logging
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
import pymc.dims as pmd
import xarray as xr
from numpy.typing import NDArray

import pymc_dpsteps as dps

OUTPUT = Path(__file__).parent / "output"
N_SLOTS = 30
STYLES = {
    "published": ("#D55E00", "-"),
    "corrected": ("#0072B2", "--"),
    "complete": ("#009E73", "-"),
}


def data_container_model(velocities: NDArray[np.float64]) -> pm.Model:
    """Mixture of normal distributions of velocities held by a data container."""
    coords = {"galaxy": range(len(velocities)), "slot": range(N_SLOTS)}
    with pm.Model(coords=coords) as model:
        velocity = pm.Data("velocity", velocities, dims="galaxy")
        alpha = pm.Gamma("alpha", 2, 4)
        mu = pm.Normal("mu", 20, 10, dims="slot")
        sigma = pm.HalfNormal("sigma", 3, dims="slot")
        z = dps.ChineseRestaurantProcess("z", alpha, K=N_SLOTS, dims="galaxy")
        pm.Normal("y", mu[z], sigma[z], observed=velocity, dims="galaxy")
    return model


def named_axes_model(velocities: NDArray[np.float64]) -> pm.Model:
    """The same with `pymc.dims`: the process is a variable of `pm`, all others have named axes."""
    coords = {"galaxy": range(len(velocities)), "slot": range(N_SLOTS)}
    with pm.Model(coords=coords) as model:
        velocity = pmd.Data("velocity", velocities, dims="galaxy")
        alpha = pmd.Gamma("alpha", 2, 4)
        mu = pmd.Normal("mu", 20, 10, dims="slot")
        sigma = pmd.HalfNormal("sigma", 3, dims="slot")
        z = dps.ChineseRestaurantProcess("z", alpha.values, K=N_SLOTS, dims="galaxy")
        slot = pmd.as_xtensor(z, dims="galaxy")
        pmd.Normal("y", mu.isel(slot=slot), sigma.isel(slot=slot), observed=velocity)
    return model


def data_sets() -> dict[str, NDArray[np.float64]]:
    """Velocities as published, with the typing error mended, and with the 83rd galaxy."""
    published = dps.datasets.galaxies()
    corrected = np.where(published == 26.690, 26.960, published)
    return {"published": published, "corrected": corrected, "complete": np.append(5.607, corrected)}


def fit(model: pm.Model, draws: int, tune: int) -> xr.DataTree:
    """Sample, and print what does not depend on the numbering of the clusters."""
    idata = dps.sample(draws, tune=tune, model=model, cores=1, random_seed=1, progressbar=False)
    table = dps.summary(idata).loc[["n_clusters", "alpha"], ["mean", "sd", "ess_bulk", "r_hat"]]
    print(f"z has the dimensions {dict(idata['posterior']['z'].sizes)}\n{table}\n")
    return idata


def save_figure(curves: dict[str, xr.Dataset], complete: NDArray[np.float64]) -> None:
    """Save the densities over the galaxies."""
    figure, ax = plt.subplots(figsize=(8.4, 4.4), layout="constrained")
    for (name, curve), (colour, line) in zip(curves.items(), STYLES.values(), strict=True):
        ax.plot(curve["y"], curve["mean"], color=colour, ls=line, lw=1.8, label=name)
    heights = np.full(len(complete), 0.04)  # of the axis, whatever its scale
    ax.plot(
        complete,
        heights,
        "|",
        color="#555555",
        transform=ax.get_xaxis_transform(),
        label="83 galaxies",
    )
    ax.set(xlabel="velocity (1000 km/s)", ylabel="predictive density (per 1000 km/s)")
    ax.set(yscale="log", ylim=(1e-4, 0.3))
    ax.legend(frameon=False, title="velocities", loc="upper left")
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / "data_containers.png", dpi=150)
    plt.close(figure)


def main(draws: int = 15_000, tune: int = 500) -> None:
    """Fit to the three sets of data, print, draw."""
    logging.getLogger("pymc").setLevel(logging.WARNING)  # the tables say it all
    sets = data_sets()
    model = data_container_model(sets["published"])
    grid = np.linspace(2.0, 38.0, 361)
    curves = {}
    for name, velocities in sets.items():
        print(f"{name}: {len(velocities)} galaxies")
        pm.set_data({"velocity": velocities}, model, coords={"galaxy": range(len(velocities))})
        idata = fit(model, draws, tune)
        curves[name] = dps.predict.density(idata, grid, model=model, draws=2000)
    print("complete, with pymc.dims")
    fit(named_axes_model(sets["complete"]), draws, tune)
    save_figure(curves, sets["complete"])


if __name__ == "__main__":
    main()
