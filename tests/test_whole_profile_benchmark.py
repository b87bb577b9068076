"""The scores of the study of whole profiles, over seeds and blocks, against whole-row scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score

from edaphos.engine.samples import Samples

SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def plan() -> dict[str, Any]:
    return {
        "populations": {"grassland": "grassland"},
        "predictors": {"paper": ["wet"]},
        "learns": ["stock", "density"],
        "splits": ["random", "block"],
        "seeds": list(SEEDS),
        "source_seeds": [1],
        "reduced": {},
        "block_deg": 5.0,
        "bootstrap": 200,
    }


@pytest.fixture(scope="module")
def judged(plan: dict[str, Any], benchmark_module: Callable[[str], Any]) -> Any:
    """A model that is right but for noise where rows are left out, and twice as noisy elsewhere."""
    run, scores = benchmark_module("whole_profile_run"), benchmark_module("whole_profile_scores")
    rng = np.random.default_rng(0)
    n = 900
    top = rng.choice([0.0, 10.0, 40.0, 120.0], n)
    table = pd.DataFrame(
        {
            "profile_id": [f"p{i // 3}" for i in range(n)],
            "location_id": [f"p{i // 3}" for i in range(n)],
            "lon": np.repeat(rng.uniform(-170, 170, n // 3), 3),
            "lat": np.repeat(rng.uniform(-50, 60, n // 3), 3),
            "top_cm": top,
            "bottom_cm": top + rng.choice([5.0, 20.0], n),
            "y": rng.gamma(4, 1, n),
        }
    )
    samples = Samples(table, (), ("stock", "kg m-2"))
    said = {
        task: samples.y + rng.normal(0, 1 if task.split == "random" else 2, n)
        for task in run.tasks_of(plan)
    }
    return scores.Judged(plan, run.Done({"grassland": samples}, said))


def test_r2_is_the_mean_of_the_seeds(judged: Any) -> None:
    samples = judged.samples("grassland")
    arm = judged.scored("grassland", "paper", "stock", "block")
    said = [
        values
        for task, values in judged.done.said.items()
        if (task.split, task.learns) == ("block", "stock")
    ]
    middle = (samples.top + samples.bottom) / 2
    metres = (samples.bottom - samples.top) / 100
    for group, here in (("all", middle < 200), ("0-30 cm", middle < 30)):
        for scale, factor in (("stock", 1.0), ("density", 1 / metres)):
            y = (samples.y * factor)[here]
            wanted = [r2_score(y, (one * factor)[here]) for one in said]
            assert arm.value(scale, group)[0] == pytest.approx(np.mean(wanted))
            assert arm.by_seed[scale][:, ("all", "0-30 cm").index(group)] == pytest.approx(wanted)
    assert arm.seeds == len(SEEDS)


def test_differences_are_paired_and_leave_zero_out_where_they_should(judged: Any) -> None:
    rows, block = (
        judged.scored("grassland", "paper", "stock", split) for split in ("random", "block")
    )
    value, low, high = rows.less(block, "stock", "all")
    assert value == pytest.approx(rows.value("stock", "all")[0] - block.value("stock", "all")[0])
    assert 0 < low < value < high
    assert rows.less(rows, "stock", "all") == (0.0, 0.0, 0.0)
    apart = block.value("stock", "all")
    assert high - low < apart[2] - apart[1] + (apart[2] - apart[1])
    assert judged.scored("grassland", "paper", "stock", "source") is None


def test_tasks_begin_with_those_of_all_seeds(
    plan: dict[str, Any], benchmark_module: Callable[[str], Any]
) -> None:
    run = benchmark_module("whole_profile_run")
    more = {**plan, "splits": ["random", "block", "source"], "reduced": {"climate": 2}}
    more |= {
        "populations": {"grassland": "", "all": ""},
        "predictors": {"paper": [], "climate": []},
    }
    tasks = run.tasks_of(more)
    assert len(tasks) == len(set(tasks)) == 2 * 2 * (2 * 3 + 1) + 2 * 2 + 1
    assert {t.seed for t in tasks if t.split == "source"} == {1}
    assert {t.population for t in tasks if t.predictors == "climate"} == {"grassland"}
