import numpy as np
import pytest

from pymc_dpsteps.partitions import search
from pymc_dpsteps.partitions.labels import number_by_first
from pymc_dpsteps.partitions.losses import loss_code, losses_to
from tests.helpers_partitions import LOSSES, random_posterior


def check(problem, state, rows, loss):
    """The counts are those of the labels, and the expected loss that of a direct computation."""
    k = state.n_clusters[0]
    assert sorted(set(state.labels)) == list(range(k)) and k < state.counts.shape[1]
    counts = np.zeros(state.counts.shape, dtype=int)
    for i, label in enumerate(state.labels):
        counts[problem.cells[i], label] += 1
    np.testing.assert_array_equal(state.counts, counts)
    np.testing.assert_array_equal(state.gains, problem.gain[counts])
    labels = number_by_first(state.labels[None])[0]
    direct = losses_to(loss_code(loss), labels, rows).mean()
    assert search._expected(problem, state) == pytest.approx(direct, abs=1e-12)
    return direct


@pytest.mark.parametrize("loss", LOSSES)
def test_a_move_never_raises_the_expected_loss(loss):
    rng = np.random.default_rng(9)
    opened, merged = 0, 0
    for _ in range(25):
        rows = number_by_first(random_posterior(rng, 9, 12).astype(np.int64))
        problem = search.prepare(loss_code(loss), rows, 9)
        start = number_by_first(rng.integers(0, 7, (1, 9)))[0]
        state = search._empty(problem, int(start.max()) + 2)
        for i, label in enumerate(start):
            search._add(problem, state, i, label)
        before = check(problem, state, rows, loss)
        for i in rng.integers(0, 9, 20):
            k = int(state.n_clusters[0])
            state, moved = search._relocate(problem, state, np.array([i]))
            after = check(problem, state, rows, loss)
            assert after < before if moved else after == before
            opened, merged = opened + (state.n_clusters[0] > k), merged + (state.n_clusters[0] < k)
            before = after
        other = search._zealous(problem, state, rng)
        check(problem, other, rows, loss)
    assert opened > 3 and merged > 3
