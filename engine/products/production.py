"""What making a map took, for its report: tiles, worker time, memory, repeated requests."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..land import load_index
from ..ledger import READERS, Entry, Ledger, Record
from ..place import Place
from ..run_progress import tile_states
from .tables import Table, count, duration

#: Failed tiles that are named.
NAMED = 10


@dataclass(frozen=True)
class ProductionSummary:
    """What the records of a run's ledger add up to.

    Parameters
    ----------
    states
        A :class:`~edaphos.engine.run_progress.TileState` for each tile.
    done, empty, failed
        Tiles that are mapped, that have no soil, and names of those that failed.
    workers
        Processes that made tiles.
    phases
        Worker seconds by phase.
    retries, clipped
        Requests to the store that were repeated; values out of the range of their encoding.
    peak_memory
        Largest resident memory of a worker, bytes.
    unreadable
        Records that could not be read.
    """

    states: NDArray[np.uint8]
    done: int = 0
    empty: int = 0
    failed: tuple[str, ...] = ()
    workers: int = 0
    phases: dict[str, float] = field(default_factory=dict)
    retries: int = 0
    clipped: int = 0
    peak_memory: int = 0
    unreadable: int = 0


def production_summary(run: Place) -> ProductionSummary | None:
    """Add up the records of a run; None where the folder knows of no tiles."""
    counts = load_index(run)
    if counts is None:
        return None
    ledger = Ledger(run)
    entries = ledger.entries()
    finished = {e.tile: e for e in entries if e.outcome != "failed"}
    failed = sorted({e.tile for e in entries if e.outcome == "failed"} - finished.keys())

    def read(entry: Entry) -> Record | None:
        try:
            return ledger.read(entry)
        except InputError:  # `edaphos map verify` tells which
            return None

    phases: Counter[str] = Counter()
    workers: set[str] = set()
    retries = clipped = peak = unreadable = 0
    with ThreadPoolExecutor(READERS) as pool:
        for record in pool.map(read, [e for e in finished.values() if e.outcome == "done"]):
            if record is None:
                unreadable += 1
                continue
            for name, seconds in record.seconds.items():
                phases[name] += seconds  # type: ignore[assignment]  # a Counter adds floats too
            workers.add(record.worker)
            retries += record.retries
            clipped += sum(record.clipped.values())
            peak = max(peak, record.peak_memory)
    return ProductionSummary(
        states=tile_states(counts, finished.keys(), failed),
        done=sum(e.outcome == "done" for e in finished.values()),
        empty=sum(e.outcome == "empty" for e in finished.values()),
        failed=tuple(failed),
        workers=len(workers - {""}),
        phases=dict(phases),
        retries=retries,
        clipped=clipped,
        peak_memory=peak,
        unreadable=unreadable,
    )


def production_tables(found: ProductionSummary) -> list[Table]:
    """Return what a production took as tables: tiles and workers, then worker time by phase."""
    rows = [
        ("Tiles mapped", count(found.done)),
        ("Tiles without soil", count(found.empty)),
        ("Tiles failed", count(len(found.failed))),
        ("Worker processes", count(found.workers)),
        ("Peak memory of a worker", f"{found.peak_memory / 2**20:,.0f} MiB"),
        ("Requests repeated", count(found.retries)),
        ("Values out of range", count(found.clipped)),
    ]
    if found.unreadable:
        rows.append(("Records unreadable", count(found.unreadable)))
    named = ", ".join(found.failed[:NAMED]) + (" …" if len(found.failed) > NAMED else "")
    note = f"Failed: {named}." if found.failed else ""
    tables = [Table("Tiles and workers", ("<", "value"), tuple(rows), note)]
    total = sum(found.phases.values())
    if total:
        times = [
            (name, duration(seconds), f"{100 * seconds / total:.1f} %")
            for name, seconds in found.phases.items()
        ]
        tables.append(
            Table(
                "Worker time by phase",
                ("<phase", "time", "share"),
                (*times, ("all", duration(total), "100.0 %")),
                "Summed over the workers, who read, predict and write different tiles at once.",
            )
        )
    return tables
