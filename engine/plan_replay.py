"""A run replayed in numbers: how long it takes with any number of workers, and what limits it.

The replay follows each tile through the queues of a run, event by event:

* the *scheduler* hands out one tile after another, a fixed time each;
* a *worker* holds some tiles at once, of which one computes while others read and write;
* the *store* serves all requests of all workers one after another, at a fixed rate; a tile reads or
  writes no faster than was measured with the store to itself.

Each worker has a core of its own: what workers on one machine take from each other (memory
bandwidth, disks) is not in it, unless the store's rate says so.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .plan_estimate import Floats, fit_line

Limit = Literal["workers", "scheduler", "store", "longest tile"]


@dataclass(frozen=True)
class Work:
    """What each tile takes, in the order in which they are made; every array of shape ``(n,)``.

    Parameters
    ----------
    read, predict, write
        Seconds of each phase, with the store to itself.
    read_bytes, write_bytes
        Bytes that travel from and to the store.
    """

    read: Floats
    predict: Floats
    write: Floats
    read_bytes: Floats
    write_bytes: Floats

    @property
    def seconds(self) -> Floats:
        """Seconds of each tile, waiting aside."""
        return self.read + self.predict + self.write

    @property
    def total_bytes(self) -> float:
        """Bytes that travel in all."""
        return float(self.read_bytes.sum() + self.write_bytes.sum())

    def scaled(self, factor: float) -> Work:
        """Return the same work on slower (above 1) or faster cores."""
        return Work(
            self.read * factor,
            self.predict * factor,
            self.write * factor,
            self.read_bytes,
            self.write_bytes,
        )


@dataclass(frozen=True)
class Site:
    """Where the work is done.

    Parameters
    ----------
    workers, tiles_at_once
        Worker processes, and the tiles each holds at once.
    scheduler_seconds
        Time of the scheduler and client for each tile, one tile after another.
    store_bytes_s
        Bytes a second that the store gives all workers together; infinite by default.
    start_seconds
        Until a worker is ready for its first tile.
    """

    workers: int
    tiles_at_once: int = 1
    scheduler_seconds: float = 0.0
    store_bytes_s: float = math.inf
    start_seconds: float = 0.0


def draw_work(
    cells: NDArray[np.int64],
    strata: NDArray[np.int64],
    chosen: NDArray[np.int64],
    measured: Work,
    seed: int = 0,
) -> Work:
    """Return the work of all tiles: each like a measured tile of its stratum, drawn at random.

    What a tile takes of anything is what the line through all measured tiles says for its cells,
    and the difference that the drawn tile has from that line. A measured tile stands for itself.

    Parameters
    ----------
    cells, strata
        Soil cells and stratum of every tile, shape ``(n,)``.
    chosen
        Positions of the tiles in `measured`.
    """
    rng = np.random.default_rng(seed)
    like = np.empty(cells.size, np.int64)
    for stratum in np.unique(strata):
        mine = np.flatnonzero(strata[chosen] == stratum)
        here = strata == stratum
        like[here] = rng.choice(mine, int(here.sum()))
    like[chosen] = np.arange(chosen.size)

    def drawn(values: Floats) -> Floats:
        line = fit_line(cells[chosen], values)
        off = values - line.at(cells[chosen])
        return np.maximum(line.at(cells) + off[like], 0.0)

    return Work(
        drawn(measured.read),
        drawn(measured.predict),
        drawn(measured.write),
        drawn(measured.read_bytes),
        drawn(measured.write_bytes),
    )


_ARRIVE, _READ, _PREDICTED, _WRITE = range(4)


def wall_seconds(work: Work, site: Site) -> float:
    """Return the seconds from the first task submitted to the last tile written."""
    tiles = work.read.size
    if tiles == 0:
        return 0.0
    workers = min(site.workers, tiles)
    store_free, end = 0.0, 0.0
    computes: list[int | None] = [None] * workers
    waiting: list[list[int]] = [[] for _ in range(workers)]
    # one slot of every worker after another, so that tiles spread over workers first
    slots = [
        (site.start_seconds, turn * workers + worker)
        for turn in range(site.tiles_at_once)
        for worker in range(workers)
    ]
    heapq.heapify(slots)
    slot_of = [0] * tiles
    events: list[tuple[float, int, int]] = []
    upcoming = 0

    def hand_out() -> None:
        """Give tiles to slots as both are free; the scheduler is up to all slots ahead."""
        nonlocal upcoming
        while slots and upcoming < tiles:
            free, slot = heapq.heappop(slots)
            slot_of[upcoming] = slot
            ready = (upcoming + 1) * site.scheduler_seconds
            heapq.heappush(events, (max(free, ready), _ARRIVE, upcoming))
            upcoming += 1

    hand_out()
    while events:
        now, kind, tile = heapq.heappop(events)
        worker = slot_of[tile] % workers
        if kind in (_ARRIVE, _WRITE):
            size, least = (
                (work.read_bytes[tile], work.read[tile])
                if kind == _ARRIVE
                else (work.write_bytes[tile], work.write[tile])
            )
            store_free = max(store_free, now) + size / site.store_bytes_s
            until = max(store_free, now + least)
            if kind == _ARRIVE:
                heapq.heappush(events, (until, _READ, tile))
            else:
                end = max(end, until)
                heapq.heappush(slots, (until, slot_of[tile]))
                hand_out()
        elif kind == _READ:
            waiting[worker].append(tile)
        else:
            computes[worker] = None
            heapq.heappush(events, (now, _WRITE, tile))
        if computes[worker] is None and waiting[worker]:
            begun = waiting[worker].pop(0)
            computes[worker] = begun
            heapq.heappush(events, (now + work.predict[begun], _PREDICTED, begun))
    return float(end)


def bounds(work: Work, site: Site) -> dict[Limit, float]:
    """Return the seconds that each part alone would take: no run is shorter than any of them."""
    cores = site.workers * site.tiles_at_once
    return {
        "workers": max(float(work.predict.sum()) / site.workers, float(work.seconds.sum()) / cores),
        "scheduler": site.scheduler_seconds * work.read.size,
        "store": work.total_bytes / site.store_bytes_s,
        "longest tile": float(work.seconds.max(initial=0.0)),
    }


def limit(work: Work, site: Site) -> Limit:
    """Return which part keeps the run from being shorter."""
    found = bounds(work, site)
    return max(found, key=lambda part: found[part])


def workers_until(work: Work, site: Site, part: Limit) -> float:
    """Return the workers beyond which `part` is what limits, infinite where it never is.

    As many as do their share of the work in the time that `part` alone takes.
    """
    least = bounds(work, site)[part]
    one = bounds(work, Site(1, site.tiles_at_once))["workers"]
    return one / least if least > 0 else math.inf
