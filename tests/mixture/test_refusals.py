"""What is refused, by name and with a way out, and what looks odd but must work."""

import re

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

import pymc_dpsteps as dps

N, K = 6, 4
Y = np.random.default_rng(1).normal(size=N)


def crp(name="z", n_slots=K, n_items=N):
    return dps.ChineseRestaurantProcess(name, 1.0, K=n_slots, shape=n_items)


def assert_refused(declare, *fragments, step=dps.Neal8, error=dps.MixtureError, **options):
    """The step refuses the model, and its message holds every fragment as a word."""
    with pm.Model(), pytest.raises(error) as caught:
        declare()
        step(**options)
    message = str(caught.value)
    for fragment in fragments:
        assert re.search(rf"(?<!\w){re.escape(fragment)}(?!\w)", message), message


# Atoms that are not i.i.d. over components -------------------------------------------------------


def normal_with(mu):
    pm.Normal("y", mu[crp()], 1, observed=Y)


def test_a_different_prior_for_each_component():
    def declare():
        normal_with(pm.Normal("mu", np.arange(K), 1, shape=K))

    assert_refused(declare, "mu", "[0 1 2 3]", "without a component axis")


def test_a_different_constant_for_each_component():
    def declare():
        mu, z = pm.Normal("mu", 0, 1, shape=K), crp()
        scales = pt.as_tensor([1.0, 2.0, 3.0, 4.0])
        pm.Normal("y", mu[z], scales[z], observed=Y)

    assert_refused(declare, "y", "[1. 2. 3. 4.]", "different constant for each component")


def test_ordered_atoms():
    def declare():
        ordered = pm.distributions.transforms.ordered
        normal_with(pm.Normal("mu", 0, 1, shape=K, transform=ordered, initval=np.arange(K)))

    assert_refused(declare, "y", "mu", "in no order", "one row per slot")


def test_a_random_walk_over_components():
    def declare():
        start = pm.Normal.dist(0, 1)
        normal_with(pm.GaussianRandomWalk("mu", 0, 1, init_dist=start, shape=K))

    assert_refused(declare, "mu", "random walk over components", "without a component axis")


def test_a_multivariate_normal_over_components():
    def declare():
        normal_with(pm.MvNormal("mu", np.zeros(K), np.eye(K)))

    assert_refused(declare, "mu", "not independent and identically distributed")


@pytest.mark.parametrize(
    "transform",
    [
        lambda mu: pt.cumsum(mu),
        lambda mu: pt.sort(mu),
        lambda mu: mu - mu.mean(),
        lambda mu: mu[::-1],
    ],
    ids=["cumsum", "sort", "centred", "reversed"],
)
def test_atoms_that_mix_components_on_the_way_to_the_likelihood(transform):
    def declare():
        normal_with(transform(pm.Normal("mu", 0, 1, shape=K)))

    assert_refused(declare, "y")


def test_atoms_used_without_the_allocation():
    def declare():
        mu = pm.Normal("mu", 0, 1, shape=K)
        normal_with(mu)
        pm.Normal("first", mu[0], 1, observed=0.0)

    assert_refused(declare, "first", "mu", "z", "only kernel terms")


def test_discrete_atoms():
    def declare():
        normal_with(pm.Poisson("mu", 3, shape=K))

    for atoms in ("slice", None):
        assert_refused(declare, "mu", "discrete", "continuous prior", atoms=atoms)


def test_an_improper_base_measure():
    def declare():
        normal_with(pm.Flat("mu", shape=K))

    assert_refused(declare, "mu")


@pytest.mark.parametrize("prior", ["crp", "sticks", "dirichlet"])
def test_a_number_of_slots_that_differs_between_weights_and_atoms(prior):
    def declare():
        mu = pm.Normal("mu", 0, 1, shape=K + 1)
        if prior == "crp":
            z = crp()
        elif prior == "sticks":
            z = pm.Categorical("z", pm.StickBreakingWeights("w", 1.0, K=K - 1), shape=N)
        else:
            z = pm.Categorical("z", pm.Dirichlet("w", np.ones(K)), shape=N)
        pm.Normal("y", mu[z], 1, observed=Y)

    assert_refused(declare, "y", "mu has 5 rows", "has 4 slots")


# Kernels whose element i depends on other elements -----------------------------------------------


def test_a_cumulative_sum_over_items():
    def declare():
        pm.Normal("y", pt.cumsum(pm.Normal("mu", 0, 1, shape=K)[crp()]), 1, observed=Y)

    assert_refused(declare, "y", "Cumsum{axis=0}", "one row per item")


def test_a_multivariate_normal_over_all_items():
    def declare():
        pm.MvNormal("y", pm.Normal("mu", 0, 1, shape=K)[crp()], np.eye(N), observed=Y)

    assert_refused(declare, "y", "one independent observation each", "6 items")


def test_an_autoregression_over_items():
    def declare():
        rho = pt.stack([pm.Normal("mu", 0, 1, shape=K)[crp()].mean()])
        start = pm.Normal.dist(0, 1, shape=1)
        pm.AR("y", rho, sigma=1.0, init_dist=start, observed=Y)

    assert_refused(declare, "y", "a time series")


def test_a_neighbours_atom():
    def declare():
        pm.Normal("y", pt.roll(pm.Normal("mu", 0, 1, shape=K)[crp()], 1), 1, observed=Y)

    assert_refused(declare, "y", "one row per item")


def test_the_allocation_as_a_number():
    def declare():
        mu, z = pm.Normal("mu", 0, 1, shape=K), crp()
        pm.Normal("y", mu[z] + z, 1, observed=Y)

    assert_refused(declare, "y", "z enters as a number", "only be used as an index")


def test_a_function_of_the_allocation_as_an_index():
    def declare():
        mu, z = pm.Normal("mu", 0, 1, shape=K), crp()
        pm.Normal("y", mu[z] + mu[K - 1 - z], 1, observed=Y)

    assert_refused(declare, "y", "indexes by a function of z")


def test_items_that_are_not_the_leading_axis():
    def declare():
        mu = pm.Normal("mu", 0, 1, shape=K)
        pm.Normal("y", mu[crp()], 1, observed=np.zeros((3, N)))

    assert_refused(declare, "y", "(3, 6)", "its leading axis must be the items")


def test_a_kernel_that_depends_on_the_weights():
    def declare():
        mu, w = pm.Normal("mu", 0, 1, shape=K), pm.Dirichlet("w", np.ones(K))
        pm.Normal("y", mu[pm.Categorical("z", w, shape=N)], w[0], observed=Y)

    assert_refused(declare, "z", "BlockedGibbs")


# No allocation, or several -----------------------------------------------------------------------


def test_no_allocation():
    def declare():
        pm.Normal("y", pm.Normal("mu", 0, 1), 1, observed=Y)

    assert_refused(declare, "not a mixture", "dps.ChineseRestaurantProcess", "pm.Categorical", "mu")


def test_an_allocation_that_indexes_nothing():
    def declare():
        mu, _ = pm.Normal("mu", 0, 1, shape=K), crp()
        pm.Normal("y", mu[0], 1, observed=Y)

    for options in ({}, {"vars": "z"}):
        assert_refused(declare, "z", "indexes nothing", "mu[z]", **options)


def two_allocations():
    for suffix in ("a", "b"):
        mu = pm.Normal(f"mu_{suffix}", 0, 1, shape=K)
        pm.Normal(f"y_{suffix}", mu[crp(f"z_{suffix}")], 1, observed=Y)


def test_several_allocations():
    assert_refused(two_allocations, "z_a", "z_b", "dps.Neal8(z_a)")
    assert_refused(two_allocations, "z_a", "z_b", "own step", vars=["z_a", "z_b"])


def test_atoms_shared_by_two_allocations():
    def declare():
        mu = pm.Normal("mu", 0, 1, shape=K)
        for suffix in ("a", "b"):
            pm.Normal(f"y_{suffix}", mu[crp(f"z_{suffix}")], 1, observed=Y)

    assert_refused(declare, "y_b", "mu", "z_a", vars="z_a")


def test_a_weight_vector_per_item():
    def declare():
        w = pm.Dirichlet("w", np.ones(K), shape=(N, K))
        pm.Normal("y", pm.Normal("mu", 0, 1, shape=K)[pm.Categorical("z", w)], 1, observed=Y)

    assert_refused(declare, "z", "one weight vector for all items", step=dps.BlockedGibbs)


# Potentials --------------------------------------------------------------------------------------


def test_a_potential_on_atoms():
    def declare():
        mu = pm.Normal("mu", 0, 1, shape=K)
        pm.Potential("penalty", -pt.square(mu).sum())
        normal_with(mu)

    assert_refused(declare, "penalty", "mu", "pm.CustomDist")


def test_a_potential_on_the_allocation():
    def declare():
        mu, z = pm.Normal("mu", 0, 1, shape=K), crp()
        pm.Potential("must_link", pt.switch(pt.eq(z[0], z[1]), 0.0, -5.0))
        pm.Normal("y", mu[z], 1, observed=Y)

    assert_refused(declare, "must_link", "z", "likelihood term")


def test_a_potential_on_the_concentration_is_not_forgotten():
    with pm.Model():
        mu = pm.Normal("mu", 0, 1, shape=K)
        alpha = pm.Gamma("alpha", 2, 2)
        pm.Potential("small", -100.0 * alpha)
        z = dps.ChineseRestaurantProcess("z", alpha, K=K, shape=N)
        pm.Normal("y", mu[z], 1, observed=Y)
        try:
            owned = [v.name for v in dps.Neal8().vars]
        except dps.MixtureError as error:
            assert "small" in str(error)
        else:
            assert "alpha_log__" not in owned


@pytest.mark.parametrize("step", [dps.Neal8, dps.BlockedGibbs])
def test_a_potential_on_the_weights_is_not_forgotten(step):
    with pm.Model():
        mu = pm.Normal("mu", 0, 1, shape=K)
        w = pm.Dirichlet("w", np.ones(K))
        pm.Potential("small", -100.0 * w[0])
        pm.Normal("y", mu[pm.Categorical("z", w, shape=N)], 1, observed=Y)
        try:
            owned = [v.name for v in step().vars]
        except dps.MixtureError as error:
            assert "small" in str(error) or "BlockedGibbs" in str(error)
        else:
            assert "w_simplex__" not in owned


def test_a_potential_on_a_hyperparameter_is_fine():
    with pm.Model():
        m = pm.Normal("m", 0, 1)
        pm.Potential("small", -pt.square(m))
        normal_with(pm.Normal("mu", m, 1, shape=K))
        assert {v.name for v in dps.Neal8().vars} == {"z", "mu"}


# Data --------------------------------------------------------------------------------------------


def nan_in_data(where):
    data = pm.Data("data", Y)
    mu, z = pm.Normal("mu", 0, 1, shape=K), crp()
    if where == "observations":
        pm.Normal("y", mu[z], 1, observed=data)
    else:
        pm.Normal("y", mu[z] * data, 1, observed=np.zeros(N))
    pm.set_data({"data": np.where(np.arange(N) == 2, np.nan, Y)})  # pm.Data itself refuses NaN


@pytest.mark.parametrize(("where", "what"), [("observations", "NaN"), ("covariate", "not numbers")])
def test_nan_in_mutable_data(where, what):
    assert_refused(lambda: nan_in_data(where), "y", what, "[2]", "Check the data")


@pytest.mark.parametrize("bad", [-1.0, np.inf])
def test_data_outside_the_support(bad):
    def declare():
        rate = pm.Gamma("rate", 2, 1, shape=K)
        observed = np.where(np.arange(N) == 3, bad, np.abs(Y))
        pm.Exponential("y", rate[crp()], observed=observed)

    assert_refused(declare, "y", "[3]", "outside the support", "Check the data's range")


def test_data_outside_the_support_everywhere():
    def declare():
        w = pm.StickBreakingWeights("w", 1.0, K=K - 1)
        rate = pm.Gamma("rate", 2, 1, shape=K)
        pm.Exponential("y", rate[pm.Categorical("z", w, shape=N)], observed=-np.ones(N))

    for step in (dps.Neal8, dps.BlockedGibbs):
        assert_refused(declare, "y", "6 items", "outside the support", step=step)


# Algorithms and options --------------------------------------------------------------------------


def softmax_weights():
    w = pm.math.softmax(pm.Normal("eta", 0, 1, shape=K))
    pm.Normal("y", pm.Normal("mu", 0, 1, shape=K)[pm.Categorical("z", w, shape=N)], 1, observed=Y)


def plain_crp():
    normal_with(pm.Normal("mu", 0, 1, shape=K))


@pytest.mark.parametrize("step", [dps.Neal4, dps.Neal5, dps.Neal6, dps.Neal7, dps.Neal8])
def test_marginal_algorithms_need_weights_of_a_known_law(step):
    fragments = ("z", "pm.StickBreakingWeights", "pm.Dirichlet", "dps.BlockedGibbs")
    assert_refused(softmax_weights, step.__name__, *fragments, step=step)


@pytest.mark.parametrize(
    ("weights", "found"),
    [
        (lambda: pm.StickBreakingWeights("w", 1.0, K=K - 1), "truncated stick-breaking weights"),
        (lambda: pm.Dirichlet("w", np.ones(K)), "Dirichlet weights"),
    ],
)
def test_neal4_needs_exchangeable_slots(weights, found):
    def declare():
        z = pm.Categorical("z", weights(), shape=N)
        pm.Normal("y", pm.Normal("mu", 0, 1, shape=K)[z], 1, observed=Y)

    assert_refused(declare, "Neal4", "z", found, "dps.Neal8", "exchangeable", step=dps.Neal4)


def test_neal8_refuses_sticks_whose_last_weight_does_not_take_the_rest():
    def declare():
        v = pm.Beta("v", 1, 1, shape=K)
        w = v * pt.concatenate([[1.0], pt.cumprod(1.0 - v)[:-1]])
        z = pm.Categorical("z", w / w.sum(), shape=N)
        pm.Normal("y", pm.Normal("mu", 0, 1, shape=K)[z], 1, observed=Y)

    assert_refused(declare, "z", "K - 1", "the last weight taking the rest")


def test_blocked_gibbs_needs_weights():
    fragments = ("z", "dps.Neal8", "pm.StickBreakingWeights")
    assert_refused(plain_crp, *fragments, step=dps.BlockedGibbs)


COUNTS = [(dps.Neal5, "R"), (dps.Neal6, "R"), (dps.Neal8, "m")]


@pytest.mark.parametrize(("step", "name"), COUNTS)
@pytest.mark.parametrize("value", [0, -3, 1.5, True, "3"])
def test_a_number_that_is_not_positive_or_whole(step, name, value):
    fragments = (step.__name__, name, repr(value), "at least 1")
    assert_refused(plain_crp, *fragments, step=step, error=ValueError, **{name: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("init", "all"),
        ("atoms", "nuts"),
        ("concentration", "gibbs"),
        ("hyperparameters", "nuts"),
    ],
)
@pytest.mark.parametrize("step", [dps.Neal8, dps.BlockedGibbs])
def test_an_option_with_an_unknown_value(step, option, value):
    fragments = (option, "must be one of", value)
    assert_refused(plain_crp, *fragments, step=step, error=ValueError, **{option: value})


def test_an_unknown_option():
    assert_refused(plain_crp, "Neal8", "no option auxiliaries", error=TypeError, auxiliaries=3)


def test_a_slice_sampler_for_a_fixed_concentration():
    assert_refused(plain_crp, "z", "concentration='slice'", "auto", concentration="slice")


def test_a_slice_sampler_for_hyperparameters_that_are_not_there():
    fragments = ("hyperparameters='slice'", "mu", "auto")
    assert_refused(plain_crp, *fragments, hyperparameters="slice")


def test_a_name_that_is_not_an_allocation():
    assert_refused(plain_crp, "mu is not an allocation", "dps.ChineseRestaurantProcess", vars="mu")
    assert_refused(plain_crp, "no variable named nope", vars="nope")
    assert_refused(plain_crp, "does not update y", vars=["z", "y"])


def test_a_step_outside_a_model():
    with pytest.raises(TypeError, match="model"):
        dps.Neal8()


# What must work ----------------------------------------------------------------------------------


def sample(model, step=dps.Neal8, draws=60):
    with model:
        return pm.sample(
            draws,
            tune=20,
            chains=1,
            step=step(),
            random_seed=2,
            quiet=True,
            compute_convergence_checks=False,
        ).posterior


def assert_sampled(posterior, n_items, n_slots):
    z = posterior["z"].to_numpy()
    assert z.shape == (1, 60, n_items)
    assert z.min() >= 0 and z.max() < n_slots
    for name, draws in posterior.data_vars.items():
        assert np.isfinite(draws.to_numpy()).all(), name


def model_with(prior, n_items, n_slots, y=None):
    with pm.Model() as model:
        alpha = pm.Gamma("alpha", 2, 2)
        mu = pm.Normal("mu", 0, 2, shape=n_slots)
        if prior == "crp":
            z = dps.ChineseRestaurantProcess("z", alpha, K=n_slots, shape=n_items)
        elif prior == "sticks":
            w = pm.StickBreakingWeights("w", alpha, K=n_slots - 1)
            z = pm.Categorical("z", w, shape=n_items)
        else:
            w = pm.Dirichlet("w", alpha * np.ones(n_slots))
            z = pm.Categorical("z", w, shape=n_items)
        y = np.linspace(-2, 2, n_items) if y is None else y
        pm.Normal("y", mu[z], 1, observed=y)
    return model


SIZES = [(1, 1), (1, 3), (2, 1), (2, 2), (3, 9), (6, 2)]


@pytest.mark.parametrize(("n_items", "n_slots"), SIZES)
@pytest.mark.parametrize("prior", ["crp", "sticks", "dirichlet"])
def test_few_items_and_few_or_many_slots(prior, n_items, n_slots):
    model = model_with(prior, n_items, n_slots)
    assert_sampled(sample(model), n_items, n_slots)
    if prior != "crp":
        assert_sampled(sample(model, dps.BlockedGibbs), n_items, n_slots)


def test_a_process_with_few_slots_says_when_they_are_full():
    with model_with("crp", 6, 2) as model:
        step = dps.Neal8()
    step.setup_chain(np.random.default_rng(3), 0, 50)
    point = model.initial_point()
    for _ in range(50):
        point, (stats,) = step.step(point)
        assert stats["slots_full"] == (len(np.unique(point["z"])) == 2)
    assert "K=2" in str(stats["warning"].message) and "Use K=4" in str(stats["warning"].message)


def test_integer_data_under_a_normal_likelihood():
    posterior = sample(model_with("crp", 5, 3, y=np.array([-4, -4, 5, 5, 5])))
    assert_sampled(posterior, 5, 3)
    assert posterior["mu"].to_numpy().dtype == np.float64


def test_a_transform_between_atoms_and_likelihood():
    with pm.Model() as model:
        log_rate = pm.Normal("log_rate", 0, 1, shape=K)
        pm.Poisson("y", pt.exp(log_rate)[crp()], observed=[0, 1, 1, 7, 8, 9])
    assert_sampled(sample(model), N, K)


def test_a_shared_scale_between_atoms_and_likelihood():
    with pm.Model() as model:
        tau = pm.HalfNormal("tau", 1)
        raw = pm.Normal("raw", 0, 1, shape=K)
        mu = pm.Deterministic("mu", tau * raw)
        pm.Normal("y", mu[crp()], 1, observed=Y)
        assert {v.name for v in dps.Neal8().vars} == {"raw", "z"}
    posterior = sample(model)
    assert_sampled(posterior, N, K)
    np.testing.assert_allclose(posterior["mu"], posterior["tau"] * posterior["raw"])


def test_a_latent_kernel_variable():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1, shape=K)
        x = pm.Normal("x", mu[crp()], 1)
        pm.Normal("y", x, 1, observed=Y)
        assert {v.name for v in dps.Neal8().vars} == {"mu", "z"}
    posterior = sample(model)
    assert_sampled(posterior, N, K)
    assert len(np.unique(posterior["x"].to_numpy()[0, :, 0])) > 30


def test_two_kernel_variables_share_an_allocation():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1, shape=K)
        rate = pm.Gamma("rate", 2, 1, shape=K)
        z = crp()
        pm.Normal("y", mu[z], 1, observed=Y)
        pm.Poisson("count", rate[z], observed=[0, 1, 1, 7, 8, 9])
        assert {v.name for v in dps.Neal8().vars} == {"mu", "rate_log__", "z"}
    assert_sampled(sample(model), N, K)


def test_dims_and_mutable_data():
    with pm.Model(coords={"obs": range(N), "component": list("abcd")}) as model:
        data = pm.Data("data", Y, dims="obs")
        mu = pm.Normal("mu", 0, 1, dims="component")
        w = pm.StickBreakingWeights("w", 1.0, K=K - 1, dims="component")
        z = pm.Categorical("z", w, dims="obs")
        pm.Normal("y", mu[z], 1, observed=data, dims="obs")
    posterior = sample(model)
    assert_sampled(posterior, N, K)
    assert posterior["mu"].dims == ("chain", "draw", "component")
    assert posterior["z"].dims == ("chain", "draw", "obs")


def test_each_of_two_allocations_has_its_own_step():
    with pm.Model() as model:
        two_allocations()
        steps = [dps.Neal8("z_a"), dps.Neal8(model["z_b"])]
    assert {v.name for v in steps[0].vars} == {"mu_a", "z_a"}
    assert {v.name for v in steps[1].vars} == {"mu_b", "z_b"}


def test_a_concentration_that_scales_the_base_measure_is_left_to_nuts():
    with pm.Model():
        alpha = pm.Gamma("alpha", 2, 2)
        mu = pm.Normal("mu", 0, alpha, shape=K)
        z = dps.ChineseRestaurantProcess("z", alpha, K=K, shape=N)
        pm.Normal("y", mu[z], 1, observed=Y)
        assert {v.name for v in dps.Neal8().vars} == {"mu", "z"}


@pytest.mark.parametrize(("step", "name"), COUNTS)
def test_numbers_that_are_whole(step, name):
    with pm.Model():
        plain_crp()
        made = [step(**{name: value}) for value in (1, 2.0, np.int64(7))]
    assert [getattr(s, name) for s in made] == [1, 2, 7]
