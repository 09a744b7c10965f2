"""Statistics, marginal likelihoods and draws of whole models against the kernel and base measure.

The truth comes from the compiled density of atoms and items, which `tests/mixture` holds against
PyMC's own: its integral over the atoms' value space is what the pairs claim to know.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import logsumexp

import pymc_dpsteps as dps
from pymc_dpsteps.conjugate import find_conjugacy
from pymc_dpsteps.mixture.compile import CompiledMixture, compile_mixture
from pymc_dpsteps.mixture.read import read_mixture
from pymc_dpsteps.mixture.structure import Conjugacy, Mixture
from tests.helpers_chain import STANDARD_ERRORS, assert_means, effective_size, run_chain

type Array = NDArray[np.float64]

N, K = 6, 3
RNG = np.random.default_rng(1)
X = np.linspace(-1.0, 1.0, N)
REAL = RNG.normal(size=N)
POSITIVE = np.exp(REAL)
COUNTS = RNG.poisson(3.0, size=N)
VECTORS = RNG.normal(size=(N, 2))
EVERYBODY = range(N)
STATISTICS = ("update", "log_marginal", "draw_posterior", "refresh", "shift", "log_predictive")
SETS: list[Sequence[int]] = [(), (2,), (0, 3), (5, 4, 1), EVERYBODY]


@dataclass(frozen=True)
class Case:
    """A model, compiled, at one value of what its atoms do not include."""

    model: pm.Model
    mixture: Mixture
    conjugacy: Conjugacy
    compiled: CompiledMixture
    items: Array
    shared: Array

    def log_joint(self, value, members):
        """Log density of atoms in value space and of the members' data."""
        members = np.asarray(members, dtype=np.int64)
        scratch = np.zeros((1, self.compiled.n_columns))
        compiled = self.compiled.functions["log_posterior"]
        return compiled(value, members, len(members), self.items, self.shared, scratch)

    def statistics(self, members, statistics=None, sign=1.0):
        found = np.zeros(self.compiled.n_stats) if statistics is None else statistics
        datum = np.zeros(self.compiled.n_datum)
        for i in members:
            self.compiled.functions["update"](found, i, sign, self.items, self.shared, datum)
        return found

    def log_marginal(self, members):
        return self.compiled.functions["log_marginal"](self.statistics(members), self.shared)

    def draw(self, rng, members, n, by_scan=False):
        """Draws of the atoms in value space: from the statistics, or by a scan of the blocks."""
        values = np.zeros((n, self.compiled.n_values))
        found = self.statistics(members)
        members = np.asarray(members, dtype=np.int64)
        scratch, datum = np.zeros(self.compiled.n_stats), np.zeros(self.compiled.n_datum)
        for row in values:
            if by_scan:
                self.compiled.functions["draw_atoms"](
                    rng, row, members, len(members), self.items, self.shared, scratch, datum
                )
            else:
                self.compiled.functions["draw_posterior"](rng, found, self.shared, row)
        return values

    @property
    def columns(self):
        """Where each atom lies in a row of values."""
        sizes = [int(np.prod(atom.placeholder.type.shape)) for atom in self.mixture.atoms]
        ends = np.cumsum([0, *sizes])
        names = [atom.rv.name for atom in self.mixture.atoms]
        return {name: range(a, b) for name, (a, b) in zip(names, pairwise(ends), strict=True)}

    def natural(self, value):
        """The atoms of a row of values, by name."""
        found = {}
        for atom in self.mixture.atoms:
            part = value[self.columns[atom.rv.name]]
            x = pt.constant(part.reshape(atom.placeholder.type.shape))
            transform = self.mixture.model.rvs_to_transforms[atom.rv]
            if transform is not None:
                x = transform.backward(x[None], *atom.rv.owner.inputs)[0]
            found[atom.rv.name] = x.eval(mode="FAST_COMPILE")
        return found


@cache
def read(declare, seed=0):
    with pm.Model() as model:
        declare()
    mixture = read_mixture(model)
    conjugacy = find_conjugacy(mixture)
    assert conjugacy.complete, conjugacy
    compiled = compile_mixture(mixture, mixture.concentration, conjugacy, statistics=STATISTICS)
    return at_seed(Case(model, mixture, conjugacy, compiled, X[:, None], X), seed)


def at_seed(case, seed):
    """The case at other values of its hyperparameters."""
    point = case.model.initial_point(random_seed=seed)
    rng = np.random.default_rng(seed)
    names = case.compiled.context_names
    context = [point[name] + rng.normal(size=point[name].shape) for name in names]
    items, shared = case.compiled.context(*context)
    return Case(case.model, case.mixture, case.conjugacy, case.compiled, items, shared)


# Truth: integrals over the atoms -----------------------------------------------------------------


def log_integral_over_grid(log_f, dimensions, points):
    """Trapezoidal rule where log_f, a smooth function of one or two coordinates, is not small."""
    ranges = [(-60.0, 60.0)] * dimensions
    for n in (121, 121, points):
        axes = [np.linspace(low, high, n) for low, high in ranges]
        grid = np.stack([x.ravel() for x in np.meshgrid(*axes, indexing="ij")], axis=1)
        values = np.array([log_f(x) for x in grid])
        inside = grid[values > values.max() - 42.0]
        steps = [x[1] - x[0] for x in axes]
        ranges = [
            (low - step, high + step)
            for low, high, step in zip(inside.min(axis=0), inside.max(axis=0), steps, strict=True)
        ]
    return logsumexp(values) + np.log(steps).sum()


def separately(*atoms, points=601):
    """Coordinates that are independent given the data, each integrated by itself.

    ``(mean, scale, sign)`` are two atoms integrated together: a mean, and a precision (or, with
    sign -1, a variance), for which the mean is measured in standard deviations.
    """

    def log_integral(case, members):
        start = np.full(case.compiled.n_values, 0.1)
        at_start = case.log_joint(start, members)
        total = at_start
        for group in atoms or case.columns:
            *names, sign = (group, 0.0) if isinstance(group, str) else group
            for columns in zip(*(case.columns[name] for name in names), strict=True):

                def log_f(x, columns=columns, sign=sign):
                    value = start.copy()
                    value[list(columns)] = x
                    value[columns[0]] *= np.exp(-0.5 * sign * x[-1])
                    return case.log_joint(value, members) - 0.5 * sign * x[-1]

                total += log_integral_over_grid(log_f, len(columns), points) - at_start
        return total

    return log_integral


def of_gaussian(case, members):
    """The log density is a quadratic function of the value: its integral is known."""
    d = case.compiled.n_values
    unit = np.eye(d)

    def f(x):
        return case.log_joint(x, members)

    zero = f(np.zeros(d))
    gradient = np.array([f(e) - f(-e) for e in unit]) / 2.0
    hessian = np.array(
        [[f(a + b) - f(a) - f(b) + zero for b in unit] for a in unit]
    )  # exact for a quadratic function
    half = 0.5 * gradient @ np.linalg.solve(-hessian, gradient)
    determinant = np.linalg.slogdet(-hessian / (2.0 * np.pi))[1]
    return zero + half - 0.5 * determinant


def by_density(log_density):
    """Prior times likelihood over posterior, the same at every value of the atoms."""

    def log_marginal(case, members):
        found = []
        for seed in range(4):
            value = np.random.default_rng(seed).normal(size=case.compiled.n_values)
            natural = case.natural(value)
            found.append(
                case.log_joint(value, members)
                - case.log_joint(value, [])
                + log_density(natural, [])
                - log_density(natural, list(members))
            )
        np.testing.assert_allclose(found, found[0], rtol=1e-9, atol=1e-9)
        return found[0]

    return log_marginal


# Models ------------------------------------------------------------------------------------------

MODELS: dict[str, tuple[Callable[[], None], Callable[[Case, Sequence[int]], float]]] = {}


def model(truth):
    def register(declare):
        MODELS[declare.__name__] = (declare, truth)
        return declare

    return register


def crp():
    return dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)


@model(separately())
def rates():
    """Six independent pairs of a gamma law in one model."""
    z = crp()
    rate = pm.Gamma("rate", 2.0, 0.5, shape=K)
    pm.Exponential("y0", 2.0 * rate[z], observed=POSITIVE)
    mean = pm.InverseGamma("mean", 3.0, 2.0, shape=K)
    pm.Exponential("y1", scale=mean[z] * np.exp(X), observed=POSITIVE)
    scale = pm.InverseGamma("scale", 2.5, 2.0, shape=K)
    pm.Gamma("y2", 1.5 + X, 2.0 / scale[z], observed=POSITIVE)
    count = pm.Exponential("count", 0.5, shape=K)
    pm.Poisson("y3", np.exp(X) * count[z], observed=COUNTS)
    tau = pm.Gamma("tau", 1.5, 0.5, shape=K)
    pm.Normal("y4", 0.4 + X, tau=tau[z], observed=REAL)
    s2 = pm.InverseGamma("s2", 3.0, 2.0, shape=K)
    pm.Normal("y5", 0.4, 2.0 * pt.sqrt(s2)[z], observed=REAL)


@model(separately())
def probabilities():
    """Four independent pairs of a beta law in one model."""
    z = crp()
    p = [pm.Beta(f"p{j}", 1.0 + 0.5 * j, 2.0, shape=K) for j in range(4)]
    pm.Bernoulli("y0", p[0][z], observed=COUNTS > 2)
    pm.Binomial("y1", 10 + np.arange(N), p[1][z], observed=COUNTS)
    pm.Geometric("y2", p[2][z], observed=1 + COUNTS)
    pm.NegativeBinomial("y3", n=2.5 + X, p=p[3][z], observed=COUNTS)


P, Q = np.array([1.0, 2.0, 0.5]), np.array([0.7, 1.5, 1.0])
CATEGORIES = np.arange(N) % 3
TOTALS = 5 + np.arange(N)
COMPOSITIONS = np.random.default_rng(4).multinomial(TOTALS, [0.2, 0.5, 0.3])


def log_simplex_density(natural, members):
    p = P + np.bincount(CATEGORIES[members], minlength=3)
    q = Q + COMPOSITIONS[members].sum(axis=0)
    return stats.dirichlet.logpdf(natural["p"], p) + stats.dirichlet.logpdf(natural["q"], q)


@model(by_density(log_simplex_density))
def simplices():
    z = crp()
    pm.Categorical("y0", pm.Dirichlet("p", P, shape=(K, 3))[z], observed=CATEGORIES)
    q = pm.Dirichlet("q", Q, shape=(K, 3))
    pm.Multinomial("y1", TOTALS, q[z], observed=COMPOSITIONS)


@model(of_gaussian)
def means():
    """Sd per item, offset, copies side by side, several observations and likelihoods."""
    z = crp()
    a = pm.Normal("a", 0.3, 1.5, shape=K)
    pm.Normal("y0", a[z] + 2.0 * X - 5.0, np.exp(X), observed=REAL - 5.0)
    b = pm.Normal("b", [0.3, -0.1], [1.5, 0.8], shape=(K, 2))
    pm.Normal("y1", b[z], [0.5, 1.0], observed=VECTORS)
    c = pm.Normal("c", 0.3, tau=0.4, shape=K)
    pm.Normal("y2", c[z][:, None], 0.7, observed=VECTORS)
    pm.Normal("y3", c[z], 1.3, observed=REAL)


@model(separately(("mu", "s2", -1), ("nu", "tau", 1), points=161))
def means_and_variances():
    """Normal–inverse-gamma, and two copies of normal–gamma side by side."""
    z = crp()
    s2 = pm.InverseGamma("s2", 3.0, 2.0, shape=K)
    mu = pm.Normal("mu", 0.3, pt.sqrt(s2 / 0.4), shape=K)
    pm.Normal("y0", mu[z] + X, np.exp(X) * pt.sqrt(s2)[z], observed=REAL)
    tau = pm.Gamma("tau", 2.5, 2.0, shape=(K, 2))
    nu = pm.Normal("nu", [0.3, -0.1], tau=0.4 * tau, shape=(K, 2))
    pm.Normal("y1", nu[z], tau=tau[z], observed=VECTORS)


@model(of_gaussian)
def regression():
    """An intercept, a vector of slopes with a joint prior, shared offsets, an sd per item."""
    z = crp()
    a = pm.Normal("a", 0.3, 1.5, shape=K)
    b = pm.MvNormal("b", [0.1, -0.2], np.array([[1.0, 0.3], [0.3, 2.0]]), shape=(K, 2))
    mean = a[z] + (VECTORS * b[z]).sum(axis=1) + 0.5 * X
    pm.Normal("y", mean, np.exp(X), observed=REAL)


@model(of_gaussian)
def mean_vector():
    covariance = np.array([[1.0, 0.3], [0.3, 2.0]])
    mu = pm.MvNormal("mu", [0.1, -0.2], covariance, shape=(K, 2))
    pm.MvNormal(
        "y", mu[crp()] + X[:, None], chol=np.linalg.cholesky(0.5 * covariance), observed=VECTORS
    )


@model(separately())
def random_hyperparameters():
    """Priors and a shared sd that other steps update."""
    z = crp()
    m, s = pm.Normal("m", 0, 1), pm.HalfNormal("s", 1)
    mu = pm.Normal("mu", m, s, shape=K)
    pm.Normal("y0", mu[z], pm.HalfNormal("sigma", 1), observed=REAL)
    rate = pm.Gamma("rate", pm.Exponential("shape", 1), pm.Exponential("rate_of_rate", 1), shape=K)
    exposure = pt.exp(pm.Normal("effect", 0, 1) * X)
    pm.Poisson("y1", exposure * rate[z], observed=COUNTS)


SCALE = np.array([[0.5, 0.1], [0.1, 0.3]])


def log_normal_wishart_density(natural, members):
    """Parameters after the observations, one at a time."""
    mean, kappa, nu, inverse = np.array([0.1, -0.2]), 0.5, 5.0, np.linalg.inv(SCALE)
    for e in VECTORS[members] - X[members, None]:
        inverse = inverse + kappa / (kappa + 1.0) * np.outer(e - mean, e - mean)
        mean = mean + (e - mean) / (kappa + 1.0)
        kappa, nu = kappa + 1.0, nu + 1.0
    T = natural["T"]
    return stats.wishart.logpdf(T, nu, np.linalg.inv(inverse)) + stats.multivariate_normal.logpdf(
        natural["mu"], mean, np.linalg.inv(kappa * T)
    )


@model(by_density(log_normal_wishart_density))
def mean_vector_and_precision():
    covariance = pt.linalg.inv(pm.Wishart("T", 5.0, SCALE, shape=(K, 2, 2)))
    mu = pm.MvNormal("mu", [0.1, -0.2], cov=covariance / 0.5, shape=(K, 2))
    z = crp()
    pm.MvNormal("y", mu[z] + X[:, None], cov=covariance[z], observed=VECTORS)


SLOW = {"mean_vector_and_precision"}  # compiles for most of a minute
every_model = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else []) for name in MODELS],
)


@cache
def true_log_marginal(name, members):
    declare, truth = MODELS[name]
    return truth(read(declare), members)


@every_model
def test_the_log_marginal_is_the_integral_over_the_atoms(name):
    case = read(MODELS[name][0])
    for members in SETS:
        expected = true_log_marginal(name, members)
        if not members:
            assert expected == pytest.approx(0.0, abs=1e-6)  # the base measure is proper
        assert case.log_marginal(members) == pytest.approx(expected, rel=1e-8, abs=1e-6)


def test_the_log_marginal_follows_the_hyperparameters():
    declare, truth = MODELS["random_hyperparameters"]
    found = []
    for seed in (1, 2):
        case = at_seed(read(declare), seed)
        found.append(case.log_marginal(EVERYBODY))
        assert found[-1] == pytest.approx(truth(case, EVERYBODY), rel=1e-8)
    assert abs(found[0] - found[1]) > 1.0


@every_model
def test_statistics_of_sets_follow_from_one_another(name):
    case = read(MODELS[name][0])
    for smaller, larger in pairwise([[], [4], [4, 0], [4, 0, 3, 1]]):
        found = case.statistics(sorted(larger))
        case.statistics([i for i in larger if i not in smaller], found, sign=-1.0)
        marginal = case.compiled.functions["log_marginal"](found, case.shared)
        assert marginal == pytest.approx(case.log_marginal(smaller), rel=1e-11, abs=1e-11)


@every_model
def test_the_predictive_of_every_item_is_a_ratio_of_marginals(name):
    """Given several clusters at once; their caches come from shifts."""
    case = read(MODELS[name][0])
    functions = case.compiled.functions
    clusters = [(), (2,), (0, 3), (5, 4, 1)]
    table = np.zeros((len(clusters) + 1, case.compiled.n_stats))
    cache = np.zeros((len(clusters), case.compiled.n_cache))
    datum, out = np.zeros(case.compiled.n_datum), np.zeros(len(clusters))
    for members, found, row in zip(clusters, table, cache, strict=False):
        functions["refresh"](found, row, case.shared)
        for i in (4, *members):
            functions["shift"](found, row, i, 1.0, case.items, case.shared, datum)
        functions["shift"](found, row, 4, -1.0, case.items, case.shared, datum)
    rows = np.array([3, 1, 0, 2])
    for i in EVERYBODY:
        functions["log_predictive"](i, rows, 4, table, cache, case.items, case.shared, datum, out)
        expected = [
            case.log_marginal([*clusters[k], i]) - case.log_marginal(clusters[k]) for k in rows
        ]
        np.testing.assert_allclose(out, expected, rtol=1e-8, atol=1e-8)


@every_model
@pytest.mark.parametrize("by_scan", [False, True])
@pytest.mark.parametrize("members", [(), (1, 5)])
def test_draws_predict_further_items_as_the_marginal_likelihood_does(name, by_scan, members):
    """E[F(y_i | φ) F(y_j | φ)] over the posterior of φ is a ratio of marginal likelihoods."""
    case, n = read(MODELS[name][0]), 10_000
    values = case.draw(np.random.default_rng(7), members, n, by_scan)
    before = np.array([case.log_joint(value, members) for value in values])
    for further in ((0,), (3,), (2, 4)):
        larger = (*members, *further)
        true_ratio = true_log_marginal(name, larger) - true_log_marginal(name, members)
        after = np.array([case.log_joint(value, larger) for value in values])
        # Relative to the truth, so that the average is 1.
        ratio = np.exp(after - before - true_ratio)
        assert abs(ratio.mean() - 1.0) < STANDARD_ERRORS * ratio.std() / np.sqrt(n)


# Semi-conjugate models ---------------------------------------------------------------------------


def normal_and_inverse_gamma():
    s2 = pm.InverseGamma("s2", 3.0, 2.0, shape=1)
    mu = pm.Normal("mu", 0.3, 1.5, shape=1)
    return mu, lambda z: {"sigma": pt.sqrt(s2[z])}


def normal_and_gamma_precision():
    tau = pm.Gamma("tau", 2.5, 2.0, shape=1)
    mu = pm.Normal("mu", 0.3, 1.5, shape=1)
    return mu, lambda z: {"tau": tau[z]}


def normal_and_half_normal_sd():
    sigma = pm.HalfNormal("sigma", 1.0, shape=1)
    mu = pm.Normal("mu", 0.3, 1.5, shape=1)
    return mu, lambda z: {"sigma": sigma[z]}


def normal_with_a_hierarchical_scale():
    scale = pm.InverseGamma("scale", 3.0, 2.0, shape=1)
    mu = pm.Normal("mu", 0.3, pt.sqrt(scale), shape=1)
    return mu, lambda z: {"sigma": 0.7}


SEMI = {
    normal_and_inverse_gamma: (2, 0),
    normal_and_gamma_precision: (2, 0),
    normal_and_half_normal_sd: (1, 1),
    normal_with_a_hierarchical_scale: (1, 1),
}


@pytest.mark.parametrize("declare", SEMI)
def test_atoms_that_are_conjugate_only_given_one_another_follow_their_posterior(declare):
    """A mixture of one component: its atoms against quadrature over the plane."""
    n_blocks, n_sliced = SEMI[declare]
    with pm.Model() as model:
        mu, scale = declare()
        z = dps.ChineseRestaurantProcess("z", 1.0, K=1, shape=N)
        pm.Normal("y", mu[z], observed=REAL, **scale(z))
        step = dps.Neal8()
    assert len(step._conjugacy.blocks) == n_blocks and len(step._state.sliced) == n_sliced
    names = [atom.value_var.name for atom in step._mixture.atoms]
    draws = run_chain(step, model, names, 20_000, seed=3)
    chain = np.stack([draws[name][:, 0] for name in names], axis=1)

    members, scratch = np.arange(N), np.zeros((1, step._compiled.n_columns))
    axes = [np.linspace(-12.0, 12.0, 401)] * 2
    grid = np.stack([x.ravel() for x in np.meshgrid(*axes, indexing="ij")], axis=1)
    log_density = [
        step._compiled.functions["log_posterior"](
            x, members, N, step._state.items, step._state.shared, scratch
        )
        for x in grid
    ]
    weights = np.exp(log_density - logsumexp(log_density))

    def functionals(x):
        return {
            "first": x[:, 0],
            "second": x[:, 1],
            "first²": x[:, 0] ** 2,
            "second²": x[:, 1] ** 2,
            "product": x[:, 0] ** 2 * x[:, 1],
        }

    exact = {name: float(weights @ x) for name, x in functionals(grid).items()}
    assert_means(functionals(chain), exact)


@pytest.mark.slow
def test_a_mean_vector_drawn_given_a_sliced_precision_matrix():
    """Against slice sampling of everything."""
    found = []
    for atoms in ("auto", "slice"):
        with pm.Model() as model:
            T = pm.Wishart("T", 5.0, SCALE, shape=(1, 2, 2))
            mu = pm.MvNormal("mu", [0.1, -0.2], np.eye(2), shape=(1, 2))
            z = dps.ChineseRestaurantProcess("z", 1.0, K=1, shape=N)
            pm.MvNormal("y", mu[z], cov=pt.linalg.inv(T)[z], observed=VECTORS)
            step = dps.Neal8(atoms=atoms)
        names = [atom.value_var.name for atom in step._mixture.atoms]
        draws = run_chain(step, model, names, 40_000, seed=4)
        chain = np.concatenate([draws[name].reshape(40_000, -1) for name in names], axis=1)
        found.append(np.concatenate([chain, chain**2], axis=1))
    sizes = [np.array([effective_size(column) for column in x.T]) for x in found]
    errors = [x.std(axis=0) / np.sqrt(size) for x, size in zip(found, sizes, strict=True)]
    difference = abs(found[0].mean(axis=0) - found[1].mean(axis=0))
    assert (difference < STANDARD_ERRORS * np.hypot(*errors)).all()
