"""`dps.conjugacy`, and what the algorithms that need a conjugate pair say without one."""

import re

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

import pymc_dpsteps as dps

N, K = 6, 4
Y = np.random.default_rng(1).normal(size=N)
COUNTS = np.array([0, 3, 1, 8, 2, 4])
ANY_PAIR = {"Neal4", "Neal5", "Neal6", "Neal7", "Neal8", "BlockedGibbs", "SliceGibbs"} | {
    "ImportanceConditional"
}
NEED_A_PAIR = [dps.Neal1, dps.Neal2, dps.Neal3]


def allocation(prior="crp", name="z"):
    if prior == "crp":
        return dps.ChineseRestaurantProcess(name, 1.0, K=K, shape=N)
    if prior == "sticks":
        return pm.Categorical(name, pm.StickBreakingWeights("w", 1.0, K=K - 1), shape=N)
    return pm.Categorical(name, pm.Dirichlet("w", np.full(K, 0.5)), shape=N)


def student(prior="crp"):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1, shape=K)
        pm.StudentT("y", 4, mu=mu[allocation(prior)], sigma=1, observed=Y)
    return model


def semi_conjugate():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1, shape=K)
        s2 = pm.InverseGamma("s2", 3, 2, shape=K)
        z = allocation()
        pm.Normal("y", mu[z], pt.sqrt(s2[z]), observed=Y)
    return model


def conjugate_and_not():
    with pm.Model() as model:
        rate = pm.Gamma("rate", 2, 1, shape=K)
        sigma = pm.HalfNormal("sigma", 1, shape=K)
        z = allocation()
        pm.Poisson("count", rate[z], observed=COUNTS)
        pm.Normal("y", 0, sigma[z], observed=Y)
    return model


def test_a_complete_report():
    with pm.Model() as model:
        rate = pm.Gamma("rate", 2, 1, shape=K)
        pm.Poisson("y", rate[allocation()], observed=COUNTS)
        found = dps.conjugacy()
    assert found.complete and found.allocation == "z"
    (atom,) = found.atoms
    assert atom is found["rate"]
    assert (atom.name, atom.prior, atom.likelihoods) == ("rate", "Gamma", ("y ~ Poisson",))
    assert (atom.pair, atom.given, atom.reason) == ("Poisson with a gamma rate", (), "")
    assert "Neal1, Neal2 and Neal3 apply" in str(found)
    assert repr(found) == str(found) == str(dps.conjugacy(model))
    with pytest.raises(KeyError, match="mu is not an atom of z; the atoms are rate"):
        found["mu"]


def test_what_a_pair_is_conditional_on():
    found = dps.conjugacy(semi_conjugate())
    assert not found.complete
    assert found["mu"].given == ("s2",) and found["s2"].given == ("mu",)
    assert "Normal with a normal mean, given s2" in str(found)
    assert "do not apply" in str(found)


def test_why_there_is_no_pair():
    found = dps.conjugacy(conjugate_and_not())
    assert found["rate"].pair is not None and found["sigma"].pair is None
    assert "HalfNormal" in found["sigma"].reason
    assert f"none: {found['sigma'].reason}" in " ".join(str(found).split())


def test_the_report_is_an_aligned_table():
    lines = str(dps.conjugacy(conjugate_and_not())).splitlines()
    assert lines[0].split() == ["atom", "prior", "likelihood", "conjugate", "pair"]
    for heading, cells in {"prior": ("Gamma", "HalfNormal"), "likelihood": ("count", "y")}.items():
        column = lines[0].index(heading)
        rows = [line for line in lines if line.startswith(("rate", "sigma"))]
        for row, cell in zip(rows, cells, strict=True):
            assert row[column - 1] == " " and row[column:].startswith(cell)
    assert max(len(line) for line in lines) <= 100


def test_an_allocation_is_named_where_there_are_several():
    with pm.Model() as model:
        mu, nu = pm.Normal("mu", 0, 1, shape=K), pm.Laplace("nu", 0, 1, shape=K)
        pm.Normal("x", mu[allocation(name="a")], 1, observed=Y)
        pm.Normal("y", nu[allocation(name="b")], 1, observed=Y)
    with pytest.raises(dps.MixtureError, match="2 allocations"):
        dps.conjugacy(model)
    assert dps.conjugacy(model, "a").complete
    assert not dps.conjugacy(model, "b").complete


def test_a_model_that_is_no_mixture():
    with pm.Model() as model:
        pm.Normal("y", 0, 1, observed=Y)
    with pytest.raises(dps.MixtureError, match="not a mixture"):
        dps.conjugacy(model)


# The refusal of the algorithms that need a pair --------------------------------------------------


def refusal(step, model):
    with model, pytest.raises(dps.MixtureError) as caught:
        step()
    return str(caught.value)


def recommended(message):
    return set(re.findall(r"dps\.(\w+)\(\)", message))


@pytest.mark.parametrize("step", NEED_A_PAIR)
def test_the_refusal_names_every_atom_with_prior_and_likelihood(step):
    message = refusal(step, conjugate_and_not())
    assert message.startswith(f"{step.__name__} integrates the atoms out")
    assert "rate with the prior Gamma and the likelihood count ~ Poisson" in message
    assert "sigma with the prior HalfNormal and the likelihood y ~ Normal" in message


def test_the_refusal_says_what_a_pair_is_conditional_on():
    message = refusal(dps.Neal3, semi_conjugate())
    assert "mu with the prior Normal" in message and "given s2" in message
    assert "s2 with the prior InvGamma" in message and "given mu" in message


@pytest.mark.parametrize("prior", ["crp", "sticks", "dirichlet"])
def test_the_refusal_names_the_algorithms_that_serve_the_prior(prior):
    """All that can be built on the model and no other."""
    model = student(prior)
    found = recommended(refusal(dps.Neal2, model))
    for name in sorted(ANY_PAIR):
        # Of a process with a discount the slices may be too many: not for every such prior.
        if (name, prior) == ("SliceGibbs", "crp"):
            assert name not in found
        elif name in found:
            with model:
                getattr(dps, name)()
        else:
            with model, pytest.raises(dps.MixtureError):
                getattr(dps, name)()
