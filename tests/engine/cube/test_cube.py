"""What a cube gives back: the same values however they are asked for."""

from __future__ import annotations

import copy
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.grid import HOMOLOSINE, Grid, Window
from edaphos.engine.status import Status

from ..cubes import Layer, write_cube

GLOBE = (36, 72)
REGION = {"origin": (140.0, -20.0), "resolution": (0.1, 0.1)}
UTM = "EPSG:32755"

GRIDS = {
    "finer": Grid.from_bounds("EPSG:4326", (139.0, -27.0, 148.0, -19.0), 0.07, 32),
    "coarser": Grid.from_bounds("EPSG:4326", (139.1, -27.0, 148.0, -19.3), 0.33, 16),
    "equal": Grid.from_bounds("EPSG:4326", (140.0, -26.0, 147.0, -20.0), 0.1, 32),
    "shifted": Grid.from_bounds("EPSG:4326", (139.96, -26.0, 147.0, -19.97), 0.1, 32),
    "utm": Grid.from_bounds(UTM, (4e5, 7.2e6, 9.2e5, 7.8e6), 9000.0, 32),
    "utm-coarser": Grid.from_bounds(UTM, (0.0, 7.0e6, 9.2e5, 8.0e6), 41_000.0, 16),
    "homolosine": Grid.from_bounds(HOMOLOSINE, (1.44e7, -2.9e6, 1.56e7, -2.2e6), 21_000.0, 32),
    "global": Grid.from_bounds("EPSG:4326", (-180.0, -90.0, 180.0, 90.0), 3.0, 32),
}


def with_gaps(rng: np.random.Generator, shape: tuple[int, ...], share: float = 0.2) -> np.ndarray:
    values = rng.normal(100, 40, shape).astype(np.float32)
    values[rng.random(shape) < share] = np.nan
    return values


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Cube:
    """A region and a globe: amounts with gaps, classes, all time axes."""
    rng = np.random.default_rng(5)
    classes = rng.integers(-1, 5, (60, 70)).astype(np.int16)
    layers = [
        Layer({"slope": with_gaps(rng, (60, 70)), "height": with_gaps(rng, (60, 70))}, **REGION),
        Layer({"cover": classes}, **REGION, kind="class"),
        Layer({"rain": with_gaps(rng, (12, *GLOBE))}, (-180, 90), (5, 5), time="monthly"),
        Layer(
            {name: with_gaps(rng, (3, *GLOBE)) for name in ("crops", "pasture", "forest")},
            (-180, 90),
            (5, 5),
            time="yearly",
            years=(1990, 2000, 2010),
        ),
        Layer(
            {"zone": rng.integers(0, 4, GLOBE).astype(np.int16)}, (-180, 90), (5, 5), kind="class"
        ),
        Layer({"east": with_gaps(rng, (72, 144))}, (0, 90), (2.5, 2.5)),
    ]
    return Cube.open(write_cube(tmp_path_factory.mktemp("cube") / "c", layers, chunk=16))


NAMES = ["slope", "cover", "rain", "height", "crops", "zone", "forest", "east"]
YEARS = (2010, 1990)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype == np.float32 and np.array_equal(a.view(np.int32), b.view(np.int32))


# -- one value for a cell, however it is asked for ------------------------------------------------


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("size", [16, 32])
def test_tiles_do_not_change_values(cube: Cube, name: str, size: int) -> None:
    grid = Grid(GRIDS[name].geobox, size, name)
    whole = cube.read(grid.whole, NAMES, YEARS)
    assert any(np.isfinite(v).any() for v in whole.values())
    for tile in grid.tiles():
        w = tile.window
        part = cube.read(w, NAMES, YEARS)
        for key, values in part.items():
            cut = whole[key][..., w.row0 : w.row0 + w.height, w.col0 : w.col0 + w.width]
            assert same(np.ascontiguousarray(cut), values), (key, tile.name)


@pytest.mark.parametrize("name", GRIDS)
def test_at_equals_read_bit_for_bit(cube: Cube, name: str) -> None:
    grid = GRIDS[name]
    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(135, 152, 4000), rng.uniform(-30, -15, 4000)
    if name == "global":
        lon, lat = rng.uniform(-180, 180, 4000), rng.uniform(-90, 90, 4000)
    whole = cube.read(grid.whole, NAMES, YEARS)
    points = cube.at(lon, lat, grid, NAMES, YEARS)
    rows, cols, inside = grid.locate(lon, lat)
    assert inside.sum() > 100
    for key, values in points.items():
        assert np.isnan(values[~inside]).all()
        wanted = whole[key][..., rows[inside], cols[inside]].T
        assert same(np.ascontiguousarray(wanted), np.ascontiguousarray(values[inside])), key


@pytest.mark.parametrize("name", ["finer", "coarser", "utm", "utm-coarser", "global"])
def test_patches_equal_read_with_halo(cube: Cube, name: str) -> None:
    grid = GRIDS[name]
    rng = np.random.default_rng(2)
    lon, lat = rng.uniform(138, 149, 40), rng.uniform(-28, -18, 40)
    if name == "global":
        lon, lat = np.append(lon, [-179.9, 179.9, 12.0]), np.append(lat, [3.0, -3.0, 89.9])
    patches = cube.patches(lon, lat, grid, NAMES, 5, YEARS)
    rows, cols, inside = grid.locate(lon, lat)
    assert inside.sum() > 4
    for k in range(lon.size):
        for key, values in patches.items():
            if not inside[k]:
                assert np.isnan(values[k]).all()
                continue
            window = Window(grid, int(rows[k]), int(cols[k]), 1, 1)
            wanted = cube.read(window, [key], YEARS, halo=2)[key]
            assert same(wanted, np.ascontiguousarray(values[k])), (key, k)


def test_small_blocks_and_strips_change_nothing(
    cube: Cube, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    lon, lat = rng.uniform(138, 149, 500), rng.uniform(-28, -18, 500)
    windows = {name: cube.read(grid.whole, NAMES, YEARS) for name, grid in GRIDS.items()}
    points = {name: cube.at(lon, lat, grid, NAMES, YEARS) for name, grid in GRIDS.items()}
    reader = "edaphos.engine.cube.stack_reader."
    monkeypatch.setattr(reader + "STRIP_BYTES", 8000)
    monkeypatch.setattr(reader + "BLOCK_BYTES", 3000)
    monkeypatch.setattr(reader + "BATCH_POINTS", 333)
    for name, grid in GRIDS.items():
        for key, values in cube.read(grid.whole, NAMES, YEARS).items():
            assert same(windows[name][key], values), (name, key)
        for key, values in cube.at(lon, lat, grid, NAMES, YEARS).items():
            assert same(points[name][key], values), (name, key)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(sorted(GRIDS)),
    row=st.integers(-5, 60),
    col=st.integers(-400, 400),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
)
def test_any_window_agrees_with_its_cells(
    cube: Cube, name: str, row: int, col: int, height: int, width: int
) -> None:
    grid = GRIDS[name]
    block = cube.read(Window(grid, row, col, height, width), NAMES, YEARS)
    for i, j in ((0, 0), (height - 1, width - 1)):
        cell = cube.read(Window(grid, row + i, col + j, 1, 1), NAMES, YEARS)
        for key, values in cell.items():
            assert same(values, np.ascontiguousarray(block[key][..., i : i + 1, j : j + 1])), key


# -- shapes, order and native resolution ----------------------------------------------------------


def test_shapes_and_order(cube: Cube) -> None:
    window = GRIDS["finer"].window(3, 4, 5, 6)
    values = cube.read(window, NAMES, YEARS, halo=2)
    assert list(values) == NAMES
    assert values["slope"].shape == (9, 10)
    assert values["rain"].shape == (12, 9, 10)
    assert values["crops"].shape == (2, 9, 10)
    points = cube.at(np.array([141.0]), np.array([-21.0]), GRIDS["finer"], NAMES, YEARS)
    assert points["slope"].shape == (1,)
    assert points["rain"].shape == (1, 12)
    assert points["crops"].shape == (1, 2)
    patches = cube.patches(np.array([141.0]), np.array([-21.0]), GRIDS["finer"], NAMES, 3, YEARS)
    assert patches["slope"].shape == (1, 3, 3)
    assert patches["rain"].shape == (1, 12, 3, 3)
    assert cube.times()["forest"] == "yearly"
    assert cube.resolution("rain") == (5.0, 5.0, "EPSG:4326")


def test_native_resolution_gives_the_stored_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    amounts, codes = with_gaps(rng, (2, 20, 30)), rng.integers(-1, 9, (20, 30)).astype(np.int16)
    place = {"origin": (10.0, 50.0), "resolution": (1 / 120, 1 / 120)}
    layers = [
        Layer({"a": amounts}, **place, time="yearly", years=(1, 2)),
        Layer({"c": codes}, **place, kind="class"),
    ]
    cube = Cube.open(write_cube(tmp_path / "c", layers))
    geobox = GeoBox((20, 30), Affine(1 / 120, 0, 10, 0, -1 / 120, 50), "EPSG:4326")
    values = cube.read(geobox, ["a", "c"], (1, 2))
    assert same(values["a"], amounts)
    assert np.array_equal(np.where(np.isnan(values["c"]), -1, values["c"]), codes)


def test_constants_stay_constant_and_gaps_follow_the_rule(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    constant = np.full((60, 70), np.float32(0.1))
    constant[rng.random(constant.shape) < 0.3] = np.nan
    cube = Cube.open(write_cube(tmp_path / "c", [Layer({"k": constant}, **REGION)]))
    for grid in GRIDS.values():
        values = cube.read(grid.whole, ["k"])["k"]
        assert set(np.unique(values[np.isfinite(values)])) <= {np.float32(0.1)}
    finer = Grid.from_bounds("EPSG:4326", (140.0, -26.0, 147.0, -20.0), 0.02)
    values = cube.read(finer.whole, ["k"])["k"]
    centres = values[2::5, 2::5]
    assert np.array_equal(np.isnan(centres), np.isnan(constant))  # at a source centre: one tap
    every = [
        np.pad(constant, 1, mode="edge")[i : i + 60, j : j + 70] for i in range(3) for j in range(3)
    ]
    none_near = np.isnan(np.stack(every)).all(axis=0)
    assert np.isnan(values[np.repeat(np.repeat(none_near, 5, 0), 5, 1)]).all()
    corner = np.isnan(constant[:-1, :-1] + constant[1:, :-1] + constant[:-1, 1:] + constant[1:, 1:])
    some = np.isfinite(constant[:-1, :-1])
    # between four centres a value is missing only if all four are
    assert np.isfinite(values[4:-1:5, 4:-1:5][some & corner]).all()


# -- around the globe and beyond the edges --------------------------------------------------------


def globe_cube(path: Path, values: np.ndarray, kind: str = "amount") -> Cube:
    degrees = 360 / values.shape[1]
    layer = Layer({"v": values}, (-180, 90), (degrees, degrees), kind=kind)
    return Cube.open(write_cube(path, [layer]))


def test_halos_go_around_the_globe_and_repeat_at_the_poles(tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    values = rng.normal(size=(18, 36)).astype(np.float32)
    cube = globe_cube(tmp_path / "c", values)
    grid = Grid.from_bounds("EPSG:4326", (-180, -90, 180, 90), 10.0)
    halo = cube.read(grid.whole, ["v"], halo=3)["v"]
    assert same(
        halo, np.pad(np.pad(values, ((0, 0), (3, 3)), mode="wrap"), ((3, 3), (0, 0)), "edge")
    )
    far = cube.read(Window(grid, 4, 70, 2, 80), ["v"])["v"]
    assert same(far, np.ascontiguousarray(np.tile(values, 5)[4:6, 70:150]))


def test_bilinear_crosses_the_date_line(tmp_path: Path) -> None:
    values = np.zeros((18, 36), np.float32)
    values[:, 0], values[:, -1] = 1.0, 3.0
    cube = globe_cube(tmp_path / "c", values)
    grid = Grid.from_bounds("EPSG:4326", (-180, -90, 180, 90), 2.0)
    line = cube.read(grid.whole, ["v"])["v"][40]
    np.testing.assert_allclose(line[:3], [1.8, 1.4, 1.0], rtol=1e-6)
    np.testing.assert_allclose(line[-3:], [3.0, 2.6, 2.2], rtol=1e-6)


def test_regional_grid_over_the_date_line_reads_both_sides(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    values = rng.normal(size=(18, 36)).astype(np.float32)
    cube = globe_cube(tmp_path / "c", values)
    pacific = Grid.from_bounds("EPSG:4326", (150, -40, 210, 40), 10.0)
    expected = np.tile(values, 2)[5:13, 33:39]
    assert same(cube.read(pacific.whole, ["v"])["v"], np.ascontiguousarray(expected))
    halo = cube.read(pacific.whole, ["v"], halo=2)["v"]
    assert same(halo, np.ascontiguousarray(np.tile(values, 2)[3:15, 31:41]))
    polar = Grid.from_bounds("EPSG:3413", (-3e6, -3e6, 3e6, 3e6), 2.5e5, 8)
    arctic = cube.read(polar.whole, ["v"])["v"]
    assert np.isfinite(arctic).all()


def test_source_from_0_to_360_is_found_by_its_longitudes(tmp_path: Path) -> None:
    values = np.random.default_rng(12).normal(size=(18, 36)).astype(np.float32)
    cube = Cube.open(write_cube(tmp_path / "c", [Layer({"v": values}, (0, 90), (10, 10))]))
    grid = Grid.from_bounds("EPSG:4326", (-180, -90, 180, 90), 10.0)
    assert same(cube.read(grid.whole, ["v"])["v"], np.roll(values, 18, axis=1))


def test_source_across_the_date_line_is_found_from_both_sides(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.float32).reshape(4, 6)
    cube = Cube.open(write_cube(tmp_path / "c", [Layer({"v": values}, (170, 0), (5, 5))]))
    grid = Grid.from_bounds("EPSG:4326", (-180, -90, 180, 90), 5.0)
    whole = cube.read(grid.whole, ["v"])["v"]
    assert same(np.ascontiguousarray(whole[18:22, 70:]), np.ascontiguousarray(values[:, :2]))
    assert same(np.ascontiguousarray(whole[18:22, :4]), np.ascontiguousarray(values[:, 2:]))
    assert np.isfinite(whole).sum() == 24


def test_outside_the_source_is_missing_and_its_rim_is_the_edge_cell(tmp_path: Path) -> None:
    values = np.arange(4, dtype=np.float32).reshape(2, 2)
    layers = [
        Layer({"v": values}, (10, 20), (1, 1)),
        Layer({"k": values.astype(np.int16)}, (10, 20), (1, 1), kind="class"),
    ]
    cube = Cube.open(write_cube(tmp_path / "c", layers, soil_mask="k"))
    grid = Grid.from_bounds("EPSG:4326", (9, 17, 13, 21), 0.25)
    found = cube.read(grid.whole, ["v", "k"])
    expected = np.zeros((16, 16), bool)
    expected[4:12, 4:12] = True
    assert np.array_equal(np.isfinite(found["v"]), expected)
    assert np.array_equal(np.isfinite(found["k"]), expected)
    assert found["v"][4, 4] == 0
    assert found["v"][11, 11] == 3
    inner = Grid.from_bounds("EPSG:4326", (10.5, 18.5, 11.5, 19.5), 0.25)
    halo = cube.read(inner.whole, ["v"], halo=4)["v"]  # 2 cells of data beyond the grid, then none
    assert np.isfinite(halo[2:-2, 2:-2]).all()
    assert np.isfinite(halo).sum() == 64
    status = cube.status(grid.whole)
    assert status.dtype == np.uint8
    assert (status[~expected] == Status.SEA).all()
    assert set(np.unique(status)) == {0, 1, 2, 3}


def test_status_is_soil_everywhere_without_a_mask(cube: Cube) -> None:
    assert (cube.status(GRIDS["finer"].window(0, 0, 3, 4)) == Status.SOIL).all()


# -- years ----------------------------------------------------------------------------------------


def test_years_held_and_not_held(cube: Cube) -> None:
    window = GRIDS["global"].window(10, 10, 4, 4)
    with pytest.raises(InputError, match=r'"crops" has no 1995, 2020; it holds 1990, 2000, 2010'):
        cube.read(window, ["crops"], (1995, 2000, 2020))
    with pytest.raises(InputError, match="no years were asked for"):
        cube.read(window, ["crops"])
    near = cube.read(window, ["crops"], (1995, 1996, 2020), year_policy="nearest")["crops"]
    held = cube.read(window, ["crops"], (1990, 2000, 2010))["crops"]
    assert same(near, held)
    lon, lat = np.array([20.0]), np.array([40.0])
    point = cube.at(lon, lat, GRIDS["global"], ["crops"], (1880,), year_policy="nearest")
    assert same(point["crops"], cube.at(lon, lat, GRIDS["global"], ["crops"], (1990,))["crops"])


# -- faults ---------------------------------------------------------------------------------------


def test_unknown_variable_names_the_nearest(cube: Cube) -> None:
    with pytest.raises(InputError, match=r'"slop" \(did you mean "slope"\?\)'):
        cube.read(GRIDS["finer"].window(0, 0, 2, 2), ["slop"])
    with pytest.raises(InputError, match=r'"hight".*"raim"'):
        cube.missing_bands(["slope", "hight", "raim"])
    with pytest.raises(InputError, match='did you mean "cover"'):
        cube.variable("covers")


def test_even_patches_are_refused(cube: Cube) -> None:
    with pytest.raises(InputError, match="odd number"):
        cube.patches(np.array([1.0]), np.array([1.0]), GRIDS["finer"], ["slope"], 4)


def test_unequal_coordinates_are_refused(cube: Cube) -> None:
    with pytest.raises(InputError, match="one length"):
        cube.at(np.zeros(3), np.zeros(2), GRIDS["finer"], ["slope"])


def test_a_changed_cube_is_noticed(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(20, 20)).astype(np.float32)
    path = write_cube(tmp_path / "c", [Layer({"v": values}, (0, 50), (1, 1))])
    cube = Cube.open(path)
    assert cube.verify() == []
    keys = [o.key for o in cube.manifest.objects if "/c/" in o.key]
    changed, longer, gone = (path / key for key in keys[:3])
    data = bytearray(changed.read_bytes())
    data[-1] ^= 1
    changed.write_bytes(data)
    Cube.open(path)  # same size: only verify reads the bytes
    longer.write_bytes(longer.read_bytes() + b"x")
    gone.unlink()
    extra = path / "stacks" / "s0" / "values" / "c" / "9" / "9"
    extra.parent.mkdir()
    extra.write_bytes(b"y")
    problems = cube.verify()
    assert len(problems) == 4
    for word, key in zip(("CRC-32C", "bytes", "missing"), keys, strict=False):
        assert any(key in p and word in p for p in problems)
    with pytest.raises(InputError, match=r"cube changed since it was built.*missing"):
        Cube.open(path)
    with pytest.raises(InputError, match="no such cube"):
        Cube.open(tmp_path / "nowhere")


def test_a_copy_reads_the_same(cube: Cube) -> None:
    window = GRIDS["finer"].window(0, 0, 20, 20)
    other = copy.copy(cube)  # by the same road as to another process
    assert other is not cube
    assert same(other.read(window, ["slope"])["slope"], cube.read(window, ["slope"])["slope"])


def test_threads_share_a_cube(cube: Cube) -> None:
    fresh = copy.copy(cube)
    tiles = [tile.window for tile in GRIDS["finer"].tiles()][:8]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda w: fresh.read(w, NAMES, YEARS), tiles))
    for window, found in zip(tiles, together, strict=True):
        alone = cube.read(window, NAMES, YEARS)
        assert all(same(found[key], alone[key]) for key in NAMES)


# -- memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["finer", "coarser", "utm", "utm-coarser", "global"])
def test_reading_stays_within_the_estimate(tmp_path: Path, name: str) -> None:
    values = np.random.default_rng(0).normal(size=(12, 600, 700)).astype(np.float32)
    layer = Layer({"v": values}, (140.0, -20.0), (0.01, 0.01), time="monthly")
    cube = Cube.open(write_cube(tmp_path / "c", [layer], chunk=256))
    grid = GRIDS[name]
    cube.read(grid.window(0, 0, 1, 1), ["v"])
    tracemalloc.start()
    cube.read(grid.whole, ["v"], halo=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    promised = cube.nbytes_for(grid.whole, ["v"], halo=1)
    assert peak <= promised
    assert promised < max(8 * peak, 200e6)
