"""The sampler statistics of every algorithm describe the partition it leaves."""

import numpy as np
import pymc as pm
import pytest

import pymc_dpsteps as dps
from tests.helpers_algorithms import ALGORITHMS, CRP
from tests.helpers_exact import NOISE, SIX_POINTS, SPREAD

K = 4


def six_points(algorithm):
    """A model that the algorithm serves: not conjugate unless it must be."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, SPREAD, shape=K)
        if CRP in algorithm.urns:
            z = dps.ChineseRestaurantProcess("z", 1.5, K=K, shape=6)
        else:
            z = pm.Categorical("z", pm.StickBreakingWeights("w", 1.5, K=K - 1), shape=6)
        if algorithm.conjugate:
            pm.Normal("y", mu[z], NOISE, observed=SIX_POINTS)
        else:
            pm.StudentT("y", 4, mu=mu[z], sigma=NOISE, observed=SIX_POINTS)
    return model


@pytest.mark.parametrize("name", ALGORITHMS)
def test_statistics_of_a_sweep_describe_its_partition(name):
    algorithm = ALGORITHMS[name]
    with six_points(algorithm) as model:
        sampler = algorithm.make()
    sampler.setup_chain(np.random.default_rng(29), 0, 300)
    point, clusters, births = model.initial_point(), None, 0
    for _ in range(300):
        before = clusters
        point, (stats,) = sampler.step(point)
        counts = np.bincount(point["z"], minlength=K)
        clusters = int((counts > 0).sum())
        assert stats["n_clusters"] == clusters
        assert stats["largest_cluster"] == counts.max()
        assert stats["slots_full"] == (clusters == K)
        if sampler.updates_atoms and not algorithm.conjugate:
            # The density at the start, at an end of the interval at least, and at a new point.
            assert stats["slice_evaluations"] >= 3 * clusters
        if before is not None:
            assert stats["births"] - stats["deaths"] == clusters - before
        births += stats["births"]
    assert births > 0
