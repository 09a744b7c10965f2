"""A million items: blocked Gibbs, split–merge with transfers, and starts on growing subsets.

Ten normal groups, six standard deviations apart, whose means and variances are unknown. Four chains
start apart from each other, each on 1,000 items of its own choice, and are compared on all items.
The figure shows the number of clusters and Σp² along the chains.

``python examples/million_items.py`` takes 100,000 items and some minutes; with ``--full`` a
million, and more than an hour on two cores.
"""

import argparse
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
import xarray as xr
from numpy.typing import NDArray

import pymc_dpsteps as dps

OUTPUT = Path(__file__).parent / "output"
K, N_GROUPS = 30, 10
SHOWN = {"n_clusters": "clusters", "sum_squared_proportions": r"$\sum_k p_k^2$"}


def simulate(n_items: int) -> NDArray[np.float64]:
    """Groups of unit spread."""
    rng = np.random.default_rng(0)
    return rng.normal(6.0 * (rng.integers(N_GROUPS, size=n_items) - 4.5), 1.0)


def normal_model(y: NDArray[np.float64]) -> pm.Model:
    """Dirichlet process mixture of normals, truncated at K components."""
    with pm.Model() as model:
        w = pm.StickBreakingWeights("w", 1.0, K=K - 1)
        z = pm.Categorical("z", w, shape=len(y))
        dps.kernels.normal("y", z, scale=18.0, observed=y)
    return model


def save_figure(idata: xr.DataTree, n_items: int) -> None:
    """Traces of what does not depend on the numbering of clusters."""
    figure, axes = plt.subplots(len(SHOWN), sharex=True, figsize=(8, 5), layout="constrained")
    for ax, (name, label) in zip(axes, SHOWN.items(), strict=True):
        ax.plot(idata["partition"][name].transpose("draw", "chain"), lw=0.8)
        ax.set_ylabel(label)
    axes[-1].set_xlabel(f"draw, {n_items:,} items, four chains")
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / "million_items.png", dpi=150)


def main(draws: int = 500, tune: int = 100, n_items: int = 100_000) -> None:
    """Sample, and show whether the chains agree."""
    with normal_model(simulate(n_items)):
        # Split–merge makes and removes clusters, transfers small ones, whose sizes they change; all
        # else is left to blocked Gibbs.
        split_merge = dps.SplitMerge(moves=10, transfers=10, atoms=None, concentration=None)
        start = time.perf_counter()
        idata = dps.sample(
            draws,
            tune=tune,
            chains=4,
            step=[split_merge, dps.BlockedGibbs(init="subsets")],
            keep_allocation="none",
            random_seed=1,
        )
        seconds = time.perf_counter() - start
    print(dps.summary(idata))
    for name in SHOWN:
        means = idata["partition"][name].mean("draw").to_numpy()
        print(f"{name}, means of the chains:", *(f"{mean:.5g}" for mean in means))
    births, deaths = (idata.sample_stats[x][..., 0].sum().item() for x in ("births", "deaths"))
    transfers = idata.sample_stats["transfers"].sum().item()
    print(f"{births} births, {deaths} deaths and {transfers} transfers accepted")
    print(f"{n_items:,} items, 4 chains of {tune} + {draws} draws: {seconds:.0f} s")
    save_figure(idata, n_items)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="a million items")
    if parser.parse_args().full:
        main(draws=1_000, tune=100, n_items=1_000_000)
    else:
        main()
