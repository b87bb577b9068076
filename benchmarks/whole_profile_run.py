"""Runs the arms of the study of whole profiles: what each split's forests say of rows left out."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.engine.assess.crossval import fit_and_predict
from edaphos.engine.assess.splits import location_codes, make_split
from edaphos.engine.measured import with_measured
from edaphos.engine.models.protocol import ModelSpec
from edaphos.engine.profiles.layer_stocks import STOCK_TARGET
from edaphos.engine.progress import Reporter
from edaphos.engine.samples import Samples
from edaphos.engine.sampling import draw_samples
from edaphos.recipes.job import Overrides, load_job
from edaphos.recipes.pipeline import load, open_cube
from edaphos.recipes.templates import builtin_path

from .open_data import DATA

Told = Mapping[str, Any]
FINE = "clay_silt_pct"


@dataclass(frozen=True)
class Task:
    """One forest of every fold of one split."""

    population: str
    predictors: str
    learns: str
    split: str
    seed: int


@dataclass(frozen=True)
class Done:
    """Samples of each population, and what was said of each row by the tasks that are done."""

    samples: Mapping[str, Samples]
    said: Mapping[Task, NDArray[np.float64]]


def tasks_of(plan: Told) -> list[Task]:
    """Return all tasks, those first that answer the main questions."""
    found = []
    for predictors in plan["predictors"]:
        fewer = plan["reduced"].get(predictors)
        for population in list(plan["populations"])[: 1 if fewer else None]:
            for learns in plan["learns"][: 1 if fewer else None]:
                for seed in plan["seeds"][:fewer]:
                    splits = plan["splits"] if seed in plan["source_seeds"] else _drawn_splits(plan)
                    found += [Task(population, predictors, learns, s, seed) for s in splits]
    return found


def _drawn_splits(plan: Told) -> list[str]:
    """Return the splits whose folds differ by seed."""
    return [split for split in plan["splits"] if split != "source"]


def run(plan: Told, folder: Path, name: str, minutes: float | None = None) -> Done:
    """Return what is done of the tasks, running what is missing until the minutes are over."""
    cache = folder / name
    cache.mkdir(parents=True, exist_ok=True)
    world = _samples(folder, plan)
    grass = grassland(world)
    samples = {"grassland": world.take(grass), "all": world}
    said: dict[Task, NDArray[np.float64]] = {}
    tasks, started = tasks_of(plan), time.monotonic()
    for i, task in enumerate(tasks, start=1):
        path = cache / f"{_digest(plan, task, len(samples[task.population]))}.npy"
        if not path.exists():
            if minutes is not None and time.monotonic() - started > 60 * minutes:
                continue
            begun = time.monotonic()
            values = _predicted(plan, task, samples[task.population])
            np.save(cache / "partial.npy", values.astype(np.float32))
            (cache / "partial.npy").rename(path)
            spent = time.monotonic() - begun
            sys.stderr.write(f"whole_profile: {i} of {len(tasks)}, {task}, {spent:.0f} s\n")
        said[task] = np.load(path).astype(np.float64)
    return Done(samples, said)


def grassland(samples: Samples) -> NDArray[np.bool_]:
    """Return the rows of the recipe's biome."""
    biome = load_job(builtin_path("whole_profile"), Overrides(data=DATA)).recipe.biome
    assert biome is not None  # the built-in recipe has one
    inside = np.ones(len(samples), bool)
    for variable, codes in biome.classes.items():
        inside &= np.isin(samples.table[variable].to_numpy(), codes)
    return inside


def _predicted(plan: Told, task: Task, samples: Samples) -> NDArray[np.float64]:
    kind, degrees = task.split, plan["block_deg"]
    split = make_split(samples, kind, folds=plan["folds"], seed=task.seed, block_deg=degrees)
    settings = {
        "covariates": plan["predictors"][task.predictors],
        "learns": task.learns,
        "quantiles": (),
        "seed": task.seed,
        **plan["forest"],
    }
    values = np.full(len(samples), np.nan)
    for fold in range(len(split)):
        held_out = split.held_out(fold)
        found = fit_and_predict(ModelSpec("stock_forest", settings), samples, held_out)
        values[held_out] = found["stock_mean"]
    return values


def _digest(plan: Told, task: Task, rows: int) -> str:
    told = {name: plan[name] for name in ("folds", "block_deg", "forest")}
    told |= {"predictors": plan["predictors"][task.predictors], "rows": rows, **asdict(task)}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def _samples(folder: Path, plan: Told) -> Samples:
    """Return the layers with density and texture, drawn once; some profiles of them if so told."""
    kept, about = folder / "samples.parquet", folder / "samples.json"
    if not about.exists():
        samples = _drawn(folder)
        samples.table.to_parquet(kept, index=False)
        told = {"features": samples.features, "classes": samples.classes}
        about.write_text(json.dumps({**told, "target": samples.target}))
    told = json.loads(about.read_text())
    target = tuple(told["target"])
    table = pd.read_parquet(kept)
    samples = Samples(table, tuple(told["features"]), target, tuple(told["classes"]))
    if "profiles" not in plan:
        return samples
    codes = location_codes(samples)
    rng = np.random.default_rng(0)
    drawn = rng.choice(codes.max() + 1, plan["profiles"], replace=False)
    grass = np.unique(codes[grassland(samples)])
    drawn = np.concatenate([drawn, rng.choice(grass, min(len(grass), plan["profiles"]), False)])
    return samples.take(np.isin(codes, drawn))


def _drawn(folder: Path) -> Samples:
    overrides = Overrides(data=DATA, cube=folder / "world.zarr")
    job = load_job(builtin_path("whole_profile"), overrides)
    job = replace(job, recipe=job.recipe.model_copy(update={"biome": None}))
    cube = open_cube(job, None, Reporter())
    table = job.recipe.profiles
    assert table is not None  # the built-in recipe has them
    profiles = load(job, table, cube)
    grids = load_job(builtin_path("world"), Overrides(data=DATA)).model.settings["covariates"]
    wanted = [name for name in grids if cube.variable(name).time != "monthly"]
    samples, _ = draw_samples(profiles.table, cube, job.grid, wanted, target=STOCK_TARGET)
    return with_measured(samples, [FINE])
