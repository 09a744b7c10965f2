import arviz_stats
import numpy as np
import pytest
import xarray as xr

import pymc_dpsteps as dps

RNG = np.random.default_rng(2)
Z = RNG.integers(0, 3, size=(4, 500, 5))
NAMES = ["mean", "sd", "eti89_lb", "eti89_ub", "ess_bulk", "ess_tail", "r_hat"]


def result(items=None, **values: np.ndarray) -> xr.DataTree:
    partition = {name: (("chain", "draw"), x) for name, x in values.items()}
    z = xr.DataArray(Z, dims=("chain", "draw", "bird"), coords=items and {"bird": items})
    return xr.DataTree.from_dict(
        {"posterior": xr.Dataset({"z": z}), "partition": xr.Dataset(partition)}
    )


def counts() -> np.ndarray:
    return dps.partitions.n_clusters(Z)


@pytest.mark.filterwarnings("error")
def test_it_is_a_table_of_the_group_partition():
    x = RNG.normal(size=(4, 500))
    tree = result(x=x, k=np.ones((4, 500), dtype=int))
    table = dps.summary(tree, round_to="none")
    assert list(table.index) == ["x", "k"]
    assert list(table.columns) == [*NAMES, "mcse_mean", "mcse_sd"]
    assert table.loc["x", "mean"] == pytest.approx(x.mean())
    assert table.loc["x", "eti89_ub"] == pytest.approx(np.quantile(x, 0.945), rel=0.02)
    assert table.loc["k", "sd"] == 0.0
    assert "eti50_lb" in dps.summary(tree, ci_prob=0.5)
    shortest = dps.summary(tree, ci_kind="hdi", round_to="none").loc["x"]
    equal = table.loc["x"]
    assert shortest["hdi89_ub"] - shortest["hdi89_lb"] < equal["eti89_ub"] - equal["eti89_lb"]


@pytest.mark.parametrize("items", [None, ["crane", "heron", "ibis", "stork", "swan"]])
def test_pairs_are_given_by_the_labels_of_the_items(items):
    pair = (0, 3) if items is None else ("crane", "stork")
    tree = result(items, n_clusters=counts())
    table = dps.summary(tree, pairs=[pair, pair[::-1]], round_to="none")
    row = table.loc[f"together[{pair[0]}, {pair[1]}]"]
    together = (Z[..., 0] == Z[..., 3]).astype(float)
    assert row["mean"] == together.mean()
    assert row["mean"] == pytest.approx(float(dps.partitions.coclustering(Z)[0, 3]))
    assert row["sd"] == pytest.approx(together.std(ddof=1))
    assert row["ess_bulk"] == pytest.approx(float(arviz_stats.ess(together)))
    assert row["mcse_mean"] == pytest.approx(float(arviz_stats.mcse(together)))
    assert row.equals(table.loc[f"together[{pair[1]}, {pair[0]}]"])
    assert list(tree["partition"].data_vars) == ["n_clusters"]  # the result is left as it was


def test_pairs_of_one_allocation_among_several():
    tree = result(z_n_clusters=counts(), s_n_clusters=counts())
    tree["posterior"]["s"] = tree["posterior"]["z"].rename(bird="nest")[..., :4]
    table = dps.summary(tree, pairs=[(0, 3)], allocation="s")
    assert list(table.index) == ["z_n_clusters", "s_n_clusters", "s_together[0, 3]"]
    with pytest.raises(ValueError, match="No allocation is named"):
        dps.summary(tree, pairs=[(0, 3)])


def test_items_that_are_not_there_are_named():
    tree = result(n_clusters=counts())
    with pytest.raises(ValueError, match=r"7 is not an item of z; .* the 5 labels 0 to 4"):
        dps.summary(tree, pairs=[(0, 7)])
    with pytest.raises(ValueError, match="-1 is not an item of z"):
        dps.summary(tree, pairs=[(0, -1)])
    named = result(["crane", "heron", "ibis", "stork", "stork"], n_clusters=counts())
    with pytest.raises(ValueError, match=r"'gull' is not an item of z.* of the dimension bird"):
        dps.summary(named, pairs=[("crane", "gull")])
    with pytest.raises(ValueError, match="'stork' is the label of several items"):
        dps.summary(named, pairs=[("crane", "stork")])
    for pairs in [(0, 3), [(0, 1, 2)], ["ab"]]:
        with pytest.raises(ValueError, match="expected two items each"):
            dps.summary(tree, pairs=pairs)


def test_it_says_how_to_get_the_group():
    with pytest.raises(ValueError, match=r"dps\.sample"):
        dps.summary(xr.DataTree.from_dict({"posterior": xr.Dataset()}))
