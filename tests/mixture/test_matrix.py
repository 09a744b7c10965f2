import numpy as np
import pymc as pm
import pytest

import pymc_dpsteps as dps
from pymc_dpsteps.mixture import read_mixture
from pymc_dpsteps.mixture.matrix import log_kernel_matrix


def test_rows_of_an_allocation_add_up_to_the_log_likelihood():
    group = np.array([0, 0, 1, 3, 3, 3])  # item 2 has no observation of its own here
    with pm.Model() as model:
        shared = pm.HalfNormal("shared")
        mu = pm.Normal("mu", 0, 2, shape=5)
        sigma = pm.HalfNormal("sigma", shape=5)
        plane = pm.Normal("plane", shape=(5, 2))
        z = dps.ChineseRestaurantProcess("z", 1.0, K=5, shape=4)
        pm.Normal("y", mu[z], sigma[z], observed=np.arange(4.0))
        pm.MvNormal("v", plane[z], np.eye(2), observed=np.arange(8.0).reshape(4, 2))
        pm.Normal("u", mu[z[group]], shared, observed=np.arange(6.0))
    mixture = read_mixture(model)
    function = pm.compile(
        mixture.model.value_vars, log_kernel_matrix(mixture), on_unused_input="ignore"
    )
    rng = np.random.default_rng(0)
    point = {name: rng.normal(size=np.shape(x)) for name, x in model.initial_point(0).items()}
    point["z"] = np.zeros(4, dtype=np.int64)
    matrix = function(**{v.name: point[v.name] for v in mixture.model.value_vars})
    assert matrix.shape == (4, 5)
    log_likelihood = model.compile_logp(vars=[model[name] for name in ("y", "v", "u")])
    for labels in ([0, 1, 2, 3], [4, 4, 0, 1], [2, 2, 2, 2]):
        point["z"] = np.array(labels)
        expected = log_likelihood(point)
        assert matrix[np.arange(4), labels].sum() == pytest.approx(expected, rel=1e-12)
