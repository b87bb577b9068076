"""Pictures and tables of intervals, and of what covariates are worth, say what was assessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from edaphos.engine.assess.assess import Assessment, AssessSpec, assess
from edaphos.engine.assess.scoring import COVERAGES, SCORED_LEVELS
from edaphos.engine.models.columns import quantile_name
from edaphos.engine.models.forest import ForestModel
from edaphos.engine.models.protocol import ModelSpec, register
from edaphos.engine.products.importance_pictures import importance_pictures
from edaphos.engine.products.interval_pictures import interval_pictures, interval_score_tables
from edaphos.engine.products.pictures import Labels
from edaphos.engine.products.report_tables import metric_tables
from edaphos.engine.products.tables import fixed
from edaphos.engine.samples import Samples

from ..assess_world import LinearModel, make_samples

LABELS = Labels("", "a caption")


@register
class Asked(LinearModel):
    """The linear model with every level, a dissimilarity, and covariates that can be asked for."""

    kind: ClassVar[str] = "test-asked"

    @property
    def emits(self) -> Any:
        return ForestModel(()).emits

    def importance(self) -> Mapping[str, float]:
        return {}

    def predict_rows(self, samples: Samples) -> Mapping[str, Any]:
        z = self._design(samples) @ self.coefficients
        found = {
            quantile_name("soc", q): np.expm1(z + stats.norm.ppf(q) * self.sigma)
            for q in SCORED_LEVELS
        }
        far = np.abs(samples.table["lat"].to_numpy(float)) / 50
        return {**super().predict_rows(samples), **found, "dissimilarity": far}


@pytest.fixture(scope="module")
def found() -> Assessment:
    made = make_samples(profiles=80)
    zone = np.random.default_rng(1).integers(1, 4, len(made)).astype(np.float32)
    samples = Samples(made.table.assign(zone=zone), ("wet", "zone"), classes=("zone",))
    spec = ModelSpec("test-asked", {"covariates": ("wet", "zone")})
    return assess(samples, spec, AssessSpec(splits=("block",), bootstrap=50, explain=True))


def test_a_coverage_curve_says_the_shares_of_the_assessment(found: Assessment) -> None:
    (picture,) = interval_pictures(found, LABELS)
    table = found.intervals.query("model == 'full' and by == 'all'")
    told = ", ".join(f"{r.nominal:g} {r.PICP:.2f}" for r in table.itertuples())
    assert f"all: {told};" in picture.alt
    assert "5-15 cm: " in picture.alt
    assert interval_pictures(replace(found, intervals=pd.DataFrame()), LABELS) == ()


def test_tables_hold_every_level_and_every_depth(found: Assessment) -> None:
    levels, depths = interval_score_tables(found, "g/kg")
    assert [row[0] for row in levels.rows] == [f"{100 * c:g} %" for c in COVERAGES]
    row = found.intervals.query("model == 'full' and by == 'all' and nominal == 0.9").iloc[0]
    assert levels.rows[4][2:4] == (fixed(row["below"]), fixed(row["above"]))
    assert levels.rows[4][1].startswith(fixed(row["PICP"]))
    overall = found.table("block").iloc[0]
    assert depths.rows[0][1].startswith(fixed(overall["CRPS"]))
    assert len(depths.rows) == 1 + len(found.table("block", "depth"))
    titles = [table.title for table in metric_tables(found, "g/kg")]
    assert "Inside and outside the area of applicability, spatial blocks" in titles
    assert interval_score_tables(replace(found, intervals=pd.DataFrame()), "g/kg") == []


def test_covariates_are_drawn_by_what_they_are_worth(found: Assessment) -> None:
    worth, *curves = importance_pictures(found, LABELS)
    ranked = found.importance.query("by == 'all'")
    told = ", ".join(f"{r.covariate} {r.loss:.2f}" for r in ranked.itertuples())
    assert worth.alt.endswith(f": {told}.")
    assert [one.name for one in curves] == ["along_wet", "along_zone"]
    assert "0–5 cm: " in curves[0].alt
    assert importance_pictures(replace(found, importance=pd.DataFrame()), LABELS) == ()
