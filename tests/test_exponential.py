import numpy as np

from pymc_dpsteps.exponential import exp_negative
from pymc_dpsteps.jit import njit


@njit
def _exponentials(x, out):
    for i in range(len(x)):
        out[i] = exp_negative(x[i])


def exponentials(x):
    out = np.empty_like(x)
    _exponentials(x, out)
    return out


def test_to_the_last_digit():
    x = -np.concatenate([[0.0, 5e-324], np.geomspace(1e-18, 708, 100_000)])[:-1]
    np.testing.assert_allclose(exponentials(x), np.exp(x), rtol=3 * np.finfo(float).eps, atol=0)
    assert exponentials(np.zeros(5)).tolist() == [1.0] * 5


def test_what_is_too_small_or_no_number_is_zero():
    assert exponentials(np.array([-708.1, -1e300, -np.inf, np.nan])).tolist() == [0.0] * 4
