"""The lease: one run in a folder, whoever died, slept or raced for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edaphos.engine.errors import RunError
from edaphos.engine.lease import LEASE, Holder, Lease, read_holder, take
from edaphos.engine.place import Place, place
from edaphos.engine.process_id import ProcessId
from edaphos.engine.progress import Reporter
from edaphos.engine.store import write_atomically

#: Takes the lease of a folder, says so, and beats until its input ends.
HOLDER = """
import sys, threading
from pathlib import Path
from edaphos.engine.errors import RunError
from edaphos.engine.lease import take
from edaphos.engine.ticker import Ticker

try:
    lease = take(Path(sys.argv[1]), expiry=float(sys.argv[2]))
except RunError as error:
    print("refused", error, flush=True)
else:
    print("taken", lease.holder.owner, flush=True)
    with Ticker(0.2, lease.beat, print):
        sys.stdin.read()
    print("lost" if lease.lost else "kept", flush=True)
"""


class Clock:
    """A clock that goes on by what is slept, and by what happens meanwhile."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.meanwhile = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()


class Heard(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


def elsewhere(counter: int = 5) -> Holder:
    """A holder on another machine."""
    far = ProcessId("node7", 4711, "another-boot", "pid:[1]", 99)
    return Holder("0" * 32, far, counter)


def begin(folder: Path, expiry: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), str(expiry)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@contextmanager
def ended(*processes: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_lease_is_taken_kept_and_given_back(tmp_path: Path) -> None:
    lease = take(tmp_path)
    held = read_holder(tmp_path)
    assert held == lease.holder
    assert held.process == ProcessId.here()
    assert held.process.is_alive()
    lease.beat()
    assert read_holder(tmp_path) == replace(held, counter=1)
    lease.release()
    assert list(tmp_path.iterdir()) == []
    lease.release()  # nothing is left to release


def test_a_counter_that_rises_is_another_run(tmp_path: Path) -> None:
    write_atomically(tmp_path / LEASE, elsewhere(5).to_json())
    clock = Clock()
    clock.meanwhile = lambda: write_atomically(tmp_path / LEASE, elsewhere(6).to_json())
    with pytest.raises(RunError, match="process 4711 on node7") as error:
        take(tmp_path, clock=clock, sleep=clock.sleep)
    assert "edaphos stop" in str(error.value)
    assert read_holder(tmp_path) == elsewhere(6)


@pytest.mark.parametrize("text", [elsewhere().to_json(), "{}", "half a li"])
def test_a_lease_that_stays_still_is_taken_over(tmp_path: Path, text: str) -> None:
    write_atomically(tmp_path / LEASE, text)
    clock, heard = Clock(), Heard()
    lease = take(tmp_path, heard, clock=clock, sleep=clock.sleep, expiry=60)
    assert 60 <= clock.now - 1000 <= 62
    assert read_holder(tmp_path) == lease.holder
    assert len(heard.lines) == 1  # waiting is announced once


def test_a_clock_that_jumps_expires_nothing(tmp_path: Path) -> None:
    """Both machines slept for a day; the holder beats some seconds after they wake."""
    write_atomically(tmp_path / LEASE, elsewhere(5).to_json())
    clock, looks = Clock(), 0

    def meanwhile() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            clock.now += 86400
        if looks == 9:
            write_atomically(tmp_path / LEASE, elsewhere(6).to_json())

    clock.meanwhile = meanwhile
    with pytest.raises(RunError, match="node7"):
        take(tmp_path, clock=clock, sleep=clock.sleep)


def test_wall_clocks_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_time() -> float:
        raise AssertionError("the time of day was asked for")

    write_atomically(tmp_path / LEASE, elsewhere().to_json())
    monkeypatch.setattr(time, "time", no_time)
    os.utime(tmp_path / LEASE, (4e9, 4e9))  # a file from the future
    clock = Clock()
    lease = take(tmp_path, clock=clock, sleep=clock.sleep)
    lease.beat()
    lease.release()


def test_a_lost_lease_is_noticed_and_left_alone(tmp_path: Path) -> None:
    lease = take(tmp_path)
    assert lease.lost is None
    write_atomically(tmp_path / LEASE, elsewhere().to_json())
    lease.beat()
    assert lease.lost is not None
    assert "node7" in lease.lost
    lease.release()
    assert read_holder(tmp_path) == elsewhere()


def test_a_lease_that_was_tidied_away_is_put_back(tmp_path: Path) -> None:
    lease = take(tmp_path)
    (tmp_path / LEASE).unlink()
    lease.beat()
    assert lease.lost is None
    assert read_holder(tmp_path) == lease.holder


def test_a_dead_holder_of_this_machine_is_replaced_at_once(tmp_path: Path) -> None:
    died = subprocess.Popen([sys.executable, "-c", ""])
    here = replace(ProcessId.here(), pid=died.pid)
    died.wait()
    write_atomically(tmp_path / LEASE, Holder("1" * 32, here).to_json())
    # a number that is used again is another process
    reused = Holder("2" * 32, replace(ProcessId.here(), started=1))

    def no_sleep(seconds: float) -> None:
        raise AssertionError("waited for the dead")

    take(tmp_path, sleep=no_sleep)
    write_atomically(tmp_path / LEASE, reused.to_json())
    take(tmp_path, sleep=no_sleep)


def test_a_halted_holder_loses_its_lease_and_says_so_when_it_wakes(tmp_path: Path) -> None:
    holder = begin(tmp_path, 60)
    with ended(holder):
        assert said(holder).startswith("taken")
        with pytest.raises(RunError, match=f"process {holder.pid}"):
            take(tmp_path, expiry=30)
        holder.send_signal(signal.SIGSTOP)
        lease = take(tmp_path, expiry=2)
        lease.beat()
        holder.send_signal(signal.SIGCONT)
        time.sleep(0.6)  # it beats every 0.2 s
        assert holder.communicate("")[0] == "lost\n"
        lease.beat()
        assert lease.lost is None
        assert read_holder(tmp_path) == lease.holder


def test_of_processes_that_race_for_a_dead_lease_one_gets_it(tmp_path: Path) -> None:
    died = subprocess.Popen([sys.executable, "-c", ""])
    died.wait()
    gone = Holder("1" * 32, replace(ProcessId.here(), pid=died.pid))
    write_atomically(tmp_path / LEASE, gone.to_json())
    racers = [begin(tmp_path, 60) for _ in range(2)]
    with ended(*racers):
        words = [said(racer).split()[0] for racer in racers]
        assert sorted(words) == ["refused", "taken"]


def race(folder: Place, racers: int) -> list[Lease | RunError]:
    """Let threads take one lease in the same moment; those who got it beat."""
    gate = threading.Barrier(racers)

    def run(_: int) -> Lease | RunError:
        gate.wait()
        try:
            lease = take(folder, expiry=30)
        except RunError as error:
            return error
        for _ in range(20):
            time.sleep(0.2)
            lease.beat()
        return lease

    with ThreadPoolExecutor(racers) as pool:
        return list(pool.map(run, range(racers)))


@pytest.mark.parametrize("held", [False, True])
def test_of_eight_that_race_on_a_disk_one_gets_it(tmp_path: Path, held: bool) -> None:
    if held:
        here = replace(ProcessId.here(), started=1)
        write_atomically(tmp_path / LEASE, Holder("1" * 32, here).to_json())
    leases = [got for got in race(tmp_path, 8) if isinstance(got, Lease)]
    assert len(leases) == 1
    assert leases[0].lost is None
    assert read_holder(tmp_path) == leases[0].holder


@pytest.mark.parametrize("held", [False, True])
def test_of_eight_that_race_in_a_bucket_one_gets_it(moto_folder: str, held: bool) -> None:
    folder = place(moto_folder)
    if held:
        here = replace(ProcessId.here(), started=1)
        write_atomically(folder / LEASE, Holder("1" * 32, here).to_json())
    leases = [got for got in race(folder, 8) if isinstance(got, Lease)]
    assert len(leases) == 1
    assert leases[0].lost is None
    assert read_holder(folder) == leases[0].holder


def test_a_store_without_conditions_gives_advice_only(s3_folder: str) -> None:
    folder, heard = place(s3_folder), Heard()
    first = take(folder, heard)
    assert any("advisory" in line for line in heard.lines)
    write_atomically(folder / LEASE, elsewhere().to_json())  # as one would that came in between
    first.beat()
    assert first.lost is not None
    assert read_holder(folder) == elsewhere()
