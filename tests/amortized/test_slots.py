"""Truncated sticks and Dirichlet weights: corrected allocations equal enumeration, slot by slot."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from scipy.special import logsumexp

from tests.helpers_amortized import disturbed, importorskip
from tests.helpers_chain import (
    STANDARD_ERRORS,
    assert_means,
    partition_functionals,
    run_chain,
    slot_counts,
)
from tests.helpers_exact import (
    NOISE,
    SIX_POINTS,
    SPREAD,
    all_labels,
    dirichlet,
    enumerate_normal,
    gamma_grid,
    sticks,
)

torch = importorskip()

from pymc_dpsteps.amortized import (  # noqa: E402
    AmortizedPosterior,
    RemaskingStep,
    Schedule,
    Size,
    importance,
)
from pymc_dpsteps.amortized.posterior import with_data  # noqa: E402

SMALL = Size(width=16, heads=2, layers=1)
K = 4
A = np.array([0.5, 1.0, 2.0, 1.0])
RANDOM, RANDOM_SYMMETRIC = gamma_grid(2.0, 2.0), gamma_grid(2.0, 1.0)


def _weights(kind):
    """Weights of a model, and log p(z) as a function of the counts."""
    if kind == "sticks":
        w = pm.StickBreakingWeights("w", 1.5, K=K - 1)
        return w, lambda c: sticks(c, [1.0] * 3, [1.5] * 3)
    if kind == "sticks, random concentration":
        w = pm.StickBreakingWeights("w", pm.Gamma("alpha", 2.0, 2.0), K=K - 1)
        return w, RANDOM.integrate(lambda c, a: sticks(c, [1.0] * 3, [a] * 3))[0]
    if kind in ("Pitman-Yor", "other sticks"):
        a = [0.7] * 3 if kind == "Pitman-Yor" else [2.0, 0.5, 1.5]
        b = [1.3, 1.6, 1.9] if kind == "Pitman-Yor" else [0.4, 3.0, 1.0]
        v = pm.Beta("v", a, b)
        left = pt.concatenate([[1.0], pt.cumprod(1.0 - v)])
        return pt.concatenate([v, [1.0]]) * left, lambda c: sticks(c, a, b)
    if kind == "symmetric":
        return pm.Dirichlet("w", np.full(K, 0.6)), lambda c: dirichlet(c, np.full(K, 0.6))
    if kind == "Dirichlet":
        return pm.Dirichlet("w", A), lambda c: dirichlet(c, A)
    w = pm.Dirichlet("w", pm.Gamma("alpha", 2.0, 1.0) * np.full(K, 0.25))
    return w, RANDOM_SYMMETRIC.integrate(lambda c, a: dirichlet(c, [a / 4] * K))[0]


KINDS = (
    "sticks",
    "sticks, random concentration",
    "Pitman-Yor",
    "other sticks",
    "symmetric",
    "Dirichlet",
    "symmetric, random concentration",
)
QUICK = ("sticks", "sticks, random concentration", "symmetric, random concentration")


def builder(kind):
    def build(n):
        with pm.Model() as model:
            w, _ = _weights(kind)
            mu = pm.Normal("mu", 0.0, SPREAD, shape=K)
            z = pm.Categorical("z", w, shape=n)
            pm.Normal("y", mu[z], NOISE, observed=np.zeros(n))
        return model

    return build


def log_prior_of(kind):
    with pm.Model():
        return _weights(kind)[1]


def made(kind, n=(2, 6)):
    torch.manual_seed(0)
    return disturbed(AmortizedPosterior(builder(kind), n, size=SMALL), seed=1)


def enumerated(kind):
    return enumerate_normal(SIX_POINTS, K, log_prior_of(kind))


@pytest.fixture(
    scope="module",
    params=[
        kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS
    ],
)
def of_kind(request):
    return request.param, made(request.param)


def assert_weighted_means(drawn, exact):
    """Of weighted draws, by the delta method."""
    log_w = drawn.log_p - drawn.log_q
    w = np.exp(log_w - log_w.max())
    w /= w.sum()
    expected = exact.expectations()
    found = partition_functionals(drawn.labels, K, expected["k"])
    for name, x in found.items():
        if x.dtype == bool and expected[name] < 2e-3:
            continue  # too rare for the delta method
        error = np.sqrt((w**2 * (x - expected[name]) ** 2).sum())
        assert abs(w @ x - expected[name]) < STANDARD_ERRORS * error + 1e-12, name


def test_corrected_allocations_are_exact(of_kind):
    kind, posterior = of_kind
    exact = enumerated(kind)
    drawn = posterior.draw(SIX_POINTS, 15_000, random_seed=5)
    assert importance(drawn).reliable
    assert_weighted_means(drawn, exact)
    assert_weighted_means(posterior.branch(SIX_POINTS, 4_000, random_seed=6), exact)
    # The weights are p(z, y) / q(z): their mean is the evidence.
    labels = all_labels(6, K)
    log_p = posterior.target.log_prob(posterior.items_of(SIX_POINTS), labels)
    p = np.exp(log_p - logsumexp(log_p))
    np.testing.assert_allclose(p, exact.probability, atol=1e-9)
    w = np.exp(drawn.log_p - drawn.log_q - logsumexp(log_p))
    assert abs(w.mean() - 1.0) < STANDARD_ERRORS * w.std() / np.sqrt(len(w))


def test_probabilities_of_slots_are_those_they_are_drawn_with(of_kind):
    """They sum to one over the slots of a partition, and are the rates of drawing."""
    _, posterior = of_kind
    slots = posterior.target.slots
    labels = np.array([0, 0, 0, 1, 1, 2])
    assignments = np.array([z for z in np.ndindex(K, K, K) if len(set(z)) == 3])[:, labels]
    p = np.exp(slots.log_q(slot_counts(assignments, K)))
    assert p.sum() == pytest.approx(1.0)
    draws = 20_000
    z = slots.place(np.tile(labels, (draws, 1)), np.random.default_rng(1).random((draws, K)))
    for assignment, probability in zip(assignments, p, strict=True):
        error = np.sqrt(probability * (1.0 - probability) / draws)
        assert abs((z == assignment).all(1).mean() - probability) < STANDARD_ERRORS * error + 1e-12


def test_predictive_density_of_one_more(of_kind):
    _, posterior = of_kind
    items = posterior.items_of(SIX_POINTS)
    labels = np.array([[0, 0, 1, 1], [3, 3, 3, 3], [2, 0, 1, 3], [1, 0, 1, 0]])
    found = posterior.target.log_predictive(items[:4], labels, items[4:])
    for j in range(2):
        with_item = np.concatenate([items[:4], items[[4 + j]]])
        more = [
            posterior.target.log_prob(with_item, np.insert(labels, 4, k, axis=1)) for k in range(K)
        ]
        expected = logsumexp(more, axis=0) - posterior.target.log_prob(items[:4], labels)
        np.testing.assert_allclose(found[:, j], expected, atol=1e-9)


def test_with_many_sticks_slots_cost_nothing():
    """The law of partitions and of their slots is then that of the process: equal weights."""
    torch.manual_seed(0)

    def build(n):
        with pm.Model() as model:
            mu = pm.Normal("mu", 0.0, SPREAD, shape=60)
            z = pm.Categorical("z", pm.StickBreakingWeights("w", 1.0, K=59), shape=n)
            pm.Normal("y", mu[z], NOISE, observed=np.zeros(n))
        return model

    target = AmortizedPosterior(build, (2, 6), size=SMALL).target
    labels = np.tile([0, 0, 0, 1, 1, 2], (500, 1))
    z = target.slots.place(labels, np.random.default_rng(2).random((500, 60)))
    counts = slot_counts(z, 60)
    np.testing.assert_allclose(
        target.slots.log_change(counts) - target.slots.log_q(counts), 0.0, atol=1e-9
    )


@pytest.mark.parametrize(
    ("kind", "block", "draws"),
    [
        ("other sticks", 3, 300),
        *(pytest.param(kind, 3, 3_000, marks=pytest.mark.slow) for kind in KINDS),
        pytest.param(KINDS[1], None, 3_000, marks=pytest.mark.slow),
    ],
)
def test_remasking(kind, block, draws):
    posterior = made(kind)
    model = with_data(builder(kind)(6), {"y": SIX_POINTS})
    step = RemaskingStep(posterior, block=block, proposals=4, model=model)
    z = run_chain(step, model, ["z"], draws, seed=6, tune=50)["z"]
    expected = enumerated(kind).expectations()
    found = partition_functionals(z, K, expected["k"])
    assert_means(found, {name: expected[name] for name in found})


def test_sample_has_slots_weights_and_atoms_of_the_model():
    kind = "sticks, random concentration"
    posterior = made(kind)
    draws = 2_000
    idata = posterior.sample(SIX_POINTS, draws, random_seed=7)
    found = {name: x.values[0] for name, x in idata["posterior"].data_vars.items()}
    assert set(found) == {"alpha", "w", "z", "mu"}
    exact = enumerated(kind)
    counts = slot_counts(found["z"], K)
    # Of resampled draws, whose effective size is some third of their number.
    expected = exact.expectation(exact.counts)
    spread = np.sqrt(exact.expectation(exact.counts**2) - expected**2)
    assert (abs(counts.mean(0) - expected) < STANDARD_ERRORS * spread / np.sqrt(draws / 3)).all()
    # Weights given z and alpha: the first stick is Beta(1 + n_1, alpha + items after).
    n, alpha, w = counts[:, 0], found["alpha"], found["w"]
    a, b = 1.0 + n, alpha + 6 - n
    mean, variance = a / (a + b), a * b / (a + b) ** 2 / (a + b + 1.0)
    standardised = (w[:, 0] - mean) / np.sqrt(variance)
    assert abs(standardised.mean()) < STANDARD_ERRORS / np.sqrt(draws)
    assert abs((standardised**2).mean() - 1.0) < STANDARD_ERRORS * standardised.var() * np.sqrt(
        3.0 / draws
    )
    # Atoms of empty slots are draws from G0.
    empty = found["mu"][counts == 0] / SPREAD
    assert abs(empty.mean()) < STANDARD_ERRORS / np.sqrt(len(empty))
    assert abs((empty**2).mean() - 1.0) < STANDARD_ERRORS * np.sqrt(2.0 / len(empty))


def test_search_puts_large_clusters_first():
    posterior = made("sticks")
    labels = all_labels(6, K)
    log_p = posterior.target.log_prob(posterior.items_of(SIX_POINTS), labels)
    found = posterior.branch(SIX_POINTS, 30, mode="best", random_seed=1)
    assert (np.diff(slot_counts(found.labels, K), axis=1) <= 0).all()
    best, at = found.labels[0], np.flatnonzero((labels == found.labels[0]).all(1))
    most_probable = labels[np.argmax(log_p)]
    np.testing.assert_array_equal(best[:, None] == best, most_probable[:, None] == most_probable)
    assert found.log_p[0] == pytest.approx(log_p[at[0]])


def test_training_gains():
    torch.manual_seed(0)
    posterior = AmortizedPosterior(builder("sticks"), (3, 6), size=SMALL)
    schedule = Schedule(batch=16, simulated=2, places=4)
    rng = np.random.default_rng(1)
    optimizer = torch.optim.Adam(posterior.network.parameters(), lr=5e-3)
    for _ in range(20):
        optimizer.zero_grad()
        posterior.loss(posterior.network, posterior.batch(schedule, rng)).backward()
        optimizer.step()
    with torch.no_grad():
        loss = [
            float(posterior.loss(posterior.network, posterior.batch(schedule, rng)))
            for _ in range(40)
        ]
    assert np.mean(loss) < 0.0


def test_settings_under_sticks():
    def build(n):
        with pm.Model() as model:
            alpha = pm.Data("alpha", 1.0)
            mu = pm.Normal("mu", 0.0, SPREAD, shape=K)
            z = pm.Categorical("z", pm.StickBreakingWeights("w", alpha, K=K - 1), shape=n)
            pm.Normal("y", mu[z], NOISE, observed=np.zeros(n))
        return model

    torch.manual_seed(0)
    laws = {"alpha": pm.Gamma.dist(2.0, 2.0)}
    posterior = AmortizedPosterior(build, (2, 6), settings=laws, size=SMALL)
    for alpha in (0.4, 3.0):
        drawn = posterior.draw(SIX_POINTS, 4_000, settings={"alpha": alpha}, random_seed=1)
        exact = enumerate_normal(SIX_POINTS, K, lambda c, a=alpha: sticks(c, [1.0] * 3, [a] * 3))
        assert_weighted_means(drawn, exact)
