"""One run of the command line under chaos: start it, look at it, wait for it, judge what it left.

What is judged is read from the run folder itself (the ledger's files, the map's objects), so that
the engine's own idea of what is done is not asked whether it is right.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import psutil

from edaphos.engine.map_store import MAP
from edaphos.engine.place import Place
from edaphos.engine.store import checksum, list_objects

from .chaos_clock import Clock
from .chaos_world import ChaosWorld

#: Seconds that any single start of a run may take before it counts as hanging.
PATIENCE = 240.0
WORKERS, TILES_AT_ONCE = 2, 2


class Job:
    """A run of the disturbed map.

    Parameters
    ----------
    world
        The map.
    out
        The run's folder, or its address in a bucket.
    environment
        Set for the processes of the run, over this process's own.
    options
        Further options of ``edaphos run``.
    clock
        The wall clock that the run goes by, where it is to be set.
    """

    def __init__(
        self,
        world: ChaosWorld,
        out: Place,
        environment: Mapping[str, str] | None = None,
        options: tuple[str, ...] = (),
        clock: Clock | None = None,
    ) -> None:
        self.world, self.out, self.options, self.clock = world, out, options, clock
        self.environment = {**(environment or {}), **(clock.environment if clock else {})}
        self.process: subprocess.Popen[bytes] | None = None
        self.log = world.folder / f"{out.name}.log"
        self.starts = 0

    # -- life --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start, or continue, the run in a session of its own."""
        command = [sys.executable, "-m", "edaphos.recipes.cli", "run", str(self.world.recipe)]
        command += ["--out", str(self.out), "--workers", str(WORKERS), "--quiet", *self.options]
        self.starts += 1
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.world.folder,
                env={**os.environ, **self.environment},
                start_new_session=True,
                stdout=log,
                stderr=log,
            )

    @property
    def running(self) -> subprocess.Popen[bytes]:
        """The client's process."""
        assert self.process is not None
        return self.process

    def alive(self) -> bool:
        """Whether the client has not ended."""
        return self.running.poll() is None

    def wait(self) -> int:
        """Return the exit status; a run that does not end in good time is killed and raises."""
        try:
            return self.running.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise RuntimeError(f"hung for {PATIENCE:g} s; it said: {self.said()}") from None

    def workers(self) -> list[psutil.Process]:
        """Return the processes that compute."""
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.running.pid).children(recursive=True)
            return [c for c in children if _is_worker(c)]
        return []

    def kill_all(self) -> None:
        """Kill every process of the session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.running.pid, signal.SIGKILL)
        self.running.wait()

    def said(self) -> str:
        """Return the end of what the run printed."""
        return self.log.read_text(errors="replace").strip()[-600:] if self.log.exists() else ""

    # -- what it left ------------------------------------------------------------------------------

    def finished(self) -> int:
        """Return how many tiles count as finished."""
        return len(self.records())

    def wait_for(self, tiles: int, seconds: float = PATIENCE) -> None:
        """Return when so many tiles are finished, or the client has ended."""
        until = time.monotonic() + seconds
        while self.alive() and self.finished() < tiles and time.monotonic() < until:
            time.sleep(0.05)

    def records(self) -> list[str]:
        """Return the names of the ledger's records of finished tiles."""
        names = list_objects(self.out / "ledger")
        return [n for n in names if n.split(".")[1:2] in (["done"], ["empty"])]

    def recorded(self) -> list[dict[str, Any]]:
        """Return the objects that count as written: key, size, checksum."""
        found: list[dict[str, Any]] = []
        for name in self.records():
            with contextlib.suppress(FileNotFoundError):  # a run that lives may take one back
                found += json.loads((self.out / "ledger" / name).read_text())["objects"]
        return found

    def wrongs(self, reference: Mapping[str, str]) -> list[str]:
        """Return what counts as written and is not what the undisturbed run wrote."""
        wrong = []
        for item in self.recorded():
            key = item["key"]
            try:
                data = (self.out / MAP / key).read_bytes()
            except FileNotFoundError:
                wrong.append(f"{key}: recorded, and missing")
                continue
            if checksum(data) != item["crc32c"] or len(data) != item["size"]:
                wrong.append(f"{key}: not as recorded")
            elif checksum(data) != reference.get(key):
                wrong.append(f"{key}: recorded, and not what the undisturbed run wrote")
        return wrong

    def objects(self) -> dict[str, str]:
        """Return the checksum of each object of the map."""
        folder = self.out / MAP
        return {key: checksum((folder / key).read_bytes()) for key in list_objects(folder)}


def edaphos(world: ChaosWorld, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run another command of the command line and return what came of it."""
    return subprocess.run(
        [sys.executable, "-m", "edaphos.recipes.cli", *arguments],
        cwd=world.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def can_repair() -> bool:
    """Whether ``edaphos map verify`` has the option ``--repair``."""
    command = [sys.executable, "-m", "edaphos.recipes.cli", "map", "verify", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    return "--repair" in shown.stdout


def _is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return any("spawn_main" in part for part in process.cmdline())
    return False
