"""New data sets from the posterior predictive distribution, beside the observed one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pymc_dpsteps.plots.style import COLOURS, INK, tidy

if TYPE_CHECKING:
    from arviz_plots import PlotCollection

__all__ = ["predictive_check"]

_MAX_COLUMNS = 2


def predictive_check(
    new_data: xr.DataTree,
    *,
    var_names: str | Sequence[str] | None = None,
    n_sets: int = 50,
) -> PlotCollection:
    """Draw the distribution functions of new data sets, and that of the data.

    Data that the model could have produced lie within the bundle of the new sets.

    Parameters
    ----------
    new_data : xarray.DataTree
        Result of `dps.predict.new_data`.
    var_names : str or sequence of str, optional
        Observed variables. Default: all.
    n_sets : int, default 50
        Number of data sets drawn, at most; chosen at random, always the same.

    Returns
    -------
    arviz_plots.PlotCollection
        A panel for every variable, and for every coordinate where observations have several.

    Raises
    ------
    ValueError
        If the groups ``posterior_predictive`` and ``observed_data`` are not there, or do not
        hold the variables.
    """
    from arviz_plots import plot_ppc_dist

    panels = _panels(new_data, var_names)
    drawn = panels["posterior_predictive"].to_dataset()
    n_columns = min(len(drawn), _MAX_COLUMNS)
    n_rows = -(-len(drawn) // n_columns)
    collection = plot_ppc_dist(
        panels,
        kind="ecdf",
        num_samples=min(n_sets, drawn.sizes["chain"] * drawn.sizes["draw"]),
        col_wrap=n_columns,
        figure_kwargs={"figsize": (4.2 * n_columns, 3.2 * n_rows), "layout": "constrained"},
        visuals={
            "predictive_dist": {"color": COLOURS[4], "alpha": 0.45, "width": 0.8},
            "observed_dist": {"color": INK, "width": 1.8},
            "remove_axis": False,
            "title": False,
        },
    )
    for name in drawn:
        ax = collection.get_target(str(name), {})
        ax.set_xlabel(str(name))
        ax.set_ylabel("distribution function")
        ax.set_ylim(0.0, 1.0)
        tidy(ax)
        lines = ax.get_lines()
        lines[0].set_label("new data sets")
        lines[-1].set_label("data")
        ax.legend(handles=[lines[-1], lines[0]], frameon=False, fontsize=8, loc="upper left")
    return collection


def _panels(new_data: xr.DataTree, var_names: str | Sequence[str] | None) -> xr.DataTree:
    """Groups with a variable (item) for every coordinate of every observed variable."""
    groups = ("posterior_predictive", "observed_data")
    if missing := [group for group in groups if group not in new_data.children]:
        raise ValueError(f"No group {missing[0]!r}. Give what dps.predict.new_data returned.")
    predicted, observed = (new_data[group].to_dataset() for group in groups)
    known = [str(name) for name in observed.data_vars if name in predicted]
    names = [var_names] if isinstance(var_names, str) else list(var_names or known)
    if unknown := [name for name in names if name not in known] or not names:
        raise ValueError(f"No observed variable {unknown} in both groups; they share {known}.")
    found: dict[str, dict[str, xr.DataArray]] = {group: {} for group in groups}
    for name in names:
        data = observed[name]
        for index in np.ndindex(data.shape[1:]):
            at = dict(zip(data.dims[1:], index, strict=True))
            where = ", ".join(str(data[dim].values[i]) for dim, i in at.items())
            label = f"{name}[{where}]" if where else name
            found["observed_data"][label] = data.isel(at, drop=True)
            found["posterior_predictive"][label] = predicted[name].isel(at, drop=True)
    return xr.DataTree.from_dict({group: xr.Dataset(x) for group, x in found.items()})
