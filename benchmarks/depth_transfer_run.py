"""Runs the arms of the benchmark of transfer over depths, and keeps what is done.

Each arm in each split is a task of one thread. What it says of the rows held out is kept as sums by
block (``depth_transfer_scores.py``), in ``build/depth_transfer`` while it runs and beside the plan
once written, so that a run that was ended goes on.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.engine.assess.crossval import fit_and_predict
from edaphos.engine.assess.splits import Split, location_codes, make_split
from edaphos.engine.models.depth_rows import depth_rows
from edaphos.engine.models.protocol import ModelSpec
from edaphos.engine.progress import Reporter
from edaphos.engine.samples import Samples

from .depth_transfer_data import Drawn, load_samples, prepare
from .depth_transfer_scores import KEYS, sums_of
from .kept_tables import add_made, arm_of, done, kept_tables

Told = Mapping[str, Any]

#: Layers that begin so deep are thinned where a task says so, cm.
DEEP_CM = 30.0


@dataclass(frozen=True)
class Task:
    """One arm in one split, from one set of first weights.

    Parameters
    ----------
    arm
        Its name in the plan.
    split, init
        Seeds of the folds and of the model.
    share
        Of the training locations.
    thinned
        Share of the training locations that keep their deep layers.
    """

    arm: str
    split: int
    init: int
    share: float = 1.0
    thinned: float = 1.0


def tasks_of(plan: Told) -> list[Task]:
    """Return what is to be run, the main comparison first, split by split."""
    arms = [arm for arm in plan["arm"] if "kind" in arm]
    main = [arm["name"] for arm in arms if "splits" not in arm]
    first = [Task(arm, split, 1) for split in plan["splits"] for arm in main]
    tried = [
        Task(a["name"], s, 1) for a in arms for s in a.get("splits", ()) if s in plan["splits"]
    ]
    curve = [arm["name"] for arm in arms if arm.get("curve")]
    less = [(share, 1.0) for share in plan["shares"]]
    if plan.get("thinned"):
        less.append((1.0, float(plan["thinned"])))
    some = [
        Task(arm, split, 1, share, thinned)
        for split in plan.get("share_splits", ())
        for share, thinned in less
        for arm in curve
    ]
    again = [
        Task(arm["name"], split, init)
        for init in range(2, plan["inits"] + 1)
        for split in plan["splits"]
        for arm in arms
        if init <= arm.get("inits", 1)
    ]
    return [*first, *tried, *some, *again]


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
    prepare(Reporter())
    tasks = {digest(plan, task): task for task in tasks_of(plan)}
    known = kept_tables("depth_transfer", plan, tasks, judged, cache, kept, minutes)
    means = {digest(plan, task): task for task in means_of(plan)}
    add_made(known, means, mean_table, plan, cache)
    return done(known, [*tasks, *means], [*KEYS, "digest"])


def means_of(plan: Told) -> list[Task]:
    """Return the tasks that take the mean of what other arms said."""
    arms = [arm for arm in plan["arm"] if "mean_of" in arm]
    return [Task(arm["name"], split, 1) for split in plan["splits"] for arm in arms]


def mean_table(plan: Told, task: Task, cache: Path) -> pd.DataFrame | None:
    """Return the sums of a mean of arms, None unless all of them ran here."""
    parts = [
        cache / f"{digest(plan, replace(task, arm=name))}.npy"
        for name in arm_of(plan, task.arm)["mean_of"]
    ]
    if not all(part.exists() for part in parts):
        return None
    drawn = loaded(plan.get("locations"))
    split = split_of(drawn.samples, plan, task.split)
    held_out = split.held_out(0)
    said = np.mean([np.load(part) for part in parts], axis=0)
    return held_out_sums(drawn, split, held_out, said)


def digest(plan: Told, task: Task) -> str:
    """Return what tells a task, as the plan has it, from others."""
    arm = arm_of(plan, task.arm)
    own = {name: arm.get(name) for name in ("kind", "settings", "mean_of")}
    rest = {name: plan.get(name) for name in ("block_deg", "folds", "locations")}
    common = plan["common"].get(arm.get("kind"), {})
    text = json.dumps([own, rest, common, asdict(task)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def judged(plan: Told, task: Task, cache: Path) -> tuple[pd.DataFrame, float]:
    """Train an arm, keep what it says; return its sums on the rows held out, and the seconds."""
    drawn = loaded(plan.get("locations"))
    samples = drawn.samples
    split = split_of(samples, plan, task.split)
    held_out = split.held_out(0)
    kept = kept_rows(samples, held_out, task)
    settings = settings_of(plan, task, drawn)
    kind = arm_of(plan, task.arm)["kind"]
    started = time.monotonic()
    said = fit_and_predict(
        ModelSpec(kind, settings), samples.take(kept | held_out), held_out[kept | held_out]
    )
    seconds = time.monotonic() - started
    mean, limited = said["soc_mean"], said.get("limited", np.zeros(1))
    table = held_out_sums(drawn, split, held_out, mean).assign(limited=int(limited.sum()))
    np.save(cache / f"{digest(plan, task)}.npy", mean.astype(np.float32))
    return table, seconds


def held_out_sums(
    drawn: Drawn, split: Split, held_out: NDArray[np.bool_], said: NDArray[np.floating[Any]]
) -> pd.DataFrame:
    """Return the sums of what was said of the rows held out."""
    test = drawn.samples.take(held_out)
    depth = depth_rows(test.top, test.bottom, drawn.depths)
    return sums_of(test.y, said.astype(float), depth, split.blocks[held_out])


def settings_of(plan: Told, task: Task, drawn: Drawn) -> dict[str, Any]:
    """Return the keyword arguments of a task's model."""
    arm = arm_of(plan, task.arm)
    kind, told = arm["kind"], {"covariates": drawn.covariates}
    for settings in (plan["common"].get(arm["kind"], {}), arm.get("settings", {})):
        for name, value in settings.items():
            told[name] = {**told.get(name, {}), **value} if isinstance(value, dict) else value
    rest = {"depths": drawn.depths, "seed": 1000 * task.split + task.init, "quantiles": ()}
    return {**rest, "settings": told} if kind == "conv" else {**rest, **told}


@lru_cache(maxsize=1)
def loaded(locations: int | None) -> Drawn:
    """Return samples with their patches, once in a process."""
    return load_samples(locations)


def split_of(samples: Samples, plan: Told, seed: int) -> Split:
    """Return a split by blocks; its first fold is held out."""
    return make_split(samples, "block", folds=plan["folds"], seed=seed, block_deg=plan["block_deg"])


def kept_rows(samples: Samples, held_out: NDArray[np.bool_], task: Task) -> NDArray[np.bool_]:
    """Return the rows that are trained on: some locations, some of them without deep layers."""
    locations = location_codes(samples)
    places = np.unique(locations[~held_out])
    rng = np.random.default_rng([task.split, 0xDEE9])
    order = rng.permutation(places)
    chosen = order[: max(1, round(task.share * len(order)))]
    deep = order[: max(1, round(task.thinned * len(order)))]
    kept = ~held_out & np.isin(locations, chosen)
    return np.asarray(kept & ((samples.top < DEEP_CM) | np.isin(locations, deep)))
