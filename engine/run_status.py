"""What a run's folder tells about the run, with no scheduler and no clock of another machine.

Read are the lease, the progress, the land index, one listing of the ledger and the records of
failed attempts: never the thousands of records of what is finished.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .land import load_index
from .lease import LEASE, Holder, read_holder
from .ledger import Entry, Ledger
from .place import Place
from .run import Run
from .run_log import blot
from .run_progress import Progress, TileState, tile_states

#: Failed tiles whose records are read for their reason.
REASONS = 20
#: Seconds between two looks at a lease.
_LOOK = 1.0

#: ``running`` is seen or said; ``died`` ended without a word; ``unwatched`` was never watched.
State = Literal["running", "finished", "stopped", "failed", "died", "unwatched"]


@dataclass(frozen=True)
class RunStatus:
    """How a run stands.

    Parameters
    ----------
    run
        Its folder.
    state, reason
        What it does or how it ended, and what makes one think so.
    sure
        Whether that is known, or only what the folder says: of a run on another machine nothing is
        known before its counter was seen to rise.
    stage
        The stage it is in, or was in last.
    total, done, failed, running
        Tiles with soil, the finished, the failed, and those that were with the cluster last.
    failures
        Why tiles failed: the last line of their tracebacks, of the first :data:`REASONS`.
    rate, eta
        Land cells a second, of late, and seconds left, as the run last said.
    phases, retries, workers, peak_memory
        As the run last said: worker seconds by phase, repeated requests, processes, bytes.
    seconds
        Seconds that the process has worked on the run, as it last said.
    said
        When that was, by the clock of the machine that runs, for people.
    states
        A :class:`~edaphos.engine.run_progress.TileState` for each tile.
    """

    run: str
    state: State
    reason: str
    sure: bool
    stage: str = ""
    total: int | None = None
    done: int = 0
    failed: int = 0
    running: int = 0
    failures: Mapping[str, str] = field(default_factory=dict)
    rate: float = 0.0
    eta: float | None = None
    phases: Mapping[str, float] = field(default_factory=dict)
    retries: int = 0
    workers: int = 0
    peak_memory: int = 0
    seconds: float = 0.0
    said: str = ""
    states: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible values; of the map only how many tiles are what."""
        told = {k: v for k, v in asdict(self).items() if k != "states"}
        counts = {s.name.lower(): int((self.states == s).sum()) for s in TileState}
        return {"schema": 1, **told, "tiles": counts}


def run_status(
    folder: Place,
    wait: float = 0.0,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> RunStatus:
    """Look how a run stands.

    Parameters
    ----------
    folder
        The run's folder.
    wait
        Seconds that the lease of a run elsewhere is looked at for a sign of life; as soon as there
        is one, waiting ends.
    clock, sleep
        A monotonic clock of this machine, and how to wait.

    Raises
    ------
    InputError
        The folder holds no run.
    """
    run = Run.open(folder)
    alive = Life.UNKNOWN if not (folder / LEASE).is_file() else life(folder, wait, clock, sleep)
    progress = Progress.read(folder)
    counts = load_index(folder)
    entries = Ledger(folder).entries()
    finished = {e.tile for e in entries if e.outcome != "failed"}
    broken = {e.tile: e for e in entries if e.outcome == "failed" and e.tile not in finished}
    running = progress.running if progress is not None else ()
    if counts is None:
        counts = np.zeros((0, 0), np.int64)
    held = (folder / LEASE).is_file()
    complete = counts.size > 0 and len(finished) >= counts.size
    state, reason, sure = _judged(held, read_holder(folder), alive, progress, complete)
    states = tile_states(counts, finished, broken, running if state == "running" else ())
    known = progress or _noted(run)
    return RunStatus(
        run=str(folder),
        state=state,
        reason=reason,
        sure=sure,
        stage=known.stage,
        total=int((counts > 0).sum()) if counts.size else None,
        done=int((states == TileState.DONE).sum()),
        failed=int((states == TileState.FAILED).sum()),
        running=int((states == TileState.RUNNING).sum()),
        failures=_reasons(folder, broken),
        rate=known.rate,
        eta=known.eta if state == "running" else None,
        phases=known.phases,
        retries=known.retries,
        workers=known.workers,
        peak_memory=known.peak_memory,
        seconds=known.seconds,
        said=known.time,
        states=states,
    )


class Life:
    """What looking at a lease can find of its holder."""

    ALIVE = "alive"
    DEAD = "dead"
    STILL = "still"
    GONE = "gone"
    UNKNOWN = "unknown"


def life(
    folder: Place,
    wait: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Return whether the holder of a lease lives, as one of the words of :class:`Life`.

    Of a process of this machine it is known. Of others the counter is looked at for `wait` seconds:
    ``still`` is what did not rise, ``unknown`` what was not looked at.
    """
    first = read_holder(folder)
    if first is not None and first.process.is_dead():
        return Life.DEAD
    if first is not None and first.process.is_alive():
        return Life.ALIVE
    if wait <= 0:
        return Life.UNKNOWN
    looked, last = 0.0, clock()
    while looked < wait:
        sleep(min(_LOOK, wait))
        now = read_holder(folder)
        if now is None:
            return Life.STILL if (folder / LEASE).is_file() else Life.GONE
        if now != first:
            return Life.ALIVE
        looked += min(clock() - last, 2 * _LOOK)  # this machine may have slept
        last = clock()
    return Life.STILL


def _judged(
    held: bool, holder: Holder | None, alive: str, progress: Progress | None, complete: bool
) -> tuple[State, str, bool]:
    """Return state, reason and whether it is sure."""
    who = str(holder or "an unreadable lease")
    if held and alive == Life.ALIVE:
        return "running", who, True
    if held and alive == Life.DEAD:
        return "died", f"{who} is not there any more; run again to continue", True
    if held and alive == Life.STILL:
        return "died", f"{who} gave no sign of life while it was looked at", False
    if held:
        return "running", f"{who}, as was last said; --wait looks whether it lives", False
    if progress is None:
        words = "the map is complete" if complete else "no run has been watched in this folder"
        return ("finished" if complete else "unwatched"), words, complete
    if progress.state == "running":
        if complete:
            return "finished", "the map is complete, though the run ended without a word", True
        return "died", "it ended without a word; run again to continue", True
    if progress.state == "finished" and not complete:
        return "stopped", "what was asked for is made, and not the whole map", True
    return progress.state, progress.reason, True


def _reasons(folder: Place, broken: Mapping[str, Entry]) -> dict[str, str]:
    """Return the last line of the last traceback of failed tiles."""
    ledger, found = Ledger(folder), {}
    for tile, entry in sorted(broken.items())[:REASONS]:
        try:
            lines = ledger.read(entry).error.strip().splitlines()
        except (InputError, FileNotFoundError) as error:  # the run may retry it at this moment
            lines = [str(error)]
        found[tile] = blot(lines[-1] if lines else "no traceback was recorded")
    return found


def _noted(run: Run) -> Progress:
    """Return what an unwatched run noted in its manifest."""
    noted = run.manifest()["provenance"].get("production", {})
    return Progress(
        phases=noted.get("phases", {}),
        workers=noted.get("workers", 0),
        peak_memory=noted.get("peak_memory", 0),
        seconds=noted.get("seconds", 0.0),
    )
