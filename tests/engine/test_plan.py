"""The plan: counts are exact, measured figures hold, and what does not fit is refused."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import psutil
import pytest

from edaphos.engine import plan_sampling
from edaphos.engine.cluster import ClusterSpec, SlurmSpec, connect
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.land import LAND_INDEX, save_index
from edaphos.engine.ledger import Ledger
from edaphos.engine.models.forest import ForestModel
from edaphos.engine.plan import Plan, check_memory, known_counts, peak_memory, plan
from edaphos.engine.plan_size import check_disk, size_of, soil_counts
from edaphos.engine.produce import produce
from edaphos.engine.products.cog_disk import temporary_bytes
from edaphos.engine.sampling import draw_samples
from edaphos.engine.status import Status
from edaphos.engine.store import list_objects

from .worlds import DEPTHS, make_cube, make_run, make_table, world_grid


@pytest.fixture(scope="module")
def cube(tmp_path_factory) -> Cube:
    return Cube.open(make_cube(tmp_path_factory.mktemp("plan") / "world.zarr"))


@pytest.fixture(scope="module")
def model(cube: Cube) -> ForestModel:
    samples, _ = draw_samples(make_table(), cube, world_grid(128), ("temperature", "relief"))
    return ForestModel(("temperature", "relief"), trees=5, depths=DEPTHS).fit(samples)


@pytest.fixture(scope="module", autouse=True)
def _hurried() -> Iterator[None]:
    """A few tiles are measured, however short they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_sampling, "SECONDS", 0.0)
        yield


@pytest.fixture(scope="module")
def slow(cube: Cube, model: ForestModel) -> Plan:
    """The plan of a map that goes to a very slow store."""
    return plan(cube, world_grid(64), model, (2020,), ClusterSpec(workers=2), store_mb_s=0.01)


def test_a_plan_counts_what_will_be_made(cube: Cube, slow: Plan) -> None:
    grid, found = world_grid(64), slow
    status = cube.status(grid.whole)
    assert found.cells == int((status == Status.SOIL).sum())
    assert found.tiles == 100
    blocks = [status[r : r + 64, c : c + 64] for r in range(0, 600, 64) for c in range(0, 600, 64)]
    assert found.tiles_with_soil == sum((b == Status.SOIL).any() for b in blocks)
    stored = sum(b.size for b in blocks if (b == Status.SOIL).any())
    assert found.bytes_read == stored * 4 * 13
    assert found.bytes_written == stored * (2 * 4 * 2 + 1)
    assert found.seconds is not None
    assert found.seconds > 0
    assert f"{found.cells:,} to map" in found.to_text()


def test_memory_grows_with_the_tile_not_the_map(cube: Cube, model: ForestModel) -> None:
    def peak(resolution: float, tile: int, tiles_at_once: int = 2) -> int:
        return peak_memory(cube, world_grid(tile, resolution), model, (2020,), tiles_at_once)

    assert peak(0.1, 256) == pytest.approx(peak(0.025, 256), rel=0.05)
    assert peak(0.1, 512) > peak(0.1, 256)
    assert peak(0.1, 256, 3) > peak(0.1, 256, 1)


def test_years_of_the_map_count_in_what_is_written(cube: Cube, model: ForestModel) -> None:
    grid, years = world_grid(64), (1990, 2000, 2010)
    counts = soil_counts(cube, grid)
    one, three = (size_of(cube, grid, model, y, counts) for y in ((2000,), years))
    assert three.bytes_read == one.bytes_read  # no covariate is yearly
    stored = one.bytes_read // (4 * 13)
    outputs = len(model.emits.outputs) * len(DEPTHS)
    assert three.bytes_written - one.bytes_written == stored * 2 * outputs * 2
    # by the year, float32 outputs, and one packed variable, for each of two tiles at once
    more = 2 * 64**2 * 4 * 2 * (outputs + len(DEPTHS))
    peaks = [peak_memory(cube, grid, model, y, 2) for y in ((2000,), years)]
    assert peaks[1] - peaks[0] == pytest.approx(1.25 * more, abs=2)


def test_what_does_not_fit_is_refused_with_the_numbers() -> None:
    total = psutil.virtual_memory().total
    check_memory(total // 10, 4)
    with pytest.raises(InputError, match=r"use --workers 2"):
        check_memory(int(total * 0.4), 4)
    with pytest.raises(InputError, match="smaller tile size"):
        check_memory(2 * total, 1)


def test_jobs_of_slurm_are_reckoned_with_not_the_cores_here(cube: Cube, model: ForestModel) -> None:
    slurm = SlurmSpec(cores=16, memory="64GB")
    spec = ClusterSpec("slurm", workers=40, slurm=slurm)  # three jobs of 16
    found = plan(cube, world_grid(64), model, (2020,), spec)
    assert found.workers == 48
    assert found.timing is not None
    assert {one.workers for one in found.timing.replayed} == {1, 10, 48, 100, 1000}
    assert "48 worker(s)" in found.to_text()
    assert ClusterSpec("slurm", slurm=SlurmSpec(cores=8, gpus=2)).planned_workers == 2
    assert ClusterSpec("tcp://host:8786", workers=7).planned_workers == 7
    small = replace(spec, slurm=replace(slurm, memory="4GB"))
    with pytest.raises(InputError, match=r"the 16 worker\(s\) of a job .*cluster.slurm.memory"):
        plan(cube, world_grid(64), model, (2020,), small)


def test_exports_of_a_large_map_need_room_for_a_block_not_for_a_layer(
    cube: Cube, model: ForestModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = Grid.preset("global-7.5s", 1024)
    counts = np.zeros(grid.tile_counts, np.int64)
    counts[40, 80] = 5
    monkeypatch.setattr("edaphos.engine.plan.soil_counts", lambda *_: counts)
    monkeypatch.setattr("edaphos.engine.plan._timing", lambda *_: None)
    monkeypatch.setattr("edaphos.engine.plan.sample_tiles", lambda *_, **__: Mock(peak_memory=0))
    found = plan(cube, grid, model, (2020,), ClusterSpec(workers=1), cogs=True)
    # one file at a time: 10,800 x 16,384 cells of the coarse file, and its copies
    assert found.temporary_bytes == temporary_bytes(grid) < 2**31
    assert "more on a disk while exporting" in found.to_text()
    # 18 x 36 blocks, a virtual raster and its overviews for each layer and the status; STAC
    assert found.cogs == (4 * 2 + 1) * (18 * 36 + 2) + 2


def test_inputs_lacking_a_covariate_do_not_count_as_soil_to_the_model(cube: Cube) -> None:
    """A row at a hole of the relief is left out, as the map leaves out its cell."""
    table = make_table(rows=30)
    table["lon"], table["lat"] = 7.0, 34.5
    table.loc[0:14, "lon"] = 20.0
    samples, counts = draw_samples(table, cube, world_grid(128), ("temperature", "relief"))
    assert (counts.rows, counts.kept, counts.lacking) == (30, 15, 15)
    assert np.isfinite(samples.matrix()).all()
    assert samples.features[-1] == "relief"


def test_what_was_planned_then_happens(tmp_path) -> None:
    path = make_cube(tmp_path / "cube.zarr")
    cube, grid = Cube.open(path), world_grid(64)
    run = make_run(tmp_path / "run", grid, path)
    spec = ClusterSpec(workers=1)
    before = set(tmp_path.iterdir())
    planned = plan(cube, grid, run.load_model(), (2020,), spec, out=run.path, cogs=True)
    assert set(tmp_path.iterdir()) == before  # samples are cleared away
    with connect(spec) as client:
        made = produce(run, client)
    assert made.peak_memory <= planned.peak_memory
    records = list(Ledger(run.path).records())
    assert planned.ledger_records == len(records) == 100
    objects = list_objects(run.path / "map.zarr")
    assert 0.9 * planned.map_objects <= len(objects) <= planned.map_objects
    timing = planned.timing
    assert timing is not None
    done = [r for r in records if r.outcome == "done"]
    stored = sum(item.size for r in done for item in r.objects)
    assert stored == pytest.approx(timing.stored_written.value, rel=0.25)
    # a crowded machine may be another one a second later: more than its interval is not asked here
    seconds = sum(r.seconds[p] for r in done for p in ("read", "predict", "write"))
    assert timing.worker_seconds.low / 4 < seconds < timing.worker_seconds.high * 4
    assert timing.stored_read.value > 0
    # soc and its three quantiles in two depths, status and its classes, an item, the collection
    assert planned.cogs == 4 * 2 + 2 + 1 + 1
    walls = [one.seconds.value for one in timing.replayed]
    assert [one.workers for one in timing.replayed] == [1, 10, 100, 1000]
    assert walls == sorted(walls, reverse=True)
    assert "1,000 worker(s)" in planned.to_text()


def test_a_slow_store_is_named_as_the_limit(slow: Plan) -> None:
    timing = slow.timing
    assert timing is not None
    assert timing.store_given
    assert {one.limit for one in timing.replayed} == {"store"}
    assert timing.store_from == 1
    moved = timing.stored_read.value + timing.stored_written.value
    assert timing.replayed[-1].seconds.value == pytest.approx(moved / 1e4, rel=0.1)


def test_what_the_disk_cannot_hold_is_refused_with_both_numbers(tmp_path, monkeypatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(2**40, 2**40, 2**30))
    check_disk(tmp_path / "new" / "run", 2**29, 2**28)
    with pytest.raises(
        InputError, match=r"take about 1\.0 GiB and 256\.0 MiB .* has 1\.0 GiB free"
    ):
        check_disk(tmp_path / "new" / "run", 2**30, 2**28)


def test_counts_of_a_run_are_used_again_for_the_same_cube_and_grid_only(tmp_path) -> None:
    path = make_cube(tmp_path / "cube.zarr")
    cube, grid = Cube.open(path), world_grid(128)
    run = make_run(tmp_path / "run", grid, path)
    assert known_counts(run.path, cube, grid) is None  # not counted yet
    counted = soil_counts(cube, grid)
    save_index(run.path, counted)
    assert (run.path / LAND_INDEX).exists()
    np.testing.assert_array_equal(known_counts(run.path, cube, grid), counted)
    assert known_counts(run.path, cube, world_grid(64)) is None
    other = Cube.open(make_cube(tmp_path / "other.zarr", seed=1))
    assert known_counts(run.path, other, grid) is None
    assert known_counts(tmp_path / "nowhere", cube, grid) is None
