"""A small world for production tests: a cube, samples, a fitted forest, a run ready to produce."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from edaphos.engine.cube.cube import Cube
from edaphos.engine.grid import Grid
from edaphos.engine.map_store import create_map
from edaphos.engine.models.forest import ForestModel
from edaphos.engine.place import Place
from edaphos.engine.run import GridSpec, Run
from edaphos.engine.sampling import draw_samples
from edaphos.engine.status import Status
from edaphos.engine.whole_folder import is_whole, whole_folder

from .cubes import Layer, write_cube

DEPTHS = ((0.0, 5.0), (30.0, 60.0))


def make_cube(path: Path, seed: int = 0) -> Path:
    """Sixty degrees square: coarse climate, a finer relief with a hole, a mask with a sea."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:120, 0:120] / 120
    smooth = np.sin(5 * x) + np.cos(4 * y)
    months = np.stack([smooth + 0.3 * np.sin(m / 2) for m in range(12)]).astype(np.float32)
    relief = (rng.normal(size=(240, 240)) + np.kron(smooth, np.ones((2, 2)))).astype(np.float32)
    relief[100:104, 20:40] = np.nan
    mask = np.full((240, 240), int(Status.SOIL), np.int16)
    mask[:, 190:] = Status.SEA
    mask[200:, :30] = Status.ICE
    return write_cube(
        path,
        [
            Layer({"temperature": months}, (0, 60), (0.5, 0.5), time="monthly"),
            Layer({"relief": relief}, (0, 60), (0.25, 0.25)),
            Layer({"soil_mask": mask}, (0, 60), (0.25, 0.25), kind="class"),
        ],
        soil_mask="soil_mask",
        chunk=32,
    )


def make_table(rows: int = 600, seed: int = 1) -> pd.DataFrame:
    """Layers of invented profiles inside the world."""
    rng = np.random.default_rng(seed)
    profile = np.repeat(np.arange(rows // 3), 3)
    top = np.tile([0.0, 20.0, 60.0], rows // 3)
    return pd.DataFrame(
        {
            "profile_id": [f"v:{p}" for p in profile],
            "source": "v",
            "lon": rng.uniform(0.2, 47.0, rows // 3)[profile],
            "lat": rng.uniform(0.2, 59.8, rows // 3)[profile],
            "year": 2000.0,
            "top_cm": top,
            "bottom_cm": top + 15,
            "soc_g_kg": np.exp(rng.normal(2.5 - top / 60, 0.6)),
        }
    )


def make_run(folder: Place, grid: Grid, cube: Path, **identity: Any) -> Run:
    """Fit a small forest and prepare a run of it on `grid`."""
    opened = Cube.open(cube)
    samples, _ = draw_samples(make_table(), opened, grid, ("temperature", "relief"))
    model = ForestModel(("temperature", "relief"), trees=8, depths=DEPTHS).fit(samples)
    held = {
        "grid": {**GridSpec.of(grid).__dict__},
        "years": [2020],
        "model": {"kind": "forest"},
        "cube": {"digest": opened.manifest.digest},
        **identity,
    }
    run = Run.start(folder, held, {"cube": str(cube)})
    if not is_whole(run.model_folder):
        with whole_folder(run.model_folder) as filled:
            model.save(filled)
    create_map(run.path, grid, model.emits, run.years, {"title": "a small world"})
    return run


def world_grid(tile_size: int, resolution: float = 0.1) -> Grid:
    """The grid of the small world: 600 x 600 cells by default."""
    return Grid.from_bounds("EPSG:4326", (0, 0, 60, 60), resolution, tile_size, "small-world")
