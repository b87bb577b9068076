"""Layers made to integrate: to the model's own 0-30 cm, to published stocks, told where not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.models.consistent import ConsistentModel, ConsistentSpec, with_consistency
from edaphos.engine.models.forest import ForestModel
from edaphos.engine.models.protocol import ModelSpec, TileInputs
from edaphos.engine.models.stock_forest import StockForest
from edaphos.engine.status import Status

from ..assess_world import make_samples

DEPTHS = ((0, 15), (15, 30), (30, 100), (100, 200))
SETTINGS = {"covariates": ("wet",), "trees": 5, "depths": DEPTHS}
SAMPLES = make_samples(profiles=50)
SHAPE = (2, 3)


def tile(**more: np.ndarray) -> TileInputs:
    """Return a tile of six cells, one of them not wanted."""
    grid = Grid.from_bounds("EPSG:4326", (0, 0, 3, 2), 1.0, 16, "little")
    wet = np.linspace(-1, 1, 6, dtype=np.float32).reshape(SHAPE)
    wanted = np.ones(SHAPE, bool)
    wanted[0, 0] = False
    return TileInputs(grid.window(0, 0, *SHAPE), {"wet": wet, **more}, wanted, (2020,))


def test_contents_average_to_what_the_forest_says_of_0_30_and_30_100_cm(tmp_path: Path):
    spec = ModelSpec("forest", SETTINGS, consistent=ConsistentSpec())
    model = spec.build().fit(SAMPLES)
    plain = ForestModel(**SETTINGS).fit(SAMPLES)
    whole = replace(plain, depths=((0, 30), (30, 100))).fit(SAMPLES).predict(tile())["soc_mean"]
    before, after = plain.predict(tile()), model.predict(tile())
    mean = after["soc_mean"]
    np.testing.assert_allclose((mean[0] + mean[1]) / 2, whole[0], rtol=1e-5)
    np.testing.assert_allclose(mean[2], whole[1], rtol=1e-5)
    np.testing.assert_array_equal(mean[3], before["soc_mean"][3])
    assert not np.allclose(before["soc_mean"][:2].mean(axis=0), whole[0], equal_nan=True, rtol=1e-3)
    # intervals keep their share of the mean
    np.testing.assert_allclose(
        after["soc_q95"] / mean, before["soc_q95"] / before["soc_mean"], rtol=1e-5
    )
    model.save(tmp_path)
    again = with_consistency(ForestModel.load(tmp_path), tmp_path)
    np.testing.assert_array_equal(again.predict(tile())["soc_mean"], mean)


def stocks_of(model_units: str = "kg m-2") -> ConsistentModel:
    samples = replace(SAMPLES, target=("stock", model_units))
    spec = ConsistentSpec(variables=("upper", "whole"), factor=0.1)
    return ConsistentModel(ForestModel(**SETTINGS), spec).fit(samples)


def test_stocks_add_up_to_published_ones_and_contradictions_have_no_value():
    upper = np.array([[50, 60, 70], [80, 90, np.nan]], np.float32)
    whole = np.array([[90, 120, 140], [70, 180, 200]], np.float32)  # t/ha; less in 0-100 at [1, 0]
    model = stocks_of()
    assert set(model.reads.variables) == {"wet", "upper", "whole"}
    assert model.learns_from == ("wet",)
    found = model.predict(tile(upper=upper, whole=whole))
    mean, status = found["stock_mean"][:, 0], found["status"]
    good = np.zeros(SHAPE, bool)
    good[0, 1:] = good[1, 1] = True
    np.testing.assert_allclose(mean[:2].sum(axis=0)[good], 0.1 * upper[good], rtol=1e-5)
    np.testing.assert_allclose(mean[:3].sum(axis=0)[good], 0.1 * whole[good], rtol=1e-5)
    assert status[1, 0] == status[1, 2] == Status.INVALID_STOCK
    assert (status[good] == 0).all()


def test_sums_over_layers_are_of_the_scaled_ones():
    upper = np.full(SHAPE, 5.0, np.float32)
    forest = StockForest(covariates=("wet",), trees=5, depths=DEPTHS)
    model = ConsistentModel(forest, ConsistentSpec(variables=("upper", "whole")))
    model.fit(replace(SAMPLES, target=("stock", "kg m-2")))
    found = model.predict(tile(upper=upper, whole=upper + 7))
    wanted = tile().wanted
    np.testing.assert_allclose(found["stock0to30_sum"][0, 0][wanted], 5, rtol=1e-5)
    np.testing.assert_allclose(found["stock0to100_sum"][0, 0][wanted], 12, rtol=1e-5)


def test_refusals_name_what_to_do():
    with pytest.raises(InputError, match=r"0 to 30 cm.*end at 30 and 100 cm"):
        ConsistentModel(ForestModel(("wet",), depths=((0, 20), (20, 100))), ConsistentSpec())
    with pytest.raises(InputError, match="published stocks"):
        ModelSpec("forest_by_depth", SETTINGS, consistent=ConsistentSpec()).build()
    with pytest.raises(InputError, match="map a stock"):
        stocks_of("g kg-1").predict(tile(upper=np.ones(SHAPE, "f4"), whole=np.ones(SHAPE, "f4")))
    with pytest.raises(InputError, match="2 intervals"):
        ConsistentSpec(variables=("one",))
