"""Split–merge in turns with another step, and where single-site moves do not get.

Alone, it is among the algorithms of `test_exact` and `test_geweke`.
"""

from itertools import permutations

import numpy as np
import pymc as pm
import pytest
from scipy.special import gammaln, logsumexp
from scipy.stats import norm

import pymc_dpsteps as dps
from pymc_dpsteps.jit import njit
from pymc_dpsteps.steps.split_merge_labels import draw_slots, log_slots, propose_slots, relabel
from pymc_dpsteps.steps.split_merge_moves import allocate_scratch, settle
from pymc_dpsteps.steps.split_merge_sequential import allocate_sequentially
from pymc_dpsteps.steps.state import chain_at
from tests.helpers_chain import (
    STANDARD_ERRORS,
    assert_means,
    atom_of_first_item,
    effective_size,
    partition_functionals,
    run_chain,
    slot_counts,
)
from tests.helpers_exact import (
    NOISE,
    SIX_POINTS,
    SPREAD,
    all_labels,
    crp,
    dirichlet,
    enumerate_normal,
    sticks,
)

FORMS = ["restricted_gibbs", "sequential", "plug_in", "nonconjugate"]
ASYMMETRIC = np.array([0.3, 1.0, 2.0, 0.7])


def six_points(prior):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, SPREAD, shape=4)
        pm.Normal("y", mu[prior()], NOISE, observed=SIX_POINTS)
    return model


def crp_prior():
    return dps.ChineseRestaurantProcess("z", 1.5, K=4, shape=6)


def dirichlet_prior():
    return pm.Categorical("z", pm.Dirichlet("w", ASYMMETRIC), shape=6)


EXACT = {crp_prior: lambda c: crp(c, 1.5), dirichlet_prior: lambda c: dirichlet(c, ASYMMETRIC)}


# In turns with another step ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prior", "proposal", "other"),
    [
        (crp_prior, "restricted_gibbs", dps.Neal3),
        (crp_prior, "nonconjugate", dps.Neal8),
        (dirichlet_prior, "sequential", dps.Neal8),
        (dirichlet_prior, "nonconjugate", dps.BlockedGibbs),
    ],
)
def test_in_turns_with_another_step(prior, proposal, other):
    with six_points(prior):
        idata = pm.sample(
            8_000,
            tune=500,
            chains=1,
            step=[dps.SplitMerge(proposal=proposal), other()],
            random_seed=31,
            quiet=True,
            compute_convergence_checks=False,
        )
    exact = enumerate_normal(SIX_POINTS, 4, EXACT[prior]).expectations()
    z, mu = (idata.posterior[name].to_numpy()[0] for name in ("z", "mu"))
    draws = partition_functionals(z, 4, exact["k"]) | {"theta_1": atom_of_first_item(z, mu)}
    assert_means(draws, exact)


def test_two_steps_of_one_allocation_in_two_processes():
    """Draws do not depend on the number of processes; statistics have one column per step."""
    draws = {}
    for cores in (1, 2):
        with six_points(dirichlet_prior):
            idata = pm.sample(
                200,
                tune=100,
                chains=2,
                cores=cores,
                step=[dps.SplitMerge(), dps.Neal8()],
                random_seed=32,
                quiet=True,
                compute_convergence_checks=False,
            )
        draws[cores] = idata.posterior
        assert idata.sample_stats["n_clusters"].shape == (2, 200, 2)
        z = idata.posterior["z"].to_numpy()
        clusters = [[len(set(draw)) for draw in chain] for chain in z]
        assert np.array_equal(idata.sample_stats["n_clusters"][..., 1], clusters)
    for name in ("z", "mu", "w"):
        assert np.array_equal(draws[1][name], draws[2][name])
    assert not np.array_equal(draws[1]["mu"][0], draws[1]["mu"][1])


FIT_TOGETHER = np.array([0.3, -0.6, 0.0, 0.7, -0.3, 0.1, -0.1, 0.4])


@pytest.mark.parametrize("options", [{"atoms": "slice"}, {"atoms": None}], ids=["slice", "none"])
@pytest.mark.parametrize("proposal", FORMS)
def test_a_short_launch_on_items_that_fit_together(proposal, options):
    """Diffuse allocations and t = 1: proposals remember their launch state and the counts.

    With atoms=None a split or merge is all that moves the atoms, and enough on few items.
    """
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, SPREAD, shape=3)
        z = pm.Categorical("z", pm.Dirichlet("w", [3.0, 4.0, 5.0]), shape=8)
        pm.Normal("y", mu[z], NOISE, observed=FIT_TOGETHER)
        step = dps.SplitMerge(proposal=proposal, t=1, moves=2, **options)
        chain = run_chain(step, model, ["z", "mu"], 40_000, seed=37)
    assert step.widths[0] > 0.1 * SPREAD  # not lost where there are no moves to learn from
    posterior = enumerate_normal(FIT_TOGETHER, 3, lambda c: dirichlet(c, [3.0, 4.0, 5.0]))
    exact = posterior.expectations()
    n_first = posterior.counts[np.arange(len(posterior.labels)), posterior.labels[:, 0]]
    variance = 1.0 / (n_first / NOISE**2 + 1.0 / SPREAD**2)
    exact["theta_1^2"] = float(posterior.probability @ (posterior.theta_1**2 + variance))
    theta_1 = atom_of_first_item(chain["z"], chain["mu"])
    draws = partition_functionals(chain["z"], 3, exact["k"])
    assert_means(draws | {"theta_1": theta_1, "theta_1^2": theta_1**2}, exact)


def normal_inverse_gamma(labels, y, *, kappa, a, b):
    """Log marginal likelihood of every label vector: mu | s2 ~ N(0, s2 / kappa), s2 ~ IG(a, b)."""
    result = np.zeros(len(labels))
    for k in range(labels.max() + 1):
        n, total, squares = ((labels == k) @ x for x in (y**0, y, y**2))
        b_n = b + 0.5 * (squares - total**2 / (kappa + n))
        result += gammaln(a + n / 2) - gammaln(a) + a * np.log(b) - (a + n / 2) * np.log(b_n)
        result += 0.5 * np.log(kappa / (kappa + n)) - n / 2 * np.log(2.0 * np.pi)
    return result


@pytest.mark.parametrize("proposal", FORMS)
def test_atoms_of_two_dependent_coordinates(proposal):
    """Where Newton's steps depend on the launch value, and the launch on its start."""
    y, prior = SIX_POINTS, {"kappa": 0.2, "a": 1.5, "b": 0.3}
    with pm.Model() as model:
        s2 = pm.InverseGamma("s2", prior["a"], prior["b"], shape=3)
        mu = pm.Normal("mu", 0, pm.math.sqrt(s2 / prior["kappa"]), shape=3)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=3, shape=6)
        pm.Normal("y", mu[z], pm.math.sqrt(s2[z]), observed=y)
        step = dps.SplitMerge(proposal=proposal, t=1, moves=2, atoms="slice")
        chain = run_chain(step, model, ["z"], 30_000, seed=38)
    labels = all_labels(6, 3)
    log_posterior = crp(slot_counts(labels, 3), 1.0) + normal_inverse_gamma(labels, y, **prior)
    probability = np.exp(log_posterior - logsumexp(log_posterior))
    mean_k = float(probability @ (slot_counts(labels, 3) > 0).sum(axis=1))
    found = partition_functionals(labels, 3, mean_k)
    exact = {name: float(probability @ x) for name, x in found.items()}
    assert_means(partition_functionals(chain["z"], 3, mean_k), exact)


# Where single-site moves do not get --------------------------------------------------------------

N, SEPARATION, ENOUGH = 400, 1.8, 100


def two_overlapping_components():
    """Quantiles of two unit normals 1.8 apart: their mixture has one mode, and two halves."""
    y = np.add.outer([-0.5, 0.5], norm.ppf((np.arange(N // 2) + 0.5) / (N // 2)) / SEPARATION)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 10, shape=10)
        z = dps.ChineseRestaurantProcess("z", 0.001, K=10, shape=N)
        pm.Normal("y", mu[z], 1.0, observed=SEPARATION * y.ravel())
    return model


def start(model, steps, seed, *, split, tune, draws):
    """A settled chain with all items in one cluster or, with `split`, in its two halves."""
    rng = np.random.default_rng(seed)
    point = model.initial_point(random_seed=seed)
    point["mu"] = rng.normal(0.0, 10.0, size=10)
    point["mu"][:2] = (-0.5 * SEPARATION, 0.5 * SEPARATION) if split else (0.0, point["mu"][1])
    point["z"][:] = np.repeat([0, 1], N // 2) if split else 0
    for step, child in zip(steps, rng.spawn(len(steps)), strict=True):
        step.setup_chain(child, tune, draws)
        step.started = True  # here, and not at a partition of its own
    return point


def sweeps_to_second_mode(model, steps, seed, cap):
    """First iteration with at least 100 items outside the largest cluster, at most `cap`."""
    point = start(model, steps, seed, split=False, tune=cap, draws=0)
    for iteration in range(1, cap + 1):
        for step in steps:
            point, _ = step.step(point)
        if N - np.bincount(point["z"]).max() >= ENOUGH:
            return iteration
    return cap


@pytest.mark.parametrize("proposal", FORMS)
def test_reaches_the_second_mode_twenty_times_sooner(proposal):
    model = two_overlapping_components()
    with model:
        split_merge, neal8 = dps.SplitMerge(proposal=proposal), dps.Neal8()
    seeds = range(40, 49)
    together = [sweeps_to_second_mode(model, [split_merge, neal8], s, 200) for s in seeds]
    single_site = [sweeps_to_second_mode(model, [neal8], s, 2_000) for s in seeds]
    assert np.median(single_site) > 20.0 * np.median(together), (together, single_site)


def both_modes_chain(model, steps, seed, *, split, draws):
    """Functionals of a chain: clusters, the largest, and the spread of the items' means."""
    point = start(model, steps, seed, split=split, tune=300, draws=draws)
    found = np.empty((draws, 3))
    for iteration in range(-300, draws):
        if iteration == 0:
            for step in steps:
                step.stop_tuning()
        for step in steps:
            point, _ = step.step(point)
        if iteration >= 0:
            counts = np.bincount(point["z"], minlength=10)
            spread = counts @ point["mu"] ** 2 / N
            found[iteration] = (counts > 0).sum(), counts.max(), spread
    return found


@pytest.mark.parametrize("draws", [2_500, pytest.param(40_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("proposal", FORMS)
def test_finds_the_posterior_that_single_site_moves_keep(proposal, draws):
    """Neal 8 from the right split stays around it; split–merge comes there from one cluster."""
    model = two_overlapping_components()
    with model:
        split_merge, neal8 = dps.SplitMerge(proposal=proposal), dps.Neal8()
    together = both_modes_chain(model, [split_merge, neal8], 51, split=False, draws=draws)
    single_site = both_modes_chain(model, [neal8], 52, split=True, draws=draws)
    error = np.zeros(3)
    for chain in (together, single_site):
        error += chain.var(axis=0) / [effective_size(x) for x in chain.T]
    difference = together.mean(axis=0) - single_site.mean(axis=0)
    assert np.all(np.abs(difference) < STANDARD_ERRORS * np.sqrt(error) + 1e-12)


# The probability of a proposal -------------------------------------------------------------------


DISCOUNTS = (0.4, 0.1)


@njit
def allocate(chain, scratch, n, replay, least):
    rng, state = chain_at(chain)
    return allocate_sequentially(rng, n, DISCOUNTS, replay, least, state, scratch)


def log_q_by_hand(y, sides):
    """Dahl and Newcomb's, unit kernel, by densities that follow when a side has grown by 1/32."""
    sums, counts, due, log_q = y[:2].copy(), np.ones(2), np.ones(2), 0.0
    mean, variance = np.zeros(2), np.ones(2)
    for value, side in zip(y[2:], sides[2:], strict=True):
        follow = counts >= due
        precision = SPREAD**-2 + counts
        mean, variance = (
            np.where(follow, new, old)
            for new, old in ((sums / precision, mean), (1.0 + 1.0 / precision, variance))
        )
        due = np.where(follow, counts + np.maximum(counts / 32, 1.0), due)
        p = (counts - DISCOUNTS) * norm.pdf(value, mean, np.sqrt(variance))
        c = 1 - side  # i's side comes first
        log_q += np.log(p[c] / p.sum())
        sums[c] += value
        counts[c] += 1
    return log_q


@pytest.mark.parametrize("replay", [False, True])
def test_probability_of_a_sequential_allocation(replay):
    """Whether sides are drawn or given; and nothing more is computed once it is too small."""
    rng = np.random.default_rng(39)
    y, n = rng.normal(size=400), 300
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, SPREAD, shape=3)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=3, shape=400)
        pm.Normal("y", mu[z], 1.0, observed=y)
        step = dps.SplitMerge(rng=40)
    step._unpack(model.initial_point())
    scratch, given = step._scratch, rng.integers(2, size=n)
    given[:2] = 1, 0

    def run(least):
        scratch.members[:n], scratch.side[:n] = np.arange(n), given
        return allocate(step._chain, scratch, n, replay, least)

    log_q, order, sides = run(-np.inf), scratch.members[:n], scratch.side[:n]
    assert log_q == pytest.approx(log_q_by_hand(y[order], sides), rel=1e-9)
    assert np.array_equal(np.sort(order), np.arange(n))
    assert np.array_equal(order[:2], [0, 1])
    assert not replay or np.array_equal(sides, given[order])
    assert np.ptp(order[2:] - np.arange(2, n)) > 0
    assert log_q < run(-1.0) < -1.0


# Small and impossible cases ----------------------------------------------------------------------


def step_of_six_points(prior):
    with six_points(prior) as model:
        step = dps.SplitMerge()
    point = model.initial_point()
    step.setup_chain(np.random.default_rng(34), 0, 1)
    step.started = True
    step.step(point)
    return step


@pytest.mark.parametrize("prior", [crp_prior, dirichlet_prior])
def test_prior_ratio_and_move(prior):
    """Log p(z split) - log p(z merged) + log of the empty slots, by hand; a split is undone."""
    step = step_of_six_points(prior)
    state, scratch = step._state, allocate_scratch(6, 4)
    merged, split = np.array([2, 2, 0, 0, 0, 0]), np.array([2, 2, 0, 0, 3, 3])
    state.z[:] = merged
    state.counts[:] = np.bincount(merged, minlength=4)
    state.n_active[0], state.active[:2], state.position[[0, 2]] = 2, [0, 2], [0, 1]
    scratch.members[:4], scratch.side[:4] = [4, 2, 3, 5], [1, 0, 0, 1]

    def log_p(z):
        return EXACT[prior](np.bincount(z, minlength=4)[None])[0]

    expected = log_p(split) - log_p(merged) + np.log(2.0)
    rng = np.random.default_rng(0)
    scratch.sizes[:] = np.bincount(split, minlength=4)
    ratio = propose_slots(rng, False, state, scratch)
    assert ratio == pytest.approx(expected, rel=1e-12)
    settle(state, scratch, 4, 3, 0)
    assert np.array_equal(state.z, split)
    assert np.array_equal(state.counts, np.bincount(split, minlength=4))
    assert set(state.active[: state.n_active[0]]) == {0, 2, 3}
    scratch.sizes[:] = np.bincount(merged, minlength=4)
    ratio = propose_slots(rng, False, state, scratch)
    assert ratio == pytest.approx(-expected, rel=1e-12)
    settle(state, scratch, 4, 3, 0)
    assert np.array_equal(state.z, merged)
    assert np.array_equal(state.counts, np.bincount(merged, minlength=4))
    assert set(state.active[: state.n_active[0]]) == {0, 2}


STICKS = {
    "dirichlet-process": lambda k: (1.0, 1.5),
    "pitman-yor": lambda k: (0.7, 0.8 + 0.3 * (k + 1)),
    "any": lambda k: (2.5 - 0.5 * k, 0.2 + 0.1 * k),
}


@pytest.mark.parametrize("law", STICKS.values(), ids=STICKS)
def test_slots_under_sticks(law):
    """Every order of three clusters in four slots is drawn as often as `log_slots` says."""
    parameters = np.array([law(k) for k in range(3)])
    orders = sorted(set(permutations([4, 2, 1, 0])))
    p = np.exp([log_slots(np.array(order), 3, True, parameters) for order in orders])
    assert p.sum() == pytest.approx(1.0, rel=1e-12)
    rng, n, found = np.random.default_rng(41), 20_000, dict.fromkeys(orders, 0)
    for _ in range(n):
        counts, partner = np.array(orders[int(rng.integers(len(orders)))]), np.zeros(4, np.int64)
        before = counts.copy()
        draw_slots(rng, counts, parameters, partner)
        for k, l in enumerate(partner):
            before[[k, l]] = before[[l, k]]
        assert np.array_equal(before, counts)
        found[tuple(int(c) for c in counts)] += 1
    frequencies = np.array([found[order] for order in orders]) / n
    assert np.all(np.abs(frequencies - p) < STANDARD_ERRORS * np.sqrt(p * (1.0 - p) / n) + 1e-12)


@pytest.mark.parametrize("discount", [0.0, 0.3])
def test_without_truncation_labels_take_no_part(discount):
    """p(z) over the probability of its slots is that of the partition, whatever the slots."""
    alpha, n_slots = 0.4, 400
    k = np.arange(1, n_slots)
    parameters = np.column_stack([np.full(n_slots - 1, 1.0 - discount), alpha + discount * k])
    for slots in ([0, 1, 2], [2, 0, 1], [1, 4, 7], [9, 3, 0]):
        counts = np.zeros((1, n_slots), dtype=np.int64)
        counts[0, slots] = 50, 7, 1
        found = sticks(counts, *parameters.T)[0] - log_slots(counts[0], 3, True, parameters)
        assert found == pytest.approx(log_eppf([50, 7, 1], alpha, discount), abs=0.02)


def log_eppf(sizes, alpha, discount):
    """Log probability of a partition under the Pitman–Yor process."""
    tables = sum(np.log(alpha + l * discount) for l in range(1, len(sizes)))
    within = sum(gammaln(n - discount) - gammaln(1.0 - discount) for n in sizes)
    return tables + within - gammaln(alpha + sum(sizes)) + gammaln(alpha + 1.0)


def test_atoms_follow_their_clusters():
    step = step_of_six_points(crp_prior)
    state = step._state
    atoms = state.values[state.z].copy()
    sizes = np.sort(np.bincount(state.z, minlength=4))
    relabel(state, np.array([2, 3, 3, 3]))
    assert np.array_equal(state.values[state.z], atoms)
    assert np.array_equal(state.counts, np.bincount(state.z, minlength=4))
    assert np.array_equal(np.sort(state.counts), sizes)
    assert set(state.active[: state.n_active[0]]) == set(state.z)


def test_slots_full():
    """Two slots, both occupied: nothing can be split, and two clusters can be merged."""
    y = np.array([-0.3, 0.2, 0.4, 1.0])
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, SPREAD, shape=2)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=2, shape=4)
        pm.Normal("y", mu[z], NOISE, observed=y)
        chain = run_chain(dps.SplitMerge(moves=3), model, ["z", "mu"], 15_000, seed=36)
    exact = enumerate_normal(y, 2, lambda c: crp(c, 1.0)).expectations()
    draws = partition_functionals(chain["z"], 2, exact["k"])
    draws["theta_1"] = atom_of_first_item(chain["z"], chain["mu"])
    assert_means(draws, exact)


def test_weights_of_unknown_law():
    with (
        six_points(lambda: pm.Categorical("z", [0.1, 0.2, 0.3, 0.4], shape=6)),
        pytest.raises(dps.MixtureError, match="SplitMerge integrates the weights of z out"),
    ):
        dps.SplitMerge()


def test_sequential_proposal_needs_a_conjugate_pair():
    with pm.Model():
        mu = pm.StudentT("mu", nu=3, mu=0, sigma=2, shape=4)
        pm.Normal("y", mu[crp_prior()], NOISE, observed=SIX_POINTS)
        with pytest.raises(dps.MixtureError, match=r"mu.*proposal='plug_in'"):
            dps.SplitMerge(proposal="sequential")
        dps.SplitMerge(proposal="restricted_gibbs")


@pytest.mark.parametrize(
    "options", [{"t": 0}, {"t": 1.5}, {"moves": 0}, {"moves": True}, {"proposal": "gibbs"}]
)
def test_options(options):
    with six_points(crp_prior), pytest.raises(ValueError, match=next(iter(options))):
        dps.SplitMerge(**options)
