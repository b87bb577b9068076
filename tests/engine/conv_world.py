"""A small world for nets: wet and dry lands, a relief with a hole, land cover; profiles over it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from edaphos.engine.conv.patches import extract
from edaphos.engine.cube.cube import Cube
from edaphos.engine.grid import Grid
from edaphos.engine.models.conv import ConvModel
from edaphos.engine.samples import Samples
from edaphos.engine.sampling import draw_samples
from edaphos.engine.status import Status

from .cubes import Layer, write_cube

COVARIATES = ("wet", "relief", "cover")
DEPTHS = ((0.0, 15.0), (15.0, 40.0), (40.0, 80.0))
SETTINGS: dict[str, Any] = {
    "covariates": COVARIATES,
    "shape": {"patch": 5, "channels": (6, 6), "kernels": (3, 2), "pool_after": (), "dense": (8,)},
    "training": {"epochs": 4, "batch": 64, "rate": 5e-3},
    "fine_tuning": {"epochs": 2, "patience": 2, "rate_share": 1.0, "freeze_until": 1},
    "part_deg": 1.0,
}


def make_cube(path: Path, size: int = 80, **layers: str) -> Cube:
    """Twenty degrees square in quarter degrees; `layers` rename variables."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:size, 0:size] / size
    wet = (np.sin(7 * x) + np.cos(6 * y) + rng.normal(0, 0.3, (size, size))).astype(np.float32)
    relief = rng.gamma(2.0, 200.0, (size, size)).astype(np.float32)
    relief[30:33, 40:48] = np.nan
    cover = rng.integers(1, 4, (size, size)).astype(np.int16)
    mask = np.full((size, size), int(Status.SOIL), np.int16)
    mask[:, 70:] = Status.SEA
    step, name = 20 / size, {n: layers.get(n, n) for n in COVARIATES}
    place = ((0.0, 20.0), (step, step))
    return Cube.open(
        write_cube(
            path,
            [
                Layer({name["wet"]: wet, name["relief"]: relief}, *place),
                Layer({name["cover"]: cover, "soil_mask": mask}, *place, kind="class"),
            ],
            soil_mask="soil_mask",
            chunk=16,
        )
    )


def world_grid(tile_size: int = 48) -> Grid:
    """The grid of the small world, 80 x 80 cells."""
    return Grid.from_bounds("EPSG:4326", (0, 0, 20, 20), 0.25, tile_size, "conv-world")


def profiles(number: int = 240, seed: int = 1) -> pd.DataFrame:
    """Layers at the three depths; carbon rises with wetness and falls with depth."""
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(0.5, 17.0, number), rng.uniform(0.5, 19.5, number)
    wet = np.sin(7 * lon / 20) + np.cos(6 * (20 - lat) / 20)
    who, layer = np.repeat(np.arange(number), 3), np.tile(np.arange(3), number)
    bounds = np.array(DEPTHS)[layer]
    return pd.DataFrame(
        {
            "profile_id": [f"p{i:03d}" for i in who],
            "source": "survey",
            "lon": lon[who],
            "lat": lat[who],
            "year": 2005.0,
            "top_cm": bounds[:, 0],
            "bottom_cm": bounds[:, 1],
            "soc_g_kg": np.exp(2.5 + 0.6 * wet[who] - 0.6 * layer + rng.normal(0, 0.3, len(who))),
        }
    )


def make_samples(cube: Cube, folder: Path, number: int = 240) -> Samples:
    """Return samples with their patches in `folder`."""
    samples, _ = draw_samples(profiles(number), cube, world_grid(), COVARIATES)
    return extract(samples, cube, world_grid(), COVARIATES, 5, folder)


def make_model(**settings: Any) -> ConvModel:
    """Return a small untrained model; nested settings are merged."""
    told = {
        k: {**v, **settings.get(k, {})} if isinstance(v, dict) else settings.get(k, v)
        for k, v in {**SETTINGS, **{k: None for k in settings if k not in SETTINGS}}.items()
    }
    return ConvModel(told, depths=DEPTHS, seed=5)


def moved(samples: Samples, folder: Path, table: pd.DataFrame | None = None) -> Samples:
    """Return samples whose patches lie in a copy of their own, in which nothing was trained yet."""
    assert samples.patches is not None
    shutil.copytree(samples.patches, folder)
    return replace(samples, patches=folder, table=samples.table if table is None else table)
