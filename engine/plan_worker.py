"""What a worker does for a plan: it makes a tile as for a run, and tells what that took."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import zarr
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from .boundary import Boundary
from .cube.cube import Cube
from .cube.stack_reader import StackReader
from .ledger import Ledger
from .place import Place
from .store import zarr_store
from .tiles import RunContext, make_tile, run_context


@dataclass(frozen=True)
class Measured:
    """What one tile took.

    Parameters
    ----------
    read, predict, write, record
        Seconds of the tile's phases, and of entering it in the ledger.
    stored_read, stored_written
        Bytes that came from the cube's store, and that went to the map's, compressed.
    objects
        Objects written.
    delayed
        Seconds in which the tile's thread could have run, but other work had the cores (0 where the
        system does not tell).
    opened
        Seconds of opening run, cube and model before the tile, near 0 but for a worker's first.
    peak_memory
        Largest resident memory of the worker so far, bytes.
    """

    read: float
    predict: float
    write: float
    record: float
    stored_read: int
    stored_written: int
    objects: int
    delayed: float
    opened: float
    peak_memory: int

    @property
    def seconds(self) -> float:
        """Worker-seconds, as a run's ledger sums them: read, predict and write."""
        return self.read + self.predict + self.write


def measure_tile(run: str, run_hash: str, row: int, col: int) -> Measured:
    """Make one tile of a run, enter it in the ledger, and return what that took."""
    started = time.perf_counter()
    context, cube = _counted(run, run_hash)
    opened = time.perf_counter() - started
    cube.counter.begin()
    delayed = _delayed()
    record = make_tile(context, context.grid.tile(row, col))
    delayed = _delayed() - delayed
    read = cube.counter.end()
    started = time.perf_counter()
    Ledger(context.run.path).write(record)
    return Measured(
        read=record.seconds["read"],
        predict=record.seconds["predict"],
        write=record.seconds["write"],
        record=time.perf_counter() - started,
        stored_read=read,
        stored_written=sum(item.size for item in record.objects),
        objects=len(record.objects),
        delayed=delayed,
        opened=opened,
        peak_memory=record.peak_memory,
    )


@lru_cache(maxsize=1)
def _counted(run: str, run_hash: str) -> tuple[RunContext, _CountedCube]:
    context = run_context(run, run_hash)
    held = context.cube
    cube = _CountedCube(held.path, held.manifest, held.boundary)
    return replace(context, cube=cube), cube


def _delayed() -> float:
    """Return the seconds that this thread has waited for a core so far, 0 where nobody counts."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


# -- counting what comes from the cube -------------------------------------------------------------


class _Counter:
    """Bytes read from the cube, by the tile that asked for them.

    Zarr fetches on a thread of its own, so bytes cannot be told apart by thread: tiles that read at
    once share what comes, in equal parts.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, float] = {}

    def begin(self) -> None:
        """Note that this thread begins a tile."""
        with self._lock:
            self._open[threading.get_ident()] = 0.0

    def add(self, size: int) -> None:
        """Count bytes for the tiles begun."""
        with self._lock:
            for thread in self._open:
                self._open[thread] += size / len(self._open)

    def end(self) -> int:
        """Return the bytes of this thread's tile."""
        with self._lock:
            return round(self._open.pop(threading.get_ident(), 0.0))


class _CountingStore(WrapperStore[Store]):
    """A store that counts the bytes read through it."""

    def __init__(self, store: Store, counter: _Counter) -> None:
        super().__init__(store)
        self._counter = counter

    def _with_store(self, store: Store) -> _CountingStore:
        return _CountingStore(store, self._counter)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        found = await self._store.get(key, prototype, byte_range)
        if found is not None:
            self._counter.add(len(found))
        return found


class _CountedReader(StackReader):
    """A reader of a stack whose bytes are counted."""

    def __init__(self, root: Place, stack: Any, counter: _Counter) -> None:
        super().__init__(root, stack)
        store = _CountingStore(zarr_store(root, read_only=True), counter)
        self._array = zarr.open_array(
            store=store, path=f"{stack.path}/values", mode="r", zarr_format=3
        )


class _CountedCube(Cube):
    """A cube that counts the bytes read from its store."""

    def __init__(self, path: Place, manifest: Any, boundary: Boundary | None) -> None:
        super().__init__(path, manifest, boundary)
        self.counter = _Counter()

    def _reader(self, stack: str) -> StackReader:
        with self._lock:
            if stack not in self._readers:
                described = self.manifest.stacks[stack]
                self._readers[stack] = _CountedReader(self.path, described, self.counter)
            return self._readers[stack]
