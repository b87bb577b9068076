"""A small world with a region: groups of covariates, profiles of both, and models to fit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from edaphos.engine.branches.group_set import draw_set
from edaphos.engine.cube.cube import Cube
from edaphos.engine.models.depth_rows import depth_rows
from edaphos.engine.models.gsoilcpm import GsoilcpmModel
from edaphos.engine.samples import Samples
from edaphos.engine.sampling import draw_samples
from edaphos.engine.status import Status
from edaphos.engine.tiles import read_inputs

from .conv_world import DEPTHS, world_grid
from .conv_world import profiles as world_profiles

GROUPS = (
    {"name": "climate", "covariates": ("wet",)},
    {"name": "relief", "covariates": ("relief",), "window": 5},
    {"name": "cover", "covariates": ("cover",), "window": 3},
)
SETTINGS: dict[str, Any] = {
    "groups": GROUPS,
    "width": 6,
    "merged": 12,
    "dense": (12, 8),
    "dropout": (0.1, 0.1),
    "embedding": 2,
    "part_deg": 1.0,
    "group_dropout": 0.1,
    "training": {"epochs": 12, "batch": 64, "rate": 5e-3, "patience": 12},
    "fine_tuning": {"epochs": 4, "patience": 4, "rate_share": 0.5, "part_deg": 0.5, "forests": 0},
}
#: float32 arithmetic in another order.
TOLERANCE = 1e-4
#: West, south, east, north of the region.
REGION = (11.0, 11.0, 16.0, 16.0)


def make_model(**settings: Any) -> GsoilcpmModel:
    """Return a small untrained model; nested settings are merged."""
    told = dict(SETTINGS)
    for key, value in settings.items():
        told[key] = {**SETTINGS[key], **value} if isinstance(SETTINGS.get(key), dict) else value
    return GsoilcpmModel(told, depths=DEPTHS, seed=5)


def region_profiles(number: int = 80, seed: int = 7) -> pd.DataFrame:
    """Profiles of the region: half as much carbon again as in the world."""
    table = world_profiles(2400, seed)
    west, south, east, north = REGION
    inside = table["lon"].between(west, east) & table["lat"].between(south, north)
    table = table[inside].assign(soc_g_kg=lambda t: 1.5 * t["soc_g_kg"], source="region")
    kept = np.sort(table["profile_id"].unique())[:number]
    return table[table["profile_id"].isin(kept)].reset_index(drop=True)


def make_samples(
    cube: Cube, folder: Path, model: GsoilcpmModel, table: pd.DataFrame | None = None, **how: Any
) -> Samples:
    """Return samples with their set in `folder`; those of the world by default."""
    table = world_profiles(240) if table is None else table
    samples, _ = draw_samples(table, cube, world_grid(), model.covariates)
    return draw_set(samples, cube, world_grid(), model.windows, folder, **how)


def tile_of(model: GsoilcpmModel, cube: Cube, *window: int):
    grid = world_grid()
    context = SimpleNamespace(cube=cube, model=model, grid=grid, run=SimpleNamespace(years=(2005,)))
    inputs, _ = read_inputs(context, grid.window(*window))
    return inputs, model.predict(inputs)


def check_map(model: GsoilcpmModel, cube: Cube, samples: Samples) -> None:
    """A map says where samples lie what rows say."""
    inputs, made = tile_of(model, cube, 0, 0, 80, 80)
    assert set(np.unique(made.pop("status"))) <= {0, Status.LIMITED}
    assert made.keys() == {o.name for o in model.emits.outputs}
    assert all(np.isfinite(layer[..., inputs.wanted]).all() for layer in made.values())
    rows = model.predict_rows(samples)
    y, x, _ = world_grid().locate(samples.table["lon"], samples.table["lat"])
    depth = depth_rows(samples.top, samples.bottom, DEPTHS)
    for name, layer in made.items():
        np.testing.assert_allclose(
            layer[depth, 0, y, x], rows[name], rtol=TOLERANCE, atol=TOLERANCE, err_msg=name
        )
    part = tile_of(model, cube, 13, 20, 31, 17)[1]
    for name, layer in part.items():
        if name == "status":
            continue
        there = made[name][..., 13:44, 20:37]
        np.testing.assert_allclose(layer, there, rtol=TOLERANCE, atol=TOLERANCE)
