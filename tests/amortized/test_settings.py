"""Settings that are drawn in training and shown to the network: exact at each of them."""

import numpy as np
import pymc as pm
import pytest
from scipy.special import gammaln
from scipy.stats import multivariate_normal

import pymc_dpsteps as dps
from tests.helpers_amortized import DATA, NOISE, build_model, disturbed, importorskip
from tests.helpers_chain import STANDARD_ERRORS, assert_means, run_chain
from tests.helpers_learners import losses
from tests.helpers_partitions import all_partitions

torch = importorskip()

from pymc_dpsteps.amortized import (  # noqa: E402
    AmortizedPosterior,
    MeanPredictor,
    RemaskingStep,
    Schedule,
    Size,
    ThetaPosterior,
    check_posterior,
    train,
)
from pymc_dpsteps.amortized.posterior import with_data  # noqa: E402

SMALL = Size(width=16, heads=2, layers=1)
QUICK = Schedule(batch=16, simulated=2, places=4, warmup=5, averaging=0.5)
LAWS = {"alpha": pm.Gamma.dist(2.0, 2.0), "spread": pm.Uniform.dist(1.0, 5.0, shape=2)}
TWO = (
    {"alpha": 0.5, "spread": np.array([1.2, 2.0])},
    {"alpha": 3.0, "spread": np.array([4.0, 5.0])},
)


def build(n, *, alpha=1.0):
    with pm.Model(coords={"item": range(n), "axis": range(2)}) as model:
        alpha = pm.Data("alpha", alpha)
        spread = pm.Data("spread", [2.0, 3.0], dims="axis")
        mu = pm.Normal("mu", 0.0, spread, shape=(8, 2), initval="prior")
        z = dps.ChineseRestaurantProcess("z", alpha, K=8, dims="item")
        pm.Normal("y", mu[z], NOISE, observed=np.zeros((n, 2)), dims=("item", "axis"))
    return model


def other_values(n):
    return build(n, alpha=2.0)


def hyperprior(n):
    """The concentration is random, and a setting is a parameter of its prior; another shifts y."""
    with pm.Model() as model:
        alpha = pm.Gamma("alpha", 2.0, pm.Data("rate", 2.0))
        shift = pm.Data("shift", 0.0)
        mu = pm.Normal("mu", 0.0, 2.0, shape=(8, 2))
        z = dps.ChineseRestaurantProcess("z", alpha, K=8, shape=n)
        pm.Normal("y", mu[z] + shift, NOISE, observed=np.zeros((n, 2)))
    return model


HYPERPRIOR = {"rate": pm.Uniform.dist(0.5, 8.0), "shift": pm.Normal.dist(0.0, 1.0)}


def enumerated(y, settings):
    """Partitions and their probabilities, independent of the package."""
    labels = all_partitions(len(y))
    log_p = []
    for c in labels:
        sizes = np.bincount(c)
        log_p.append(len(sizes) * np.log(settings["alpha"]) + gammaln(sizes).sum())
        for k in range(len(sizes)):
            for column, spread in zip(y[c == k].T, settings["spread"], strict=True):
                covariance = NOISE**2 * np.eye(sizes[k]) + spread**2
                log_p[-1] += multivariate_normal.logpdf(column, cov=covariance)
    p = np.exp(np.array(log_p) - max(log_p))
    return labels, p / p.sum()


def functionals(labels):
    k = np.array([len(np.unique(c)) for c in labels])
    return {f"k = {j}": k == j for j in (1, 2, 3, 4)} | {
        f"0 with {j}": labels[:, 0] == labels[:, j] for j in (1, 2, 5)
    }


def exact(settings):
    labels, p = enumerated(DATA, settings)
    return {name: float(p @ x) for name, x in functionals(labels).items()}


@pytest.fixture(scope="module")
def posterior():
    torch.manual_seed(0)
    return disturbed(AmortizedPosterior(build, (2, 6), settings=LAWS, size=SMALL), seed=1)


def assert_weighted_means(drawn, expected):
    raw = np.exp(drawn.log_p - drawn.log_q - (drawn.log_p - drawn.log_q).max())
    raw /= raw.sum()
    found = functionals(drawn.labels)
    for name, value in expected.items():
        error = np.sqrt((raw**2 * (found[name] - value) ** 2).sum())  # delta method
        assert abs(raw @ found[name] - value) < STANDARD_ERRORS * error, name


@pytest.mark.parametrize("settings", TWO)
def test_corrected_draws_are_exact(posterior, settings):
    assert_weighted_means(
        posterior.draw(DATA, 10_000, settings=settings, random_seed=1), exact(settings)
    )
    assert_weighted_means(
        posterior.branch(DATA, 4_000, settings=settings, random_seed=1), exact(settings)
    )


def test_the_two_settings_differ():
    first, second = (exact(settings) for settings in TWO)
    assert max(abs(first[name] - second[name]) for name in first) > 0.05


def test_settings_left_out_are_the_models(posterior):
    own = {"alpha": 1.0, "spread": np.array([2.0, 3.0])}
    given = {"alpha": 2.0}
    log_p = posterior.draw(DATA, 5, random_seed=1).log_p
    np.testing.assert_array_equal(posterior.draw(DATA, 5, settings=own, random_seed=1).log_p, log_p)
    drawn = posterior.draw(DATA, 5, settings=given, random_seed=1)
    target = posterior.setting(own | given).target
    np.testing.assert_allclose(drawn.log_p, target.log_prob(posterior.items_of(DATA), drawn.labels))


def test_draws_depend_on_the_seed_alone(posterior):
    first, again, other = (
        posterior.draw(DATA, 50, settings=TWO[0], random_seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.labels, again.labels)
    assert not np.array_equal(first.labels, other.labels)
    batches = [posterior.batch(QUICK, np.random.default_rng(3)) for _ in range(2)]
    torch.testing.assert_close(batches[0].inputs[1], batches[1].inputs[1])


def test_the_network_sees_them(posterior):
    rows = [posterior.encode(posterior.items_of(DATA), posterior.setting(s)).rows for s in TWO]
    assert (rows[0] - rows[1]).abs().max() > 1e-3
    # By the quartiles of their law: the median is 0, and a quartile 1/2 from it before arcsinh.
    at_median = posterior.settings.row({"alpha": np.float64(0.8392), "spread": np.full(2, 3.0)})
    np.testing.assert_allclose(at_median, 0.0, atol=0.1)


def test_every_batch_has_settings_of_its_own(posterior):
    rng = np.random.default_rng(4)
    seen = np.stack([posterior.batch(QUICK, rng).inputs[1][:, 1:].numpy() for _ in range(20)])
    assert (seen == seen[:, :1]).all()
    assert len(np.unique(seen[:, 0, 0])) == 20
    values = posterior.settings.draw(4_000, rng)
    for x, mean, sd in ((values["alpha"], 1.0, 0.5**0.5), (values["spread"], 3.0, 4 / 12**0.5)):
        # A thousandth, the least probable, is left out.
        assert (abs(x.mean(0) - mean) < STANDARD_ERRORS * sd / np.sqrt(len(x)) + 0.005).all()


def test_what_is_simulated_follows_them(posterior):
    n = 2_000
    for settings in TWO:
        posterior.simulator.seed(5)
        repeated = {name: np.repeat(np.array(x)[None], n, 0) for name, x in settings.items()}
        drawn = posterior.simulator.draw(n, repeated)
        variance = NOISE**2 + settings["spread"] ** 2
        first = drawn.observed["y"][:, 0] / np.sqrt(variance)
        assert (abs((first**2).mean(0) - 1.0) < STANDARD_ERRORS * np.sqrt(2.0 / n)).all()
        together = (drawn.labels[:, 0] == drawn.labels[:, 1]).mean()
        p = 1.0 / (1.0 + settings["alpha"])
        assert abs(together - p) < STANDARD_ERRORS * np.sqrt(p * (1.0 - p) / n)


def test_the_law_of_partitions_is_kept_where_it_does_not_depend_on_them(posterior):
    learner = AmortizedPosterior(build, (2, 6), settings={"spread": LAWS["spread"]}, size=SMALL)
    labels, items = all_partitions(6), posterior.items_of(DATA)
    for settings in TWO:
        spread = {"spread": settings["spread"]}
        one, both = learner.setting(spread), posterior.setting(spread | {"alpha": 1.0})
        assert one.target.seats is learner.target.seats
        np.testing.assert_allclose(
            one.target.log_prob(items, labels), both.target.log_prob(items, labels)
        )


def test_a_setting_may_be_a_parameter_of_the_prior_of_alpha_or_of_the_kernel():
    torch.manual_seed(0)
    learner = AmortizedPosterior(hyperprior, (2, 6), settings=HYPERPRIOR, size=SMALL)
    labels = all_partitions(6)
    for rate, shift in ((1.0, -1.0), (4.0, 0.5)):
        setting = learner.setting({"rate": rate, "shift": shift})
        alpha = np.exp(np.arange(-25.0, 5.0, 0.02))
        log_law = 2.0 * np.log(alpha * rate) - rate * alpha
        log_p = []
        for c in labels:
            sizes = np.bincount(c)
            log_prior = len(sizes) * np.log(alpha) + gammaln(alpha) - gammaln(alpha + 6)
            log_p.append(np.logaddexp.reduce(log_law + log_prior) + gammaln(sizes).sum())
            for k, size in enumerate(sizes):
                for column in (DATA - shift)[c == k].T:
                    covariance = NOISE**2 * np.eye(size) + 4.0
                    log_p[-1] += multivariate_normal.logpdf(column, cov=covariance)
        found = setting.target.log_prob(learner.items_of(DATA, setting), labels)
        np.testing.assert_allclose(found - found[0], np.array(log_p) - log_p[0], atol=1e-7)


@pytest.mark.parametrize(
    ("settings", "draws"),
    [(TWO[0], 300), *(pytest.param(s, 2_000, marks=pytest.mark.slow) for s in TWO)],
)
def test_remasking_takes_what_its_model_has(posterior, settings, draws):
    with with_data(build(6), {"y": DATA}) as model:
        pm.set_data(settings)
        step = RemaskingStep(posterior, block=4, proposals=4)
    z = run_chain(step, model, ["z"], draws, seed=6, tune=50)["z"]
    assert_means(functionals(z), exact(settings))
    row = posterior.settings.row(settings)
    np.testing.assert_allclose(step._setting.row, row)
    theirs = posterior.encode(posterior.items_of(DATA), posterior.setting(settings))
    torch.testing.assert_close(step._encode().rows, theirs.rows)


def test_sample_completes_with_the_settings(posterior):
    idata = posterior.sample(DATA, 500, settings=TWO[1], random_seed=7)
    assert float(idata["constant_data"]["alpha"]) == TWO[1]["alpha"]
    mu, z = (idata["posterior"][name].values[0] for name in ("mu", "z"))
    empty = np.ones((500, 8), dtype=bool)
    np.put_along_axis(empty, z, False, axis=1)
    scaled = (mu / TWO[1]["spread"])[empty]
    assert abs((scaled**2).mean() - 1.0) < STANDARD_ERRORS * np.sqrt(2.0 / scaled.size)


@pytest.mark.slow
def test_check_draws_settings_or_takes_them(posterior):
    for settings in (None, TWO[0]):
        report = check_posterior(
            posterior, settings=settings, n_datasets=20, draws=20, n_references=0, random_seed=1
        )
        assert np.isfinite(report.calibration["rank"]).all()


def test_out_of_distribution_depends_on_them(posterior):
    far = 4.0 * DATA
    narrow, wide = (posterior.out_of_distribution(far, settings=s, random_seed=1) for s in TWO)
    assert narrow.p_value < wide.p_value


@pytest.mark.parametrize(
    "cls", [MeanPredictor, pytest.param(ThetaPosterior, marks=pytest.mark.slow)]
)
def test_other_networks(cls):
    torch.manual_seed(0)
    learner = cls(hyperprior, (2, 6), settings=HYPERPRIOR, size=SMALL)
    before, after = losses(learner, QUICK, 30)
    assert after.mean() < before.mean()
    learner.network.eval()
    found = []
    for shift in (-1.0, 1.0):
        settings = {"shift": shift}
        if cls is MeanPredictor:
            found.append(learner.predict(DATA, settings=settings)["mu"])
        else:
            found.append(learner.draw(DATA, 3, settings=settings, random_seed=1)["mu"])
    assert np.abs(found[0] - found[1]).max() > 1e-3


@pytest.mark.slow
def test_learns_something():
    torch.manual_seed(0)
    learner = AmortizedPosterior(build, (2, 6), settings=LAWS, size=SMALL)
    before, after = losses(learner, QUICK, 800, rate=1e-2)
    assert np.abs(before).max() < 1e-4
    assert after.mean() < -STANDARD_ERRORS * after.std() / np.sqrt(len(after))


def test_training_save_and_load(tmp_path):
    learnt = train(
        build,
        (3, 6),
        settings=LAWS,
        budget=0.5,
        size=SMALL,
        schedule=QUICK,
        accelerator="cpu",
        random_seed=1,
        progressbar=False,
    )
    learnt.save(tmp_path / "network")
    # What the containers hold is not the model's.
    loaded = AmortizedPosterior.load(tmp_path / "network", other_values, settings=LAWS)
    first, second = (p.draw(DATA, 20, settings=TWO[0], random_seed=3) for p in (learnt, loaded))
    np.testing.assert_array_equal(first.log_q, second.log_q)
    with pytest.raises(ValueError, match=r"with settings alpha, spread; found none\. Give their"):
        AmortizedPosterior.load(tmp_path / "network", build)
    other_law = LAWS | {"alpha": pm.Gamma.dist(3.0, 2.0)}
    with pytest.raises(ValueError, match="laws of settings"):
        AmortizedPosterior.load(tmp_path / "network", build, settings=other_law)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"beta": 1.0}, "settings beta; the network was trained with alpha, spread"),
        ({"alpha": [1.0, 2.0]}, r"alpha has shape \(2,\); expected \(\)"),
        ({"alpha": -1.0}, "alpha = -1.0 is less probable than all of 1,000 draws"),
        ({"alpha": 30.0}, "alpha = 30.0 is less probable"),
        ({"spread": [1.0, 5.1]}, "spread = .* wider law"),
    ],
)
def test_bad_settings(posterior, settings, words):
    with pytest.raises(ValueError, match=words):
        posterior.draw(DATA, 10, settings=settings)


def containers(n):
    with pm.Model() as model:
        size, slots = pm.Data("size", float(n)), pm.Data("slots", np.array(8))
        mu = pm.Normal("mu", 0.0, 2.0, shape=slots)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=8, shape=size.astype("int64"))
        pm.Normal("y", mu[z], 1.0, observed=pm.Data("seen", np.zeros(n)))
    return model


@pytest.mark.parametrize(
    ("of_model", "laws", "words"),
    [
        (build, {"beta": pm.Gamma.dist(2, 2)}, "no container beta; expected one of alpha, spread"),
        (build, {"mu": pm.Gamma.dist(2, 2)}, "no container mu"),
        (build, {"alpha": (1.0, 2.0)}, r"law of alpha is .*; expected a distribution"),
        (build, {"spread": pm.Uniform.dist(1, 5)}, r"has shape \(\), the container \(2,\)"),
        (containers, {"seen": pm.Normal.dist(0, 1)}, "seen holds observations"),
        (containers, {"slots": pm.DiscreteUniform.dist(3, 8)}, "slots has type .*int32.*numbers"),
        (containers, {"size": pm.Uniform.dist(1, 5)}, "size decides on the shape of z"),
    ],
)
def test_bad_laws(of_model, laws, words):
    with pytest.raises(ValueError, match=words):
        AmortizedPosterior(of_model, (2, 6), settings=laws, size=SMALL)


def test_remasking_refuses_a_model_without_the_containers(posterior):
    with (
        build_model(6),
        pytest.raises(ValueError, match="no container alpha; expected one of none"),
    ):
        RemaskingStep(posterior)


def test_remasking_refuses_a_setting_that_was_never_drawn(posterior):
    with build(6, alpha=30.0), pytest.raises(ValueError, match="alpha = 30"):
        RemaskingStep(posterior)
