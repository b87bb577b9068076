"""The benchmark of significant changes: its worlds, its plan, its judgement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="module")
def no_change(benchmark_module: Callable[[str], Any]) -> Any:
    """Return the benchmark's module."""
    return benchmark_module("no_change")


def test_a_steady_world_gains_what_it_says(no_change: Any) -> None:
    plan = no_change.read_plan(small=True)
    told = next(w for w in plan["world"] if w["truth"] == "steady")
    world = no_change.world_of(plan, told, 901)
    at = world.years - 1980
    gained = world.test_truth - world.test_truth[:, :1]
    np.testing.assert_allclose(gained, np.broadcast_to(at / 20, gained.shape), atol=1e-9)
    still = no_change.world_of(plan, next(w for w in plan["world"] if w["truth"] == "still"), 901)
    assert np.ptp(still.test_truth, axis=1).max() == 0


def test_cases_of_the_plan_are_told_apart(no_change: Any) -> None:
    plan = no_change.read_plan(small=False)
    keys = [
        no_change.digest(plan, world, seed, arm)
        for arm in plan["arm"]
        for world in no_change.worlds_of(plan, arm)
        for seed in world["seeds"]
    ]
    assert len(set(keys)) == len(keys)
    stills = [w for w in plan["world"] if w["truth"] == "still"]
    assert {w["drivers"] for w in stills} == {"still", "rising"}
    assert min(len(w["seeds"]) for w in stills) >= 10
    for arm in plan["arm"]:
        assert {w["name"] for w in stills} <= {w["name"] for w in no_change.worlds_of(plan, arm)}


def test_worlds_that_light_up_are_told(no_change: Any) -> None:
    plan = no_change.read_plan(small=True)
    blank = dict.fromkeys(no_change.Row.__dataclass_fields__, 0.0)
    rows = [
        no_change.Row(
            **{**blank, "world": world["name"], "arm": arm["name"], "seed": 1, "year": year,
               "measured": measured}
        )
        for world in plan["world"]
        for arm in plan["arm"]
        for year in plan["years"]
        for measured in (True, False)
    ]  # fmt: skip
    assert list(no_change.failures(rows, plan)) == []
    assert "holds in all cases" in no_change.table(rows, plan)
    still = next(w["name"] for w in plan["world"] if w["truth"] == "still")
    lit = [replace(r, marked=0.06) if (r.world, r.year) == (still, 1990) else r for r in rows]
    assert len(list(no_change.failures(lit, plan))) == 2 * len(plan["arm"])
    assert "Not held" in no_change.table(lit, plan)
    changed = [replace(r, marked=0.9) if r.world != still else r for r in rows]
    assert list(no_change.failures(changed, plan)) == []
