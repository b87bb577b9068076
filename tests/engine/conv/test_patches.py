"""Patches hold what tiles and samples hold, and every chunk of the cube is read once for them."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from zarr.storage import WrapperStore

from edaphos.engine.conv.patches import COLUMN, PatchStore, extract, patches_of
from edaphos.engine.conv.planes import native_grid, native_grids, plane_name
from edaphos.engine.cube import stack_reader
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.grid import HOMOLOSINE, Grid, Window
from edaphos.engine.samples import Samples
from edaphos.engine.sampling import draw_samples
from edaphos.engine.years import YearPolicy

from ..cubes import Layer, write_cube

GLOBE = (36, 72)
HELD = (1990, 2000, 2010)
REGION = {"origin": (140.0, -20.0), "resolution": (0.1, 0.1)}
GRIDS = {
    "equal": Grid.from_bounds("EPSG:4326", (140.0, -26.0, 147.0, -20.0), 0.1, 32),
    "finer": Grid.from_bounds("EPSG:4326", (139.0, -27.0, 148.0, -19.0), 0.07, 32),
    "coarser": Grid.from_bounds("EPSG:4326", (139.1, -27.0, 148.0, -19.3), 0.33, 16),
    "homolosine": Grid.from_bounds(HOMOLOSINE, (1.44e7, -2.9e6, 1.56e7, -2.2e6), 21_000.0, 32),
    "global": Grid.from_bounds("EPSG:4326", (-180.0, -90.0, 180.0, 90.0), 3.0, 32),
}
STATIC = ("slope", "cover", "rain", "height")
YEARLY = ("crops", "use", "forest")


def with_gaps(rng: np.random.Generator, shape: tuple[int, ...], share: float = 0.1) -> np.ndarray:
    values = rng.normal(100, 40, shape).astype(np.float32)
    values[rng.random(shape) < share] = np.nan
    return values


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Cube:
    """A region and a globe: amounts with gaps, classes, all time axes."""
    rng = np.random.default_rng(5)
    layers = [
        Layer({"slope": with_gaps(rng, (60, 70)), "height": with_gaps(rng, (60, 70))}, **REGION),
        Layer({"cover": rng.integers(-1, 5, (60, 70)).astype(np.int16)}, **REGION, kind="class"),
        Layer({"rain": with_gaps(rng, (12, *GLOBE))}, (-180, 90), (5, 5), time="monthly"),
        Layer(
            {name: with_gaps(rng, (3, *GLOBE), 0.3) for name in ("crops", "forest")},
            (-180, 90),
            (5, 5),
            time="yearly",
            years=HELD,
        ),
        Layer(
            {"use": rng.integers(-1, 3, (4, *GLOBE)).astype(np.int16)},
            (-180, 90),
            (5, 5),
            kind="class",
            time="yearly",
            years=(1985, *HELD),
        ),
    ]
    return Cube.open(write_cube(tmp_path_factory.mktemp("cube") / "c", layers, chunk=16))


def profiles(grid: str, number: int = 60) -> pd.DataFrame:
    """Layers of profiles, some in one cell, some undated, some off the region."""
    rng = np.random.default_rng(len(grid))
    lon, lat = rng.uniform(138.5, 148.5, number), rng.uniform(-27.5, -18.5, number)
    if grid == "global":
        lon, lat = rng.uniform(-180, 180, number), rng.uniform(-90, 90, number)
        lon[:3], lat[:3] = (-179.9, 179.9, 12.0), (3.0, -3.0, 89.9)
    lon[10:20], lat[10:20] = lon[20:30], lat[20:30]
    year = rng.choice([1990.0, 1994.0, 2000.0, 1950.0, np.nan], number)
    return pd.DataFrame(
        {
            "profile_id": [f"p{k}" for k in range(number)],
            "source": "s",
            "lon": lon,
            "lat": lat,
            "year": year,
            "top_cm": 0.0,
            "bottom_cm": 10.0,
            "soc_g_kg": 20.0,
        }
    )


def samples_of(table: pd.DataFrame) -> Samples:
    return Samples(table.assign(y=1.0, weight=1.0), ())


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal bit for bit, one NaN being as good as another."""
    nan = np.isnan(a)
    return (
        a.dtype == b.dtype == np.float32
        and np.array_equal(nan, np.isnan(b))
        and np.array_equal(a[~nan].view(np.int32), b[~nan].view(np.int32))
    )


@pytest.mark.parametrize("name", GRIDS)
def test_patches_are_what_tiles_read_with_a_halo(cube: Cube, name: str, tmp_path: Path) -> None:
    grid = GRIDS[name]
    samples = samples_of(profiles(name))
    cut = extract(samples, cube, grid, STATIC, 7, tmp_path / "p")
    store = PatchStore.open(tmp_path / "p")
    rows, cols, inside = grid.locate(
        samples.table["lon"].to_numpy(), samples.table["lat"].to_numpy()
    )
    assert inside.sum() > 4
    for k, patch in enumerate(patches_of(cut)):
        if not inside[k]:
            assert np.isnan(store.values[patch]).all()
            continue
        tile = cube.read(Window(grid, int(rows[k]), int(cols[k]), 1, 1), STATIC, halo=3)
        for slot, (variable, month) in enumerate(store.planes):
            wanted = tile[variable] if month is None else tile[variable][month]
            assert same(np.ascontiguousarray(store.values[patch, slot]), wanted), (variable, k)


@pytest.mark.parametrize("policy", [YearPolicy(), YearPolicy("drop", "drop")])
@pytest.mark.parametrize("name", ["equal", "homolosine", "global"])
def test_the_middle_is_what_samples_hold(
    cube: Cube, name: str, policy: YearPolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, variables = GRIDS[name], (*STATIC, *YEARLY)
    monkeypatch.setattr("edaphos.engine.sampling.MOST_LACKING", 2.0)
    table = profiles(name, 300)
    samples, _ = draw_samples(table, cube, grid, ("rain",), also=variables, years=policy)
    cut = extract(samples, cube, grid, variables, 5, tmp_path / "p", years=policy)
    store = PatchStore.open(cut.patches)
    middle = np.asarray(store.values[patches_of(cut), :, 2, 2])
    for slot, plane in enumerate(store.planes):
        held = cut.table[plane_name(plane)].to_numpy()
        assert same(middle[:, slot], held), plane
    assert set(store.kinds[-3:]) == {"amount", "class"}


def test_one_patch_for_each_cell_and_year(cube: Cube, tmp_path: Path) -> None:
    table = profiles("equal", 40)
    table["lon"], table["lat"] = np.tile([141.01, 143.26], 20), np.tile([-22.04, -23.37], 20)
    table["lon"] += np.linspace(0, 0.02, 40)  # in one cell still
    table["year"] = np.repeat([1990.0, 1991.0, 2004.0, np.nan], 10)
    still = extract(samples_of(table), cube, GRIDS["equal"], STATIC, 3, tmp_path / "s")
    assert len(PatchStore.open(still.patches)) == 2
    moving = extract(samples_of(table), cube, GRIDS["equal"], ("crops",), 3, tmp_path / "y")
    assert len(PatchStore.open(moving.patches)) == 6  # 1990, nearest 1990, 2000, their mean
    assert moving.table.groupby(["lat", COLUMN]).ngroups == 6
    assert patches_of(moving.take(np.array([3, 1]))).tolist() == [
        moving.table[COLUMN][3],
        moving.table[COLUMN][1],
    ]


class Counting(WrapperStore):
    """Counts what is read of each object."""

    reads: Counter = Counter()

    async def get(self, key, prototype, byte_range=None):
        if "/c/" in key:
            self.reads[key, str(byte_range)] += 1
        return await super().get(key, prototype, byte_range)

    def _with_store(self, store):
        return Counting(store)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter:
    plain = stack_reader.zarr_store
    counter: Counter = Counter()
    monkeypatch.setattr(Counting, "reads", counter)
    monkeypatch.setattr(
        stack_reader, "zarr_store", lambda *args, **more: Counting(plain(*args, **more))
    )
    return counter


@pytest.mark.parametrize("name", GRIDS)
def test_chunks_are_read_once(cube: Cube, name: str, tmp_path: Path, reads: Counter) -> None:
    """Dense samples, patches across the borders of chunks, years and climatologies alike."""
    samples = samples_of(profiles(name, 800))
    variables = (*STATIC, *YEARLY)
    extract(samples, cube, GRIDS[name], variables, 9, tmp_path / "p")
    assert len(reads) > 30
    assert set(reads.values()) == {1}


def test_little_memory_changes_no_value(cube: Cube, tmp_path: Path, reads: Counter) -> None:
    samples = samples_of(profiles("global", 120))
    variables = (*STATIC, *YEARLY)
    extract(samples, cube, GRIDS["global"], variables, 9, tmp_path / "p")
    extract(samples, cube, GRIDS["global"], variables, 9, tmp_path / "q", memory=2**14)
    assert max(reads.values()) > 2
    assert (tmp_path / "p/values.npy").read_bytes() == (tmp_path / "q/values.npy").read_bytes()


def test_memory_does_not_grow_with_the_patches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for a few numbers for each place."""
    monkeypatch.setattr(stack_reader, "BLOCK_BYTES", 2**17)
    rng = np.random.default_rng(1)
    fields = {f"v{k}": rng.normal(size=(400, 400)).astype(np.float32) for k in range(8)}
    layers = [Layer(fields, (140.0, -20.0), (0.01, 0.01))]
    cube = Cube.open(write_cube(tmp_path / "c", layers, chunk=50))
    lon, lat = rng.uniform(140.1, 143.9, 2500), rng.uniform(-23.9, -20.1, 2500)
    table = pd.DataFrame({"lon": lon, "lat": lat, "year": 2000.0})
    memory, grid = 2**22, native_grid(cube, "v0")
    extract(Samples(table[:9], ()), cube, grid, tuple(fields), 15, tmp_path / "compiled")
    tracemalloc.start()
    extract(Samples(table, ()), cube, grid, tuple(fields), 15, tmp_path / "p", memory=memory)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert PatchStore.open(tmp_path / "p").values.nbytes > 4 * memory
    assert peak < 1.25 * memory


def test_native_patches_are_the_stored_values(cube: Cube, tmp_path: Path, reads: Counter) -> None:
    groups = native_grids(cube, (*STATIC, "use"))
    assert [names for _, names in groups] == [("slope", "cover", "height"), ("rain", "use")]
    samples = samples_of(profiles("equal", 500))
    grid = native_grid(cube, "slope")
    assert grid.resolution == (0.1, 0.1)
    cut = extract(samples, cube, grid, groups[0][1], 5, tmp_path / "p")
    assert set(reads.values()) == {1}
    whole = cube.read(grid.whole, ["slope"], halo=2)["slope"]
    rows, cols, inside = grid.locate(
        samples.table["lon"].to_numpy(), samples.table["lat"].to_numpy()
    )
    values = PatchStore.open(cut.patches).values
    for k in np.flatnonzero(inside):
        wanted = whole[rows[k] : rows[k] + 5, cols[k] : cols[k] + 5]
        assert same(np.array(values[patches_of(cut)[k], 0]), np.ascontiguousarray(wanted))


def test_what_agrees_is_kept_and_what_does_not_is_cut_anew(
    cube: Cube, tmp_path: Path, reads: Counter
) -> None:
    folder, grid = tmp_path / "p", GRIDS["equal"]
    samples = samples_of(profiles("equal"))
    first = extract(samples, cube, grid, ("slope", "crops"), 5, folder)
    before, digest = sum(reads.values()), PatchStore.open(folder).digest
    coarse_tiles = Grid(grid.geobox, 8, "another name")
    again = extract(samples, cube, coarse_tiles, ("slope", "crops"), 5, folder)
    assert sum(reads.values()) == before
    pd.testing.assert_frame_equal(first.table, again.table)
    later = samples_of(profiles("equal").assign(year=2010.0))
    for other in (
        {"size": 3},
        {"variables": ("slope", "forest")},
        {"samples": samples.take(np.arange(20))},
        {"samples": later},
        {"grid": GRIDS["finer"]},
        {"years": YearPolicy(undated="drop")},
    ):
        told = {"samples": samples, "grid": grid, "variables": ("slope", "crops"), "size": 5}
        extract(**{**told, **other}, cube=cube, folder=folder)
        changed = PatchStore.open(folder)
        assert changed.digest != digest, other
        digest = changed.digest


def test_a_cut_that_failed_leaves_nothing(
    cube: Cube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **more: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("edaphos.engine.conv.patches.read_patches", broken)
    with pytest.raises(OSError, match="full"):
        extract(samples_of(profiles("equal")), cube, GRIDS["equal"], STATIC, 3, tmp_path / "p")
    assert not (tmp_path / "p").exists()
    with pytest.raises(InputError, match=r"patches\.json"):
        PatchStore.open(tmp_path / "p")


def test_a_store_travels_as_its_path(cube: Cube, tmp_path: Path) -> None:
    cut = extract(samples_of(profiles("equal")), cube, GRIDS["equal"], STATIC, 9, tmp_path / "p")
    store = PatchStore.open(cut.patches)
    assert isinstance(store.values, np.memmap)
    sent = cloudpickle.dumps(store)
    assert len(sent) < 10_000 < store.values.nbytes
    assert np.array_equal(cloudpickle.loads(sent).values, store.values, equal_nan=True)


def test_bad_input_is_named(cube: Cube, tmp_path: Path) -> None:
    samples = samples_of(profiles("equal"))
    with pytest.raises(InputError, match="odd number of cells, found 4"):
        extract(samples, cube, GRIDS["equal"], STATIC, 4, tmp_path / "p")
    with pytest.raises(InputError, match="slop"):
        extract(samples, cube, GRIDS["equal"], ("slop",), 3, tmp_path / "p")
    with pytest.raises(InputError, match="patch_size"):
        patches_of(samples)
    extract(samples, cube, GRIDS["equal"], STATIC, 3, tmp_path / "p")
    np.save(tmp_path / "p/values.npy", np.zeros((1, 2, 3, 3)))
    with pytest.raises(InputError, match="expected float32 of shape"):
        PatchStore.open(tmp_path / "p")
