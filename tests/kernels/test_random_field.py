import numpy as np
import pytest
from scipy import stats
from sklearn.gaussian_process.kernels import Matern

from edaphos.kernels.random_field import (
    EARTH_RADIUS_KM,
    hash_normal,
    hash_uniform,
    matern_waves,
    sum_of_cosines,
    unit_vectors,
)


def sphere(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-180, 180, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


@pytest.mark.parametrize("function", [sum_of_cosines, sum_of_cosines.py_func])
@pytest.mark.parametrize("length_km", [2000.0, 3.0])
def test_sum_of_cosines_is_numpys(function, length_km):
    waves, phases = matern_waves(7, length_km, 1.5, np.random.default_rng(1))
    points = unit_vectors(*sphere(30))
    expected = np.sqrt(2 / 7) * np.cos(2 * np.pi * (points.T @ waves.T + phases)).sum(axis=1)
    np.testing.assert_allclose(function(points, waves, phases), expected, atol=1e-7)


def test_value_at_a_point_needs_no_other_point():
    waves, phases = matern_waves(50, 100.0, 1.5, np.random.default_rng(1))
    points = unit_vectors(*sphere(600))
    whole = sum_of_cosines(points, waves, phases)
    for part in (slice(0, 1), slice(255, 257), slice(599, 600)):
        np.testing.assert_array_equal(
            sum_of_cosines(np.ascontiguousarray(points[:, part]), waves, phases), whole[part]
        )


def test_covariance_is_matern_of_the_chord():
    distance = np.array([0.0, 200.0, 500.0, 1000.0, 3000.0])
    lat = np.degrees(2 * np.arcsin(distance / 2 / EARTH_RADIUS_KM))  # chords from (0, 0)
    points = unit_vectors(np.zeros(5), lat)
    rng = np.random.default_rng(3)
    fields = np.stack(
        [sum_of_cosines(points, *matern_waves(20, 500.0, 1.5, rng)) for _ in range(6000)]
    )
    expected = Matern(length_scale=500.0, nu=1.5)(distance[:, None])[0]
    np.testing.assert_allclose((fields * fields[:, :1]).mean(axis=0), expected, atol=0.05)
    np.testing.assert_allclose(fields.var(axis=0), 1.0, atol=0.06)


def test_unit_vectors():
    np.testing.assert_allclose(
        unit_vectors(np.array([0, 90, 10]), np.array([0, 0, 90])), np.eye(3), atol=1e-15
    )


def test_hash_is_uniform_and_neighbours_are_independent():
    rows, cols = np.mgrid[0:300, 0:300]
    u = hash_uniform(rows, cols, 5)
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3
    for other in (u[1:, :], hash_uniform(rows[1:], cols[1:], 6)):
        assert abs(np.corrcoef(u[: len(other)].ravel(), other.ravel())[0, 1]) < 0.015
    assert abs(np.corrcoef(u[:, 1:].ravel(), u[:, :-1].ravel())[0, 1]) < 0.015
    np.testing.assert_array_equal(hash_uniform(7, 9, 5), u[7, 9])


def test_hash_tells_order_and_sign_of_keys_apart():
    assert (
        len({float(hash_uniform(*k)) for k in [(1, 2), (2, 1), (-1, 2), (1, -2), (1, 2, 0)]}) == 5
    )


def test_hash_normal():
    z = hash_normal(np.arange(100_000), 1)
    assert stats.kstest(z, "norm").pvalue > 1e-3
