"""Classes that taught the world nothing are told, and their cells marked on the map."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from edaphos.engine.status import Status
from edaphos.engine.tiles import read_inputs

from ..branch_world import GROUPS, make_model, make_samples, region_profiles
from ..conv_world import make_cube, world_grid


def test_a_class_new_in_the_region_is_told_and_its_cells_are_marked(tmp_path) -> None:
    cube = make_cube(tmp_path / "cube")
    groups = (GROUPS[0], {"name": "cover", "covariates": ("cover",)})
    model = make_model(groups=groups, training={"epochs": 1})
    samples = make_samples(cube, tmp_path / "set", model)
    here = make_samples(cube, tmp_path / "here", model, region_profiles())
    codes, counts = np.unique(here.table["cover"], return_counts=True)
    code = int(codes[counts.argmax()])
    model.fit(samples.take(samples.table["cover"].to_numpy() != code)).save(tmp_path / "model")
    told = {"ways": ("zero_shot",)}
    tuned = make_model(start=str(tmp_path / "model"), fine_tuning=told).fit(here)
    assert tuned.fitted.summary["classes unknown"] == {"cover": [code]}
    assert f"Class {code} of cover" in " ".join(tuned.notes)
    grid = world_grid()
    context = SimpleNamespace(cube=cube, model=tuned, grid=grid, run=SimpleNamespace(years=(2005,)))
    inputs, _ = read_inputs(context, grid.whole)
    marked = tuned.predict(inputs)["status"] == Status.OUTSIDE_APPLICABILITY
    np.testing.assert_array_equal(marked, inputs.values["cover"].squeeze() == code)
    assert marked.any()
    known = make_model(start=str(tmp_path / "model"), fine_tuning=told, lacking=("cover",))
    without = make_samples(cube, tmp_path / "without", known, region_profiles())
    assert known.fit(without).fitted.summary["classes unknown"] == {}
