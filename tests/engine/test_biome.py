"""Which layers lie in the biome: by classes of the cube, by polygons, and what is no biome."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
from shapely.geometry import box

from edaphos.engine.biome import Biome
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid

from .cubes import Layer, write_cube

GRID = Grid.from_bounds("EPSG:4326", (0, 0, 10, 10), 1.0, 16, "square")


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Cube:
    """Cover 10 in the west and 12 in the east, zone 1 in the north and 2 in the south."""
    column, row = np.meshgrid(np.arange(10), np.arange(10))
    cover = np.where(column < 5, 10, 12).astype(np.int16)
    zone = np.where(row < 5, 1, 2).astype(np.int16)
    classes = Layer({"cover": cover, "zone": zone}, (0, 10), (1, 1), kind="class")
    rain = Layer({"rain": np.ones((10, 10), np.float32)}, (0, 10), (1, 1))
    years = Layer(
        {"used": np.stack([cover, zone])}, (0, 10), (1, 1), kind="class", time="yearly",
        years=(2000, 2001),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("biome") / "cube.zarr"
    return Cube.open(write_cube(path, [classes, rain, years]))


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame({"lon": rng.uniform(0, 10, 200), "lat": rng.uniform(0, 10, 200)})


def test_all_classes_must_be_there_one_of_each(cube: Cube, table: pd.DataFrame) -> None:
    held = Biome({"cover": (10, 99), "zone": (2,)}).holds(table, cube, GRID)
    np.testing.assert_array_equal(held, (table["lon"] < 5) & (table["lat"] < 5))


def test_polygons_in_their_own_coordinates(cube: Cube, table: pd.DataFrame, tmp_path: Path) -> None:
    areas = geopandas.GeoDataFrame(geometry=[box(1, 1, 4, 4), box(3, 3, 6, 6)], crs=4326)
    areas.to_crs(3857).to_file(tmp_path / "two.gpkg")
    held = Biome(polygons=tmp_path / "two.gpkg").holds(table, cube, GRID)
    lon, lat = table["lon"], table["lat"]
    one = (lon > 1) & (lon < 4) & (lat > 1) & (lat < 4)
    other = (lon > 3) & (lon < 6) & (lat > 3) & (lat < 6)
    np.testing.assert_array_equal(held, one | other)


@pytest.mark.parametrize(
    ("biome", "words"),
    [
        (Biome({"covr": (10,)}), 'no variable "covr": did you mean "cover"'),
        (Biome({"rain": (1,)}), '"rain" holds amounts, not class codes'),
        (Biome({"used": (10,)}), '"used" has classes of its own in each year'),
        (Biome({"cover": (7,)}), r"those of the layers are 1[02] \(\d+\), 1[02] \(\d+\)"),
        (Biome(polygons=Path("none.gpkg")), "no such file of polygons"),
    ],
)
def test_what_is_no_biome_is_refused(
    cube: Cube, table: pd.DataFrame, biome: Biome, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        biome.holds(table, cube, GRID)


def test_a_file_without_polygons(cube: Cube, table: pd.DataFrame, tmp_path: Path) -> None:
    geopandas.GeoDataFrame(geometry=geopandas.points_from_xy([1], [1]), crs=4326).to_file(
        tmp_path / "points.gpkg"
    )
    with pytest.raises(InputError, match="expected polygons, found Point"):
        Biome(polygons=tmp_path / "points.gpkg").holds(table, cube, GRID)
