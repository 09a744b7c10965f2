"""Small matrices by hand: equal to PyTensor's, used where they should be, and there only."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

import pymc_dpsteps as dps
from pymc_dpsteps.mixture.distances import take_distances
from pymc_dpsteps.mixture.read import read_mixture
from pymc_dpsteps.mixture.small_matrices import MAX_SIZE, SmallMatrixOp, small_matrix_mode
from tests.helpers_chain import STANDARD_ERRORS
from tests.helpers_compiled import kernel_table

N, K = 7, 3


def matrix(d, seed=0):
    factor = np.random.default_rng(seed).normal(size=(d, d))
    return factor @ factor.T + np.eye(d)


def operations(a, b):
    """Graphs of what the module replaces; `a` is positive definite, `b` is any square matrix."""
    root = pt.linalg.cholesky(a)
    return {
        "root": root,
        "inverse": pt.linalg.inv(b),
        "solve for a vector": pt.linalg.solve_triangular(root, b[0], lower=True, b_ndim=1),
        "solve for a matrix": pt.linalg.solve_triangular(root, b, lower=True, b_ndim=2),
        "log determinant": pt.log(pt.diagonal(root)).sum(),
        "positive": pt.all(pt.diagonal(root) > 0),
    }


def compiled(d, mode):
    a, b = pt.matrix("a", shape=(d, d)), pt.matrix("b", shape=(d, d))
    return pytensor.function([a, b], list(operations(a, b).values()), mode=mode)


def n_by_hand(function):
    nodes = function.maker.fgraph.apply_nodes
    cores = [getattr(node.op, "core_op", node.op) for node in nodes]
    return sum(isinstance(op, SmallMatrixOp) for op in cores)


@pytest.mark.parametrize("d", [1, 2, 5, 20])
def test_operations_equal_pytensors(d):
    by_hand, by_lapack = compiled(d, small_matrix_mode()), compiled(d, "FAST_COMPILE")
    assert n_by_hand(by_hand) == (6 if d > 1 else 1)  # PyTensor does one row without matrices
    a, b = matrix(d), matrix(d, seed=1) + np.arange(d)  # b is not symmetric
    for found, expected in zip(by_hand(a, b), by_lapack(a, b), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_a_matrix_that_is_not_positive_definite_is_told():
    *_, positive = compiled(2, small_matrix_mode())(np.array([[1.0, 2.0], [2.0, 1.0]]), np.eye(2))
    assert not positive


def test_an_inverse_needs_row_exchanges():
    _, inverse, *_ = compiled(2, small_matrix_mode())(np.eye(2), np.array([[0.0, 2.0], [4.0, 0.0]]))
    np.testing.assert_array_equal(inverse, [[0.0, 0.25], [0.5, 0.0]])


def test_large_matrices_stay_with_lapack():
    a = pt.matrix("a", shape=(MAX_SIZE + 1, MAX_SIZE + 1))
    function = pytensor.function([a], pt.linalg.cholesky(a), mode=small_matrix_mode())
    assert n_by_hand(function) == 0


def test_normal_vectors_have_their_mean_and_covariance():
    """Means and products within five standard errors."""
    mean, covariance, n = np.array([1.0, -2.0, 0.5]), matrix(3), 100_000
    rng = pytensor.shared(np.random.default_rng(3))
    a = pt.matrix("a", shape=(3, 3))
    draw = pt.random.multivariate_normal(mean, a, size=(n,), rng=rng)
    function = pytensor.function([a], draw, mode=small_matrix_mode())
    assert n_by_hand(function) == 2
    x = function(covariance) - mean
    products = np.einsum("na,nb->nab", x, x)
    for values, exact in ((x, 0.0), (products, covariance)):
        error = values.std(axis=0) / np.sqrt(n)
        assert (abs(values.mean(axis=0) - exact) < STANDARD_ERRORS * error).all()


# Distances in kernels ----------------------------------------------------------------------------


def rows(d):
    return np.random.default_rng(2).normal(size=(N, d))


def scales():
    return pm.HalfNormal("scale", 1, shape=K)[:, None, None]


def component_covariance(z, d):
    mu = pm.Normal("mu", 0, 1, shape=(K, d))
    pm.MvNormal("y", mu[z], cov=(scales() * matrix(d))[z], observed=rows(d))


def component_factor(z, d):
    mu = pm.Normal("mu", 0, 1, shape=(K, d))
    root = scales() * np.linalg.cholesky(matrix(d))
    pm.MvNormal("y", mu[z], chol=root[z], observed=rows(d))


def shared_covariance(z, d):
    mu = pm.Normal("mu", 0, 1, shape=(K, d))
    pm.MvNormal("y", mu[z], cov=matrix(d), observed=rows(d))


def known_mean(z, d):
    pm.MvNormal("y", np.zeros(d), cov=(scales() * matrix(d))[z], observed=rows(d))


def student(z, d):
    mu = pm.Normal("mu", 0, 1, shape=(K, d))
    pm.MvStudentT("y", nu=5, mu=mu[z], scale=matrix(d), observed=rows(d))


def one_mean_for_all_coordinates(z, d):
    mu = pm.Normal("mu", 0, 1, shape=K)
    pm.MvNormal("y", mu[z][:, None] + np.zeros(d), cov=matrix(d), observed=rows(d))


def shifted_by_the_item(z, d):
    """Mean of both: not a distance between an item and a component."""
    mu = pm.Normal("mu", 0, 1, shape=(K, d))
    slope = pm.Normal("slope", 0, 1, shape=(K, d))
    x = np.linspace(-1.0, 1.0, N)[:, None]
    pm.MvNormal("y", mu[z] + slope[z] * x, cov=matrix(d), observed=rows(d))


def covariance_of_the_item(z, d):
    mu = pm.Normal("mu", 0, 1, shape=(K, d))
    size = np.linspace(1.0, 2.0, N)[:, None, None]
    pm.MvNormal("y", mu[z], cov=(scales() * matrix(d))[z] * size, observed=rows(d))


TAKEN = [
    component_covariance,
    component_factor,
    shared_covariance,
    known_mean,
    student,
    one_mean_for_all_coordinates,
]
LEFT = [shifted_by_the_item, covariance_of_the_item]


def build(declare, d):
    with pm.Model() as model:
        declare(dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N), d)
    return model


def n_distances(model):
    mixture = read_mixture(model)
    atoms = [atom.placeholder for atom in mixture.atoms]
    _, found = take_distances(mixture.log_kernel, set(mixture.items.values()), atoms)
    return len(found)


@pytest.mark.parametrize("declare", TAKEN)
def test_distances_are_taken_from_kernels_of_vectors(declare):
    assert n_distances(build(declare, 3)) == 1
    assert n_distances(build(declare, MAX_SIZE + 1)) == 0


@pytest.mark.parametrize("declare", LEFT)
def test_what_is_no_distance_between_item_and_component_is_left(declare):
    assert n_distances(build(declare, 3)) == 0


@pytest.mark.parametrize(
    ("declare", "d"),
    [
        *((declare, 3) for declare in (component_factor, known_mean, student, *LEFT)),
        (component_covariance, 1),
        (component_covariance, 20),
        (one_mean_for_all_coordinates, MAX_SIZE + 1),
    ],
)
def test_kernel_equals_the_models_density(declare, d):
    """The generated kernel of large matrices, and the others by hand, against PyMC in Python."""
    model = build(declare, d)
    with model:
        step = dps.Neal8()
    point = model.initial_point(random_seed=1)
    point = step.step(point)[0]
    found = kernel_table(step, point)
    density = model.compile_fn(
        model.logp(vars=[model["y"]], sum=False), inputs=model.value_vars, mode="FAST_COMPILE"
    )
    for k in range(K):
        (expected,) = density({**point, "z": np.full(N, k)})
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-9, atol=1e-10)


def test_data_far_from_zero_lose_no_digits():
    centre, covariance = 1e8, matrix(3)
    data = centre + rows(3)
    with pm.Model() as model:
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        mu = pm.Normal("mu", centre, 1, shape=(K, 3))
        pm.MvNormal("y", mu[z], cov=covariance, observed=data)
        step = dps.Neal8()
    point = step.step(model.initial_point())[0]
    for k, found in enumerate(kernel_table(step, point).T):
        law = stats.multivariate_normal(np.zeros(3), covariance)
        np.testing.assert_allclose(found, law.logpdf(data - point["mu"][k]), rtol=1e-12)
