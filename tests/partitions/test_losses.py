import numpy as np
import pytest
import xarray as xr

from pymc_dpsteps.partitions import adjusted_rand_index, distance, expected_loss
from pymc_dpsteps.partitions.labels import number_by_first
from pymc_dpsteps.partitions.losses import loss_code, losses_to
from tests.helpers_partitions import LOSSES, all_partitions, loss_by_definition


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n_items", [1, 2, 5])
def test_losses_equal_their_definitions_on_all_pairs(loss, n_items):
    rows = all_partitions(n_items)
    assert len(rows) == {1: 1, 2: 2, 5: 52}[n_items]
    expected = [[loss_by_definition(a, b, loss) for b in rows] for a in rows]
    rows32 = number_by_first(rows)
    found = [losses_to(loss_code(loss), a, rows32) for a in rows32]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    for a in range(0, len(rows), 7):
        assert distance(rows[a], rows[-1], loss=loss) == pytest.approx(expected[a][-1], abs=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_equal_their_definitions_on_some_pairs_of_seven_items(loss):
    rows = all_partitions(7)[::9]
    rows32 = number_by_first(rows)
    for a in range(0, len(rows), 13):
        expected = [loss_by_definition(rows[a], b, loss) for b in rows]
        np.testing.assert_allclose(
            losses_to(loss_code(loss), rows32[a], rows32), expected, atol=1e-12
        )


def test_scales():
    one, alone = np.zeros(8), np.arange(8)
    assert distance(one, alone) == pytest.approx(3.0)
    assert distance(one, alone, loss="binder") == pytest.approx(1 - 1 / 8)
    assert distance(one, alone, loss="nvi") == pytest.approx(1.0)
    assert distance(one, alone, loss="omari") == pytest.approx(1.0)


@pytest.mark.parametrize("loss", LOSSES)
def test_expected_loss_is_the_mean_over_draws(loss):
    rng = np.random.default_rng(3)
    draws, candidates = rng.integers(0, 4, (2, 30, 9)), rng.integers(0, 5, (3, 2, 9))
    found = expected_loss(candidates, draws, loss=loss)
    assert found.shape == (3, 2)
    for index in np.ndindex(3, 2):
        losses = [loss_by_definition(candidates[index], z, loss) for z in draws.reshape(-1, 9)]
        assert float(found[index]) == pytest.approx(np.mean(losses), abs=1e-12)
    assert float(expected_loss(candidates[0, 0], draws, loss=loss)) == float(found[0, 0])


def test_expected_loss_keeps_coordinates_and_refuses_other_items():
    draws = xr.DataArray([[0, 0, 1], [0, 1, 1]], dims=("draw", "obs"), coords={"obs": list("abc")})
    found = expected_loss(draws.rename(draw="candidate").assign_coords(candidate=[7, 8]), draws)
    assert found.dims == ("candidate",) and found["candidate"].values.tolist() == [7, 8]
    assert found[0] == found[1]
    with pytest.raises(ValueError, match="other coordinates along obs"):
        expected_loss(draws[0].isel(obs=[1, 0, 2]), draws)
    with pytest.raises(ValueError, match=r"shape \(2,\); expected \(3,\)"):
        expected_loss([0, 1], draws)
    with pytest.raises(ValueError, match=r"shape \(\); expected \(3,\)"):
        expected_loss(0, draws)
    with pytest.raises(ValueError, match="expected one of vi, binder, omari, nvi"):
        expected_loss(draws[0], draws, loss="rand")


def test_adjusted_rand_index_equals_a_count_of_pairs():
    table = np.array([[1, 1, 0], [1, 2, 1], [0, 0, 4]])
    first = np.repeat([0, 0, 0, 1, 1, 1, 2, 2, 2], table.ravel())
    second = np.repeat([0, 1, 2] * 3, table.ravel())
    found = adjusted_rand_index(first, second)
    assert found == pytest.approx(1 - loss_by_definition(first, second, "omari"), rel=1e-14)
    assert found == pytest.approx(0.3126, abs=1e-4)
    assert adjusted_rand_index(second, first) == pytest.approx(found, rel=1e-14)


def test_adjusted_rand_index_of_the_extremes():
    names = np.array(["setosa", "virginica", "setosa", "versicolor"])
    assert adjusted_rand_index(names, [3, 1, 3, 0]) == 1.0
    for same in (np.zeros(4), np.arange(4), np.zeros(1)):
        assert adjusted_rand_index(same, same) == 1.0
    assert adjusted_rand_index(np.zeros(4), np.arange(4)) == 0.0
    assert adjusted_rand_index([0, 0, 1, 1], [0, 1, 0, 1]) == pytest.approx(-0.5)


@pytest.mark.parametrize("second", [np.zeros(3), np.zeros((4, 1))])
def test_distance_needs_the_same_items(second):
    with pytest.raises(ValueError, match="have shapes"):
        distance(np.zeros(4), second)
