"""How many cells are marked as changed where nothing changed, and how many where something did.

Worlds and arms stand in ``no_change.toml``. ``python -m benchmarks no_change --write`` puts the
table into ``NO_CHANGE.md``; finished worlds are kept in ``build/no_change``, where a run that was
ended is gone on with.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edaphos.engine.hybrid.couplings import make_arm
from edaphos.engine.hybrid.learners import ForestLearner, Learner
from edaphos.engine.hybrid.members import MemberSpec
from edaphos.engine.hybrid.process import Process
from edaphos.engine.hybrid.rothc_process import RothCProcess
from edaphos.engine.hybrid.site_years import Floats
from edaphos.engine.hybrid.time_uncertainty import TimeSpec, TimeUncertainty, calibrated
from edaphos.kernels.discovery import p_histogram, threshold

from .no_change_table import Row, failures, table
from .processes import process_pool
from .result import Result
from .virtual_truths import Conditions, still
from .virtual_world_make import Variant, World, make_still_world, make_world
from .virtual_world_places import FIRST

PLAN = Path(__file__).with_suffix(".toml")
TABLE = Path(__file__).with_name("NO_CHANGE.md")
CACHE = Path(__file__).resolve().parents[1] / "build" / "no_change"
#: Years from 1980 in which a steady gain is complete.
STEADY_YEARS = 20

Told = Mapping[str, Any]


@dataclass(frozen=True)
class Steady:
    """A truth in which all stocks change alike, in equal steps to 2000 and on."""

    gain: float

    def __call__(self, conditions: Conditions) -> Floats:
        """Return stocks ``(S, Y)`` kg/m²."""
        level = still(conditions)
        since = np.arange(level.shape[1])
        return np.asarray(level + self.gain * since / STEADY_YEARS)


def measure(*, small: bool, write: bool = False) -> Iterator[Result]:
    """Yield the share of cells marked by 2000, over what is accepted where nothing changes."""
    plan = read_plan(small)
    rows = run(plan, CACHE / ("small" if small else "full"))
    if write and not small:
        TABLE.write_text(table(rows, plan), encoding="utf-8")
    for told in failures(rows, plan):
        sys.stderr.write(f"no_change: {told}\n")
    for arm in plan["arm"]:
        for world in worlds_of(plan, arm):
            mine = [
                r
                for r in rows
                if (r.world, r.arm, r.year, r.measured) == (world["name"], arm["name"], 2000, True)
            ]
            marked = float(np.mean([r.marked for r in mine]))
            yield Result(
                name=f"{world['name']}: {arm['name']}",
                value=round(marked, 4),
                unit="share of cells marked, 2000",
                peer="what is accepted where nothing changes",
                ratio=round(marked / plan["accepted"], 3),
                details={
                    "worlds": len(mine),
                    "most": max(r.marked for r in mine),
                    "change_coverage": round(float(np.mean([r.change_inside for r in mine])), 3),
                    "stock_coverage": round(float(np.mean([r.fresh_inside for r in mine])), 3),
                },
            )


def read_plan(small: bool) -> dict[str, Any]:
    """Return what is to be run."""
    plan: dict[str, Any] = tomllib.loads(PLAN.read_text(encoding="utf-8"))
    less = plan.pop("small")
    if small:
        plan |= {"sites": less["sites"], "test_sites": less["test_sites"]}
        plan["learner"] |= {"trees": less["trees"]}
        plan["arm"] = [a for a in plan["arm"] if a["name"] in less["arms"]]
        plan["world"] = [
            {**w, "seeds": less["seeds"]} for w in plan["world"] if w["name"] in less["worlds"]
        ]
    return plan


def worlds_of(plan: Told, arm: Told) -> list[Told]:
    """Return the worlds that an arm is run in."""
    names = arm.get("worlds", [world["name"] for world in plan["world"]])
    return [world for world in plan["world"] if world["name"] in names]


# -- running ---------------------------------------------------------------------------------------


def run(plan: Told, cache: Path) -> list[Row]:
    """Return the rows of all worlds and arms, running what the cache has not."""
    cache.mkdir(parents=True, exist_ok=True)
    store = cache / "rows.jsonl"
    known: dict[str, list[Row]] = {}
    for line in store.read_text().splitlines() if store.exists() else ():
        try:
            told = json.loads(line)
            known[told["digest"]] = [Row(**row) for row in told["rows"]]
        except (json.JSONDecodeError, TypeError):
            continue  # cut short when a run was ended, or of another version
    tasks = [
        (world, seed, arm)
        for arm in plan["arm"]
        for world in worlds_of(plan, arm)
        for seed in world["seeds"]
    ]
    missing = [task for task in tasks if digest(plan, *task) not in known]
    started = time.perf_counter()
    with store.open("a") as file, process_pool() as pool:
        waiting = {pool.submit(judged, plan, *task): task for task in missing}
        for number, future in enumerate(as_completed(waiting), 1):
            task = waiting[future]
            key, rows = digest(plan, *task), future.result()
            known[key] = rows
            file.write(json.dumps({"digest": key, "rows": [vars(row) for row in rows]}) + "\n")
            file.flush()
            left = (time.perf_counter() - started) / number * (len(missing) - number) / 60
            sys.stderr.write(
                f"no_change: {number} of {len(missing)}, about {left:.1f} min left "
                f"({task[0]['name']}, seed {task[1]}, {task[2]['name']})\n"
            )
    return [row for task in tasks for row in known[digest(plan, *task)]]


def digest(plan: Told, world: Told, seed: int, arm: Told) -> str:
    """Return what tells a world and an arm, as the plan has them, from others."""
    rest = {k: v for k, v in plan.items() if k not in ("world", "arm", "accepted")}
    own = {k: v for k, v in world.items() if k != "seeds"}
    made = {k: v for k, v in arm.items() if k != "worlds"}
    told = json.dumps([rest, own, seed, made], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def world_of(plan: Told, told: Told, seed: int) -> World:
    """Return a world of the plan."""
    sites, test = plan["sites"], plan["test_sites"]
    if told["truth"] == "still":
        return make_still_world(seed, sites=sites, test_sites=test, drivers=told["drivers"])
    if told["truth"] == "steady":
        return make_world(
            Variant(told["name"], truth="still", sites=sites),
            seed,
            test_sites=test,
            truth=Steady(told["gain"]),
            rising=told["drivers"] == "rising",
        )
    variant = Variant(told["name"], truth=told["truth"], drivers=told["drivers"], sites=sites)
    return make_world(variant, seed, test_sites=test)


def judged(plan: Told, told: Told, seed: int, arm: Told) -> list[Row]:
    """Fit an arm and its uncertainty in a world, and judge both at the test places."""
    world = world_of(plan, told, seed)
    learner = ForestLearner(**plan["learner"], seed=seed)
    make = partial(_make, arm["make"], arm.get("options", {}))
    fitted = make(RothCProcess(), learner).fit(world.train)
    own = plan["uncertainty"]
    spec = TimeSpec(
        members=MemberSpec(members=own["members"], parts=own["parts"]),
        folds=own["folds"],
        measurement_percent=plan["measured_percent"],
    )
    process = calibrated(fitted, RothCProcess())
    sure = TimeUncertainty.fit(world.train, make, process, learner, spec=spec, seed=seed)
    mean = fitted.predict(world.test)
    blind = replace(sure, errors=replace(sure.errors, measured=0.0))
    rows = []
    for measured, one in ((True, sure), (False, blind)):
        found = one.predict(world.test, mean)
        rows += [
            _row(plan, told, seed, arm, measured, world, found, year) for year in plan["years"]
        ]
    return rows


def _make(name: str, options: Told, process: Process, learner: Learner) -> Any:
    return make_arm(name, process, learner, **options)


def _row(
    plan: Told,
    told: Told,
    seed: int,
    arm: Told,
    measured: bool,
    world: World,
    found: Mapping[str, Floats],
    year: int,
) -> Row:
    at = year - FIRST
    p, change = found["change_p"][:, at], found["change_mean"][:, at]
    true = world.test_truth[:, at] - world.test_truth[:, 0]
    sure = p <= threshold(p_histogram(p), plan["false_discovery"])

    def inside(values: Floats, low: str, high: str) -> float:
        return float(np.mean((found[low][:, at] <= values) & (values <= found[high][:, at])))

    return Row(
        world=told["name"],
        arm=arm["name"],
        seed=seed,
        year=year,
        measured=measured,
        marked=float(np.mean(sure)),
        wrong_sign=float(np.mean(sure & (np.sign(change) != np.sign(true)) & (true != 0))),
        below_5=float(np.mean(p < 0.05)),
        true_change=float(true.mean()),
        change=float(change.mean()),
        error=float(np.sqrt(np.mean((change - true) ** 2))),
        half_width=float(np.mean(found["change_q95"][:, at] - found["change_q05"][:, at]) / 2),
        change_inside=inside(true, "change_q05", "change_q95"),
        fresh_inside=inside(world.fresh[:, at], "q05", "q95"),
        truth_inside=inside(world.test_truth[:, at], "q05", "q95"),
    )
