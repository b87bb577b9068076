from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from benchmarks.servers.s3 import BUCKET, available_rclone, rclone_server
from edaphos.engine.grid import Grid
from edaphos.engine.map_store import MAP, create_map, write_tile
from edaphos.engine.models.protocol import Emits, Output
from edaphos.engine.place import Place, place
from edaphos.engine.products import pyramid
from edaphos.engine.products.layers import map_grid, read_directly
from edaphos.engine.products.pyramid import (
    coarse_level,
    commonest,
    level_shapes,
    weighted_mean,
    write_pyramid,
)
from edaphos.engine.products.yearly_maps import read_yearly_maps
from edaphos.engine.status import Status
from edaphos.engine.store import list_objects, zarr_store

OUTPUTS = (
    Output("soc_mean", "g kg-1", "mean"),
    Output("change_mean", "kg m-2", "mean", encoding="float"),
)
DEPTHS = ((0, 5), (5, 15))
SOIL, SEA = int(Status.SOIL), int(Status.SEA)


def store_map(
    folder: Place,
    grid: Grid,
    values: np.ndarray,
    status: np.ndarray,
    years: tuple[int, ...] = (2010,),
) -> Place:
    """Write a map whose outputs have the same values at each depth, plus a tenth of the depth."""
    create_map(folder, grid, Emits(OUTPUTS, DEPTHS), years, {"title": "a map"})
    for tile in grid.tiles():
        w = tile.window
        part = (slice(w.row0, w.row0 + w.height), slice(w.col0, w.col0 + w.width))
        cube = np.stack([[values[part] + d + t for t in range(len(years))] for d in range(2)])
        found: Mapping[str, np.ndarray] = {output.name: cube for output in OUTPUTS}
        write_tile(zarr_store(folder / MAP), w, OUTPUTS, found, status[part])
    return folder / MAP


def level(store: Place, number: int) -> xr.Dataset:
    return xr.open_zarr(
        zarr_store(store, read_only=True),
        group=f"pyramid/{number}",
        consolidated=False,
        chunks=None,
    )


def small_grid(shape: tuple[int, int] = (90, 170)) -> Grid:
    return Grid.from_bounds("EPSG:4326", (0, 0, shape[1] / 10, shape[0] / 10), 0.1, tile_size=32)


def test_levels_end_below_the_smallest() -> None:
    assert level_shapes((86_400, 172_800))[-1] == (169, 338)
    assert level_shapes((400, 500)) == []
    assert level_shapes((45, 512)) == [(23, 256)]


def test_a_constant_map_stays_constant(tmp_path: Path) -> None:
    grid = small_grid()
    rng = np.random.default_rng(1)
    status = np.where(rng.random(grid.shape) < 0.4, SOIL, SEA).astype(np.uint8)
    values = np.where(status == SOIL, 12.34, np.nan)
    store = store_map(tmp_path, grid, values, status)
    assert write_pyramid(store, state="a", smallest=40) == 3
    for number in (1, 2, 3):
        found = level(store, number)
        for variable in ("soc_mean", "change_mean"):
            for depth in range(2):
                cells = found[variable].values[depth, 0]
                np.testing.assert_array_equal(np.isnan(cells), found["mapped_cells"].values == 0)
                np.testing.assert_allclose(cells[~np.isnan(cells)], 12.34 + depth, atol=1e-5)
        assert int(found["mapped_cells"].sum()) == int((status == SOIL).sum())


def test_means_are_kept_and_weighted_by_mapped_cells(tmp_path: Path) -> None:
    """The mean over the mapped cells of the map is that of every level by its counts."""
    grid = small_grid()
    rng = np.random.default_rng(2)
    status = np.where(rng.random(grid.shape) < 0.6, SOIL, SEA).astype(np.uint8)
    values = np.where(status == SOIL, rng.gamma(2, 20, grid.shape), np.nan)
    store = store_map(tmp_path, grid, values, status)
    levels = write_pyramid(store, state="a", smallest=20)
    for number in range(1, levels + 1):
        found = level(store, number)
        counts = found["mapped_cells"].values.astype(float)
        cells = found["change_mean"].values[0, 0].astype(float)
        mean = np.nansum(cells * counts) / counts.sum()
        assert mean == pytest.approx(np.nanmean(values), rel=1e-5)


def test_each_cell_is_the_mean_of_those_below(tmp_path: Path) -> None:
    grid = small_grid((64, 96))
    values = np.random.default_rng(3).gamma(2, 20, grid.shape)
    store = store_map(
        tmp_path, grid, values, np.full(grid.shape, SOIL, np.uint8), years=(1990, 2010)
    )
    write_pyramid(store, state="a", smallest=30)
    expected = values.reshape(16, 4, 24, 4).mean(axis=(1, 3))
    found = level(store, 2)
    np.testing.assert_allclose(found["change_mean"].values[1, 1], expected + 2, rtol=1e-5)
    np.testing.assert_allclose(found["soc_mean"].values[1, 1], expected + 2, atol=0.011)


def test_every_level_lies_where_the_map_does(tmp_path: Path) -> None:
    grid = small_grid((90, 171))
    status = np.full(grid.shape, SOIL, np.uint8)
    store = store_map(tmp_path, grid, np.ones(grid.shape), status)
    write_pyramid(store, state="a", smallest=40)
    found = level(store, 2)
    made = map_grid(found)
    assert made.shape == (23, 43)
    assert made.resolution == pytest.approx((0.4, 0.4))
    assert made.origin == pytest.approx(grid.origin)
    np.testing.assert_allclose(found["x"].values, made.x_of(np.arange(43)))
    np.testing.assert_allclose(found["y"].values, made.y_of(np.arange(23)))
    assert found["y"].attrs["standard_name"] == "latitude"
    np.testing.assert_array_equal(found["depth_bounds"].values, DEPTHS)
    assert found["soc_mean"].attrs["units"] == "g kg-1"
    assert found.attrs["title"] == "a map"


def test_the_levels_are_listed_as_multiscales(tmp_path: Path) -> None:
    grid = small_grid()
    store = store_map(tmp_path, grid, np.ones(grid.shape), np.full(grid.shape, SOIL, np.uint8))
    write_pyramid(store, state="a", smallest=40)
    group = zarr.open_group(zarr_store(store, read_only=True), path="pyramid", mode="r")
    attributes = dict(group.attrs)
    assert attributes["zarr_conventions"][0]["name"] == "multiscales"
    layout = attributes["multiscales"]["layout"]
    assert [entry["asset"] for entry in layout] == ["1", "2", "3"]
    assert sorted(group.group_keys()) == ["1", "2", "3"]
    assert [entry.get("derived_from") for entry in layout] == [None, "1", "2"]
    for entry in layout:
        assert entry["transform"]["scale"] == [2.0, 2.0]
        assert group[f"{entry['asset']}/soc_mean"].shards == (2, 1, 32, 32)


def test_the_map_itself_is_left_as_it_was(tmp_path: Path) -> None:
    grid = small_grid()
    store = store_map(tmp_path, grid, np.ones(grid.shape), np.full(grid.shape, SOIL, np.uint8))
    before = {key: (store / key).read_bytes() for key in list_objects(store)}
    seen = set(xr.open_zarr(store, consolidated=False).variables)
    write_pyramid(store, state="a", smallest=40)
    after = {key: (store / key).read_bytes() for key in list_objects(store)}
    assert {k: v for k, v in after.items() if not k.startswith("pyramid/")} == before
    opened = xr.open_zarr(store, consolidated=False)
    assert set(opened.variables) == seen
    direct = read_directly(opened.assign_attrs(complete=True), store)
    assert set(direct.variables) == seen
    assert direct.attrs["complete"] is True
    assert direct["soc_mean"].chunks is None, "read without Dask"
    np.testing.assert_array_equal(direct["soc_mean"].values, opened["soc_mean"].values)
    assert direct["status"].dtype == np.uint8
    assert map_grid(direct).tile_size == 32


def test_levels_are_made_again_only_if_the_map_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = small_grid()
    status = np.full(grid.shape, SOIL, np.uint8)
    store = store_map(tmp_path, grid, np.ones(grid.shape), status)
    made: list[int] = []
    original = pyramid._fill

    def cut_off(*args: object) -> None:
        made.append(1)
        if len(made) == 2:
            raise KeyboardInterrupt
        original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(pyramid, "_fill", cut_off)
    with pytest.raises(KeyboardInterrupt):
        write_pyramid(store, state="a", smallest=40)
    root = zarr.open_group(zarr_store(store, read_only=True), mode="r")
    assert "multiscales" not in root["pyramid"].attrs, "an unfinished pyramid lists no levels"
    write_pyramid(store, state="a", smallest=40)
    assert len(made) == 4, "the first level was finished, the other two were not"
    write_pyramid(store, state="a", smallest=40)
    assert len(made) == 4
    store_map(tmp_path, grid, np.full(grid.shape, 5.0), status)
    write_pyramid(store, state="b", smallest=40)
    assert len(made) == 7
    np.testing.assert_allclose(level(store, 3)["soc_mean"].values[0, 0], 5)


def test_where_nothing_is_mapped_nothing_is_stored(tmp_path: Path) -> None:
    grid = small_grid((64, 128))
    status = np.full(grid.shape, SEA, np.uint8)
    status[:32, :32] = SOIL
    values = np.where(status == SOIL, 3.0, np.nan)
    store = store_map(tmp_path, grid, values, status)
    write_pyramid(store, state="a", smallest=100)
    keys = [k for k in list_objects(store) if k.startswith("pyramid/1/soc_mean/c/")]
    assert keys == ["pyramid/1/soc_mean/c/0/0/0/0"]


def test_the_commonest_code_wins_and_the_first_of_equals() -> None:
    codes = np.array([[1, 2, 5, 5], [2, 2, 6, 6], [9, 8, 7, 7]], np.uint8)
    np.testing.assert_array_equal(commonest(codes), [[2, 5], [9, 7]])


def test_means_leave_out_what_is_missing() -> None:
    weights = [np.array([[w]]) for w in (1.0, 3.0, 0.0, 4.0)]
    values = np.array([[10, 20], [9999, 65535]], np.uint16)
    np.testing.assert_array_equal(weighted_mean(values, weights, 65535), [[18]])
    nothing = np.full((2, 2), np.nan, np.float32)
    assert np.isnan(weighted_mean(nothing, weights, float("nan"))).all()


@pytest.mark.skipif(available_rclone() is not None, reason=str(available_rclone()))
def test_a_pyramid_in_a_bucket_is_the_one_on_disk(tmp_path: Path) -> None:
    grid = small_grid((64, 96))
    rng = np.random.default_rng(5)
    status = np.where(rng.random(grid.shape) < 0.6, SOIL, SEA).astype(np.uint8)
    values = np.where(status == SOIL, rng.gamma(2, 20, grid.shape), np.nan)
    local = store_map(tmp_path / "run", grid, values, status)
    write_pyramid(local, state="a", smallest=40)
    with rclone_server(tmp_path / "s3"):
        far = store_map(place(f"s3://{BUCKET}/run"), grid, values, status)
        write_pyramid(far, state="other", smallest=40)
        write_pyramid(far, state="a", smallest=40)
        assert far.exists()
        held = {key: (far / key).read_bytes() for key in list_objects(far)}
    assert held == {key: (local / key).read_bytes() for key in list_objects(local)}


def test_the_coarsest_level_that_is_wide_enough_stands_for_the_map(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    grid = small_grid((96, 176))
    status = np.full(grid.shape, SOIL, np.uint8)
    status[:, :32] = SEA
    values = np.where(status == SEA, np.nan, rng.uniform(5, 50, grid.shape)).astype(np.float32)
    years = (2000, 2001, 2005)
    store = store_map(tmp_path, grid, values, status, years)
    assert coarse_level(store, 80) is None
    write_pyramid(store, state="s", smallest=30)
    found = {columns: coarse_level(store, columns) for columns in (177, 176, 88, 87, 44, 23, 1)}
    levels = {
        columns: name and int(name.removeprefix("pyramid/")) for columns, name in found.items()
    }
    assert levels == {177: None, 176: None, 88: 1, 87: 1, 44: 2, 23: 2, 1: 3}
    fine = xr.open_zarr(zarr_store(store, read_only=True), consolidated=False)
    small = read_directly(fine, store, "pyramid/1")
    assert map_grid(small).shape == (48, 88)
    maps, coarse = (
        read_yearly_maps(read_directly(fine, store, group), most_pixels=3 * 48 * 88)
        for group in (None, "pyramid/1")
    )
    assert maps is not None
    assert coarse is not None
    assert maps.years == coarse.years == years
    assert maps.extent == coarse.extent
    np.testing.assert_array_equal(maps.ground, coarse.ground)
    (one,), (other,) = maps.panels.values(), coarse.panels.values()
    np.testing.assert_allclose(one, other, atol=0.0051)
