"""``edaphos status`` and ``edaphos stop``, from a run's folder alone."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from edaphos.engine.errors import RunError, Stopped
from edaphos.engine.land import save_index
from edaphos.engine.lease import LEASE, Holder, read_holder
from edaphos.engine.ledger import LEDGER, Ledger, Record
from edaphos.engine.place import Place, place
from edaphos.engine.process_id import ProcessId
from edaphos.engine.run import Run
from edaphos.engine.run_progress import Progress, TileState
from edaphos.engine.run_status import run_status
from edaphos.engine.store import write_atomically
from edaphos.engine.watch import STOP, Pace, Watch
from edaphos.recipes import watch_cli
from edaphos.recipes.cli import app
from edaphos.recipes.tile_map import tile_map

ELSEWHERE = Holder("0" * 32, ProcessId("node7", 4711, "another-boot", "pid:[1]", 99), 5)
QUICK = Pace(beat=0.1, expiry=1.0, every=0.05)


def make(folder: Place) -> Place:
    """A run of 2 by 3 tiles, four with soil: one done, one failed; two without soil, recorded."""
    Run.start(folder, {"recipe": {"title": "A map"}}, {})
    save_index(folder, np.array([[100, 0, 50], [25, 25, 0]]))
    ledger = Ledger(folder)
    for tile in ("0000-0001", "0001-0002"):
        ledger.write(Record(tile, "empty"))
    ledger.write(Record("0000-0000", "done"))
    ledger.write(Record("0001-0001", "failed", error="Traceback …\nValueError: odd rain"))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = make(tmp_path / "run")
    assert isinstance(made, Path)
    return made


def edaphos(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def dead() -> Holder:
    """A holder of this machine that is over."""
    died = subprocess.Popen([sys.executable, "-c", ""])
    died.wait()
    return replace(ELSEWHERE, process=replace(ProcessId.here(), pid=died.pid))


def test_a_run_that_goes(folder: Path) -> None:
    with Watch(Run.open(folder), pace=QUICK) as watch:
        watch.stage("map")
        watch.begin(["0000-0002", "0001-0000"], ["0000-0000", "0000-0001"])
        watch.submitted("0001-0000")
        watch.ended(Record("0000-0002", "done", seconds={"read": 90.0}, peak_memory=2**30))
        Ledger(folder).write(Record("0000-0002", "done"))
        time.sleep(0.3)
        told = json.loads(edaphos("status", folder, "--json"))
        text = edaphos("status", folder)
    assert (told["state"], told["sure"], told["stage"]) == ("running", True, "map")
    assert (told["total"], told["done"], told["running"], told["failed"]) == (4, 2, 1, 1)
    assert told["tiles"] == {"no_land": 2, "waiting": 0, "done": 2, "running": 1, "failed": 1}
    assert told["failures"] == {"0001-0001": "ValueError: odd rain"}
    assert told["rate"] > 0
    assert told["eta"] > 0
    assert "tiles: 2 of 4 (50.0 %), 1 with the cluster, 1 failed" in text
    assert "failed 0001-0001: ValueError: odd rain" in text
    assert "worker time: read 1 min 30 s" in text
    assert "1,024 MiB" in text


def test_runs_that_are_over(folder: Path) -> None:
    assert run_status(folder).state == "unwatched"
    Progress(state="failed", reason="1 tile failed").write(folder)
    found = run_status(folder)
    assert (found.state, found.reason, found.sure) == ("failed", "1 tile failed", True)
    Progress(state="running").write(folder)  # no lease, so nobody is there to end it
    assert (run_status(folder).state, run_status(folder).sure) == ("died", True)
    Progress(state="finished").write(folder)  # of a region
    assert run_status(folder).state == "stopped"
    for tile in ("0000-0002", "0001-0000", "0001-0001"):
        Ledger(folder).write(Record(tile, "done"))
    found = run_status(folder)
    assert (found.state, found.done, found.failed) == ("finished", 4, 0)


def test_a_dead_process_of_this_machine_is_known_to_be_dead(folder: Path) -> None:
    Progress(state="running", running=("0000-0002",)).write(folder)
    write_atomically(folder / LEASE, dead().to_json())
    found = run_status(folder)
    assert (found.state, found.sure) == ("died", True)
    assert found.running == 0


def test_of_a_run_elsewhere_nothing_is_known_without_looking_twice(folder: Path) -> None:
    Progress(state="running", running=("0000-0002",)).write(folder)
    write_atomically(folder / LEASE, ELSEWHERE.to_json())
    said = run_status(folder)
    assert (said.state, said.sure, said.running) == ("running", False, 1)
    assert "node7" in said.reason
    now, slept = 0.0, 0

    def sleep(seconds: float) -> None:
        nonlocal now, slept
        now, slept = now + seconds, slept + 1

    still = run_status(folder, 60, clock=lambda: now, sleep=sleep)
    assert (still.state, still.sure) == ("died", False)
    assert slept == 60

    def beats(seconds: float) -> None:
        write_atomically(folder / LEASE, replace(ELSEWHERE, counter=6).to_json())

    lives = run_status(folder, 60, clock=lambda: now, sleep=beats)
    assert (lives.state, lives.sure) == ("running", True)


def test_finished_records_are_not_read(folder: Path) -> None:
    """What a status costs does not grow with the tiles: their records may even be unreadable."""
    for path in (folder / LEDGER).glob("*.done.*"):
        path.write_text("no record at all")
    assert run_status(folder).done == 1


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    for command in ("status", "stop"):
        result = CliRunner().invoke(app, [command, str(tmp_path)])
        assert result.exit_code == 2
        assert "holds no run" in result.output


def test_a_submitted_run_that_has_not_begun(tmp_path: Path) -> None:
    (tmp_path / "submit").mkdir()
    (tmp_path / "submit" / "job.json").write_text('{"schema": 1, "job": "77"}')
    assert "Slurm job 77" in edaphos("status", tmp_path)
    assert json.loads(edaphos("status", tmp_path, "--json"))["state"] == "submitted"


@pytest.mark.parametrize(
    ("ends", "told"),
    [(Stopped("as wished"), "has stopped; run again"), (None, "has finished meanwhile")],
)
def test_stop_ends_a_run(folder: Path, ends: Exception | None, told: str) -> None:
    def work() -> None:
        with suppress(Stopped), Watch(Run.open(folder), pace=QUICK) as watch:
            while watch.stop_reason() is None:
                time.sleep(0.05)
            if ends is not None:  # else the last tile was on its way
                raise ends

    running = threading.Thread(target=work)
    running.start()
    while read_holder(folder) is None:
        time.sleep(0.02)
    time.sleep(0.2)  # an old wish is thrown away at the begin
    assert told in edaphos("stop", folder)
    running.join()
    assert not (folder / STOP).exists()
    assert read_holder(folder) is None


def test_stop_where_nothing_runs(folder: Path) -> None:
    assert "nothing runs there" in edaphos("stop", folder)
    write_atomically(folder / LEASE, dead().to_json())
    assert "has died" in edaphos("stop", folder)
    assert not (folder / STOP).exists()


def test_stop_does_not_wait_for_ever(folder: Path) -> None:
    write_atomically(folder / LEASE, ELSEWHERE.to_json())
    assert "was asked to stop" in edaphos("stop", folder, "--no-wait")
    assert json.loads((folder / STOP).read_text())["by"]
    slept: list[float] = []
    with pytest.raises(RunError, match="gave no sign of life"):
        watch_cli.stop_run(folder, True, lambda words: None, slept.append)
    assert sum(slept) == pytest.approx(60, abs=1)


def test_stop_cancels_a_job_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs stand in for Slurm's: one job that is pending until it is cancelled."""
    programs = tmp_path / "bin"
    programs.mkdir()
    cancelled = tmp_path / "cancelled"
    for name, script in {
        "squeue": f"test -e {cancelled} || echo PENDING",
        "scancel": f'echo "$@" > {cancelled}',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    run = tmp_path / "run"
    (run / "submit").mkdir(parents=True)
    (run / "submit" / "job.json").write_text('{"schema": 1, "job": "77"}')
    assert "Slurm job 77, which was pending, is cancelled" in edaphos("stop", run)
    assert cancelled.read_text() == "77\n"
    assert "nothing runs there" in edaphos("stop", run)


def test_a_scheduler_that_does_not_answer_is_not_taken_for_a_job_that_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, run = tmp_path / "bin", tmp_path / "run"
    programs.mkdir()
    squeue = programs / "squeue"
    squeue.touch(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    (run / "submit").mkdir(parents=True)
    (run / "submit" / "job.json").write_text('{"schema": 1, "job": "77"}')
    squeue.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact it' >&2; exit 1\n")
    result = CliRunner().invoke(app, ["stop", str(run)])
    assert result.exit_code == 1
    assert "squeue tells nothing of job 77" in result.output
    squeue.write_text(
        "#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1\n"
    )
    assert "nothing runs there" in edaphos("stop", run)


def test_a_run_in_a_bucket(s3_folder: str) -> None:
    folder = make(place(s3_folder))
    with Watch(Run.open(folder), pace=QUICK):
        told = json.loads(edaphos("status", s3_folder, "--json"))
        assert (told["state"], told["done"], told["failed"]) == ("running", 1, 1)
    assert json.loads(edaphos("status", s3_folder, "--json"))["state"] == "stopped"


def test_the_map_in_the_terminal() -> None:
    states = np.array([[2, 3, 1], [4, 0, 2], [2, 2, 2]], np.uint8)
    plain = Console(file=io.StringIO(), width=3, color_system=None)
    wide = Console(file=io.StringIO(), width=80, color_system="truecolor", force_terminal=True)
    assert tile_map(np.kron(states, np.ones((8, 8), np.uint8)), plain).plain.splitlines()[0]
    text = tile_map(states, wide)
    lines = text.plain.splitlines()
    assert lines[0] == "▀" * 12  # each tile four wide
    assert len(lines) == 7
    colours = {span.style.color.name for span in text.spans if span.style.color}
    assert len(colours) == len(TileState)
    letters = tile_map(states, Console(file=io.StringIO(), width=80, color_system=None))
    assert letters.plain.splitlines()[0] == "####>>>>...."
    assert letters.plain.splitlines()[4] == "xxxx    ####"


def test_a_world_of_tiles_fits_a_terminal() -> None:
    states = np.ones((169, 338), np.uint8)
    console = Console(file=io.StringIO(), width=80, color_system="truecolor", force_terminal=True)
    lines = tile_map(states, console).plain.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 26
