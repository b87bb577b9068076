"""Grids: presets, tiles, points and exact areas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyproj import Geod

from edaphos.engine.errors import InputError
from edaphos.engine.grid import PRESETS, Grid, zone_area
from edaphos.engine.run import GridSpec


def test_presets_have_the_published_shapes() -> None:
    assert Grid.preset("global-30s").shape == (21_600, 43_200)
    assert Grid.preset("global-7.5s").shape == (86_400, 172_800)
    homolosine = Grid.preset("homolosine-250m")
    assert homolosine.shape == (58_034, 159_246)
    box = homolosine.geobox.extent.boundingbox
    assert (box.left, box.bottom, box.right, box.top) == (
        -19_949_750,
        -6_147_500,
        19_861_750,
        8_361_000,
    )


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r'did you mean "global-30s"\?'):
        Grid.preset("global-30")


@pytest.mark.parametrize("name", PRESETS)
def test_a_grid_survives_its_description(name: str) -> None:
    grid = Grid.preset(name, 1024)
    assert GridSpec.of(grid).build() == grid


def test_a_grid_of_ones_own_survives_its_description() -> None:
    grid = Grid.from_bounds(
        "EPSG:32755", (738_698.5, 6_643_807.8, 790_628.5, 6_679_807.8), 90.0, 64
    )
    again = GridSpec.of(grid).build()
    assert (again.shape, again.origin, again.crs) == (grid.shape, grid.origin, grid.crs)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(16, 64))
def test_tiles_cover_every_cell_once(height: int, width: int, size: int) -> None:
    grid = Grid.from_bounds("EPSG:4326", (0, 0, width, height), 1.0, size)
    seen = np.zeros(grid.shape, int)
    for tile in grid.tiles():
        w = tile.window
        seen[w.row0 : w.row0 + w.height, w.col0 : w.col0 + w.width] += 1
    assert (seen == 1).all()


@example(lon=np.nextafter(180.0, 0.0), lat=0.0)
@given(st.floats(-180, 180, exclude_max=True), st.floats(-90, 90))
def test_a_point_lies_in_the_cell_it_is_located_in(lon: float, lat: float) -> None:
    grid = Grid.preset("global-0.1deg")
    row, col, inside = grid.locate(np.array([lon]), np.array([lat]))
    assert inside[0]
    assert abs(grid.x_of(col)[0] - lon) <= 0.05 + 1e-9
    assert abs(grid.y_of(row)[0] - lat) <= 0.05 + 1e-9


def test_points_elsewhere_are_not_on_the_grid() -> None:
    grid = Grid.from_bounds("EPSG:32755", (738_698.5, 6_643_807.8, 790_628.5, 6_679_807.8), 90.0)
    _, _, inside = grid.locate(np.array([149.8, 10.0, np.nan]), np.array([-30.2, 50.0, 0.0]))
    np.testing.assert_array_equal(inside, [True, False, False])


def test_areas_equal_geodesic_polygons() -> None:
    """Against pyproj's geodesic areas, whose edges are geodesics and not parallels: close."""
    grid = Grid.preset("global-0.1deg")
    geod = Geod(ellps="WGS84")
    for row in (3, 450, 899, 1500):
        window = grid.window(row, 0, 1, 1)
        x, y = window.x[0], window.y[0]
        lons = [x - 0.05, x + 0.05, x + 0.05, x - 0.05]
        lats = [y - 0.05, y - 0.05, y + 0.05, y + 0.05]
        polygon, _ = geod.polygon_area_perimeter(lons, lats)
        assert grid.cell_areas(window)[0, 0] == pytest.approx(polygon, rel=2e-5)


def test_zones_add_up_to_the_ellipsoid() -> None:
    grid = Grid.preset("global-1deg")
    total = float(grid.cell_areas(grid.whole).sum()) * 360
    assert total == pytest.approx(510_065_621.724e6, rel=1e-9)  # WGS 84, NIMA TR8350.2
    assert zone_area(np.array([-90.0]), np.array([90.0]))[0] == pytest.approx(total, rel=1e-12)


def test_bad_grids_say_what_is_wrong() -> None:
    with pytest.raises(InputError, match="west < east"):
        Grid.from_bounds("EPSG:4326", (20, 0, 10, 10), 1.0)
    with pytest.raises(InputError, match="resolution must be positive"):
        Grid.from_bounds("EPSG:4326", (0, 0, 10, 10), -1.0)


def test_a_region_across_the_dateline_holds_points_on_both_sides() -> None:
    grid = Grid.from_bounds("EPSG:4326", (170, -25, 190, -10), 0.5)
    _, col, inside = grid.locate(np.array([175.2, -175.2, 160.0]), np.full(3, -17.3))
    np.testing.assert_array_equal(inside, [True, True, False])
    np.testing.assert_array_equal(col[:2], [10, 29])


def test_grids_wider_than_the_globe_or_not_in_metres_are_refused() -> None:
    with pytest.raises(InputError, match="more than the globe"):
        Grid.from_bounds("EPSG:4326", (-180, -90, 180, 90), 0.7)
    with pytest.raises(InputError, match="US survey foot"):
        Grid.from_bounds("EPSG:2263", (900_000, 100_000, 950_000, 150_000), 1000.0)
