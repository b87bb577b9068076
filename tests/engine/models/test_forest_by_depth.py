"""A forest for each depth: which rows it learns from, that depths do not mix, files, tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor

from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.models.depth_rows import depth_rows
from edaphos.engine.models.forest_by_depth import ForestByDepth
from edaphos.engine.models.protocol import ModelSpec, TileInputs

from ..assess_world import make_samples

DEPTHS = ((0.0, 25.0), (25.0, 75.0), (75.0, 200.0))
SAMPLES = make_samples(profiles=60)
SETTINGS = {"covariates": ("wet",), "trees": 6, "depths": DEPTHS, "transform": "none"}


@given(st.floats(0, 300), st.floats(0, 50))
def test_a_layer_belongs_to_the_interval_of_its_midpoint_or_the_nearest(top, thick):
    found = int(depth_rows(np.array([top]), np.array([top + thick]), DEPTHS)[0])
    middle = (2 * top + thick) / 2
    assert found == (0 if middle < 25 else 1 if middle < 75 else 2)


def test_a_gap_between_intervals_goes_to_the_nearer_one():
    assert depth_rows(
        np.array([8.0, 22.0]), np.array([8.0, 22.0]), ((0, 5), (25, 30))
    ).tolist() == [
        0,
        1,
    ]


def test_each_depth_is_scikit_learns_forest_on_its_own_rows():
    model = ForestByDepth(**SETTINGS).fit(SAMPLES)
    assert ModelSpec("forest_by_depth", SETTINGS).build() == ForestByDepth(**SETTINGS)
    of_depth = depth_rows(SAMPLES.top, SAMPLES.bottom, DEPTHS)
    found = model.predict_rows(SAMPLES)["soc_mean"]
    for d in range(3):
        rows = SAMPLES.take(of_depth == d)
        x = np.column_stack([rows.matrix(("wet",)), rows.top, rows.bottom]).astype(np.float32)
        theirs = RandomForestRegressor(
            6, min_samples_leaf=5, max_features="sqrt", random_state=d
        ).fit(x, rows.y, sample_weight=rows.weight)
        np.testing.assert_allclose(found[of_depth == d], theirs.predict(x), rtol=1e-9)


def test_other_depths_change_nothing_and_files_hold_it_all(tmp_path: Path):
    model = ForestByDepth(**SETTINGS).fit(SAMPLES)
    table = SAMPLES.table.copy()
    deep = depth_rows(SAMPLES.top, SAMPLES.bottom, DEPTHS) == 2
    table.loc[deep, "y"] *= 10
    other = ForestByDepth(**SETTINGS).fit(type(SAMPLES)(table, SAMPLES.features))
    grid = Grid.from_bounds("EPSG:4326", (0, 0, 4, 3), 1.0, 16, "little")
    window = grid.window(0, 0, 3, 4)
    wet = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    wanted = np.ones((3, 4), bool)
    wanted[0, 0] = False
    inputs = TileInputs(window, {"wet": wet}, wanted, (2020,))
    here, there = model.predict(inputs), other.predict(inputs)
    for name in here:
        assert here[name].shape == (3, 1, 3, 4)
        np.testing.assert_array_equal(here[name][:2], there[name][:2])
        assert np.isnan(here[name][:, :, 0, 0]).all()
    assert (there["soc_mean"][2][:, wanted] > 2 * here["soc_mean"][2][:, wanted]).all()
    model.save(tmp_path)
    again = ForestByDepth.load(tmp_path)
    assert again.emits == model.emits
    assert again.emits.depths == DEPTHS
    for name, values in again.predict(inputs).items():
        np.testing.assert_array_equal(values, here[name])


def test_a_depth_without_rows_is_named():
    with pytest.raises(InputError, match=r"200-300 cm has 0"):
        ForestByDepth(**{**SETTINGS, "depths": (*DEPTHS, (200, 300))}).fit(SAMPLES)
