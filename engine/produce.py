"""Production: every tile of a run, in parallel, with a bounded number of tasks in flight.

The client never builds a graph of all tiles. It reads the ledger to know what is done and hands
the rest to :mod:`edaphos.engine.dispatch`, which tries a failed tile once more and sets it aside
after that.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from distributed import Client, as_completed
from numpy.typing import NDArray

from .dispatch import ATTEMPTS, Dispatcher
from .errors import RunError
from .grid import tile_name
from .land import batches, index_tiles, load_index, save_index
from .ledger import Ledger, Record
from .map_store import MAP
from .observer import Nobody, Observer
from .progress import QUIET, Reporter
from .recovery import clear_unfinished
from .run import Run
from .status import Status
from .store import remove_partial
from .tiles import RunContext


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


def produce(
    run: Run,
    client: Client,
    reporter: Reporter = QUIET,
    observer: Observer | None = None,
    *,
    only: Collection[str] | None = None,
    resources: Mapping[str, float] | None = None,
) -> Production:
    """Make every tile of a run that is not made yet.

    Parameters
    ----------
    run
        With its model fitted and its map created.
    client
        A Dask client; any cluster will do.
    reporter
        Where progress goes.
    observer
        Who is told of every tile, and asked whether to stop.
    only
        Names of the tiles that may be made; all by default.
    resources
        Dask resources that a tile asks of its worker, such as ``{"GPU": 0.5}``.

    Raises
    ------
    InputError
        The cube changed, or the model needs what it lacks (before any tile is scheduled).
    Stopped
        The observer asked for it; what was begun is finished.
    RunError
        Some tiles failed twice; the others are finished, and the message names the failed. Or the
        store or the scheduler failed.
    """
    observer = observer or Nobody()
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
        if (name := tile_name(int(row), int(col))) not in finished
        and (only is None or name in only)
    ]
    production = Production(skipped=int((counts > 0).sum()) - len(todo))
    observer.begin([tile_name(*place) for place in todo], finished)
    started = time.perf_counter()
    dispatcher = Dispatcher(client, run, observer, reporter, resources or {})
    with reporter.task("Mapping tiles", len(todo)) as progress:
        for record in dispatcher.records(todo):
            if record.outcome == "failed":
                production.failed.append(record.tile)
            else:
                production.add(record)
            rate = production.cells / (time.perf_counter() - started)
            failures = f", {len(production.failed)} failed" if production.failed else ""
            progress.advance(note=f"{rate:,.0f} land cells/s{failures}")
    production.seconds = round(time.perf_counter() - started, 3)
    if production.tiles or "cells_by_status" not in run.manifest()["provenance"]:
        run.note(cells_by_status=cells_by_status(ledger))
    if production.failed:
        raise RunError(_failure_text(ledger))
    return production


def index_land(run: Run, client: Client, reporter: Reporter = QUIET) -> NDArray[np.int64]:
    """Return the soil cells of each tile, from the run folder or computed now."""
    counts = load_index(run.path)
    if counts is not None:
        return counts
    grid = run.grid
    counts = np.zeros(grid.tile_counts, np.int64)
    jobs = batches(grid.tiles())
    look = partial(index_tiles, str(run.path.absolute()), run.hash)
    futures = client.map(look, jobs, pure=False)
    with reporter.task("Looking for land", len(jobs)) as progress:
        for _, found in as_completed(futures, with_results=True):
            for row, col, cells in found:
                counts[row, col] = cells
            progress.advance(note=f"{int((counts > 0).sum())} tiles with soil")
    save_index(run.path, counts)
    return counts


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
