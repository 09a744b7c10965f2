import numpy as np

from pymc_dpsteps.datasets import galaxies


def test_shape_and_dtype():
    velocities = galaxies()
    assert velocities.shape == (82,)
    assert velocities.dtype == np.float64


def test_values_are_roeders_in_thousands_of_km_per_second():
    velocities = galaxies()
    np.testing.assert_array_equal(velocities[:3], [9.172, 9.350, 9.483])
    np.testing.assert_array_equal(velocities[-3:], [32.065, 32.789, 34.279])
    np.testing.assert_allclose(np.median(velocities), 20.8335)
    assert np.all(np.diff(velocities) > 0)


def test_78th_value_is_the_one_distributed_with_mass():
    assert galaxies()[77] == 26.690


def test_every_call_returns_its_own_array():
    galaxies()[0] = 0.0
    assert galaxies()[0] == 9.172
