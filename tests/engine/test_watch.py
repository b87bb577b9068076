"""Watching a run: what its folder tells while it goes and after it ended, and how it is stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from distributed import Client, LocalCluster

from edaphos.engine import watch as watching
from edaphos.engine.errors import RunError, Stopped
from edaphos.engine.land import load_index, save_index
from edaphos.engine.lease import LEASE, read_holder
from edaphos.engine.ledger import Ledger, Record
from edaphos.engine.produce import produce
from edaphos.engine.products.progress_page import progress_page, tile_map
from edaphos.engine.progress import Reporter
from edaphos.engine.run import Run
from edaphos.engine.run_progress import Progress, TileState, shrunk, tile_states
from edaphos.engine.store import list_objects, write_atomically
from edaphos.engine.watch import PAGE, STOP, Pace, Watch, ask_to_stop

from .worlds import make_cube, make_run, world_grid

QUICK = Pace(beat=0.1, expiry=1.0, every=0.05, page=0.1)


@pytest.fixture(scope="module")
def cube(tmp_path_factory) -> Path:
    return make_cube(tmp_path_factory.mktemp("cube") / "world.zarr")


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as opened,
    ):
        yield opened


@pytest.fixture
def empty_run(tmp_path: Path) -> Run:
    """A run of 2 by 3 tiles, two of them without soil, that nothing was done for."""
    run = Run.start(tmp_path / "run", {"recipe": {"title": "A <small> map"}}, {})
    save_index(run.path, np.array([[100, 0, 50], [25, 25, 0]]))
    return run


def done(tile: str, **facts: object) -> Record:
    return Record(tile, "done", seconds={"read": 1.0, "predict": 3.0}, worker="a:1", **facts)


def log_of(run: Run) -> list[dict]:
    folder = run.path / "logs"
    text = "".join((folder / name).read_text() for name in sorted(list_objects(folder)))
    return [json.loads(line) for line in text.splitlines()]


def until(test: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def read(run: Run) -> Progress:
    progress = Progress.read(run.path)
    assert progress is not None
    return progress


def test_progress_counts_soil_cells_and_tiles(empty_run: Run) -> None:
    with Watch(empty_run, pace=QUICK) as watch:
        watch.stage("map")
        watch.begin(["0000-0002", "0001-0000", "0001-0001"], ["0000-0000", "0000-0001"])
        first = read(empty_run).counter
        watch.submitted("0000-0002")
        watch.submitted("0001-0000")
        watch.submitted("0001-0001")
        time.sleep(0.1)
        watch.ended(done("0000-0002", peak_memory=2**20, retries=2))
        watch.ended(Record("0001-0001", "failed", error="Traceback\nValueError: odd"))
        until(lambda: read(empty_run).failed == 1 and read(empty_run).rate > 0)
        told = read(empty_run)
        assert (told.state, told.stage) == ("running", "map")
        assert (told.total, told.done, told.failed) == (4, 2, 1)
        assert told.running == ("0001-0000",)
        assert (told.cells, told.cells_done) == (200, 150)
        assert told.eta == pytest.approx(50 / told.rate, abs=0.06)
        assert told.phases == {"read": 1.0, "predict": 3.0}
        assert (told.retries, told.workers, told.peak_memory) == (2, 1, 2**20)
        assert told.counter > first
        assert read_holder(empty_run.path) is not None
    assert read(empty_run).state == "finished"
    assert read(empty_run).running == ()
    assert read_holder(empty_run.path) is None
    assert not (empty_run.path / PAGE).exists()  # it was not asked for
    events = [line["event"] for line in log_of(empty_run)]
    assert events == ["started", "stage", "tiles", "tile", "tile", "finished"]
    assert log_of(empty_run)[4]["error"].endswith("ValueError: odd")


def test_time_left_is_that_of_the_tiles_asked_for(empty_run: Run) -> None:
    """A region's end is not the whole map's."""
    with Watch(empty_run, pace=QUICK) as watch:
        watch.begin(["0000-0000"], ["0001-0000"])
        watch.ended(done("0000-0000"))
        time.sleep(0.2)
        told = Progress.read(empty_run.path)
    assert told is not None
    assert (told.cells, told.cells_done) == (200, 125)
    assert told.eta is None, "nothing is left"


def test_the_wish_to_stop_is_heard_and_an_old_one_is_none(empty_run: Run) -> None:
    ask_to_stop(empty_run.path, "the past")
    with Watch(empty_run, pace=QUICK) as watch:
        time.sleep(0.2)
        assert watch.stop_reason() is None
        ask_to_stop(empty_run.path, "ann@desk")
        until(watch.stop_reason)
        assert watch.stop_reason() == "stop was asked for by ann@desk"
    assert not (empty_run.path / STOP).exists()


def test_how_a_run_ended_is_told(empty_run: Run) -> None:
    for error, state in (
        (Stopped("the night is over"), "stopped"),
        (KeyboardInterrupt(), "stopped"),
        (RunError("2 tiles failed"), "failed"),
        (ZeroDivisionError("by zero"), "failed"),
    ):
        with pytest.raises(type(error)), Watch(empty_run, pace=QUICK):
            raise error
        told = read(empty_run)
        assert told.state == state
        assert str(error) in told.reason
        assert read_holder(empty_run.path) is None


def test_a_run_that_was_asked_to_end_has_stopped_not_failed(empty_run: Run) -> None:
    with pytest.raises(SystemExit), Watch(empty_run, pace=QUICK):
        raise SystemExit(143)  # as SIGTERM does where no tiles are being made
    told = Progress.read(empty_run.path)
    assert told is not None
    assert (told.state, told.reason) == ("stopped", "the process was asked to end")


def test_a_second_run_in_the_folder_is_refused(empty_run: Run) -> None:
    with Watch(empty_run, pace=QUICK):
        before = read_holder(empty_run.path)
        with pytest.raises(RunError, match="another run works in this folder"):
            Watch(empty_run, pace=QUICK).__enter__()
        held = read_holder(empty_run.path)
        assert held is not None
        assert before is not None
        assert held.owner == before.owner


def test_a_run_that_lost_its_lease_stops_and_touches_nothing(empty_run: Run) -> None:
    with Watch(empty_run, pace=QUICK, page=True) as watch:
        until((empty_run.path / PAGE).exists)
        other = '{"owner": "other"}'
        write_atomically(empty_run.path / LEASE, other)
        until(watch.stop_reason)
        assert "another run took over" in str(watch.stop_reason())
        time.sleep(0.2)
        before = Progress.read(empty_run.path)
        time.sleep(0.2)
        assert Progress.read(empty_run.path) == before
    assert Progress.read(empty_run.path) == before
    assert (empty_run.path / LEASE).read_text() == other


def test_a_store_that_fails_is_told_once_and_stops_nothing(
    empty_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []

    class Heard(Reporter):
        def say(self, message: str) -> None:
            lines.append(message)

    def broken(self: Progress, run: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Progress, "write", broken)
    with Watch(empty_run, Heard(), pace=QUICK) as watch:
        time.sleep(0.3)
        assert watch.stop_reason() is None
    assert len(lines) == 1
    assert "no space left" in lines[0]
    assert read_holder(empty_run.path) is None


def test_telling_of_tiles_writes_nothing(empty_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Pace(beat=60, every=60, page=60)
    with Watch(empty_run, pace=slow) as watch:
        watch.begin(["0000-0002"], [])

        def forbidden(*_: object) -> None:
            raise AssertionError("a file was written")

        with monkeypatch.context() as patch:
            patch.setattr(watching, "write_atomically", forbidden)
            patch.setattr("edaphos.engine.run_log.write_atomically", forbidden)
            patch.setattr("edaphos.engine.run_progress.write_atomically", forbidden)
            started = time.perf_counter()
            for _ in range(2000):
                watch.submitted("0000-0002")
                watch.ended(done("0000-0002"))
                assert watch.stop_reason() is None
            assert (time.perf_counter() - started) / 2000 < 0.005


def test_the_page_shows_tiles_and_failures_and_loads_itself_again(empty_run: Run) -> None:
    with Watch(empty_run, pace=QUICK, page=True) as watch:
        watch.begin(["0000-0002", "0001-0000"], ["0000-0000"])
        watch.submitted("0001-0000")
        watch.ended(Record("0000-0002", "failed", error="Traceback\nValueError: <odd> & end"))
        until(lambda: "odd" in (empty_run.path / PAGE).read_text())
        page = (empty_run.path / PAGE).read_text()
        assert 'http-equiv="refresh"' in page
        assert "A &lt;small&gt; map" in page
        assert "&lt;odd&gt; &amp; end" in page
        assert "<odd>" not in page
        assert "http://" not in page
        assert "https://" not in page
    page = (empty_run.path / PAGE).read_text()
    assert 'http-equiv="refresh"' not in page
    assert "odd" in page


def test_the_map_of_tiles_draws_each_tile_once() -> None:
    states = np.array([[2, 3, 1], [4, 2, 2]], np.uint8)
    svg = ElementTree.fromstring(tile_map(states))[0]
    drawn = {path.get("class"): path.get("d") for path in svg if path.tag == "path"}
    assert drawn == {
        "t-done": "M0 0h1v1h-1zM1 1h2v1h-2z",
        "t-running": "M1 0h1v1h-1z",
        "t-waiting": "M2 0h1v1h-1z",
        "t-failed": "M0 1h1v1h-1z",
    }
    page = progress_page("a map", Progress(), np.zeros((0, 0), np.uint8), {})
    assert "not known yet" in page


def test_states_of_tiles() -> None:
    counts = np.array([[5, 0, 5], [5, 5, 0]])
    states = tile_states(
        counts, ["0000-0000", "0000-0001"], ["0001-0000", "0000-0000"], ["0001-0001", "9999-0000"]
    )
    s = TileState
    np.testing.assert_array_equal(
        states, [[s.DONE, s.NO_LAND, s.WAITING], [s.FAILED, s.RUNNING, s.NO_LAND]]
    )


def test_a_shrunk_map_hides_no_failure() -> None:
    states = np.full((100, 200), TileState.DONE, np.uint8)
    states[57, 133] = TileState.FAILED
    states[:10, :10] = TileState.NO_LAND
    states[90:, :10] = TileState.WAITING
    small = shrunk(states, 10, 20)
    assert small.shape == (10, 20)
    assert small[5, 13] == TileState.FAILED
    assert (small == TileState.FAILED).sum() == 1
    assert small[0, 0] == TileState.NO_LAND
    assert small[9, 0] == TileState.WAITING
    assert (small == TileState.DONE).sum() == 197
    np.testing.assert_array_equal(shrunk(states[:7, :7], 10, 20), states[:7, :7])


def test_a_real_run_is_stopped_and_continued(tmp_path, cube: Path, client: Client) -> None:
    run = make_run(tmp_path / "run", world_grid(64), cube)

    class StopsSoon(Watch):
        def ended(self, record: Record) -> None:
            super().ended(record)
            if len(Ledger(run.path).finished()) > 20 and not (run.path / STOP).exists():
                ask_to_stop(run.path, "a test")

    with (
        pytest.raises(Stopped, match="asked for by a test"),
        StopsSoon(run, client=client, pace=QUICK, page=True) as watch,
    ):
        produce(run, client, observer=watch)
    told, counts = read(run), load_index(run.path)
    assert counts is not None
    assert told.state == "stopped"
    assert 0 < told.done < told.total == (counts > 0).sum()
    before = Ledger(run.path).finished()
    with Watch(run, client=client, pace=QUICK) as watch:
        produce(run, client, observer=watch)
    told = read(run)
    assert told.state == "finished"
    assert told.done == told.total
    assert told.cells_done == told.cells == counts.sum()
    assert told.workers == 1
    assert told.peak_memory > 2**20
    after = Ledger(run.path).finished()
    assert {name: after[name] for name in before} == before
