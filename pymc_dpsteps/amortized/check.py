"""How good a sampler of a Dirichlet-process mixture's posterior is: one call, table and figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from pymc_dpsteps.amortized.check_calibration import Sample, Simulate, calibration
from pymc_dpsteps.amortized.check_draws import DataSet, Draws, functionals
from pymc_dpsteps.amortized.check_outlier import OutOfDistribution, out_of_distribution
from pymc_dpsteps.amortized.check_plot import draw_calibration, draw_coverage, draw_n_clusters
from pymc_dpsteps.amortized.check_reference import compare

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "CheckReport",
    "DataSet",
    "Draws",
    "OutOfDistribution",
    "calibration",
    "check_sampler",
    "compare",
    "functionals",
    "out_of_distribution",
    "plot_check",
]

_DISTANCES = ("total_variation", "coclustering_max", "coclustering_rms", "c2st")

type Reference = Callable[[Any, np.random.Generator], Draws]


@dataclass(frozen=True)
class CheckReport:
    """Result of `check_sampler`. Printed, it is its table.

    Attributes
    ----------
    calibration : xarray.Dataset
        See `calibration`.
    comparison : xarray.Dataset or None
        Results of `compare`, along the dimension dataset.
    """

    calibration: xr.Dataset
    comparison: xr.Dataset | None

    def table(self) -> pd.DataFrame:
        """All numbers.

        Returns
        -------
        pandas.DataFrame
            Indexed by check and functional. ``value``: p-values of calibration, the contraction,
            and medians over the data sets of the distances to the reference; ``floor``: the same
            between two halves of the reference; ``worst``: the largest distance.
        """
        rows = {}
        for check, name in (("calibration p", "p_value"), ("contraction", "contraction")):
            for functional in self.calibration["functional"].values:
                value = self.calibration[name].sel(functional=functional)
                rows[check, str(functional)] = {"value": float(value)}
        p_value = float(self.calibration["coverage_p_value"])
        rows["coverage p", "all functionals"] = {"value": p_value}
        if self.comparison is not None:
            for name in _DISTANCES:
                middle = self.comparison[name].median("dataset")
                rows["against reference", name] = {
                    "value": float(middle.sel(pair="sample")),
                    "floor": float(middle.sel(pair="floor")),
                    "worst": float(self.comparison[name].sel(pair="sample").max()),
                }
            for source in ("sample", "reference"):
                size = self.comparison["effective_size"].sel(source=source)
                rows["effective size", source] = {"value": float(size.median())}
            difference = self.comparison["predictive_difference"]
            if difference.notnull().any():
                rows["log predictive density", "less reference (nats)"] = {
                    "value": float(difference.median())
                }
        table = pd.DataFrame.from_dict(rows, orient="index")
        table.index.names = ["check", "of"]
        return table

    def __str__(self) -> str:
        text: str = self.table().to_string(float_format="{:.4g}".format, na_rep="")
        return text


def check_sampler(
    simulate: Simulate,
    sample: Sample,
    *,
    reference: Reference | None = None,
    n_datasets: int = 200,
    draws: int = 200,
    n_references: int = 5,
    random_seed: int | np.random.Generator | None = None,
) -> CheckReport:
    """Check a sampler: calibration on simulated data, and distances to a reference.

    Parameters
    ----------
    simulate : callable
        ``simulate(rng) -> DataSet``, from the prior predictive distribution.
    sample : callable
        ``sample(y, draws, rng) -> Draws``, independent or thinned.
    reference : callable, optional
        ``reference(y, rng) -> Draws``, such as a long Markov chain, in its order. Default: no
        comparison.
    n_datasets, draws : int, default 200
        Data sets of the calibration, and draws for each.
    n_references : int, default 5
        Data sets on which sampler and reference are compared, by as many draws of the sampler as
        the reference has.
    random_seed : int or numpy.random.Generator, optional

    Returns
    -------
    CheckReport

    Raises
    ------
    ValueError
        See `calibration` and `compare`.
    """
    rng = np.random.default_rng(random_seed)
    calibrated = calibration(simulate, sample, n_datasets=n_datasets, draws=draws, random_seed=rng)
    if reference is None:
        return CheckReport(calibrated, None)
    compared = []
    for stream in rng.spawn(n_references):
        y = simulate(stream).y
        truth = reference(y, stream)
        compared.append(compare(sample(y, len(truth), stream), truth, rng=stream))
    # Numbers of clusters that were seen in other data sets only have probability 0.
    joined = xr.concat(compared, "dataset", join="outer", data_vars="all", fill_value=0.0)
    return CheckReport(calibrated, joined)


def plot_check(report: CheckReport) -> Figure:
    """Draw a report.

    Parameters
    ----------
    report : CheckReport

    Returns
    -------
    matplotlib.figure.Figure
        Calibration of every functional, coverage, and, where there is a reference, P(k) of
        sampler and reference for the data set in which they differ most.
    """
    import matplotlib.pyplot as plt

    n_panels = 2 if report.comparison is None else 3
    figure, axes = plt.subplots(1, n_panels, figsize=(4.2 * n_panels, 4.0), layout="constrained")
    draw_calibration(report.calibration, axes[0])
    draw_coverage(report.calibration, axes[1])
    if report.comparison is not None:
        draw_n_clusters(report.comparison, axes[2])
    return figure
