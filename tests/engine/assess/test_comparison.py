"""Further models under the same folds: same rows, paired intervals, order of signs, refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import root_mean_squared_error

from edaphos.engine.assess.assess import Assessment, AssessSpec, assess
from edaphos.engine.assess.comparison import COLUMNS
from edaphos.engine.assess.crossval import fit_and_predict
from edaphos.engine.assess.splits import make_split
from edaphos.engine.errors import InputError, RunError
from edaphos.engine.models.protocol import ModelSpec

from ..assess_world import make_samples

SAMPLES = make_samples()
LINEAR = ModelSpec("test-linear", {"covariates": ("wet",)})
NEAREST = ModelSpec("test-nearest")
HOLED = ModelSpec("test-broken", {"how": "none"})  # its first row of each fold is NaN
SPEC = AssessSpec(bootstrap=200, seed=3, splits=("block", "profile"))


@pytest.fixture(scope="module")
def found() -> Assessment:
    return assess(
        SAMPLES, LINEAR, SPEC, compare={"nearest profile": NEAREST, "linear again": LINEAR}
    )


def test_models_are_held_out_on_the_same_folds(found: Assessment) -> None:
    split = make_split(SAMPLES, "block", seed=3)
    rows = found.out_of_fold("block", "nearest profile")
    for fold in range(len(split)):
        out = split.held_out(fold)
        expected = fit_and_predict(NEAREST, SAMPLES, out)["soc_mean"]
        np.testing.assert_array_equal(rows["mean"].to_numpy()[out], expected)
    assert set(found.metrics["model"]) == {"full", "depth_only", "nearest profile", "linear again"}
    assert set(found.compared["split"]) == {"block"}  # others stand beside there alone
    assert list(found.compared.columns) == list(COLUMNS)


def test_differences_are_the_assessed_model_less_the_other(found: Assessment) -> None:
    table = found.compared[(found.compared["by"] == "all") & (found.compared["metric"] == "RMSE")]
    line = table.set_index("against").loc["nearest profile"]
    both = [
        root_mean_squared_error(rows["obs"], rows["mean"])
        for rows in (found.out_of_fold("block"), found.out_of_fold("block", "nearest profile"))
    ]
    np.testing.assert_allclose([line["value"], line["other"]], both, rtol=1e-9)
    assert line["difference"] == pytest.approx(both[0] - both[1])
    assert line["low"] < line["difference"] < line["high"] < 0


def test_a_model_against_itself_differs_by_nothing_in_any_draw(found: Assessment) -> None:
    same = found.compared[found.compared["against"] == "linear again"]
    assert len(same) > 20
    assert (same["difference"] == 0).all()
    wide = same[same["blocks"] >= 5]
    assert (wide[["low", "high"]] == 0).all(axis=None)


def test_models_that_lack_rows_are_compared_on_those_they_share() -> None:
    less = assess(SAMPLES, LINEAR, SPEC, compare={"holed": HOLED})
    line = less.compared.query("by == 'all' and metric == 'RMSE'").iloc[0]
    rows = less.out_of_fold("block").join(
        less.out_of_fold("block", "holed")["mean"].rename("other")
    )
    shared = rows.dropna(subset=["other"])
    assert line["n"] == len(shared) == len(SAMPLES) - 5
    assert line["value"] == pytest.approx(root_mean_squared_error(shared["obs"], shared["mean"]))


def test_it_is_kept_on_disk(found: Assessment, tmp_path) -> None:
    found.save(tmp_path)
    again = Assessment.load(tmp_path)
    pd.testing.assert_frame_equal(again.compared, found.compared)
    assert list(again.settings["compare"]) == ["nearest profile", "linear again"]


@pytest.mark.parametrize(
    ("name", "splits", "message"),
    [
        ("full", ("block",), 'cannot be called "full"'),
        ("mine", ("profile", "random"), "add one to assess.splits"),
    ],
)
def test_names_and_splits_are_checked_before_anything_runs(name, splits, message) -> None:
    with pytest.raises(InputError, match=message):
        assess(SAMPLES, LINEAR, AssessSpec(splits=splits), compare={name: NEAREST})


def test_a_model_that_fails_is_named() -> None:
    broken = ModelSpec("test-broken", {"how": "fit"})
    with pytest.raises(RunError, match=r"test-broken \(mine\).*singular"):
        assess(SAMPLES, LINEAR, SPEC, compare={"mine": broken})
