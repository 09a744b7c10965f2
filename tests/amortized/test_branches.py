"""Branches that are scored by the model: inference by weights, and search."""

import numpy as np
import pytest
from scipy.special import logsumexp

from tests.helpers_amortized import (
    DATA,
    build_with_alpha,
    disturbed,
    enumerate_posterior,
    importorskip,
)
from tests.helpers_chain import STANDARD_ERRORS
from tests.helpers_partitions import all_partitions

torch = importorskip()

from pymc_dpsteps.amortized import AmortizedPosterior, Size  # noqa: E402
from pymc_dpsteps.amortized.branches import run_branches  # noqa: E402


@pytest.fixture(scope="module")
def posterior():
    torch.manual_seed(0)
    size = Size(width=16, heads=2, layers=1)
    return disturbed(AmortizedPosterior(build_with_alpha, (2, 6), size=size), seed=2)


def test_evidence_is_unbiased_and_partitions_are_weighted_right(posterior):
    """Few branches and many runs: means over runs of Z and of Z E[f] are exact."""
    runs, rng, generator = 500, np.random.default_rng(1), torch.Generator().manual_seed(1)
    items = posterior.items_of(DATA)
    labels, p = enumerate_posterior(posterior.target, items)
    log_z = logsumexp(posterior.target.log_prob(items, labels))
    k = labels.max(1) + 1
    found, resampled = [], 0
    for _ in range(runs):
        result = run_branches(posterior.paths(DATA, 8), rng.permutation(6), generator, rng)
        weight = np.exp(result.draws.log_p - result.draws.log_q - log_z) / 8
        clusters = np.array([len(np.unique(c)) for c in result.draws.labels])
        assert np.log(weight.sum()) + log_z == pytest.approx(result.log_evidence)
        found.append([weight.sum(), *(weight[clusters == j].sum() for j in (1, 2, 3))])
        resampled += result.resampled
    assert resampled > 0
    error = np.std(found, axis=0, ddof=1) / np.sqrt(runs)
    expected = np.array([1.0, *(p[k == j].sum() for j in (1, 2, 3))])
    assert (np.abs(np.mean(found, axis=0) - expected) < STANDARD_ERRORS * error).all()


def test_search_finds_the_most_probable_partition(posterior):
    found = posterior.branch(DATA, 100, mode="best", random_seed=2)
    items = posterior.items_of(DATA)
    labels = all_partitions(6)
    log_p = posterior.target.log_prob(items, labels)
    assert found.log_p[0] == pytest.approx(log_p.max())
    assert (np.diff(found.log_p) <= 0.0).all()
    assert len(np.unique(found.labels, axis=0)) == len(found.labels) == 100
    np.testing.assert_allclose(found.log_p, posterior.target.log_prob(items, found.labels))
    # With as many paths as partitions all are found.
    every = posterior.branch(DATA, 250, mode="best", random_seed=3)
    assert len(every.labels) == len(labels)


def test_unknown_mode(posterior):
    with pytest.raises(ValueError, match="mode"):
        posterior.branch(DATA, 10, mode="fast")
