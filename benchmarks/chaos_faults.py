"""The faults: what is done to a run, and how many tiles it may cost to be made again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from edaphos.engine.map_store import MAP
from edaphos.engine.place import S3Path

from .chaos_job import TILES_AT_ONCE, WORKERS, Job, edaphos
from .servers import slurm

#: Tiles that are being made at any moment.
ALL = WORKERS * TILES_AT_ONCE
#: Tiles that a failing store costs: as many in a row as stop a run, and those being made then.
STORE_FAILS = 4 + ALL
#: Times that the clock is set in one fault.
JUMPS = 12


@dataclass(frozen=True)
class Fault:
    """A fault.

    Parameters
    ----------
    name
        In the table.
    act
        Does it to a run, and says what exactly was done; None where it came too late.
    again
        Tiles that may be made again for it: those that were being made.
    ends
        Whether the run ends by it, and is started again.
    offline
        Whether it is done between two runs: the run is killed first.
    """

    name: str
    act: Callable[[Job, random.Random], str | None]
    again: int
    ends: bool = False
    offline: bool = False


# -- processes -------------------------------------------------------------------------------------


def _signal_workers(
    job: Job, chance: random.Random, how_many: int, number: signal.Signals
) -> list[psutil.Process]:
    workers = job.workers()
    chosen = chance.sample(workers, min(how_many, len(workers)))
    struck = []
    for worker in chosen:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.send_signal(number)
            struck.append(worker)
    return struck


def kill_worker(job: Job, chance: random.Random) -> str | None:
    """SIGKILL one worker."""
    return "SIGKILL" if _signal_workers(job, chance, 1, signal.SIGKILL) else None


def kill_workers(job: Job, chance: random.Random) -> str | None:
    """SIGKILL all workers at once."""
    struck = _signal_workers(job, chance, WORKERS, signal.SIGKILL)
    return f"{len(struck)} x SIGKILL" if struck else None


def _to_client(number: signal.Signals) -> Callable[[Job, random.Random], str | None]:
    def act(job: Job, chance: random.Random) -> str | None:
        del chance
        if not job.alive():
            return None
        os.kill(job.running.pid, number)
        return number.name

    return act


def kill_group(job: Job, chance: random.Random) -> str | None:
    """SIGKILL client and workers at once."""
    del chance
    if not job.alive():
        return None
    job.kill_all()
    return "SIGKILL"


def stop_worker(job: Job, chance: random.Random) -> str | None:
    """SIGSTOP a worker for some seconds."""
    seconds = chance.uniform(1, 5)
    struck = _signal_workers(job, chance, 1, signal.SIGSTOP)
    time.sleep(seconds)
    for worker in struck:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.send_signal(signal.SIGCONT)
    return f"{seconds:.1f} s" if struck else None


def stop_client(job: Job, chance: random.Random) -> str | None:
    """SIGSTOP the client for some seconds; its workers go on."""
    if not job.alive():
        return None
    seconds = chance.uniform(1, 5)
    os.kill(job.running.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(job.running.pid, signal.SIGCONT)
    return f"{seconds:.1f} s"


# -- jobs of Slurm ---------------------------------------------------------------------------------


def _slurm_job(chance: random.Random) -> str | None:
    jobs = slurm.call("squeue", "--noheader", "--states=RUNNING", "--format=%i").split()
    return chance.choice(sorted(jobs)) if jobs else None


def kill_job(job: Job, chance: random.Random) -> str | None:
    """SIGKILL all processes of a job that workers run in, by Slurm."""
    number = _slurm_job(chance)
    if not job.alive() or number is None:
        return None
    slurm.call("scancel", "--signal=KILL", "--full", number)
    return f"job {number}"


def cancel_job(job: Job, chance: random.Random) -> str | None:
    """Cancel a job that workers run in, as the end of its walltime does."""
    number = _slurm_job(chance)
    if not job.alive() or number is None:
        return None
    slurm.call("scancel", number)
    return f"job {number}"


def kill_job_processes(job: Job, chance: random.Random) -> str | None:
    """SIGKILL the processes of a job behind Slurm's back, as a node out of memory does."""
    number = _slurm_job(chance)
    if not job.alive() or number is None:
        return None
    listed = slurm.call("scontrol", "listpids", number).splitlines()[1:]
    pids = [int(line.split()[0]) for line in listed]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            if pid > 0:
                os.kill(pid, signal.SIGKILL)
    return f"job {number}, {len(pids)} processes" if pids else None


# -- what is stored --------------------------------------------------------------------------------


def _recorded_object(job: Job, chance: random.Random) -> str | None:
    keys = sorted(item["key"] for item in job.recorded())
    return chance.choice(keys) if keys else None


def _write(job: Job, key: str, data: bytes) -> None:
    where = job.out / MAP / key
    where.write_bytes(data)


def truncate(job: Job, chance: random.Random) -> str | None:
    """Cut a recorded object short; the size tells the next start."""
    key = _recorded_object(job, chance)
    if key is None:
        return None
    data = (job.out / MAP / key).read_bytes()
    left = chance.randrange(len(data))
    _write(job, key, data[:left])
    return f"{key}: {left} of {len(data)} bytes left"


def delete(job: Job, chance: random.Random) -> str | None:
    """Delete a recorded object."""
    key = _recorded_object(job, chance)
    if key is not None:
        (job.out / MAP / key).unlink()
    return key


def flip(job: Job, chance: random.Random) -> str | None:
    """Flip one bit of a recorded object: ``map verify --repair`` must find it."""
    key = _recorded_object(job, chance)
    if key is None:
        return None
    data = bytearray((job.out / MAP / key).read_bytes())
    bit = chance.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    _write(job, key, bytes(data))
    _find_and_repair(job, key)
    return f"{key}: bit {bit}"


def _find_and_repair(job: Job, name: str) -> None:
    """Have what was damaged found, and mended, by ``map verify``."""
    found = edaphos(job.world, "map", "verify", str(job.out))
    if found.returncode != 1 or name not in found.stderr:
        raise AssertionError(f"{name} was damaged, and `map verify` did not tell: {found.stderr}")
    options = ("--repair", "--workers", str(WORKERS))
    repaired = edaphos(job.world, "map", "verify", str(job.out), *options)
    if repaired.returncode != 0:
        raise AssertionError(f"{name}: `map verify --repair` failed: {repaired.stderr}")


def cut_record(job: Job, chance: random.Random) -> str | None:
    """Cut a ledger record short, as a dying disk might: ``map verify --repair`` must find it."""
    names = sorted(job.records())
    if not names:
        return None
    path = job.out / "ledger" / chance.choice(names)
    data = path.read_bytes()
    path.write_bytes(data[: chance.randrange(len(data))])
    _find_and_repair(job, path.name)
    return path.name


# -- the machine -----------------------------------------------------------------------------------


def fill_disk(job: Job, chance: random.Random) -> str | None:
    """Fill the disk that the run lies on until the run has ended; then free it."""
    del chance
    if not job.alive() or isinstance(job.out, S3Path):
        return None
    filler = job.out.parent / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    try:
        status = job.wait()
    finally:
        filler.unlink()
    if status == 0:
        return None
    return f"the run ended with {status}"


def jump_clock(job: Job, chance: random.Random) -> str | None:
    """Set the clock of client and workers days ahead or back, many times, while they run.

    What a jump can break may last but milliseconds: messages that wait to be sent together.
    """
    assert job.clock is not None
    if not job.alive():
        return None
    jumps = [chance.choice([-400, -3, 3, 40]) for _ in range(JUMPS)]
    for days in jumps:
        job.clock.set(days * 86400)
        time.sleep(chance.uniform(0, 0.1))
    return f"{', '.join(f'{days:+d}' for days in jumps)} days"


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("worker killed", kill_worker, TILES_AT_ONCE),
        Fault("all workers killed", kill_workers, ALL),
        Fault("client killed", _to_client(signal.SIGKILL), ALL, ends=True),
        Fault("client interrupted", _to_client(signal.SIGINT), ALL, ends=True),
        Fault("client terminated", _to_client(signal.SIGTERM), ALL, ends=True),
        Fault("all processes killed", kill_group, ALL, ends=True),
        Fault("worker stopped", stop_worker, 0),
        Fault("client stopped", stop_client, 0),
        Fault("Slurm job killed", kill_job, TILES_AT_ONCE),
        Fault("Slurm job cancelled", cancel_job, TILES_AT_ONCE),
        Fault("Slurm job's processes killed", kill_job_processes, TILES_AT_ONCE),
        Fault("object cut short", truncate, 1 + ALL, offline=True),
        Fault("object deleted", delete, 1 + ALL, offline=True),
        Fault("bit flipped", flip, 1 + ALL, offline=True),
        Fault("record cut short", cut_record, 1 + ALL, offline=True),
        Fault("disk full", fill_disk, STORE_FAILS, ends=True),
        Fault("clock jumps", jump_clock, 0),
    )
}
