"""The forest of layer stocks: what it learns, what it maps, where it does not, as it was saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edaphos.engine.applicability import ApplicabilitySpec
from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.models.forest import ForestModel
from edaphos.engine.models.protocol import ModelSpec, TileInputs
from edaphos.engine.models.stock_forest import StockForest
from edaphos.engine.samples import Samples
from edaphos.engine.status import Status

from ..assess_world import make_samples

DEPTHS = ((0.0, 10.0), (10.0, 30.0), (30.0, 100.0), (100.0, 150.0), (160.0, 200.0))
GRID = Grid.from_bounds("EPSG:4326", (0, 0, 2, 2), 0.1, 32, "square")


def stock_samples() -> Samples:
    """Layers of several thicknesses, whose density depends on `wet` and depth alone."""
    samples = make_samples(profiles=80)
    table = samples.table.assign(
        bottom_cm=samples.table["top_cm"] + 5 + 30 * (np.arange(len(samples)) % 3)
    )
    density = 10 * np.exp(0.3 * table["wet"] - table["top_cm"] / 80)
    y = density * (table["bottom_cm"] - table["top_cm"]) / 100
    return replace(samples, table=table.assign(y=y), target=("stock", "kg m-2"))


SAMPLES = stock_samples()


def fitted(**how: object) -> StockForest:
    told = {"trees": 8, "depths": DEPTHS, "quantiles": (0.05, 0.95)}
    return StockForest(("wet",), **{**told, **how}).fit(SAMPLES)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def density() -> StockForest:
    return fitted(learns="density", biome={"cover": (3, 10)})


def tile() -> TileInputs:
    window = GRID.tile(0, 0).window
    rng = np.random.default_rng(0)
    values = {
        "wet": rng.normal(size=window.shape).astype(np.float32),
        "cover": rng.choice([3, 10, 12], window.shape).astype(np.float32),
    }
    return TileInputs(window, values, np.ones(window.shape, bool), (2020,))


def test_a_forest_of_stock_is_the_plain_forest_of_it() -> None:
    plain = ForestModel(
        ("wet",), trees=8, min_samples_leaf=3, max_features=1 / 3, transform="none", quantiles=()
    ).fit(SAMPLES)
    found = fitted(quantiles=()).predict_rows(SAMPLES)
    np.testing.assert_array_equal(found["stock_mean"], plain.predict_rows(SAMPLES)["stock_mean"])


def test_density_learned_gives_stocks_in_proportion_to_thickness(density: StockForest) -> None:
    """Unlike the stock, it is right for layers far thicker than any that was learned from."""
    thick = SAMPLES.take(SAMPLES.top == 0)
    asked = replace(thick, table=thick.table.assign(bottom_cm=thick.top + 65))
    said = density.predict_rows(asked)
    per_cm = density._forest.predict_rows(asked)["stock_mean"]
    np.testing.assert_allclose(said["stock_mean"], per_cm * 0.65)
    assert set(said) == {"stock_mean", "stock_q05", "stock_q95"}


def test_a_tile_has_the_stocks_of_its_rows_and_their_sums(density: StockForest) -> None:
    inputs = tile()
    out = density.predict(inputs)
    assert set(out) == {o.name for o in density.emits.outputs} | {"status"}
    cells = np.flatnonzero(np.isin(inputs.values["cover"], (3, 10)).ravel())[:25]
    for d, (top, bottom) in enumerate(DEPTHS):
        rows = SAMPLES.take(np.arange(len(cells)))
        table = rows.table.assign(
            wet=inputs.values["wet"].ravel()[cells], top_cm=top, bottom_cm=bottom
        )
        said = density.predict_rows(replace(rows, table=table))
        for name, values in said.items():
            np.testing.assert_allclose(out[name][d, 0].ravel()[cells], values, rtol=1e-6)
    layers = out["stock_mean"]
    np.testing.assert_allclose(out["stock0to30_sum"], layers[:2].sum(axis=0, keepdims=True))
    np.testing.assert_allclose(out["stock0to100_sum"], layers[:3].sum(axis=0, keepdims=True))
    assert "stock0to200_sum" not in out  # a gap from 150 to 160 cm


def test_cells_outside_the_biome_are_left_out_with_a_reason(density: StockForest) -> None:
    inputs = tile()
    out = density.predict(inputs)
    outside = inputs.values["cover"] == 12
    assert outside.any()
    assert (out["status"][outside] == Status.OUTSIDE_BIOME).all()
    assert (out["status"][~outside] == 0).all()
    assert np.isnan(out["stock_mean"][..., outside]).all()
    assert np.isfinite(out["stock_mean"][..., ~outside]).all()
    assert density.reads.variables == ("wet", "cover")
    assert density.learns_from == ("wet",)


def test_it_is_read_as_it_was_saved(density: StockForest, tmp_path: Path) -> None:
    density.save(tmp_path)
    again = StockForest.load(tmp_path)
    ours, theirs = density.predict(tile()), again.predict(tile())
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])
    assert again.describe() == density.describe()
    with pytest.raises(InputError, match="no saved forest of stocks"):
        StockForest.load(tmp_path / "nothing")


def test_tuning_sees_whole_locations_and_keeps_the_best(tmp_path: Path) -> None:
    model = StockForest(("wet",), trees=4, tune=True, quantiles=(), depths=DEPTHS).fit(SAMPLES)
    tuned = model._tuned
    assert tuned is not None
    best = min(tuned.rmse, key=lambda key: tuned.rmse[key])
    leaf, share = best.split(", ")
    assert model._forest.min_samples_leaf == int(leaf)
    assert f"{model._forest.max_features:.2f}" == share
    model.save(tmp_path)
    assert StockForest.load(tmp_path).describe() == model.describe()
    assert "5 folds of 80 locations" in model.describe()["method"]


def test_a_layer_without_thickness_has_no_density() -> None:
    flat = replace(SAMPLES, table=SAMPLES.table.assign(bottom_cm=SAMPLES.table["top_cm"]))
    with pytest.raises(InputError, match="no density to learn"):
        StockForest(("wet",), learns="density", trees=2).fit(flat)


def test_depth_alone_stands_beside_it() -> None:
    spec = ModelSpec("stock_forest", {"covariates": (), "trees": 3, "quantiles": ()})
    said = spec.build().fit(SAMPLES).predict_rows(SAMPLES)
    assert np.isfinite(said["stock_mean"]).all()


def test_its_area_of_applicability_is_learned_from_covariates_not_from_the_biome() -> None:
    told = {"covariates": ("wet",), "trees": 3, "quantiles": (), "biome": {"cover": (10,)}}
    model = ModelSpec("stock_forest", told, ApplicabilitySpec(folds=3)).build().fit(SAMPLES)
    out = model.predict(tile())
    assert np.isfinite(out["dissimilarity"]).any()
    assert (out["status"][tile().values["cover"] == 12] == Status.OUTSIDE_BIOME).all()
