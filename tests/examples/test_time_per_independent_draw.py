"""The comparison of algorithms: data overlap as stated, densities are right, runs resume."""

import importlib.util
import sys
from itertools import pairwise
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from scipy import stats

PATH = Path(__file__).parents[2] / "examples" / "time_per_independent_draw.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("time_per_independent_draw", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their annotations up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("n_parts", [2, 3, 5, 33])
def test_dirichlet_groups_overlap_like_normals(example, n_parts):
    groups = example.dirichlet_groups(n_parts)
    rng = np.random.default_rng(0)
    for a, b in pairwise(groups):
        # E_a sqrt(b(y) / a(y)) is the coefficient.
        y = rng.dirichlet(a, size=20_000).T
        ratio = np.exp(0.5 * (stats.dirichlet.logpdf(y, b) - stats.dirichlet.logpdf(y, a)))
        error = ratio.std() / np.sqrt(ratio.size)
        assert abs(ratio.mean() - np.exp(-9 / 8)) < 5.0 * error


@pytest.mark.parametrize("dimension", [1, 8])
def test_normal_groups_are_three_sd_apart(example, dimension):
    y, scale = example.normal_data(dimension, n_items=40_000)
    means = y.reshape(4, -1, dimension).mean(axis=1)
    gaps = np.linalg.norm(np.diff(means, axis=0), axis=1)
    np.testing.assert_allclose(gaps, 3.0, atol=5.0 * np.sqrt(2 / 10_000))
    # The variance of the variance of these data is less than that of a normal law.
    np.testing.assert_allclose(y.var(axis=0), scale**2, rtol=5.0 * np.sqrt(2 / 40_000))


def test_log_kernels(example):
    rng = np.random.default_rng(0)
    mu = rng.normal(size=(3, 4))
    expected = [stats.multivariate_normal.logpdf(np.zeros(4), m, np.eye(4)) for m in mu]
    np.testing.assert_allclose(example.log_known(4, mu), expected)
    precision = stats.wishart(6, np.eye(4)).rvs(3, random_state=rng)
    expected = [
        stats.multivariate_normal.logpdf(np.zeros(4), m, np.linalg.inv(p))
        for m, p in zip(mu, precision, strict=True)
    ]
    np.testing.assert_allclose(example.log_full(4, precision, mu), expected)
    mean, concentration = rng.dirichlet(np.ones(5), size=3), np.array([2.0, 20.0, 50.0])
    expected = [
        stats.dirichlet.logpdf(np.full(5, 0.2), c * m)
        for m, c in zip(mean, concentration, strict=True)
    ]
    np.testing.assert_allclose(example.log_dirichlet(4, mean, concentration), expected)
    sigma2 = np.array([0.5, 1.0, 2.0])
    expected = stats.norm.logpdf(0.0, mu[:, 0], np.sqrt(sigma2))
    np.testing.assert_allclose(example.log_univariate(100, sigma2, mu[:, 0]), expected)


def test_functionals(example):
    z = np.array([4, 4, 7, 4])
    log_kernel = np.full(example.N_COMPONENTS, np.log(9.0))
    log_kernel[[4, 7]] = np.log([2.0, 5.0])
    k, squares, density = example.functionals(z, log_kernel)
    assert k == 2
    assert squares == (9 + 1) / 16
    np.testing.assert_allclose(density, (3 * 2.0 + 5.0) / 5)


def test_jackknife_knows_its_error(example):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4, 2_000))
    for t in range(1, 2_000):
        x[:, :, t] += 0.8 * x[:, :, t - 1]
    taus, errors = np.array([example.jackknife(chains) for chains in x]).T
    # tau = (1 + 0.8) / (1 - 0.8); three degrees of freedom, so that an error is good to 40%.
    assert abs(taus.mean() - 9.0) < 5.0 * taus.std() / np.sqrt(200) + 0.05 * 9.0
    spread = np.sqrt((errors**2).mean()) / taus.std()
    assert abs(spread - 1.0) < 5.0 * 0.5 * np.sqrt(2 / 3 / 200 + 2 / 200)


@pytest.mark.slow
def test_runs_draws_and_resumes(example, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(example, "OUTPUT", tmp_path)
    monkeypatch.setattr(example, "FEW", example.Budget(200, 50, 0.2, all_sizes=False))
    monkeypatch.setattr(example, "PROBLEMS", (example.PROBLEMS[1], example.PROBLEMS[-1]))
    example.main()
    table = capsys.readouterr().out
    assert all(label in table for label in (*example.CONJUGATE, *example.SEVERAL))
    colours = matplotlib.image.imread(tmp_path / "time_per_independent_draw_few.png")
    assert len(np.unique(colours[:, :, :3].reshape(-1, 3), axis=0)) > 10

    monkeypatch.setattr(example, "sample", None)
    example.main()
    assert capsys.readouterr().out == table
