"""One page that says what was fitted, whether to trust it, and what came out."""

from __future__ import annotations

import base64
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from html import escape
from importlib.metadata import version
from importlib.resources import files
from io import BytesIO
from os import PathLike
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from pymc_dpsteps import diagnostics, partitions, plots, predict
from pymc_dpsteps.diagnostics.posterior import partition_of, read_untransformed
from pymc_dpsteps.mixture import MixtureError
from pymc_dpsteps.partitions.labels import find_allocation, posterior_of
from pymc_dpsteps.predict.kernel import kernel_variable

__all__ = ["report"]

_DPI = 110
_N_GRID = 301
_MARGIN = 0.15  # of the data's range, on either side of it
_N_SETS = 50  # new data sets
_N_UNSURE = 10  # items in the table of those that are least certain


def report(
    idata: xr.DataTree,
    path: str | PathLike[str],
    *,
    model: pm.Model | None = None,
    partition: ArrayLike | None = None,
    allocation: str | None = None,
    title: str = "Dirichlet-process mixture",
    quantity: Any = None,
    units: Any = None,
    draws: int = 500,
    random_seed: int | None = None,
) -> Path:
    """Write a page about a fit: model, sampling, checks, partition and pictures.

    The page is a single HTML file that needs nothing else, on paper as well as on a screen. What
    is not defined for a model, such as the density where the kernel has covariates, is left out
    with a sentence that says why.

    Parameters
    ----------
    idata : xarray.DataTree
        Result of `dps.sample`.
    path : path-like
        Where to write. A file that is there is replaced.
    model : pymc.Model, optional
        Default: the model in context. Without any, what needs the model is left out.
    partition : array_like of int, shape (N,), optional
        Default: `dps.partitions.point_partition`, with the loss "vi".
    allocation : str, optional
        Name of the allocation; needed only where the model has several.
    title : str, default "Dirichlet-process mixture"
        Title of the page.
    quantity, units : str or tuple of str, optional
        What was observed, and its units, for the labels; two where observations have two
        coordinates.
    draws : int, default 500
        Draws from which the density is computed.
    random_seed : int, optional
        Seed of the search for the partition and of the predictive draws.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        If the result has no draws or no group ``partition``; if it is not clear which variable is
        the allocation; or if `partition` is not a label for every item.
    """
    model = pm.Model.get_context(error_if_none=False) if model is None else model
    labels = find_allocation(posterior_of(idata), allocation)
    if partition is None:
        point = partitions.point_partition(labels, random_seed=random_seed)
    else:
        point = labels[0, 0].copy(data=np.asarray(partition))
        point.attrs = {
            "loss": "vi",
            "expected_loss": float(partitions.expected_loss(point, labels)),
        }
    functionals = partition_of(idata)
    page = _Page(idata, model, functionals, labels, point, quantity, units, draws, random_seed)
    sections = [
        _section("Model", page.describe_model),
        _section("Sampling", page.describe_sampling),
        _section("Checks", page.describe_checks),
        _section("Summary", page.summarise),
        _section("Traces", page.draw_trace),
        _section("Clusters", page.describe_partition),
        _section("Number and sizes of clusters", page.draw_sizes),
        _section("Co-clustering", page.draw_coclustering),
        _section("Partition and credible ball", page.draw_partition),
        _section("Clusters in the plane", page.draw_clusters),
        _section("Density", page.draw_density),
        _section("Posterior predictive check", page.draw_check),
    ]
    path = Path(path)
    template = Template(files("pymc_dpsteps").joinpath("report.html").read_text(encoding="utf-8"))
    html = template.substitute(title=escape(title), body="\n".join(sections))
    path.write_text(html, encoding="utf-8")
    return path


@dataclass(frozen=True)
class _Page:
    """What the parts of a page have in common; each method returns the HTML of one."""

    idata: xr.DataTree
    model: pm.Model | None
    functionals: xr.Dataset
    labels: xr.DataArray
    partition: xr.DataArray
    quantity: Any
    units: Any
    draws: int
    random_seed: int | None

    @property
    def allocation(self) -> str:
        return str(self.labels.name)

    @cached_property
    def ball(self) -> xr.Dataset:
        return partitions.credible_ball(self.labels, self.partition)

    @cached_property
    def certainty(self) -> xr.Dataset:
        return partitions.certainty(self.labels, self.partition)

    @cached_property
    def data(self) -> xr.Dataset:
        return self._group("observed_data")

    def _group(self, name: str) -> xr.Dataset:
        return self.idata[name].to_dataset() if name in self.idata.children else xr.Dataset()

    @cached_property
    def observed(self) -> tuple[str, NDArray]:
        """Name and values of the observed variable of the kernel."""
        model = self.require_model()
        name = kernel_variable(read_untransformed(model, self.allocation), None)
        if name not in self.data:
            raise ValueError(f"The result does not hold the data of {name}.")
        return name, self.data[name].values

    def require_model(self) -> pm.Model:
        if self.model is None:
            raise ValueError("No model was given.")
        return self.model

    def describe_model(self) -> str:
        if self.model is not None:
            text = self.model.str_repr()
        else:
            variables = posterior_of(self.idata).data_vars
            text = "\n".join(f"{name}: {dict(x.sizes)}" for name, x in variables.items())
        shapes = [f"{name} {x.shape}" for name, x in self.data.data_vars.items()]
        data = ", ".join(shapes) or "not recorded"
        n_items = self.labels.shape[2]
        return (
            f"<pre>{escape(text)}</pre><p>Data, with their shapes: {escape(data)}. "
            f"{n_items} items are clustered by {escape(self.allocation)}.</p>"
        )

    def describe_sampling(self) -> str:
        attrs = self.idata["posterior"].attrs
        seconds = attrs.get("sampling_time")
        rows = {
            "steps": self.functionals.attrs.get("steps", "not recorded"),
            "chains": self.labels.sizes["chain"],
            "draws per chain": self.labels.sizes["draw"],
            "tuning sweeps before": attrs.get("tuning_steps", "not recorded"),
            "sampling time": "not recorded" if seconds is None else f"{seconds:.1f} s",
            "sampled at": attrs.get("created_at", "not recorded"),
            "versions": ", ".join(f"{name} {version(name)}" for name in ("pymc_dpsteps", "pymc")),
        }
        return pd.DataFrame({"": rows}).to_html(header=False, border=0)

    def describe_checks(self) -> str:
        messages = diagnostics.convergence_messages(self.functionals)
        messages = messages or ["No warnings on convergence."]
        statistics = self._group("sample_stats")
        if "diverging" in statistics:
            messages.append(f"{int(statistics['diverging'].sum())} divergences of NUTS.")
        if self.model is not None:
            messages += diagnostics.check_truncation(self.idata, model=self.model).messages
        return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in messages)}</ul>"

    def summarise(self) -> str:
        note = (
            "These functionals do not depend on how clusters are numbered. Parameters of single "
            "components have no such table: component 3 is another cluster in another draw."
        )
        return _table(diagnostics.summary(self.idata)) + f"<p>{note}</p>"

    def draw_trace(self) -> str:
        picture = plots.trace(self.idata)
        return _figure(picture, "Left: distribution of each functional in every chain.")

    def describe_partition(self) -> str:
        point, ball = self.partition, self.ball
        loss, radius, coverage = point.attrs["loss"], float(ball["radius"]), float(ball["coverage"])
        found = pd.DataFrame({name: x.values for name, x in self.certainty.data_vars.items()})
        found.insert(0, "cluster", point.values)
        found.index = self.labels.get_index(self.labels.dims[2])
        sizes = found.groupby("cluster")["own"].agg(["size", "mean", "min"])
        sizes.columns = ["items", "mean certainty", "least"]
        gap = (found["own"] - found["other"]).to_numpy()
        unsure = found.iloc[np.argsort(gap)[: min(_N_UNSURE, np.isfinite(gap).sum())]]
        return (
            f"<p>The partition has {len(sizes)} clusters. Its posterior expected loss "
            f"({escape(loss)}) is {point.attrs['expected_loss']:.3f}; a ball of radius "
            f"{radius:.3f} around it holds {coverage:.1%} of the draws.</p>"
            f"{_table(sizes, 'cluster')}<p>The certainty of an item is the mean posterior "
            "probability that it shares a cluster with another item of its own cluster; NaN for "
            "an item that is alone. Items that are least certain, compared with another cluster:"
            f"</p>{_table(unsure, self.labels.dims[2])}"
        )

    def draw_sizes(self) -> str:
        by_rank = "Sizes of the largest cluster, the second largest, and so on."
        return _figure(
            plots.n_clusters(self.idata, allocation=self.allocation),
            "Posterior of the number of clusters.",
        ) + _figure(plots.cluster_sizes(self.idata, allocation=self.allocation, log=True), by_rank)

    def draw_coclustering(self) -> str:
        picture = plots.coclustering(
            self.idata, partition=self.partition, allocation=self.allocation
        )
        return _figure(picture, "How often two items share a cluster. Outlined: the partition.")

    def draw_partition(self) -> str:
        name, y = self.observed
        picture = plots.partition(
            y,
            self.partition,
            self.ball,
            certainty=self.certainty["own"],
            quantity=self.quantity or (name if y.ndim == 1 else None),
            units=self.units,
        )
        return _figure(picture, "Bounds: the draws in the ball that are farthest from its center.")

    def draw_clusters(self) -> str:
        name, y = self.observed
        if y.shape[1:] != (2,):
            raise ValueError(f"{name} is not in the plane: its shape is {y.shape}.")
        picture = plots.clusters(
            y,
            self.partition,
            certainty=self.certainty["own"],
            quantities=self.quantity,
            units=self.units or (None, None),
        )
        return _figure(picture, "Ellipses: 50% and 90% of a normal distribution like the items.")

    def draw_density(self) -> str:
        name, y = self.observed
        if y.ndim > 1:
            raise ValueError(f"{name} has observations of {y.shape[1]} coordinates.")
        y = y[np.isfinite(y)]
        curves = predict.density(
            self.idata,
            _grid(y),
            partition=self.partition.values,
            model=self.model,
            allocation=self.allocation,
            draws=self.draws,
            random_seed=self.random_seed,
        )
        labels = {"quantity": self.quantity or name, "units": self.units}
        picture = plots.density(curves, observed=y, **labels)
        return _figure(picture, "Density of a new observation, and the parts of the clusters.")

    def draw_check(self) -> str:
        new = predict.new_data(
            self.idata,
            model=self.require_model(),
            allocation=self.allocation,
            draws=_N_SETS,
            random_seed=self.random_seed,
        )
        return _figure(plots.predictive_check(new), "Data like these are expected in the bundle.")


def _grid(y: NDArray) -> NDArray:
    """Values at which to draw a density: integers for integers."""
    low, high = float(y.min()), float(y.max())
    if y.dtype.kind in "iub":
        return np.unique(np.linspace(low, high, _N_GRID).round()).astype(np.int64)
    margin = _MARGIN * (high - low)
    return np.linspace(low - margin, high + margin, _N_GRID)


def _section(title: str, body: Callable[[], str]) -> str:
    """Part of the page, or why it is left out."""
    try:
        html = body()
    except (MixtureError, NotImplementedError, ValueError) as reason:
        html = f"<p class='left-out'>Left out. {escape(str(reason))}</p>"
    return f"<section><h2>{escape(title)}</h2>{html}</section>"


def _table(table: pd.DataFrame, rows: Hashable = None) -> str:
    """HTML of a table; `rows` says what its index is."""
    table = table.rename_axis(None).rename_axis(rows, axis="columns")
    html: str = table.to_html(border=0, float_format=lambda x: f"{x:.3g}")  # escapes
    return f"<div class='wide'>{html}</div>"


def _figure(picture: Any, caption: str) -> str:
    """Picture as a PNG within the page; picture is one or several Axes, or of arviz_plots."""
    import matplotlib.pyplot as plt

    if hasattr(picture, "viz"):
        figure = picture.viz["figure"].item()
    else:
        figure = np.ravel(picture)[0].get_figure(root=True)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    plt.close(figure)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    caption = escape(caption)
    source = f"data:image/png;base64,{data}"
    return (
        f"<figure><img src='{source}' alt='{caption}'><figcaption>{caption}</figcaption></figure>"
    )
