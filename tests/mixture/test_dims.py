"""Models of pymc.dims are the models of tensors with the same variables."""

import numpy as np
import pymc as pm
import pymc.dims as pmd
import pytest
from pymc.dims import as_xtensor
from pymc.dims.distributions.transforms import DimTransform
from pytensor.graph.basic import Apply
from pytensor.xtensor.basic import XOp

import pymc_dpsteps as dps
from tests.helpers_chain import run_chain

N, K = 6, 4
RNG = np.random.default_rng(1)
Y, X = RNG.normal(size=N), RNG.normal(size=N)
PAIRS, POINTS = RNG.normal(size=(N, 2)), np.array([0, 0, 1, 2, 2, 2])
COORDS = {
    "obs": range(N),
    "component": range(K),
    "feature": ["a", "b"],
    "other": ["a", "b"],
    "group": range(3),
}


def crp(dim="obs"):
    z = dps.ChineseRestaurantProcess("z", 1.0, K=K, dims=dim)
    return z, as_xtensor(z, dims=dim)


def data(values, *dims):
    return as_xtensor(np.asarray(values), dims=dims)


# Each declares one model twice: with pm, and with pymc.dims -----------------------------------


def weights(named):
    """Everything in pymc.dims, the allocation as well."""
    if named:
        w = pmd.Dirichlet("w", data(np.ones(K), "component"), core_dims="component")
        z = pmd.Categorical("z", w, core_dims="component", dims="obs")
        mu = pmd.Normal("mu", 0, 1, dims="component")
        pmd.Normal("y", mu.isel(component=z), 1, observed=data(Y, "obs"))
    else:
        w = pm.Dirichlet("w", np.ones(K))
        mu = pm.Normal("mu", 0, 1, dims="component")
        pm.Normal("y", mu[pm.Categorical("z", w, dims="obs")], 1, observed=Y)


def sticks(named):
    w = pm.StickBreakingWeights("w", 1.5, K=K - 1, dims="component")
    z = pm.Categorical("z", w, dims="obs")
    if named:
        p = pmd.Beta("p", 1, 2, dims="component")
        at = as_xtensor(z, dims="obs")
        pmd.Bernoulli("y", p.isel(component=at), observed=data(Y > 0, "obs"))
    else:
        pm.Bernoulli("y", pm.Beta("p", 1, 2, dims="component")[z], observed=Y > 0)


def regression(named):
    """A random concentration, data containers, a bounded atom, and a shared scale."""
    of = pmd if named else pm
    alpha, x, y = (
        of.Gamma("alpha", 2, 4),
        of.Data("x", X, dims="obs"),
        of.Data("data", Y, dims="obs"),
    )
    a = of.Normal("a", 0, 1, dims="component", initval=np.ones(K))
    b = of.Uniform("b", -2, 3, dims="component")
    noise = of.HalfNormal("noise", 1)
    z = dps.ChineseRestaurantProcess("z", alpha.values if named else alpha, K=K, dims="obs")
    at = as_xtensor(z, dims="obs") if named else z
    of.Deterministic("mean", a[at] + b[at] * x, dims="obs")
    of.Normal("y", a[at] + b[at] * x, noise, observed=y, dims="obs")


def bounds(named):
    """Transforms of intervals that are bounded on one side, and of circles."""
    of = pmd if named else pm
    _, at = crp() if named else (crp()[0],) * 2
    scale = of.TruncatedNormal("scale", 1, 1, lower=0.5, dims="component")
    angle = of.VonMises("angle", 0, 1, dims="component")
    of.Normal("y", angle[at], scale[at], observed=data(Y, "obs") if named else Y)


def vectors(named):
    z, at = crp()
    if named:
        mu = pmd.Normal("mu", data([0, 1], "feature"), 1, dims=("component", "feature"))
        pmd.MvNormal(
            "y",
            mu.isel(component=at),
            cov=data([[1.0, 0.5], [0.5, 1.0]], "feature", "other"),
            core_dims=("feature", "other"),
            observed=data(PAIRS.T, "feature", "obs"),
        )
    else:
        mu = pm.Normal("mu", [0, 1], 1, dims=("component", "feature"))
        pm.MvNormal("y", mu[z], cov=np.array([[1.0, 0.5], [0.5, 1.0]]), observed=PAIRS)


def groups(named):
    z, at = crp("group")
    if named:
        mu = pmd.Normal("mu", 0, 1, dims="component")
        item = data(POINTS, "obs")
        pmd.Normal("y", mu.isel(component=at.isel(group=item)), 1, observed=data(Y, "obs"))
    else:
        pm.Normal("y", pm.Normal("mu", 0, 1, dims="component")[z[POINTS]], 1, observed=Y)


def only_the_index(named):
    """Plain variables at both ends, named axes between them."""
    z, at = crp()
    mu = pm.Normal("mu", 0, 1, dims="component")
    at_item = as_xtensor(mu, dims="component").isel(component=at).values if named else mu[z]
    pm.Normal("y", at_item, 1, observed=Y)


def model_of(declare, named):
    with pm.Model(coords=COORDS) as model:
        declare(named)
    return model


MODELS = [weights, sticks, regression, bounds, vectors, groups, only_the_index]


@pytest.mark.parametrize(
    ("declare", "step"),
    [(declare, dps.Neal8) for declare in MODELS] + [(weights, dps.BlockedGibbs)],
)
def test_the_chain_is_that_of_the_model_of_tensors(declare, step):
    chains = []
    for named in (True, False):
        model = model_of(declare, named)
        names = [value.name for value in model.value_vars]
        chains.append(run_chain(step(model=model), model, names, 50, seed=1, tune=10))
    assert set(chains[0]) == set(chains[1])
    for name, draws in chains[0].items():
        np.testing.assert_allclose(draws, chains[1][name], rtol=1e-8, err_msg=name)


def test_sample_chooses_and_the_result_keeps_its_dimensions():
    model = model_of(weights, named=True)
    idata = dps.sample(
        100, tune=20, chains=1, model=model, cores=1, random_seed=1, progressbar=False, quiet=True
    )
    assert idata["posterior"]["mu"].dims == ("chain", "draw", "component")
    assert idata["posterior"]["z"].dims == ("chain", "draw", "obs")
    assert np.isfinite(idata["partition"]["log_likelihood"]).all()
    density = dps.predict.density(idata, np.linspace(-8, 8, 161), model=model)
    assert float(density["mean"].sum() * 0.1) == pytest.approx(1.0, abs=0.01)
    assert dps.conjugacy(model).complete


def test_data_changed_between_runs():
    model = model_of(regression, named=True)
    step = dps.Neal8(model=model)
    with model:
        pm.set_data({"data": Y + 20.0})
    fresh = model_of(regression, named=False)
    with fresh:
        pm.set_data({"data": Y + 20.0})
    chains = [
        run_chain(s, m, ["a"], 50, seed=2, tune=10)
        for s, m in ((step, model), (dps.Neal8(model=fresh), fresh))
    ]
    np.testing.assert_allclose(chains[0]["a"], chains[1]["a"], rtol=1e-8)


# What is refused ----------------------------------------------------------------------------------


def refused(declare):
    with pm.Model(coords=COORDS), pytest.raises(dps.MixtureError) as caught:
        declare()
        dps.Neal8()
    return str(caught.value)


def test_atoms_that_sum_to_zero():
    def declare():
        mu = pmd.ZeroSumNormal("mu", core_dims="component", dims="component")
        pmd.Normal("y", mu.isel(component=crp()[1]), 1, observed=data(Y, "obs"))

    message = refused(declare)
    assert "mu has the transform ZeroSumTransform" in message and "pymc.dims.as_xtensor" in message


def test_a_transform_of_the_users_own():
    class Doubling(DimTransform):
        name = "doubling"

        def forward(self, value, *inputs):
            return 2.0 * value

        def backward(self, value, *inputs):
            return 0.5 * value

        def log_jac_det(self, value, *inputs):
            return 0.0 * value - np.log(2.0)

    def declare():
        mu = pmd.Normal("mu", 0, 1, dims="component", transform=Doubling())
        pmd.Normal("y", mu.isel(component=crp()[1]), 1, observed=data(Y, "obs"))

    assert "mu has the transform Doubling" in refused(declare)


def test_an_operation_that_has_no_counterpart():
    class Mystery(XOp):
        def make_node(self, x):
            return Apply(self, [x], [x.type()])

    def declare():
        mu = pmd.Normal("mu", 0, 1, dims="component")
        pmd.Normal("y", Mystery()(mu).isel(component=crp()[1]), 1, observed=data(Y, "obs"))

    assert "y depends on the operation Mystery of named axes" in refused(declare)


def test_a_sum_over_items():
    def declare():
        mu = pmd.Normal("mu", 0, 1, dims="component")
        at_items = mu.isel(component=crp()[1])
        pmd.Normal("y", at_items.cumsum("obs"), 1, observed=data(Y, "obs"))

    assert "The density of y for one item cannot be separated" in refused(declare)


def test_components_that_are_not_the_leading_axis():
    def declare():
        mu = pmd.Normal("mu", data([0, 1], "feature"), 1, dims=("feature", "component"))
        pmd.Normal("y", mu.isel(component=crp()[1]), 1, observed=data(PAIRS, "obs", "feature"))

    assert "its leading axis must be the items" in refused(declare)
