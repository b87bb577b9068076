"""Handing tiles to a cluster: a bounded window of tasks, second attempts, and reasons to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from distributed import Client, Future

from .errors import EdaphosError, RunError, Stopped, StoreError
from .grid import tile_name
from .ledger import Ledger, Record
from .observer import Observer
from .progress import QUIET, Reporter
from .run import Run
from .tiles import active_tiles, failed_tile, produce_tile

#: Attempts before a tile is set aside.
ATTEMPTS = 2
#: Tasks with the scheduler for each worker thread: one running, one ready.
IN_FLIGHT_PER_THREAD = 2
#: Failures of the store in a row, none of which is a tile's fault, before the run stops.
STORE_FAILURES = 4
#: Seconds between looks at the number of workers and at reasons to stop.
LOOK_EVERY = 1.0
#: Seconds that running tiles are waited for when a run is asked to stop.
DRAIN_SECONDS = 3600.0

#: Row and column of a tile.
TilePlace = tuple[int, int]


@dataclass
class Dispatcher:
    """The tiles of one call of ``produce`` on their way.

    A tile that takes its worker down is tried again after all others, alone, so that it cannot
    take its neighbours along or be blamed for them.

    Parameters
    ----------
    client, run, observer, reporter
        Where tiles are made, of what, and who looks on.
    resources
        Dask resources that a tile asks of its worker, such as ``{"GPU": 0.5}``.
    """

    client: Client
    run: Run
    observer: Observer
    reporter: Reporter = QUIET
    resources: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ended: SimpleQueue[tuple[TilePlace, Future]] = SimpleQueue()
        self._running: dict[Future, TilePlace] = {}
        self._attempts: dict[TilePlace, int] = {}
        self._submitted = 0
        self._store_failures = 0
        self._threads = 0
        self._waiting = False
        self._looked = float("-inf")
        self._ledger = Ledger(self.run.path)

    def records(self, todo: Sequence[TilePlace]) -> Iterator[Record]:
        """Yield a record for each tile, in the order in which they end.

        Raises
        ------
        Stopped
            The observer asked for it; running tiles are finished first.
        StoreError
            The store failed again and again.
        RunError
            The scheduler is gone.
        InputError
            A worker cannot work on this run at all.
        """
        suspects: list[TilePlace] = []
        yield from self._window(todo, self._wide, suspects)
        if suspects:
            yield from self._window(list(suspects), lambda: 1, None)

    def _window(
        self, todo: Sequence[TilePlace], width: Callable[[], int], suspects: list[TilePlace] | None
    ) -> Iterator[Record]:
        waiting = iter(todo)
        again: list[TilePlace] = []
        exhausted = False
        while True:
            self._check()
            while not exhausted and len(self._running) < width():
                place = again.pop() if again else next(waiting, None)
                if place is None:
                    exhausted = True
                else:
                    self._submit(place)
            if not self._running:
                return
            try:
                place, future = self._ended.get(timeout=LOOK_EVERY)
            except Empty:
                continue
            if future not in self._running:
                continue
            del self._running[future]
            record, died = self._result(place, future)
            if record.store:
                self._store_failed(record)
                again.append(place)
                exhausted = False
                continue
            self._store_failures = 0
            self.observer.ended(record)
            if record.outcome == "failed" and self._attempts[place] < ATTEMPTS:
                if died and suspects is not None:
                    suspects.append(place)
                else:
                    again.append(place)
                    exhausted = False
                continue
            yield record

    def _submit(self, place: TilePlace) -> None:
        self._attempts[place] = self._attempts.get(place, 0) + 1
        self._submitted += 1
        name = tile_name(*place)
        future = self.client.submit(
            produce_tile,
            str(self.run.path.absolute()),
            self.run.hash,
            *place,
            key=f"tile-{name}-{self.run.hash[:8]}-{self._submitted}",
            pure=False,
            retries=ATTEMPTS,
            resources=dict(self.resources) or None,
        )
        self._running[future] = place
        self.observer.submitted(name)
        future.add_done_callback(lambda ended: self._ended.put((place, ended)))

    def _result(self, place: TilePlace, future: Future) -> tuple[Record, bool]:
        """Return what became of a tile, and whether it took its worker down."""
        try:
            record: Record = future.result()
        except EdaphosError:
            raise  # no fault of this tile: every worker would say so
        except Exception as error:
            if future.status == "cancelled" or self.client.status != "running":
                raise RunError(
                    f"the Dask scheduler lost tile {tile_name(*place)} ({error}); everything "
                    "finished is kept, run again to continue"
                ) from error
            words = f"{type(error).__name__}: {error}"
            record = failed_tile(self.run.grid.tile(*place), words)
            self._ledger.write(record)
            return record, True
        finally:
            future.release()
        return record, False

    def _store_failed(self, record: Record) -> None:
        self._attempts[_place(record.tile)] -= 1
        self._store_failures += 1
        if self._store_failures >= STORE_FAILURES:
            self.client.cancel(list(self._running))
            raise StoreError(
                f"{record.store}. {STORE_FAILURES} tiles in a row could not be read or written, "
                "so the run stops here; everything finished is kept. Mend it and run again"
            )

    # -- looking around -------------------------------------------------------------------------

    def _wide(self) -> int:
        """How many tasks may be with the scheduler; looked up now and then as workers come and go.

        One where there is no worker yet: it makes an adaptive cluster start some.
        """
        now = time.monotonic()
        if now - self._looked >= LOOK_EVERY * 5:
            self._looked = now
            self._threads = sum(self.client.nthreads().values())
            if not self._threads and not self._waiting:
                self.reporter.say("waiting for a worker; tiles start when one comes")
            self._waiting = not self._threads
        return max(IN_FLIGHT_PER_THREAD * self._threads, 2)

    def _check(self) -> None:
        if self.client.status != "running":
            raise RunError(
                "the Dask scheduler is gone; everything finished is kept, run again to continue"
            )
        reason = self.observer.stop_reason()
        if reason is not None:
            self._drain()
            raise Stopped(f"{reason}; everything finished is kept, run again to continue")

    def _drain(self) -> None:
        """Take back what has not begun, and wait for what has: its records lie in the ledger."""
        self.client.cancel(list(self._running), force=False)
        until = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < until and self.client.status == "running":
            # a worker that dies meanwhile works on nothing
            told = self.client.run(active_tiles, on_error="ignore")
            active = [t for tiles in told.values() for t in tiles]
            if not active:
                return
            time.sleep(0.2)


def _place(name: str) -> TilePlace:
    row, _, col = name.partition("-")
    return int(row), int(col)
