"""Whether what ``edaphos plan`` says is what then happens, over three recipes with coasts.

Worker-seconds should lie within the interval, and memory below the bound.

``planned NAME`` is the share of trials in which the ledger's seconds lie in the 90 % interval, the
ratio that of measured over planned seconds. Each trial plans, then makes the map with one worker
that has made a few tiles before, as compiling and opening are planned apart.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from distributed import Client

from edaphos.engine.cluster import ClusterSpec, connect
from edaphos.engine.cube.cube import Cube
from edaphos.engine.cube.layout import MANIFEST, objects_digest
from edaphos.engine.grid import Grid
from edaphos.engine.ledger import Ledger
from edaphos.engine.map_store import create_map
from edaphos.engine.models.protocol import Emits, Output, Reads, TileInputs
from edaphos.engine.plan import Plan, plan
from edaphos.engine.produce import Production, produce
from edaphos.engine.run import GridSpec, Run
from edaphos.engine.status import Status
from edaphos.engine.store import StoredObject, checksum
from edaphos.kernels.rothc_arrays import blocked
from edaphos.kernels.rothc_stocks import simulate_stocks

from .result import Result
from .soils import climate, soils
from .worlds import make_cube, make_model, world_grid

TRIALS = 3
SPEC = ClusterSpec(workers=1, tiles_at_once=2)


class RothCSoil:
    """240 months of RothC in the cells with soil, forcing drawn for each tile."""

    kind = "benchmarks.planned:RothCSoil"
    needs_samples = False
    reads = Reads(("t", "r"))
    emits = Emits((Output("stock_mean", "kg m-2", "mean", "float"),), ((0, 30),))
    months = 240

    def predict(self, inputs: TileInputs) -> dict[str, Any]:
        """Return the stock after 20 years, kg/m², NaN where there is no soil."""
        pixels = int(inputs.wanted.sum())
        values = np.full(inputs.out_shape(1), np.nan, np.float32)
        if pixels:
            soil, state = soils(pixels, np.float32)
            forcing = blocked(climate(pixels, self.months, np.float32))
            stocks, _ = simulate_stocks(forcing, soil, state, self.months)
            values[0, 0, inputs.wanted] = stocks[-1] / 10
        return {"stock_mean": values}

    def memory_bytes(self, cells: int, years: int = 1) -> int:
        """Return the peak bytes of a tile: the forcing as drawn (float64), and as packed."""
        del years
        return cells * self.months * 64

    def save(self, folder: Path) -> None:
        """Write that there is nothing to write."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.json").write_text(json.dumps({}))

    @classmethod
    def load(cls, folder: Path) -> RothCSoil:
        """Return the model."""
        json.loads((folder / "model.json").read_text())
        return cls()


def measure(*, small: bool) -> Iterator[Result]:
    """Yield, for each recipe, how often the truth lay in the interval, and the memory."""
    cells, tile = (512, 64) if small else (1024, 128)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        cube, grid = coastal_cube(folder / "cube.zarr", cells), world_grid(cells, tile)
        models = {
            "many-trees": make_model(cube, grid, 30 if small else 60, 4000),
            "many-depths": _many_depths(cube, grid),
            "rothc": RothCSoil(),
        }
        for name, model in models.items():
            yield _judge(name, folder / name, grid, cube, model, 1 if small else TRIALS)


def _many_depths(cube: Cube, grid: Grid) -> Any:
    """Return a forest of few trees for many depths."""
    model = make_model(cube, grid, 4, 4000)
    edges = np.linspace(0.0, 200.0, 21)
    model.depths = tuple((float(top), float(bottom)) for top, bottom in pairwise(edges))
    return model


def _judge(name: str, folder: Path, grid: Grid, cube: Cube, model: Any, trials: int) -> Result:
    told: list[dict[str, Any]] = []
    for _ in range(trials):
        planned = plan(cube, grid, model, (2020,), SPEC, out=folder / "run")
        with connect(SPEC) as client:
            _make(
                folder / "warm", world_grid(grid.shape[0] // 4, grid.tile_size), cube, model, client
            )
            run, made = _make(folder / "run", grid, cube, model, client)
        told.append(_compare(planned, run, made))
    inside = statistics.mean(one["inside"] for one in told)
    return Result(
        name=f"planned {name}",
        value=round(inside, 3),
        unit=f"of {trials} inside",
        peer="planned worker-seconds",
        ratio=round(statistics.median(one["seconds"] / one["planned"][0] for one in told), 3),
        details={"cells": planned.cells, "tiles": planned.tiles_with_soil, "trials": told},
    )


def _compare(planned: Plan, run: Run, made: Production) -> dict[str, Any]:
    if planned.timing is None:
        raise RuntimeError("nothing was planned")
    records = [r for r in Ledger(run.path).records() if r.outcome == "done"]
    seconds = sum(r.seconds[p] for r in records for p in ("read", "predict", "write"))
    written = sum(item.size for r in records for item in r.objects)
    expected, stored = planned.timing.worker_seconds, planned.timing.stored_written
    wall = next(one.seconds for one in planned.timing.replayed if one.workers == 1)
    return {
        "planned": [round(s, 2) for s in (expected.value, expected.low, expected.high)],
        "seconds": round(seconds, 2),
        "inside": expected.low <= seconds <= expected.high,
        "planned_wall": [round(s, 2) for s in (wall.value, wall.low, wall.high)],
        "wall": made.seconds,
        "wall_inside": wall.low <= made.seconds <= wall.high,
        "planned_bytes": [round(s) for s in (stored.value, stored.low, stored.high)],
        "bytes": written,
        "planned_mib": round(planned.peak_memory / 2**20),
        "peak_mib": round(made.peak_memory / 2**20),
        "memory_below": made.peak_memory <= planned.peak_memory,
        "sampled_tiles": planned.timing.tiles,
        "sampling_seconds": round(planned.timing.spent, 2),
        "crowding": round(planned.timing.crowding, 3),
    }


def _make(
    folder: Path, grid: Grid, cube: Cube, model: Any, client: Client
) -> tuple[Run, Production]:
    """Make the map of a model anew."""
    shutil.rmtree(folder, ignore_errors=True)
    identity = {
        "grid": asdict(GridSpec.of(grid)),
        "years": [2020],
        "model": {"kind": model.kind},
        "cube": {"digest": cube.manifest.digest},
    }
    run = Run.start(folder, identity, {"cube": str(cube.path)})
    model.save(folder / "model")
    create_map(run.path, grid, model.emits, run.years, {"title": "benchmark"})
    return run, produce(run, client)


def coastal_cube(path: Path, fine: int) -> Cube:
    """Write the benchmarks' cube with a sea of winding coasts over about half of it."""
    cube = make_cube(path, fine)
    y, x = np.mgrid[0:fine, 0:fine] / fine
    sea = np.sin(9 * x + 2 * np.sin(7 * y)) + np.cos(8 * y - 3 * x) < 0
    array = zarr.open_array(path / "stacks/mask/values", mode="r+")
    array[0] = np.where(sea, int(Status.SEA), int(Status.SOIL)).astype(np.int16)
    objects = []
    for item in cube.manifest.objects:
        data = (path / item.key).read_bytes() if "/mask/" in item.key else None
        objects.append(item if data is None else StoredObject(item.key, len(data), checksum(data)))
    manifest = replace(cube.manifest, objects=tuple(objects), digest=objects_digest(tuple(objects)))
    (path / MANIFEST).write_text(manifest.to_json())
    return Cube.open(path)
