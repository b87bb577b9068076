"""Skill by depth against other libraries, a leak that was planted, profiles of other surveys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score

from edaphos.engine.assess.assess import AssessSpec, assess
from edaphos.engine.assess.independent import independent_rows, judge, shared_with_training
from edaphos.engine.assess.partial import partial_correlations
from edaphos.engine.assess.parts import PART_LABELS, PARTS, depth_means, part_scores
from edaphos.engine.assess.profile_study import ProfileStudy, by_parts, compare_measured
from edaphos.engine.assess.scoring import BlockBootstrap
from edaphos.engine.errors import InputError
from edaphos.engine.measured import FINE, measured_values, with_measured
from edaphos.engine.models.protocol import ModelSpec, register
from edaphos.engine.samples import Samples

SPEC = AssessSpec(splits=("block", "profile", "random"), bootstrap=60, baseline=())


def stocks(profiles: int = 150, seed: int = 3) -> Samples:
    """Layers of 10 or 30 cm: density falls with depth, half of it is the profile's own."""
    rng = np.random.default_rng(seed)
    tops = np.array([0.0, 10.0, 40.0, 70.0, 100.0, 130.0])
    who = np.repeat(np.arange(profiles), len(tops))
    top = np.tile(tops, profiles)
    thickness = np.where(top == 0, 10.0, 30.0)
    own = rng.normal(0, 0.5, profiles)[who]
    density = 20 * np.exp(-top / 60 + own + rng.normal(0, 0.1, len(who)))
    lon, lat = rng.uniform(-170, 170, profiles), rng.uniform(-55, 65, profiles)
    table = pd.DataFrame(
        {
            "profile_id": [f"p{i}" for i in who],
            "source": np.array(["a", "b"])[who % 2],
            "lon": lon[who],
            "lat": lat[who],
            "year": np.nan,
            "top_cm": top,
            "bottom_cm": top + thickness,
            "y": density * thickness / 100,
            "weight": 1.0,
            "cell": who,
            "wet": rng.normal(size=profiles)[who].astype(np.float32),
            "soc_g_kg": density,
            "clay_pct": 20 + 10 * own,
            "sand_pct": np.nan,
            "silt_pct": 30.0,
        }
    )
    return Samples(table, ("wet",), ("stock", "kg m-2"))


@register
class SameProfile:
    """Scales a curve over depth by the other layers of the same profile, where it knows any."""

    kind: ClassVar[str] = "test-same-profile"

    def fit(self, samples: Samples) -> Self:
        self.own = pd.Series(_density(samples)).groupby(samples.table["profile_id"].values).mean()
        return self

    def predict_rows(self, samples: Samples) -> Mapping[str, Any]:
        curve = 20 * np.exp(-samples.top / 60)
        known = samples.table["profile_id"].map(self.own).fillna(self.own.mean()).to_numpy()
        scale = known / self.own.mean()
        return {"stock_mean": curve * scale * (samples.bottom - samples.top) / 100}

    def save(self, folder: Path) -> None: ...


@register
class FineOnly:
    """Reads a measured property out where it is told it."""

    kind: ClassVar[str] = "test-fine-only"

    def __init__(self, covariates: tuple[str, ...] = ()) -> None:
        self.covariates = tuple(covariates)

    def fit(self, samples: Samples) -> Self:
        return self

    def predict_rows(self, samples: Samples) -> Mapping[str, Any]:
        own = np.zeros(len(samples))
        if FINE in self.covariates:
            own = (samples.table[FINE].to_numpy(float) - 50) / 10
        density = 20 * np.exp(-samples.top / 60 + own)
        return {"stock_mean": density * (samples.bottom - samples.top) / 100}


def _density(samples: Samples) -> np.ndarray:
    return samples.y * 100 / (samples.bottom - samples.top) * np.exp(samples.top / 60)


@pytest.fixture(scope="module")
def samples() -> Samples:
    return stocks()


@pytest.fixture(scope="module")
def found(samples: Samples) -> Any:
    return assess(samples, ModelSpec("test-same-profile"), SPEC)


@pytest.fixture(scope="module")
def tables(found: Any) -> dict[str, pd.DataFrame]:
    return by_parts(found)


def test_scores_by_part_are_those_of_other_libraries(found: Any, tables: Any) -> None:
    rows = found.out_of_fold("profile")
    middle = (rows["top_cm"] + rows["bottom_cm"]) / 2
    scores = tables["scores"].set_index(["split", "scale", "group"])
    for (top, bottom), label in zip(PARTS, PART_LABELS, strict=True):
        here = rows[(middle >= top) & (middle < bottom)]
        metres = (here["bottom_cm"] - here["top_cm"]) / 100
        for scale, factor in (("stock", 1.0), ("density", 1 / metres)):
            one = scores.loc["profile", scale, label]
            obs, mean = here["obs"] * factor, here["mean"] * factor
            assert one["n"] == len(here)
            assert one["R2"] == pytest.approx(r2_score(obs, mean))
            assert one["r2"] == pytest.approx(np.corrcoef(obs, mean)[0, 1] ** 2)
            assert one["ME"] == pytest.approx((mean - obs).mean())
    pooled = scores.loc["profile", "stock", "all"]
    assert pooled["n"] == ((middle < 200) & (middle >= 0)).sum()


def test_a_planted_leak_shows_in_the_row_split_alone(tables: Any) -> None:
    gains = tables["flattery"].set_index(["split", "scale", "group", "metric"])
    for part in PART_LABELS:
        leak = gains.loc["random", "density", part, "R2"]
        assert leak["difference"] > 0.5
        assert leak["low"] > 0
        honest = gains.loc["profile", "density", part, "R2"]
        assert abs(honest["difference"]) < 0.1


def test_thickness_flatters_the_stock_of_all_layers() -> None:
    """A model that knows thickness and nothing else has R² for stock, none for each centimetre."""
    rng = np.random.default_rng(0)
    thick = rng.uniform(5, 60, 400)
    density = rng.uniform(5, 15, 400)
    zero = np.zeros(400)
    draws = BlockBootstrap.draw(np.arange(400), 20, 0)
    scored = part_scores("stock", density * thick / 100, thick / 10, zero, thick, draws)
    assert scored["stock"].estimate["R2"][0] > 0.6
    assert scored["density"].estimate["R2"][0] < 0.05


def test_measured_properties_are_compared_on_the_same_rows(samples: Samples) -> None:
    lacking = samples.table.assign(
        clay_pct=samples.table["clay_pct"].where(np.arange(len(samples)) % 3 > 0)
    )
    some = replace(samples, table=lacking)
    tables, notes = compare_measured(
        some, ModelSpec("test-fine-only", {"covariates": ()}), (FINE, "nitrogen_g_kg"), SPEC
    )
    rows = int(lacking["clay_pct"].notna().sum())
    assert set(tables["measured"]["model"]) == {"covariates", f"covariates + {FINE}"}
    whole = tables["measured"].query("group == 'all'")
    assert (whole["n"] == rows).all()
    gain = tables["measured_gain"].query("metric == 'R2' and group == 'all' and scale == 'density'")
    assert (gain["low"] > 0.2).all()
    assert any("nitrogen_g_kg" in note for note in notes)
    # folds made for the map's places, and properties that no layer has together
    matched = AssessSpec(splits=("knndm",), bootstrap=0, baseline=())
    places = np.random.default_rng(4).uniform([-170, -55], [170, 65], (500, 2))
    told = ModelSpec("test-fine-only", {"covariates": ()})
    tables, _ = compare_measured(some, told, (FINE,), matched, places=places)
    assert set(tables["measured"]["split"]) == {"knndm"}
    apart = lacking.assign(nitrogen_g_kg=lacking["clay_pct"].isna().map({True: 1.0, False: np.nan}))
    tables, notes = compare_measured(
        replace(some, table=apart), told, (FINE, "nitrogen_g_kg"), SPEC
    )
    assert tables == {}
    assert f"0 layers have {FINE}, nitrogen_g_kg all at once" in notes[0]


def test_clay_and_silt_are_what_is_not_sand() -> None:
    table = pd.DataFrame(
        {
            "clay_pct": [20.0, 20, np.nan],
            "sand_pct": [np.nan, 30.0, np.nan],
            "silt_pct": [30.0, np.nan, 5],
        }
    )
    np.testing.assert_array_equal(measured_values(table, FINE), [50, 70, np.nan])


def test_a_name_that_is_no_property_has_a_feature_of_none(samples: Samples) -> None:
    assert len(with_measured(samples, ["nitrogen_g_kg"])) == 0
    assert with_measured(samples, [FINE]).features == ("wet", FINE)


def test_independent_layers_are_predicted_at_their_own_intervals(samples: Samples) -> None:
    """The model says what it was asked about: every interval must be the file's own."""

    class Echo:
        def fit(self, samples: Samples) -> Self:
            return self

        def predict_rows(self, samples: Samples) -> Mapping[str, Any]:
            return {"stock_mean": samples.top + samples.bottom / 1000}

    odd = samples.table.head(18).assign(
        top_cm=[0.0, 7, 13] * 6, bottom_cm=[7.0, 13, 162.5] * 6, y=1.0
    )
    scores, rows = judge(Echo(), replace(samples, table=odd), replicates=20, seed=0)
    np.testing.assert_array_equal(rows["mean"], odd["top_cm"] + odd["bottom_cm"] / 1000)
    np.testing.assert_array_equal(rows["part"], [0, 0, 1] * 6)
    assert set(scores["scale"]) == {"stock", "density"}
    whole = scores[(scores["group"] == "all") & (scores["scale"] == "stock")].iloc[0]
    assert (whole["n"], whole["blocks"]) == (18, 3)
    assert np.isnan(whole["RMSE_low"])  # three sites say nothing of their spread


def test_profiles_learned_from_are_no_independent_evidence(samples: Samples) -> None:
    training = samples.table
    away = training.tail(12).assign(profile_id="other:1", lon=179.0, lat=-59.0)
    near = training.head(6).assign(profile_id="other:2", lat=training["lat"].head(6) + 0.009)
    by_name = training.head(6).assign(lon=100.0, lat=80.0)
    table = pd.concat([away, near, by_name], ignore_index=True)
    held = shared_with_training(table, training, 0.01)
    np.testing.assert_array_equal(held, [False] * 12 + [True] * 12)
    kept, said = independent_rows(table, training, shared="remove", distance_deg=0.01)
    assert len(kept) == 12
    assert "2 of 3 validation profiles (12 layers)" in said
    with pytest.raises(InputError, match="no independent evidence"):
        independent_rows(table, training, shared="refuse", distance_deg=0.01)
    with pytest.raises(InputError, match="2 of 2 validation profiles"):
        independent_rows(table.tail(12), training, shared="remove", distance_deg=0.01)
    assert independent_rows(away, training, shared="refuse", distance_deg=0.01)[1] == ""
    east = training.head(6).assign(lon=179.999, lat=-16.5)
    for lon, beside in ((-179.999, True), (-179.98, False)):  # over the date line
        west = east.assign(profile_id="other:3", lon=lon)
        assert (shared_with_training(west, east, 0.01) == beside).all()


def test_partial_correlations_by_part_and_too_few_rows(samples: Samples) -> None:
    rng = np.random.default_rng(5)
    n = len(samples)
    drivers = rng.normal(size=(n, 2))
    deep = samples.top >= 100
    carbon = np.where(deep, drivers[:, 1], drivers[:, 0]) + rng.normal(0, 0.5, n)
    scarce = drivers.copy()
    scarce[np.flatnonzero(deep)[4:], 1] = np.nan  # four rows of deep soil, one control
    blocks = np.arange(n) // 6
    table = partial_correlations(
        carbon, scarce, ("a", "b"), samples.top, samples.bottom, blocks, replicates=100
    )
    table = table.set_index(["group", "method", "driver"]).sort_index()
    topsoil = table.loc["0-30 cm", "Spearman"]
    assert topsoil.loc["a", "low"] > 0.5
    assert topsoil.loc["a", "p_holm"] < 0.001
    assert topsoil.loc["b", "low"] < 0 < topsoil.loc["b", "high"]
    few = table.loc["100-200 cm", "Pearson", "a"]
    assert (few["n"], few["note"][:13]) == (4, "not estimable")
    assert np.isnan(few["r"])


def test_means_by_depth_take_layers_that_hold_the_middle() -> None:
    top, bottom = np.array([0.0, 10, 0]), np.array([10.0, 30, 30])
    stock = np.array([1.0, 2.0, 6.0])
    means = depth_means("stock", stock, stock, top, bottom)
    np.testing.assert_allclose(means["measured"], [(10 + 20) / 2, (10 + 20) / 2, (10 + 20) / 2])
    assert list(means["n"]) == [2, 2, 2]


def test_a_study_is_read_as_it_was_written(tables: Any, tmp_path: Path) -> None:
    study = ProfileStudy(**tables, notes=("one", "zwei, drei"))
    study.save(tmp_path)
    again = ProfileStudy.load(tmp_path)
    pd.testing.assert_frame_equal(again.scores, study.scores, check_dtype=False)
    assert again.notes == study.notes
    assert again.independent.empty
