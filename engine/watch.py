"""Watching a run from beside it: lease, log, progress file, live page, and the wish to stop.

The client's loop only tells what happened; files are written by a thread of their own every few
seconds, so that neither many tiles nor a slow store hold the map up. A store that fails here is
noted and tried again: nothing of this is needed for the map to be right.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import numpy as np
from distributed import Client

from .errors import EdaphosError, Stopped
from .land import load_index
from .lease import BEAT, EXPIRY, Lease, take
from .ledger import Record
from .place import Place
from .products.progress_page import progress_page
from .progress import QUIET, Reporter
from .run import Run, versions
from .run_log import RunLog, blot
from .run_progress import REPORT, Progress, State, tile_states
from .store import write_atomically
from .ticker import Ticker

STOP = "stop.json"
PAGE = "report.html"
#: Seconds between two writings of the progress, and looks for the wish to stop.
EVERY = 5.0
#: Seconds between two writings of the page.
PAGE_EVERY = 30.0
#: Seconds that the rate is taken over.
LATELY = 600.0
#: Seconds that the scheduler is given to tell its workers.
ANSWERS_WITHIN = 3.0


@dataclass(frozen=True)
class Pace:
    """How often a watch does what, seconds."""

    beat: float = BEAT
    expiry: float = EXPIRY
    every: float = EVERY
    page: float = PAGE_EVERY


@dataclass
class _Counts:
    """What the client's loop has told so far."""

    cells: dict[str, int] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)
    running: dict[str, None] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    phases: dict[str, float] = field(default_factory=dict)
    workers: set[str] = field(default_factory=set)
    cells_done: int = 0
    cells_due: int = 0
    retries: int = 0
    peak_memory: int = 0


class Watch:
    """Watches a run while the block lasts; an :class:`~edaphos.engine.observer.Observer`.

    Parameters
    ----------
    run
        The run; its folder is there already.
    reporter
        Told of what concerns the lease, and once where a file cannot be written.
    client
        Asked now and then for the number of workers.
    page
        Keep a live page in the report's place.
    pace
        How often what is done.

    Raises
    ------
    RunError
        On entering: another run works in the folder.
    """

    def __init__(
        self,
        run: Run,
        reporter: Reporter = QUIET,
        *,
        client: Client | None = None,
        page: bool = False,
        pace: Pace | None = None,
    ) -> None:
        self._run, self._reporter, self._client, self._page = run, reporter, client, page
        self._pace = pace or Pace()
        self._log = RunLog(run.path)
        self._lock, self._paging = threading.Lock(), threading.Lock()
        self._paged = page
        self._tiles = _Counts()
        self._progress = Progress(host=platform.node(), pid=os.getpid())
        self._samples: deque[tuple[float, int]] = deque()
        self._grid_counts = np.zeros((0, 0), np.int64)
        self._started = time.monotonic()
        self._page_written = float("-inf")
        self._stop: str | None = None
        self._troubled = False
        self._lease: Lease | None = None
        self._around = ExitStack()

    # -- the block ------------------------------------------------------------------------------

    def __enter__(self) -> Watch:
        with ExitStack() as around:
            lease = take(self._run.path, self._reporter, expiry=self._pace.expiry)
            self._lease = lease
            around.callback(self._quietly, lease.release)
            around.enter_context(
                Ticker(self._pace.beat, lease.beat, self._trouble, "edaphos-lease")
            )
            # a wish of before this run began is none of it
            self._quietly(lambda: (self._run.path / STOP).unlink(missing_ok=True))
            self.event("started", run=self._run.hash, versions=versions(), holder=str(lease.holder))
            self._look()
            self._looks = Ticker(self._pace.every, self._look, self._trouble, "edaphos-watch")
            around.enter_context(self._looks)
            self._around = around.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        state: State = "failed"
        if error is None:
            state = "finished"
        elif isinstance(error, Stopped | KeyboardInterrupt | SystemExit):
            state = "stopped"
        reason = "" if error is None else blot(_words(error))
        with self._around:
            self._looks.stop()  # the last word is this thread's
            self.event(state, reason=reason, tiles=len(self._tiles.finished))
            with self._lock:
                self._tiles.running.clear()
                self._progress = replace(self._progress, state=state, reason=reason)
            self._page_written = float("-inf")
            if error is not None:
                self._page = self._paged  # no report took its place
            self._quietly(self._look)
            if self._stop is not None and not (self._lease and self._lease.lost):
                self._quietly(lambda: (self._run.path / STOP).unlink(missing_ok=True))

    def stage(self, name: str) -> None:
        """Note which stage begins; from that of the report on, the page is left alone."""
        if name == REPORT:
            with self._paging:
                self._page = False
        with self._lock:
            self._progress = replace(self._progress, stage=name)
        self.event("stage", stage=name)

    def event(self, name: str, **facts: Any) -> None:
        """Note an event in the log."""
        self._log.event(name, **facts)

    # -- what the loop tells --------------------------------------------------------------------

    def begin(self, todo: Collection[str], finished: Collection[str]) -> None:
        """Note the tiles to be made by this call, and those found finished."""
        counts = load_index(self._run.path)
        assert counts is not None  # it is made before any tile is
        with_soil = {
            f"{row:04d}-{col:04d}": int(counts[row, col]) for row, col in np.argwhere(counts > 0)
        }
        with self._lock:
            self._grid_counts = counts
            self._tiles.cells = with_soil
            self._tiles.finished = set(finished) & with_soil.keys()
            self._tiles.errors.clear()
            self._tiles.cells_done = sum(with_soil[name] for name in self._tiles.finished)
            # a call may make a part of the map only
            due = sum(with_soil.get(name, 0) for name in todo)
            self._tiles.cells_due = self._tiles.cells_done + due
            self._samples.clear()
            self._samples.append((time.monotonic(), self._tiles.cells_done))
        self.event("tiles", todo=len(todo), finished=len(self._tiles.finished))

    def submitted(self, tile: str) -> None:
        """Note that a tile went to the cluster."""
        with self._lock:
            self._tiles.running[tile] = None

    def ended(self, record: Record) -> None:
        """Note that a tile is done, or that an attempt at it failed."""
        tiles = self._tiles
        with self._lock:
            tiles.running.pop(record.tile, None)
            tiles.retries += record.retries
            tiles.peak_memory = max(tiles.peak_memory, record.peak_memory)
            if record.worker:
                tiles.workers.add(record.worker)
            for name, seconds in record.seconds.items():
                tiles.phases[name] = tiles.phases.get(name, 0.0) + seconds
            if record.outcome == "failed":
                tiles.errors[record.tile] = record.error
            elif record.tile not in tiles.finished:
                tiles.errors.pop(record.tile, None)
                tiles.finished.add(record.tile)
                tiles.cells_done += tiles.cells.get(record.tile, 0)
        self.event(
            "tile",
            tile=record.tile,
            outcome=record.outcome,
            cells=record.cells,
            seconds_by_phase=dict(record.seconds),
            peak_memory=record.peak_memory,
            retries=record.retries,
            worker=record.worker,
            **({"error": record.error} if record.error else {}),
        )

    def stop_reason(self) -> str | None:
        """Return why no further tile may be started; None to go on."""
        if self._lease is not None and self._lease.lost:
            return self._lease.lost
        return self._stop

    # -- beside the loop ------------------------------------------------------------------------

    def _look(self) -> None:
        """Look for the wish to stop; write what is new."""
        if self._lease is not None and self._lease.lost:
            self._quietly(self._log.flush)  # all other files are another run's now
            return
        progress, errors = self._snapshot()
        todo: list[Callable[[], object]] = [
            self._look_for_stop,
            lambda: progress.write(self._run.path),
            self._log.flush,
        ]
        now = time.monotonic()
        if self._page and now - self._page_written >= self._pace.page:
            self._page_written = now
            todo.append(lambda: self._write_page(progress, errors))
        for step in todo:
            self._quietly(step)

    def _look_for_stop(self) -> None:
        if self._stop is None and (wish := read_wish(self._run.path)) is not None:
            self._stop = f"stop was asked for by {wish}"
            self.event("stop", reason=self._stop)

    def _snapshot(self) -> tuple[Progress, dict[str, str]]:
        workers = self._workers()
        with self._lock:
            tiles, now = self._tiles, time.monotonic()
            self._samples.append((now, tiles.cells_done))
            while now - self._samples[0][0] > LATELY and len(self._samples) > 2:
                self._samples.popleft()
            then, before = self._samples[0]
            rate = (tiles.cells_done - before) / (now - then) if now > then else 0.0
            left = tiles.cells_due - tiles.cells_done
            self._progress = replace(
                self._progress,
                total=len(tiles.cells),
                done=len(tiles.finished),
                failed=len(tiles.errors),
                running=tuple(tiles.running),
                cells=sum(tiles.cells.values()),
                cells_done=tiles.cells_done,
                rate=round(rate, 1),
                eta=round(left / rate, 1) if rate > 0 and left > 0 else None,
                seconds=round(now - self._started, 1),
                phases={name: round(s, 3) for name, s in tiles.phases.items()},
                retries=tiles.retries,
                workers=workers or len(tiles.workers),
                peak_memory=tiles.peak_memory,
                counter=self._progress.counter + 1,
                time=datetime.now(UTC).isoformat(timespec="seconds"),
            )
            return self._progress, {tile: blot(error) for tile, error in tiles.errors.items()}

    def _workers(self) -> int:
        """Return the number of workers, 0 where nobody knows."""
        if self._client is not None and self._client.status == "running":
            with suppress(Exception):  # a scheduler that is going down answers with anything
                ask = self._client.scheduler.ncores
                return len(self._client.sync(ask, callback_timeout=ANSWERS_WITHIN))
        return 0

    def _write_page(self, progress: Progress, errors: dict[str, str]) -> None:
        with self._lock:
            counts, finished = self._grid_counts, set(self._tiles.finished)
        states = tile_states(counts, finished, errors.keys(), progress.running)
        recipe = self._run.identity.get("recipe", {})
        title = recipe.get("title") or recipe.get("name") or self._run.path.name
        text = progress_page(title, progress, states, errors)
        with self._paging:
            if self._page:
                write_atomically(self._run.path / PAGE, text)

    def _quietly(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:
            self._trouble(error)

    def _trouble(self, error: Exception) -> None:
        """Note that something beside the run failed; say it once."""
        words = blot(_words(error))
        self.event("trouble", error=words)
        if not self._troubled:
            self._troubled = True
            self._reporter.say(f"{words} (progress and log are late; the map goes on)")


def ask_to_stop(run: Place, by: str) -> None:
    """Leave the wish that a run stops; it is looked for every few seconds."""
    write_atomically(run / STOP, json.dumps({"schema": 1, "by": by}) + "\n")


def read_wish(run: Place) -> str | None:
    """Return who wished that a run stops; None where nobody did."""
    try:
        told = json.loads((run / STOP).read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return "somebody"
    return str(told.get("by", "somebody")) if isinstance(told, dict) else "somebody"


def _words(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "the process was asked to end"
    text = str(error).strip()
    if isinstance(error, EdaphosError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
