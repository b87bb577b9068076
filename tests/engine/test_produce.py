"""Production: the same map from any number of workers, any tile size, and after any damage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster

from edaphos.engine.cluster import ClusterSpec, connect
from edaphos.engine.errors import InputError, RunError
from edaphos.engine.ledger import Ledger
from edaphos.engine.map_store import MAP
from edaphos.engine.map_view import open_map
from edaphos.engine.produce import produce
from edaphos.engine.recovery import verify_map
from edaphos.engine.run import Run
from edaphos.engine.status import Status
from edaphos.engine.store import checksum, list_objects

from .worlds import DEPTHS, make_cube, make_run, world_grid


@pytest.fixture(scope="module")
def cube(tmp_path_factory) -> Path:
    return make_cube(tmp_path_factory.mktemp("cube") / "world.zarr")


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as opened,
    ):
        yield opened


@pytest.fixture(scope="module")
def made(tmp_path_factory, cube, client) -> Run:
    run = make_run(tmp_path_factory.mktemp("made") / "run", world_grid(256), cube)
    produce(run, client)
    return run


def objects(run: Run) -> dict[str, str]:
    folder = run.path / MAP
    return {key: checksum((folder / key).read_bytes()) for key in list_objects(folder)}


def test_the_map_says_what_it_is(made: Run) -> None:
    dataset = open_map(made.path)
    assert dataset.attrs["complete"]
    assert dataset["soc_mean"].dims == ("depth", "year", "y", "x")
    assert dataset["soc_mean"].attrs["units"] == "g kg-1"
    np.testing.assert_array_equal(dataset["depth_bounds"].values, DEPTHS)
    assert dataset["x"].attrs["standard_name"] == "longitude"
    assert dataset.rio.crs.to_epsg() == 4326
    mean, low, high = (dataset[f"soc_{s}"].values for s in ("mean", "q05", "q95"))
    mapped = np.isin(dataset["status"].values, [Status.SOIL, Status.ORGANIC])
    assert np.isfinite(mean[0, 0]).sum() == mapped.sum() > 200_000
    assert np.isnan(mean[0, 0][~mapped]).all()
    assert (low[..., mapped] <= high[..., mapped]).all()


def test_status_tells_sea_ice_and_holes_apart(made: Run) -> None:
    status = open_map(made.path)["status"].values
    assert (status[:, 480:] == Status.SEA).all()
    assert (status[505:, :70] == Status.ICE).all()
    assert (status[251:259, 52:98] == Status.INVALID_INPUT).all()
    assert not (status == Status.NOT_COMPUTED).any()


def test_values_are_those_of_the_model_on_the_samples_rows(made: Run, cube: Path) -> None:
    """The map in a cell equals the model's row prediction with the covariates of that cell."""
    from edaphos.engine.cube.cube import Cube
    from edaphos.engine.models.forest import ForestModel
    from edaphos.engine.sampling import draw_samples

    from .worlds import make_table

    table = make_table(rows=90, seed=5)
    table[["top_cm", "bottom_cm"]] = DEPTHS[1]
    samples, _ = draw_samples(table, Cube.open(cube), made.grid, ("temperature", "relief"))
    expected = ForestModel.load(made.model_folder).predict_rows(samples)["soc_mean"]
    row, col, _ = made.grid.locate(samples.table["lon"], samples.table["lat"])
    mapped = open_map(made.path)["soc_mean"].values[1, 0, row, col]
    on_soil = ~((samples.table["lat"] < 10) & (samples.table["lon"] < 7.5)).to_numpy()  # not on ice
    assert on_soil.sum() > 60
    np.testing.assert_allclose(mapped[on_soil], expected[on_soil], atol=0.0051)


def test_two_processes_write_the_same_bytes_as_one_thread(made: Run, cube: Path, tmp_path) -> None:
    run = make_run(tmp_path / "run", world_grid(256), cube)
    with connect(ClusterSpec(workers=2)) as two:
        produce(run, two)
    assert objects(run) == objects(made)


def test_a_scheduler_that_already_stands_makes_the_same_bytes(made, cube, tmp_path) -> None:
    run = make_run(tmp_path / "run", world_grid(256), cube)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as standing,
        connect(ClusterSpec(kind=standing.scheduler_address)) as client,
    ):
        produce(run, client)
    assert objects(run) == objects(made)


def test_tile_sizes_give_the_same_values(made: Run, cube: Path, client, tmp_path) -> None:
    run = make_run(tmp_path / "run", world_grid(512), cube)
    produce(run, client)
    ours, theirs = open_map(run.path), open_map(made.path)
    for name in ("soc_mean", "soc_q05", "soc_q50", "soc_q95", "status"):
        np.testing.assert_array_equal(ours[name].values, theirs[name].values)


def test_a_finished_run_is_left_alone_and_damage_is_mended(cube: Path, client, tmp_path) -> None:
    run = make_run(tmp_path / "run", world_grid(256), cube)
    first = produce(run, client)
    before = objects(run)
    assert (first.tiles, first.skipped) == (6, 0)
    again = produce(run, client)
    assert (again.tiles, again.skipped) == (0, 6)
    victim = run.path / MAP / "soc_mean" / "c" / "0" / "0" / "1" / "0"
    victim.write_bytes(victim.read_bytes()[:100])
    assert any("soc_mean" in str(problem) for problem in verify_map(run))
    assert not open_map(run.path).attrs["complete"] or verify_map(run)
    mended = produce(run, client)
    assert (mended.tiles, mended.skipped) == (1, 5)
    assert objects(run) == before
    assert verify_map(run) == []


def test_a_tile_without_soil_is_finished_without_being_scheduled(cube, client, tmp_path) -> None:
    run = make_run(tmp_path / "run", world_grid(96), cube)
    produce(run, client)
    outcomes = {record.tile: record.outcome for record in Ledger(run.path).records()}
    assert outcomes["0000-0006"] == "empty"
    keys = list_objects(run.path / MAP)
    assert "status/c/0/6" in keys
    assert not any(key.startswith("soc_mean/c/0/0/0/6") for key in keys)


def test_a_tile_that_fails_twice_is_set_aside(cube: Path, client, tmp_path, monkeypatch) -> None:
    from edaphos.engine import tiles

    run = make_run(tmp_path / "run", world_grid(256), cube)
    real = tiles.make_tile

    def sabotaged(context, tile):
        if tile.name == "0001-0001":
            raise ValueError("the disk said no")
        return real(context, tile)

    monkeypatch.setattr(tiles, "make_tile", sabotaged)
    with pytest.raises(RunError, match=r"1 tile\(s\) failed 2 times.*0001-0001.*the disk said no"):
        produce(run, client)
    assert len(Ledger(run.path).finished()) == 8
    assert Ledger(run.path).failures() == {"0001-0001": 2}
    assert not open_map(run.path).attrs["complete"]
    monkeypatch.setattr(tiles, "make_tile", real)
    assert produce(run, client).tiles == 1
    assert open_map(run.path).attrs["complete"]


def test_a_folder_with_another_run_is_refused(made: Run, cube: Path) -> None:
    with pytest.raises(InputError, match=r"another run: seed is null there and 5 here"):
        make_run(made.path, world_grid(256), cube, seed=5)


def test_a_cube_that_changed_under_a_run_is_refused(tmp_path, client) -> None:
    first = make_cube(tmp_path / "a.zarr")
    run = make_run(tmp_path / "run", world_grid(256), first)
    other = make_cube(tmp_path / "b.zarr", seed=9)
    run.note(cube=str(other))
    with pytest.raises(InputError, match="the cube changed since the run"):
        produce(run, client)


def test_the_manifest_cannot_be_of_the_future(made: Run, tmp_path) -> None:
    manifest = json.loads((made.path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "schema": 99}))
    with pytest.raises(InputError, match="schema 99 is newer"):
        Run.open(tmp_path)
