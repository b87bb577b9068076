from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score, root_mean_squared_error

from edaphos.engine.assess.assess import Assessment, AssessSpec, assess
from edaphos.engine.assess.crossval import depth_only
from edaphos.engine.errors import InputError, RunError
from edaphos.engine.models.protocol import ModelSpec
from edaphos.engine.samples import Samples

from ..assess_world import WitnessModel, make_samples

SAMPLES = make_samples()
LINEAR = ModelSpec("test-linear", {"covariates": ("wet",)})
SPEC = AssessSpec(bootstrap=200, seed=3, extra_block_deg=(2.0,))


@pytest.fixture(scope="module")
def linear() -> Assessment:
    return assess(SAMPLES, LINEAR, SPEC)


def test_every_row_is_predicted_once_by_a_model_that_did_not_see_it(linear):
    table = linear.out_of_fold("block")
    np.testing.assert_array_equal(table["row"], np.arange(len(SAMPLES)))
    assert table["mean"].notna().all()
    fold = 2
    out = (table["fold"] == fold).to_numpy()
    model = LINEAR.build().fit(SAMPLES.take(~out))
    np.testing.assert_array_equal(
        table["mean"][out], model.predict_rows(SAMPLES.take(out))["soc_mean"]
    )


def test_no_profile_and_no_block_is_on_both_sides():
    WitnessModel.seen.clear()
    spec = AssessSpec(bootstrap=0, splits=("block", "profile", "source"))
    found = assess(SAMPLES, ModelSpec("test-witness"), spec)
    assert len(WitnessModel.seen) == 5 + 5 + 2
    block_of = found.rows.merge(found.predictions.query("split == 'block'"), on="row")
    block_of = block_of.drop_duplicates("profile_id").set_index("profile_id")["block"]
    for number, (trained, held_out) in enumerate(WitnessModel.seen):
        assert not trained & held_out
        assert len(trained | held_out) == SAMPLES.table["profile_id"].nunique()
        if number < 5:
            assert not set(block_of[list(trained)]) & set(block_of[list(held_out)])


def test_a_random_split_leaks_profiles():
    WitnessModel.seen.clear()
    assess(SAMPLES, ModelSpec("test-witness"), AssessSpec(bootstrap=0, splits=("random",)))
    assert all(trained & held_out for trained, held_out in WitnessModel.seen)


def test_metrics_equal_scikit_learn(linear):
    for split in ("block", "profile", "random", "block-2deg"):
        table = linear.out_of_fold(split)
        row = linear.table(split).iloc[0]
        assert row["R2"] == pytest.approx(r2_score(table["obs"], table["mean"]))
        assert row["RMSE"] == pytest.approx(root_mean_squared_error(table["obs"], table["mean"]))
        assert row["PICP"] == pytest.approx(
            table["obs"].between(table["lower"], table["upper"]).mean()
        )
        assert row["R2_low"] < row["R2"] < row["R2_high"]
    for by, column in (("depth", "depth"), ("source", "source"), ("koeppen_zone", "koeppen")):
        rows = linear.table("block", by)
        for group, part in linear.out_of_fold("block").groupby(column):
            found = rows[rows["group"] == group].iloc[0]
            assert found["n"] == len(part)
            assert found["CCC"] <= 1
            assert found["ME"] == pytest.approx((part["mean"] - part["obs"]).mean())
    assert linear.table("block", "topsoil")["n"].item() == (linear.rows["obs"][
        (linear.rows["top_cm"] + linear.rows["bottom_cm"]) / 2 < 30
    ]).size  # fmt: skip


def test_gain_over_depth_is_found_and_paired(linear):
    gain = linear.gain.query("split == 'block' and by == 'all' and metric == 'R2_log1p'").iloc[0]
    depth = linear.table("block", model="depth_only")["R2_log1p"].item()
    full = linear.table("block")["R2_log1p"].item()
    assert gain["value"] == full
    assert gain["other"] == depth
    assert gain["difference"] == pytest.approx(full - depth)
    assert 0 < gain["low"] < gain["difference"] < gain["high"]
    assert set(linear.gain["split"]) == {"block", "block-2deg"}
    assert "prediction_tercile" not in set(linear.gain["by"])
    # The depth model really saw depth alone: nothing else tells its predictions apart.
    plain = linear.out_of_fold("block", "depth_only")
    assert (plain.groupby(["fold", "top_cm"])["mean"].nunique() == 1).all()


def test_closeness_flatters_a_model_that_copies_its_neighbour():
    found = assess(SAMPLES, ModelSpec("test-nearest"), AssessSpec(bootstrap=200))
    row = found.flattery.query("split == 'random' and by == 'all' and metric == 'R2'").iloc[0]
    assert row["against"] == "block"
    assert row["low"] > 0
    assert len(found.gain) == 0
    assert any("depth-only" in note for note in found.notes)


def test_bias_by_depth_source_and_tercile(linear):
    bias = linear.bias.query("split == 'block'")
    assert set(bias["by"]) == {"all", "depth", "source", "prediction_tercile"}
    high = bias[bias["group"] == "high"].iloc[0]
    table = linear.out_of_fold("block")
    top = table[table["mean"] > table["mean"].quantile(2 / 3)]
    assert high["ME"] == pytest.approx((top["mean"] - top["obs"]).mean())
    assert high["ME_percent"] == pytest.approx(100 * high["ME"] / top["obs"].mean())


def test_order_of_samples_changes_no_score(linear):
    order = np.random.default_rng(2).permutation(len(SAMPLES))
    again = assess(SAMPLES.take(order), LINEAR, SPEC)
    pd.testing.assert_frame_equal(linear.metrics, again.metrics, rtol=1e-9)


def test_with_and_without_a_client_the_outcome_is_the_same(linear, tmp_path):
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        on_cluster = assess(SAMPLES, LINEAR, SPEC, client=client, scratch=tmp_path)
        with pytest.raises(RunError, match=r'"test-broken", split "block", fold \d: singular'):
            assess(SAMPLES, ModelSpec("test-broken", {"how": "fit"}), client=client)
    for name in ("rows", "predictions", "splits", "metrics", "gain", "flattery"):
        pd.testing.assert_frame_equal(getattr(linear, name), getattr(on_cluster, name))
    assert list(tmp_path.iterdir()) == []


def test_saved_and_loaded(linear, tmp_path):
    linear.save(tmp_path / "a")
    loaded = Assessment.load(tmp_path / "a")
    for name in ("rows", "predictions", "metrics", "gain", "flattery"):
        pd.testing.assert_frame_equal(
            getattr(linear, name), getattr(loaded, name), check_dtype=False
        )
    pd.testing.assert_frame_equal(linear.splits, loaded.splits, check_dtype=False)
    assert loaded.to_json() == linear.to_json()
    assert not list((tmp_path / "a").glob("*.pkl"))
    with pytest.raises(InputError, match="no finished assessment"):
        Assessment.load(tmp_path)


def test_json_has_null_for_what_is_undefined():
    few = SAMPLES.take(np.arange(40))
    text = assess(
        few, ModelSpec("test-nearest"), AssessSpec(bootstrap=10, splits=("profile",), folds=2)
    )
    document = json.loads(text.to_json(), parse_constant=lambda c: pytest.fail(c))
    row = document["metrics"][0]
    assert row["PICP"] is None
    assert isinstance(row["R2"], float)
    assert document["settings"]["assess"]["folds"] == 2
    assert document["gain"] == []


def test_settings_say_what_was_assessed(linear):
    s = linear.settings
    assert s["rows"] == len(SAMPLES)
    assert s["model"]["kind"] == "test-linear"
    assert sum(s["rows_by_fold"]["block"].values()) == len(SAMPLES)
    assert s["target"] == {"name": "soc", "units": "g kg-1"}


def test_weighted_scores_use_the_weights():
    spec = AssessSpec(bootstrap=0, splits=("profile",), weighted=True)
    found = assess(SAMPLES, LINEAR, spec)
    table = found.out_of_fold("profile")
    expected = r2_score(table["obs"], table["mean"], sample_weight=table["weight"])
    assert found.table("profile")["R2"].item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("fit", RunError, "singular matrix"),
        ("length", RunError, r"shape \(3,\)"),
        ("name", InputError, 'must return "soc_mean", found carbon'),
    ],
)
def test_failures_name_split_and_fold(how, error, message):
    with pytest.raises(error, match=message):
        assess(SAMPLES, ModelSpec("test-broken", {"how": how}), AssessSpec(bootstrap=0))


def test_rows_without_prediction_are_counted():
    spec = AssessSpec(bootstrap=0, splits=("block",))
    found = assess(SAMPLES, ModelSpec("test-broken", {"how": "gaps"}), spec)
    assert any(note.startswith("5 of 1200 rows have no prediction") for note in found.notes)
    assert found.table("block")["n"].item() == len(SAMPLES) - 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": ("blok",)}, 'did you mean "block"'),
        ({"splits": ()}, "at least one split"),
        ({"coverage": 0.95}, "whole per cents"),
        ({"bootstrap": -1}, "negative"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        assess(SAMPLES, LINEAR, AssessSpec(**options))


def test_a_model_must_predict_rows():
    class Mapper:
        def fit(self, samples: Samples) -> object:
            return self

    from edaphos.engine.models.protocol import register

    Mapper.kind = "test-mapper"
    register(Mapper)
    with pytest.raises(InputError, match="predict_rows"):
        assess(SAMPLES, ModelSpec("test-mapper"), AssessSpec(bootstrap=0))


def test_depth_only_takes_the_covariates_away():
    assert depth_only(LINEAR).settings == {"covariates": ()}
    assert LINEAR.settings == {"covariates": ("wet",)}
    assert depth_only(ModelSpec("test-nearest")) is None
