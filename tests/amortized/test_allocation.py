"""The diffusion over allocations: q is a distribution, and the one that is sampled."""

import numpy as np
import pytest

from tests.helpers_amortized import DATA, build_model, build_with_alpha, disturbed, importorskip
from tests.helpers_chain import STANDARD_ERRORS
from tests.helpers_partitions import all_partitions

torch = importorskip()

from pymc_dpsteps.amortized import AmortizedPosterior, Size  # noqa: E402
from pymc_dpsteps.amortized.allocation import log_q_all  # noqa: E402
from pymc_dpsteps.amortized.paths import draw_allocations  # noqa: E402
from pymc_dpsteps.amortized.walks import options_along, walk_partition  # noqa: E402

SMALL = Size(width=16, heads=2, layers=1)


def made(build=build_model):
    torch.manual_seed(0)
    return AmortizedPosterior(build, (2, 6), size=SMALL)


@pytest.fixture(scope="module")
def posterior():
    return disturbed(made())


@torch.no_grad()
def log_q_of(posterior, y, order, labels):
    """Log q of partitions along one order, by way of the options."""
    items = posterior.items_of(y)[order]
    options = options_along(labels[:, order])
    n_options = posterior.target.n_components + 1
    log_weights = np.empty((*options.shape, n_options))
    walks = posterior.target.walks(len(options))
    repeated = np.repeat(items[None], len(options), axis=0)
    walk_partition(
        options, repeated, walks, posterior.target.code, log_weights, np.empty_like(log_weights)
    )
    encoded = posterior.network.encode(*posterior.inputs(repeated))
    place = torch.arange(len(order)).expand(options.shape)
    options = torch.from_numpy(options)
    log_q = log_q_all(
        posterior.network, encoded, options, torch.from_numpy(log_weights).float(), place
    )
    return log_q.gather(2, options.unsqueeze(2)).squeeze(2).double().sum(1).numpy()


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("build", [build_model, build_with_alpha])
def test_probabilities_of_all_partitions_sum_to_one(n, build):
    posterior = disturbed(made(build))
    order = np.random.default_rng(n).permutation(n)
    log_q = log_q_of(posterior, DATA[:n], order, all_partitions(n))
    assert np.exp(log_q).sum() == pytest.approx(1.0, abs=1e-5)


def test_untrained_it_is_the_exact_predictive_density():
    posterior = made()
    items = posterior.items_of(DATA)
    drawn = posterior.draw(DATA, 50, random_seed=1)
    # One after the other, each draw from p(c_t | c_1, ..., c_(t-1), y_1, ..., y_t): what is left
    # of p(y, c) / q is the probability of each observation given those before.
    for s in range(3):
        assert drawn.log_p[s] == pytest.approx(posterior.target.log_prob(items, drawn.labels)[s])
    order = np.arange(6)
    labels = all_partitions(6)
    log_q = log_q_of(posterior, DATA, order, labels)
    log_p = posterior.target.log_prob(items, labels)
    expected = np.zeros(len(labels))
    for t in range(6):
        options = [
            posterior.target.log_prob(items[: t + 1], np.append(c[:t], k)[None])[0]
            for c in labels
            for k in range(c[:t].max(initial=-1) + 2)
        ]
        sizes = [c[:t].max(initial=-1) + 2 for c in labels]
        totals = [
            np.logaddexp.reduce(x) for x in np.split(np.array(options), np.cumsum(sizes)[:-1])
        ]
        now = posterior.target.log_prob(items[: t + 1], labels[:, : t + 1])
        expected += now - np.array(totals)
    np.testing.assert_allclose(log_q, expected, atol=1e-4)
    assert np.isfinite(log_p).all()


def test_density_is_that_of_the_draws(posterior):
    """log q that comes with draws, and how often partitions are drawn, along one order."""
    draws, order = 20_000, np.random.default_rng(3).permutation(4)
    drawn = draw_allocations(
        posterior.paths(DATA[:4], draws),
        np.repeat(order[None], draws, axis=0),
        torch.Generator().manual_seed(4),
    )
    labels = all_partitions(4)
    log_q = log_q_of(posterior, DATA[:4], order, labels)
    which = np.array([_number(c, labels) for c in drawn.labels])
    np.testing.assert_allclose(drawn.log_q, log_q[which], atol=1e-4)
    q = np.exp(log_q)
    share = np.bincount(which, minlength=len(labels)) / draws
    assert (np.abs(share - q) < STANDARD_ERRORS * np.sqrt(q * (1.0 - q) / draws) + 1e-4).all()


def test_number_of_items_and_far_data_do_not_break_it(posterior):
    for n in (2, 6):
        drawn = posterior.draw(1e6 * DATA[:n], 5, random_seed=0)
        assert np.isfinite(drawn.log_q).all() and np.isfinite(drawn.log_p).all()


def test_given_options_are_taken(posterior):
    order = np.array([2, 0, 3, 1])
    labels = np.array([[0, 1, 0, 1]])
    given = options_along(labels[:, order])

    def draw(given, first):
        return draw_allocations(
            posterior.paths(DATA[:4], len(given)),
            np.repeat(order[None], len(given), axis=0),
            torch.Generator().manual_seed(0),
            given=given,
            first=first,
        )

    whole = draw(given, 0)
    assert whole.log_q[0] == pytest.approx(
        log_q_of(posterior, DATA[:4], order, labels)[0], abs=1e-4
    )
    partly = np.repeat(given, 30, axis=0)
    partly[:, 2:] = -1
    drawn = draw(partly, 2)
    assert (drawn.labels[:, 2] == drawn.labels[:, 0]).all()
    assert len(np.unique(drawn.labels, axis=0)) > 1
    assert (drawn.log_q > whole.log_q[0]).any()


def _number(c, labels):
    _, first = np.unique(c, return_index=True)
    renumbered = np.argsort(np.argsort(first))[np.unique(c, return_inverse=True)[1]]
    return int(np.flatnonzero((labels == renumbered).all(1))[0])
