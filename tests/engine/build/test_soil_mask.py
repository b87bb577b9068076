"""Where soil can be, from a land mask, land cover or both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from edaphos.engine.build.block_plan import open_plan
from edaphos.engine.build.build import build_cube
from edaphos.engine.build.native import Rect
from edaphos.engine.build.spec import CubeSpec, LayerSpec, SoilMaskSpec
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.status import Status

from ..build_sources import write_tif

CLASSES = {"water": (0,), "ice": (15,), "urban": (13,), "bare": (16,)}
LAND = np.array([[0.0, 0.49, 0.5, 1.0, np.nan, 1.0]] * 3, "f4")
COVER = np.array([[1, 1, 0, 15, 7, 13], [16, 16, 16, 255, 16, 255], [5] * 6], "u1")


def mask(folder: Path, spec: SoilMaskSpec, land=LAND, cover=COVER, crs="EPSG:4326", cell=1.0):
    """Codes of a soil mask over the given land and cover; cover's nodata is 255."""
    west, north = (10, 0) if crs == "EPSG:4326" else (5e5, -1e3)
    for name, values in (("land", land), ("cover", cover)):
        step = cell * land.shape[1] / values.shape[1]
        write_tif(
            folder / f"{name}.tif", values, Affine(step, 0, west, 0, -step, north), crs,
            nodata=255 if name == "cover" else None,
        )  # fmt: skip
    layers = (
        LayerSpec("land", "land.tif", "amount"),
        LayerSpec("cover", "cover.tif", "class"),
    )
    plan = open_plan(CubeSpec(layers, soil_mask=spec, base=folder))
    field = plan.fields["soil_mask"]
    assert plan.variables["soil_mask"].kind == "class"
    return field.read(0, Rect(0, field.geobox.shape[0], 0, field.geobox.shape[1]))


def test_land_and_cover_together(tmp_path: Path) -> None:
    codes = mask(tmp_path, SoilMaskSpec("land", "cover", **CLASSES))
    S, sea = Status, Status.SEA
    expected = [
        [sea, sea, S.WATER, S.ICE, sea, S.URBAN],
        [sea, sea, S.BARE, S.SOIL, sea, S.SOIL],  # land without a class is soil
        [sea, sea, S.SOIL, S.SOIL, sea, S.SOIL],
    ]
    np.testing.assert_array_equal(codes, expected)


def test_only_land(tmp_path: Path) -> None:
    codes = mask(tmp_path, SoilMaskSpec("land"))
    np.testing.assert_array_equal(codes, [[0, 0, 1, 1, 0, 1]] * 3)


def test_only_cover_is_sea_where_it_has_no_class(tmp_path: Path) -> None:
    codes = mask(tmp_path, SoilMaskSpec("", "cover", **CLASSES))
    assert codes.tolist() == [[1, 1, 2, 3, 1, 4], [5, 5, 5, 0, 5, 0], [1] * 6]


def test_south_of_a_latitude_land_is_ice_and_sea_stays_sea(tmp_path: Path) -> None:
    codes = mask(tmp_path, SoilMaskSpec("land", "cover", exclude_south_of=-1.0, **CLASSES))
    assert codes[0].tolist() == [0, 0, 2, 3, 0, 4]
    assert codes[1:].tolist() == [[0, 0, 3, 3, 0, 3]] * 2


def test_a_latitude_makes_no_sense_on_a_projected_grid(tmp_path: Path) -> None:
    spec = SoilMaskSpec("land", exclude_south_of=-60)
    with pytest.raises(InputError, match=r"exclude_south_of is a latitude.*projected"):
        mask(tmp_path, spec, crs="EPSG:32733", cell=1000.0)
    codes = mask(tmp_path, SoilMaskSpec("land"), crs="EPSG:32733", cell=1000.0)
    assert codes[0].tolist() == [0, 0, 1, 1, 0, 1]


def test_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name a land mask"):
        mask(tmp_path, SoilMaskSpec())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (SoilMaskSpec("lnad"), 'soil_mask.land names "lnad".*did you mean "land"'),
        (SoilMaskSpec("cover"), 'soil_mask.land expects a layer with kind = "amount"'),
        (SoilMaskSpec("", "land"), 'soil_mask.landcover expects a layer with kind = "class"'),
    ],
)
def test_wrong_layers_are_named(tmp_path: Path, spec: SoilMaskSpec, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mask(tmp_path, spec)


@pytest.mark.parametrize("size", [3, 18, 12])
def test_cover_of_another_resolution_is_read_as_a_cube_reads_it(tmp_path: Path, size: int) -> None:
    """Finer cover gives its most frequent class, coarser the one at the cell's centre."""
    rng = np.random.default_rng(size)
    land = np.ones((4, 6), "f4")
    cover = rng.integers(0, 3, (size * 2 // 3, size)).astype("u1")
    codes = mask(tmp_path, SoilMaskSpec("land", "cover", water=(0,), ice=(1,)), land, cover)
    build_cube(CubeSpec((LayerSpec("cover", "cover.tif", "class"),), base=tmp_path), tmp_path / "c")
    grid = Grid.from_bounds("EPSG:4326", (10, -4, 16, 0), 1.0, 8)
    classes = Cube.open(tmp_path / "c").read(grid.whole, ["cover"])["cover"]
    np.testing.assert_array_equal(codes, np.array([2, 3, 1])[classes.astype(int)])


def test_layers_on_two_projections_are_refused_before_anything_is_built(tmp_path: Path) -> None:
    write_tif(tmp_path / "land.tif", LAND, Affine(1, 0, 10, 0, -1, 0))
    write_tif(tmp_path / "cover.tif", COVER, Affine(1e3, 0, 5e5, 0, -1e3, 6e6), "EPSG:32633")
    layers = (
        LayerSpec("land", "land.tif", "amount"),
        LayerSpec("cover", "cover.tif", "class"),
    )
    spec = CubeSpec(layers, soil_mask=SoilMaskSpec("land", "cover"), base=tmp_path)
    with pytest.raises(InputError, match="must share a CRS"):
        build_cube(spec, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_production_sees_the_mask(tmp_path: Path) -> None:
    mask(tmp_path, SoilMaskSpec("land"))  # writes the files
    layers = (LayerSpec("land", "land.tif", "amount"),)
    build_cube(CubeSpec(layers, soil_mask=SoilMaskSpec("land"), base=tmp_path), tmp_path / "c")
    grid = Grid.from_bounds("EPSG:4326", (10, -3, 16, 0), 1.0, 8)
    status = Cube.open(tmp_path / "c").status(grid.whole)
    assert status.tolist() == [[0, 0, 1, 1, 0, 1]] * 3
