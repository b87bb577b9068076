"""The forest as a model of the engine: tiles cell by cell, depths pruned, files as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.models.forest import ForestModel
from edaphos.engine.models.protocol import TileInputs
from edaphos.kernels.forest import leaves, predict

from ..assess_world import make_samples

SAMPLES = make_samples(profiles=80)
DEPTHS = ((0.0, 30.0), (30.0, 60.0), (100.0, 200.0))
COVARIATES = ("wet", "rain_01")
MODEL = ForestModel(COVARIATES, trees=12, depths=DEPTHS).fit(replace(SAMPLES, features=COVARIATES))
GRID = Grid.from_bounds("EPSG:4326", (0, 0, 20, 20), 0.2, 256, "square")


def tile(seed: int, wanted: float) -> TileInputs:
    rng = np.random.default_rng(seed)
    window = GRID.tile(0, 0).window
    values = {
        name: rng.choice(SAMPLES.table[name].to_numpy(np.float32), window.shape)
        for name in COVARIATES
    }
    return TileInputs(window, values, rng.random(window.shape) < wanted, (2020,))


def cell_by_cell(inputs: TileInputs) -> dict[str, np.ndarray]:
    """Rows of all cells with their depth as two columns, in one go and in raster order."""
    cells = np.flatnonzero(inputs.wanted)
    found = {
        o.name: np.full((len(DEPTHS), 1, *inputs.window.shape), np.nan, np.float32)
        for o in MODEL.emits.outputs
    }
    for d, depth in enumerate(DEPTHS):
        columns = [inputs.values[name].ravel()[cells] for name in COVARIATES]
        rows = np.column_stack([*columns, *np.tile(depth, (len(cells), 1)).T]).astype(np.float32)
        mean, quantiles = predict(MODEL.forest, rows, np.array(MODEL.quantiles))
        for name, layer in zip(found, [mean, *quantiles.T], strict=True):
            found[name][d].reshape(-1)[cells] = layer
    return found


@settings(max_examples=15)
@given(st.integers(0, 2**16), st.sampled_from([0.0, 0.001, 0.5, 1.0]))
def test_a_tile_has_the_bits_of_its_cells(seed, wanted):
    inputs = tile(seed, wanted)
    found, expected = MODEL.predict(inputs), cell_by_cell(inputs)
    assert list(found) == list(expected)
    for name, layers in found.items():
        np.testing.assert_array_equal(layers, expected[name], err_msg=name)
        assert np.isfinite(layers[:, 0, inputs.wanted]).all()


def test_a_depth_asks_for_no_depth():
    forest = MODEL.forest
    asked = set(forest.feature[forest.feature >= 0].tolist())
    assert {2, 3} & asked  # depth matters to this forest
    for depth in DEPTHS:
        nodes = MODEL._nodes_at(depth)
        assert nodes.features <= 2
        assert len(nodes.nodes) < len(forest.feature)
        rows = MODEL._rows(SAMPLES)
        rows[:, 2:] = depth
        np.testing.assert_array_equal(leaves(forest, rows, nodes), leaves(forest, rows))


def test_a_forest_of_depth_alone_maps_each_depth():
    model = ForestModel((), trees=5, depths=DEPTHS, quantiles=(0.5,)).fit(SAMPLES)
    inputs = tile(1, 0.4)
    found = model.predict(inputs)["soc_mean"]
    for d in range(len(DEPTHS)):
        assert len(np.unique(found[d, 0, inputs.wanted])) == 1
    assert found[0, 0, inputs.wanted][0] > found[2, 0, inputs.wanted][0]


def test_a_saved_forest_has_the_files_it_had_and_comes_back(tmp_path: Path):
    """Runs made by earlier versions hold these files, and are read."""
    MODEL.predict(tile(2, 0.1))  # what it keeps to walk is not saved
    MODEL.save(tmp_path)
    arrays = {
        "roots": np.int64,
        "feature": np.int16,
        "threshold": np.float32,
        "right": np.int32,
        "missing_left": np.bool_,
        "leaf_mean": np.float64,
        "leaf_start": np.int64,
        "leaf_rank": np.int32,
        "sorted_y": np.float64,
    }
    for name, kind in arrays.items():
        assert np.load(tmp_path / f"{name}.npy").dtype == kind
    assert len(list(tmp_path.iterdir())) == len(arrays) + 1
    again, inputs = ForestModel.load(tmp_path), tile(3, 0.3)
    for name, layers in again.predict(inputs).items():
        np.testing.assert_array_equal(layers, MODEL.predict(inputs)[name])
    (tmp_path / "right.npy").unlink()
    with pytest.raises(InputError, match=r"right\.npy: missing.*fit the model again"):
        ForestModel.load(tmp_path)


def test_fitting_again_forgets_the_nodes_of_before():
    model = ForestModel(("wet",), trees=3, depths=DEPTHS, quantiles=()).fit(SAMPLES)
    inputs = tile(4, 0.2)
    before = model.predict(inputs)["soc_mean"]
    model.seed = 5
    assert not np.array_equal(model.fit(SAMPLES).predict(inputs)["soc_mean"], before)
