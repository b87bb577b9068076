"""End-to-end land cells a second, and what Dask and the ledger add to a bare loop.

``overhead`` is the wall time of :func:`produce` over that of the same read, predict and write
functions in a bare loop with as many processes and threads, minus 1; interleaved, medians of 5.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

from edaphos.engine.cluster import ClusterSpec, connect
from edaphos.engine.produce import index_land, produce
from edaphos.engine.run import Run
from edaphos.engine.tiles import RunContext, make_tile

from .result import Result
from .worlds import make_cube, make_model, make_run, world_grid

WORKERS, TILES_AT_ONCE = 2, 2
REPEATS = 5

_next_tile: Any = None


def measure(*, small: bool) -> Iterator[Result]:
    """Yield the throughput with the overhead over a bare loop."""
    cells, tile, trees, repeats = (512, 256, 10, 1) if small else (1024, 256, 25, REPEATS)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        cube = make_cube(folder / "cube.zarr", cells)
        grid = world_grid(cells, tile)
        model = make_model(cube, grid, trees, 4000)
        counter = multiprocessing.get_context("spawn").Value("i", 0)
        spec = ClusterSpec(workers=WORKERS, tiles_at_once=TILES_AT_ONCE)
        context = multiprocessing.get_context("spawn")
        with (
            connect(spec) as client,
            context.Pool(WORKERS, initializer=_share, initargs=(counter,)) as pool,
        ):
            bare, whole = [], []
            for repeat in range(-1, repeats):  # the first round warms both up
                run = make_run(folder / "whole", grid, cube, model)
                index_land(run, client)
                started = time.perf_counter()
                made = produce(run, client)
                seconds = time.perf_counter() - started
                loop = _bare_loop(make_run(folder / "bare", grid, cube, model), pool, counter)
                if repeat >= 0:
                    whole.append(seconds)
                    bare.append(loop)
    overhead = statistics.median(whole) / statistics.median(bare) - 1
    rate = made.cells / statistics.median(whole)
    yield Result(
        name="produce",
        value=round(rate, 1),
        unit="land cells/s",
        peer="bare loop of the same functions",
        ratio=round(statistics.median(bare) / statistics.median(whole), 4),
        details={
            "overhead": round(overhead, 4),
            "tiles": made.tiles,
            "cells": made.cells,
            "depths": len(model.depths),
            "trees": trees,
            "outputs": len(model.emits.outputs),
            "seconds_whole": [round(s, 3) for s in whole],
            "seconds_bare": [round(s, 3) for s in bare],
            "workers": WORKERS,
            "tiles_at_once": TILES_AT_ONCE,
            "worker_seconds_by_phase": made.phases,
        },
    )


def _share(counter: Any) -> None:
    global _next_tile
    _next_tile = counter


def _bare_loop(run: Run, pool: Pool, counter: Any) -> float:
    """Seconds to make every tile in the pool's processes, each with its threads."""
    counter.value = 0
    started = time.perf_counter()
    pool.map(_make_tiles, [str(run.path)] * WORKERS, chunksize=1)
    return time.perf_counter() - started


def _make_tiles(path: str) -> None:
    context = RunContext.open(path)
    tiles = list(context.grid.tiles())

    def worker(_: int) -> None:
        while True:
            with _next_tile.get_lock():
                index = _next_tile.value
                _next_tile.value += 1
            if index >= len(tiles):
                return
            make_tile(context, tiles[index])

    with ThreadPoolExecutor(TILES_AT_ONCE) as threads:
        list(threads.map(worker, range(TILES_AT_ONCE)))
