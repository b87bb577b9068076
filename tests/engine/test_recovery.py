"""What a run survives, what it stops for, and that nothing wrong counts as done."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster

from edaphos.engine import tiles
from edaphos.engine.cluster import ClusterSpec, connect
from edaphos.engine.dispatch import Dispatcher
from edaphos.engine.errors import InputError, RunError, Stopped, StoreError
from edaphos.engine.ledger import Ledger, Record
from edaphos.engine.map_store import MAP, create_map
from edaphos.engine.map_view import open_map
from edaphos.engine.observer import Nobody
from edaphos.engine.place import Place, place
from edaphos.engine.produce import is_complete, produce
from edaphos.engine.recovery import clear_unfinished, forget_tiles, tiles_within, verify_map
from edaphos.engine.run import GridSpec, Run, files_digest, versions
from edaphos.engine.store import StoredObject, checksum, list_objects
from edaphos.engine.whole_folder import whole_folder

from .worlds import make_cube, make_run, world_grid


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


def objects(run: Place) -> dict[str, str]:
    folder = run / MAP
    return {key: checksum((folder / key).read_bytes()) for key in list_objects(folder)}


def shard(run: Run) -> Path:
    path = run.path / MAP / "soc_mean" / "c" / "0" / "0" / "1" / "0"
    assert isinstance(path, Path)
    return path


def test_a_bucket_holds_the_same_objects_as_a_folder(made, cube, client, s3_folder) -> None:
    run = make_run(place(s3_folder) / "run", world_grid(256), cube)
    produce(run, client)
    assert objects(run.path) == objects(made.path)
    assert verify_map(run) == []
    secret = os.environ["AWS_SECRET_ACCESS_KEY"].encode()
    assert not any(secret in (run.path / key).read_bytes() for key in list_objects(run.path))
    theirs, ours = open_map(made.path), open_map(run.path)
    assert ours.attrs["complete"]
    np.testing.assert_array_equal(ours["soc_mean"].values, theirs["soc_mean"].values)
    assert produce(run, client).tiles == 0


def test_a_cut_object_in_a_bucket_is_made_anew(made, cube, client, s3_folder) -> None:
    run = make_run(place(s3_folder) / "run", world_grid(256), cube)
    produce(run, client)
    victim = run.path / MAP / "soc_q05/c/0/0/0/0"
    victim.write_bytes(victim.read_bytes()[:-9])
    assert produce(run, client).tiles == 1
    assert objects(run.path) == objects(made.path)


def test_a_flipped_bit_is_found_by_its_checksum_and_made_anew(cube, client, tmp_path) -> None:
    run = make_run(tmp_path / "run", world_grid(256), cube)
    produce(run, client)
    before = objects(run.path)
    data = bytearray(shard(run).read_bytes())
    data[len(data) // 2] ^= 1
    shard(run).write_bytes(data)
    assert produce(run, client).tiles == 0  # sizes alone cannot tell
    with pytest.raises(ValueError, match=r"(?i)checksum|zstd|crc"):
        _ = open_map(run.path)["soc_mean"].values
    problems = verify_map(run)
    assert [problem.tile for problem in problems] == ["0001-0000"]
    forget_tiles(run, {problem.tile for problem in problems})
    assert produce(run, client).tiles == 1
    assert objects(run.path) == before


def test_a_damaged_record_is_found_and_its_tile_made_anew(cube, client, tmp_path) -> None:
    run = make_run(tmp_path / "run", world_grid(256), cube)
    produce(run, client)
    before, ledger = objects(run.path), Ledger(run.path)
    path = ledger.folder / ledger.finished()["0000-0001"].name
    path.write_text(path.read_text().replace('"crc32c": "', '"crc32c": "0', 1))
    assert [p.tile for p in verify_map(run) if "record" in p.text] == ["0000-0001"]
    forget_tiles(run, {"0000-0001"})
    produce(run, client)
    assert objects(run.path) == before
    assert verify_map(run) == []


def test_an_object_nobody_recorded_is_removed(cube, client, tmp_path) -> None:
    run = make_run(tmp_path / "run", world_grid(256), cube)
    produce(run, client)
    before = objects(run.path)
    forget_tiles(run, {"0001-0000"})
    assert clear_unfinished(run) == []
    assert not shard(run).exists()
    produce(run, client)
    assert objects(run.path) == before


def test_a_record_cannot_name_an_object_outside_the_map() -> None:
    record = Record("0000-0000", "done", (StoredObject("../../.bashrc", 1, "00000000"),))
    with pytest.raises(InputError, match="no key of an object"):
        Record.from_json(record.to_json())


def test_an_edited_manifest_is_refused(made, tmp_path) -> None:
    manifest = json.loads((made.path / "manifest.json").read_text())
    manifest["identity"]["years"] = [1999]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="somebody edited it"):
        Run.open(tmp_path)


def test_a_full_disk_stops_the_run_and_sets_no_tile_aside(
    made, cube, client, tmp_path, monkeypatch
) -> None:
    run = make_run(tmp_path / "run", world_grid(256), cube)
    real, written = tiles.write_tile, []

    def full(store: Any, window: Any, *rest: Any) -> dict[str, int]:
        if len(written) >= 2:
            raise OSError(errno.ENOSPC, "No space left on device", "/maps")
        written.append(window)
        return real(store, window, *rest)

    monkeypatch.setattr(tiles, "write_tile", full)
    with pytest.raises(StoreError, match=r"No space left on device.*everything finished is kept"):
        produce(run, client)
    assert Ledger(run.path).failures() == {}
    assert len([r for r in Ledger(run.path).records() if r.outcome == "done"]) == 2
    monkeypatch.setattr(tiles, "write_tile", real)
    assert produce(run, client).tiles == 4
    assert objects(run.path) == objects(made.path)


def test_a_run_that_is_asked_to_stop_finishes_what_it_began(made, cube, client, tmp_path) -> None:
    class Impatient(Nobody):
        done = 0

        def ended(self, record: Record) -> None:
            self.done += 1

        def stop_reason(self) -> str | None:
            return "the time is over" if self.done >= 2 else None

    run = make_run(tmp_path / "run", world_grid(256), cube)
    with pytest.raises(Stopped, match="the time is over; everything finished is kept"):
        produce(run, client, observer=Impatient())
    kept = [r for r in Ledger(run.path).records() if r.outcome == "done"]
    assert 2 <= len(kept) < 6
    assert verify_map(run) == []
    assert produce(run, client).tiles == 6 - len(kept)
    assert objects(run.path) == objects(made.path)


def test_a_crash_while_tiles_are_forgotten_leaves_none_that_nobody_makes_again(
    cube, client, tmp_path, monkeypatch
) -> None:
    run = make_run(tmp_path / "run", world_grid(16, 1.0), cube)
    produce(run, client)
    before = objects(run.path)
    empty = {e.tile for e in Ledger(run.path).entries() if e.outcome == "empty"}
    assert empty
    real = Ledger.forget

    def cut_off(ledger: Ledger, entries: Any) -> None:
        real(ledger, entries)
        raise KeyboardInterrupt

    monkeypatch.setattr(Ledger, "forget", cut_off)
    with pytest.raises(KeyboardInterrupt):
        forget_tiles(run, empty)
    monkeypatch.setattr(Ledger, "forget", real)
    produce(run, client)
    assert is_complete(run)
    assert objects(run.path) == before


def test_a_worker_that_dies_while_a_run_stops_does_not_change_why_it_stopped(made) -> None:
    """A batch job comes back only if it stopped, not if it failed."""

    class Dying:
        status = "running"

        def cancel(self, futures: Any, force: bool) -> None:
            pass

        def run(self, function: Any, on_error: str = "raise") -> dict[str, Any]:
            if on_error == "raise":  # as Dask does of a worker that went
                raise OSError("Timed out trying to connect to tcp://10.0.0.1:4000")
            return {}

    class Ending(Nobody):
        def stop_reason(self) -> str | None:
            return "the time is over"

    dispatcher = Dispatcher(cast(Client, Dying()), made, Ending())
    with pytest.raises(Stopped, match="the time is over"):
        list(dispatcher.records([(0, 0)]))


def test_a_failed_tile_tells_no_credential(made, monkeypatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ACCESSKEY77")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRETKEY7777")
    error = "OSError: GET http://me:mine@host?k=ACCESSKEY77&s=SECRETKEY7777"
    text = tiles.failed_tile(made.grid.tile(0, 0), error).to_json()
    assert "GET http://***@host?k=***&s=***" in text


def test_a_worker_that_read_the_model_before_it_was_changed_is_refused(
    cube, client, tmp_path, monkeypatch
) -> None:
    file = tmp_path / "aging.py"
    file.write_text(KILLER.replace("Killer", "Aging").replace("killer", "aging"))
    monkeypatch.syspath_prepend(str(tmp_path))

    def start(name: str) -> Run:
        digest = json.loads((cube / "cube.json").read_text())["digest"]
        held = {
            "grid": {**GridSpec.of(world_grid(256)).__dict__},
            "years": [2020],
            "model": {"kind": "aging:Aging", "source": files_digest([file])},
            "cube": {"digest": digest},
        }
        run = Run.start(tmp_path / name, held, {"cube": str(cube)})
        with whole_folder(run.model_folder) as folder:
            (folder / "aging.json").write_text("{}")
        return run

    run = start("first")
    assert tiles.run_context(str(run.path), run.hash).model.kind == "aging:Aging"
    file.write_text(file.read_text().replace("12.5", "25.0"))
    run = start("second")
    with pytest.raises(
        InputError, match=r'another text of the model "aging:Aging".*start it again'
    ):
        tiles.run_context(str(run.path), run.hash)


def test_a_worker_with_other_packages_is_refused(cube, client, tmp_path) -> None:
    held = {**versions(), "numpy": "1.0"}
    run = make_run(tmp_path / "run", world_grid(256), cube, versions=held)
    with pytest.raises(InputError, match=r'numpy is "1.0" there .*same environment'):
        produce(run, client)


KILLER = '''
import json, os, signal
import numpy as np
from edaphos.engine.models.protocol import Emits, Output, Reads

class Killer:
    """Takes its process down at one tile."""
    kind = "killer:Killer"
    reads = Reads(("relief",))
    emits = Emits((Output("soc_mean", "g kg-1", "mean"),), depths=((0, 30),))
    def fit(self, samples):
        return self
    def predict(self, inputs):
        if (inputs.window.row0, inputs.window.col0) == (256, 0):
            os.kill(os.getpid(), signal.SIGKILL)
        return {"soc_mean": np.full(inputs.out_shape(1), 12.5)}
    def save(self, folder):
        (folder / "killer.json").write_text("{}")
    @classmethod
    def load(cls, folder):
        return cls()
'''


def test_a_tile_that_kills_its_worker_is_set_aside_and_its_neighbours_are_not(
    cube, tmp_path, monkeypatch
) -> None:
    (tmp_path / "killer.py").write_text(KILLER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    from edaphos.engine.models.protocol import model_class

    grid, model = world_grid(256), model_class("killer:Killer")()
    digest = json.loads((cube / "cube.json").read_text())["digest"]
    held = {
        "grid": {**GridSpec.of(grid).__dict__},
        "years": [2020],
        "model": {"kind": "killer:Killer"},
        "cube": {"digest": digest},
    }
    run = Run.start(tmp_path / "run", held, {"cube": str(cube)})
    with whole_folder(run.model_folder) as folder:
        model.save(folder)
    create_map(run.path, grid, model.emits, run.years, {"title": "killed"})
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        connect(ClusterSpec(workers=1)) as client,
        pytest.raises(RunError, match=r"1 tile\(s\) failed 2 times.*0001-0000.*KilledWorker"),
    ):
        produce(run, client)
    done = {r.tile for r in Ledger(run.path).records() if r.outcome == "done"}
    assert len(done) == 5
    failed = next(e for e in Ledger(run.path).entries() if e.outcome == "failed")
    assert Ledger(run.path).read(failed).window == (256, 0, 256, 256)


def test_a_region_is_made_and_made_anew(made, cube, client, tmp_path) -> None:
    run = make_run(tmp_path / "run", world_grid(256), cube)
    box = (1.0, 40.0, 20.0, 55.0)  # x of 25.6 and y of 34.4 are where tiles meet
    assert list(tiles_within(run, box)) == ["0000-0000"]
    assert produce(run, client, only=set(tiles_within(run, box))).tiles == 1
    forget_tiles(run, set(tiles_within(run, box)))
    assert produce(run, client, only={"0000-0000"}).tiles == 1
    assert produce(run, client).tiles == 5
    assert objects(run.path) == objects(made.path)
    with pytest.raises(InputError, match="expected west < east"):
        list(tiles_within(run, (5, 0, 1, 9)))
