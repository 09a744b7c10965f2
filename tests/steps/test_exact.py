"""Every algorithm under every prior of the allocation against exact posteriors."""

import json
from pathlib import Path

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from numpy.polynomial.hermite_e import hermegauss
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal, norm

import pymc_dpsteps as dps
from tests.helpers_chain import (
    assert_means,
    atom_of_first_item,
    autocorrelation_time,
    partition_functionals,
    run_chain,
)
from tests.helpers_exact import (
    NOISE,
    SIX_POINTS,
    SPREAD,
    Grid,
    all_labels,
    crp,
    dirichlet,
    dirichlet_means,
    enumerate_normal,
    gamma_grid,
    stick_means,
    sticks,
)

GOLDENS = json.loads((Path(__file__).parents[1] / "goldens.json").read_text())
GOLDEN_SWEEPS, SWEEPS = 40_000, 25_000

STEPS = {
    "neal8-m1": lambda **options: dps.Neal8(m=1, **options),
    "neal8-m2": lambda **options: dps.Neal8(m=2, **options),
    "neal8-m30": lambda **options: dps.Neal8(m=30, **options),
    "blocked": dps.BlockedGibbs,
}
MARGINAL = ["neal8-m1", "neal8-m2", "neal8-m30"]


# The golden cases --------------------------------------------------------------------------------


def golden_exact(case):
    """Expectations of a golden case under the names of `partition_functionals`."""
    exact = GOLDENS[case]["exact"]
    found = {"k": exact["E_k"], "(k - E[k])^2": exact["Var_k"], "theta_1": exact["E_theta_1"]}
    found |= {f"k = {j}": p for j, p in enumerate(exact["P_k"], start=1)}
    together = enumerate(exact["co_clustering_row_1"][1:], start=2)
    found |= {f"item {i} with item 1": p for i, p in together}
    if "E_count_first_slot" in exact:
        found["n of slot 1"] = exact["E_count_first_slot"]
    return found


def nine_points():
    y = np.array(GOLDENS["neal2000_nine_points"]["y"])
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1, shape=9)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=9, shape=9)
        pm.Normal("y", mu[z], 0.1, observed=y)
    return model, "mu", lambda mu: mu


def seven_counts():
    y = np.array(GOLDENS["poisson_gamma_seven_counts"]["y"])
    with pm.Model() as model:
        rate = pm.Gamma("rate", 2, 0.5, shape=7)
        z = dps.ChineseRestaurantProcess("z", 0.8, K=7, shape=7)
        pm.Poisson("y", rate[z], observed=y)
    return model, "rate_log__", np.exp


def truncated_sticks():
    y = np.array(GOLDENS["truncated_sticks_six_points"]["y"])
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1.5, shape=4)
        w = pm.StickBreakingWeights("w", 1.5, K=3)
        z = pm.Categorical("z", w, shape=6)
        pm.Normal("y", mu[z], 0.4, observed=y)
    return model, "mu", lambda mu: mu


GOLDEN_CASES = {
    "neal2000_nine_points": (nine_points, 9, 200_000, MARGINAL),
    "poisson_gamma_seven_counts": (seven_counts, 7, GOLDEN_SWEEPS, MARGINAL),
    "truncated_sticks_six_points": (truncated_sticks, 4, GOLDEN_SWEEPS, [*MARGINAL, "blocked"]),
}


def golden_draws(case, step):
    build, n_components, sweeps, _ = GOLDEN_CASES[case]
    model, atom, to_natural = build()
    with model:
        chain = run_chain(STEPS[step](), model, ["z", atom], sweeps, seed=20)
    functionals = partition_functionals(chain["z"], n_components, GOLDENS[case]["exact"]["E_k"])
    theta_1 = to_natural(atom_of_first_item(chain["z"], chain[atom]))
    return functionals | {"theta_1": theta_1}


@pytest.mark.parametrize(
    ("case", "step"), [(case, step) for case, entry in GOLDEN_CASES.items() for step in entry[3]]
)
def test_golden_posteriors(case, step):
    draws = golden_draws(case, step)
    assert_means(draws, golden_exact(case))
    if case == "neal2000_nine_points":
        assert_autocorrelation_times_of_neal_2000(draws, step.removeprefix("neal8-m"))


def assert_autocorrelation_times_of_neal_2000(draws, m):
    """The same chain mixes as fast as Table 1 says, although its atoms are slice-sampled.

    Neal draws the atoms given their items from the conjugate posterior. Univariate slice sampling
    of one location per cluster loses little: the times agree within the 15% allowed here.
    """
    rows = GOLDENS["neal2000_nine_points"]["autocorrelation_time"]["rows"]
    (row,) = [row for row in rows if row["algorithm"] == f"8, m={m}"]
    for name, times in {"k": row["tau_k"], "theta_1": row["tau_theta_1"]}.items():
        _, independent_program = times  # more precise than Neal's table
        assert autocorrelation_time(draws[name]) == pytest.approx(independent_program, rel=0.15)


# Enumeration of six points under every prior -----------------------------------------------------


def normal_mixture(z, n_components, y=SIX_POINTS):
    mu = pm.Normal("mu", 0, SPREAD, shape=n_components)
    pm.Normal("y", mu[z], NOISE, observed=y)


def from_crp(alpha, discount=0.0, *, K, n_items=6):
    def build():
        with pm.Model() as model:
            z = dps.ChineseRestaurantProcess("z", alpha, discount, K=K, shape=n_items)
            normal_mixture(z, K, SIX_POINTS[:n_items])
        return model

    return build


def from_dirichlet(a):
    def build():
        with pm.Model() as model:
            w = pm.Dirichlet("w", a)
            normal_mixture(pm.Categorical("z", w, shape=6), len(a))
        return model

    return build


def sticks_by_hand(a, b):
    """Weights as the example gallery writes them: the last takes the rest."""
    v = pm.Beta("v", a, b, shape=3)
    left = pt.concatenate([[1.0], pt.cumprod(1.0 - v)])
    w = pm.Deterministic("w", pt.concatenate([v, [1.0]]) * left)
    normal_mixture(pm.Categorical("z", w, shape=6), 4)


def from_sticks_by_hand(a, b):
    def build():
        with pm.Model() as model:
            sticks_by_hand(a, b)
        return model

    return build


def weights_from_simplex(value):
    return softmax(np.concatenate([value, -value.sum(axis=1, keepdims=True)], axis=1), axis=1)


def weights_from_sticks(value):
    v = 1.0 / (1.0 + np.exp(-value))
    left = np.concatenate([np.ones((len(v), 1)), np.cumprod(1.0 - v, axis=1)], axis=1)
    return np.concatenate([v, np.ones((len(v), 1))], axis=1) * left


def pitman_yor_sticks(alpha, discount):
    k = np.arange(1, 4)
    return np.full(3, 1.0 - discount), alpha + k * discount


ALPHA_STICKS = (np.ones(3), np.full(3, 1.5))
PY_STICKS = pitman_yor_sticks(0.8, 0.3)
SYMMETRIC, ASYMMETRIC = np.full(4, 0.5), np.array([0.3, 1.0, 2.0, 0.7])

# model, slots, log p(z | counts), E[w | counts] or None, algorithms
FIXED_PRIORS = {
    "crp-more-slots-than-items": (from_crp(1.3, K=7, n_items=5), 7, lambda c: crp(c, 1.3), None),
    "crp-fewer-slots-than-items": (from_crp(1.5, K=3), 3, lambda c: crp(c, 1.5), None),
    "pitman-yor-crp": (from_crp(0.8, 0.4, K=6), 6, lambda c: crp(c, 0.8, 0.4), None),
    "pitman-yor-crp-few-slots": (from_crp(0.8, 0.4, K=3), 3, lambda c: crp(c, 0.8, 0.4), None),
    "dirichlet-symmetric": (
        from_dirichlet(SYMMETRIC),
        4,
        lambda c: dirichlet(c, SYMMETRIC),
        lambda c: dirichlet_means(c, SYMMETRIC),
    ),
    "dirichlet-asymmetric": (
        from_dirichlet(ASYMMETRIC),
        4,
        lambda c: dirichlet(c, ASYMMETRIC),
        lambda c: dirichlet_means(c, ASYMMETRIC),
    ),
    "sticks-by-hand": (
        from_sticks_by_hand(*ALPHA_STICKS),
        4,
        lambda c: sticks(c, *ALPHA_STICKS),
        lambda c: stick_means(c, *ALPHA_STICKS),
    ),
    "pitman-yor-sticks": (
        from_sticks_by_hand(*PY_STICKS),
        4,
        lambda c: sticks(c, *PY_STICKS),
        lambda c: stick_means(c, *PY_STICKS),
    ),
}


def algorithms(case):
    return ["neal8-m1"] if "crp" in case else ["neal8-m2", "blocked"]


@pytest.mark.parametrize(
    ("case", "step"), [(case, step) for case in FIXED_PRIORS for step in algorithms(case)]
)
def test_posteriors_under_fixed_priors(case, step):
    build, n_components, log_prior, weight_means = FIXED_PRIORS[case]
    model = build()
    y = SIX_POINTS[: model["z"].type.shape[0]]
    posterior = enumerate_normal(y, n_components, log_prior)
    exact = posterior.expectations()
    recorded = [v.name for v in model.value_vars]
    with model:
        chain = run_chain(STEPS[step](), model, recorded, SWEEPS, seed=21)
    draws = partition_functionals(chain["z"], n_components, exact["k"])
    draws["theta_1"] = atom_of_first_item(chain["z"], chain["mu"])
    if weight_means is not None:
        by_sticks = "v_logodds__" in chain
        value = chain["v_logodds__" if by_sticks else "w_simplex__"]
        w = (weights_from_sticks if by_sticks else weights_from_simplex)(value)
        for k, mean in enumerate(posterior.expectation(weight_means(posterior.counts)), start=1):
            exact[f"w_{k}"] = mean
            draws[f"w_{k}"] = w[:, k - 1]
    assert_means(draws, exact)


# Random concentrations: exact by quadrature ------------------------------------------------------


def random_crp(K, *, with_discount=False):
    def build():
        with pm.Model() as model:
            alpha = pm.Gamma("alpha", 2, 2)
            discount = pm.Beta("discount", 1, 2) if with_discount else 0.0
            normal_mixture(dps.ChineseRestaurantProcess("z", alpha, discount, K=K, shape=6), K)
        return model

    return build


def random_sticks():
    with pm.Model() as model:
        alpha = pm.Gamma("alpha", 2, 2)
        w = pm.StickBreakingWeights("w", alpha, K=3)
        normal_mixture(pm.Categorical("z", w, shape=6), 4)
    return model


def random_sticks_by_hand():
    with pm.Model() as model:
        sticks_by_hand(1.0, pm.Gamma("alpha", 2, 2))
    return model


def random_dirichlet():
    with pm.Model() as model:
        alpha = pm.Gamma("alpha", 2, 2)
        w = pm.Dirichlet("w", alpha / 4 * np.ones(4))
        normal_mixture(pm.Categorical("z", w, shape=6), 4)
    return model


def random_crp_on_log_scale():
    with pm.Model() as model:
        alpha = pt.exp(pm.Normal("log_alpha", 0, 1))
        normal_mixture(dps.ChineseRestaurantProcess("z", alpha, K=6, shape=6), 6)
    return model


def log_normal_grid(step=0.05):
    log_alpha = np.arange(-8.0, 8.0, step)
    return Grid((np.exp(log_alpha),), norm.logpdf(log_alpha) + np.log(step))


def alpha_and_discount_grid():
    alpha = gamma_grid(2, 2, step=0.2)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    discount = 0.5 * (nodes + 1.0)
    log_weights = np.log(weights * (1.0 - discount))  # density 2 (1 - d), interval of length 1
    pairs = np.meshgrid(alpha.nodes[0], discount, indexing="ij")
    log_pairs = alpha.log_weights[:, None] + log_weights
    return Grid(tuple(x.ravel() for x in pairs), log_pairs.ravel())


def log_sticks(counts, alpha):
    return sticks(counts, [1.0] * 3, [alpha] * 3)


RANDOM_PRIORS = {
    "crp": (random_crp(6), 6, gamma_grid(2, 2), crp),
    "crp-fewer-slots-than-items": (random_crp(3), 3, gamma_grid(2, 2), crp),
    "crp-on-log-scale": (random_crp_on_log_scale, 6, log_normal_grid(), crp),
    "crp-with-discount": (random_crp(6, with_discount=True), 6, alpha_and_discount_grid(), crp),
    "sticks": (random_sticks, 4, gamma_grid(2, 2), log_sticks),
    "sticks-by-hand": (random_sticks_by_hand, 4, gamma_grid(2, 2), log_sticks),
    "dirichlet": (
        random_dirichlet,
        4,
        gamma_grid(2, 2),
        lambda c, alpha: dirichlet(c, [alpha / 4] * 4),
    ),
}


@pytest.mark.parametrize(
    ("case", "step"), [(case, step) for case in RANDOM_PRIORS for step in algorithms(case)]
)
def test_posteriors_with_a_random_concentration(case, step):
    build, n_components, grid, log_prior = RANDOM_PRIORS[case]
    log_marginal, means = grid.integrate(log_prior)
    posterior = enumerate_normal(SIX_POINTS, n_components, log_marginal)
    exact = posterior.expectations()
    model = build()
    recorded = [v.name for v in model.value_vars]
    with model:
        chain = run_chain(STEPS[step](), model, recorded, SWEEPS, seed=22)
    draws = partition_functionals(chain["z"], n_components, exact["k"])
    draws["theta_1"] = atom_of_first_item(chain["z"], chain["mu"])
    draws["alpha"] = np.exp(chain["log_alpha" if "log_alpha" in chain else "alpha_log__"])
    if "discount_logodds__" in chain:
        draws["discount"] = 1.0 / (1.0 + np.exp(-chain["discount_logodds__"]))
    for name, mean in zip(["alpha", "discount"], means, strict=False):
        exact[name] = float(posterior.expectation(mean(posterior.counts)))
    assert_means(draws, exact)


# Weights of unknown law --------------------------------------------------------------------------


def test_blocked_gibbs_with_fixed_weights():
    p = np.array([0.5, 0.3, 0.15, 0.05])
    with pm.Model() as model:
        normal_mixture(pm.Categorical("z", p, shape=6), 4)
        chain = run_chain(dps.BlockedGibbs(), model, ["z", "mu"], SWEEPS, seed=23)
    exact = enumerate_normal(SIX_POINTS, 4, lambda c: c @ np.log(p)).expectations()
    draws = partition_functionals(chain["z"], 4, exact["k"])
    draws["theta_1"] = atom_of_first_item(chain["z"], chain["mu"])
    assert_means(draws, exact)


def softmax_normal_prior(counts):
    """Log E[Π w_k^n_k] for w = softmax of (0, two standard normals), by Gauss-Hermite."""
    nodes, weights = hermegauss(40)
    eta = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    log_weights = np.add.outer(np.log(weights), np.log(weights)).ravel() - np.log(2.0 * np.pi)
    logits = np.column_stack([np.zeros(len(eta)), eta])
    log_w = logits - logsumexp(logits, axis=1, keepdims=True)
    return logsumexp(counts @ log_w.T + log_weights, axis=1)


def test_blocked_gibbs_with_weights_sampled_by_nuts():
    with pm.Model():
        eta = pm.Normal("eta", 0, 1, shape=2)
        w = pm.Deterministic("w", pm.math.softmax(pt.concatenate([[0.0], eta])))
        normal_mixture(pm.Categorical("z", w, shape=6), 3)
        idata = pm.sample(
            6_000,
            tune=500,
            chains=1,
            step=dps.BlockedGibbs(),
            random_seed=24,
            quiet=True,
            compute_convergence_checks=False,
        )
    exact = enumerate_normal(SIX_POINTS, 3, softmax_normal_prior).expectations()
    z, mu = (idata.posterior[name].to_numpy()[0] for name in ("z", "mu"))
    draws = partition_functionals(z, 3, exact["k"])
    draws["theta_1"] = atom_of_first_item(z, mu)
    assert_means(draws, exact)


# What the step reads anew at every iteration -----------------------------------------------------


def gaussian_posterior(covariances, y):
    """Posterior probabilities of allocations under which y is normal with mean zero."""
    log_density = [multivariate_normal(cov=c).logpdf(y) for c in covariances]
    return np.exp(log_density - logsumexp(log_density))


def test_hyperparameter_updated_by_another_step():
    """m ~ Normal(0, 1), mu_k ~ Normal(m, SPREAD): m given mu is drawn exactly between sweeps."""
    y, K = SIX_POINTS[1:] + 1.0, 3
    with pm.Model() as model:
        m = pm.Normal("m", 0, 1)
        mu = pm.Normal("mu", m, SPREAD, shape=K)
        w = pm.Dirichlet("w", np.ones(K))
        z = pm.Categorical("z", w, shape=len(y))
        pm.Normal("y", mu[z], NOISE, observed=y)

    def draw_m(point, rng):
        precision = 1.0 + K / SPREAD**2
        mean = point["mu"].sum() / SPREAD**2 / precision
        return point | {"m": np.array(rng.normal(mean, precision**-0.5))}

    with model:
        chain = run_chain(dps.Neal8(m=2), model, ["z", "m"], SWEEPS, seed=25, between=draw_m)
    labels = all_labels(len(y), K)
    covariances = [
        NOISE**2 * np.eye(len(y)) + SPREAD**2 * np.equal.outer(z, z) + 1.0 for z in labels
    ]
    prior = np.exp(dirichlet(np.array([np.bincount(z, minlength=K) for z in labels]), [1.0] * K))
    probability = gaussian_posterior(covariances, y) * prior
    probability /= probability.sum()
    means = [np.ones(len(y)) @ np.linalg.solve(c, y) for c in covariances]
    mean_k = float(probability @ [len(set(z)) for z in labels])
    found = partition_functionals(labels, K, mean_k)
    exact = {name: float(probability @ x) for name, x in found.items()}
    exact["m"] = float(probability @ means)
    assert_means(partition_functionals(chain["z"], K, mean_k) | {"m": chain["m"]}, exact)


def test_latent_kernel_variable_updated_by_another_step():
    """x_i ~ Normal(mu[z_i], 0.6) unobserved, y_i ~ Normal(x_i, NOISE): x is drawn exactly."""
    y, K, scatter = SIX_POINTS, 4, 0.6
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, SPREAD, shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=len(y))
        x = pm.Normal("x", mu[z], scatter)
        pm.Normal("y", x, NOISE, observed=y)

    def draw_x(point, rng):
        precision = scatter**-2 + NOISE**-2
        mean = (point["mu"][point["z"]] / scatter**2 + y / NOISE**2) / precision
        return point | {"x": rng.normal(mean, precision**-0.5)}

    with model:
        chain = run_chain(dps.Neal8(m=2), model, ["z", "x"], SWEEPS, seed=26, between=draw_x)
    labels = all_labels(len(y), K)
    counts = np.array([np.bincount(z, minlength=K) for z in labels])
    noise = (NOISE**2 + scatter**2) * np.eye(len(y))
    covariances = [noise + SPREAD**2 * np.equal.outer(z, z) for z in labels]
    probability = gaussian_posterior(covariances, y) * np.exp(crp(counts))
    probability /= probability.sum()
    first = [y[0] - NOISE**2 * np.linalg.solve(c, y)[0] for c in covariances]  # E[x_1 | z, y]
    mean_k = float(probability @ (counts > 0).sum(axis=1))
    found = partition_functionals(labels, K, mean_k)
    exact = {name: float(probability @ f) for name, f in found.items()}
    exact["x_1"] = float(probability @ first)
    draws = partition_functionals(chain["z"], K, mean_k) | {"x_1": chain["x"][:, 0]}
    assert_means(draws, exact)


def test_two_allocations_in_one_likelihood():
    """y_i ~ Normal(mu[z_i] + nu[c_i], NOISE): a step for z and a step for c take turns."""
    y, K = SIX_POINTS[[0, 2, 3, 5]], 2
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, SPREAD, shape=K)
        nu = pm.Normal("nu", 0, 1, shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=len(y))
        c = pm.Categorical("c", pm.Dirichlet("w", [0.5, 2.0]), shape=len(y))
        pm.Normal("y", mu[z] + nu[c], NOISE, observed=y)
        first, second = dps.Neal8(z, m=2), dps.Neal8(c, m=2)
        second.setup_chain(np.random.default_rng(27), 500, SWEEPS)

        def other_step(point, rng):
            return second.step(point)[0]

        chain = run_chain(first, model, ["z", "c"], SWEEPS, seed=27, between=other_step)
    labels = all_labels(len(y), K)
    counts = np.array([np.bincount(z, minlength=K) for z in labels])
    log_prior = np.add.outer(crp(counts), dirichlet(counts, [0.5, 2.0])).ravel()
    covariances = [
        NOISE**2 * np.eye(len(y)) + SPREAD**2 * np.equal.outer(z, z) + np.equal.outer(c, c)
        for z in labels
        for c in labels
    ]
    probability = gaussian_posterior(covariances, y) * np.exp(log_prior)
    probability /= probability.sum()
    tables = {
        "z": probability.reshape(len(labels), -1).sum(axis=1),
        "c": probability.reshape(len(labels), -1).sum(axis=0),
    }
    for name, marginal in tables.items():
        mean_k = float(marginal @ (counts > 0).sum(axis=1))
        found = partition_functionals(labels, K, mean_k)
        exact = {functional: float(marginal @ f) for functional, f in found.items()}
        assert_means(partition_functionals(chain[name], K, mean_k), exact)


@pytest.mark.parametrize("step", ["neal8-m2", "blocked"])
def test_statistics_of_a_sweep_describe_its_partition(step):
    with truncated_sticks()[0] as model:
        sampler = STEPS[step]()
    sampler.setup_chain(np.random.default_rng(29), 0, 300)
    point, clusters = model.initial_point(), None
    for _ in range(300):
        before = clusters
        point, (stats,) = sampler.step(point)
        counts = np.bincount(point["z"], minlength=4)
        clusters = int((counts > 0).sum())
        assert stats["n_clusters"] == clusters
        assert stats["largest_cluster"] == counts.max()
        assert stats["slots_full"] == (clusters == 4)
        assert stats["slice_evaluations"] >= 4 * clusters
        if before is not None:
            assert stats["births"] - stats["deaths"] == clusters - before


def test_label_swaps_leave_the_prior_invariant():
    """One item with fixed atoms: swaps alone must map the prior of its label to itself."""
    from pymc_dpsteps.steps.updates import count, swap_labels

    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1, shape=4)
        z = pm.Categorical("z", pm.StickBreakingWeights("w", 1.0, K=3), shape=1)
        pm.Normal("y", mu[z], 1.0, observed=[0.0])
        step = dps.Neal8()
    step.setup_chain(np.random.default_rng(28), 1, 1)
    step.step(model.initial_point())
    state, rng = step._state, np.random.default_rng(28)
    p = np.array([0.5, 0.25, 0.125, 0.125])
    starts, ends = rng.choice(4, size=20_000, p=p), np.zeros(4)
    for start in starts:
        state.z[0] = start
        count(state)
        swap_labels(rng, state)
        assert state.counts[state.z[0]] == 1
        ends[state.z[0]] += 1
    errors = np.sqrt(len(starts) * p * (1.0 - p))
    assert np.all(np.abs(ends - len(starts) * p) < 5.0 * errors)
