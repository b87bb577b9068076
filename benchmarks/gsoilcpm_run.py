"""Runs the arms of the benchmark of one model of the world, and keeps what is done.

Each arm in each split of each region is a task of one thread. Its errors are kept as sums by block,
in ``build/gsoilcpm`` while it runs and beside the plan once written, so that a run that was ended
goes on.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from edaphos.engine.assess.splits import make_split
from edaphos.engine.progress import Reporter

from .depth_transfer_scores import sums_of
from .gsoilcpm_arms import Ground, key_of, pretrained, say
from .gsoilcpm_data import in_region, load_samples, of_world, prepare, some_locations
from .kept_tables import done, kept_tables

Told = Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """One arm in one split of one region, with so many locations (0: all)."""

    region: str
    arm: str
    split: int
    locations: int


def tasks_of(plan: Told) -> list[Task]:
    """Return what is to be run, the main comparison first, split by split."""
    regions = [region["name"] for region in plan["region"]]
    found = []
    for curve, splits, counts in (
        (False, plan["splits"], plan["locations"]),
        (True, plan["curve_splits"], plan["curve"]),
    ):
        found += [
            Task(region, arm["name"], split, count)
            for split in splits
            for count in counts
            for region in regions
            for arm in plan["arm"]
            if split in arm.get("splits", (split,)) and arm.get("curve", True) >= curve
        ]
    return found


def digest(plan: Told, task: Task) -> str:
    """Return what tells a task, as the plan has it, from others."""
    arms = {arm["name"]: arm for arm in plan["arm"]}
    own = [arms[name] for name in (task.arm, *arms[task.arm].get("stack", ()))]
    region = next(r for r in plan["region"] if r["name"] == task.region)
    rest = (
        "world",
        "forest",
        "forest_tuning",
        "buffer_km",
        "block_deg",
        "folds",
        "deepest_cm",
        "inits",
    )
    text = key_of(own, region, {name: plan[name] for name in rest}, asdict(task))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run(plan: Told, cache: Path, kept: Path, minutes: float | None = None) -> pd.DataFrame:
    """Return the records of all tasks that are done, running what is missing.

    Parameters
    ----------
    plan
        As the TOML has it.
    cache, kept
        Folder of what is running, and file of what an earlier table was made of.
    minutes
        No task is begun after so many; None: until all is done.
    """
    cache.mkdir(parents=True, exist_ok=True)
    prepare(plan, Reporter())
    tasks = {digest(plan, task): task for task in tasks_of(plan)}
    known = kept_tables("gsoilcpm", plan, tasks, judged, cache, kept, minutes)
    return done(known, list(tasks))


def judged(plan: Told, task: Task, cache: Path) -> tuple[pd.DataFrame, float]:
    """Run a task; return its sums by block over the rows held out, and the seconds it took."""
    ground = ground_of(plan, task, cache)
    arm = next(arm for arm in plan["arm"] if arm["name"] == task.arm)
    started = time.monotonic()
    said = say(ground, arm)
    seconds = time.monotonic() - started
    table = ground.test.table
    nothing = np.zeros(len(table), np.int64)
    sums = sums_of(ground.test.y, said, nothing, table["block"].to_numpy())
    return sums.assign(seconds=seconds), seconds


def ground_of(plan: Told, task: Task, cache: Path) -> Ground:
    """Return what the arms of a region share in a split; the model of the world is learned once."""
    samples, depths = load_samples()
    region = next(r for r in plan["region"] if r["name"] == task.region)
    mine = samples.take(in_region(samples, region))
    split = make_split(
        mine, "block", folds=plan["folds"], seed=task.split, block_deg=plan["block_deg"]
    )
    out = split.held_out(0)
    train = mine.take(some_locations(mine, ~out, task.locations, task.split))
    test = mine.take(out)
    test.table["block"] = split.blocks[out]
    world = samples.take(of_world(samples, region, plan["buffer_km"]))
    init = (task.split - 1) % plan["inits"]
    name = hashlib.sha256(key_of(plan["world"], region, plan["buffer_km"], init).encode())
    folder = cache / f"world-{name.hexdigest()[:12]}"
    model = pretrained(plan, world, folder, depths, seed=100 + init)
    return Ground(plan, world, model, train, test, depths, seed=1000 + task.split)
