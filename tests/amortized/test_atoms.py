"""Atoms as a part of the path: corrected answers equal enumeration, whatever the network."""

import numpy as np
import pymc as pm
import pytest
from scipy import stats

import pymc_dpsteps as dps
from tests.helpers_amortized import build_model, importorskip
from tests.helpers_atoms import (
    CASES,
    disturbed_atoms,
    enumerate_case,
    functionals,
    gamma_kernel,
    heavy_mean,
    mean_and_variance,
    uniform_kernel,
)
from tests.helpers_chain import STANDARD_ERRORS, assert_means, run_chain
from tests.helpers_learners import losses

torch = importorskip()

from pymc_dpsteps.amortized import (  # noqa: E402
    AmortizedPosterior,
    RemaskingStep,
    Schedule,
    Size,
    importance,
    train,
)
from pymc_dpsteps.amortized.atom_target import cluster_odds  # noqa: E402
from pymc_dpsteps.amortized.atom_training import log_q_with_atoms  # noqa: E402
from pymc_dpsteps.amortized.atom_walks import walk_with_atoms  # noqa: E402
from pymc_dpsteps.amortized.branches import run_branches  # noqa: E402
from pymc_dpsteps.amortized.paths import draw_allocations  # noqa: E402
from pymc_dpsteps.amortized.walks import options_along  # noqa: E402

FIRST = {heavy_mean: "mu", mean_and_variance: "mu", gamma_kernel: "a", uniform_kernel: "width"}
SMALL = Size(width=16, heads=2, layers=1)
QUICK = Schedule(batch=16, simulated=2, places=4, warmup=5, averaging=0.5)


def made(build, n=(2, 6), *, disturb=True):
    torch.manual_seed(0)
    posterior = AmortizedPosterior(build, n, size=SMALL)
    return disturbed_atoms(posterior, seed=1) if disturb else posterior


def natural_first(posterior, drawn):
    """θ_1 of draws, the first atom in the model's space."""
    values = drawn.values[np.arange(len(drawn.labels)), drawn.labels[:, 0]]
    rows = (values - posterior.parameters._mean) / posterior.parameters._sd
    theta = posterior.parameters.theta(rows)
    return theta[FIRST[posterior.build_model]]


def _slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("name", "disturb", "draws"),
    [
        ("heavy_mean", True, 5_000),
        _slow("mean_and_variance", True, 5_000),
        ("gamma_kernel", True, 5_000),
        ("uniform_kernel", True, 5_000),
        *[_slow(name, disturb, 40_000) for name in CASES for disturb in (True, False)],
    ],
)
def test_importance_weights(name, disturb, draws):
    case = CASES[name]()
    posterior = made(case.build_model, disturb=disturb)
    drawn = posterior.draw(case.y, draws, random_seed=5, batch=5_000)
    found = importance(drawn)
    assert found.ess > 0.02 * draws and np.isfinite(found.weights).all()
    exact, log_z = enumerate_case(case)
    items = posterior.items_of(case.y)
    log_p = posterior.target.log_prob(items, drawn.labels, drawn.values)
    np.testing.assert_allclose(drawn.log_p, log_p)
    raw = np.exp(drawn.log_p - drawn.log_q - log_z)
    z_error = raw.std() / np.sqrt(len(raw))
    assert abs(raw.mean() - 1.0) < STANDARD_ERRORS * z_error
    raw /= raw.sum()
    for functional, x in functionals(drawn.labels, natural_first(posterior, drawn)).items():
        value = exact[functional]
        # Of a ratio of weighted means (delta method).
        error = np.sqrt((raw**2 * (x - value) ** 2).sum())
        assert abs(raw @ x - value) < STANDARD_ERRORS * error + 1e-4, functional


def test_branches_are_unbiased():
    """Few branches and many runs: means over runs of Z and of Z E[f] are exact."""
    case = CASES["heavy_mean"]()
    posterior = made(case.build_model)
    exact, log_z = enumerate_case(case)
    likely = [name for name, value in exact.items() if abs(value) > 1e-3]
    runs, rng, generator = 60, np.random.default_rng(1), torch.Generator().manual_seed(1)
    found, resampled = [], 0
    for _ in range(runs):
        paths = posterior.paths(case.y, 16, random_seed=rng)
        result = run_branches(paths, rng.permutation(6), generator, rng)
        draws = result.draws
        weight = np.exp(draws.log_p - draws.log_q - log_z) / 16
        assert np.log(weight.sum()) + log_z == pytest.approx(result.log_evidence)
        of_each = functionals(draws.labels, natural_first(posterior, draws))
        found.append([weight.sum(), *(weight @ of_each[name] for name in likely)])
        resampled += result.resampled
    assert resampled > 0
    error = np.std(found, axis=0, ddof=1) / np.sqrt(runs)
    expected = np.array([1.0, *(exact[name] for name in likely)])
    assert (np.abs(np.mean(found, axis=0) - expected) < STANDARD_ERRORS * error).all()


def test_sample_is_corrected_and_has_all_variables():
    case = CASES["mean_and_variance"]()
    posterior = made(case.build_model)
    idata = posterior.sample(case.y, 2_000, random_seed=7)
    assert set(idata["posterior"].data_vars) == {"mu", "s2", "z"}
    np.testing.assert_array_equal(idata["observed_data"]["y"], case.y)
    z, mu = (idata["posterior"][name].values[0] for name in ("z", "mu"))
    exact, _ = enumerate_case(case)
    ess = importance(posterior.draw(case.y, 2_000, random_seed=7)).ess
    for name, x in functionals(z, mu[np.arange(len(z)), z[:, 0]]).items():
        # Of as many independent draws as the weights are worth; resampling adds some.
        error = np.std(x) * np.sqrt(2.0 / ess)
        assert abs(np.mean(x) - exact[name]) < STANDARD_ERRORS * error + 1e-3, name
    # Copies of a draw do not stay copies: atoms are moved on.
    assert len(np.unique(mu[np.arange(len(z)), z[:, 0]])) > 0.99 * len(z)


@pytest.mark.parametrize("build", [heavy_mean, mean_and_variance])
@torch.no_grad()
def test_density_is_that_of_the_draws(build):
    """log q that comes with draws is the one that training looks at."""
    posterior = made(build)
    y = np.array([-1.2, 0.4, 0.1, 2.2, -0.9])
    target, items = posterior.target, posterior.items_of(y)
    alone = target.alone(items)
    generator, rng = torch.Generator().manual_seed(2), np.random.default_rng(2)
    order = rng.permutation(5)
    paths = posterior.paths(y, 200, random_seed=4)
    drawn = draw_allocations(paths, np.repeat(order[None], 200, axis=0), generator)
    options = options_along(drawn.labels[:, order])
    fit = np.zeros((200, target.n_components + 1, 5))
    log_m = alone.log_marginal[order]
    for s in range(200):
        fit[s, 1:] = target.log_kernel(items[order], drawn.values[s])
    log_weights = np.empty((200, 5, target.n_components + 1))
    gibbs = np.empty_like(log_weights)
    walk_with_atoms(
        options, np.repeat(log_m[None], 200, axis=0), fit, target.code, log_weights, gibbs
    )
    np.testing.assert_allclose(gibbs.sum(2), 1.0)
    most = int((options == 0).sum(1).max())
    encoded = posterior.network.encode(*posterior.inputs(np.repeat(items[order][None], 200, 0)))
    log_q, new = log_q_with_atoms(
        posterior.network,
        encoded,
        torch.from_numpy(options),
        torch.from_numpy(log_weights).float(),
        torch.arange(5).expand(options.shape),
        torch.from_numpy(target.standardise(drawn.values[:, :most])).float(),
        torch.from_numpy(cluster_odds(fit[:, 1 : most + 1], log_m).clip(-5.0, 5.0)).float(),
    )
    total = log_q.gather(2, torch.from_numpy(options).unsqueeze(2)).squeeze(2).double().sum(1)
    opened = np.cumsum(options == 0, axis=1) - 1
    for t in range(5):
        rows = np.flatnonzero(options[:, t] == 0)
        i = order[t]
        values = drawn.values[rows, opened[rows, t]]
        log_g0 = torch.from_numpy(target.log_base(values)).float()
        x = torch.from_numpy((values - alone.mean[i]) / alone.sd[i]).float()
        seen = torch.from_numpy(alone.seen[i]).float().expand(len(rows), -1)
        log_scale = torch.tensor(np.log(alone.sd[i]).sum()).float()
        total[rows] += posterior.network.log_r(new[rows, t], seen, x, log_scale, log_g0).double()
    np.testing.assert_allclose(drawn.log_q, total.numpy(), atol=2e-3)


@torch.no_grad()
def test_law_of_atoms_is_a_distribution_and_is_drawn_from():
    posterior = made(heavy_mean)
    y = np.array([1.4])
    posterior.n = (1, 6)
    target, items = posterior.target, posterior.items_of(y)
    paths = posterior.paths(y, 20_000, random_seed=1)
    paths.options(np.zeros(20_000, dtype=np.int64))
    first = np.zeros(20_000, dtype=int)
    values = paths._open(first, np.arange(20_000))
    log_r = paths._log_r(paths._new[0], first, values, target.log_base(values))
    grid = np.linspace(-300.0, 300.0, 60_001)
    alone, new = target.alone(items), paths._new[0, :1]
    log_r_grid = posterior.network.log_r(
        new.expand(len(grid), -1),
        torch.from_numpy(alone.seen[[0]]).float().expand(len(grid), -1),
        torch.from_numpy((grid[:, None] - alone.mean[0]) / alone.sd[0]).float(),
        torch.full((len(grid),), float(np.log(alone.sd[0]).sum())),
        torch.from_numpy(target.log_base(grid[:, None])).float(),
    )
    density = np.exp(log_r_grid.double().numpy())
    cumulated = np.cumsum(density) * (grid[1] - grid[0])
    assert cumulated[-1] == pytest.approx(1.0, abs=1e-3)
    found = stats.kstest(values[:, 0], lambda x: np.interp(x, grid, cumulated))
    assert found.pvalue > 1e-6
    np.testing.assert_allclose(
        log_r, np.interp(values[:, 0], grid, log_r_grid.double().numpy()), atol=0.02
    )


@pytest.mark.parametrize("build", [heavy_mean, mean_and_variance, gamma_kernel])
def test_densities_of_atoms_and_items(build):
    posterior = made(build, disturb=False)
    target, mixture = posterior.target, posterior.mixture
    simulated = posterior.simulator.draw(3)
    values = posterior.parameters.values(simulated.atoms)[0]
    model = mixture.model
    atoms = [atom.rv for atom in mixture.atoms]
    log_g0 = model.compile_fn(
        model.logp(vars=atoms, sum=False),
        inputs=[atom.value_var for atom in mixture.atoms],
        point_fn=False,
        mode="FAST_COMPILE",
    )
    columns = [np.ascontiguousarray(x) for x in values.T]
    np.testing.assert_allclose(target.log_base(values), sum(log_g0(*columns)), rtol=1e-6)
    y = simulated.observed["y"][0]
    theta = {name: x[0][:, None] for name, x in simulated.atoms.items()}
    kernel = {
        heavy_mean: lambda mu: stats.norm.logpdf(y, mu, 0.7),
        mean_and_variance: lambda mu, s2: stats.norm.logpdf(y, mu, np.sqrt(s2)),
        gamma_kernel: lambda a, b: stats.gamma.logpdf(y, a, scale=1.0 / b),
    }[build]
    items = posterior.items_of(y)
    np.testing.assert_allclose(target.log_kernel(items, values), kernel(**theta), rtol=1e-6)


def test_pool_estimates():
    """Marginals, moments and log odds from the pool, against quadrature."""
    case = CASES["mean_and_variance"]()
    posterior = made(case.build_model, disturb=False)
    target, items = posterior.target, posterior.items_of(case.y)
    alone, log_odds = target.alone(items), target.log_odds(items[None])[0]
    log_terms = case.log_g0 + case.log_f
    log_m = np.logaddexp.reduce(log_terms, axis=1)
    p = np.exp(log_terms - log_m[:, None])
    column = [atom.rv.name for atom in posterior.mixture.atoms].index("mu")
    f = np.exp(target.log_kernel(items, target._pool))
    relative = f.std(0) / f.mean(0) / np.sqrt(len(f))
    assert (np.abs(alone.log_marginal - log_m) < STANDARD_ERRORS * relative + 0.01).all()
    assert (np.abs(alone.mean[:, column] - p @ case.first) < 0.3).all()
    pairs = np.logaddexp.reduce(log_terms[0] + case.log_f[1])
    assert abs(log_odds[0, 1] - (pairs - log_m[0] - log_m[1])) < 0.3
    assert (log_odds == log_odds.T).all() and (np.diag(log_odds) == 0.0).all()


def test_predictive_density():
    """Of one more item, against the densities of partitions with it and without."""
    posterior = made(heavy_mean, disturb=False)
    target, items = posterior.target, posterior.items_of(np.array([0.1, 0.9, 3.0, 0.4]))
    labels, values = np.array([[0, 0, 1]]), np.zeros((1, target.n_components, 1))
    values[0, :2, 0] = 0.3, 2.5
    found = target.log_predictive(items[:3], labels, values, items[3:])[0, 0]
    before = target.log_prob(items[:3], labels, values)[0]
    more = [target.log_prob(items, np.append(labels, k)[None], values)[0] for k in (0, 1)]
    seat = target.seats[4, 3] - target.seats[3, 2] + target.log_marginal(items[3:])[0]
    assert found == pytest.approx(np.logaddexp.reduce([*(more - before), seat]))


def test_untrained_gains_nothing():
    posterior = made(mean_and_variance, (3, 6), disturb=False)
    rng = np.random.default_rng(0)
    for _ in range(3):
        loss = posterior.loss(posterior.network, posterior.batch(QUICK, rng))
        assert abs(loss.item()) < 1e-4
    loss.backward()
    for transform in posterior.network.flow.transform.transforms:
        gradient = transform.hyper[-1].weight.grad
        assert torch.isfinite(gradient).all() and gradient.abs().max() > 0.0


@pytest.mark.slow
def test_learns_something():
    before, after = losses(made(mean_and_variance, (3, 6), disturb=False), QUICK, 600)
    assert np.abs(before).max() < 1e-4
    assert after.mean() < -STANDARD_ERRORS * after.std() / np.sqrt(len(after))


def test_train_save_and_load(tmp_path):
    options = {"size": SMALL, "schedule": QUICK, "progressbar": False, "accelerator": "cpu"}
    posterior = train(gamma_kernel, (3, 6), budget=1.0, random_seed=1, **options)
    y = np.array([0.2, 1.0, 4.0])
    posterior.save(tmp_path)
    loaded = AmortizedPosterior.load(tmp_path, gamma_kernel)
    first, second = (p.draw(y, 50, random_seed=3) for p in (posterior, loaded))
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.log_q, second.log_q)
    with pytest.raises(ValueError, match="trained for another model"):
        AmortizedPosterior.load(tmp_path, heavy_mean)
    with pytest.raises(ValueError, match=r"2 observations.*3 to 6"):
        posterior.draw(y[:2], 10)


@pytest.mark.slow
def test_check_posterior():
    posterior = made(heavy_mean, (12, 16), disturb=False)
    report = dps.amortized.check_posterior(
        posterior, n_datasets=20, draws=20, n_references=1, reference_draws=100, random_seed=1
    )
    table = report.table()
    assert np.isfinite(table.loc["calibration p", "value"]).all()
    assert np.isfinite(table.loc[("log predictive density", "less reference (nats)"), "value"])


@pytest.mark.parametrize(
    ("name", "draws"), [("heavy_mean", 1_000), *(_slow(name, 4_000) for name in CASES)]
)
def test_remasking(name, draws):
    case = CASES[name]()
    posterior = made(case.build_model)
    step = RemaskingStep(posterior, block=4, proposals=4, model=posterior.model(case.y))
    first = step.model.rvs_to_values[step.model[FIRST[case.build_model]]].name
    chain = run_chain(step, step.model, ["z", first], draws, seed=6, tune=50)
    theta_1 = chain[first][np.arange(draws), chain["z"][:, 0]]
    if first.endswith("_log__"):
        theta_1 = np.exp(theta_1)
    exact, _ = enumerate_case(case)
    assert_means(functionals(chain["z"], theta_1), exact)


def test_what_there_is_not():
    posterior = made(heavy_mean, disturb=False)
    with pytest.raises(dps.MixtureError, match=r"cannot be\s+integrated out.*find_map"):
        posterior.branch(np.zeros(4), mode="best")
    with pm.Model() as shared:
        scale = pm.HalfNormal("scale")
        mu = pm.Laplace("mu", 0.0, 1.0, shape=5)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=5, shape=4)
        pm.Normal("y", mu[z], scale, observed=np.zeros(4))
    with pytest.raises(dps.MixtureError, match=r"scale.*random for all clusters"):
        AmortizedPosterior(lambda n: shared, (2, 4))
    assert made_with_a_pair().draw(np.zeros((4, 2)), 5, random_seed=0).values.shape == (5, 8, 0)


def made_with_a_pair():
    torch.manual_seed(0)
    return AmortizedPosterior(build_model, (2, 6), size=SMALL)
