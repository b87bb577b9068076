"""Folds see their own patches, here and on a cluster that reads the samples from a folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from edaphos.engine.assess.assess import AssessSpec, assess
from edaphos.engine.conv.patches import PatchStore, extract, patches_of
from edaphos.engine.cube.cube import Cube
from edaphos.engine.grid import Grid
from edaphos.engine.models.protocol import ModelSpec, register

from ..assess_world import make_samples
from ..cubes import Layer, write_cube


@register
class MiddleModel:
    """Predicts the middle of each row's patch, and the mean of the training patches."""

    kind = "test-middle"
    patch_size = 3

    def fit(self, samples):
        patches = np.unique(patches_of(samples))
        self.mean = np.nanmean(PatchStore.open(samples.patches).values[patches])
        return self

    def predict_rows(self, samples):
        values = PatchStore.open(samples.patches).values[patches_of(samples)]
        return {"soc_mean": values[:, 0, 1, 1] + self.mean}


def test_patches_reach_every_fold(tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    rng = np.random.default_rng(1)
    cells = rng.gamma(2.0, 10.0, (36, 72)).astype(np.float32)
    cube = Cube.open(write_cube(tmp_path / "c", [Layer({"slope": cells}, (-180, 90), (5, 5))]))
    grid = Grid.from_bounds("EPSG:4326", (-180, -90, 180, 90), 5.0, 16)
    samples = extract(make_samples(120), cube, grid, ("slope",), 3, tmp_path / "p")
    spec, options = ModelSpec("test-middle"), AssessSpec(bootstrap=0)
    here = assess(samples, spec, options)
    row, col, _ = grid.locate(samples.table["lon"].to_numpy(), samples.table["lat"].to_numpy())
    table = here.out_of_fold("block")
    for _, fold in table.groupby("fold"):
        mean = fold["mean"] - cells[row, col][fold["row"]]
        np.testing.assert_allclose(mean, mean.iloc[0], rtol=1e-5)
    options_of = {"threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with LocalCluster(n_workers=1, **options_of) as cluster, Client(cluster) as client:
        there = assess(samples, spec, options, client=client, scratch=tmp_path)
    pd.testing.assert_frame_equal(here.predictions, there.predictions)
    assert json.loads((tmp_path / "p/patches.json").read_text())["size"] == 3
