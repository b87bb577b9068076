"""Where a region is: what the covariates of its cube share, in the CRS of the finest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.recipes.region_extent import extent_of, finest

from ..engine.cubes import Layer, write_cube

#: A layer of 1 km cells in zone 33, on both sides of its central meridian.
ZONE = "EPSG:32633"
FINE = Layer({"fine": np.ones((60, 80), np.float32)}, (460_000.0, 5_100_000.0), (1e3, 1e3), ZONE)
BOX = (460_000.0, 5_040_000.0, 540_000.0, 5_100_000.0)


def degrees(name: str, west: float, south: float, east: float, north: float, cell: float) -> Layer:
    """A layer in degrees."""
    cells = (round((north - south) / cell), round((east - west) / cell))
    return Layer({name: np.ones(cells, np.float32)}, (west, north), (cell, cell))


def extent(folder: Path, *layers: Layer) -> tuple[float, ...]:
    cube = Cube.open(write_cube(folder / "cube", [FINE, *layers]))
    names = ["fine", *(name for layer in layers for name in layer.values)]
    crs, _, _ = finest(cube, names)
    assert crs == ZONE
    return extent_of("valley", cube, names, crs, None, None)


def test_a_layer_of_the_world_takes_nothing_from_a_region_of_a_zone(tmp_path: Path) -> None:
    assert extent(tmp_path, degrees("world", -180, -90, 180, 90, 2.0)) == BOX


def test_layers_that_reach_less_far_cut_a_region(tmp_path: Path) -> None:
    """15.0 degrees east is the central meridian, x 500 km."""
    west, south, east, north = extent(tmp_path, degrees("half", 15.0, 40, 20, 50, 0.1))
    assert np.isclose(west, 500_000, atol=200)
    assert (south, east, north) == BOX[1:]


def test_layers_that_do_not_meet_are_no_region(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="valley: the region has no extent in EPSG:32633"):
        extent(tmp_path, degrees("far", 100, 40, 110, 50, 0.1))
