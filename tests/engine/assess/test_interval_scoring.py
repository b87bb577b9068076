"""Intervals of several levels in an assessment: as counted by hand, by depth and applicability."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from scipy import stats

from edaphos.engine.assess.assess import Assessment, AssessSpec, assess
from edaphos.engine.assess.interval_scoring import interval_table
from edaphos.engine.assess.scoring import (
    COVERAGES,
    SCORED_LEVELS,
    BlockBootstrap,
    Predictions,
    Stratum,
    quantile_key,
)
from edaphos.engine.models.columns import quantile_name
from edaphos.engine.models.protocol import ModelSpec, register
from edaphos.engine.samples import Samples
from edaphos.kernels.interval_scores import crps_of_quantiles

from ..assess_world import LinearModel, make_samples

SAMPLES = make_samples()


@register
class LevelModel(LinearModel):
    """The linear model with a quantile for every level that is scored, and a dissimilarity."""

    kind: ClassVar[str] = "test-levels"

    def predict_rows(self, samples: Samples) -> Mapping[str, Any]:
        z = self._design(samples) @ self.coefficients
        found = {
            quantile_name("soc", q): np.expm1(z + stats.norm.ppf(q) * self.sigma)
            for q in SCORED_LEVELS
        }
        far = np.abs(samples.table["lat"].to_numpy(float)) / 40
        return {**super().predict_rows(samples), **found, "dissimilarity": far}


@pytest.fixture(scope="module")
def found() -> Assessment:
    return assess(
        SAMPLES,
        ModelSpec("test-levels", {"covariates": ("wet",)}),
        AssessSpec(splits=("block",), bootstrap=200, seed=3),
        compare={"linear": ModelSpec("test-linear", {"covariates": ("wet",)})},
    )


def test_a_coverage_curve_counts_rows(found):
    table = found.intervals.query("model == 'full' and by == 'all'").set_index("nominal")
    assert tuple(table.index) == COVERAGES
    rows = found.out_of_fold("block")
    inside = rows["obs"].between(rows["lower"], rows["upper"])
    assert table["PICP"][0.9] == pytest.approx(inside.mean())
    assert table["below"][0.9] == pytest.approx((rows["obs"] < rows["lower"]).mean())
    assert table["MPIW"][0.9] == pytest.approx((rows["upper"] - rows["lower"]).mean())
    overall = found.table("block").iloc[0]
    assert table["IS"][0.9] == pytest.approx(overall["IS"])
    assert (table["PICP"].diff().dropna() > 0).all()
    assert (table["PICP_low"] < table["PICP"]).all()
    assert (table["PICP"] < table["PICP_high"]).all()
    deep = found.intervals.query("model == 'full' and group == '100-200 cm' and nominal == 0.5")
    assert deep["n"].item() == (found.rows["depth"] == "100-200 cm").sum()


def test_few_quantiles_make_a_short_curve(found):
    # the linear model gives three: one interval
    own = found.intervals.query("model == 'linear' and by == 'all'")
    assert list(own["nominal"]) == [0.9]
    linear = found.table("block", model="linear").iloc[0]
    rows = found.out_of_fold("block", "linear")
    three = rows[["lower", "centre", "upper"]].to_numpy()
    assert linear["CRPS"] == pytest.approx(
        crps_of_quantiles(rows["obs"], three, [0.05, 0.5, 0.95]).mean()
    )
    full = found.table("block").iloc[0]
    assert full["CRPS_low"] < full["CRPS"] < full["CRPS_high"]
    # the score of the whole distribution cannot exceed that of its median alone, twice over
    assert full["CRPS"] < full["MAE"]
    # beside that of three quantiles, the other distribution counts by these three alone
    beside = found.compared.query("metric == 'CRPS' and by == 'all'").iloc[0]
    ours = found.out_of_fold("block")[["lower", "centre", "upper"]].to_numpy()
    at_three = crps_of_quantiles(rows["obs"], ours, [0.05, 0.5, 0.95]).mean()
    assert beside["other"] == pytest.approx(linear["CRPS"])
    assert beside["value"] == pytest.approx(at_three)
    assert abs(at_three / full["CRPS"] - 1) > 0.01


def test_scores_stand_apart_inside_and_outside_the_area_of_applicability(found):
    far = np.abs(SAMPLES.table["lat"].to_numpy()) > 40
    both = found.table("block", "applicability").set_index("group")
    assert both["n"].to_dict() == {"inside": (~far).sum(), "outside": far.sum()}
    rows = found.out_of_fold("block")
    inside = rows["obs"].between(rows["lower"], rows["upper"]).to_numpy()
    assert both["PICP"]["outside"] == pytest.approx(inside[far].mean())
    deep = found.table("block", "applicability_depth").set_index("group")
    depth = (rows["depth"] == "100-200 cm").to_numpy()
    assert deep["n"]["inside, 100-200 cm"] == (depth & ~far).sum()
    curve = found.intervals.query("by == 'applicability' and model == 'full' and nominal == 0.9")
    assert dict(zip(curve["group"], curve["PICP"], strict=True)) == both["PICP"].to_dict()


def test_it_is_saved_and_read(found, tmp_path: Path):
    found.save(tmp_path)
    again = Assessment.load(tmp_path)
    assert again.intervals.shape == found.intervals.shape
    np.testing.assert_allclose(again.intervals["IS"], found.intervals["IS"])
    assert again.table("block")["CRPS"].item() == found.table("block")["CRPS"].item()


def test_rows_without_a_quantile_count_nowhere():
    n = 40
    y, block = np.arange(n, dtype=float), np.arange(n)
    low, high = y - 1, y + 1
    low[:10] = np.nan
    high[10:13] = y[10:13] - 0.5  # above
    beside = {quantile_key(0.05): low, quantile_key(0.95): high}
    p = Predictions(y, low, y, high, beside)
    strata = [Stratum("all", ("all",), np.zeros(n, np.int64)), Stratum("other", ("x",), block * 0)]
    row = interval_table(y, p, strata, BlockBootstrap.draw(block, 20, 1))
    assert row["n"].item() == row["blocks"].item() == 30
    assert row["above"].item() == pytest.approx(0.1)
    bare = Predictions(y, low, y, high)
    assert interval_table(y, bare, strata, BlockBootstrap.draw(block, 20, 1)).empty
