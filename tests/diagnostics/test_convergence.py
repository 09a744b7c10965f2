import numpy as np
import pytest
import xarray as xr

import pymc_dpsteps as dps
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


@pytest.mark.filterwarnings("error")
def test_summary_is_a_table_of_the_group_partition():
    found = dataset(x=RNG.normal(size=(4, 500)), k=np.ones((4, 500), dtype=int))
    tree = xr.DataTree.from_dict({"partition": found})
    table = dps.summary(tree, round_to="none")
    assert list(table.index) == ["x", "k"]
    expected = ["mean", "sd", "eti89_lb", "eti89_ub", "ess_bulk", "ess_tail", "r_hat", "mcse_mean"]
    assert list(table.columns) == expected
    assert table.loc["x", "mean"] == pytest.approx(found["x"].values.mean())
    assert table.loc["x", "eti89_ub"] == pytest.approx(np.quantile(found["x"], 0.945), rel=0.02)
    assert table.loc["k", "sd"] == 0.0
    assert "eti50_lb" in dps.summary(tree, ci_prob=0.5)


def test_summary_says_how_to_get_the_group():
    with pytest.raises(ValueError, match=r"dps\.sample"):
        dps.summary(xr.DataTree.from_dict({"posterior": xr.Dataset()}))
