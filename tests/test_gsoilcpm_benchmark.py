"""The plan of the benchmark of one model of the world, and what it makes of sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from edaphos.engine.samples import Samples
from edaphos.kernels.metrics import metrics


@pytest.fixture(scope="module")
def plan(benchmark_module: Callable[[str], Any]) -> Any:
    return benchmark_module("gsoilcpm").read_plan(small=False)


@pytest.fixture(scope="module")
def told(benchmark_module: Callable[[str], Any]) -> Any:
    return benchmark_module("gsoilcpm_table")


def test_the_plan_has_the_regions_arms_and_seeds_that_were_asked_for(
    plan, benchmark_module
) -> None:
    run = benchmark_module("gsoilcpm_run")
    assert len(plan["region"]) >= 6
    assert len(plan["splits"]) == 10
    held = [run.held_fold(plan, split) for split in plan["splits"]]
    assert sorted(held) == sorted([*range(plan["folds"])] * 2)  # each fold as often as others
    names = {arm["name"] for arm in plan["arm"]}
    for pair in plan["contrasts"].values():
        assert set(pair) <= names
    for told in plan["regret"]:
        assert {*told["of"], *told["simple"]} <= names
    for arm in plan["arm"]:
        assert set(run.parts_of(arm)) <= names
        assert len(arm.get("tuned", [{}])) in (1, 3)  # an equal budget of settings
    tasks = run.tasks_of(plan)
    assert len({run.digest(plan, task) for task in tasks}) == len(tasks)
    assert {t.locations for t in tasks} == {0, 25, 50, 100, 200, 400}
    other = {**plan, "buffer_km": 0}
    assert run.digest(other, tasks[0]) != run.digest(plan, tasks[0])


def test_scores_are_those_of_rows_and_differences_are_paired(told, benchmark_module) -> None:
    sums_of = benchmark_module("depth_transfer_scores").sums_of
    rng = np.random.default_rng(1)
    n = 3000
    observed, block = rng.lognormal(2, 1, n), rng.integers(0, 60, n)
    parts = []
    for arm, noise in (("a", 3.0), ("b", 4.0)):
        predicted = observed + rng.normal(0, noise, n)
        sums = sums_of(observed, predicted, np.zeros(n, int), block)
        parts.append(sums.assign(arm=arm, split=1, digest=arm, seconds=1.0))
        wanted = metrics(observed, predicted)
        found = told.scores(sums[list(told.SUMS)].to_numpy(float).sum(axis=0))
        assert np.isclose(found["MAE"], wanted["MAE"])
        assert np.isclose(found["CCC"], wanted["CCC"])
        assert np.isclose(found["RMSE"], wanted["RMSE"])
    scored = told.Scored(pd.concat(parts))
    better = scored.change("a", "b", "MAE")
    assert -30 < better.low < better.value < better.high < -20
    assert scored.change("a", "b", "CCC").value > 0
    same = scored.change("a", "a", "MAE")
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert scored.change("a", "c", "MAE") is None


def test_fewer_locations_are_among_more_and_only_of_the_rows_given(benchmark_module) -> None:
    data = benchmark_module("gsoilcpm_data")
    table = pd.DataFrame({"profile_id": np.repeat([f"p{i}" for i in range(50)], 2), "y": 1.0})
    samples, rows = Samples(table, ()), np.arange(100) < 80
    few, more, every = (data.some_locations(samples, rows, count, 3) for count in (10, 20, 0))
    assert (few.sum(), more.sum()) == (20, 40)
    assert (few <= more).all()
    np.testing.assert_array_equal(every, rows)


def test_an_arm_that_is_made_of_others_needs_all_of_them(plan, benchmark_module, tmp_path) -> None:
    run = benchmark_module("gsoilcpm_run")

    def of(arm: str) -> Any:
        return run.values_of(plan, run.Task("Brazil", arm, 3, 0), tmp_path)

    for arm, said in (("forest, region", 1.0), ("forest, world + region", 4.0)):
        assert of("mean of both forests") is None
        key = run.digest(plan, run.Task("Brazil", arm, 3, 0))
        np.save(tmp_path / f"{key}.npy", np.full(2, said))
        np.savez(tmp_path / f"{key}.npz", median=np.full(2, said / 2))
        (tmp_path / f"{key}.parquet").touch()
    np.testing.assert_array_equal(of("mean of both forests"), [2.5, 2.5])
    np.testing.assert_array_equal(of("forest, region, median"), [0.5, 0.5])
    np.testing.assert_array_equal(of("mean of both forests, median"), [1.25, 1.25])
