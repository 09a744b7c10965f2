"""Which variables count as hyperparameters of the base measure, and where their values go."""

import numpy as np
import pymc as pm
import pytest

import pymc_dpsteps as dps
from pymc_dpsteps.mixture import read_mixture

N, K = 6, 4
Y = np.array([-1.2, -1.0, 0.1, 0.3, 2.0, 2.2])


def allocation(alpha=1.0):
    return dps.ChineseRestaurantProcess("z", alpha, K=K, shape=N)


def location_and_scale():
    m, t = pm.Normal("m", 0, 1), pm.HalfNormal("t", 1)
    pm.Normal("y", pm.Normal("mu", m, t, shape=K)[allocation()], 0.5, observed=Y)


def hyperparameter_of_a_hyperparameter():
    s = pm.HalfNormal("s", 1)
    m = pm.Normal("m", 0, s)
    pm.Normal("y", pm.Normal("mu", m, 1, shape=K)[allocation()], 0.5, observed=Y)


def vector_and_matrix():
    m = pm.Normal("m", 0, 1, shape=2)
    chol, *_ = pm.LKJCholeskyCov("chol", n=2, eta=2, sd_dist=pm.HalfNormal.dist(1))
    mu = pm.MvNormal("mu", m, chol=chol, shape=(K, 2))
    pm.Normal("y", mu[allocation()], 0.5, observed=np.column_stack([Y, -Y]))


def shared_with_the_kernel():
    m, s = pm.Normal("m", 0, 1), pm.HalfNormal("s", 1)
    pm.Normal("y", pm.Normal("mu", m, s, shape=K)[allocation()], s, observed=Y)


def shared_with_the_concentration():
    m, alpha = pm.Normal("m", 0, 1), pm.Gamma("alpha", 2, 2)
    pm.Normal("y", pm.Normal("mu", m, alpha, shape=K)[allocation(alpha)], 0.5, observed=Y)


def parent_of_something_observed():
    m, t = pm.Normal("m", 0, 1), pm.HalfNormal("t", 1)
    pm.Normal("x", m, 1, observed=0.3)
    pm.Normal("y", pm.Normal("mu", m, t, shape=K)[allocation()], 0.5, observed=Y)


def parent_of_something_unobserved():
    m = pm.Normal("m", 0, 1)
    pm.Normal("x", m, 1)
    pm.Normal("y", pm.Normal("mu", m, 1, shape=K)[allocation()], 0.5, observed=Y)


def under_a_potential():
    m, t = pm.Normal("m", 0, 1), pm.HalfNormal("t", 1)
    pm.Potential("p", -(m**4))
    pm.Normal("y", pm.Normal("mu", m, t, shape=K)[allocation()], 0.5, observed=Y)


def discrete():
    m = pm.Poisson("m", 2)
    pm.Normal("y", pm.Normal("mu", m, 1, shape=K)[allocation()], 0.5, observed=Y)


def of_two_mixtures():
    m = pm.Normal("m", 0, 1)
    z, c = allocation(), dps.ChineseRestaurantProcess("c", 1.0, K=K, shape=N)
    mu, nu = pm.Normal("mu", m, 1, shape=K), pm.Normal("nu", m, 1, shape=K)
    pm.Normal("y", mu[z] + nu[c], 0.5, observed=Y)


EXPECTED = {
    location_and_scale: ["m", "t"],
    hyperparameter_of_a_hyperparameter: ["m", "s"],
    vector_and_matrix: ["chol", "m"],
    shared_with_the_kernel: ["m"],
    shared_with_the_concentration: ["m"],
    parent_of_something_observed: ["t"],
    parent_of_something_unobserved: [],
    under_a_potential: ["t"],
    discrete: [],
    of_two_mixtures: [],
}


@pytest.mark.parametrize("declare", EXPECTED)
def test_hyperparameters_are_what_the_data_reach_through_the_atoms_alone(declare):
    with pm.Model() as model:
        declare()
    found = [rv.name for rv in read_mixture(model, "z").hyperparameters]
    assert sorted(found) == EXPECTED[declare]


@pytest.mark.parametrize("declare", [location_and_scale, vector_and_matrix])
def test_their_density_is_that_of_the_model_given_occupied_atoms(declare):
    """And the base measure is drawn from with their values of the moment."""
    with pm.Model() as model:
        declare()
        step = dps.Neal8()
    assert {rv.name for rv in step._hyper} == set(EXPECTED[declare])
    hyper = [model[name] for name in EXPECTED[declare]]
    log_hyper = model.compile_logp(vars=hyper, sum=True)
    log_base = model.compile_logp(vars=[model["mu"]], sum=False)
    step.setup_chain(np.random.default_rng(1), 0, 10)
    point = model.initial_point()
    function = step._compiled.functions["hyperparameters"]
    for _ in range(5):
        point, _ = step.step(point)
        step._unpack(point)
        state, rows = step._state, np.array([2, 0])
        found = function(state.hyper, rows, 2, state.values, state.shared)
        expected = log_hyper(point) + log_base(point)[0][rows].sum()
        assert found == pytest.approx(float(expected), rel=1e-10)


def test_empty_atoms_follow_the_new_values():
    """With 10,000 empty components their moments are those of G0 at the point's own m and t."""
    n_slots = 10_000
    with pm.Model() as model:
        m, t = pm.Normal("m", 0, 5), pm.HalfNormal("t", 5)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=n_slots, shape=N)
        pm.Normal("y", pm.Normal("mu", m, t, shape=n_slots)[z], 0.5, observed=Y)
        step = dps.Neal8()
    step.setup_chain(np.random.default_rng(2), 0, 10)
    point = model.initial_point()
    values = set()
    for _ in range(5):
        point, _ = step.step(point)
        scaled = (point["mu"] - point["m"]) / np.exp(point["t_log__"])
        assert abs(scaled.mean()) < 5.0 / n_slots**0.5
        assert abs(scaled.var() - 1.0) < 5.0 * (2.0 / n_slots) ** 0.5
        values.add(float(point["m"]))
    assert len(values) == 5
