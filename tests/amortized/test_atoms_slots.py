"""Atoms on the way under sticks and Dirichlet weights, and with settings: exact at each of them."""

from functools import cache

import numpy as np
import pymc as pm
import pytest
from scipy import stats
from scipy.special import gammaln, logsumexp

import pymc_dpsteps as dps
from tests.helpers_amortized import importorskip
from tests.helpers_atoms import disturbed_atoms
from tests.helpers_chain import (
    STANDARD_ERRORS,
    assert_means,
    atom_of_first_item,
    partition_functionals,
    run_chain,
    slot_counts,
)
from tests.helpers_exact import Enumeration, all_labels, crp, dirichlet, gamma_grid, sticks

torch = importorskip()

from pymc_dpsteps.amortized import (  # noqa: E402
    AmortizedPosterior,
    RemaskingStep,
    Schedule,
    Size,
    check_posterior,
    importance,
    remasking,
    replay,
    train,
)
from pymc_dpsteps.amortized.paths import draw_allocations  # noqa: E402

SMALL = Size(width=16, heads=2, layers=1)
QUICK = Schedule(batch=16, simulated=2, places=4, warmup=5, averaging=0.5)
K, NOISE, FREEDOM = 3, 0.7, 3
Y = np.array([-1.4, -1.1, 0.3, 0.5, 2.2])
RANDOM = gamma_grid(2.0, 2.0)
LAWS = {"alpha": pm.Gamma.dist(2.0, 2.0), "spread": pm.Uniform.dist(0.5, 4.0)}
KINDS = ("sticks", "sticks, random concentration", "Dirichlet", "restaurant")
TWO = ({"alpha": 0.5, "spread": 0.8}, {"alpha": 2.0, "spread": 3.0})


def _allocation(kind, n):
    if kind == "Dirichlet":
        return pm.Categorical("z", pm.Dirichlet("w", pm.Data("alpha", 1.0) * np.ones(K)), shape=n)
    if kind == "sticks, random concentration":
        alpha = pm.Gamma("alpha", 2.0, 2.0)
    else:
        alpha = pm.Data("alpha", 1.0)
    if kind == "restaurant":
        return dps.ChineseRestaurantProcess("z", alpha, K=K, shape=n)
    return pm.Categorical("z", pm.StickBreakingWeights("w", alpha, K=K - 1), shape=n)


def builder(kind):
    """Normal kernel of known spread, and a mean whose prior has heavy tails."""

    def build(n):
        with pm.Model() as model:
            mu = pm.StudentT("mu", nu=FREEDOM, mu=0.0, sigma=pm.Data("spread", 1.5), shape=K)
            pm.Normal("y", mu[_allocation(kind, n)], NOISE, observed=np.zeros(n))
        return model

    return build


def laws_of(kind):
    names = ("spread",) if kind == "sticks, random concentration" else ("spread", "alpha")
    return {name: LAWS[name] for name in names}


def settings_of(kind, number):
    return {name: TWO[number][name] for name in laws_of(kind)}


def log_prior(kind, settings):
    """Log p(z) as a function of the counts."""
    if kind == "sticks, random concentration":
        return RANDOM.integrate(lambda c, a: sticks(c, [1.0] * (K - 1), [a] * (K - 1)))[0]
    alpha = settings["alpha"]
    if kind == "sticks":
        return lambda c: sticks(c, [1.0] * (K - 1), [alpha] * (K - 1))
    return (lambda c: dirichlet(c, [alpha] * K)) if kind == "Dirichlet" else lambda c: crp(c, alpha)


def enumerated(kind, settings):
    """Posterior of labels, the atoms integrated out by quadrature."""
    mu = np.linspace(-60.0, 60.0, 24_001)
    log_g0 = stats.t.logpdf(mu, FREEDOM, scale=settings["spread"]) + np.log(mu[1] - mu[0])
    log_f = stats.norm.logpdf(Y[:, None], mu, NOISE)
    log_m, mean = np.zeros(2 ** len(Y)), np.zeros(2 ** len(Y))
    bits = 2 ** np.arange(len(Y))
    for subset in range(1, len(log_m)):
        log_terms = log_g0 + log_f[subset & bits > 0].sum(0)
        log_m[subset] = logsumexp(log_terms)
        mean[subset] = np.exp(log_terms - log_m[subset]) @ mu
    labels = all_labels(len(Y), K)
    counts = slot_counts(labels, K)
    subsets = (labels[:, None] == np.arange(K)[:, None]) @ bits
    log_p = log_prior(kind, settings)(counts) + log_m[subsets].sum(1)
    first = mean[subsets[np.arange(len(labels)), labels[:, 0]]]
    return Enumeration(labels, counts, np.exp(log_p - logsumexp(log_p)), first), logsumexp(log_p)


def functionals(kind, labels, theta_1, mean_clusters):
    found = partition_functionals(labels, K, mean_clusters) | {"theta_1": theta_1}
    if kind == "restaurant":  # labels are no slots there
        found = {name: x for name, x in found.items() if "slot" not in name}
    return found


@cache
def made(kind, n=(2, 5), *, disturb=True):
    torch.manual_seed(0)
    posterior = AmortizedPosterior(builder(kind), n, settings=laws_of(kind), size=SMALL)
    return disturbed_atoms(posterior, seed=1) if disturb else posterior


@pytest.fixture(
    scope="module",
    params=[
        "sticks",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind != "sticks"),
    ],
)
def of_kind(request):
    return request.param, made(request.param)


@pytest.mark.parametrize("number", [0, 1])
def test_corrected_draws_are_exact(of_kind, number):
    kind, posterior = of_kind
    settings = settings_of(kind, number)
    exact, log_z = enumerated(kind, settings)
    expected = exact.expectations()
    options = {"settings": settings, "random_seed": 5}
    drawn, branches = posterior.draw(Y, 6_000, **options), posterior.branch(Y, 2_000, **options)
    for found in (drawn, branches):
        w = np.exp(found.log_p - found.log_q - log_z)
        theta_1 = atom_of_first_item(found.labels, found.values[..., 0])
        if found is drawn:
            assert importance(found).ess > 0.02 * len(w)
            assert abs(w.mean() - 1.0) < STANDARD_ERRORS * w.std() / np.sqrt(len(w))
        w /= w.sum()
        for name, x in functionals(kind, found.labels, theta_1, expected["k"]).items():
            # Of a ratio of weighted means (delta method), as if branches were never resampled.
            error = np.sqrt((w**2 * (x - expected[name]) ** 2).sum())
            assert abs(w @ x - expected[name]) < STANDARD_ERRORS * error + 1e-4, name


def test_settings_make_a_difference(of_kind):
    kind, posterior = of_kind
    first, second = (enumerated(kind, settings_of(kind, j))[0].expectations() for j in (0, 1))
    assert max(abs(first[name] - second[name]) for name in first) > 0.05
    both = [posterior.setting(settings_of(kind, j)) for j in (0, 1)]
    rows = [posterior.encode(posterior.items_of(Y, setting), setting).rows for setting in both]
    assert (rows[0] - rows[1]).abs().max() > 1e-3
    spread = [setting.target._pool.std() for setting in both]
    assert spread[1] / spread[0] == pytest.approx(TWO[1]["spread"] / TWO[0]["spread"])


def test_density_of_labels_and_atoms(of_kind):
    kind, posterior = of_kind
    settings = settings_of(kind, 1)
    setting = posterior.setting(settings)
    items = posterior.items_of(Y, setting)
    labels = all_labels(len(Y), K)[::7]
    counts = slot_counts(labels, K)
    values = np.random.default_rng(1).normal(size=(len(labels), K, 1))
    expected = log_prior(kind, settings)(counts)
    if kind == "restaurant":  # of the partition: over all choices of slots
        expected = expected + gammaln(K + 1) - gammaln(K - (counts > 0).sum(1) + 1)
    of_atoms = stats.t.logpdf(values[..., 0], FREEDOM, scale=settings["spread"])
    expected = expected + np.where(counts > 0, of_atoms, 0.0).sum(1)
    theta = np.take_along_axis(values[..., 0], labels, axis=1)
    expected = expected + stats.norm.logpdf(Y, theta, NOISE).sum(1)
    np.testing.assert_allclose(setting.target.log_prob(items, labels, values), expected, atol=1e-6)


def test_predictive_density_of_one_more(of_kind):
    kind, posterior = of_kind
    settings = settings_of(kind, 0)
    target = posterior.setting(settings).target
    items = posterior.items_of(Y)
    labels = np.array([[0, 0, 1, 1], [2, 2, 2, 2], [2, 0, 1, 0], [1, 0, 1, 0]])
    values = np.random.default_rng(1).normal(size=(len(labels), K, 1))
    found = target.log_predictive(items[:4], labels, values, items[4:])[:, 0]
    log_p, counts = log_prior(kind, settings), slot_counts(labels, K)
    expected = np.empty((len(labels), K))
    for k in range(K):
        more = counts.copy()
        more[:, k] += 1
        density = stats.norm.logpdf(Y[4], values[:, k, 0], NOISE)
        # Of a new cluster it is an estimate.
        density = np.where(counts[:, k] > 0, density, target.log_marginal(items[4:])[0])
        expected[:, k] = log_p(more) - log_p(counts) + density
    np.testing.assert_allclose(found, logsumexp(expected, axis=1), atol=1e-6)


def test_sample_has_slots_weights_and_atoms_of_the_model():
    kind, draws = "sticks", 2_000
    posterior, settings = made(kind), settings_of(kind, 1)
    idata = posterior.sample(Y, draws, settings=settings, random_seed=7)
    found = {name: x.values[0] for name, x in idata["posterior"].data_vars.items()}
    assert set(found) == {"w", "z", "mu"}
    exact, _ = enumerated(kind, settings)
    expected = exact.expectations()
    ess = importance(posterior.draw(Y, draws, settings=settings, random_seed=7)).ess
    theta_1 = atom_of_first_item(found["z"], found["mu"])
    for name, x in functionals(kind, found["z"], theta_1, expected["k"]).items():
        # Of as many independent draws as the weights are worth; resampling adds some.
        error = np.std(x) * np.sqrt(2.0 / ess)
        assert abs(np.mean(x) - expected[name]) < STANDARD_ERRORS * error + 1e-3, name
    empty = found["mu"][slot_counts(found["z"], K) == 0]
    assert stats.kstest(empty, stats.t(FREEDOM, scale=settings["spread"]).cdf).pvalue > 1e-6
    # The first stick is Beta(1 + n_1, alpha + items after).
    n = slot_counts(found["z"], K)[:, 0]
    of_stick = stats.beta(1.0 + n, settings["alpha"] + len(Y) - n)
    assert stats.kstest(of_stick.cdf(found["w"][:, 0]), "uniform").pvalue > 1e-6


def test_replay_puts_atoms_where_their_items_are(of_kind, monkeypatch):
    kind, posterior = of_kind
    settings = settings_of(kind, 1)
    drawn = posterior.draw(Y, 30, settings=settings, random_seed=1)
    monkeypatch.setattr(replay, "complete", lambda *_: None)  # nor anything else
    idata = replay.replay(posterior.model(Y, settings=settings), drawn, random_seed=1)
    z, mu = (idata["posterior"][name].values[0] for name in ("z", "mu"))
    of_items = np.take_along_axis(drawn.values[..., 0], drawn.labels, axis=1)
    np.testing.assert_allclose(np.take_along_axis(mu, z, axis=1), of_items)
    if kind != "restaurant":
        np.testing.assert_array_equal(z, drawn.labels)


@pytest.mark.slow
def test_training_save_and_load(tmp_path):
    kind, rng = "sticks", np.random.default_rng(0)
    untrained = made(kind, disturb=False)
    batches = [untrained.batch(QUICK, rng) for _ in range(3)]
    assert len({float(batch.allocation.inputs[1][0, 1]) for batch in batches}) == 3
    for batch in batches:
        assert abs(untrained.loss(untrained.network, batch).item()) < 1e-4
    options = {"size": SMALL, "schedule": QUICK, "progressbar": False, "accelerator": "cpu"}
    laws = laws_of(kind)
    learnt = train(builder(kind), (3, 5), settings=laws, budget=1.0, random_seed=1, **options)
    learnt.save(tmp_path)
    loaded = AmortizedPosterior.load(tmp_path, builder(kind), settings=laws)
    options = {"settings": settings_of(kind, 1), "random_seed": 3}
    first, second = (p.draw(Y, 50, **options) for p in (learnt, loaded))
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.log_q, second.log_q)


@pytest.mark.slow
def test_check_posterior():
    posterior = made("sticks", (12, 16), disturb=False)
    report = check_posterior(
        posterior, n_datasets=20, draws=20, n_references=1, reference_draws=100, random_seed=1
    )
    table = report.table()
    assert np.isfinite(table.loc["calibration p", "value"]).all()
    assert np.isfinite(table.loc[("log predictive density", "less reference (nats)"), "value"])


@pytest.mark.parametrize(
    ("block", "draws"),
    [
        (3, 1_000),
        pytest.param(3, 4_000, marks=pytest.mark.slow),
        pytest.param(None, 4_000, marks=pytest.mark.slow),
    ],
)
def test_remasking(of_kind, block, draws):
    kind, posterior = of_kind
    settings = settings_of(kind, 1)
    model = posterior.model(Y, settings=settings)
    step = RemaskingStep(posterior, block=block, proposals=4, model=model)
    chain = run_chain(step, model, ["z", "mu"], draws, seed=6, tune=50)
    expected = enumerated(kind, settings)[0].expectations()
    theta_1 = atom_of_first_item(chain["z"], chain["mu"])
    found = functionals(kind, chain["z"], theta_1, expected["k"])
    assert_means(found, {name: expected[name] for name in found})


def test_remasking_keeps_atoms_of_clusters_with_other_items(of_kind, monkeypatch):
    """Those of all clusters where the partition is the present one."""
    kind, posterior = of_kind
    settings = settings_of(kind, 1)
    model = posterior.model(Y, settings=settings)
    step = RemaskingStep(posterior, block=3, proposals=8, model=model)
    step.setup_chain(np.random.default_rng(1), 0, 10)
    seen = []

    def draw(paths, order, *args, given, first, **options):
        present = step._state.z.copy(), step._state.values[:K, 0].copy()
        drawn = draw_allocations(paths, order, *args, given=given, first=first, **options)
        seen.append((present, drawn, order[0, :first]))
        return drawn

    monkeypatch.setattr(remasking, "draw_allocations", draw)
    point = model.initial_point()
    for _ in range(20):
        point, _ = step.step(point)
    new = 0
    for (z, mu), drawn, others in seen:
        atoms = np.take_along_axis(drawn.values[..., 0], drawn.labels, axis=1)
        np.testing.assert_array_equal(atoms[0], mu[z])
        np.testing.assert_array_equal(atoms[1:, others], np.tile(mu[z[others]], (8, 1)))
        with_others = (drawn.labels[:, :, None] == drawn.labels[:, None, others]).any(2)
        assert not np.isin(atoms[1:][~with_others[1:]], mu).any()
        new += (~with_others[1:]).sum()
    assert new > 20


def test_what_there_is_not():
    posterior = made("sticks")
    with pytest.raises(dps.MixtureError, match=r"cannot be\s+integrated out.*find_map"):
        posterior.branch(Y, mode="best")

    def bounded(n):
        with pm.Model() as model:
            mu = pm.Uniform("mu", 0.0, pm.Data("width", 1.0), shape=K)
            z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=n)
            pm.Normal("y", mu[z], NOISE, observed=np.zeros(n))
        return model

    with pytest.raises(dps.MixtureError, match="space of mu depends on width"):
        AmortizedPosterior(bounded, (2, 5), settings={"width": LAWS["spread"]}, size=SMALL)
