"""The recipe's own map of the world, for the table of the beta benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edaphos.engine.cube.cube import Cube
from edaphos.engine.map_view import open_map
from edaphos.engine.models.beta_settings import BetaSettings
from edaphos.engine.place import place
from edaphos.engine.products.ecosystem_tables import note_of
from edaphos.engine.products.layers import map_grid
from edaphos.engine.progress import Reporter
from edaphos.engine.run import Run
from edaphos.recipes.beta_schema import BetaTable
from edaphos.recipes.beta_totals import write_totals
from edaphos.recipes.job import Overrides, load_job
from edaphos.recipes.pipeline import run_job
from edaphos.recipes.templates import builtin_path

from .beta_profile_table import mean_betas
from .open_data import DATA


def world(folder: Path) -> dict[str, Any]:
    """Make the map, unless it is there, and return its totals and what it took."""
    out = place(folder / "map")
    overrides = Overrides(data=DATA, cube=folder / "world.zarr", workers=1)
    job = load_job(builtin_path("beta_profile"), overrides)
    if not (folder / "map" / "report.html").exists():
        run_job(job, out, Reporter())
    run = Run.open(out)
    assert isinstance(job.recipe.model, BetaTable)  # the built-in recipe's
    found = write_totals(run, job.recipe.model)
    assert found is not None  # its layers are those of the paper
    dataset = open_map(out)
    beta = dataset["beta_mean"].to_numpy()[0]
    seconds = run.manifest()["provenance"]["stage_seconds"]
    return {
        **found,
        "note": note_of(found),
        "seconds": {k: v for k, v in seconds.items() if k != "cube"},
        "cells": int(np.isfinite(beta).sum()),
        "beta": mean_betas(beta, _weights(run, job.recipe.model, dataset)),
    }


def _weights(run: Run, table: BetaTable, dataset: Any) -> dict[str, np.ndarray]:
    grid = map_grid(dataset)
    settings = BetaSettings.of(table.settings())
    name, land = settings.ecosystems.variable, table.ecosystems.land
    values = Cube.open(run.cube_path).read(grid.whole, [name, land])
    area = grid.cell_areas(grid.whole) * np.nan_to_num(values[land])
    return {n: settings.ecosystems.share(n, values[name]) * area for n in settings.ecosystems.names}
