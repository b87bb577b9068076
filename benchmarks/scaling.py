"""What a second worker brings, what scheduling costs a tile, how fast a finished run is found so.

``scaling forest`` and ``scaling rothc`` make the same map with one worker and with two, each of
one thread and one tile at once; interleaved, medians. RothC is limited by reading from memory,
which two workers share. ``scheduling`` is the wall time that :func:`produce` adds to a bare loop
over tiles in which there is almost nothing to do, a tile. ``resume`` is how long a finished run
takes to say that there is nothing to do. What Dask and the ledger add to real tiles is told by
``python -m benchmarks produce`` (``overhead``).
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client

from edaphos.engine.cluster import ClusterSpec, connect
from edaphos.engine.cube.cube import Cube
from edaphos.engine.grid import Grid
from edaphos.engine.map_store import create_map
from edaphos.engine.models.protocol import Emits, Output, Reads, TileInputs
from edaphos.engine.produce import index_land, produce
from edaphos.engine.run import GridSpec, Run
from edaphos.engine.tiles import RunContext, produce_tile
from edaphos.kernels.rothc_arrays import blocked
from edaphos.kernels.rothc_stocks import simulate_stocks

from .result import Result
from .soils import climate, soils
from .worlds import make_cube, make_model, make_run, world_grid

REPEATS = 3
#: Side of the tiles of which there are many.
TINY = 16


class Constant:
    """A model that costs nothing: one value everywhere."""

    kind = "benchmarks.scaling:Constant"
    needs_samples = False
    reads = Reads()
    emits = Emits((Output("stock_mean", "kg m-2", "mean", "stock"),), ((0, 30),))

    def predict(self, inputs: TileInputs) -> dict[str, Any]:
        """Return 7 kg/m² in each cell."""
        return {"stock_mean": np.full(inputs.out_shape(1), 7.0, np.float32)}

    def save(self, folder: Path) -> None:
        """Write that there is nothing to write."""
        (folder / "model.json").write_text(json.dumps({}))

    @classmethod
    def load(cls, folder: Path) -> Constant:
        """Return the model."""
        json.loads((folder / "model.json").read_text())
        return cls()


class RothCYears:
    """240 months of RothC on forcing that differs in each month and cell."""

    kind = "benchmarks.scaling:RothCYears"
    needs_samples = False
    reads = Reads()
    emits = Emits((Output("stock_mean", "kg m-2", "mean", "float"),), ((0, 30),))
    months = 240

    def __init__(self) -> None:
        self._given: dict[int, Any] = {}

    def predict(self, inputs: TileInputs) -> dict[str, Any]:
        """Return the stock after 20 years, kg/m²; the forcing is drawn once in each process."""
        pixels = inputs.window.height * inputs.window.width
        if pixels not in self._given:
            forcing = climate(pixels, self.months, np.float32)
            self._given[pixels] = (blocked(forcing), *soils(pixels, np.float32))
        forcing, soil, state = self._given[pixels]
        stocks, _ = simulate_stocks(forcing, soil, state, self.months)
        return {"stock_mean": (stocks[-1] / 10).reshape(inputs.out_shape(1))}

    def save(self, folder: Path) -> None:
        """Write that there is nothing to write."""
        (folder / "model.json").write_text(json.dumps({}))

    @classmethod
    def load(cls, folder: Path) -> RothCYears:
        """Return the model."""
        json.loads((folder / "model.json").read_text())
        return cls()


def measure(*, small: bool) -> Iterator[Result]:
    """Yield the second worker's worth for forest and RothC, the cost a tile, and resuming."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        yield _forest(folder / "forest", small)
        yield _rothc(folder / "rothc", small)
        yield from _tiny_tiles(folder / "tiny", 20 if small else 100)


# -- a second worker -------------------------------------------------------------------------------


def _forest(folder: Path, small: bool) -> Result:
    cells, tile, trees = (512, 128, 20) if small else (1024, 256, 50)
    folder.mkdir()
    cube, grid = make_cube(folder / "cube.zarr", cells), world_grid(cells, tile)
    model = make_model(cube, grid, trees, 4000)

    def fresh() -> Run:
        return make_run(folder / "run", grid, cube, model)

    return _second_worker("scaling forest", fresh, 1 if small else REPEATS, {"trees": trees})


def _rothc(folder: Path, small: bool) -> Result:
    cells, tile = (1024, 128) if small else (2048, 256)
    folder.mkdir()
    cube, grid = make_cube(folder / "cube.zarr", cells), world_grid(cells, tile)

    def fresh() -> Run:
        return fresh_run(folder / "run", grid, cube, RothCYears())

    months = {"months": RothCYears.months}
    return _second_worker("scaling rothc", fresh, 1 if small else REPEATS, months)


def _second_worker(
    name: str, fresh: Callable[[], Run], repeats: int, details: dict[str, Any]
) -> Result:
    """Time the map with one worker and with two, in turn; the first round warms both up."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    with _workers(1) as one, _workers(2) as two:
        for repeat in range(-1, repeats):
            for workers, client in ((1, one), (2, two)):
                run = fresh()
                # of two clients in one process, only the current one may be waited for
                with client.as_current():
                    index_land(run, client)
                    made = produce(run, client)
                if repeat >= 0:
                    rates[workers].append(made.cells / made.seconds)
    first, second = statistics.median(rates[1]), statistics.median(rates[2])
    return Result(
        name=name,
        value=round(second),
        unit="land cells/s",
        peer="one worker of one thread (two here)",
        ratio=round(second / first, 3),
        details={
            **details,
            "cells": made.cells,
            "tiles": made.tiles,
            "cells_s_one_worker": [round(r) for r in rates[1]],
            "cells_s_two_workers": [round(r) for r in rates[2]],
        },
    )


@contextmanager
def _workers(count: int) -> Iterator[Client]:
    with connect(ClusterSpec(workers=count, tiles_at_once=1)) as client:
        yield client


# -- many tiles with nothing to do -----------------------------------------------------------------


def _tiny_tiles(folder: Path, side: int) -> Iterator[Result]:
    """Yield the cost of scheduling a tile, then of finding side x side tiles finished."""
    folder.mkdir()
    grid = world_grid(side * TINY, TINY)
    cube = make_cube(folder / "cube.zarr", side * TINY)
    run = fresh_run(folder / "whole", grid, cube, Constant())
    with _workers(1) as client:
        index_land(run, client)
        produce(_warm(folder, cube), client)
        made = produce(run, client)
        started = time.perf_counter()
        again = produce(run, client)
        resumed = time.perf_counter() - started
        bare = _bare(fresh_run(folder / "bare", grid, cube, Constant()), min(made.tiles, 2000))
    if again.tiles:
        raise RuntimeError(f"a finished run made {again.tiles} tiles again")
    a_tile = made.seconds / made.tiles
    yield Result(
        name="scheduling",
        value=round(1000 * (a_tile - bare), 3),
        unit="ms a tile",
        peer="a second, the least that a tile should take",
        ratio=round(a_tile - bare, 6),
        details={
            "tiles": made.tiles,
            "ms_a_tile_produce": round(1000 * a_tile, 3),
            "ms_a_tile_bare_loop": round(1000 * bare, 3),
        },
    )
    yield Result(
        name="resume",
        value=round(resumed, 3),
        unit="s to find nothing to do",
        peer="5 s",
        ratio=round(5 / resumed, 2),
        details={"tiles": made.tiles, "skipped": again.skipped},
    )


def _warm(folder: Path, cube: Cube) -> Run:
    """Return a run of a few tiles, after which nothing is imported or compiled any more."""
    return fresh_run(folder / "warm", world_grid(4 * TINY, TINY), cube, Constant())


def _bare(run: Run, tiles: int) -> float:
    """Return seconds a tile of making and recording tiles in this process, without Dask."""
    path, run_hash = str(run.path), run.hash
    places = [tile.index for tile in RunContext.open(path).grid.tiles()][: tiles + 4]
    for place in places[:4]:
        produce_tile(path, run_hash, *place)
    started = time.perf_counter()
    for place in places[4:]:
        produce_tile(path, run_hash, *place)
    return (time.perf_counter() - started) / len(places[4:])


def fresh_run(folder: Path, grid: Grid, cube: Cube, model: Any, kind: str = "") -> Run:
    """Return a fresh run of a model that is opened as `kind`, by default what it says it is."""
    shutil.rmtree(folder, ignore_errors=True)
    identity = {
        "grid": asdict(GridSpec.of(grid)),
        "years": [2020],
        "model": {"kind": kind or model.kind},
        "cube": {"digest": cube.manifest.digest},
    }
    run = Run.start(folder, identity, {"cube": str(cube.path)})
    model_folder = folder / "model"
    model_folder.mkdir()
    model.save(model_folder)
    create_map(run.path, grid, model.emits, run.years, {"title": "benchmark"})
    return run
