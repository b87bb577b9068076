"""What a forest may do beside growing: choose covariates, and move its intervals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edaphos.engine.assess.crossval import fit_and_predict
from edaphos.engine.assess.splits import make_split
from edaphos.engine.conformal import Bounds, calibrate
from edaphos.engine.covariate_choice import choices_of
from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.models.columns import quantile_name
from edaphos.engine.models.forest import ForestModel
from edaphos.engine.models.forest_by_depth import ForestByDepth
from edaphos.engine.models.protocol import ModelSpec, TileInputs
from edaphos.engine.samples import Samples

from ..assess_world import make_samples

DEPTHS = ((0.0, 5.0), (5.0, 15.0), (30.0, 60.0))
RAIN = tuple(f"rain_{m:02d}" for m in range(1, 13))
SMALL = {"trees": 8, "depths": DEPTHS, "max_features": 0.5}


def world(planted: str = "") -> Samples:
    """The small world with a monthly variable, noise, and a column with the target in it.

    `planted`: in which rows, ``held`` (out) or ``taught``; elsewhere it is noise.
    """
    made = make_samples(profiles=120)
    rng = np.random.default_rng(4)
    out = make_split(made, "block", folds=3, seed=2).held_out(1)
    signal, noise = np.log1p(made.y), rng.normal(size=(2, len(made)))
    for rows in (out, ~out):  # noise that chance gives no correlation
        w, s = made.weight[rows], signal[rows] - np.average(signal[rows], weights=made.weight[rows])
        for own in noise:
            own[rows] -= np.average(own[rows], weights=w)
            own[rows] -= s * np.average(own[rows] * s, weights=w) / np.average(s**2, weights=w)
    chosen = out if planted == "held" else ~out if planted == "taught" else np.zeros_like(out)
    table = made.table.assign(
        planted=np.where(chosen, signal, noise[0]).astype(np.float32),
        noise=noise[1].astype(np.float32),
    )
    return Samples(table, ("wet", *RAIN, "planted", "noise"))


COVARIATES = ("wet", "rain", "planted", "noise")
OUT = make_split(world(), "block", folds=3, seed=2).held_out(1)


def tile(model: ForestModel) -> dict[str, np.ndarray]:
    grid = Grid.from_bounds("EPSG:4326", (0, 0, 4, 3), 1.0, 16, "little")
    rng = np.random.default_rng(9)
    wanted = np.ones((3, 4), bool)
    wanted[0, 0] = False
    values = {
        name: rng.normal(size=(12, 3, 4) if name == "rain" else (3, 4)).astype(np.float32)
        for name in COVARIATES
        if name in model.reads.variables
    }
    inputs = TileInputs(grid.window(0, 0, 3, 4), values, wanted, (2020,))
    return {name: np.array(found) for name, found in model.predict(inputs).items()}


def test_a_signal_in_rows_held_out_is_chosen_by_nothing() -> None:
    planted, plain = world("held"), world()
    spec = ModelSpec("forest", {**SMALL, "covariates": COVARIATES, "choose": "filter"})
    found = spec.build().fit(planted.take(~OUT))
    fates = {one.feature: one.fate for one in found.choice.considered}
    assert fates["planted"] == "weak"
    assert found.choice.rows == (~OUT).sum()
    assert (
        np.abs(np.corrcoef(planted.table["planted"], np.log1p(planted.y))[0, 1]) > 0.2
    )  # all rows would have kept it
    here = fit_and_predict(spec, planted, OUT)
    there = fit_and_predict(spec, plain, OUT)
    for name in here:
        np.testing.assert_array_equal(here[name], there[name])
    # nor do targets of rows held out decide
    table = plain.table.copy()
    table.loc[OUT, "y"] = table.loc[OUT, "planted"] * 50 + 300
    other = fit_and_predict(spec, replace(plain, table=table), OUT)
    np.testing.assert_array_equal(other["soc_mean"], here["soc_mean"])
    # while in rows learned from the same signal is taken
    taught = spec.build().fit(world("taught").take(~OUT))
    assert taught.choice.kept[0] == "planted"


def test_what_was_chosen_is_what_is_read_and_saved(tmp_path: Path) -> None:
    model = ForestModel(COVARIATES, choose="filter", **SMALL)
    assert model.reads.variables == COVARIATES
    model.fit(world())
    kept = model.choice.kept
    assert len(kept) == 1  # rain follows wetness: they are twins all
    assert kept[0] in ("wet", *RAIN)
    assert set(model.features[:-2]) == set(kept)
    assert set(model.reads.variables) == {name.split("_")[0] for name in kept}
    plain = ForestModel(tuple(f for f in model.features[:-2]), **SMALL).fit(world())
    samples = world()
    np.testing.assert_array_equal(
        plain.predict_rows(samples)["soc_q95"], model.predict_rows(samples)["soc_q95"]
    )
    model.save(tmp_path)
    again = ForestModel.load(tmp_path)
    assert again.choice == model.choice
    assert again.reads == model.reads
    assert choices_of(tmp_path) == {"": model.choice}
    for name, values in tile(model).items():
        np.testing.assert_array_equal(values, tile(again)[name])


def test_intervals_are_those_of_the_forest_moved_by_depth(tmp_path: Path) -> None:
    samples = world()
    plain = ForestModel(("wet",), quantiles=(0.05, 0.5, 0.95, 0.25, 0.75), **SMALL).fit(samples)
    moved = replace(plain, intervals="conformal").fit(samples)
    here, there = plain.predict_rows(samples), moved.predict_rows(samples)
    for name in ("soc_mean", "soc_q50", "soc_logmean"):
        np.testing.assert_array_equal(here[name], there[name])
    bounds = [Bounds("soc_q05", "soc_q95", 0.9), Bounds("soc_q25", "soc_q75", 0.5)]
    spec = ModelSpec("forest", {"covariates": ("wet",), "quantiles": plain.quantiles, **SMALL})
    learned = calibrate(spec, samples, bounds, offset=1.0)
    for b, one in zip(bounds, learned, strict=True):
        low, high = one.apply(here[b.low], here[b.high], samples.top, samples.bottom)
        np.testing.assert_array_equal(there[b.low], low)
        np.testing.assert_array_equal(there[b.high], high)
        assert (low != here[b.low]).any()
    words = {o.name: o.long_name for o in moved.emits.outputs}
    assert words["soc_q95"] == "upper bound of the conformal 90 % interval"
    assert words["soc_q50"] == "50 % quantile"
    moved.save(tmp_path)
    again = ForestModel.load(tmp_path)
    mapped = tile(again)
    for name, values in tile(moved).items():
        np.testing.assert_array_equal(values, mapped[name])
    # a cell of the map gets what a row of its depth does
    flat = tile(plain)
    for d, (top, bottom) in enumerate(DEPTHS):
        low, high = learned[0].apply(flat["soc_q05"][d], flat["soc_q95"][d], top, bottom)
        np.testing.assert_allclose(mapped["soc_q05"][d], low, rtol=1e-6)
        np.testing.assert_allclose(mapped["soc_q95"][d], high, rtol=1e-6)


def test_rows_held_out_move_no_interval() -> None:
    samples = world()
    spec = ModelSpec(
        "forest", {**SMALL, "covariates": ("wet",), "intervals": "conformal", "choose": "filter"}
    )
    table = samples.table.copy()
    table.loc[OUT, "y"] *= 100
    here = fit_and_predict(spec, samples, OUT)
    there = fit_and_predict(spec, replace(samples, table=table), OUT)
    for name in here:
        np.testing.assert_array_equal(here[name], there[name])


def test_forests_by_depth_take_both_options(tmp_path: Path) -> None:
    depths = ((0.0, 25.0), (25.0, 200.0))
    settings = {**SMALL, "depths": depths, "choose": "filter", "intervals": "conformal"}
    model = ForestByDepth(COVARIATES, **settings).fit(world())
    model.save(tmp_path)
    again = ForestByDepth.load(tmp_path)
    assert set(choices_of(tmp_path)) == {"depth_0", "depth_1"}
    for name, values in model.predict_rows(world()).items():
        np.testing.assert_array_equal(values, again.predict_rows(world())[name])


def test_intervals_without_pairs_are_refused() -> None:
    with pytest.raises(InputError, match=r"pairs of quantiles.*found 0.1, 0.5"):
        ForestModel(("wet",), quantiles=(0.1, 0.5), intervals="conformal")


def test_importance_is_a_share_for_each_feature_and_is_saved(tmp_path: Path) -> None:
    samples = world()  # where "wet" and depth make the target
    model = ForestModel(("wet", "noise"), **SMALL).fit(samples)
    found = model.importance()
    assert list(found) == ["wet", "noise", "top_cm", "bottom_cm"]
    assert sum(found.values()) == pytest.approx(1)
    assert found["noise"] < found["wet"]
    model.save(tmp_path)
    assert ForestModel.load(tmp_path).importance() == found
    by_depth = ForestByDepth(("wet", "noise"), **{**SMALL, "depths": ((0.0, 30.0), (30.0, 100.0))})
    assert sum(by_depth.fit(samples).importance().values()) == pytest.approx(1)
    with pytest.raises(InputError, match="fit the model again"):
        ForestModel(("wet",)).importance()


def test_wider_intervals_hold_narrower_ones(tmp_path: Path) -> None:
    samples, levels = world(), (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
    model = ForestModel(("wet",), **SMALL, quantiles=levels, intervals="conformal").fit(samples)
    said = model.predict_rows(samples)
    bounds = np.stack([said[quantile_name("soc", q)] for q in levels])
    assert (np.diff(bounds, axis=0) >= 0).all()
    model.save(tmp_path)
    again = ForestModel.load(tmp_path).predict_rows(samples)
    np.testing.assert_array_equal(bounds[0], again["soc_q05"])
