"""Models under the same folds in the report: every model, every difference, sure depths."""

from __future__ import annotations

import pytest

from edaphos.engine.assess.assess import AssessSpec, assess
from edaphos.engine.models.protocol import ModelSpec
from edaphos.engine.products.compared_tables import SHOWN, THIS, compared_tables

from ..assess_world import make_samples

LINEAR = ModelSpec("test-linear", {"covariates": ("wet",)})
SPEC = AssessSpec(bootstrap=100, seed=3, splits=("block",))


@pytest.fixture(scope="module")
def found():
    others = {"nearest": ModelSpec("test-nearest"), "itself": LINEAR}
    return assess(make_samples(), LINEAR, SPEC, compare=others)


def test_every_model_has_its_scores_and_every_pair_its_difference(found):
    scores, pairs, depths = compared_tables(found, "g/kg")
    assert [row[0] for row in scores.rows] == [THIS, "nearest", "itself", "depth alone"]
    overall = found.table("block", model="nearest").iloc[0]
    assert scores.rows[1][scores.columns.index("RMSE, g/kg")].startswith(f"{overall['RMSE']:.1f} [")
    # some scores need bounds or a centre, which the nearest profile has not
    lacking = ("interval score", "R², log scale")
    assert [row[:2] for row in pairs.rows] == [
        *(("nearest", label) for label in SHOWN.values() if label not in lacking),
        *(("itself", label) for label in SHOWN.values()),
    ]
    assert all(len(row) == len(depths.columns) for row in depths.rows)


def test_depths_beyond_chance_are_counted(found):
    table = found.compared.query("by == 'depth' and metric == 'RMSE' and against == 'nearest'")
    sure = (table["high"] < 0).sum()
    assert sure > 0
    note = compared_tables(found, "g/kg")[-1].note
    assert f"nearest: smaller in {sure}, larger in 0 of {len(table)}" in note
    assert f"itself: smaller in 0, larger in 0 of {len(table)}" in note


def test_there_are_no_tables_without_other_models():
    assert compared_tables(assess(make_samples(), LINEAR, SPEC), "g/kg") == []
