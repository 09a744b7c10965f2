import numpy as np
import pytest
import xarray as xr

from pymc_dpsteps.partitions import credible_ball
from tests.helpers_partitions import LOSSES, loss_by_definition, random_posterior


def same(rows):
    """Partitions as a set, whatever the numbering."""
    return {tuple(map(int, np.equal.outer(row, row).ravel())) for row in rows}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("ci_prob", [0.5, 0.95])
def test_equals_a_direct_search(loss, ci_prob):
    rng = np.random.default_rng(5)
    for _ in range(6):
        draws = random_posterior(rng, 6, 40)
        center = rng.integers(0, 3, 6)
        ball = credible_ball(draws, center, loss=loss, ci_prob=ci_prob)
        distances = np.array([loss_by_definition(center, z, loss) for z in draws])
        shares = {r: np.mean(distances <= r + 1e-9) for r in distances}
        radius = min(r for r, share in shares.items() if share >= ci_prob)
        assert float(ball["radius"]) == pytest.approx(radius, abs=1e-12)
        assert float(ball["coverage"]) == pytest.approx(shares[radius])
        inside = [s for s in range(40) if distances[s] <= radius + 1e-9]
        k = [len(set(z)) for z in draws]
        for name, chosen in {
            "horizontal": inside,
            "vertical_upper": [s for s in inside if k[s] == min(k[t] for t in inside)],
            "vertical_lower": [s for s in inside if k[s] == max(k[t] for t in inside)],
        }.items():
            most = max(distances[s] for s in chosen)
            bounds = [draws[s] for s in chosen if distances[s] > most - 1e-9]
            assert same(ball[name].values) == same(bounds)
            assert len(ball[name]) == len(same(bounds))
            assert float(ball[f"{name}_distance"]) == pytest.approx(most, abs=1e-12)


def test_the_share_is_not_lost_to_rounding():
    draws = np.repeat([[0, 0, 0], [0, 0, 1], [0, 1, 2]], [9, 1, 0], axis=0)
    ball = credible_ball(draws, [0, 0, 0], ci_prob=0.9)
    assert float(ball["radius"]) == 0.0 and float(ball["coverage"]) == 0.9
    assert float(credible_ball(draws, [0, 0, 0], ci_prob=0.91)["coverage"]) == 1.0


def test_keeps_coordinates_and_refuses_what_is_out_of_range():
    z = xr.DataArray([[4, 4, 1], [0, 0, 0]], dims=("draw", "obs"), coords={"obs": list("abc")})
    ball = credible_ball(z, z[0])
    assert ball["horizontal"].dims == ("horizontal_bound", "obs")
    assert ball["vertical_lower"].sel(obs="c").values.tolist() == [1]
    assert ball.attrs == {"loss": "vi", "ci_prob": 0.95}
    with pytest.raises(ValueError, match=r"ci_prob = 1\.5"):
        credible_ball(z, z[0], ci_prob=1.5)
