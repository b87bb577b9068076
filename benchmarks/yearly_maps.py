"""Twenty-one yearly maps by forest, process and hybrid at 30 arc-seconds over 16 x 16 degrees.

The virtual region of the demo in time, whose files are of 0.25 degrees: a throughput demonstration.
Worker seconds are given by phase, and within predicting by shares measured on one tile.
``--fraction 0.1`` maps the tiles that touch a strip of that share, west to east, and says how many.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edaphos.engine.cluster import connect
from edaphos.engine.cube.cube import Cube
from edaphos.engine.models.poml import PomlModel
from edaphos.engine.models.poml_sites import Places, of_cells, site_years
from edaphos.engine.models.rothc_cells import latitudes
from edaphos.engine.progress import QUIET, Reporter
from edaphos.engine.run import Run
from edaphos.recipes.changing_demo import SURVEY, settings_of
from edaphos.recipes.changing_truth import survey_table
from edaphos.recipes.changing_world import BOUNDS, ChangingWorld
from edaphos.recipes.job import Job, Overrides, load_job
from edaphos.recipes.pipeline import open_cube, run_stages
from edaphos.recipes.templates import builtin_path

from .result import Result
from .soils import CORES

#: Cells along a degree of the whole job, and of a quick look.
FINE, COARSE = 120, 20
TILE = 256
#: Cells that phases of predicting are measured on.
SAMPLED = 8192


def measure(*, small: bool, fraction: float = 1.0) -> Iterator[Result]:
    """Yield maps' cells a second: every year and arm of a cell counts as one."""
    with tempfile.TemporaryDirectory() as scratch:
        job = _job(Path(scratch), COARSE if small else FINE)
        told = settings_of(job)
        world = ChangingWorld(told.span, job.recipe.seed)
        world.write(Path(scratch))
        reporter = QUIET if small else Reporter()
        with connect(job.cluster, QUIET) as client:
            cube = open_cube(job, client, QUIET)
            table = survey_table(world, told, cube, job.grid, SURVEY, job.recipe.seed)
            table.to_csv(Path(scratch) / "profiles.csv", index=False)
            run = run_stages(job, Path(scratch) / "run", client, reporter, region=_strip(fraction))
        made = run.manifest()["provenance"]["production"]
        values = made["cells"] * len(run.years) * len(told.emit)
        yield Result(
            name="yearly maps",
            value=round(values / made["seconds"]),
            unit="values/s",
            peer="one worker-second of predicting alone",
            ratio=round(made["seconds"] * CORES / made["phases"]["predict"], 3),
            details={
                "land_cells": made["cells"],
                "tiles": [made["tiles"], len(list(job.grid.tiles()))],
                "years": len(run.years),
                "arms": list(told.emit),
                "trees": told.learner.trees,
                "seconds": round(made["seconds"], 1),
                "land_cells_a_second": round(made["cells"] / made["seconds"]),
                "worker_seconds_by_phase": {k: round(v, 1) for k, v in made["phases"].items()},
                "shares_of_predicting": _shares(run, cube, job),
                "workers": CORES,
                "note": "throughput demonstration: files are of 0.25 degrees",
            },
        )


def _strip(fraction: float) -> tuple[float, float, float, float] | None:
    """Return the part of the region to map, about its middle; None for all of it."""
    if fraction >= 1:
        return None
    west, south, east, north = BOUNDS
    middle, half = (south + north) / 2, fraction * (north - south) / 2
    return west, middle - half, east, middle + half


def _job(folder: Path, cells: int) -> Job:
    text = builtin_path("poml_demo").read_text()
    changes = {
        "resolution = 0.1": f"resolution = {1 / cells!r}",
        "tile_size = 80": f"tile_size = {TILE if cells == FINE else 80}",
        "[assess]": "[assess]\nenabled = false",
        "[products]": "[products]\nreport = false",
    }
    for old, new in changes.items():
        if old not in text:
            raise RuntimeError(f"the demo's recipe has no {old!r} any more")
        text = text.replace(old, new)
    path = folder / "recipe.toml"
    path.write_text(text)
    return load_job(path, Overrides(workers=CORES, data=folder, cube=folder / "cube.zarr"))


def _shares(run: Run, cube: Cube, job: Job) -> dict[str, float]:
    """Return what share of predicting each step takes, on cells of the middle tile."""
    model = run.load_model()
    assert isinstance(model, PomlModel)
    tiles = list(job.grid.tiles())
    window = tiles[len(tiles) // 2].window
    values = cube.read(window, model.reads.variables, model.told.span)
    cells = np.flatnonzero(cube.status(window) == 1)[:SAMPLED]
    here = latitudes(window).reshape(-1)[cells]
    years = np.arange(len(model.told.span))
    seconds: dict[str, float] = {}

    def timed(name: str, begun: float) -> None:
        seconds[name] = time.perf_counter() - begun

    for _ in range(2):  # the first time compiles
        begun = time.perf_counter()
        places = Places(np.zeros(len(cells)), here, here)
        data, _status = site_years(model.told, of_cells(values, cells), places)
        timed("climate and covariates", begun)
        begun = time.perf_counter()
        alone = model.arms.forest(data, years, model.arms.start)
        timed("forest alone", begun)
        begun = time.perf_counter()
        model.arms.process_from(data, alone[:, -1])
        timed("process", begun)
        begun = time.perf_counter()
        model.arms.hybrid(data, years)
        timed("hybrid", begun)
    whole = sum(seconds.values())
    return {name: round(value / whole, 3) for name, value in seconds.items()}
