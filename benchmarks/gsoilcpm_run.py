"""Runs the arms of the benchmark of one model of the world, and keeps what is done.

Each arm in each split of each region is a task of one thread. Its errors are kept as sums by block,
in ``build/gsoilcpm`` while it runs and beside the plan once written, so that a run that was ended
goes on.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.engine.assess.splits import Split, make_split
from edaphos.engine.progress import Reporter
from edaphos.engine.samples import Samples

from .depth_transfer_scores import sums_of
from .gsoilcpm_arms import Ground, Said, key_of, parts_of, pretrained, say
from .gsoilcpm_data import in_region, load_samples, of_world, prepare, some_locations
from .kept_tables import add_made, arm_of, done, kept_tables

Told = Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """One arm in one split of one region, with so many locations (0: all)."""

    region: str
    arm: str
    split: int
    locations: int


def tasks_of(plan: Told) -> list[Task]:
    """Return what is to be run, split by split; the curve comes in between."""
    regions = [region["name"] for region in plan["region"]]
    found: list[Task] = []
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
    # the curve comes after half of the splits: a run that is cut short has some of everything
    half = float(np.median(plan["splits"]))
    return sorted(found, key=lambda task: half if task.locations else task.split)


def digest(plan: Told, task: Task) -> str:
    """Return what tells a task, as the plan has it, from others."""
    arm = arm_of(plan, task.arm)
    own = [arm, *(arm_of(plan, name) for name in parts_of(arm))]
    region = next(r for r in plan["region"] if r["name"] == task.region)
    rest = (
        "world",
        "forest",
        "forest_tuning",
        "fine_tuning",
        "buffer_km",
        "block_deg",
        "inner_block_deg",
        "folds",
        "deepest_cm",
        "inits",
        *(("kept_rows",) if any(one.get("forests") for one in own) else ()),
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
    run_here = {key: task for key, task in tasks.items() if not _is_made(plan, task)}
    known = kept_tables("gsoilcpm", plan, run_here, judged, cache, kept, minutes)
    made = {key: task for key, task in tasks.items() if key not in run_here}
    add_made(known, made, made_table, plan, cache)
    return done(known, list(tasks))


def _is_made(plan: Told, task: Task) -> bool:
    """Whether an arm is made of what others said."""
    return bool({"mean_of", "said_by"} & set(arm_of(plan, task.arm)))


def judged(plan: Told, task: Task, cache: Path) -> tuple[pd.DataFrame, float]:
    """Run a task; return its sums by block over the rows held out, and the seconds it took."""
    ground, arm = ground_of(plan, task, cache), arm_of(plan, task.arm)
    started = time.monotonic()
    said = say(ground, arm)
    seconds = time.monotonic() - started
    key = digest(plan, task)
    np.save(cache / f"{key}.npy", said.values)
    if said.more:
        np.savez(cache / f"{key}.npz", allow_pickle=False, **said.more)
    (cache / f"{key}.json").write_text(json.dumps(said.settings))
    table = _sums(ground.test, said.values)
    return table.assign(seconds=seconds, settings=json.dumps(said.settings)), seconds


def said_of(plan: Told, task: Task, arms: Iterable[str], cache: Path) -> dict[str, Said]:
    """Return what arms said in the split and region of a task, of those that ran here."""
    keys = {name: digest(plan, replace(task, arm=name)) for name in arms}
    return {
        name: Said(np.load(cache / f"{key}.npy"), json.loads((cache / f"{key}.json").read_text()))
        for name, key in keys.items()
        if (cache / f"{key}.parquet").exists()  # written last
    }


def made_table(plan: Told, task: Task, cache: Path) -> pd.DataFrame | None:
    """Return the sums of an arm that is made of others, None unless all of them ran here.

    It is their mean, or something else that the fit of one of them says.
    """
    arm = arm_of(plan, task.arm)
    names = parts_of(arm)
    known = said_of(plan, task, names, cache)
    if len(known) < len(names):
        return None
    mine, split = region_of(plan, task)
    if "said_by" in arm:
        with np.load(cache / f"{digest(plan, replace(task, arm=names[0]))}.npz") as held:
            values = held[arm["output"]]
    else:
        values = np.mean([said.values for said in known.values()], axis=0)
    return _sums(_held_out(mine, split), values).assign(seconds=0.0, settings="{}")


def _sums(test: Samples, said: NDArray[np.float64]) -> pd.DataFrame:
    nothing = np.zeros(len(test), np.int64)
    return sums_of(test.y, said, nothing, test.table["block"].to_numpy())


def region_of(plan: Told, task: Task) -> tuple[Samples, Split]:
    """Return the rows of a region, and how they are split; the first fold is held out."""
    samples, _ = load_samples()
    region = next(r for r in plan["region"] if r["name"] == task.region)
    mine = samples.take(in_region(samples, region))
    return mine, make_split(
        mine, "block", folds=plan["folds"], seed=task.split, block_deg=plan["block_deg"]
    )


def _held_out(mine: Samples, split: Split) -> Samples:
    out = split.held_out(0)
    test = mine.take(out)
    test.table["block"] = split.blocks[out]
    return test


def ground_of(plan: Told, task: Task, cache: Path) -> Ground:
    """Return what the arms of a region share in a split; the model of the world is learned once."""
    samples, depths = load_samples()
    region = next(r for r in plan["region"] if r["name"] == task.region)
    mine, split = region_of(plan, task)
    train = mine.take(some_locations(mine, ~split.held_out(0), task.locations, task.split))
    test = _held_out(mine, split)
    world = samples.take(of_world(samples, region, plan["buffer_km"]))
    init = (task.split - 1) % plan["inits"]
    name = hashlib.sha256(key_of(plan["world"], region, plan["buffer_km"], init).encode())
    folder = cache / f"world-{name.hexdigest()[:12]}"
    model = pretrained(plan, world, folder, depths, seed=100 + init)
    return Ground(plan, world, model, train, test, depths, seed=1000 + task.split)
