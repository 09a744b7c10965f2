"""Joint-distribution tests of a step: the machinery, whatever the kernel.

Does a step leave p(parameters | data) invariant under the model? Geweke (2004), in the form of
Grosse and Duvenaud (2014). The data y are a free variable of the model, so that one compiled step
serves any data. Successive-conditional simulation alternates the step, which moves (z, atoms,
weights, alpha) given y, with a fresh draw of y given the rest; its draws must have the marginal
law of the prior, which is simulated directly. Simulation-based calibration (Talts et al. 2018)
uses the same models.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
from arviz_stats.base import array_stats
from scipy.stats import chisquare

import pymc_dpsteps as dps
from tests.helpers_algorithms import ALGORITHMS, CRP, DIRICHLET, RANDOM_DISCOUNT, STICKS
from tests.helpers_chain import Draws, Point

N, K = 10, 10
ON_DATA = (7, 8)  # those of `functionals` that depend on the data alone


def crp(alpha):
    return dps.ChineseRestaurantProcess("z", alpha, K=K, shape=N)


def pitman_yor(alpha):
    discount = pm.Beta("discount", 2, 4)
    return dps.ChineseRestaurantProcess("z", alpha, discount, K=K, shape=N)


def sticks(alpha):
    w = pm.StickBreakingWeights("w", alpha, K=K - 1)
    return pm.Categorical("z", w, shape=N)


def dirichlet(alpha):
    w = pm.Dirichlet("w", alpha * np.linspace(0.5, 1.5, K) / K)
    return pm.Categorical("z", w, shape=N)


URNS = {crp: CRP, pitman_yor: RANDOM_DISCOUNT, sticks: STICKS, dirichlet: DIRICHLET}


@dataclass(frozen=True)
class Kernel:
    """A likelihood and a base measure, as variables of a model and by numpy.

    Attributes
    ----------
    declare : callable
        Adds the atoms and the data, the free variable y, to a model, given z.
    draw : callable
        ``draw(rng, values, z)`` are data given the values of all variables.
    atom : str
        The atom that `functionals` looks at.
    priors : sequence
        Priors of the allocation to use it with; an algorithm takes the first one it serves.
    conjugate : bool
        Whether all atoms can be integrated out.
    more : callable
        Further functionals of the values of all variables.
    between : callable, optional
        ``between(rng, point)`` stands for other step methods: an exact draw of what the step does
        not own.
    """

    declare: Callable[[Any], None]
    draw: Callable[[np.random.Generator, Point, Draws], Draws]
    atom: str
    priors: Sequence[Callable[[Any], Any]]
    conjugate: bool = False
    more: Callable[[Point], list[Any]] = lambda _: []
    between: Callable[[np.random.Generator, Point], Point] | None = None

    @property
    def name(self) -> str:
        """Name of the model in the ids of tests."""
        return self.declare.__name__


@dataclass(frozen=True)
class Case:
    """A kernel, a prior of the allocation and an algorithm."""

    kernel: Kernel
    prior: Callable[[Any], Any]
    algorithm: str

    def __str__(self) -> str:
        return f"{self.kernel.name}-{self.prior.__name__}-{self.algorithm}"

    def model(self) -> pm.Model:
        """A model whose concentration is random."""
        with pm.Model() as model:
            alpha = pm.Gamma("alpha", 3, 2)
            self.kernel.declare(self.prior(alpha))
        return model


def cases_of(algorithm: str, kernels: Sequence[Kernel]) -> list[Case]:
    """The kernels that an algorithm serves, each with one prior."""
    row = ALGORITHMS[algorithm]
    cases = []
    for kernel in kernels:
        served = [prior for prior in kernel.priors if URNS[prior] in row.urns]
        if served and (kernel.conjugate or not row.conjugate):
            cases.append(Case(kernel, served[0], algorithm))
    return cases


def functionals(kernel: Kernel, p: Point) -> Draws:
    """Label-invariant and, for unequal slots, label-bound functions of the values."""
    z = p["z"]
    counts = np.bincount(z, minlength=K)
    atom = p[kernel.atom]
    values = [
        (counts > 0).sum(),
        (counts / N) @ (counts / N),
        p["alpha"],
        p["alpha"] ** 2,
        counts[0],
        atom[z[0]],
        atom[z].std(),
        p["y"].mean(),
        np.log1p(np.abs(p["y"])).mean(),
        p["y"][0] * atom[z[0]],
        *kernel.more(p),
    ]
    if "discount" in p:
        values += [p["discount"]]
    if "w" in p:
        values += [p["w"][0], p["w"].max()]
    return np.array(values, dtype=float)


def simulator(model: pm.Model, seed: int) -> tuple[Any, Any, Any]:
    """Draws of all variables from the prior, and their value-space points."""
    names = [rv.name for rv in model.free_RVs]
    draw = pm.pytensorf.compile([], model.free_RVs, random_seed=seed)
    forward = []
    for rv in model.free_RVs:
        transform = model.rvs_to_transforms[rv]
        forward.append(rv if transform is None else transform.forward(rv, *rv.owner.inputs))
    to_point = pm.pytensorf.compile(model.free_RVs, forward, on_unused_input="ignore")
    to_values = model.compile_fn(
        model.replace_rvs_by_values(model.free_RVs), inputs=model.value_vars, point_fn=False
    )
    value_names = [model.rvs_to_values[rv].name for rv in model.free_RVs]

    def prior():
        return dict(zip(names, draw(), strict=True))

    def start():
        """A point; PyMC's own draws of the last stick may round to zero."""
        while True:
            values = prior()
            point = dict(zip(value_names, to_point(*[values[n] for n in names]), strict=True))
            if all(np.isfinite(v).all() for v in point.values()):
                return point

    def values_of(point):
        ordered = [point[v.name] for v in model.value_vars]
        return dict(zip(names, to_values(*ordered), strict=True))

    return prior, start, values_of


def geweke_z_scores(case: Case, n_iterations: int, *, seed: int) -> Draws:
    """Differences between successive-conditional and prior means, in standard errors."""
    model, kernel = case.model(), case.kernel
    draw, start, values_of = simulator(model, seed)
    direct = np.array([functionals(kernel, draw()) for _ in range(n_iterations)])
    with model:
        sampler = ALGORITHMS[case.algorithm].make()
    rng = np.random.default_rng(seed + 1)
    sampler.setup_chain(np.random.default_rng(seed + 2), 0, n_iterations)
    sampler.started = True  # stationary from the first iteration: no dispersed start
    point = start()
    successive = []
    for _ in range(n_iterations):
        point, _ = sampler.step(point)
        if kernel.between is not None:
            point = kernel.between(rng, point)
        values = values_of(point)
        values["y"] = kernel.draw(rng, values, values["z"])
        point["y"] = values["y"].astype(point["y"].dtype)
        successive.append(functionals(kernel, values))
    chain = np.array(successive)
    ess = np.array([float(array_stats.ess(c[None], method="mean")) for c in chain.T])
    error = np.sqrt(direct.var(0) / len(direct) + chain.var(0) / ess)
    return (chain.mean(0) - direct.mean(0)) / error


def calibration_ranks(case: Case, *, n_data: int, n_draws: int, thin: int, seed: int) -> Draws:
    """Ranks of the truth among draws of the posterior, shape (data sets, functionals)."""
    model, kernel = case.model(), case.kernel
    draw, start, values_of = simulator(model, seed)
    with model:
        sampler = ALGORITHMS[case.algorithm].make()
    rng = np.random.default_rng(seed)
    origin = start()
    ranks = []
    for _ in range(n_data):
        truth = draw()
        point = {**origin, "y": truth["y"].astype(origin["y"].dtype)}
        sampler.setup_chain(rng.spawn(1)[0], 30, n_draws * thin)
        posterior = []
        for t in range(30 + n_draws * thin):
            point, _ = sampler.step(point)
            if kernel.between is not None:
                point = kernel.between(rng, point)
            if t == 29:
                sampler.stop_tuning()
            if t >= 30 and (t - 30) % thin == 0:
                posterior.append(functionals(kernel, values_of(point)))
        exact, draws = functionals(kernel, truth), np.array(posterior)
        below = (draws < exact).sum(0)
        ties = (draws == exact).sum(0)
        ranks.append(below + rng.integers(0, ties + 1))
    return np.array(ranks)


def calibration_p_values(case: Case, *, seed: int) -> dict[int, float]:
    """Chi-square tests over 20 bins that the truth's rank is uniform, by functional.

    600 data sets with 19 thinned draws each; ties are broken at random; functionals of the data
    are fixed and left out. Thinning leaves some autocorrelation, which affects only the spread of
    ranks within one data set.
    """
    ranks = calibration_ranks(case, n_data=600, n_draws=19, thin=40, seed=seed)
    return {
        j: float(chisquare(np.bincount(ranks[:, j], minlength=20)).pvalue)
        for j in range(ranks.shape[1])
        if j not in ON_DATA
    }
