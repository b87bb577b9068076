"""Peak memory of a worker: the same for a map 16 times larger, and below the plan."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from edaphos.engine.cluster import ClusterSpec, connect
from edaphos.engine.plan import peak_memory
from edaphos.engine.produce import produce

from .result import Result
from .worlds import make_cube, make_model, make_run, world_grid


def measure(*, small: bool) -> Iterator[Result]:
    """Yield the peak for the larger map, over that for the smaller one."""
    side, tile = (512, 256) if small else (1024, 512)
    spec = ClusterSpec(workers=1, tiles_at_once=2)
    peaks: dict[int, int] = {}
    planned: dict[int, int] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for cells in (side, 4 * side):
            cube = make_cube(folder / f"cube{cells}.zarr", cells)
            grid = world_grid(cells, tile)
            model = make_model(cube, grid, 5, 2000)
            planned[cells] = peak_memory(cube, grid, model, (2020,), spec.tiles_at_once)
            run = make_run(folder / f"run{cells}", grid, cube, model)
            with connect(spec) as client:
                peaks[cells] = produce(run, client).peak_memory
    large = 4 * side
    yield Result(
        name="memory",
        value=round(peaks[large] / 2**20, 1),
        unit="MiB peak of a worker",
        peer="the same worker on a map of 1/16 the cells",
        ratio=round(peaks[large] / peaks[side], 4),
        details={
            "cells": [side**2, large**2],
            "tile_size": tile,
            "peak_mib": [round(peaks[c] / 2**20, 1) for c in (side, large)],
            "planned_mib": [round(planned[c] / 2**20, 1) for c in (side, large)],
            "peak_over_plan": round(peaks[large] / planned[large], 3),
        },
    )
