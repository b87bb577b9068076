"""Resampled values against libraries nobody here wrote, and properties of the weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from rasterio.warp import Resampling, reproject
from scipy.interpolate import RegularGridInterpolator

from edaphos.engine.cube.cube import Cube
from edaphos.engine.cube.layout import Stack
from edaphos.engine.cube.resampling import Projected, Separable, geometry, same_crs, snapped
from edaphos.engine.grid import HOMOLOSINE, Grid, zone_area

from ..cubes import Layer, write_cube

UTM = "EPSG:32755"


def make(path: Path, layer: Layer) -> Cube:
    return Cube.open(write_cube(path / "c", [layer], chunk=32))


def grid_of(layer: Layer, shape: tuple[int, int], ratio: float, shift: float = 0.0) -> Grid:
    """A grid at `ratio` times the layer's cell size, its corner `shift` source cells inside."""
    (x, y), (dx, dy) = layer.origin, layer.resolution
    affine = Affine(dx * ratio, 0, x + shift * dx, 0, -dy * ratio, y - shift * dy)
    return Grid(GeoBox(shape, affine, layer.crs))


def warped(values: NDArray, layer: Layer, grid: Grid, how: Resampling, nodata: float) -> NDArray:
    """The same by GDAL."""
    (x, y), (dx, dy) = layer.origin, layer.resolution
    out = np.full(grid.shape, nodata, values.dtype)
    reproject(
        values,
        out,
        src_transform=Affine(dx, 0, x, 0, -dy, y),
        src_crs=layer.crs,
        src_nodata=nodata,
        dst_transform=grid.geobox.affine,
        dst_crs=grid.geobox.crs.to_wkt(),
        dst_nodata=nodata,
        resampling=how,
    )
    return out


# -- amounts --------------------------------------------------------------------------------------


def test_bilinear_as_scipy(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(40, 50)).astype(np.float32)
    layer = Layer({"v": values}, (10.0, 50.0), (0.5, 0.25))
    grid = grid_of(layer, (150, 150), 0.2, shift=2.3)
    found = make(tmp_path, layer).read(grid.whole, ["v"])["v"]
    y, x = 50 - (np.arange(40) + 0.5) * 0.25, 10 + (np.arange(50) + 0.5) * 0.5
    peer = RegularGridInterpolator((y[::-1], x), values[::-1].astype(float))
    at = np.stack(np.meshgrid(grid.whole.y, grid.whole.x, indexing="ij"), axis=-1)
    np.testing.assert_allclose(found, peer(at), rtol=0, atol=3e-6)


@pytest.mark.parametrize("crs", ["EPSG:4326", UTM])
def test_bilinear_in_another_crs_as_scipy(tmp_path: Path, crs: str) -> None:
    values = np.random.default_rng(2).normal(size=(40, 50)).astype(np.float32)
    source, other = ("EPSG:4326", UTM) if crs == UTM else (UTM, "EPSG:4326")
    if crs == UTM:
        layer = Layer({"v": values}, (145.0, -28.0), (0.1, 0.1), crs=source)
        grid = Grid.from_bounds(UTM, (3.7e5, 6.6e6, 6.6e5, 6.85e6), 3000.0)
    else:
        layer = Layer({"v": values}, (4e5, 7e6), (1e4, 1e4), crs=source)
        grid = Grid.from_bounds("EPSG:4326", (146.5, -30.0, 149.5, -27.5), 0.02)
    found = make(tmp_path, layer).read(grid.whole, ["v"])["v"]
    (x0, y0), (dx, dy) = layer.origin, layer.resolution
    y, x = y0 - (np.arange(40) + 0.5) * dy, x0 + (np.arange(50) + 0.5) * dx
    peer = RegularGridInterpolator((y[::-1], x), values[::-1].astype(float), bounds_error=False)
    at = np.meshgrid(grid.whole.x, grid.whole.y)
    sx, sy = Transformer.from_crs(other, source, always_xy=True).transform(*at)
    expected = peer(np.stack([sy, sx], axis=-1))
    interior = np.isfinite(expected)
    assert interior.sum() > 2000
    np.testing.assert_allclose(found[interior], expected[interior], rtol=0, atol=3e-6)


@pytest.mark.parametrize("ratio", [2, 3, 12])
def test_whole_ratios_average_as_xarray(tmp_path: Path, ratio: int) -> None:
    values = np.random.default_rng(3).normal(size=(5 * ratio, 7 * ratio)).astype(np.float32)
    values[np.random.default_rng(4).random(values.shape) < 0.3] = np.nan
    layer = Layer({"v": values}, (3e5, 7e6), (90.0, 90.0), crs=UTM)
    found = make(tmp_path, layer).read(grid_of(layer, (5, 7), ratio).whole, ["v"])["v"]
    peer = xr.DataArray(values.astype(float), dims=("y", "x")).coarsen(y=ratio, x=ratio).mean()
    np.testing.assert_allclose(found, peer, rtol=1e-6, atol=1e-7)


def test_any_ratio_averages_as_gdal(tmp_path: Path) -> None:
    values = np.random.default_rng(5).normal(10, 3, size=(60, 60)).astype(np.float32)
    layer = Layer({"v": values}, (3e5, 7e6), (90.0, 90.0), crs=UTM)
    grid = grid_of(layer, (11, 12), 4.6, shift=0.7)
    found = make(tmp_path, layer).read(grid.whole, ["v"])["v"]
    peer = warped(values, layer, grid, Resampling.average, -9999.0)
    np.testing.assert_allclose(found, peer, rtol=1e-5)


def test_coarsening_keeps_the_mean_over_ground(tmp_path: Path) -> None:
    values = np.random.default_rng(6).normal(5, 2, size=(180, 360)).astype(np.float32)
    layer = Layer({"v": values}, (-180.0, 90.0), (1.0, 1.0))
    cube = make(tmp_path, layer)
    fine = Grid.preset("global-1deg")
    weights = np.broadcast_to(fine.cell_areas(fine.whole), fine.shape)
    truth = np.average(values.astype(float), weights=weights)
    for degrees in (2.0, 5.0, 12.0, 7.2):  # 7.2 cuts source cells
        grid = Grid.from_bounds("EPSG:4326", (-180, -90, 180, 90), degrees)
        coarse = cube.read(grid.whole, ["v"])["v"]
        areas = np.broadcast_to(grid.cell_areas(grid.whole), grid.shape)
        assert np.average(coarse.astype(float), weights=areas) == pytest.approx(truth, rel=2e-7)
    blocks = (values * weights).reshape(15, 12, 30, 12).sum(axis=(1, 3))
    expected = blocks / weights.reshape(15, 12, 30, 12).sum(axis=(1, 3))
    grid = Grid.from_bounds("EPSG:4326", (-180, -90, 180, 90), 12.0)
    np.testing.assert_allclose(cube.read(grid.whole, ["v"])["v"], expected, rtol=1e-6)


def test_sub_points_approach_the_average_over_the_cell(tmp_path: Path) -> None:
    y, x = np.mgrid[0:400, 0:400]
    values = (np.sin(x / 40) + np.cos(y / 55)).astype(np.float32)
    layer = Layer({"v": values}, (145.0, -27.0), (0.005, 0.005))
    grid = Grid.from_bounds(UTM, (3.2e5, 6.82e6, 4.8e5, 7.0e6), 5000.0)
    assert geometry(grid, _stack(layer)).subpoints == 9**2
    found = make(tmp_path, layer).read(grid.whole, ["v"])["v"]
    peer = warped(values, layer, grid, Resampling.average, -9999.0)
    both = np.isfinite(found) & (peer != -9999)
    inner = both[1:-1, 1:-1]
    assert inner.mean() > 0.9
    np.testing.assert_allclose(found[1:-1, 1:-1][inner], peer[1:-1, 1:-1][inner], atol=0.03)


# -- classes --------------------------------------------------------------------------------------


def class_layer(shape: tuple[int, int], kinds: int, crs: str = UTM) -> tuple[NDArray, Layer]:
    codes = np.random.default_rng(7).integers(-1, kinds, shape).astype(np.int16)
    origin, size = ((3e5, 7e6), 90.0) if crs == UTM else ((145.0, -27.0), 0.01)
    return codes, Layer({"k": codes}, origin, (size, size), crs=crs, kind="class")


@pytest.mark.parametrize("ratio", [0.37, 1.0, 1.4])
def test_nearest_as_gdal(tmp_path: Path, ratio: float) -> None:
    codes, layer = class_layer((40, 40), 9)
    grid = grid_of(layer, (25, 25), ratio, shift=1.123)
    found = make(tmp_path, layer).read(grid.whole, ["k"])["k"]
    peer = warped(codes, layer, grid, Resampling.nearest, -1)
    np.testing.assert_array_equal(np.where(np.isnan(found), -1, found), peer)


def test_nearest_in_another_crs_as_gdal(tmp_path: Path) -> None:
    codes, layer = class_layer((100, 100), 9, "EPSG:4326")
    grid = Grid.from_bounds(UTM, (3.2e5, 6.95e6, 3.8e5, 7.0e6), 700.0)
    found = make(tmp_path, layer).read(grid.whole, ["k"])["k"]
    peer = warped(codes, layer, grid, Resampling.nearest, -1)
    agree = np.where(np.isnan(found), -1, found) == peer
    assert agree.mean() > 0.95
    # GDAL interpolates positions to 1/8 of a source cell: it differs only that near to an edge
    centres = np.meshgrid(grid.whole.x, grid.whole.y)
    lon, lat = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(*centres)
    x, y = (lon - 145) / 0.01, (-27 - lat) / 0.01
    to_edge = np.minimum(np.abs(x - np.rint(x)), np.abs(y - np.rint(y)))
    assert to_edge[~agree].max() < 0.125


@pytest.mark.parametrize("ratio", [3, 5, 12])
def test_mode_as_gdal(tmp_path: Path, ratio: int) -> None:
    codes, layer = class_layer((60, 60), 4)
    grid = grid_of(layer, (60 // ratio, 60 // ratio), ratio)
    found = make(tmp_path, layer).read(grid.whole, ["k"])["k"]
    peer = warped(codes, layer, grid, Resampling.mode, -1)
    for i, j in np.ndindex(grid.shape):
        block = codes[i * ratio : (i + 1) * ratio, j * ratio : (j + 1) * ratio]
        kinds, number = np.unique(block[block >= 0], return_counts=True)
        best = kinds[number == number.max()]
        assert found[i, j] == best.min()
        assert peer[i, j] in best  # GDAL agrees, but for its own choice among ties
        if best.size == 1:
            assert found[i, j] == peer[i, j]


# -- what the promises rest on --------------------------------------------------------------------


def _stack(layer: Layer) -> Stack:
    (x, y), (dx, dy) = layer.origin, layer.resolution
    shape = next(iter(layer.values.values())).shape[-2:]
    transform = (dx, 0.0, x, 0.0, -dy, y)
    return Stack("s", layer.crs, transform, shape, layer.kind, layer.time, tuple(layer.values))


@pytest.mark.parametrize("crs", [HOMOLOSINE, UTM, "EPSG:3035", "EPSG:3413"])
def test_pyproj_transforms_each_point_by_itself(crs: str) -> None:
    rng = np.random.default_rng(0)
    forward = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    back = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    x, y = forward.transform(rng.uniform(-10, 160, 5000), rng.uniform(20, 80, 5000))
    lon, lat = back.transform(x, y)
    order = rng.permutation(5000)
    for part in np.split(order, [1, 2, 5, 12, 100, 101, 3000]):
        lon_part, lat_part = back.transform(x[part], y[part])
        assert np.array_equal(lon_part.view(np.int64), lon[part].view(np.int64))
        assert np.array_equal(lat_part.view(np.int64), lat[part].view(np.int64))


def test_zone_areas_do_not_depend_on_their_neighbours() -> None:
    edges = np.sort(np.random.default_rng(1).uniform(-90, 90, 1001))
    whole = zone_area(edges[:-1], edges[1:])
    for start in (0, 1, 3, 500):
        for length in (1, 2, 3, 5, 8, 15, 33):
            part = zone_area(edges[start : start + length], edges[start + 1 : start + length + 1])
            assert np.array_equal(part, whole[start : start + length])


def test_cells_outside_a_projection_are_missing(tmp_path: Path) -> None:
    layer = Layer({"v": np.ones((18, 36), np.float32)}, (-180, 90), (10, 10))
    grid = Grid.from_bounds(HOMOLOSINE, (-20e6, -8.6e6, 20e6, 8.6e6), 400_000.0)
    found = make(tmp_path, layer).read(grid.whole, ["v"])["v"]
    x, y = np.meshgrid(grid.whole.x, grid.whole.y)
    lon, _ = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True).transform(x, y)
    assert np.array_equal(np.isfinite(found), np.isfinite(lon))
    assert 0.4 < np.isfinite(found).mean() < 0.9


def test_positions_near_whole_numbers_are_whole() -> None:
    assert snapped(np.array([3 + 9e-7, 3 - 9e-7, 3 + 2e-6])).tolist() == [3, 3, 3 + 2e-6]
    layer = Layer(
        {"v": np.zeros((21600 // 8, 43200 // 8), np.float32)}, (-180, 90), (1 / 15, 1 / 15)
    )
    how = geometry(Grid.preset("global-30s"), _stack(layer))
    assert isinstance(how, Separable)
    taps = how.cols(np.arange(43200))
    assert (taps.number == 2).all()
    np.testing.assert_allclose(taps.weights.sum(axis=1), 1)
    same_cells = geometry(
        Grid.from_bounds("EPSG:4326", (-180, -90, 180, 90), 1 / 15), _stack(layer)
    )
    assert isinstance(same_cells, Separable)
    taps = same_cells.cols(np.arange(5400))
    assert (taps.number == 1).all()
    assert np.array_equal(taps.first, np.arange(5400))


def test_same_crs_by_any_name() -> None:
    wgs84 = CRS.from_epsg(4326)
    assert same_crs(wgs84, CRS.from_user_input("OGC:CRS84"))
    assert same_crs(wgs84, CRS.from_string("+proj=longlat +ellps=WGS84 +no_defs"))
    assert not same_crs(wgs84, CRS.from_epsg(4267))
    assert not same_crs(wgs84, CRS.from_epsg(32755))
    assert same_crs(CRS.from_string(HOMOLOSINE), Grid.preset("homolosine-250m").crs)


def test_sub_points_follow_from_the_two_cell_sizes() -> None:
    layer = Layer({"v": np.zeros((10, 10), np.float32)}, (145.0, -27.0), (1 / 120, 1 / 120))
    sides = {}
    for metres in (250.0, 1000.0, 2000.0, 9276.0, 50_000.0):
        how = geometry(Grid.from_bounds(UTM, (0, 0, 1e6, 1e6), metres), _stack(layer))
        assert isinstance(how, Projected)
        sides[metres] = how.lattice
    assert sides == {250.0: 0, 1000.0: 0, 2000.0: 3, 9276.0: 10, 50_000.0: 16}
