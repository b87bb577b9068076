"""Slope, aspect and position against planes, cones, SciPy's Horn filter and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from edaphos.kernels.terrain import (
    EARTH_RADIUS,
    aspect_sin_cos,
    disk_half_widths,
    disk_half_widths_planar,
    gradient,
    position_index,
    row_widths,
    slope_degrees,
)

RNG = np.random.default_rng(0)
gradients = st.floats(-0.9, 0.9).filter(lambda g: g == 0 or abs(g) > 1e-3)


def plane(east: float, north: float, dx: float, dy: float, shape=(9, 11)) -> np.ndarray:
    """Elevations that rise by `east` and `north` per metre."""
    rows, columns = np.indices(shape)
    return (1000 + east * dx * columns - north * dy * rows).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(gradients, gradients)
def test_a_plane_has_its_gradient_everywhere(east: float, north: float) -> None:
    z = plane(east, north, 30.0, 90.0)
    p, q = gradient(z, np.full(7, 30.0), 90.0)
    np.testing.assert_allclose(p, east, atol=2e-5)
    np.testing.assert_allclose(q, north, atol=2e-5)
    steepest = np.degrees(np.arctan(np.hypot(east, north)))
    np.testing.assert_allclose(slope_degrees(p, q), steepest, atol=2e-3)


@pytest.mark.parametrize("latitude", [0.0, 45.0, -60.0, 75.0])
def test_degrees_are_measured_on_the_ground(latitude: float) -> None:
    """One metre up for ten metres east is 5.71 degrees at any latitude."""
    step = 1 / 1200
    width = row_widths(np.array([latitude]), step)[0]
    assert width == pytest.approx(
        np.pi / 180 * step * EARTH_RADIUS * np.cos(np.radians(latitude)), rel=1e-12
    )
    p, q = gradient(plane(0.1, 0.0, width, 90.0), np.full(7, width), 90.0)
    np.testing.assert_allclose(slope_degrees(p, q), np.degrees(np.arctan(0.1)), rtol=1e-4)


def test_the_width_of_a_degree_is_that_of_the_ellipsoid_within_a_percent() -> None:
    from pyproj import Geod

    latitudes = np.array([0.0, 30.0, 60.0, 80.0])
    _, _, metres = Geod(ellps="WGS84").inv(np.zeros(4), latitudes, np.ones(4), latitudes)
    np.testing.assert_allclose(row_widths(latitudes, 1.0), metres, rtol=0.01)


def test_equal_to_the_horn_filter_of_scipy() -> None:
    z = RNG.normal(500, 100, (40, 50)).astype(np.float32)
    p, q = gradient(z, np.full(38, 25.0), 40.0)
    inner = (slice(1, -1), slice(1, -1))
    wide = z.astype(np.float64)
    np.testing.assert_allclose(p, ndimage.sobel(wide, axis=1)[inner] / (8 * 25), atol=1e-12)
    np.testing.assert_allclose(q, -ndimage.sobel(wide, axis=0)[inner] / (8 * 40), atol=1e-12)


def test_flat_land_has_no_slope_and_no_aspect() -> None:
    p, q = gradient(np.full((5, 5), 321.5, np.float32), np.full(3, 10.0), 10.0)
    assert not slope_degrees(p, q).any()
    sine, cosine = aspect_sin_cos(p, q)
    assert not sine.any()
    assert not cosine.any()


@pytest.mark.parametrize(
    ("east", "north", "faces"),
    [(-0.1, 0, (1, 0)), (0.1, 0, (-1, 0)), (0, -0.1, (0, 1)), (0, 0.1, (0, -1))],
)
def test_aspect_is_the_way_down(east: float, north: float, faces: tuple[float, float]) -> None:
    sine, cosine = aspect_sin_cos(np.array([east]), np.array([north]))
    assert (sine[0], cosine[0]) == faces


def test_turning_the_land_turns_the_aspect() -> None:
    """A quarter turn anticlockwise: what faced east faces north."""
    z = RNG.normal(500, 100, (12, 12)).astype(np.float32)
    dx = np.full(10, 30.0)
    sine, cosine = aspect_sin_cos(*gradient(z, dx, 30.0))
    turned = gradient(np.ascontiguousarray(np.rot90(z)), dx, 30.0)
    sine_turned, cosine_turned = aspect_sin_cos(*turned)
    np.testing.assert_allclose(cosine_turned, np.rot90(sine), atol=1e-12)
    np.testing.assert_allclose(sine_turned, -np.rot90(cosine), atol=1e-12)
    np.testing.assert_allclose(sine**2 + cosine**2, 1, atol=1e-12)


def test_missing_cells() -> None:
    """A missing centre stays missing; a missing neighbour counts as level with the centre."""
    z = plane(0.1, 0.2, 30.0, 30.0, (5, 5))
    z[2, 2] = np.nan
    p, q = gradient(z, np.full(3, 30.0), 30.0)
    assert np.isnan(p[1, 1])
    assert np.isnan(q[1, 1])
    assert np.isfinite(np.delete(p.ravel(), 4)).all()
    level = z.copy()
    level[2, 2] = z[1, 1]
    expected, _ = gradient(level, np.full(3, 30.0), 30.0)
    assert p[0, 0] == expected[0, 0]


def test_a_cone_is_high_at_its_tip_and_low_at_its_foot() -> None:
    rows, columns = np.indices((41, 41)) - 20
    z = np.maximum(0, 1000 - 100 * np.hypot(rows, columns)).astype(np.float32)
    half = disk_half_widths_planar(41 - 10, 30.0, 30.0, 150.0)
    index = position_index(z, half, 5)
    assert index.shape == (31, 31)
    assert index[15, 15] == index.max() > 200
    assert index[15, 25] == pytest.approx(index[:, 15][25])
    assert index[15, 25] < 0  # at the foot, level ground on one side and the cone on the other
    assert index[0, 0] == 0


@pytest.mark.parametrize("latitude", [0.0, 58.0, -81.0])
def test_position_equals_the_mean_over_all_cells_within_the_distance(latitude: float) -> None:
    """Brute force by great circles."""
    step, radius = 0.5, 160_000.0
    rows = latitude + step * (2 - np.arange(5))
    half = disk_half_widths(rows, step, step, radius, 200)
    reach, margin = half.shape[1] // 2, int(half.max())
    z = RNG.normal(800, 300, (5 + 2 * reach, 3 + 2 * margin)).astype(np.float32)
    z[RNG.random(z.shape) < 0.2] = np.nan
    z[reach + 2, margin + 1] = np.nan
    index = position_index(z, half, margin)
    lats = np.radians(rows[0] + step * (reach - np.arange(z.shape[0])))[:, None]
    lons = np.radians(step * np.arange(z.shape[1]))[None]
    for i in range(5):
        for j in range(3):
            here, there = lats[i + reach, 0], lons[0, j + margin]
            cosine = np.sin(here) * np.sin(lats) + np.cos(here) * np.cos(lats) * np.cos(
                lons - there
            )
            near = np.arccos(np.clip(cosine, -1, 1)) * EARTH_RADIUS <= radius * (1 + 1e-7)
            near &= np.abs(lats) <= np.pi / 2
            expected = z[i + reach, j + margin] - np.nanmean(z[near].astype(float))
            np.testing.assert_allclose(index[i, j], expected, atol=0.01)
    assert np.isnan(index[2, 1])


def test_position_does_not_depend_on_where_the_window_begins() -> None:
    z = RNG.normal(800, 300, (60, 80)).astype(np.float32)
    half = disk_half_widths_planar(40, 100.0, 100.0, 1000.0)
    whole = position_index(z, half, 10)
    part = position_index(z[7:], half[7:], 10)
    np.testing.assert_array_equal(part, whole[7:])
    np.testing.assert_array_equal(position_index(z[:, 13:], half, 10), whole[:, 13:])
