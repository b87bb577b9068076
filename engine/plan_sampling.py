"""Measuring sample tiles: read, predicted and written as a run does it, and thrown away."""

from __future__ import annotations

import math
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from .cube.cube import Cube
from .cube.stack_reader import StackReader
from .grid import Grid, Tile
from .ledger import Ledger
from .map_store import create_map
from .models.protocol import Model
from .place import Place, S3Path
from .plan_estimate import Estimate, Floats, Ints, neediest, strata_of, total
from .plan_replay import Work
from .progress import QUIET, Reporter
from .run import Run
from .store import remove_tree, write_atomically, zarr_store
from .tiles import RunContext, make_tile

#: Measuring goes on until the interval of the total is within this share of it …
CLOSE_ENOUGH = 0.20
#: … or this share of the cells is measured, and no less than this time was spent.
SHARE, SECONDS = 0.02, 3.0
#: Tiles of each stratum that are measured in any case, where it has them.
AT_LEAST = 3
#: Objects written and read at once to time the store, and the bytes of each.
PROBES, PROBE_BYTES = 4, 4 * 2**20
#: How much two measurements of one tile on one machine differ, as a relative standard deviation,
#: where the sample itself shows less: what else the machine does changes from minute to minute.
LEAST_DRIFT = 0.04


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
    """

    read: float
    predict: float
    write: float
    record: float
    stored_read: int
    stored_written: int
    objects: int

    @property
    def seconds(self) -> float:
        """Worker-seconds, as a run's ledger sums them: read, predict and write."""
        return self.read + self.predict + self.write


@dataclass(frozen=True)
class Sample:
    """Measured tiles, and what they say of all tiles.

    Parameters
    ----------
    cells, strata
        Soil cells and stratum of every tile with soil, shape ``(n,)``.
    chosen, tiles
        Positions of the measured tiles, and what each took.
    drift
        Relative standard deviation of measuring one tile again.
    start_seconds
        What the first tile took more than it does later: compiling, opening, warming up.
    spent
        Seconds of wall time that measuring took.
    store_bytes_s
        Bytes a second that this machine gets of the map's store, :data:`PROBES` objects at once.
    """

    cells: Ints
    strata: Ints
    chosen: Ints
    tiles: tuple[Measured, ...]
    drift: float
    start_seconds: float
    spent: float
    store_bytes_s: float

    def of(self, name: str) -> Floats:
        """Return one figure of every measured tile."""
        return np.array([getattr(tile, name) for tile in self.tiles], np.float64)

    def total(self, name: str) -> Estimate:
        """Return the total of a figure over all tiles; the machine's drift counts for seconds."""
        timed = name in ("seconds", "read", "predict", "write", "record")
        drift = self.drift if timed else 0.0
        return total(self.cells, self.strata, self.chosen, self.of(name), drift)

    @property
    def share(self) -> float:
        """Share of the cells that was measured."""
        return float(self.cells[self.chosen].sum() / self.cells.sum())

    @property
    def work(self) -> Work:
        """The measured tiles as the replay takes them."""
        return Work(
            read=self.of("read"),
            predict=self.of("predict"),
            write=self.of("write") + self.of("record"),
            read_bytes=self.of("stored_read"),
            write_bytes=self.of("stored_written"),
        )


def sample_tiles(
    cube: Cube,
    grid: Grid,
    model: Model,
    years: tuple[int, ...],
    counts: Ints,
    *,
    tiles_at_once: int = 1,
    near: Place | None = None,
    reporter: Reporter = QUIET,
    seed: int = 0,
) -> Sample:
    """Measure tiles until the total of their seconds is known well enough.

    Tiles are drawn at random within each stratum, and made as a worker makes them, `tiles_at_once`
    beside each other, by the same functions. The first is made once before it counts. Between
    rounds one and the same tile is made again: how much its time differs is the machine's drift.

    Parameters
    ----------
    cube, grid, model, years
        What is mapped; the model is fitted.
    counts
        Soil cells of each tile, ``(tile rows, tile columns)``; at least one tile has some.
    near
        The output folder or bucket: samples are written beside it, so that its own speed is
        measured; a temporary folder by default.
    """
    places = np.argwhere(counts > 0)
    cells = counts[counts > 0].astype(np.int64)
    strata = strata_of(cells)
    rng = np.random.default_rng(seed)
    # what is left to draw of each stratum, in random order
    left = [list(rng.permutation(np.flatnonzero(strata == s))) for s in np.unique(strata)]
    begun = time.perf_counter()
    with _workshop(cube, grid, model, years, near) as shop:
        reference = grid.tile(*(int(i) for i in places[np.argsort(cells)[cells.size // 2]]))
        rate = shop.store_rate()
        first = shop.make([reference], 1)[0].seconds
        again: list[float] = []
        chosen: list[int] = []
        tiles: list[Measured] = []
        todo = [left[s].pop() for s in range(len(left)) for _ in range(min(AT_LEAST, len(left[s])))]
        with reporter.task("Measuring sample tiles", cells.size) as progress:
            while todo:
                wanted = [grid.tile(*(int(i) for i in places[position])) for position in todo]
                # the reference comes last: it keeps the last wanted tile company, as a next would
                made = shop.make([reference, *wanted, reference], tiles_at_once)
                again += [made[0].seconds, made[-1].seconds]
                tiles += made[1:-1]
                chosen += todo
                now = Sample(
                    cells,
                    strata,
                    np.array(chosen, np.int64),
                    tuple(tiles),
                    _drift(again),
                    max(0.0, first - float(np.median(again))),
                    time.perf_counter() - begun,
                    rate,
                )
                progress.advance(len(todo), note=f"±{100 * now.total('seconds').relative:.0f} %")
                todo = _more(now, left, tiles_at_once)
    return now


def _drift(again: Sequence[float]) -> float:
    """Return the relative standard deviation of a tile's time on another occasion."""
    times = np.array(again)
    spread = float(times.std(ddof=1)) / float(times.mean())
    return max(LEAST_DRIFT, spread * math.sqrt(1 + 1 / times.size))


def _more(sample: Sample, left: list[list[int]], tiles_at_once: int) -> list[int]:
    """Return the tiles to measure next, none if enough is known or all is measured."""
    enough = sample.share >= SHARE and sample.spent >= SECONDS
    if sample.total("seconds").relative <= CLOSE_ENOUGH or enough:
        return []
    found: list[int] = []
    stratum = neediest(sample.cells, sample.strata, sample.chosen, sample.of("seconds"))
    while len(found) < max(2, tiles_at_once) and stratum >= 0 and left[stratum]:
        found.append(left[stratum].pop())
    return found


# -- making tiles that nobody keeps ----------------------------------------------------------------


class _Workshop:
    """Makes tiles of a run that lasts as long as the sampling."""

    def __init__(self, context: RunContext, cube: _CountedCube) -> None:
        self.context = context
        self.cube = cube

    def make(self, tiles: Sequence[Tile], at_once: int) -> list[Measured]:
        """Return what tiles took, made `at_once` beside each other."""
        if at_once == 1:
            return [self._one(tile) for tile in tiles]
        with ThreadPoolExecutor(at_once) as threads:
            return list(threads.map(self._one, tiles))

    def store_rate(self) -> float:
        """Return the bytes a second of writing objects of no pattern and reading them again."""
        data = np.random.default_rng(0).bytes(PROBE_BYTES)
        probes = [self.context.run.path / f"probe-{i}" for i in range(PROBES)]
        started = time.perf_counter()
        with ThreadPoolExecutor(PROBES) as threads:
            list(threads.map(lambda probe: write_atomically(probe, data), probes))
            list(threads.map(lambda probe: probe.read_bytes(), probes))
        return 2 * PROBES * PROBE_BYTES / (time.perf_counter() - started)

    def _one(self, tile: Tile) -> Measured:
        self.cube.counter.begin()
        record = make_tile(self.context, tile)
        read = self.cube.counter.end()
        started = time.perf_counter()
        Ledger(self.context.run.path).write(record)
        return Measured(
            read=record.seconds["read"],
            predict=record.seconds["predict"],
            write=record.seconds["write"],
            record=time.perf_counter() - started,
            stored_read=read,
            stored_written=sum(item.size for item in record.objects),
            objects=len(record.objects),
        )


@contextmanager
def _workshop(
    cube: Cube, grid: Grid, model: Model, years: tuple[int, ...], near: Place | None
) -> Iterator[_Workshop]:
    """Yield a workshop whose map lies beside `near`, and clear it away."""
    folder = _beside(near)
    try:
        with tempfile.TemporaryDirectory(prefix="edaphos-plan-") as kept:
            # as workers have it: opened from files, not as fitting left it in memory
            model.save(Path(kept) / "model")
            opened = type(model).load(Path(kept) / "model")
            counted = _CountedCube(cube.path, cube.manifest)
            run = Run(folder, {"years": list(years)})
            create_map(folder, grid, model.emits, years, {"title": "a sample"})
            yield _Workshop(RunContext(run, counted, opened, grid), counted)
    finally:
        remove_tree(folder)


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def _beside(near: Place | None) -> Place:
    name = f".edaphos-plan-{uuid.uuid4().hex}"
    if isinstance(near, S3Path):
        return near.with_name(name) if near.key else near / name
    if near is not None:
        try:
            folder = existing(near.absolute().parent) / name
            folder.mkdir()
        except OSError:
            pass  # nothing may be written there before the run makes its folder
        else:
            return folder
    return Path(tempfile.mkdtemp(prefix="edaphos-plan-"))


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

    def __init__(self, path: Place, manifest: Any) -> None:
        super().__init__(path, manifest)
        self.counter = _Counter()

    def _reader(self, stack: str) -> StackReader:
        with self._lock:
            if stack not in self._readers:
                described = self.manifest.stacks[stack]
                self._readers[stack] = _CountedReader(self.path, described, self.counter)
            return self._readers[stack]
