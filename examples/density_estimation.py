"""Density estimation: what the concentration does to a mixture as a fit of an unknown density.

A Dirichlet-process mixture of normals is also an estimate of a density that is no mixture of a
few normals. The concentration alpha says how many components it spends on that: a small one
gives few, which find groups and smooth the rest away; a large one gives many, which together
follow a skewed, heavy-tailed or rugged density. For densities in one and in two dimensions the
script fits simulated data sets under several values of alpha, and prints the integrated squared
error of the posterior mean density beside that of a kernel density estimate with an automatic
bandwidth (in one dimension Botev, Grotowski and Kroese, 2010; in two Scott's rule), as a mean
over data sets with its standard error, and the posterior mean number of clusters.

The first figure shows one data set of each density in one dimension under a small and a large
alpha, with the 89% band of the random density; the second, two dimensions.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
from arviz_stats.base import array_stats
from scipy import stats

import pymc_dpsteps as dps

OUTPUT = Path(__file__).parent / "output"
N_COMPONENTS = 120
ALPHAS = (0.1, 1.0, 10.0)
N_ITEMS = {1: 300, 2: 400}
BLUE, ORANGE = "#0072B2", "#D55E00"  # Okabe and Ito


@dataclass(frozen=True)
class Target:
    """A density, a generator of data from it, and the points on which errors are integrated."""

    pdf: Callable[[np.ndarray], np.ndarray]
    draw: Callable[[np.random.Generator, int], np.ndarray]
    grid: np.ndarray  # (G,) or (G, 2), evenly spaced
    cell: float

    @property
    def dimension(self) -> int:
        """Number of coordinates of an observation."""
        return self.grid.ndim


def line(pdf: Callable, draw: Callable, low: float, high: float) -> Target:
    """Density on the line."""
    grid = np.linspace(low, high, 301)
    return Target(pdf, draw, grid, grid[1] - grid[0])


def plane(pdf: Callable, draw: Callable, low: float, high: float) -> Target:
    """Density on the plane."""
    axis = np.linspace(low, high, 36)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    return Target(pdf, draw, grid, (axis[1] - axis[0]) ** 2)


CLAW_MEANS = np.array([0.0, -1.0, -0.5, 0.0, 0.5, 1.0])
CLAW_SDS = np.array([1.0, 0.1, 0.1, 0.1, 0.1, 0.1])
CLAW_WEIGHTS = np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
CENTRES = np.array([[-2.5, -1.5], [2.5, -1.5], [0.0, 2.5]])


def claw_pdf(y: np.ndarray) -> np.ndarray:
    """Density 10 of Marron and Wand (1992): a normal with five thin fingers."""
    return stats.norm.pdf(y[:, None], CLAW_MEANS, CLAW_SDS) @ CLAW_WEIGHTS


def claw_draw(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw n numbers from the claw."""
    k = rng.choice(6, size=n, p=CLAW_WEIGHTS)
    return rng.normal(CLAW_MEANS[k], CLAW_SDS[k])


def banana_pdf(y: np.ndarray) -> np.ndarray:
    """Normal across, and bent along a parabola."""
    return stats.norm.pdf(y[:, 0]) * stats.norm.pdf(y[:, 1], y[:, 0] ** 2 - 1.5, 0.5)


def banana_draw(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw n points from the banana."""
    x = rng.normal(size=n)
    return np.column_stack([x, rng.normal(x**2 - 1.5, 0.5)])


def clouds_pdf(y: np.ndarray) -> np.ndarray:
    """Three groups with tails of a Student-t with three degrees of freedom."""
    shape = 0.25 * np.eye(2)
    return np.mean([stats.multivariate_t(c, shape, df=3).pdf(y) for c in CENTRES], axis=0)


def clouds_draw(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw n points from the three groups."""
    t = stats.multivariate_t(np.zeros(2), 0.25 * np.eye(2), df=3).rvs(n, random_state=rng)
    return CENTRES[rng.integers(3, size=n)] + t


TARGETS = {
    "skewed (gamma)": line(
        stats.gamma(2).pdf, lambda rng, n: rng.gamma(2, size=n), low=-1.0, high=9.0
    ),
    "heavy-tailed (t, 2 df)": line(
        stats.t(2).pdf, lambda rng, n: rng.standard_t(2, size=n), low=-9.0, high=9.0
    ),
    "multimodal (claw)": line(claw_pdf, claw_draw, low=-3.0, high=3.0),
    "skewed, 2-D (banana)": plane(banana_pdf, banana_draw, low=-3.5, high=5.0),
    "heavy-tailed groups, 2-D": plane(clouds_pdf, clouds_draw, low=-6.0, high=6.0),
}


def build(y: np.ndarray, alpha: float) -> pm.Model:
    """Mixture of normals with a known concentration."""
    with pm.Model() as model:
        z = dps.ChineseRestaurantProcess("z", alpha, K=N_COMPONENTS, shape=len(y))
        kernel = dps.kernels.normal if y.ndim == 1 else dps.kernels.mvnormal
        kernel("y", z, scale_to=y, ratio=0.25, observed=y)
    return model


def fit(
    target: Target, y: np.ndarray, alpha: float, draws: int, tune: int, kept: int
) -> tuple[Any, float]:
    """Density with its band on the grid of the target, and the mean number of clusters."""
    model = build(y, alpha)
    idata = dps.sample(
        draws,
        tune=tune,
        chains=1,
        model=model,
        random_seed=1,
        progressbar=False,
        quiet=True,
    )
    curves = dps.predict.density(idata, target.grid, model=model, draws=kept, random_seed=1)
    return curves, float(idata["partition"]["n_clusters"].mean())


def kernel_estimate(target: Target, y: np.ndarray) -> np.ndarray:
    """Kernel density estimate on the grid of the target."""
    if target.dimension == 2:
        return stats.gaussian_kde(y.T)(target.grid.T)
    x, f, _ = array_stats.kde(y, circular=False, bw="isj", grid_len=1024, bound_correction=False)
    return np.interp(target.grid, x, f, left=0.0, right=0.0)


def in_words(errors: np.ndarray) -> str:
    """Mean and standard error, in thousandths."""
    spread = errors.std(ddof=1) / np.sqrt(len(errors)) if len(errors) > 1 else np.nan
    return f"{1000 * errors.mean():7.1f} ± {1000 * spread:3.1f}"


def print_row(name: str, target: Target, n_sets: int, draws: int, tune: int) -> None:
    """Errors and numbers of clusters over repeated data sets."""
    errors = np.zeros((len(ALPHAS) + 1, n_sets))
    clusters = np.zeros((len(ALPHAS), n_sets))
    truth = target.pdf(target.grid)
    for n in range(n_sets):
        y = target.draw(np.random.default_rng([5, n]), N_ITEMS[target.dimension])
        estimates = [kernel_estimate(target, y)]
        for a, alpha in enumerate(ALPHAS):
            curves, clusters[a, n] = fit(target, y, alpha, draws, tune, kept=100)
            estimates.append(curves["mean"].values)
        for e, estimate in enumerate(estimates):
            errors[e, n] = ((estimate - truth) ** 2).sum() * target.cell
    cells = [f"{in_words(errors[a + 1])} ({clusters[a].mean():4.1f})" for a in range(len(ALPHAS))]
    print(f"{name:<26}{in_words(errors[0])}  {'  '.join(cells)}")


def draw_lines(targets: dict[str, Target], draws: int, tune: int) -> None:
    """One data set of each density on the line, under the smallest and the largest alpha."""
    figure, axes = plt.subplots(
        len(targets), 2, figsize=(9.0, 8.4), sharex="row", sharey="row", layout="constrained"
    )
    for row, (name, target) in zip(axes, targets.items(), strict=True):
        y = target.draw(np.random.default_rng([5, 0]), N_ITEMS[1])
        estimate = kernel_estimate(target, y)
        for ax, alpha in zip(row, (ALPHAS[0], ALPHAS[-1]), strict=True):
            curves, clusters = fit(target, y, alpha, draws, tune, kept=1000)
            x = target.grid
            ax.fill_between(x, curves["lower"], curves["upper"], color=BLUE, alpha=0.25, lw=0)
            ax.plot(x, curves["mean"], color=BLUE, lw=1.8, label="posterior mean, 89% band")
            ax.plot(x, estimate, color=ORANGE, lw=1.1, label="kernel estimate")
            ax.plot(x, target.pdf(x), color="black", lw=1.1, ls=(0, (4, 2)), label="true density")
            inside = y[(x[0] <= y) & (y <= x[-1])]
            ax.plot(
                inside,
                np.full(len(inside), -0.02),
                "|",
                color="#555555",
                ms=5,
                mew=0.6,
                alpha=0.6,
                transform=ax.get_xaxis_transform(),
                clip_on=False,
            )
            ax.set_title(f"{name}, α = {alpha:g}: {clusters:.1f} clusters", fontsize=10)
            ax.set(xlim=(x[0], x[-1]), ylim=(0.0, 1.5 * target.pdf(x).max()))
            ax.tick_params(axis="x", length=9)
            ax.spines[["top", "right"]].set_visible(False)
        row[0].set_ylabel("density")
    for ax in axes[-1]:
        ax.set_xlabel("y")
    axes[0, 1].legend(frameon=False, fontsize=8)
    figure.savefig(OUTPUT / "density_estimation.png", dpi=150)
    plt.close(figure)


def draw_planes(targets: dict[str, Target], draws: int, tune: int) -> None:
    """One data set of each density on the plane: truth, two posterior means, kernel estimate."""
    figure, axes = plt.subplots(
        len(targets), 4, figsize=(11.5, 6.0), sharex="row", sharey="row", layout="constrained"
    )
    for row, (name, target) in zip(axes, targets.items(), strict=True):
        y = target.draw(np.random.default_rng([5, 0]), N_ITEMS[2])
        truth = target.pdf(target.grid)
        panels = {f"{name}, truth": truth}
        for alpha in (ALPHAS[0], ALPHAS[-1]):
            curves, clusters = fit(target, y, alpha, draws, tune, kept=100)
            panels[f"α = {alpha:g}: {clusters:.1f} clusters"] = curves["mean"].values
        panels["kernel estimate"] = kernel_estimate(target, y)
        side = int(np.sqrt(len(target.grid)))
        axis = target.grid[:side, 0]
        levels = truth.max() * np.array([0.02, 0.1, 0.3, 0.6, 0.9])
        for ax, (title, f) in zip(row, panels.items(), strict=True):
            ax.plot(*y.T, ".", color="#999999", ms=2.0, zorder=0)
            ax.contour(
                axis, axis, f.reshape(side, side), levels=levels, colors=BLUE, linewidths=1.1
            )
            ax.set_title(title, fontsize=10)
            ax.set(xlim=(axis[0], axis[-1]), ylim=(axis[0], axis[-1]), aspect="equal")
        row[0].set_ylabel("second coordinate")
    for ax in axes[-1]:
        ax.set_xlabel("first coordinate")
    figure.savefig(OUTPUT / "density_estimation_2d.png", dpi=150)
    plt.close(figure)


def main(draws: int = 1500, tune: int = 500, n_sets: int = 8) -> None:
    """Fit, print, draw."""
    logging.getLogger("pymc").setLevel(logging.WARNING)
    OUTPUT.mkdir(exist_ok=True)
    sizes = ", ".join(f"n = {n} in {d}-D" for d, n in N_ITEMS.items())
    print(f"Integrated squared error x 1000 over {n_sets} data sets, {sizes}; in brackets the")
    print("mean number of clusters\n")
    header = "  ".join(f"{f'alpha = {alpha:g}':>20}" for alpha in ALPHAS)
    print(f"{'density':<26}{'kernel estimate':>15}{header}\n" + "-" * 108)
    for name, target in TARGETS.items():
        print_row(name, target, n_sets, draws, tune)
    draw_lines({n: t for n, t in TARGETS.items() if t.dimension == 1}, draws, tune)
    draw_planes({n: t for n, t in TARGETS.items() if t.dimension == 2}, draws, tune)


if __name__ == "__main__":
    main()
