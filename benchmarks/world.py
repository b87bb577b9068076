"""All land cells of the Earth at 30 arc-seconds: RothC's equilibrium, then 240 months, mapped.

A throughput demonstration, and nothing else: climate is of 0.5 degrees, clay too (a small forest
on the profiles gives it), the stock of 5 minutes; gaps are filled from far away and no cell is
left out as wet, frozen or organic, so that every land cell is computed. It needs the open data
beside the repository, and is left out, saying so, without them. ``--fraction 0.1`` makes a tenth of
the tiles, drawn by a fixed seed, and says so.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from distributed import Client

from edaphos.engine.build.build import build_cube
from edaphos.engine.build.spec import CubeSpec, LayerSpec, SoilMaskSpec
from edaphos.engine.cluster import ClusterSpec, connect
from edaphos.engine.cube.cube import Cube
from edaphos.engine.grid import Grid
from edaphos.engine.land import save_index
from edaphos.engine.ledger import Ledger
from edaphos.engine.map_store import MAP, create_map
from edaphos.engine.models.forest import ForestModel
from edaphos.engine.models.protocol import TileInputs
from edaphos.engine.models.rothc import RothCModel
from edaphos.engine.produce import Production, index_land, produce
from edaphos.engine.profiles.profiles import load_profiles
from edaphos.engine.progress import Reporter
from edaphos.engine.run import GridSpec, Run
from edaphos.engine.sampling import draw_samples
from edaphos.engine.store import list_objects
from edaphos.engine.tiles import peak_memory
from edaphos.recipes.cube_schema import read_cube_spec
from edaphos.recipes.job import Overrides, load_job, profile_files, qa_rules
from edaphos.recipes.templates import builtin_path

from .open_data import DATA, has_open_data
from .result import Result
from .rothc_phases_timed import timed_phases
from .soils import CORES

TILE = 1024
START, END = 1960, 1980
#: Gaps are filled from this far: islands and Greenland too.
FILL_DEG = 10.0
#: Every class carries soil here.
CLASSES = {str(code): 0.67 for code in (0, 15, 17, 254, 255)}


def measure(*, small: bool, fraction: float = 1.0) -> Iterator[Result]:
    """Yield cells a second of the whole job, month by month, and with years at once."""
    if not has_open_data("world"):
        return
    fraction = min(fraction, 0.02) if small else fraction
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with connect(ClusterSpec(workers=CORES, tiles_at_once=2)) as client:
            started = time.perf_counter()
            cube = _cube(folder, client)
            building = time.perf_counter() - started
            for steps in ("months", "years"):
                yield _make(folder / steps, cube, client, steps, fraction, building)
                shutil.rmtree(folder / steps)


def _make(
    folder: Path, cube: Cube, client: Client, steps: str, fraction: float, building: float
) -> Result:
    model, grid = _model(steps), Grid.preset("global-30s", TILE)
    identity = {
        "grid": asdict(GridSpec.of(grid)),
        "years": [START, END],
        "model": {"kind": "rothc", "steps": steps},
        "cube": {"digest": cube.manifest.digest},
    }
    run = Run.start(folder, identity, {"cube": str(cube.path)})
    model.save(run.model_folder)
    create_map(folder, grid, model.emits, run.years, {"title": "throughput demonstration"})
    started = time.perf_counter()
    counts = index_land(run, client)
    indexing = time.perf_counter() - started
    land = int(counts.sum())
    if fraction < 1:
        chosen = np.random.default_rng(0).random(counts.shape) < fraction
        counts = np.where(chosen, counts, 0)
        save_index(run.path, counts)
    made = produce(run, client, Reporter())
    cells = int(counts.sum())
    seconds = indexing * cells / land + made.seconds  # the index is always of all land
    return Result(
        name=f"world, {steps}",
        value=round(cells / seconds),
        unit="land cells/s",
        peer="20 minutes for the whole Earth",
        ratio=round(20 * 60 / (seconds * land / cells), 2),
        details={
            "land_cells": land,
            "cells_computed": cells,
            "fraction_of_tiles": fraction,
            "minutes": round(seconds / 60, 2),
            "minutes_indexing_land": round(indexing / 60, 2),
            "minutes_building_the_cube_before": round(building / 60, 2),
            "worker_seconds_by_phase": _phases(made, model, cube, grid, counts),
            "cells_by_status": _statuses(run),
            "peak_memory_of_a_worker_mib": round(made.peak_memory / 2**20),
            "peak_memory_of_the_client_mib": round(peak_memory() / 2**20),
            "map_mib": round(sum(list_objects(folder / MAP).values()) / 2**20),
            "workers": CORES,
            "note": "throughput demonstration: covariates are far coarser than 30 arc-seconds",
        },
    )


def _model(steps: str) -> RothCModel:
    return RothCModel(
        {
            "years": [START, END],
            "steps": steps,
            "stock": {"variable": "stock_1960", "start": START},
            "clay": {"variable": "clay"},
            "cover": {"legend": "igbp", "dpm_rpm": CLASSES},
            "domain": {"organic_above": 1e9, "frozen_below": -1e9},
        }
    )


def _phases(
    made: Production, model: RothCModel, cube: Cube, grid: Grid, counts: Any
) -> dict[str, float]:
    """Return worker seconds by phase; what predicting consists of is told by one tile's shares."""
    row, col = divmod(int(np.argmax(counts)), counts.shape[1])
    window = grid.tile(row, col).window
    values = cube.read(window, model.reads.variables, model.reads.years or ())
    wanted = cube.status(window) == 1
    shares = timed_phases(model, TileInputs(window, values, wanted, (START, END)))
    total = sum(shares.values())
    whole = {name: round(value, 1) for name, value in made.phases.items() if name != "predict"}
    for name, share in shares.items():
        whole[f"predict: {name}"] = round(made.phases["predict"] * share / total, 1)
    return whole


def _statuses(run: Run) -> dict[str, int]:
    counts: dict[str, int] = {}
    for record in Ledger(run.path).records():
        if record.outcome == "done":
            for name, count in record.status.items():
                counts[name] = counts.get(name, 0) + count
    return counts


# -- the cube --------------------------------------------------------------------------------------


def _cube(folder: Path, client: Client) -> Cube:
    """Build the cube: the recipe's climate, cover and stock, a map of clay, the 30" land mask."""
    recipe = read_cube_spec(builtin_path("rothc_world_cube"), DATA)
    coarse = folder / "coarse.zarr"
    build_cube(recipe, coarse, client=client)
    clay = _clay(Cube.open(coarse), folder / "clay.tif")
    wanted = {"temperature", "rain", "landcover", "stock_1960", "land"}
    layers = [_far(layer) for layer in recipe.layers if layer.name in wanted]
    spec = CubeSpec(
        (*layers, clay),
        soil_mask=SoilMaskSpec(land="land", exclude_south_of=-60.0),
        title='throughput demonstration at 30"',
        base=recipe.base,
    )
    build_cube(spec, folder / "world.zarr", client=client)
    return Cube.open(folder / "world.zarr")


def _far(layer: LayerSpec) -> LayerSpec:
    if layer.name == "land":
        return replace(layer, coarsen=1)
    return layer if layer.kind == "class" else replace(layer, fill_radius_deg=FILL_DEG)


def _clay(cube: Cube, path: Path) -> LayerSpec:
    """Map clay at 0.5 degrees with a small forest on the profiles; return it as a layer."""
    job = load_job(builtin_path("rothc_world"), Overrides(data=DATA))
    table = job.recipe.profiles
    assert table is not None
    model = job.model.build()
    profiles = load_profiles(profile_files(table, DATA), qa_rules(table, model.target))
    grid = Grid.preset("global-0.5deg")
    covariates = model.learns_from
    samples, _ = draw_samples(profiles.table, cube, grid, covariates, target=model.target)
    forest = ForestModel(
        covariates, trees=20, transform="none", quantiles=(), depths=((0, 30),), threads=CORES
    ).fit(samples)
    values = cube.read(grid.whole, covariates)
    known = np.ones(grid.shape, bool)
    for name in covariates:
        if not cube.variable(name).seasonal_gap:
            known &= ~np.isnan(values[name])
    inputs = TileInputs(grid.whole, values, known, (START,))
    clay = forest.predict(inputs)["clay_mean"][0, 0]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=grid.shape[1],
        height=grid.shape[0],
        count=1,
        dtype="float32",
        crs="EPSG:4326",
        transform=Affine(0.5, 0, -180, 0, -0.5, 90),
        nodata=-1,
    ) as file:
        file.write(np.nan_to_num(clay, nan=-1), 1)
    return LayerSpec("clay", str(path), "amount", units="%", fill_radius_deg=FILL_DEG)
