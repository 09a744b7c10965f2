"""Conjugate families with data, hyperparameters and the truth about them, by other means."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import logsumexp

from pymc_dpsteps.conjugate.families.beta import BETA
from pymc_dpsteps.conjugate.families.dirichlet import DIRICHLET
from pymc_dpsteps.conjugate.families.gamma import GAMMA
from pymc_dpsteps.conjugate.families.linear import LINEAR
from pymc_dpsteps.conjugate.families.mvnormal import MVNORMAL
from pymc_dpsteps.conjugate.families.normal import NORMAL
from pymc_dpsteps.conjugate.families.normal_gamma import NORMAL_GAMMA
from pymc_dpsteps.conjugate.families.normal_wishart import NORMAL_WISHART
from pymc_dpsteps.mixture.structure import Family

type Array = NDArray[np.float64]

N = 7
DRAWS = 200_000
FAR = 1e6


@dataclass(frozen=True)
class Case:
    """A family with data and hyperparameters, and the truth about them.

    Attributes
    ----------
    data : (N, width)
        What each observation contributes.
    log_marginal : callable
        Log marginal likelihood of rows of the data, without the code under test.
    moments : callable
        Posterior means of functions of a draw given rows of the data: name -> (function of the
        draws, shape (draws, n_natural), and its exact mean).
    """

    family: Family
    d: int
    hyper: Array
    data: Array
    log_marginal: Callable[[Array], float]
    moments: Callable[[Array], dict[str, tuple[Callable[[Array], Array], float]]]


# Truth -------------------------------------------------------------------------------------------


def one_dimensional(log_joint, low, high, natural):
    """Marginal and posterior moments by quadrature over a coordinate x with ``natural(x)``."""

    x = np.linspace(low, high, 50_001)[1:-1]

    def log_marginal(rows):
        """Trapezoidal rule: exact to rounding for an analytic function that decays."""
        return logsumexp(log_joint(x, rows)) + np.log(x[1] - x[0])

    def moments(rows):
        weights = np.exp(log_joint(x, rows) - logsumexp(log_joint(x, rows)))
        value = natural(x)
        mean = weights @ value
        variance = weights @ (value - mean) ** 2
        return {
            "mean": (lambda draws: draws[:, 0], mean),
            "variance": (lambda draws: (draws[:, 0] - mean) ** 2, variance),
        }

    return log_marginal, moments


def log_normal_density(residual, covariance):
    """Log density of a multivariate normal at `residual`, in exact rational arithmetic.

    Elimination of the covariance, augmented by the residual, gives pivots and quadratic form.
    """
    rows = [[*map(Fraction, row), Fraction(r)] for row, r in zip(covariance, residual, strict=True)]
    n = len(rows)
    log_determinant, form = 0.0, Fraction(0)
    for j in range(n):
        pivot, right = rows[j][j], rows[j][n]
        log_determinant += np.log(float(pivot))
        form += right * right / pivot
        for i in range(j + 1, n):
            factor = rows[i][j] / pivot
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[j], strict=True)]
    return -0.5 * (n * np.log(2.0 * np.pi) + log_determinant + float(form))


def exactly(matrix):
    return np.vectorize(Fraction, otypes=[object])(matrix)


def gaussian_moments(mean, covariance):
    """Means, variances and covariances of a normal law of a draw."""
    found = {}
    for i in range(len(mean)):
        found[f"mean {i}"] = (lambda x, i=i: x[:, i], mean[i])
        for j in range(i + 1):
            found[f"covariance {i} {j}"] = (
                lambda x, i=i, j=j: (x[:, i] - mean[i]) * (x[:, j] - mean[j]),
                covariance[i, j],
            )
    return found


# The families ------------------------------------------------------------------------------------


def gamma():
    """Poisson counts with exposure."""
    rng = np.random.default_rng(1)
    exposure = rng.gamma(2.0, 1.0, N)
    y = rng.poisson(2.0 * exposure)
    data = np.stack([y, exposure, stats.poisson.logpmf(y, exposure) + exposure], axis=1)
    shape, rate = 1.7, 0.6

    def log_joint(x, rows):  # x = log λ; the Jacobian makes up for λ
        prior = stats.gamma.logpdf(np.exp(x), shape, scale=1.0 / rate) + x
        means = np.multiply.outer(np.exp(x), rows[:, 1])
        return prior + stats.poisson.logpmf(rows[:, 0], means).sum(axis=-1)

    truth = one_dimensional(log_joint, -12.0, 5.0, np.exp)
    return Case(GAMMA, 1, np.array([shape, rate]), data, *truth)


def beta():
    """Binomial counts out of different numbers of trials."""
    rng = np.random.default_rng(2)
    trials = rng.integers(1, 9, N)
    y = rng.binomial(trials, 0.3)
    log_h = stats.binom.logpmf(y, trials, 0.5) + trials * np.log(2.0)
    a, b = 0.7, 1.9

    def log_joint(x, rows):  # x = logit p
        p = 1.0 / (1.0 + np.exp(-np.asarray(x)))
        y, n = rows[:, 0], rows[:, 0] + rows[:, 1]
        prior = stats.beta.logpdf(p, a, b) + np.log(p) + np.log1p(-p)
        return prior + stats.binom.logpmf(y, n, p[..., None]).sum(axis=-1)

    truth = one_dimensional(log_joint, -35.0, 15.0, lambda x: 1.0 / (1.0 + np.exp(-x)))
    return Case(BETA, 1, np.array([a, b]), np.stack([y, trials - y, log_h], axis=1), *truth)


def dirichlet():
    """Multinomial counts of three categories."""
    rng = np.random.default_rng(3)
    totals = rng.integers(1, 9, N)
    y = rng.multinomial(totals, [0.2, 0.5, 0.3])
    third = np.full(3, 1.0 / 3.0)
    log_h = stats.multinomial.logpmf(y, totals, third) + totals * np.log(3.0)
    alpha = np.array([0.7, 1.9, 0.4])

    def log_marginal(rows):
        counts = rows[:, :3].astype(int)
        before = np.cumsum(counts, axis=0) - counts
        return sum(
            stats.dirichlet_multinomial.logpmf(y, alpha + n, y.sum())
            for y, n in zip(counts, before, strict=True)
        )

    def moments(rows):
        law = stats.dirichlet(alpha + rows[:, :3].sum(axis=0))
        return gaussian_moments(law.mean(), law.cov())

    data = np.column_stack([y, log_h])
    return Case(DIRICHLET, 3, alpha, data, log_marginal, moments)


def normal(location=0.0, prior_sd=1.5):
    rng = np.random.default_rng(4)
    w = rng.gamma(2.0, 1.0, N)
    e = location + rng.normal(size=N)
    m = 0.3

    def log_marginal(rows):
        e, w = exactly(rows).T
        covariance = np.full((len(e), len(e)), 1 / Fraction(p)) + np.diag(1 / w)
        return log_normal_density(e - Fraction(m), covariance)

    def moments(rows):
        e, w = rows.T
        variance = 1.0 / (p + w.sum())
        return gaussian_moments([(p * m + w @ e) * variance], np.array([[variance]]))

    p = prior_sd**-2.0
    return Case(NORMAL, 1, np.array([m, p]), np.stack([e, w], axis=1), log_marginal, moments)


def normal_gamma(location=0.0, kappa=0.6):
    rng = np.random.default_rng(5)
    c = rng.gamma(2.0, 1.0, N)
    c[2] = 1.0  # as nearly always
    e = location + rng.normal(size=N)
    m, shape, rate = 0.3, 3.3, 1.2

    def log_marginal(rows):
        """Multivariate Student-t."""
        e, c = exactly(rows).T
        n = len(e)
        covariance = np.full((n, n), 1 / Fraction(kappa)) + np.diag(1 / c)
        log_normal = log_normal_density(e - Fraction(m), covariance)
        log_at_mean = log_normal_density(0 * e, covariance)
        form = 2.0 * (log_at_mean - log_normal)
        student = stats.multivariate_t.logpdf(np.zeros(n), shape=np.eye(n), df=2.0 * shape)
        normal_at_mean = -0.5 * n * np.log(2.0 * np.pi)
        scale = -0.5 * n * np.log(rate / shape)
        tail = -(shape + 0.5 * n) * np.log1p(0.5 * form / rate)
        return student + log_at_mean - normal_at_mean + scale + tail

    def moments(rows):
        """By quadrature over mu and log λ."""
        mu = np.linspace(-8.0, 8.0, 1_601)[:, None]
        lam = np.exp(np.linspace(-9.0, 4.0, 1_301))
        log_joint = stats.gamma.logpdf(lam, shape, scale=1.0 / rate) + np.log(lam)
        log_joint = log_joint + stats.norm.logpdf(mu, m, (kappa * lam) ** -0.5)
        for e, c in rows:
            log_joint = log_joint + stats.norm.logpdf(e, mu, (c * lam) ** -0.5)
        weights = np.exp(log_joint - logsumexp(log_joint))

        def mean(f):
            return float((weights * f(mu, lam)).sum())

        functions = {
            "mu": lambda mu, lam: mu,
            "mu²": lambda mu, lam: mu**2,
            "λ": lambda mu, lam: lam,
            "λ²": lambda mu, lam: lam**2,
            "mu² λ": lambda mu, lam: mu**2 * lam,
        }
        return {
            name: (lambda x, f=f: f(x[:, 0], x[:, 1]), mean(f)) for name, f in functions.items()
        }

    hyper = np.array([m, kappa, shape, rate])
    return Case(NORMAL_GAMMA, 1, hyper, np.stack([e, c], axis=1), log_marginal, moments)


def linear(location=0.0, prior_sd=1.5, x_location=0.0):
    """Intercept, with its own prior sd, and two slopes."""
    rng = np.random.default_rng(6)
    d = 3
    x = np.column_stack([np.ones(N), x_location + rng.normal(size=(N, 2))])
    tau = rng.gamma(2.0, 1.0, N)
    r = location + x[:, 1:] @ [1.0, -2.0] + rng.normal(size=N)
    m = np.array([0.3, -0.2, 0.1])
    root = np.diag([1.0 / prior_sd, 1.0, 1.0])
    precision = root @ np.array([[1.0, 0.25, 0.0], [0.25, 2.0, 0.5], [0.0, 0.5, 1.0]]) @ root

    def log_marginal(rows):
        x, r, tau = exactly(rows[:, :d]), exactly(rows[:, d]), exactly(rows[:, d + 1])
        covariance = x @ rational_inverse(precision) @ x.T + np.diag(1 / tau)
        return log_normal_density(r, covariance)

    def moments(rows):
        x, r, tau = rows[:, :d], rows[:, d], rows[:, d + 1]
        covariance = np.linalg.inv(precision + x.T @ (tau[:, None] * x))
        return gaussian_moments(m + covariance @ x.T @ (tau * r), covariance)

    hyper = np.concatenate([m, precision.ravel()])
    data = np.column_stack([x, r, tau])
    return Case(LINEAR, d, hyper, data, log_marginal, moments)


def rational_inverse(matrix):
    n = len(matrix)
    rows = [
        [*map(Fraction, row), *(Fraction(i == j) for j in range(n))]
        for i, row in enumerate(matrix.tolist())
    ]
    for j in range(n):
        rows[j] = [a / rows[j][j] for a in rows[j]]
        for i in range(n):
            if i != j:
                factor = rows[i][j]
                rows[i] = [a - factor * b for a, b in zip(rows[i], rows[j], strict=True)]
    return np.array([row[n:] for row in rows], dtype=object)


MATRIX = np.array([[1.5, 0.5, -0.25], [0.5, 1.0, 0.25], [-0.25, 0.25, 2.0]])


def mvnormal(location=0.0, prior_precision=0.4):
    rng = np.random.default_rng(7)
    d = 3
    e = location + rng.normal(size=(N, d))
    m, prior, noise = np.array([0.3, -0.2, 0.1]), prior_precision * MATRIX[::-1, ::-1], MATRIX

    def log_marginal(rows):
        n = len(rows)
        covariance = np.kron(np.ones((n, n), dtype=int), rational_inverse(prior)) + np.kron(
            np.eye(n, dtype=int), rational_inverse(noise)
        )
        return log_normal_density((exactly(rows) - exactly(m)).ravel(), covariance)

    def moments(rows):
        covariance = np.linalg.inv(prior + len(rows) * noise)
        return gaussian_moments(m + covariance @ noise @ (rows - m).sum(axis=0), covariance)

    hyper = np.concatenate([m, prior.ravel(), noise.ravel()])
    return Case(MVNORMAL, d, hyper, e, log_marginal, moments)


def normal_wishart(location=0.0, kappa=0.6):
    rng = np.random.default_rng(8)
    d = 3
    e = location + rng.normal(size=(N, d))
    m, nu, inverse_scale = np.array([0.3, -0.2, 0.1]), 4.5, MATRIX

    def posterior(rows):
        """Parameters after the observations, one at a time."""
        mean, k, df, psi = m, kappa, nu, inverse_scale
        for y in rows:
            psi = psi + k / (k + 1.0) * np.outer(y - mean, y - mean)
            mean = mean + (y - mean) / (k + 1.0)
            k, df = k + 1.0, df + 1.0
        return mean, k, df, psi

    def log_marginal(rows):
        """Each observation given those before it follows a multivariate Student-t."""
        total = 0.0
        for i, y in enumerate(rows):
            mean, k, df, psi = posterior(rows[:i])
            df = df - d + 1.0
            total += stats.multivariate_t.logpdf(y, mean, (k + 1.0) / (k * df) * psi, df)
        return total

    def moments(rows):
        mean, k, df, psi = posterior(rows)
        covariance = psi / (k * (df - d - 1.0))
        scale = np.linalg.inv(psi)
        found = gaussian_moments(mean, covariance)

        def precision(x, i, j):
            return x[:, d + i * d + j]

        for i in range(d):
            for j in range(d):
                t = df * scale[i, j]
                variance = df * (scale[i, j] ** 2 + scale[i, i] * scale[j, j])
                found[f"T {i} {j}"] = (lambda x, i=i, j=j: precision(x, i, j), t)
                found[f"variance of T {i} {j}"] = (
                    lambda x, i=i, j=j, t=t: (precision(x, i, j) - t) ** 2,
                    variance,
                )
        # Given T, mu has the precision k T.
        found["distance"] = (
            lambda x: (
                k
                * np.einsum(
                    "ni,nij,nj->n", x[:, :d] - mean, x[:, d:].reshape(-1, d, d), x[:, :d] - mean
                )
            ),
            float(d),
        )
        return found

    hyper = np.concatenate([m, [kappa, nu], inverse_scale.ravel()])
    return Case(NORMAL_WISHART, d, hyper, e, log_marginal, moments)


CASES = {
    f.__name__: f()
    for f in (gamma, beta, dirichlet, normal, normal_gamma, linear, mvnormal, normal_wishart)
}
FAR_CASES = {
    "normal": normal(FAR, FAR),
    "normal with its prior at zero": normal(FAR),
    "normal_gamma": normal_gamma(FAR, FAR**-2),
    "linear": linear(FAR, FAR),
    "linear with covariates like years": linear(x_location=2000.0),
    "mvnormal": mvnormal(FAR, FAR**-2),
    "normal_wishart": normal_wishart(FAR, FAR**-2),
}
every_family = pytest.mark.parametrize("name", CASES)
everywhere = pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=name) for name, case in CASES.items()]
    + [pytest.param(case, id=f"far {name}") for name, case in FAR_CASES.items()],
)


def collect(case, rows):
    found = np.zeros(case.family.n_stats(case.d))
    for row in rows:
        case.family.update(case.d, found, row, 1.0)
    return found


def log_marginal(case, rows):
    return case.family.log_marginal(case.d, collect(case, rows), case.hyper)


def resampled(case, n):
    """More observations like those of a case; the family does not ask where they come from."""
    rng = np.random.default_rng(11)
    rows = case.data[rng.integers(len(case.data), size=n)]
    noise = rng.uniform(0.5, 1.5, size=rows.shape)
    return np.where(abs(rows) > 0.5 * FAR, rows + noise, rows * noise)
