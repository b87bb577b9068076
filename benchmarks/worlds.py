"""A synthetic world of any size for benchmarks: a cube, a fitted forest, runs of it."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import zarr

from edaphos.engine.cube.cube import Cube
from edaphos.engine.cube.layout import (
    CLASS_FILL,
    MANIFEST,
    CubeManifest,
    MaskRoles,
    Stack,
    Variable,
    objects_digest,
)
from edaphos.engine.grid import Grid
from edaphos.engine.map_store import create_map
from edaphos.engine.models.forest import ForestModel
from edaphos.engine.run import GridSpec, Run
from edaphos.engine.sampling import draw_samples
from edaphos.engine.store import RecordingStore, zarr_store

DEGREES = 40.0


def make_cube(path: Path, fine: int) -> Cube:
    """Write a cube of relief and a mask of `fine` cells a side, and a coarser climate."""
    rng = np.random.default_rng(0)
    store = RecordingStore(zarr_store(path))
    zarr.create_group(store=store)
    coarse = max(8, fine // 16)
    stacks, variables = {}, {}
    layers = {
        "climate": (("t", "r", "s", "w"), coarse, "amount"),
        "relief": (("elevation", "slope"), fine, "amount"),
        "mask": (("soil_mask",), fine, "class"),
    }
    for name, (bands, side, kind) in layers.items():
        array = zarr.create_array(
            store=store,
            name=f"stacks/{name}/values",
            shape=(len(bands), side, side),
            chunks=(1, 256, 256),
            dtype="int16" if kind == "class" else "float32",
            fill_value=CLASS_FILL if kind == "class" else np.nan,
        )
        for band in range(len(bands)):
            for row in range(0, side, 1024):
                rows = min(1024, side - row)
                block = np.ones((rows, side)) if kind == "class" else rng.normal(size=(rows, side))
                array[band, row : row + rows] = block
        resolution = DEGREES / side
        transform = (resolution, 0.0, 0.0, 0.0, -resolution, DEGREES)
        stacks[name] = Stack(name, "EPSG:4326", transform, (side, side), kind, "static", bands)
        for band, variable in enumerate(bands):
            variables[variable] = Variable(variable, kind, "static", name, band)
    objects = tuple(o for o in store.written() if o.key.startswith("stacks/"))
    manifest = CubeManifest(
        stacks, variables, MaskRoles("soil_mask"), objects, objects_digest(objects)
    )
    (path / MANIFEST).write_text(manifest.to_json())
    return Cube.open(path)


def make_model(cube: Cube, grid: Grid, trees: int, rows: int) -> ForestModel:
    """Return a forest fitted to invented profiles of the world."""
    rng = np.random.default_rng(1)
    top = rng.choice([0.0, 15.0, 40.0, 90.0], rows)
    table = pd.DataFrame(
        {
            "profile_id": [f"b:{i // 4}" for i in range(rows)],
            "source": "b",
            "lon": rng.uniform(0.1, DEGREES - 0.1, rows),
            "lat": rng.uniform(0.1, DEGREES - 0.1, rows),
            "year": 2000.0,
            "top_cm": top,
            "bottom_cm": top + 15,
            "soc_g_kg": np.exp(rng.normal(2.5 - top / 80, 0.7)),
        }
    )
    covariates = tuple(v for v in cube.manifest.variables if v != "soil_mask")
    samples, _ = draw_samples(table, cube, grid, covariates)
    return ForestModel(covariates, trees=trees, threads=2).fit(samples)


def make_run(folder: Path, grid: Grid, cube: Cube, model: ForestModel) -> Run:
    """Return a fresh run of the model on the grid; an older one in the folder is deleted."""
    shutil.rmtree(folder, ignore_errors=True)
    identity = {
        "grid": asdict(GridSpec.of(grid)),
        "years": [2020],
        "model": {"kind": "forest"},
        "cube": {"digest": cube.manifest.digest},
    }
    run = Run.start(folder, identity, {"cube": str(cube.path)})
    model.save(run.model_folder)
    create_map(run.path, grid, model.emits, run.years, {"title": "benchmark"})
    return run


def world_grid(cells: int, tile_size: int) -> Grid:
    """Return a square grid of `cells` a side over the world."""
    bounds = (0.0, 0.0, DEGREES, DEGREES)
    return Grid.from_bounds("EPSG:4326", bounds, DEGREES / cells, tile_size, "benchmark")
