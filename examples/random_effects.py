"""Random effects with a Dirichlet process prior: school classes and patients.

Items with several observations each, y ~ F(theta[z[group]]): the allocation is over the groups,
and the kernel of a group is the sum over its observations.

- Language scores of pupils in Dutch school classes of unequal sizes (Snijders and Bosker, 1999)
  depend on the pupil's verbal IQ and on an effect of the class. Slope and residual standard
  deviation are shared by all pupils; PyMC samples these with NUTS.
- Numbers of seizures of patients with epilepsy in four periods of two weeks each (Thall and Vail,
  1990) are Poisson, with a rate per patient. Rate and prior are a conjugate pair.

Instead of a normal distribution of the effects, which clusters nothing, the prior lets groups share
one. Prints tables of what does not depend on the numbering of clusters. The figure shows the
posterior of every group's effect against its raw mean: shrinkage, not to one centre but to several.
"""

import logging
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr

import pymc_dpsteps as dps

OUTPUT = Path(__file__).parent / "output"
N_COMPONENTS = 30


def classes_model(pupils: pd.DataFrame) -> pm.Model:
    """Build the model of scores: class effect plus a slope on IQ."""
    of_pupil, school_class = pd.factorize(pupils["school_class"])
    iq = pupils["iq"].to_numpy() - pupils["iq"].mean()
    coords = {"school_class": school_class, "component": range(N_COMPONENTS)}
    with pm.Model(coords=coords) as model:
        alpha = pm.Gamma("alpha", 2, 4)
        level = pm.Normal("level", 40, 8, dims="component")  # score at the mean IQ
        z = dps.ChineseRestaurantProcess("z", alpha, K=N_COMPONENTS, dims="school_class")
        slope = pm.Normal("slope", 0, 5)
        sd = pm.HalfNormal("sd", 10)
        pm.Normal("language", level[z[of_pupil]] + slope * iq, sd, observed=pupils["language"])
    return model


def patients_model(visits: pd.DataFrame) -> pm.Model:
    """Build the model of counts: a rate of seizures per patient."""
    of_visit, subject = pd.factorize(visits["subject"])
    with pm.Model(coords={"subject": subject, "component": range(N_COMPONENTS)}) as model:
        alpha = pm.Gamma("alpha", 2, 4)
        rate = pm.Gamma("rate", 1, 0.1, dims="component")  # per two weeks
        z = dps.ChineseRestaurantProcess("z", alpha, K=N_COMPONENTS, dims="subject")
        pm.Poisson("seizures", rate[z[of_visit]], observed=visits["seizures"])
    return model


def effects(idata: xr.DataTree, atom: str) -> np.ndarray:
    """Effect of every group at every draw, whatever the number of its cluster."""
    posterior = idata["posterior"].to_dataset()
    drawn = np.take_along_axis(posterior[atom].values, posterior["z"].values, axis=2)
    return drawn.reshape(-1, drawn.shape[2])


def shrinkage(ax: Any, raw: np.ndarray, drawn: np.ndarray, sizes: np.ndarray) -> None:
    """Draw mean and 89% interval of every effect against the raw mean of its group."""
    lower, upper = np.quantile(drawn, [0.055, 0.945], axis=0)
    ax.plot([raw.min(), raw.max()], [raw.min(), raw.max()], "--", color="grey", label="no pooling")
    ax.vlines(raw, lower, upper, color="#0072B2", alpha=0.3, linewidth=1.0, label="89% interval")
    ax.scatter(raw, drawn.mean(axis=0), s=sizes, color="#0072B2", label="posterior mean", zorder=3)
    ax.spines[["top", "right"]].set_visible(False)


def main(draws: int = 5000, tune: int = 1000) -> None:
    """Fit, print, draw."""
    logging.getLogger("pymc").setLevel(logging.WARNING)  # the tables say it all
    options: dict[str, Any] = dict(tune=tune, cores=1, random_seed=1, progressbar=False)
    OUTPUT.mkdir(exist_ok=True)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 4.4), layout="constrained")

    pupils = dps.datasets.nlschools()
    with classes_model(pupils):
        idata = dps.sample(draws, **options)
    slope = idata["posterior"]["slope"].values
    by_class = pupils["school_class"]
    n_pupils = by_class.value_counts(sort=False)
    print(f"{len(pupils)} pupils in {len(n_pupils)} classes\n{dps.summary(idata)}")
    print(f"points per unit of IQ: {slope.mean():.2f} (sd {slope.std():.2f})\n")
    at_mean_iq = pupils["language"] - slope.mean() * (pupils["iq"] - pupils["iq"].mean())
    raw = at_mean_iq.groupby(by_class, sort=False).mean().to_numpy()
    shrinkage(left, raw, effects(idata, "level"), n_pupils.to_numpy())
    left.set(
        xlabel="raw mean of the class (score at the mean IQ)", ylabel="effect of the class (score)"
    )
    left.set_title("Language scores (area: pupils in the class)", fontsize=10)

    visits = dps.datasets.epil()
    with patients_model(visits):
        idata = dps.sample(draws, **options)
    raw = visits.groupby("subject", sort=False)["seizures"].mean().to_numpy()
    print(f"{len(raw)} patients\n{dps.summary(idata)}")
    shrinkage(right, raw, effects(idata, "rate"), np.full(len(raw), 16))
    right.set_xscale("symlog", linthresh=2)
    right.set_yscale("symlog", linthresh=2)
    ticks = [0, 1, 2, 5, 10, 20, 50, 100]
    right.set_xticks(ticks, map(str, ticks))
    right.set_yticks(ticks, map(str, ticks))
    right.set(
        xlabel="raw mean of the patient (seizures per two weeks)",
        ylabel="rate of the patient (per two weeks)",
    )
    right.set_title("Seizures of patients with epilepsy", fontsize=10)
    right.legend(frameon=False, loc="upper left")
    figure.savefig(OUTPUT / "random_effects.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
