"""Traces of what does not depend on how the clusters are numbered."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import xarray as xr

from pymc_dpsteps.diagnostics.posterior import partition_of
from pymc_dpsteps.plots.style import COLOURS, tidy

if TYPE_CHECKING:
    from arviz_plots import PlotCollection

__all__ = ["trace"]

_LABEL_WIDTH = 14  # characters, as many as a row is high
_ROW_INCHES = 1.15


def trace(idata: xr.DataTree, *, var_names: str | Sequence[str] | None = None) -> PlotCollection:
    """Draw traces of the label-invariant functionals, and their distribution functions by chain.

    Chains that agree have distribution functions that coincide but for noise. They are those of
    the draws, unsmoothed, for counts and continuous functionals alike.

    Parameters
    ----------
    idata : xarray.DataTree
        Result of `dps.sample`: it has the group ``partition``.
    var_names : str or sequence of str, optional
        Draw these only. Default: all functionals that are not constant.

    Returns
    -------
    arviz_plots.PlotCollection

    Raises
    ------
    ValueError
        If the result has no group ``partition``, it has not the functionals named, or all are
        constant.
    """
    from arviz_plots import plot_trace_dist

    functionals = partition_of(idata)
    names = _chosen(functionals, var_names)
    tree = xr.DataTree.from_dict({"partition": functionals[names]})
    n_chains = functionals.sizes["chain"]
    collection = plot_trace_dist(
        tree,
        group="partition",
        compact=False,
        combined=False,
        kind="ecdf",
        color=list(COLOURS),
        figure_kwargs={
            "figsize": (8.4, 0.6 + _ROW_INCHES * len(names)),
            "layout": "constrained",
            "width_ratios": [1.0, 2.6],
        },
        visuals={
            "trace": {"width": 0.5, "alpha": 0.75},
            "dist": {"width": 1.2},
            "label": False,
            "xlabel_trace": False,
        },
    )
    for name in names:
        left, right = (collection.get_target(name, {"column": c}) for c in ("dist", "trace"))
        right.set_ylabel(fill(name.replace("_", " "), _LABEL_WIDTH), fontsize=9)
        left.set_ylim(0.0, 1.0)
        left.locator_params(axis="x", nbins=3)
        tidy(left)
        tidy(right)
    right.set_xlabel("draw", fontsize=9)
    collection.get_target(names[0], {"column": "dist"}).set_title("distribution", fontsize=9)
    if n_chains > 1:
        collection.add_legend("chain")
    return collection


def _chosen(functionals: xr.Dataset, var_names: str | Sequence[str] | None) -> list[str]:
    """Names of the functionals to draw."""
    if var_names is None:
        names = [str(n) for n, x in functionals.data_vars.items() if x.min() < x.max()]
        if not names:
            raise ValueError("All functionals are constant: there is nothing to draw.")
        return names
    names = [var_names] if isinstance(var_names, str) else list(var_names)
    if unknown := [name for name in names if name not in functionals]:
        known = ", ".join(map(str, functionals.data_vars))
        raise ValueError(f"No functional {', '.join(unknown)} in the result; it has {known}.")
    return names
