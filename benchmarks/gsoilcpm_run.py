"""Runs the arms of the benchmark of one model of the world, and keeps what is done.

Each arm in each split of each region is a task of one thread. Its errors are kept as sums by block,
in ``build/gsoilcpm`` while it runs and beside the plan once written, so that a run that was ended
goes on.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
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
from .gsoilcpm_arms import Ground, key_of, parts_of, pretrained, say
from .gsoilcpm_data import in_region, load_samples, of_world, prepare, some_locations
from .gsoilcpm_fine import draw_fine, fine_samples
from .kept_tables import add_made, arm_of, done, kept_tables

Told = Mapping[str, Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """One arm in one split of one region, with so many locations (0: all)."""

    region: str
    arm: str
    split: int
    locations: int


def tasks_of(plan: Told) -> list[Task]:
    """Return what is to be run, split by split; the curve comes in between."""
    regions = {region["name"]: region.get("arms") for region in plan["region"]}
    found: list[Task] = []
    for curve, splits, counts in (
        (False, plan["splits"], plan["locations"]),
        (True, plan["curve_splits"], plan["curve"]),
    ):
        found += [
            Task(region, arm["name"], split, count)
            for split in splits
            for count in counts
            for region, own in regions.items()
            for arm in plan["arm"]
            if own is None or arm["name"] in own
            if split in arm.get("splits", (split,)) and arm.get("curve", True) >= curve
        ]
    # the curve comes after half of the splits: a run that is cut short has some of everything
    half = float(np.median(plan["splits"]))
    return sorted(found, key=lambda task: half if task.locations else task.split)


def digest(plan: Told, task: Task) -> str:
    """Return what tells a task, as the plan has it, from others."""
    own = _with_parts(plan, task.arm)
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
        *(
            ("kept_places",)
            if any("adversarial" in one.get("fine_tuning", ()) for one in own)
            else ()
        ),
    )
    rest_of = {name: plan[name] for name in rest} | {"held out": held_fold(plan, task.split)}
    text = key_of(own, _region(plan, task), rest_of, asdict(task))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _with_parts(plan: Told, name: str) -> list[Told]:
    """Return an arm and all that it is made of."""
    arm = arm_of(plan, name)
    return [arm, *(one for part in parts_of(arm) for one in _with_parts(plan, part))]


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
    table = _sums(ground.test, said.values)
    return table.assign(seconds=seconds, settings=json.dumps(said.settings)), seconds


def values_of(plan: Told, task: Task, cache: Path) -> Floats | None:
    """Return what an arm said of the rows held out, g/kg; None unless it ran here."""
    arm = arm_of(plan, task.arm)
    if "mean_of" in arm:
        parts = [values_of(plan, replace(task, arm=name), cache) for name in arm["mean_of"]]
        known = [part for part in parts if part is not None]
        return np.mean(known, axis=0) if len(known) == len(parts) else None
    key = digest(plan, replace(task, arm=arm.get("said_by", task.arm)))
    if not (cache / f"{key}.parquet").exists():  # written last
        return None
    if "said_by" not in arm:
        return np.asarray(np.load(cache / f"{key}.npy"))
    with np.load(cache / f"{key}.npz") as held:
        return np.asarray(held[arm["output"]])


def made_table(plan: Told, task: Task, cache: Path) -> pd.DataFrame | None:
    """Return the sums of an arm that is made of others, None unless all of them ran here.

    It is their mean, or something else that the fit of one of them says.
    """
    values = values_of(plan, task, cache)
    if values is None:
        return None
    mine, split = region_of(plan, task)
    test = _held_out(mine, split, held_fold(plan, task.split))
    return _sums(test, values).assign(seconds=0.0, settings="{}")


def _sums(test: Samples, said: Floats) -> pd.DataFrame:
    nothing = np.zeros(len(test), np.int64)
    return sums_of(test.y, said, nothing, test.table["block"].to_numpy())


def region_of(plan: Told, task: Task) -> tuple[Samples, Split]:
    """Return the rows of a region, and how they are split."""
    region = _region(plan, task)
    if "own" in region:
        mine, _ = fine_samples(region)
        mine = mine.take(mine.bottom <= plan["deepest_cm"])
    else:
        samples, _ = load_samples()
        mine = samples.take(in_region(samples, region))
    side = region.get("block_deg", plan["block_deg"])
    return mine, make_split(mine, "block", folds=plan["folds"], seed=task.split, block_deg=side)


def _region(plan: Told, task: Task) -> Told:
    found: Told = next(region for region in plan["region"] if region["name"] == task.region)
    return found


def held_fold(plan: Told, split: int) -> int:
    """Return the fold that is held out in a split: each in turn, as the first has large blocks."""
    return int(split % plan["folds"])


def _held_out(mine: Samples, split: Split, fold: int) -> Samples:
    out = split.held_out(fold)
    test = mine.take(out)
    test.table["block"] = split.blocks[out]
    return test


def ground_of(plan: Told, task: Task, cache: Path) -> Ground:
    """Return what the arms of a region share in a split; the model of the world is learned once."""
    samples, depths = load_samples()
    region = _region(plan, task)
    world = samples.take(of_world(samples, region, plan["buffer_km"]))
    init = (task.split - 1) % plan["inits"]
    name = hashlib.sha256(key_of(plan["world"], region, plan["buffer_km"], init).encode())
    folder = cache / f"world-{name.hexdigest()[:12]}"
    model = pretrained(plan, world, folder, depths, seed=100 + init)
    settings: Told = {}
    if "own" in region:
        draw_fine(region, model)
        _, settings = fine_samples(region)
    mine, split = region_of(plan, task)
    fold = held_fold(plan, task.split)
    train = mine.take(some_locations(mine, ~split.held_out(fold), task.locations, task.split))
    test = _held_out(mine, split, fold)
    plan = {**plan, **{k: region[k] for k in ("block_deg", "inner_block_deg") if k in region}}
    return Ground(plan, world, model, train, test, depths, 1000 + task.split, settings)
