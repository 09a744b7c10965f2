"""What a ready-made kernel cannot be made of is refused by name, with a way out."""

import numpy as np
import pymc as pm
import pytest

import pymc_dpsteps as dps
from pymc_dpsteps import kernels
from tests.helpers_kernels import (
    CASES,
    COUNTS,
    PARTS,
    POSITIVE,
    REAL,
    TABLE,
    VECTORS,
    K,
    N,
    X,
    model_of,
)


def changed(data, value, at=4):
    data = np.array(data, dtype=float)
    data[at] = value
    return data


BAD_DATA = [
    ("normal", dict(observed=REAL[:-1]), "8 rows, but the allocation z has 9 items"),
    ("normal", dict(observed=VECTORS), r"shape \(9, 2\); expected one number per item"),
    ("normal", dict(observed=changed(REAL, np.inf)), "1 of 9 items, first at item 4: inf"),
    ("normal_mean", dict(sigma=-1.0), "sigma is out of range .* above zero"),
    ("normal_mean", dict(sigma=[1.0, 2.0]), r"sigma has the shape \(2,\).*each of the 9 items"),
    ("normal_variance", dict(mean=np.nan), "mean is out of range"),
    ("mvnormal_full", dict(observed=REAL), "expected a matrix, one row per item"),
    ("exponential", dict(observed=changed(POSITIVE, -1)), "item 4: -1.0.*at least zero"),
    ("weibull", dict(observed=changed(POSITIVE, 0)), "item 4: 0.0.*above zero"),
    ("gamma", dict(observed=changed(POSITIVE, 0)), "item 4: 0.0.*above zero"),
    ("weibull_censored", dict(censored=[True, False]), r"censored has the shape \(2,\)"),
    ("weibull_censored", dict(censored=POSITIVE), "expected True or False for each of the 9"),
    ("weibull_censored", dict(observed=changed(POSITIVE, np.nan)), "1 times are missing"),
    ("poisson", dict(observed=changed(COUNTS, 1.5)), "item 4: 1.5; expected counts"),
    ("poisson", dict(observed=changed(COUNTS, -1)), "item 4: -1.0; expected counts"),
    ("poisson", dict(exposure=0.0), "exposure is out of range.*above zero"),
    ("binomial", dict(trials=COUNTS - (np.arange(N) == 4)), "item 4: .*number of trials"),
    ("binomial", dict(trials=2.5), "trials is out of range"),
    ("multinomial", dict(observed=changed(TABLE, [1.5, 0, 0])), "item 4: .*expected counts"),
    ("multinomial", dict(observed=changed(TABLE, np.nan)), "no missing counts"),
    ("beta", dict(observed=changed(POSITIVE / 100, 1.0)), "item 4: 1.0.*neither included"),
    ("dirichlet", dict(observed=changed(PARTS, [0, 0.5, 0.5])), "neither included"),
    ("dirichlet", dict(observed=0.5 * PARTS), "9 of 9 items.*sum to one"),
    ("linear_regression", dict(x=X[:-1]), r"x has the shape \(8,\).*each of the 9 items"),
    ("linear_regression", dict(x=changed(X, np.nan)), "x is out of range at 1 of 9"),
]
BAD_SETTINGS = [
    ("normal", dict(scale=0.0), "scale = 0.0; expected finite numbers above zero"),
    ("normal", dict(location=[1.0, 2.0]), "location = .*expected finite numbers, one"),
    ("normal", dict(prior_shape=1.0), "prior_shape = 1.0; expected finite numbers above one"),
    ("normal", dict(scale=None, scale_to=np.ones(5)), "scale = .*0.0.*above zero"),
    ("normal", dict(scale=None, scale_to=[1.0]), "1 complete rows.*by hand"),
    ("normal", dict(scale_to=VECTORS), r"scale_to has the shape \(9, 2\); expected a vector"),
    ("mvnormal_full", dict(scale_to=REAL), "expected a matrix with 2 columns"),
    ("mvnormal_full", dict(scale=[1.0, 2.0, 3.0]), "expected finite numbers above zero, one or 2"),
    ("mvnormal_full", dict(covariance="round"), "covariance = 'round'; expected one of 'full'"),
    ("mvnormal_full", dict(df=3.0), r"df = 3.0; expected more than D \+ 1 = 3"),
    ("mvnormal_full", dict(prior_shape=2.0), "a full covariance has no prior_shape"),
    ("mvnormal_diagonal", dict(df=5.0), "a diagonal covariance has no df"),
    ("binomial", dict(location=1.0), "location = 1.0; expected numbers between zero and one"),
    ("multinomial", dict(location=[0.2, 0.2, 0.2]), "sums to 0.6; expected 3 fractions"),
    ("multinomial", dict(scale_to=VECTORS), "expected 3 columns"),
    ("normal", dict(K=K + 1), "5 by K, 4 by the allocation z. Make them agree"),
    ("normal", dict(K=2.5), "K = 2.5; expected a number of components"),
]
MISSING = [
    ("normal_mean", "scale", "the sd of all data"),
    ("normal_variance", "scale", "the sd of all data"),
    ("normal", "scale", "the sd of all data"),
    ("student_t", "scale", "the sd of all data"),
    ("mvnormal_full", "scale", "the sd of all data"),
    ("exponential", "scale", "the typical time to an event"),
    ("weibull", "scale", "the typical time to an event"),
    ("gamma", "scale", "the typical observation"),
    ("poisson", "scale", "the typical count per unit of exposure"),
    ("beta", "precision", "the typical precision c"),
    ("dirichlet", "precision", "the typical precision c"),
    ("linear_regression", "scale", "the sd of all data"),
    ("linear_regression", "slope_scale", "the prior sd of a slope"),
]


@pytest.mark.parametrize(("name", "options", "message"), [*BAD_DATA, *BAD_SETTINGS])
def test_values_out_of_range_are_refused(name, options, message):
    with pytest.raises(ValueError, match=f"^y: .*{message}"):
        model_of(CASES[name], **options)


@pytest.mark.parametrize(("name", "argument", "meaning"), MISSING)
def test_a_missing_scale_is_asked_for(name, argument, meaning):
    with pytest.raises(TypeError, match=f"^y: {argument} is missing. Give {argument}=, {meaning}"):
        model_of(CASES[name], **{argument: None})


def test_data_that_are_no_numbers_are_refused():
    with pytest.raises(TypeError, match=r"^y: observed cannot be read as numbers"):
        model_of(CASES["normal"], observed=list("abcdefghi"))


def test_data_that_are_random_are_refused():
    with pm.Model():
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        x = pm.Normal("x", shape=N)
        with pytest.raises(TypeError, match=r"^y: observed depends on random variables"):
            kernels.normal("y", z, scale=1.0, observed=x)


def test_a_dimension_of_another_length_is_refused():
    with pm.Model(coords={"component": range(K + 2)}):
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=N)
        with pytest.raises(ValueError, match="4 by the allocation z, 6 by the dimension component"):
            kernels.normal("y", z, scale=1.0, observed=REAL)


def test_an_unknown_number_of_components_is_refused():
    with pm.Model():
        z = pm.DiscreteUniform("z", 0, 3, shape=N)
        with pytest.raises(ValueError, match=r"number of components is unknown. Give K="):
            kernels.normal("y", z, scale=1.0, observed=REAL)


@pytest.mark.parametrize(
    ("z", "error", "message"),
    [
        (np.zeros(N, dtype=int), TypeError, "of type ndarray. Give the variable z itself"),
        (pm.Normal.dist(shape=N), ValueError, "dtype float64; expected a vector of integers"),
        (pm.Poisson.dist(3.0, shape=(N, 2)), ValueError, "2 axes"),
    ],
)
def test_what_is_no_allocation_is_refused(z, error, message):
    with pm.Model(), pytest.raises(error, match=f"^y: the allocation .*{message}"):
        kernels.normal("y", z, K=3, scale=1.0, observed=REAL)


def test_without_a_model_there_is_nothing_to_add_to():
    with pytest.raises(TypeError, match=r"[Nn]o model on context"):
        kernels.normal("y", None, scale=1.0, observed=REAL)
