"""Maps too large for one file, disks too small for drafts, and exports that are cut off."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import xarray as xr

from benchmarks.servers.s3 import BUCKET, available_rclone, rclone_server
from edaphos.engine.errors import InputError, StoreError
from edaphos.engine.grid import Grid
from edaphos.engine.place import place
from edaphos.engine.products import cog, cog_blocks, cog_disk
from edaphos.engine.products.cog import Product, export_cogs
from edaphos.engine.products.cog_blocks import tiling
from edaphos.engine.products.cog_disk import temporary_bytes
from edaphos.engine.products.cog_file import Packing
from edaphos.engine.products.cog_vrt import coarsened
from edaphos.engine.products.stac import write_stac
from edaphos.engine.store import list_objects

from ..maps import fake_map, homolosine_patch

#: Cells that one file may have in these tests.
FEW = 10_000
REGION = Grid.from_bounds("EPSG:4326", (-15, -12, 27, 33), 0.25, name="region")


def one_layer(grid: Grid = REGION) -> xr.Dataset:
    """A map of one layer and its status, with a quarter of it out at sea."""
    ds = fake_map(grid, depths=((0, 5),)).drop_vars(["soc_q05", "soc_q95"])
    ds["soc_mean"].values[..., : grid.shape[0] // 2, : grid.shape[1] // 2] = np.nan
    return ds


@pytest.fixture(scope="module")
def region() -> xr.Dataset:
    return one_layer()


@pytest.fixture(scope="module")
def exported(
    region: xr.Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Product]]:
    folder = tmp_path_factory.mktemp("products")
    return folder, export_cogs(region, folder, whole_cells=FEW, block=50)


# -- blocks -------------------------------------------------------------------------------------


def test_the_250_m_globe_becomes_blocks_of_ten_degrees() -> None:
    parts = tiling(Grid.preset("global-7.5s"))
    assert len(parts) == 18 * 36
    assert {part.shape for part in parts} == {(4800, 4800)}
    assert len(tiling(Grid.preset("global-30s"))) == 1


def test_projected_blocks_are_multiples_of_the_tile() -> None:
    grid = Grid.preset("homolosine-250m", tile_size=512)
    parts = tiling(grid)
    assert {part.row0 % 512 for part in parts} | {part.col0 % 512 for part in parts} == {0}
    assert max(part.shape for part in parts) == (4096, 4096)
    assert sum(part.height * part.width for part in parts) == grid.shape[0] * grid.shape[1]


def test_blocks_lie_between_meridians_and_cover_the_map_once() -> None:
    covered = np.zeros(REGION.shape, int)
    for part in tiling(REGION, whole_cells=FEW):
        covered[part.row0 : part.row0 + part.height, part.col0 : part.col0 + part.width] += 1
        west, north = part.grid(REGION).origin
        assert west == -15 or west % 10 == 0
        assert north == 33 or north % 10 == 0
    assert (covered == 1).all()


def test_a_part_is_read_by_blocks_of_the_map_each_cell_once() -> None:
    part = tiling(REGION, whole_cells=FEW)[7]
    seen = np.zeros(REGION.shape, int)
    for rows, cols in part.blocks(32):
        assert rows.start // 32 == (rows.stop - 1) // 32
        assert cols.start // 32 == (cols.stop - 1) // 32
        seen[rows, cols] += 1
    expected = np.zeros_like(seen)
    expected[part.row0 : part.row0 + part.height, part.col0 : part.col0 + part.width] = 1
    np.testing.assert_array_equal(seen, expected)


# -- virtual rasters ----------------------------------------------------------------------------


def test_the_virtual_raster_is_the_map(
    exported: tuple[Path, list[Product]], region: xr.Dataset, tmp_path: Path
) -> None:
    folder, products = exported
    whole = {p.name: p.path for p in export_cogs(region, tmp_path)}
    for product in products:
        assert product.path == folder / f"{product.name}.vrt"
        with rasterio.open(product.path) as many, rasterio.open(whole[product.name]) as one:
            np.testing.assert_array_equal(many.read(1), one.read(1))
            assert many.profile["transform"] == one.profile["transform"]
            assert (many.crs, many.nodata, many.dtypes) == (one.crs, one.nodata, one.dtypes)
            assert (many.scales, many.offsets) == (one.scales, one.offsets)
            assert [u or "" for u in many.units] == [u or "" for u in one.units]
            assert many.descriptions == one.descriptions
            assert many.tags(1).items() >= one.tags(1).items()
            assert many.tags()["banner"] == one.tags()["banner"]
            if product.name == "status":
                assert many.colormap(1) == one.colormap(1)


def test_blocks_without_data_are_left_out(exported: tuple[Path, list[Product]]) -> None:
    folder, products = exported
    parts = tiling(REGION, whole_cells=FEW)
    held = {part.part for part in products[0].parts}
    assert 0 < len(held) < len(parts)
    assert parts[0] not in held, "this block is all sea"
    files = {p.name for p in (folder / "soc_0-5cm_mean").iterdir()}
    assert files == {f"soc_0-5cm_mean_{part.name}.tif" for part in held}


def test_files_are_named_relative_to_the_virtual_raster(
    exported: tuple[Path, list[Product]], tmp_path: Path
) -> None:
    import shutil

    folder, products = exported
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    with (
        rasterio.open(products[0].path) as here,
        rasterio.open(moved / "soc_0-5cm_mean.vrt") as there,
    ):
        np.testing.assert_array_equal(here.read(1), there.read(1))
    assert str(folder) not in (folder / "soc_0-5cm_mean.vrt").read_text()


def test_a_view_of_the_whole_opens_one_file(
    exported: tuple[Path, list[Product]], region: xr.Dataset, tmp_path: Path
) -> None:
    """With nothing but the coarse file there, GDAL still reads the layer's overviews."""
    import shutil

    folder, _ = exported
    for name in ("soc_0-5cm_mean.vrt", "soc_0-5cm_mean.vrt.ovr"):
        shutil.copy(folder / name, tmp_path / name)
    path = tmp_path / "soc_0-5cm_mean.vrt"
    with rasterio.open(path) as file:
        assert file.overviews(1)[0] == 2
    with rasterio.open(path, overview_level=0) as file:
        found = file.read(1, masked=True) * file.scales[0]
    cells = region["soc_mean"].values[0, 0].reshape(90, 2, 84, 2)
    count = np.isfinite(cells).sum(axis=(1, 3))
    np.testing.assert_array_equal(np.ma.getmaskarray(found), count == 0)
    expected = np.nansum(cells, axis=(1, 3))[count > 0] / count[count > 0]
    np.testing.assert_allclose(found.compressed(), expected, atol=0.101)


def test_coarse_cells_are_means_of_those_that_hold_data() -> None:
    packing = Packing("soc", "int16", -32768, 0.1, 0, "g kg-1", "dg/kg")
    stored = np.array([[1, 2, -32768], [4, -32768, -32768], [9, 9, 5]], np.int16)
    np.testing.assert_array_equal(coarsened(stored, packing, 2), [[2, -32768], [9, 5]])
    nothing = np.full((3, 3), -32768, np.int16)
    np.testing.assert_array_equal(coarsened(nothing, packing, 2), np.full((2, 2), -32768))


def test_every_block_is_a_cog_of_its_own(exported: tuple[Path, list[Product]]) -> None:
    for part in exported[1][0].parts:
        with rasterio.open(part.path) as file:
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert tuple(file.transform)[:6] == pytest.approx(
                tuple(part.part.grid(REGION).geobox.affine)[:6]
            )
            assert file.tags()["banner"]
            assert file.tags(1)["statistic"] == "mean"


def test_a_projected_map_is_cut_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cog_blocks, "BLOCK_CELLS", 128)
    ds = one_layer(homolosine_patch())
    ds["soc_mean"].encoding["shards"] = (1, 1, 64, 64)
    products = export_cogs(ds, tmp_path, whole_cells=FEW)
    with rasterio.open(products[0].path) as file:
        assert "Homolosine" in file.crs.to_wkt()
        stored = file.read(1, masked=True)
        found = stored * file.scales[0]
    expected = ds["soc_mean"].values[0, 0]
    np.testing.assert_array_equal(np.ma.getmaskarray(stored), np.isnan(expected))
    np.testing.assert_allclose(found.compressed(), expected[~stored.mask], atol=0.0501)
    assert {p.part.row0 % 128 for p in products[0].parts} == {0}


def test_the_catalogue_has_an_item_for_each_block(
    exported: tuple[Path, list[Product]], region: xr.Dataset, tmp_path: Path
) -> None:
    from pystac.validation.local_validator import LocalValidator

    folder, products = exported
    made = write_stac(region, products, tmp_path, name="region")
    items = {i.id: i for i in pystac.Collection.from_file(str(made)).get_items()}
    blocks = {part.part.name for product in products for part in product.parts}
    assert set(items) == {"region-2010", *(f"region-2010-{name}" for name in blocks)}
    whole = items["region-2010"]
    assert Path(whole.assets["soc_0-5cm_mean"].get_absolute_href() or "") == (
        folder / "soc_0-5cm_mean.vrt"
    )
    part = products[0].parts[0]
    item = items[f"region-2010-{part.part.name}"]
    assert item.properties["proj:shape"] == list(part.part.shape)
    assert Path(item.assets["soc_0-5cm_mean"].get_absolute_href() or "") == part.path
    with rasterio.open(part.path) as file:
        assert item.bbox == pytest.approx(tuple(file.bounds))
    validator = LocalValidator()
    for path in (tmp_path / item.id / f"{item.id}.json", tmp_path / "region-2010/region-2010.json"):
        raw = json.loads(path.read_text())
        check = validator.item_validator(pystac.get_stac_version())
        assert list(check.iter_errors(raw)) == []


# -- disk and memory ----------------------------------------------------------------------------


def test_an_export_that_the_disk_has_no_room_for_is_refused(
    region: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_cogs(region, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    usage = type("Usage", (), {"free": temporary_bytes(REGION) - 1})
    monkeypatch.setattr(cog_disk.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"the export needs .* for drafts, and this disk has"):
        export_cogs(region, tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_the_disk_that_is_asked_for_is_enough(tmp_path: Path) -> None:
    """Noise cannot be compressed: what lies among the drafts at any moment stays below."""
    grid = Grid.from_bounds("EPSG:4326", (0, 0, 15, 15), 0.01, name="noise")
    noise = np.random.default_rng(0).random((1, 1, *grid.shape), np.float32)
    ds = one_layer(grid).drop_vars("status").rename({"soc_mean": "change_mean"})
    ds["change_mean"].values[...] = noise
    largest, done = 0, threading.Event()

    def watch() -> None:
        nonlocal largest
        while not done.wait(0.002):
            found = list((tmp_path / cog_disk._DRAFTS).glob("*"))
            largest = max(largest, sum(p.stat().st_size for p in found if p.exists()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        export_cogs(ds, tmp_path)
    finally:
        done.set()
        watcher.join()
    assert noise.nbytes < largest <= temporary_bytes(grid)


_MEASURED = """
import resource, sys
from pathlib import Path
import numpy as np
from edaphos.engine.grid import Grid
from edaphos.engine.map_store import MAP, create_map, write_tile
from edaphos.engine.models.protocol import Emits, Output
from edaphos.engine.products import cog_file
from edaphos.engine.products.cog import export_cogs
from edaphos.engine.products.layers import read_directly
from edaphos.engine.store import zarr_store
import xarray as xr

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

folder, output = Path(sys.argv[1]), Output("change_mean", "kg m-2", "mean", encoding="float")
grid = Grid.from_bounds("EPSG:4326", (0, 0, 51.2, 51.2), 0.01, tile_size=1024)
create_map(folder, grid, Emits((output,), ((0, 5),)), (2010,), {})
for tile in grid.tiles():
    values = np.full((1, 1, *tile.window.shape), sum(tile.index), np.float32)
    status = np.ones(tile.window.shape, np.uint8)
    write_tile(zarr_store(folder / MAP), tile.window, (output,), {output.name: values}, status)
store = zarr_store(folder / MAP, read_only=True)
ds = read_directly(xr.open_zarr(store, consolidated=False), folder / MAP)
cog_file.CACHE_BYTES = 8 * 2**20
export_cogs(ds.isel(x=slice(0, 600), y=slice(0, 600)), folder / "first", block=512)
before = peak()
export_cogs(ds, folder / "products", block=512)
print(peak() - before, grid.shape[0] * grid.shape[1] * 4)
"""


def test_an_export_holds_no_layer_in_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(tmp_path)], capture_output=True, text=True, check=True
    )
    grown, layer = (int(v) for v in done.stdout.split())
    assert layer > 100e6
    assert grown < layer / 2


# -- cut off, and in a bucket -------------------------------------------------------------------


class Watched:
    """Counts the files that are written, and gives up after some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        self.until = 10**6
        self._original = cog.write_cog
        monkeypatch.setattr(cog, "write_cog", self)

    def __call__(self, blocks: Any, path: Path, *args: Any, **options: Any) -> bool:
        if len(self.made) == self.until:
            raise KeyboardInterrupt
        self.made.append(path.name)
        return self._original(blocks, path, *args, **options)


def test_an_export_that_was_cut_off_goes_on(
    region: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    watched = Watched(monkeypatch)
    export_cogs(region, whole, whole_cells=FEW, state="a1")
    due = len(watched.made)
    cut = tmp_path / "cut"
    watched.made, watched.until = [], 5
    with pytest.raises(KeyboardInterrupt):
        export_cogs(region, cut, whole_cells=FEW, state="a1")
    assert not (cut / "soc_0-5cm_mean.vrt").exists(), "a layer is there when all its files are"
    watched.made, watched.until = [], 10**6
    export_cogs(region, cut, whole_cells=FEW, state="a1")
    assert len(watched.made) == due - 5
    assert {k: (cut / k).read_bytes() for k in list_objects(cut)} == {
        k: (whole / k).read_bytes() for k in list_objects(whole)
    }


def test_files_of_another_state_or_size_are_made_again(
    region: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    first = export_cogs(region, tmp_path, state="a1")
    assert export_cogs(region, tmp_path, state="a1") == first
    assert watched.made == ["soc_0-5cm_mean.tif", "status.tif"]
    (tmp_path / "status.tif").write_bytes(b"cut")
    export_cogs(region, tmp_path, state="a1")
    assert watched.made[2:] == ["status.tif"]
    export_cogs(region, tmp_path, state="b2")
    assert watched.made[3:] == ["soc_0-5cm_mean.tif", "status.tif"]
    assert len(list((tmp_path / "exported").iterdir())) == 2, "the notes of a1 are gone"


def test_drafts_of_a_killed_export_are_removed(region: xr.Dataset, tmp_path: Path) -> None:
    left = tmp_path / cog_disk._DRAFTS
    left.mkdir()
    (left / "soc_0-5cm_mean.tif.draft").write_bytes(b"half")
    export_cogs(region, tmp_path)
    assert not left.exists()


@pytest.mark.skipif(available_rclone() is not None, reason=str(available_rclone()))
def test_products_in_a_bucket_are_those_on_disk(region: xr.Dataset, tmp_path: Path) -> None:
    local = tmp_path / "local"
    write_stac(region, export_cogs(region, local, whole_cells=FEW, state="a"), local, name="m")
    with rclone_server(tmp_path / "s3"):
        far = place(f"s3://{BUCKET}/run/products")
        products = export_cogs(region, far, whole_cells=FEW, state="a")
        assert export_cogs(region, far, whole_cells=FEW, state="a") == products
        write_stac(region, products, far, name="m")
        held = {key: (far / key).read_bytes() for key in list_objects(far)}
        with pytest.raises(StoreError, match="nowhere"):
            export_cogs(region, place("s3://nowhere/products"))
    assert held == {key: (local / key).read_bytes() for key in list_objects(local)}
    for key, data in held.items():
        if key.endswith(".json"):
            raw = json.loads(data)
            links = [*raw["links"], *raw.get("assets", {}).values()]
            assert all(link["href"].startswith(".") for link in links)
