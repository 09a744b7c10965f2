"""Joint-distribution tests: does a step leave p(parameters | data) invariant under the model?

Geweke (2004), in the form of Grosse and Duvenaud (2014). The data y are a free variable of the
model, so that one compiled step serves any data. Successive-conditional simulation alternates
the step, which moves (z, atoms, weights, alpha) given y, with a fresh draw of y given the rest;
its draws must have the marginal law of the prior, which is simulated directly. Simulation-based
calibration (Talts et al. 2018) uses the same models.
"""

import numpy as np
import pymc as pm
import pytest
from arviz_stats.base import array_stats
from scipy.stats import chisquare

import pymc_dpsteps as dps
from tests.helpers_algorithms import ALGORITHMS, CRP, DIRICHLET, RANDOM_DISCOUNT, STICKS

N, K = 10, 10


def normal(z):
    mu = pm.Normal("mu", 1, 2, shape=K)
    sigma = pm.Gamma("sigma", 4, 4, shape=K)
    pm.Normal("y", mu[z], sigma[z], shape=N)


def poisson(z):
    rate = pm.Gamma("rate", 2, 0.5, shape=K)
    pm.Poisson("y", rate[z], shape=N)


def exponential(z):
    rate = pm.Gamma("rate", 3, 2, shape=K)
    pm.Exponential("y", rate[z], shape=N, default_transform=None)


def student(z):
    mu = pm.Normal("mu", 0, 3, shape=K)
    pm.StudentT("y", nu=4, mu=mu[z], sigma=0.7, shape=N)


def normal_with_hyperparameter(z):
    m = pm.Normal("m", 0, 1)
    mu = pm.Normal("mu", m, 2, shape=K)
    pm.Normal("y", mu[z], 0.7, shape=N)


DRAW = {
    normal: lambda rng, p, z: rng.normal(p["mu"][z], p["sigma"][z]),
    poisson: lambda rng, p, z: rng.poisson(p["rate"][z]),
    exponential: lambda rng, p, z: rng.exponential(1.0 / p["rate"][z]),
    student: lambda rng, p, z: p["mu"][z] + 0.7 * rng.standard_t(4, size=N),
    normal_with_hyperparameter: lambda rng, p, z: rng.normal(p["mu"][z], 0.7),
}


def draw_hyperparameter(rng, point):
    """M given the atoms of all K components, which other step methods would update."""
    precision = 1.0 + K / 4.0
    mean = point["mu"].sum() / 4.0 / precision
    return point | {"m": np.array(rng.normal(mean, precision**-0.5))}


def crp(alpha):
    return dps.ChineseRestaurantProcess("z", alpha, K=K, shape=N)


def pitman_yor(alpha):
    discount = pm.Beta("discount", 2, 4)
    return dps.ChineseRestaurantProcess("z", alpha, discount, K=K, shape=N)


def sticks(alpha):
    w = pm.StickBreakingWeights("w", alpha, K=K - 1)
    return pm.Categorical("z", w, shape=N)


def dirichlet(alpha):
    w = pm.Dirichlet("w", alpha * np.linspace(0.5, 1.5, K) / K)
    return pm.Categorical("z", w, shape=N)


def build(kernel, prior):
    with pm.Model() as model:
        alpha = pm.Gamma("alpha", 3, 2)
        kernel(prior(alpha))
    return model


def functionals(p):
    """Label-invariant and, for unequal slots, label-bound functions of a point."""
    z = p["z"]
    counts = np.bincount(z, minlength=K)
    atom = p["mu"] if "mu" in p else p["rate"]
    values = [
        (counts > 0).sum(),
        (counts / N) @ (counts / N),
        p["alpha"],
        p["alpha"] ** 2,
        counts[0],
        atom[z[0]],
        atom[z].std(),
        p["y"].mean(),
        np.log1p(np.abs(p["y"])).mean(),
        p["y"][0] * atom[z[0]],
    ]
    if "sigma" in p:
        values += [p["sigma"][z[0]], np.log(p["sigma"][z]).mean()]
    if "m" in p:
        values += [p["m"], p["m"] * atom[z[0]]]
    if "discount" in p:
        values += [p["discount"]]
    if "w" in p:
        values += [p["w"][0], p["w"].max()]
    return np.array(values, dtype=float)


def simulator(model, seed):
    """Draws of all variables from the prior, and their value-space points."""
    names = [rv.name for rv in model.free_RVs]
    draw = pm.pytensorf.compile([], model.free_RVs, random_seed=seed)
    forward = []
    for rv in model.free_RVs:
        transform = model.rvs_to_transforms[rv]
        forward.append(rv if transform is None else transform.forward(rv, *rv.owner.inputs))
    to_point = pm.pytensorf.compile(model.free_RVs, forward, on_unused_input="ignore")
    to_values = model.compile_fn(
        model.replace_rvs_by_values(model.free_RVs), inputs=model.value_vars, point_fn=False
    )
    value_names = [model.rvs_to_values[rv].name for rv in model.free_RVs]

    def prior():
        return dict(zip(names, draw(), strict=True))

    def start():
        """A point; PyMC's own draws of the last stick may round to zero."""
        while True:
            values = prior()
            point = dict(zip(value_names, to_point(*[values[n] for n in names]), strict=True))
            if all(np.isfinite(v).all() for v in point.values()):
                return point

    def values_of(point):
        ordered = [point[v.name] for v in model.value_vars]
        return dict(zip(names, to_values(*ordered), strict=True))

    return prior, start, values_of


# Of every kernel: whether it is conjugate to G0, and the priors to use it with; an algorithm takes
# the first one it serves.
KERNELS = {
    normal: (False, [crp, sticks]),
    poisson: (True, [pitman_yor, sticks]),
    exponential: (True, [dirichlet, crp]),
    student: (False, [sticks, pitman_yor]),
    normal_with_hyperparameter: (True, [crp, dirichlet]),
}
URNS = {crp: CRP, pitman_yor: RANDOM_DISCOUNT, sticks: STICKS, dirichlet: DIRICHLET}


def cases_of(name, kernels=tuple(KERNELS)):
    algorithm = ALGORITHMS[name]
    cases = []
    for kernel in kernels:
        conjugate, priors = KERNELS[kernel]
        served = [prior for prior in priors if URNS[prior] in algorithm.urns]
        if served and (conjugate or not algorithm.conjugate):
            cases.append((kernel, served[0], name))
    return cases


CASES = {name: cases_of(name) for name in ALGORITHMS}
# One of each algorithm, kernels in turn.
QUICK = [cases[j % len(cases)] for j, cases in enumerate(CASES.values())]
LONG = [case for cases in CASES.values() for case in cases]
CALIBRATED = ("neal8-m2", "blocked", "slice", "importance", "split-merge")
CALIBRATION = [case for name in CALIBRATED for case in cases_of(name, (normal, poisson, student))]


def ids(case):
    kernel, prior, name = case
    return f"{kernel.__name__}-{prior.__name__}-{name}"


def z_scores(n_iterations, kernel, prior, name, seed):
    model = build(kernel, prior)
    draw, start, values_of = simulator(model, seed)
    direct = np.array([functionals(draw()) for _ in range(n_iterations)])
    with model:
        sampler = ALGORITHMS[name].make()
    rng = np.random.default_rng(seed + 1)
    sampler.setup_chain(np.random.default_rng(seed + 2), 0, n_iterations)
    sampler.started = True  # stationary from the first iteration: no dispersed start
    point = start()
    successive = []
    for _ in range(n_iterations):
        point, _ = sampler.step(point)
        if "m" in point:
            point = draw_hyperparameter(rng, point)
        values = values_of(point)
        values["y"] = DRAW[kernel](rng, values, values["z"])
        point["y"] = values["y"].astype(point["y"].dtype)
        successive.append(functionals(values))
    chain = np.array(successive)
    ess = np.array([float(array_stats.ess(c[None], method="mean")) for c in chain.T])
    error = np.sqrt(direct.var(0) / len(direct) + chain.var(0) / ess)
    return (chain.mean(0) - direct.mean(0)) / error


@pytest.mark.parametrize("case", QUICK, ids=ids)
def test_geweke(case):
    """Every mean within 5 standard errors (ESS-based for the chain)."""
    assert np.abs(z_scores(4_000, *case, seed=11)).max() < 5.0


@pytest.mark.slow
@pytest.mark.parametrize("case", LONG, ids=ids)
def test_geweke_long(case):
    """As above with 100,000 iterations."""
    assert np.abs(z_scores(100_000, *case, seed=12)).max() < 5.0


def sbc_ranks(kernel, prior, name, *, n_data, n_draws, thin, seed):
    model = build(kernel, prior)
    draw, start, values_of = simulator(model, seed)
    with model:
        sampler = ALGORITHMS[name].make()
    rng = np.random.default_rng(seed)
    origin = start()
    ranks = []
    for _ in range(n_data):
        truth = draw()
        point = {**origin, "y": truth["y"].astype(origin["y"].dtype)}
        sampler.setup_chain(rng.spawn(1)[0], 30, n_draws * thin)
        posterior = []
        for t in range(30 + n_draws * thin):
            point, _ = sampler.step(point)
            if t == 29:
                sampler.stop_tuning()
            if t >= 30 and (t - 30) % thin == 0:
                posterior.append(functionals(values_of(point)))
        exact, posterior = functionals(truth), np.array(posterior)
        below = (posterior < exact).sum(0)
        ties = (posterior == exact).sum(0)
        ranks.append(below + rng.integers(0, ties + 1))
    return np.array(ranks)


@pytest.mark.slow
@pytest.mark.parametrize("case", CALIBRATION, ids=ids)
def test_simulation_based_calibration(case):
    """Ranks of the truth among 19 thinned draws are uniform: chi-square over 20 bins.

    600 data sets; ties are broken at random. Fails at p < 1e-5 for any functional of the
    parameters (those of y are fixed by the data). Thinning leaves some autocorrelation, which
    affects only the spread of ranks within one data set.
    """
    ranks = sbc_ranks(*case, n_data=600, n_draws=19, thin=40, seed=21)
    on_data = {7, 8}
    p_values = {
        j: chisquare(np.bincount(ranks[:, j], minlength=20)).pvalue
        for j in range(ranks.shape[1])
        if j not in on_data
    }
    assert min(p_values.values()) > 1e-5, p_values
