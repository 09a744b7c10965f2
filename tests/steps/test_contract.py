"""The step methods as PyMC sees them: seeds, processes, points, states, registration."""

import itertools
import logging
import multiprocessing
import pickle  # loads what cloudpickle, which PyMC uses, has written

import arviz as az
import cloudpickle
import numpy as np
import pymc as pm
import pytest
from pymc.sampling.mcmc import assign_step_methods
from pymc.step_methods import STEP_METHODS

import pymc_dpsteps as dps
from tests.helpers_algorithms import ALGORITHMS, CRP

Y = np.concatenate([np.random.default_rng(1).normal(m, 0.5, size=8) for m in (-3.0, 0.0, 3.0)])


def crp_model(K=12):
    with pm.Model(coords={"obs": range(len(Y)), "component": range(K)}) as model:
        alpha = pm.Gamma("alpha", 2, 2)
        mu = pm.Normal("mu", 0, 3, dims="component")
        sigma = pm.HalfNormal("sigma", 1, dims="component")
        z = dps.ChineseRestaurantProcess("z", alpha, K=K, dims="obs")
        pm.Normal("y", mu[z], sigma[z], observed=Y, dims="obs")
    return model


def stick_model(K=8):
    with pm.Model(coords={"obs": range(len(Y)), "component": range(K)}) as model:
        alpha = pm.Gamma("alpha", 2, 2)
        mu = pm.Normal("mu", 0, 3, dims="component")
        w = pm.StickBreakingWeights("w", alpha, K=K - 1, dims="component")
        z = pm.Categorical("z", w, dims="obs")
        pm.Normal("y", mu[z], 0.5, observed=Y, dims="obs")
    return model


def sample(model, step, **kwargs):
    settings = {
        "draws": 60,
        "tune": 20,
        "chains": 2,
        "cores": 1,
        "random_seed": 3,
        "quiet": True,
        "compute_convergence_checks": False,
    }
    with model:
        return pm.sample(step=step(), **(settings | kwargs))


CASES = [
    pytest.param(crp_model, dps.Neal8, id="neal8-crp"),
    pytest.param(stick_model, dps.Neal8, id="neal8-sticks"),
    pytest.param(stick_model, dps.BlockedGibbs, id="blocked-sticks"),
]


def assert_same_draws(a, b):
    for name in a.posterior.data_vars:
        np.testing.assert_array_equal(a.posterior[name], b.posterior[name], err_msg=name)


def assert_same_points(a, b):
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize(("make", "step"), CASES)
def test_seeds_and_chains(make, step):
    first, again = sample(make(), step), sample(make(), step)
    assert_same_draws(first, again)
    other = sample(make(), step, random_seed=4)
    assert not np.array_equal(first.posterior["mu"], other.posterior["mu"])
    assert not np.array_equal(first.posterior["mu"][0], first.posterior["mu"][1])
    assert not np.array_equal(first.posterior["z"][0, 0], first.posterior["z"][1, 0])


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_same_draws_in_processes(method):
    context = multiprocessing.get_context(method)
    here = sample(stick_model(), dps.Neal8)
    there = sample(stick_model(), dps.Neal8, cores=2, mp_ctx=context)
    assert_same_draws(here, there)


@pytest.mark.parametrize(("make", "step"), CASES)
def test_point_is_not_changed_and_keeps_its_order(make, step):
    with make() as model:
        sampler = step()
        point = model.initial_point()
    sampler.setup_chain(np.random.default_rng(0), 5, 5)
    names = list(point)
    seen = [(point, {name: value.copy() for name, value in point.items()})]
    for _ in range(10):
        new, stats = sampler.step(point)
        assert list(new) == names
        for name, value in point.items():
            assert np.shape(new[name]) == np.shape(value)
            assert new[name].dtype == value.dtype
        assert len(stats) == 1
        assert set(stats[0]) == set(sampler.stats_dtypes_shapes)
        seen.append((new, {name: value.copy() for name, value in new.items()}))
        point = new
    for point, copy in seen:  # no earlier point was touched by a later step
        assert_same_points(point, copy)


def conjugate_crp_model(K=12):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 3, shape=K)
        z = dps.ChineseRestaurantProcess("z", pm.Gamma("alpha", 2, 2), K=K, shape=len(Y))
        pm.Normal("y", mu[z], 0.5, observed=Y)
    return model


def points_of(step, model, seed):
    """Ten points of one chain, each checked against later changes, and its keys."""
    step.setup_chain(np.random.default_rng(seed), 5, 5)
    points = [model.initial_point()]
    copies = [{name: value.copy() for name, value in points[0].items()}]
    for _ in range(10):
        point, _ = step.step(points[-1])
        assert list(point) == list(points[0])
        points.append(point)
        copies.append({name: value.copy() for name, value in point.items()})
    for point, copy in zip(points, copies, strict=True):
        assert_same_points(point, copy)
    return copies


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_keeps_the_contract(name):
    """Seeds decide the draws, points are not touched, and a pickled step goes on the same."""
    algorithm = ALGORITHMS[name]
    model = conjugate_crp_model() if CRP in algorithm.urns else stick_model()
    with model:
        step = algorithm.make()
    first, other = points_of(step, model, 1), points_of(step, model, 2)
    copy = pickle.loads(cloudpickle.dumps(step))
    for again in (points_of(step, model, 1), points_of(copy, model, 1)):
        for a, b in zip(first, again, strict=True):
            assert_same_points(a, b)
    assert not np.array_equal(first[-1]["mu"], other[-1]["mu"])


@pytest.mark.parametrize(("make", "step"), CASES)
def test_sampling_state_round_trip(make, step):
    with make() as model:
        sampler, other = step(), step()
        point = model.initial_point()
    sampler.setup_chain(np.random.default_rng(0), 10, 10)
    for _ in range(7):
        point, _ = sampler.step(point)
    state = sampler.sampling_state
    points = [point]
    for _ in range(4):
        points.append(sampler.step(points[-1])[0])
    other.sampling_state = state
    for before, after in itertools.pairwise(points):
        assert_same_points(other.step(before)[0], after)


def test_pickled_step_samples_the_same():
    with stick_model() as model:
        sampler = dps.Neal8(m=2)
        point = model.initial_point()
    copy = pickle.loads(cloudpickle.dumps(sampler))
    for s in (sampler, copy):
        s.setup_chain(np.random.default_rng(0), 0, 3)
    assert_same_points(sampler.step(point)[0], copy.step(point)[0])


def test_one_instance_serves_all_chains_afresh():
    with crp_model() as model:
        sampler = dps.Neal8()
        start = model.initial_point()
    ends = []
    for _ in range(2):
        sampler.setup_chain(np.random.default_rng(5), 3, 3)
        point = start
        for _ in range(6):
            point, _ = sampler.step(point)
        ends.append(point)
    assert_same_points(*ends)


@pytest.mark.parametrize("init", ["prior", "one", "singletons"])
def test_starts(init):
    with crp_model(K=30) as model:
        sampler = dps.Neal8(init=init)
        point = model.initial_point()
    sampler.setup_chain(np.random.default_rng(0), 0, 1)
    sampler._unpack(point)
    sampler._start()
    k = len(np.unique(sampler._state.z))
    assert {"one": k == 1, "singletons": k == len(Y), "prior": 1 < k < len(Y)}[init]


def test_plain_sample_picks_neal8_for_dp_mixtures():
    with stick_model() as model:
        _, assigned = assign_step_methods(model)
        idata = pm.sample(
            draws=30,
            tune=10,
            chains=1,
            quiet=True,
            random_seed=1,
            compute_convergence_checks=False,
        )
    assert {v.name for v in assigned[dps.Neal8]} == {"z", "w_simplex__"}
    assert "n_clusters" in idata.sample_stats


def test_plain_sample_without_context_still_recognises_the_allocation():
    for model in (stick_model(), crp_model()):
        _, assigned = assign_step_methods(model)
        assert [v.name for v in assigned[dps.Neal8]] == ["z"]


def test_plain_sample_leaves_other_models_alone():
    with pm.Model() as marginalised:
        w = pm.StickBreakingWeights("w", 1.0, K=3)
        mu = pm.Normal("mu", 0, 1, shape=4)
        pm.Mixture("y", w, pm.Normal.dist(mu, 1), observed=Y)
        _, assigned = assign_step_methods(marginalised)
    assert dps.Neal8 not in assigned
    with pm.Model() as no_mixture:
        p = pm.Dirichlet("p", np.ones(3))
        c = pm.Categorical("c", p, shape=4)
        pm.Normal("y", c * 1.0, 1, observed=np.zeros(4))
        _, assigned = assign_step_methods(no_mixture)
    assert dps.Neal8 not in assigned
    with pm.Model() as refused:  # atoms ordered over components: a DP, but not one of ours
        w = pm.StickBreakingWeights("w", 1.0, K=2)
        mu = pm.Normal("mu", [0.0, 1.0, 2.0], 1, shape=3)
        z = pm.Categorical("z", w, shape=len(Y))
        pm.Normal("y", mu[z], 1, observed=Y)
        _, assigned = assign_step_methods(refused)
    assert dps.Neal8 not in assigned


def test_registration_is_idempotent():
    from pymc_dpsteps.steps.registry import register

    register()
    assert STEP_METHODS.count(dps.Neal8) == 1


def test_model_given_without_context():
    model = crp_model()
    idata = pm.sample(
        20,
        tune=5,
        chains=1,
        step=dps.Neal8(model=model),
        model=model,
        quiet=True,
        compute_convergence_checks=False,
    )
    assert idata.posterior.sizes["draw"] == 20


def test_what_the_step_does_not_own_is_left_to_nuts():
    with stick_model() as model:
        step = dps.Neal8(concentration=None, atoms=None)
        _, assigned = assign_step_methods(model, [step])
    assert {v.name for v in step.vars} == {"z", "w_simplex__"}
    assert {v.name for v in assigned[pm.NUTS]} == {"alpha_log__", "mu"}


def test_results_in_arviz_and_predictive(tmp_path):
    model = stick_model()
    idata = sample(model, dps.Neal8, draws=100)
    assert idata.posterior["z"].dims == ("chain", "draw", "obs")
    assert idata.posterior["mu"].dims == ("chain", "draw", "component")
    assert np.isfinite(az.summary(idata, var_names=["alpha"]).astype(float)).all().all()
    with model:
        prior = pm.sample_prior_predictive(20, random_seed=1)
        predictive = pm.sample_posterior_predictive(idata, progressbar=False, random_seed=1)
        pm.compute_log_likelihood(idata, progressbar=False)
    assert prior.prior["z"].shape == (1, 20, len(Y))
    assert predictive.posterior_predictive["y"].shape == (2, 100, len(Y))
    assert np.isfinite(idata.log_likelihood["y"]).all()
    assert np.isfinite(az.loo(idata).elpd)
    idata.to_netcdf(tmp_path / "idata.nc")
    back = az.from_netcdf(tmp_path / "idata.nc")
    np.testing.assert_array_equal(back.posterior["z"], idata.posterior["z"])


def test_data_changed_between_construction_and_sampling():
    with pm.Model() as model:
        data = pm.Data("data", Y)
        mu = pm.Normal("mu", 0, 10, shape=6)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=6, shape=len(Y))
        pm.Normal("y", mu[z], 0.5, observed=data)
        step = dps.Neal8()
        pm.set_data({"data": Y + 20.0})
    idata = sample(model, lambda: step, draws=200, tune=100)
    z, mu = idata.posterior["z"].to_numpy(), idata.posterior["mu"].to_numpy()
    theta = np.take_along_axis(mu, z, axis=2)
    assert abs(theta.mean() - 20.0) < 2.0


def test_interrupted_run_keeps_its_draws():
    def interrupt(trace, draw):
        if draw.draw_idx == 60:
            raise KeyboardInterrupt

    idata = sample(crp_model(), dps.Neal8, chains=1, draws=500, tune=20, callback=interrupt)
    assert 30 <= idata.posterior.sizes["draw"] < 100


def test_full_slots_warn_with_numbers(caplog):
    with caplog.at_level(logging.WARNING, logger="pymc"):
        idata = sample(crp_model(K=3), dps.Neal8, quiet=False, progressbar=False)
    text = " ".join(r.getMessage() for r in caplog.records)
    assert "K=3 slots were occupied in" in text
    assert "Use K=6" in text
    assert bool(idata.sample_stats["slots_full"].any())


def test_truncation_warns_with_the_last_weight(caplog):
    with caplog.at_level(logging.WARNING, logger="pymc"):
        sample(stick_model(K=3), dps.Neal8, quiet=False, progressbar=False)
    text = " ".join(r.getMessage() for r in caplog.records)
    assert "last stick" in text
    assert "K=3" in text


def test_progress_bar_shows_the_number_of_clusters(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    sample(crp_model(), dps.Neal8, quiet=False, progressbar=True, chains=1)
    assert "Clusters" in capsys.readouterr().out


def test_hyperparameters_of_the_base_measure_by_nuts():
    """NUTS on the base measure's mean and scale, beside Neal 8, recovers them.

    The truth must lie within 5 posterior standard deviations, and the posterior must have
    learnt: its standard deviations are below half the priors'.
    """
    rng = np.random.default_rng(4)
    centres = rng.normal(5.0, 2.0, size=15)
    y = rng.normal(np.repeat(centres, 8), 0.1)
    with pm.Model() as model:
        m0 = pm.Normal("m0", 0, 10)
        s0 = pm.HalfNormal("s0", 5)
        mu = pm.Normal("mu", m0, s0, shape=20)
        z = dps.ChineseRestaurantProcess("z", 3.0, K=20, shape=len(y))
        pm.Normal("y", mu[z], 0.1, observed=y)
    idata = sample(model, dps.Neal8, draws=1500, tune=1000, random_seed=8)
    for name, truth, prior_sd in (("m0", 5.0, 10.0), ("s0", 2.0, 5 * (1 - 2 / np.pi) ** 0.5)):
        draws = idata.posterior[name]
        assert abs(float(draws.mean()) - truth) < 5 * float(draws.std())
        assert float(draws.std()) < prior_sd / 2
    assert abs(float(idata.posterior["m0"].mean()) - centres.mean()) < 0.5


def test_a_potential_on_the_concentration_leaves_it_to_pymc():
    with stick_model() as model:
        pm.Potential("nudge", -model["alpha"])
        assert "alpha_log__" not in {v.name for v in dps.Neal8().vars}
        with pytest.raises(dps.MixtureError, match="concentration='slice'"):
            dps.Neal8(concentration="slice")


def test_a_potential_on_the_weights_makes_their_law_unknown():
    with stick_model() as model:
        pm.Potential("nudge", model["w"][0])
        assert "w_simplex__" not in {v.name for v in dps.BlockedGibbs().vars}
        with pytest.raises(dps.MixtureError, match="BlockedGibbs"):
            dps.Neal8()
