import numpy as np
import xarray as xr

from pymc_dpsteps.diagnostics import convergence_messages

RNG = np.random.default_rng(2)


def dataset(**values: np.ndarray) -> xr.Dataset:
    return xr.Dataset({name: (("chain", "draw"), x) for name, x in values.items()})


def test_independent_draws_are_well():
    found = dataset(x=RNG.normal(size=(4, 500)), k=RNG.poisson(3, size=(4, 500)))
    assert convergence_messages(found) == []


def test_a_constant_is_well():
    assert convergence_messages(dataset(k=np.ones((4, 500), dtype=int))) == []
    assert convergence_messages(dataset(k=np.ones((1, 500), dtype=int))) == []


def test_chains_that_disagree_are_named_with_numbers():
    x = RNG.normal(size=(4, 500)) + np.arange(4)[:, None]
    r_hat, size = convergence_messages(dataset(x=x, fine=RNG.normal(size=(4, 500))))
    assert "R-hat above 1.01 for x 1." in r_hat and "fine" not in r_hat
    assert "below 400 (100 per chain) for x " in size and "fine" not in size


def test_chains_stuck_at_different_values_are_not_well():
    stuck = np.repeat(np.arange(4)[:, None], 500, axis=1)
    assert "R-hat" in convergence_messages(dataset(k=stuck))[0]


def test_draws_that_are_not_finite_are_counted():
    x = RNG.normal(size=(4, 500))
    x[1, :20] = np.nan
    (message,) = convergence_messages(dataset(log_likelihood=x, fine=RNG.normal(size=(4, 500))))
    assert "Not finite: log_likelihood in 1.0% of the draws" in message
    assert "ties" in message


def test_few_draws():
    assert "below 400" in convergence_messages(dataset(x=RNG.normal(size=(4, 50))))[-1]
    (message,) = convergence_messages(dataset(x=RNG.normal(size=(4, 3))))
    assert "too few" in message


def test_one_chain_is_judged_by_its_size_alone():
    assert convergence_messages(dataset(x=RNG.normal(size=(1, 500)))) == []
    (message,) = convergence_messages(dataset(x=RNG.normal(size=(1, 500)).cumsum(axis=1)))
    assert "below 100" in message
