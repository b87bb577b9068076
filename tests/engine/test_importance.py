"""What covariates are worth, and how predictions go with them, where the truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from sklearn.inspection import partial_dependence

from edaphos.engine.assess.assess import Assessment, AssessSpec, assess
from edaphos.engine.importance import DEPTH, explain, explain_spec
from edaphos.engine.models.forest import ForestModel
from edaphos.engine.models.protocol import ModelSpec, register
from edaphos.engine.samples import Samples

from .assess_world import LinearModel, make_samples

RAIN = tuple(f"rain_{m:02d}" for m in range(1, 13))


def world() -> Samples:
    """The small world with noise beside what makes the target, and a class."""
    made = make_samples(profiles=150)
    rng = np.random.default_rng(1)
    table = made.table.assign(
        noise=rng.normal(size=len(made)).astype(np.float32),
        zone=rng.integers(1, 4, len(made)).astype(np.float32),
    )
    return Samples(table, ("wet", *RAIN, "noise", "zone"), classes=("zone",))


SAMPLES = world()


@register
class Told(LinearModel):
    """The linear model, which says that it can be asked."""

    kind: ClassVar[str] = "test-told"

    def fit(self, samples: Samples) -> Told:
        super().fit(samples)
        return self

    @property
    def emits(self) -> Any:
        return ForestModel(()).emits

    def importance(self) -> Mapping[str, float]:
        return {}


@pytest.fixture(scope="module")
def found() -> Assessment:
    spec = ModelSpec("test-told", {"covariates": ("wet", "noise", "zone")})
    return assess(SAMPLES, spec, AssessSpec(splits=("block",), bootstrap=200, seed=3, explain=True))


def test_importance_is_what_theory_says_of_a_linear_model(found: Assessment) -> None:
    # Where x of variance v is dealt anew within a fold, the squared error of b x grows by 2 b² v,
    # less what the error at rows left out goes with x.
    rows, logs = found.importance.query("by == 'all'").set_index("covariate"), np.log1p(SAMPLES.y)
    wet, out = SAMPLES.table["wet"].to_numpy(float), found.out_of_fold("block")
    error, fold = np.log1p(out["centre"]).to_numpy() - logs, out["fold"].to_numpy()
    growth = 0.0
    for number in range(5):
        held = fold == number
        b = Told(("wet", "noise", "zone")).fit(SAMPLES.take(~held)).coefficients[2]
        x, e = wet[held], error[held]
        growth += held.mean() * 2 * (b**2 * x.var() - b * np.cov(x, e, bias=True)[0, 1])
    expected = growth / logs.var()
    assert rows["loss"]["wet"] == pytest.approx(expected, rel=0.1)
    assert rows["low"]["wet"] < rows["loss"]["wet"] < rows["high"]["wet"]
    for name in ("noise", "zone"):
        assert abs(rows["loss"][name]) < 0.01
    assert set(rows.index[:2]) == {"wet", DEPTH}
    assert rows["n"]["wet"] == len(SAMPLES)
    assert rows["blocks"]["wet"] == found.settings["blocks"]


def test_depth_is_worth_nothing_within_a_depth(found: Assessment) -> None:
    table = found.importance
    deep = table[(table["by"] == "depth") & (table["covariate"] == "wet")]
    assert len(deep) == 5  # those depths that have rows
    assert (deep["loss"] > 0.2).all()


def test_a_curve_is_the_mean_over_places_left_out(found: Assessment) -> None:
    table = found.dependence.query("covariate == 'wet' and top_cm == 0").sort_values("value")
    assert (np.diff(np.log1p(table["mean"])) > 0).all()
    step = np.diff(np.log(table["q90"] + 1)) / np.diff(table["value"])
    slope = Told(("wet", "noise", "zone")).fit(SAMPLES).coefficients[2]
    assert np.median(step) == pytest.approx(slope, rel=0.1)
    assert (table["q10"] < table["q90"]).all()
    zones = found.dependence.query("covariate == 'zone'")
    assert zones["classes"].all()
    assert sorted(zones["value"].unique()) == [1.0, 2.0, 3.0]
    assert len(zones) == 3 * 3  # depths


def test_curves_of_a_forest_are_scikit_learns() -> None:
    model = ForestModel(("wet", "noise"), trees=6, transform="none", seed=2).fit(SAMPLES)
    spec = explain_spec(model, SAMPLES)
    assert spec is not None
    held = SAMPLES.take(np.arange(0, len(SAMPLES), 5))
    told = explain(model, held, np.arange(len(held)), spec, 0)
    # the same with scikit-learn, on a forest that is grown alike
    from sklearn.ensemble import RandomForestRegressor

    rows = model._rows(SAMPLES)
    peer = RandomForestRegressor(6, min_samples_leaf=5, max_features="sqrt", random_state=2).fit(
        rows, SAMPLES.y, sample_weight=SAMPLES.weight
    )
    places = explain_places(held, spec.places)
    assert told.curves["wet"].shape == (3, len(spec.grids["wet"]), len(places))
    peers = model._rows(places)
    for d, depth in enumerate(spec.depths):
        peers[:, 2:] = depth
        grid = np.array(spec.grids["wet"], np.float32)
        expected = partial_dependence(
            peer, peers, [0], custom_values={0: grid}, method="brute"
        )["average"][0]  # fmt: skip
        if len(places) == len(np.unique(held.table["profile_id"])):  # all: order is no matter
            np.testing.assert_allclose(told.curves["wet"][d].mean(axis=1), expected, rtol=2e-2)


def explain_places(held: Samples, most: int) -> Samples:
    first = np.unique(held.table["profile_id"].to_numpy().astype(str), return_index=True)[1]
    return held.take(first[:most])


def test_months_move_together_and_models_of_other_things_are_not_asked() -> None:
    model = ForestModel(("wet", "rain"), trees=3)
    spec = explain_spec(model, SAMPLES)
    assert spec is not None
    assert spec.columns["rain"] == RAIN
    assert "rain" not in spec.grids  # twelve columns have no one curve
    assert explain_spec(LinearModel(("wet",)), SAMPLES) is None
    assert explain_spec(ForestModel(()), SAMPLES) is None
    patches = replace(SAMPLES, patches=Path("patches"))
    assert explain_spec(model, patches) is None


def test_it_is_saved_and_read_and_absent_where_not_asked(found: Assessment, tmp_path: Path) -> None:
    found.save(tmp_path)
    again = Assessment.load(tmp_path)
    for name in ("importance", "dependence"):
        ours, theirs = getattr(found, name), getattr(again, name)
        assert list(ours) == list(theirs)
        np.testing.assert_allclose(ours.iloc[:, -2].astype(float), theirs.iloc[:, -2].astype(float))
    silent = assess(
        SAMPLES, ModelSpec("test-linear", {"covariates": ("wet",)}),
        AssessSpec(splits=("block",), bootstrap=0, explain=True),
    )  # fmt: skip
    assert silent.importance.empty
    assert silent.dependence.empty
