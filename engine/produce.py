"""Production: every tile of a run, in parallel, with a bounded number of tasks in flight.

The client never builds a graph of all tiles. It keeps a window of tasks with the scheduler, reads
the ledger to know what is done, tries a failed tile once more, and sets it aside after that.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from distributed import Client, Future, as_completed
from numpy.typing import NDArray

from .errors import RunError
from .land import LAND_INDEX, batches, index_tiles, load_index, save_index
from .ledger import Ledger, Record
from .map_store import MAP
from .progress import QUIET, Reporter
from .run import Run
from .status import Status
from .store import checksum, list_objects, remove_partial
from .tiles import RunContext, produce_tile

#: Attempts before a tile is set aside.
ATTEMPTS = 2
#: Tasks with the scheduler for each worker thread: one running, one ready.
IN_FLIGHT_PER_THREAD = 2


@dataclass
class Production:
    """What a call of :func:`produce` did.

    Parameters
    ----------
    tiles, skipped
        Tiles made by this call, and tiles found done.
    cells
        Cells mapped by this call.
    seconds
        Wall time of this call.
    phases
        Worker seconds by phase, summed over tiles.
    peak_memory
        Largest resident memory of any worker, bytes.
    clipped
        Values out of the range of their encoding, by output.
    failed
        Tiles set aside.
    """

    tiles: int = 0
    skipped: int = 0
    cells: int = 0
    seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)
    peak_memory: int = 0
    clipped: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def add(self, record: Record) -> None:
        """Count a finished tile."""
        self.tiles += 1
        self.cells += record.cells
        self.peak_memory = max(self.peak_memory, record.peak_memory)
        for name, value in record.seconds.items():
            self.phases[name] = round(self.phases.get(name, 0.0) + value, 4)
        for name, count in record.clipped.items():
            self.clipped[name] = self.clipped.get(name, 0) + count


def produce(run: Run, client: Client, reporter: Reporter = QUIET) -> Production:
    """Make every tile of a run that is not made yet.

    Parameters
    ----------
    run
        With its model fitted and its map created.
    client
        A Dask client; any cluster will do.
    reporter
        Where progress goes.

    Raises
    ------
    InputError
        The cube changed, or the model needs what it lacks (before any tile is scheduled).
    RunError
        Some tiles failed twice; the others are finished, and the message names the failed.
    """
    RunContext.open(run.path)  # bad input fails here, before any work is spread
    ledger = Ledger(run.path)
    ledger.forget_failures()
    remove_partial(run.path / MAP)
    clear_unfinished(run)
    counts = index_land(run, client, reporter)
    finished = ledger.finished()
    todo = [
        (int(row), int(col))
        for row, col in np.argwhere(counts > 0)
        if run.grid.tile(int(row), int(col)).name not in finished
    ]
    production = Production(skipped=int((counts > 0).sum()) - len(todo))
    started = time.perf_counter()
    with reporter.task("Mapping tiles", len(todo)) as progress:
        for record in _run_window(client, run, todo):
            if record.outcome == "failed":
                production.failed.append(record.tile)
            else:
                production.add(record)
            rate = production.cells / (time.perf_counter() - started)
            failures = f", {len(production.failed)} failed" if production.failed else ""
            progress.advance(note=f"{rate:,.0f} land cells/s{failures}")
    production.seconds = round(time.perf_counter() - started, 3)
    run.note(cells_by_status=cells_by_status(ledger))
    if production.failed:
        raise RunError(_failure_text(ledger))
    return production


def _run_window(client: Client, run: Run, todo: Sequence[tuple[int, int]]) -> Iterator[Record]:
    """Yield a record for each tile; only a bounded window of tasks is with the scheduler."""
    threads = sum(client.nthreads().values()) or 1
    window = IN_FLIGHT_PER_THREAD * threads
    waiting = iter(todo)
    attempts: dict[str, int] = {}
    places: dict[str, tuple[int, int]] = {}
    path, run_hash = str(run.path.resolve()), run.hash

    def submit(place: tuple[int, int]) -> Future:
        name = run.grid.tile(*place).name
        attempts[name] = attempts.get(name, 0) + 1
        places[name] = place
        key = f"tile-{name}-{run_hash[:8]}-{attempts[name]}"
        return client.submit(
            produce_tile, path, run_hash, *place, key=key, pure=False, retries=ATTEMPTS
        )

    queue = as_completed(
        [submit(place) for _, place in zip(range(window), waiting, strict=False)],
        with_results=False,
    )
    for future in queue:
        record: Record = future.result()
        future.release()
        if record.outcome == "failed" and attempts[record.tile] < ATTEMPTS:
            queue.add(submit(places[record.tile]))
            continue
        following = next(waiting, None)
        if following is not None:
            queue.add(submit(following))
        yield record


def index_land(run: Run, client: Client, reporter: Reporter = QUIET) -> NDArray[np.int64]:
    """Return the soil cells of each tile, from the run folder or computed now."""
    counts = load_index(run.path)
    if counts is not None:
        return counts
    grid = run.grid
    counts = np.zeros(grid.tile_counts, np.int64)
    jobs = batches(grid.tiles())
    futures = client.map(
        index_tiles, [str(run.path.resolve())] * len(jobs), [run.hash] * len(jobs), jobs, pure=False
    )
    with reporter.task("Looking for land", len(jobs)) as progress:
        for _, found in as_completed(futures, with_results=True):
            for row, col, cells in found:
                counts[row, col] = cells
            progress.advance(note=f"{int((counts > 0).sum())} tiles with soil")
    save_index(run.path, counts)
    return counts


def clear_unfinished(run: Run) -> list[str]:
    """Make the map hold what the ledger vouches for, and nothing else.

    A tile whose objects are gone or of another size is forgotten, and objects that no record
    names are deleted (a cut-off task's, or a forgotten tile's): writing part of a shard would
    read what is there first. Returns the names of forgotten tiles.
    """
    folder = run.path / MAP
    held = list_objects(folder)
    ledger = Ledger(run.path)
    forgotten: list[str] = []
    vouched: set[str] = set()
    for record in ledger.records():
        if any(held.get(o.key) != o.size for o in record.objects):
            ledger.forget(record.tile)
            forgotten.append(record.tile)
            if record.outcome == "empty":  # these are written while the land index is made
                (run.path / LAND_INDEX).unlink(missing_ok=True)
        else:
            vouched.update(o.key for o in record.objects)
    data = {*(o.name for o in run.load_model().emits.outputs), "status"}
    for key in held:
        if key.split("/")[0] in data and "/c/" in key and key not in vouched:
            (folder / key).unlink(missing_ok=True)
    return forgotten


def verify_map(run: Run) -> list[str]:
    """Recompute the checksum of every object in the ledger; return what is wrong."""
    problems: list[str] = []
    for record in Ledger(run.path).records():
        for item in record.objects:
            path: Path = run.path / MAP / item.key
            if not path.exists():
                problems.append(f"tile {record.tile}: {item.key} is missing")
            elif checksum(path.read_bytes()) != item.crc32c:
                problems.append(f"tile {record.tile}: {item.key} does not match its checksum")
    return problems


def cells_by_status(ledger: Ledger) -> dict[str, int]:
    """Return the cells of each status over all finished tiles, in the order of the codes."""
    counts: dict[str, int] = {}
    for record in ledger.records():
        for name, cells in record.status.items():
            counts[name] = counts.get(name, 0) + cells
    return {s.meaning: counts[s.meaning] for s in Status if s.meaning in counts}


def is_complete(run: Run) -> bool:
    """Whether every tile of the run is finished."""
    counts = load_index(run.path)
    if counts is None:
        return False
    return len(Ledger(run.path).finished()) == counts.size


def _failure_text(ledger: Ledger) -> str:
    errors = ledger.errors()
    first = next(iter(errors.values()), "").strip().splitlines()
    reason = first[-1] if first else "no traceback was recorded"
    names = ", ".join(sorted(errors)[:10]) + (" …" if len(errors) > 10 else "")
    return (
        f"{len(errors)} tile(s) failed {ATTEMPTS} times and were set aside: {names}. "
        f"Reason of the first: {reason}. Everything else is finished; tracebacks lie in "
        f"{ledger.folder}. Run again to retry them"
    )
