"""Compiled kernels and base measures of many models against PyMC's own densities and draws."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from scipy.stats import ks_2samp

import pymc_dpsteps as dps
from pymc_dpsteps.conjugate import find_conjugacy
from pymc_dpsteps.mixture.compile import CompiledMixture, compile_mixture
from pymc_dpsteps.mixture.read import read_mixture
from pymc_dpsteps.mixture.structure import Mixture
from tests.helpers_chain import FIVE_SIGMA

N, K = 9, 4
RNG = np.random.default_rng(3)
REAL = np.concatenate([RNG.normal(-2, 0.5, 5), RNG.normal(2, 1.0, 4)])
POSITIVE = np.exp(REAL)
COVARIATE = RNG.normal(size=N)
VECTORS_2 = RNG.normal(size=(N, 2)) + REAL[:, None]
VECTORS_5 = RNG.normal(size=(N, 5)) + REAL[:, None]

PYTHON = Mode(linker="py", optimizer="fast_compile")  # nothing to compile


def allocation():
    return dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)


def normal_mean():
    mu = pm.Normal("mu", 0, 2, shape=K)
    pm.Normal("y", mu[allocation()], 0.7, observed=REAL)


def normal_mean_and_sd():
    mu = pm.Normal("mu", 0, 2, shape=K)
    sigma = pm.HalfNormal("sigma", 1, shape=K)
    z = allocation()
    pm.Normal("y", mu[z], sigma[z], observed=REAL)


def student_t_with_shared_nu():
    mu = pm.Normal("mu", 0, 2, shape=K)
    sigma = pm.HalfNormal("sigma", 1, shape=K)
    nu = pm.Gamma("nu", 2, 0.2)
    z = allocation()
    pm.StudentT("y", nu=nu, mu=mu[z], sigma=sigma[z], observed=REAL)


def exponential():
    rate = pm.Gamma("rate", 2, 1, shape=K)
    pm.Exponential("y", rate[allocation()], observed=POSITIVE)


def censored_exponential():
    rate = pm.Gamma("rate", 2, 1, shape=K)
    limit = np.where(np.arange(N) % 3 == 0, 0.5, np.inf)  # every third is cut off at 0.5
    y = pm.Exponential.dist(rate[allocation()])
    pm.Censored("y", y, lower=None, upper=limit, observed=np.minimum(POSITIVE, limit))


def poisson_with_exposure():
    rate = pm.Gamma("rate", 2, 1, shape=K)
    exposure = 1.0 + np.arange(N)
    pm.Poisson("y", exposure * rate[allocation()], observed=[0, 1, 0, 9, 12, 3, 4, 20, 2])


def binomial():
    p = pm.Beta("p", 1, 2, shape=K)
    trials = np.array([5, 6, 7, 8, 9, 10, 11, 12, 13])
    pm.Binomial("y", trials, p[allocation()], observed=[0, 6, 1, 7, 0, 1, 10, 6, 6])


def gamma():
    shape = pm.Exponential("shape", 0.5, shape=K)
    rate = pm.Exponential("rate", 0.5, shape=K)
    z = allocation()
    pm.Gamma("y", shape[z], rate[z], observed=POSITIVE)


def regression():
    a = pm.Normal("a", 0, 2, shape=K)
    b = pm.Normal("b", 0, 2, shape=K)
    s = pm.HalfNormal("s", 1, shape=K)
    x = pm.Data("x", COVARIATE)
    z = allocation()
    pm.Normal("y", a[z] + b[z] * x, s[z], observed=REAL)


def mvnormal_fixed_covariance():
    mu = pm.MvNormal("mu", np.zeros(5), 4.0 * np.eye(5), shape=(K, 5))
    cov = 0.5 * np.eye(5) + 0.5
    pm.MvNormal("y", mu[allocation()], cov=cov, observed=VECTORS_5)


def mvnormal_correlated():
    """Normal-LKJ: correlation matrices and scales per component."""
    mu = pm.Normal("mu", 0, 2, shape=(K, 2))
    scale = pm.HalfNormal("scale", 1, shape=(K, 2))
    rho = pm.Uniform("rho", -1, 1, shape=K)
    off = pt.stack([pt.stack([pt.ones(K), rho], axis=1), pt.stack([rho, pt.ones(K)], axis=1)], 1)
    cov = scale[:, :, None] * off * scale[:, None, :]
    z = allocation()
    pm.MvNormal("y", mu[z], cov=cov[z], observed=VECTORS_2)


def normal_wishart():
    precision = pm.Wishart("precision", 5, np.eye(2), shape=(K, 2, 2))
    cov = pt.linalg.inv(precision)
    mu = pm.MvNormal("mu", np.zeros(2), cov=cov / 0.5, shape=(K, 2))
    z = allocation()
    pm.MvNormal("y", mu[z], cov=cov[z], observed=VECTORS_2)


def dirichlet_compositions():
    a = pm.Gamma("a", 2, 1, shape=(K, 3))
    y = RNG.dirichlet([2.0, 1.0, 3.0], size=N)
    pm.Dirichlet("y", a[allocation()], observed=y)


def multinomial():
    p = pm.Dirichlet("p", np.array([1.0, 2.0, 0.5]), shape=(K, 3))
    totals = np.array([5, 6, 7, 8, 9, 10, 11, 12, 13])
    y = np.random.default_rng(4).multinomial(totals, [0.2, 0.5, 0.3])
    pm.Multinomial("y", totals, p[allocation()], observed=y)


def hierarchical_atoms():
    """A scale per component that is itself an atom: both are drawn together."""
    tau = pm.HalfNormal("tau", 1, shape=K)
    mu = pm.Normal("mu", 0, tau, shape=K)
    pm.Normal("y", mu[allocation()], 1, observed=REAL)


def vectors_of_coefficients():
    b = pm.Normal("b", 0, 1, shape=(K, 2))
    common = pm.Normal("common", 0, 1, shape=2)
    effects = (VECTORS_2 * b[allocation()]).sum(axis=1) + VECTORS_2 @ common
    pm.Normal("y", effects, 1, observed=REAL)


def zero_inflated_poisson():
    psi = pm.Beta("psi", 1, 1, shape=K)
    rate = pm.Gamma("rate", 2, 1, shape=K)
    z = allocation()
    pm.ZeroInflatedPoisson("y", psi[z], rate[z], observed=[0, 1, 0, 9, 12, 3, 4, 20, 2])


def custom_kernel():
    mu = pm.Normal("mu", 0, 1, shape=K)

    def log_laplace(value, mu):
        return -pt.abs(value - mu) - np.log(2.0)

    pm.CustomDist("y", mu[allocation()], logp=log_laplace, observed=REAL)


def uniform_with_zero_density():
    """Some items are impossible under some components."""
    width = pm.HalfNormal("width", 3, shape=K)
    pm.Uniform("y", 0.0, width[allocation()], observed=POSITIVE)


def categorical_data():
    p = pm.Dirichlet("p", np.ones(3), shape=(K, 3))
    pm.Categorical("y", p[allocation()], observed=np.arange(N) % 3)


def ordered_data():
    eta = pm.Normal("eta", 0, 1, shape=K)
    cut = np.array([-1.0, 1.0])
    pm.OrderedLogistic("y", eta=eta[allocation()], cutpoints=cut, observed=np.arange(N) % 3)


def two_indices():
    mu = pm.Normal("mu", 0, 1, shape=(K, 3))
    pm.Normal("y", mu[allocation(), np.arange(N) % 3], 1, observed=REAL)


def product_with_a_matrix():
    b = pm.Normal("b", 0, 1, shape=(K, 3))
    pm.Normal("y", b[allocation()] @ np.ones((3, 2)), 1, observed=VECTORS_2)


def hyperparameter_of_length_one():
    m = pm.Normal("m", 0, 1, shape=1)
    pm.Normal("y", pm.Normal("mu", m, 1, shape=K)[allocation()], 1, observed=REAL)


def correlation_matrices():
    factor = pm.LKJCorr("factor", n=2, eta=2, shape=(K, 2, 2))  # lower triangular
    mu = pm.Normal("mu", 0, 1, shape=(K, 2))
    z = allocation()
    pm.MvNormal("y", mu[z], chol=factor[z], observed=VECTORS_2)


MODELS = [
    normal_mean,
    normal_mean_and_sd,
    student_t_with_shared_nu,
    exponential,
    censored_exponential,
    poisson_with_exposure,
    binomial,
    gamma,
    regression,
    mvnormal_fixed_covariance,
    mvnormal_correlated,
    pytest.param(normal_wishart, marks=pytest.mark.slow),  # compiles for most of a minute
    dirichlet_compositions,
    multinomial,
    hierarchical_atoms,
    pytest.param(correlation_matrices, marks=pytest.mark.slow),  # compiles for a minute
]
MORE_KERNELS = [
    vectors_of_coefficients,
    zero_inflated_poisson,
    custom_kernel,
    categorical_data,
    ordered_data,
    two_indices,
    product_with_a_matrix,
    hyperparameter_of_length_one,
]
every_model = pytest.mark.parametrize("declare", MODELS)
every_kernel = pytest.mark.parametrize("declare", [*MODELS, *MORE_KERNELS])


@dataclass(frozen=True)
class Case:
    """A model, how it is read, and K draws of its atoms by the compiled base measure."""

    model: pm.Model
    mixture: Mixture
    compiled: CompiledMixture
    items: np.ndarray
    shared: np.ndarray
    values: np.ndarray
    columns: np.ndarray

    @property
    def point(self):
        """The model's point with these atoms."""
        return self.model.initial_point() | self.unpack(self.values)

    def unpack(self, values):
        """Value variables of the atoms from packed rows: atoms lie side by side."""
        found, start = {}, 0
        for atom in self.mixture.atoms:
            shape = atom.placeholder.type.shape
            width = int(np.prod(shape))
            found[atom.value_var.name] = values[:, start : start + width].reshape(-1, *shape)
            start += width
        assert start == values.shape[1]
        return found

    def kernel(self, i, rows):
        out = np.full(len(rows), np.nan)
        rows = np.asarray(rows, dtype=np.int64)
        compiled = self.compiled.functions["kernel"]
        compiled(i, rows, len(rows), self.items, self.columns, self.shared, out)
        return out

    def log_posterior(self, k, members):
        members = np.asarray(members, dtype=np.int64)
        scratch = np.zeros((1, self.compiled.n_columns))
        compiled = self.compiled.functions["log_posterior"]
        return compiled(self.values[k], members, len(members), self.items, self.shared, scratch)

    def draw_base(self, rng, n):
        values = np.zeros((n * K, self.compiled.n_values))
        for first in range(0, n * K, K):
            self.compiled.functions["draw_base"](rng, self.shared, values, first)
        return values


@cache
def read(declare):
    with pm.Model() as model:
        declare()
    mixture = read_mixture(model)
    compiled = compile_mixture(mixture, mixture.concentration, find_conjugacy(mixture))
    point = model.initial_point()
    items, shared = compiled.context(*[point[name] for name in compiled.context_names])
    values = np.zeros((K, compiled.n_values))
    columns = np.zeros((K, compiled.n_columns))
    compiled.functions["draw_base"](np.random.default_rng(5), shared, values, 0)
    compiled.functions["derive"](values, 0, K, shared, columns)
    return Case(model, mixture, compiled, items, shared, values, columns)


def density_of(model, names):
    """PyMC's own elementwise log-densities of variables, one row per item or component."""
    terms = model.logp(vars=[model[name] for name in names], sum=False)
    function = model.compile_fn(
        terms, inputs=model.value_vars, mode=PYTHON, on_unused_input="ignore"
    )

    def evaluate(point):
        return sum(x.reshape(len(x), -1).sum(axis=1) for x in map(np.asarray, function(point)))

    return evaluate


def kernel_table(case):
    """PyMC's log F(y_i | atoms of k), shape (N, K)."""
    density = density_of(case.model, ["y"])
    columns = [density(case.point | {"z": np.full(N, k)}) for k in range(K)]
    return np.stack(columns, axis=1)


@every_kernel
def test_kernel_equals_the_models_density_for_every_item_and_component(declare):
    case = read(declare)
    expected = kernel_table(case)
    assert expected.shape == (N, K) and np.isfinite(expected).all()
    for i in range(N):
        np.testing.assert_allclose(case.kernel(i, range(K)), expected[i], rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(case.kernel(2, [3, 1]), case.kernel(2, range(K))[[3, 1]])


def test_impossible_items_have_density_zero():
    case = read(uniform_with_zero_density)
    expected = kernel_table(case)
    assert np.isneginf(expected).any() and np.isfinite(expected).any()
    found = np.array([case.kernel(i, range(K)) for i in range(N)])
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    for k in range(K):
        finite = np.isfinite(expected[:, k]).all()
        assert np.isfinite(case.log_posterior(k, range(N))) == finite


@every_kernel
def test_log_posterior_is_the_prior_in_value_space_plus_the_kernel_of_the_members(declare):
    case = read(declare)
    prior = density_of(case.model, [atom.rv.name for atom in case.mixture.atoms])(case.point)
    assert prior.shape == (K,)
    kernel = kernel_table(case)
    for k in range(K):
        np.testing.assert_allclose(case.log_posterior(k, []), prior[k], rtol=1e-10, atol=1e-10)
        for members in ([4], [0, 7, 3], range(N)):
            expected = prior[k] + kernel[list(members), k].sum()
            found = case.log_posterior(k, members)
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@every_model
def test_base_draws_follow_the_prior(declare):
    """Per coordinate, and jointly through the log prior density, by Kolmogorov-Smirnov tests."""
    case, n = read(declare), 1_000
    found = case.draw_base(np.random.default_rng(6), n)
    model = case.model
    atoms = []
    for atom in case.mixture.atoms:
        rv = model[atom.rv.name]
        transform = model.rvs_to_transforms[rv]
        atoms.append(rv if transform is None else transform.forward(rv, *rv.owner.inputs))
    expected = pm.draw(atoms, draws=n, random_seed=7, mode=PYTHON)
    expected = np.concatenate([x.reshape(n * K, -1) for x in expected], axis=1)
    assert expected.shape == found.shape
    for own, prior in zip(found.T, expected.T, strict=True):
        assert ks_2samp(own, prior).pvalue > FIVE_SIGMA
    log_prior = [log_prior_of(case, x) for x in (found, expected)]
    assert ks_2samp(*log_prior).pvalue > FIVE_SIGMA


def log_prior_of(case, values):
    nobody, scratch = np.zeros(0, dtype=np.int64), np.zeros((1, case.compiled.n_columns))
    compiled = case.compiled.functions["log_posterior"]
    return [compiled(row, nobody, 0, case.items, case.shared, scratch) for row in values]


@every_model
def test_base_draws_differ(declare):
    """Between components, between calls and between generators; equal seeds give equal draws."""
    case = read(declare)
    found = case.draw_base(np.random.default_rng(8), 3)
    assert all(len(np.unique(column)) == len(column) for column in found.T)
    np.testing.assert_array_equal(found, case.draw_base(np.random.default_rng(8), 3))
    assert not np.isin(case.draw_base(np.random.default_rng(9), 3), found).any()


@every_model
def test_neal8_samples_the_model(declare):
    case = read(declare)
    with case.model:
        idata = pm.sample(
            200,
            tune=50,
            chains=1,
            step=dps.Neal8(),
            random_seed=10,
            quiet=True,
            compute_convergence_checks=False,
            idata_kwargs={"include_transformed": True},
        )
    names = [value.name for value in case.model.value_vars]
    trace = {name: idata.posterior[name].to_numpy()[0] for name in names}
    density = density_of(case.model, ["y"])
    points = [{name: draws[i] for name, draws in trace.items()} for i in range(200)]
    log_likelihood = np.array([density(point).sum() for point in points])
    assert np.isfinite(log_likelihood).all()
    assert len(np.unique(log_likelihood)) > 190
    for name in case.unpack(case.values):  # no atom stays where it is
        assert all(len(np.unique(x)) > 150 for x in trace[name].reshape(200, -1).T)
    if declare is student_t_with_shared_nu:
        assert len(np.unique(trace["nu_log__"])) > 100
