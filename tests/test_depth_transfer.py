"""The sums that the benchmark of transfer over depths keeps, against whole-row scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from edaphos.kernels.metrics import metrics

ROWS = 4000


@pytest.fixture(scope="module")
def told(benchmark_module: Callable[[str], Any]) -> Any:
    """Return the benchmark's module of scores."""
    return benchmark_module("depth_transfer_scores")


@pytest.fixture(scope="module")
def rows() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    observed = rng.lognormal(2, 1, ROWS)
    return {
        "observed": observed,
        "predicted": observed**0.6 * 3 + rng.normal(0, 2, ROWS),
        "depth": rng.integers(0, 6, ROWS),
        "block": rng.integers(0, 40, ROWS) ** 2,
    }


def records(told: Any, rows: dict[str, np.ndarray], **how: object) -> pd.DataFrame:
    same = {"share": 1.0, "thinned": 1.0, "init": 1, "split": 1, **how}
    return told.sums_of(**rows).assign(**same)


def test_scores_of_summed_blocks_are_those_of_rows(told, rows) -> None:
    scored = told.Scored(records(told, rows, arm="a"), draws=10)
    for depth in ("all", 0, 5):
        own = np.ones(ROWS, bool) if depth == "all" else rows["depth"] == depth
        o, p = rows["observed"][own], rows["predicted"][own]
        wanted = metrics(o, p)
        found = told.scores(scored.select("a", depth).sum(axis=0))
        for name in ("RMSE", "MAE", "R2", "KGE", "r"):
            assert found[name] == pytest.approx(wanted[name], rel=1e-9)
        logs = metrics(np.log1p(o), np.log1p(np.maximum(p, 0)))
        assert found["R2_log1p"] == pytest.approx(logs["R2"], rel=1e-9)


def test_rows_without_a_prediction_count_for_nothing(told, rows) -> None:
    some = np.arange(ROWS) % 3 == 0
    holes = {**rows, "predicted": np.where(some, rows["predicted"], np.nan)}
    cut = {name: values[some] for name, values in rows.items()}
    pd.testing.assert_frame_equal(told.sums_of(**holes), told.sums_of(**cut))


def test_an_arm_with_three_first_weights_counts_as_one(told, rows) -> None:
    one = records(told, rows, arm="a")
    three = pd.concat([records(told, rows, arm="b", init=i) for i in (1, 2, 3)])
    scored = told.Scored(pd.concat([one, three]), draws=10)
    np.testing.assert_allclose(scored.select("a"), scored.select("b"), rtol=1e-12)
    assert scored.select("c") is None
    assert scored.select("a", split=[2]) is None


def test_a_mean_is_compared_with_its_parts_at_the_first_weights_that_it_has(told, rows) -> None:
    plan = {"arm": [{"name": "net"}, {"name": "mean", "mean_of": ["net"]}, {"name": "other"}]}
    wild = {**rows, "predicted": 3 * rows["predicted"]}
    held = [
        records(told, rows, arm="net", init=1),
        records(told, wild, arm="net", init=2),
        records(told, rows, arm="mean", init=1),
        records(told, rows, arm="other", init=1),
    ]
    scored = told.Scored(pd.concat(held), draws=10)
    same = scored.pair(plan, ("mean", "net"), [1], told.POOLED)
    assert scored.change(*same).value == pytest.approx(0)
    ours, theirs = scored.pair(plan, ("other", "net"), [1], told.POOLED)
    assert scored.change(ours, theirs).value < -10  # both first weights count
    assert scored.pair(plan, ("mean", "other"), [2], told.POOLED) is None


def test_the_interval_of_a_change_is_paired_by_block(told, rows) -> None:
    """The same errors made 3 % larger differ by 3 % in every draw, however blocks differ."""
    worse = rows["observed"] + 1.03 * (rows["predicted"] - rows["observed"])
    both = [records(told, rows, arm="a"), records(told, {**rows, "predicted": worse}, arm="b")]
    scored = told.Scored(pd.concat(both), draws=200)
    change = scored.change(scored.select("b"), scored.select("a"))
    assert (change.value, change.low, change.high) == pytest.approx((3, 3, 3), abs=1e-6)
    assert change.clear
    alone = scored.estimates(scored.select("a"))["RMSE"]
    assert alone.high - alone.low > 0.02 * alone.value
