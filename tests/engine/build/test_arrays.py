"""A cube's stacks are plain CF Zarr that other software opens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from affine import Affine

from edaphos.engine.build.arrays import shard_keys
from edaphos.engine.build.block_plan import CHUNK, Block, open_plan, shard_side
from edaphos.engine.build.build import build_cube
from edaphos.engine.build.spec import CubeSpec, LayerSpec, SoilMaskSpec
from edaphos.engine.cube.cube import Cube
from edaphos.engine.cube.layout import Stack

from ..build_sources import globe, write_tif


@pytest.fixture(scope="module")
def cube(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("arrays")
    write_tif(folder / "rain.tif", globe(months=12))
    write_tif(folder / "y.tif", globe(months=2))
    classes = np.arange(648).reshape(18, 36).astype("int16") % 5
    write_tif(folder / "cover.tif", classes, nodata=4)
    write_tif(folder / "local.tif", globe(5.0)[:9], Affine(250, 0, 5e5, 0, -250, 6e6), "EPSG:32633")
    layers = (
        LayerSpec("rain", "rain.tif", "amount", "monthly", units="mm", long_name="rain"),
        LayerSpec("crops", "y.tif", "amount", "yearly", (1990, 2010), units="1"),
        LayerSpec("cover", "cover.tif", "class"),
        LayerSpec("local", "local.tif", "amount", units="m"),
    )
    spec = CubeSpec(layers, soil_mask=SoilMaskSpec("", "cover", water=(0,)), base=folder)
    build_cube(spec, folder / "c")
    return folder / "c"


def stack_of(cube: Path, name: str) -> xr.Dataset:
    opened = Cube.open(cube)
    group = f"stacks/{opened.variable(name).stack}"
    return xr.open_zarr(cube, group=group, chunks=None, decode_coords="all")


def test_xarray_opens_a_monthly_stack(cube: Path) -> None:
    opened = stack_of(cube, "rain")
    assert opened["values"].dims == ("month", "band", "y", "x")
    assert opened["values"].attrs["units"] == "mm"
    assert opened["values"].attrs["long_name"] == "rain"
    np.testing.assert_array_equal(opened["month"], np.arange(1, 13))
    np.testing.assert_allclose(opened["x"], np.arange(-175, 180, 10))
    np.testing.assert_allclose(opened["y"], np.arange(85, -90, -10))
    assert opened["x"].attrs["units"] == "degrees_east"
    assert opened["y"].attrs["standard_name"] == "latitude"
    np.testing.assert_array_equal(opened["values"][:, 0], globe(months=12))


def test_xarray_opens_years_and_classes(cube: Path) -> None:
    years = stack_of(cube, "crops")
    assert years["year"].values.tolist() == [1990, 2010]
    classes = stack_of(cube, "cover")
    names = [band["name"] for band in classes["values"].attrs["bands"]]
    assert names == ["cover", "soil_mask"]
    assert int(np.isnan(classes["values"][0]).sum()) == len(np.arange(4, 648, 5))
    mask = classes["values"].attrs["bands"][1]
    assert mask["flag_values"] == [0, 1, 2, 3, 4, 5]
    assert mask["flag_meanings"] == "sea soil water ice urban bare"


@pytest.mark.parametrize(("name", "epsg"), [("rain", 4326), ("cover", 4326), ("local", 32633)])
def test_rioxarray_finds_crs_and_place(cube: Path, name: str, epsg: int) -> None:
    opened = stack_of(cube, name)
    assert opened.rio.crs.to_epsg() == epsg
    manifest = Cube.open(cube).manifest
    expected = manifest.stacks[manifest.variables[name].stack].transform
    assert opened["values"].rio.transform()[:6] == pytest.approx(expected)


def test_the_root_lists_all_stacks_in_consolidated_metadata(cube: Path) -> None:
    tree = xr.open_datatree(cube, engine="zarr", consolidated=True)
    assert set(tree["stacks"].children) == set(Cube.open(cube).manifest.stacks)


def test_two_grids_of_one_resolution_get_two_stacks(tmp_path: Path) -> None:
    for name, west in (("a", 0), ("b", 20)):
        write_tif(tmp_path / f"{name}.tif", globe()[:9, :9], Affine(1, 0, west, 0, -1, 40))
    layers = tuple(LayerSpec(name, f"{name}.tif", "amount") for name in ("a", "b"))
    plan = open_plan(CubeSpec(layers, base=tmp_path))
    assert list(plan.stacks) == ["amount_static_1deg", "amount_static_1deg_2"]
    assert plan.variables["b"].stack == "amount_static_1deg_2"


@pytest.mark.parametrize("time", ["static", "monthly", "yearly"])
@pytest.mark.parametrize("bands", [1, 7, 40])
def test_blocks_are_whole_shards_of_bounded_size(time: str, bands: int) -> None:
    stack = Stack(
        "s", "EPSG:4326", (0.01, 0, 0, 0, -0.01, 0), (9000, 10_000), "amount", time,
        tuple(map(str, range(bands))), (1990, 2000) if time == "yearly" else (),
    )  # fmt: skip
    side = shard_side(stack)
    assert side % CHUNK == 0
    layers = bands * (12 if time == "monthly" else 1)
    assert layers * side**2 * 4 <= 256 * 2**20 or side == CHUNK
    keys = shard_keys(stack, Block("s", 3, 5))
    lead = {"static": [""], "monthly": ["0/"], "yearly": ["0/", "1/"]}[time]
    assert keys == [f"stacks/s/values/c/{part}0/3/5" for part in lead]


def test_the_keys_of_blocks_are_those_that_zarr_writes(cube: Path) -> None:
    manifest = Cube.open(cube).manifest
    expected = {
        key
        for name, stack in manifest.stacks.items()
        for key in shard_keys(stack, Block(name, 0, 0))
    }
    assert {item.key for item in manifest.objects if "/values/c/" in item.key} == expected
