"""Boosted trees as a model of the engine, with scikit-learn as the oracle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from edaphos.engine.assess.assess import AssessSpec, assess
from edaphos.engine.assess.splits import location_blocks
from edaphos.engine.assess.strata import depth_groups
from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.models.boosting import BoostingModel
from edaphos.engine.models.columns import sample_rows
from edaphos.engine.models.protocol import ModelSpec, TileInputs, model_class

from ..assess_world import make_samples

SAMPLES = make_samples(profiles=120)
DEPTHS = ((0.0, 30.0), (30.0, 60.0), (100.0, 200.0))
COVARIATES = ("wet", "rain")
SMALL = {"trees": 25, "learning_rate": 0.15, "max_leaf_nodes": 8, "max_features": 1.0}
WITH_RAIN = replace(SAMPLES, features=("wet", *(f"rain_{m:02d}" for m in range(1, 13))))
MODEL = BoostingModel(COVARIATES, depths=DEPTHS, seed=3, **SMALL).fit(WITH_RAIN)


def oracle(loss: str, y: np.ndarray, taught: np.ndarray | None = None) -> np.ndarray:
    """What scikit-learn's own trees, of the same settings, say of all rows."""
    model = HistGradientBoostingRegressor(
        loss=loss, max_iter=25, learning_rate=0.15, max_leaf_nodes=8, min_samples_leaf=20,
        early_stopping=False, random_state=3,
    )  # fmt: skip
    rows = sample_rows(MODEL._features, WITH_RAIN)
    use = slice(None) if taught is None else taught
    model.fit(rows[use], y[use], sample_weight=WITH_RAIN.weight[use])
    return model.predict(rows)


def test_mean_and_centre_are_scikit_learns():
    found = MODEL.predict_rows(WITH_RAIN)
    np.testing.assert_allclose(found["soc_mean"], oracle("poisson", SAMPLES.y), rtol=1e-12)
    centre = np.expm1(oracle("squared_error", np.log1p(SAMPLES.y)))
    np.testing.assert_allclose(found["soc_logmean"], centre, rtol=1e-11)
    assert list(found)[:4] == ["soc_mean", "soc_q05", "soc_q50", "soc_q95"]
    assert (found["soc_q05"] <= found["soc_q50"]).all()
    assert (found["soc_q50"] <= found["soc_q95"]).all()


def test_a_tile_has_the_values_of_its_cells_as_rows():
    grid = Grid.from_bounds("EPSG:4326", (0, 0, 9, 7), 1.0, 16, "little")
    rng = np.random.default_rng(9)
    picked = rng.integers(0, len(SAMPLES), (7, 9))
    values = {
        "wet": SAMPLES.table["wet"].to_numpy(np.float32)[picked],
        "rain": np.stack(
            [
                SAMPLES.table[f"rain_{m:02d}"].to_numpy(np.float32)[picked.T.ravel()].reshape(7, 9)
                for m in range(1, 13)
            ]
        ),
    }
    wanted = rng.random((7, 9)) < 0.7
    found = MODEL.predict(TileInputs(grid.window(0, 0, 7, 9), values, wanted, (2020,)))
    for d, (top, bottom) in enumerate(DEPTHS):
        table = SAMPLES.table.iloc[picked.ravel()].reset_index(drop=True)
        table = table.assign(wet=values["wet"].ravel(), top_cm=top, bottom_cm=bottom)
        for m in range(12):
            table[f"rain_{m + 1:02d}"] = values["rain"][m].ravel()
        said = MODEL.predict_rows(replace(WITH_RAIN, table=table))
        for name, layers in found.items():
            cells = said[name].astype(np.float32).reshape(7, 9)
            np.testing.assert_array_equal(layers[d, 0][wanted], cells[wanted], err_msg=name)
            assert np.isnan(layers[d, 0][~wanted]).all()


def test_it_is_saved_without_pickle_and_comes_back(tmp_path: Path):
    MODEL.save(tmp_path)
    assert {p.suffix for p in tmp_path.rglob("*") if p.is_file()} == {".npy", ".json"}
    again = model_class("boosting").load(tmp_path)
    for name, values in again.predict_rows(WITH_RAIN).items():
        np.testing.assert_array_equal(values, MODEL.predict_rows(WITH_RAIN)[name])
    assert again.importance() == MODEL.importance()
    assert again.emits == MODEL.emits
    (tmp_path / "spread" / "right.npy").unlink()
    with pytest.raises(InputError, match=r"right\.npy: missing"):
        BoostingModel.load(tmp_path)


def test_intervals_hold_their_share_in_blocks_left_out():
    spec = ModelSpec("boosting", {"covariates": ("wet",), "depths": DEPTHS, **SMALL})
    found = assess(make_samples(300), spec, AssessSpec(splits=("block",), bootstrap=0, folds=3))
    row = found.table("block").iloc[0]
    assert 0.85 <= row["PICP"] <= 0.96
    alone = found.table("block", model="depth_only").iloc[0]
    assert alone["R2_log1p"] < row["R2_log1p"]


def test_the_spread_goes_with_the_covariates():
    rng = np.random.default_rng(2)
    loud = rng.random(len(SAMPLES)) < 0.5
    y = np.exp(2 + np.where(loud, 0.9, 0.1) * rng.normal(size=len(SAMPLES)))
    table = SAMPLES.table.assign(y=y, loud=loud.astype(np.float32))
    world = replace(SAMPLES, table=table, features=("loud",))
    said = BoostingModel(("loud",), depths=DEPTHS, **SMALL).fit(world).predict_rows(world)
    width = np.log1p(said["soc_q95"]) - np.log1p(said["soc_q05"])
    assert np.median(width[loud]) > 4 * np.median(width[~loud])
    for rows in (loud, ~loud):
        inside = (said["soc_q05"] <= y) & (y <= said["soc_q95"])
        assert inside[rows].mean() == pytest.approx(0.9, abs=0.06)


def test_a_depth_with_too_few_blocks_for_a_level_takes_the_residuals_of_all():
    blocks = location_blocks(SAMPLES, 5.0)
    assert len(np.unique(blocks)) >= 39
    deep = SAMPLES.top >= 30
    few = SAMPLES.take(~deep | np.isin(blocks, np.unique(blocks[deep])[:34]))
    fitted = {
        levels: BoostingModel(("wet",), depths=DEPTHS, quantiles=levels, **SMALL).fit(few)
        for levels in ((0.05, 0.95), (0.025, 0.975))
    }
    group = depth_groups(np.array([30.0]), np.array([60.0]))[0]
    for (low, _), model in fitted.items():
        pooled = model._residuals[-1]  # of 200 cm and below, where there are no rows
        # 34 blocks tell 5 % (19 are needed), and not 2.5 % (39)
        assert np.array_equal(model._residuals[group], pooled) == (low == 0.025)


def test_importance_adds_up_and_nothing_is_said_before_fitting():
    found = MODEL.importance()
    assert tuple(found) == MODEL.features
    assert found["top_cm"] + found["bottom_cm"] + found["wet"] > 0.8
    assert sum(found.values()) == pytest.approx(1)
    for call in (BoostingModel(("wet",)).importance, lambda: BoostingModel(()).predict_rows(None)):
        with pytest.raises(InputError, match="not fitted"):
            call()


def test_what_it_cannot_learn_is_refused():
    below = replace(SAMPLES, table=SAMPLES.table.assign(y=SAMPLES.y - 5))
    with pytest.raises(InputError, match="not negative"):
        BoostingModel(("wet",)).fit(below)
    with pytest.raises(InputError, match="at least 40 samples, found 30"):
        BoostingModel(("wet",)).fit(SAMPLES.take(np.arange(30)))
    one = replace(SAMPLES, table=SAMPLES.table.assign(lon=3.0, lat=4.0, profile_id="p"))
    with pytest.raises(InputError, match="fold"):
        BoostingModel(("wet",)).fit(one)
