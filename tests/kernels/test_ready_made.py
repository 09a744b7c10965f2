"""Ready-made kernels: density, base measure and conjugacy are those of their docstrings."""

import numpy as np
import pymc as pm
import pytest
from pytensor.compile.mode import Mode

import pymc_dpsteps as dps
from pymc_dpsteps import kernels
from pymc_dpsteps.mixture import read_mixture
from tests.helpers_kernels import (
    CASES,
    CENSORED,
    COUNTS,
    EXPOSURE,
    FRACTION,
    PARTS,
    POSITIVE,
    REAL,
    TABLE,
    TRIALS,
    VECTORS,
    K,
    N,
    X,
    model_of,
)

PYTHON = Mode(linker="py", optimizer="fast_compile")  # nothing to compile
LABELS = np.arange(N) % K

every_case = pytest.mark.parametrize("name", CASES)


def draw_atoms(model, names):
    return dict(
        zip(names, pm.draw([model[x] for x in names], mode=PYTHON, random_seed=2), strict=True)
    )


def test_all_kernels_have_a_case():
    assert {case.kernel.__name__ for case in CASES.values()} == set(kernels.__all__)


def point_of(model, atoms):
    """Value variables at these atoms and labels."""
    point = {model.rvs_to_values[model["z"]]: LABELS}
    for name, value in atoms.items():
        rv = model[name]
        transform = model.rvs_to_transforms[rv]
        if transform is not None:
            value = transform.forward(value, *rv.owner.inputs).eval(mode=PYTHON)
        point[model.rvs_to_values[rv]] = value
    return point


@every_case
def test_kernel_is_read_with_its_atoms_and_conjugacy(name):
    case = CASES[name]
    model = model_of(case)
    mixture = read_mixture(model)
    assert {atom.rv.name for atom in mixture.atoms} == set(case.base)
    assert all(atom.rv.type.shape[0] == K for atom in mixture.atoms)
    assert mixture.kernel_names == ("y",)
    report = dps.conjugacy(model)
    found = {a.name: (a.pair, tuple(sorted(a.given))) for a in report.atoms if a.pair is not None}
    assert found == case.pairs, report
    given = any(given for _, given in case.pairs.values())
    assert report.complete == (set(case.pairs) == set(case.base) and not given)


@every_case
def test_density_of_every_item_is_the_documented_one(name):
    case = CASES[name]
    model = model_of(case)
    atoms = draw_atoms(model, list(case.base))
    log_density = model.logp(vars=[model["y"]], sum=False)[0]
    found = log_density.eval(point_of(model, atoms), mode=PYTHON, on_unused_input="ignore")
    found = found.reshape(N, -1).sum(axis=1)
    rows = [{x: value[k] for x, value in atoms.items()} for k in LABELS]
    expected = [case.log_density(i, rows[i]) for i in range(N)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@every_case
def test_base_measure_is_the_documented_one(name):
    case = CASES[name]
    model = model_of(case)
    atoms = draw_atoms(model, list(case.base))
    for atom, law in case.base.items():
        others = {model[x]: value for x, value in atoms.items() if x != atom}
        found = pm.logp(model[atom], atoms[atom]).eval(
            others, mode=PYTHON, on_unused_input="ignore"
        )
        for k in range(K):
            frozen = law({x: value[k] for x, value in atoms.items()})
            expected = np.sum(frozen.logpdf(atoms[atom][k]))
            np.testing.assert_allclose(np.sum(found[k]), expected, rtol=1e-9, err_msg=atom)


@every_case
def test_prior_predictive_draws_have_the_shape_of_the_data(name):
    case = CASES[name]
    model = model_of(case)
    draws = pm.draw(model["y"], draws=3, mode=PYTHON, random_seed=3)
    assert draws.shape == (3, *np.shape(case.options["observed"]))
    assert np.isfinite(draws).all()


def base_at(case, atoms, **more):
    """Log density of the base measure at some atoms."""
    model = model_of(case, **more)
    names = list(case.base)
    logps = [pm.logp(model[x], atoms[x]).sum() for x in names]
    given = {model[x]: atoms[x] for x in names}
    return [x.eval(given, mode=PYTHON, on_unused_input="ignore") for x in logps]


def sd(x):
    return np.std(x, axis=0, ddof=1)


SHARES = TABLE.sum(axis=0) / TABLE.sum()
THIRD = np.median(PARTS.mean(axis=0) * (1 - PARTS.mean(axis=0)) * 9 / PARTS.var(axis=0, ddof=1)) - 1
DERIVED = {
    "normal_mean": (REAL, dict(location=REAL.mean(), scale=sd(REAL))),
    "normal_variance": (REAL, dict(scale=sd(REAL))),
    "normal": (REAL, dict(location=REAL.mean(), scale=sd(REAL))),
    "student_t": (REAL, dict(location=REAL.mean(), scale=sd(REAL))),
    "mvnormal_full": (VECTORS, dict(location=VECTORS.mean(axis=0), scale=sd(VECTORS))),
    "mvnormal_spherical": (VECTORS, dict(location=VECTORS.mean(axis=0), scale=sd(VECTORS))),
    "exponential": (POSITIVE, dict(scale=POSITIVE.mean())),
    "weibull": (POSITIVE, dict(scale=POSITIVE.mean())),
    "gamma": (POSITIVE, dict(scale=POSITIVE.mean())),
    "poisson": (COUNTS, dict(scale=COUNTS.sum() / EXPOSURE.sum())),
    "binomial": (COUNTS, dict(location=COUNTS.sum() / TRIALS.sum())),
    "multinomial": (TABLE, dict(location=SHARES)),
    "beta": (
        FRACTION,
        dict(
            location=FRACTION.mean(),
            precision=FRACTION.mean() * (1 - FRACTION.mean()) * 9 / sd(FRACTION) ** 2 - 1,
        ),
    ),
    "dirichlet": (PARTS, dict(location=PARTS.mean(axis=0), precision=THIRD)),
    "linear_regression_known_sd": (
        REAL,
        dict(location=REAL.mean(), scale=sd(REAL), slope_scale=sd(REAL) / sd(X)),
    ),
}


@pytest.mark.parametrize("name", DERIVED)
def test_scale_to_derives_the_documented_settings_and_given_ones_win(name):
    case, (data, settings) = CASES[name], DERIVED[name]
    atoms = draw_atoms(model_of(case), list(case.base))
    explicit = base_at(case, atoms, **settings)
    derived = base_at(case, atoms, scale_to=data, **dict.fromkeys(settings))
    np.testing.assert_allclose(derived, explicit, rtol=1e-12)
    given = base_at(case, atoms)
    assert not np.allclose(explicit, given)
    if settings.keys() <= case.options.keys():
        np.testing.assert_array_equal(base_at(case, atoms, scale_to=data), given)


def test_scale_to_leaves_out_missing_values():
    case, more = CASES["normal_mean"], dict(location=None, scale=None)
    atoms = draw_atoms(model_of(case), ["mu"])
    with_gaps = np.append(REAL, np.nan)
    assert base_at(case, atoms, scale_to=with_gaps, **more) == base_at(
        case, atoms, scale_to=REAL, **more
    )


def test_dimensions_of_the_model_are_used():
    with pm.Model(coords={"obs": range(N), "part": list("ab"), "component": range(K)}) as model:
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, dims="obs")
        kernels.mvnormal("y", z, dims=("obs", "part"), scale_to=VECTORS, observed=VECTORS)
        kernels.poisson("n", z, dims="obs", scale=3.0, observed=COUNTS)
    assert model.named_vars_to_dims == {
        "z": ("obs",),
        "mu": ("component", "part"),
        "y": ("obs", "part"),
        "rate": ("component",),
        "n": ("obs",),
    }
    assert model["precision"].type.shape == (K, 2, 2)
    assert read_mixture(model).n_components == K


def test_a_dimension_of_another_name_is_made():
    model = model_of(CASES["normal"], component="cluster")
    assert model.named_vars_to_dims["mu"] == ("cluster",)
    assert model.eval_rv_shapes()["mu"] == (K,)


def test_weights_tell_the_number_of_components_and_so_does_k():
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.ones(K))
        kernels.normal_mean("y", pm.Categorical("z", w, shape=N), sigma=1, scale=1, observed=REAL)
        labels = pm.DiscreteUniform("labels", 0, 2, shape=N)
        kernels.poisson("n", labels, K=3, scale=1.0, observed=COUNTS)
    assert model["mu"].type.shape == (K,)
    assert model["rate"].type.shape == (3,)


def test_prefixes_tell_kernels_of_one_model_apart():
    with pm.Model() as model:
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        y = kernels.normal("y", z, scale=10.0, observed=REAL)
        kernels.normal("x", z, prefix="x", scale=10.0, observed=X)
        with pytest.raises(ValueError, match=r"a variable sigma2 already.*prefix='v'"):
            kernels.normal("v", z, scale=10.0, observed=X)
    assert y is model["y"]
    assert {"mu", "sigma2", "x_mu", "x_sigma2"} <= set(model.named_vars)
    assert dps.conjugacy(model).complete


def test_settings_may_be_variables_of_the_model():
    with pm.Model() as model:
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        m, s = pm.Normal("m", 0, 1), pm.HalfNormal("s", 1)
        kernels.normal("y", z, location=m, scale=s, observed=REAL)
        kernels.normal_mean("x", z, prefix="x", sigma=s, location=m, scale=s, observed=X)
        kernels.mvnormal("v", z, prefix="v", location=m, scale=s, observed=VECTORS)
        kernels.mvnormal("u", z, prefix="u", covariance="spherical", scale=s, observed=VECTORS)
        kernels.weibull("t", z, prefix="t", scale=s, observed=POSITIVE)
    read_mixture(model)
    report = dps.conjugacy(model)
    pairs = {a.name: (a.pair is not None, a.given) for a in report.atoms}
    assert pairs["mu"] == pairs["x_mu"] == pairs["v_mu"] == pairs["v_precision"] == (True, ())


def test_data_containers_can_be_changed():
    with pm.Model() as model:
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        time, died = pm.Data("time", POSITIVE), pm.Data("alive", CENSORED.astype(int))
        kernels.weibull("y", z, scale=10.0, censored=died, observed=time)
        exposure = pm.Data("exposure", EXPOSURE)
        kernels.poisson("n", z, scale=10.0, exposure=exposure, observed=pm.Data("c", COUNTS))
        kernels.multinomial("v", z, observed=pm.Data("table", TABLE))
        x = pm.Data("x", X)
        kernels.linear_regression("r", z, x=x, scale=1.0, slope_scale=1.0, observed=REAL)
    read_mixture(model)
    log_density = model.compile_logp(vars=[model["y"]], mode=PYTHON)
    point = model.initial_point()
    before = log_density(point)
    model.set_data("alive", np.zeros(N, dtype=int))
    assert log_density(point) != before


def test_missing_values_are_left_to_pymc():
    gaps = REAL.copy()
    gaps[2] = np.nan
    with pytest.warns(Warning, match="Data in y contains missing values"):
        model = model_of(CASES["normal"], observed=gaps)
    assert "y_unobserved" in model.named_vars


def test_nobody_censored_is_the_plain_kernel():
    model = model_of(CASES["exponential"], censored=np.zeros(N, dtype=bool))
    assert dps.conjugacy(model).complete
