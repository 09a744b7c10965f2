"""Missing counts, and vectors with a correlation that lack a part or all."""

from functools import partial

import numpy as np
import pymc as pm
import pytest
from scipy.special import gammaln
from scipy.stats import multivariate_normal

import pymc_dpsteps as dps
from tests.helpers_chain import assert_means, partition_functionals, run_chain
from tests.helpers_exact import SPREAD, crp
from tests.helpers_subsets import by_closed_form

N, K = 5, 3
NAN = np.nan
COUNTS = np.array([6.0, NAN, 0.0, 3.0, NAN])
EXPOSURE = np.array([1.0, 2.0, 0.5, 1.5, 0.3])
A, B = 2.0, 0.5
VECTORS = np.array([[1.2, 0.5], [NAN, 0.3], [-0.3, NAN], [0.9, 0.7], [NAN, NAN]])
COVARIANCE = np.array([[0.3, 0.2], [0.2, 0.4]])


def exact_of(data, integrate):
    """Posterior of the labels, and expectations of missing entries, which `integrate` names."""
    of_subsets = by_closed_form(N, integrate)
    exact = of_subsets.posterior(K, crp)
    missing = {}
    for entry in zip(*np.nonzero(np.isnan(data)), strict=True):
        of_item = of_subsets.posterior(K, crp, item=entry[0])
        missing[f"missing {len(missing)}"] = of_item[str(entry)]
    return {name: x for name, x in exact.items() if name not in of_subsets.means} | missing


def check(chain, exact):
    draws = partition_functionals(chain["z"], K, exact["k"])
    missing = chain["y_unobserved"].reshape(len(chain["z"]), -1)
    assert_means(draws | {f"missing {j}": x for j, x in enumerate(missing.T)}, exact)


def of_counts(mask):
    seen = mask & ~np.isnan(COUNTS)
    y, exposure = COUNTS[seen], EXPOSURE[seen]
    a, b = A + y.sum(), B + exposure.sum()
    constant = (y * np.log(exposure) - gammaln(y + 1.0)).sum() + A * np.log(B) - gammaln(A)
    means = {str((i,)): EXPOSURE[i] * a / b for i in np.flatnonzero(np.isnan(COUNTS))}
    return constant + gammaln(a) - a * np.log(b), means


@pytest.mark.parametrize(
    "make", [dps.Neal3, pytest.param(partial(dps.Neal8, m=2), marks=pytest.mark.slow)]
)
def test_missing_counts(make):
    with pm.Model() as model:
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        rate = pm.Gamma("rate", A, B, shape=K)
        data = np.ma.masked_array(np.nan_to_num(COUNTS).astype(int), np.isnan(COUNTS))
        pm.Poisson("y", EXPOSURE * rate[z], observed=data)
        chain = run_chain(make(), model, ["z", "y_unobserved"], 10_000, seed=59)
    check(chain, exact_of(COUNTS, of_counts))


def of_vectors(mask):
    """Entries of one cluster are normal together: common means and one covariance within rows."""
    row, column = np.nonzero(np.broadcast_to(mask[:, None], (N, 2)))
    same_row, same_column = np.equal.outer(row, row), np.equal.outer(column, column)
    covariance = SPREAD**2 * same_column + COVARIANCE[np.ix_(column, column)] * same_row
    y = VECTORS[row, column]
    seen = ~np.isnan(y)
    means = dict.fromkeys(map(str, zip(*np.nonzero(np.isnan(VECTORS)), strict=True)), 0.0)
    if not seen.any():
        return 0.0, means
    among = covariance[np.ix_(seen, seen)]
    expected = covariance[np.ix_(~seen, seen)] @ np.linalg.solve(among, y[seen])
    entries = map(str, zip(row[~seen], column[~seen], strict=True))
    log_marginal = multivariate_normal(cov=among).logpdf(y[seen])
    return log_marginal, means | dict(zip(entries, expected, strict=True))


def test_missing_parts_of_correlated_vectors():
    with pm.Model() as model:
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        mu = pm.Normal("mu", 0, SPREAD, shape=(K, 2))
        pm.MvNormal("y", mu[z], cov=COVARIANCE, observed=VECTORS)
        chain = run_chain(dps.Neal8(), model, ["z", "y_unobserved"], 10_000, seed=60)
    check(chain, exact_of(VECTORS, of_vectors))
