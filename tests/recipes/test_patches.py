"""A model of one's own learns from patches that a run cuts once, keeps, and hands to workers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from edaphos.engine.conv.patches import PatchStore
from edaphos.engine.map_view import open_map
from edaphos.engine.place import place
from edaphos.engine.run import Run
from edaphos.engine.scratch import let_go, scratch_folder
from edaphos.engine.whole_folder import whole_folder
from edaphos.recipes.cli import app
from edaphos.recipes.patches import patches_folder

from .small import Country, make_country

MODEL = '''
import json
import numpy as np
from edaphos.engine.conv.channels import Channels
from edaphos.engine.conv.patches import PatchStore, patches_of
from edaphos.engine.models.protocol import Emits, Output, Reads


class Roughness:
    """Largest less smallest standardised elevation of 3 x 3 cells."""

    kind = "roughness"
    patch_size = 3
    reads = Reads(("rain", "elevation"), halo=1)
    emits = Emits((Output("soc_mean", "g kg-1", "mean", "float"),), ((0, 30),))

    def fit(self, samples):
        store = PatchStore.open(samples.patches)
        self.channels = Channels.fit(store, patches_of(samples))
        return self

    @staticmethod
    def _range(windows):
        return windows.max(axis=(-2, -1)) - windows.min(axis=(-2, -1))

    def predict_rows(self, samples):
        store = PatchStore.open(samples.patches)
        channels = self.channels.of_patches(store, patches_of(samples))
        return {"soc_mean": self._range(channels[:, 1])}

    def predict(self, inputs):
        channels = self.channels.of_tile(inputs)
        windows = np.lib.stride_tricks.sliding_window_view(channels[1], (3, 3))
        return {"soc_mean": self._range(windows)[None, None]}

    def save(self, folder):
        (folder / "model.json").write_text(json.dumps(self.channels.to_json()))

    @classmethod
    def load(cls, folder):
        model = cls()
        model.channels = Channels.from_json(json.loads((folder / "model.json").read_text()))
        return model
'''


def edaphos(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def country(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Country:
    country = make_country(tmp_path / "country", resolution=0.25, tile_size=16, assess=True)
    monkeypatch.syspath_prepend(country.folder)
    (country.folder / "rough.py").write_text(MODEL)
    start, rest = country.recipe.read_text().split("[model]")
    rest = rest.split("[assess]")[1]
    country.recipe.write_text(f'{start}[model]\nkind = "rough:Roughness"\n\n[assess]{rest}')
    return country


def test_patches_of_a_run_in_a_bucket_lie_on_this_machine_while_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = patches_folder(place("s3://maps/run"))
    assert folder == patches_folder(place("s3://maps/run"))
    assert folder != patches_folder(place("s3://maps/other"))
    assert folder.is_relative_to(scratch_folder())
    with whole_folder(folder) as partial:
        (partial / "values.npy").touch()
    folder.with_name("patches-trainings").mkdir()
    assert (folder / "values.npy").exists()
    let_go()
    assert not any(scratch_folder().iterdir())


def run(country: Country, out: Path) -> None:
    result = edaphos("run", country.recipe, "--out", out, "--workers", 2)
    assert result.exit_code == 0, result.output


def test_patches_are_cut_once_and_predict_what_the_map_says(country: Country, tmp_path) -> None:
    out = tmp_path / "out"
    run(country, out)
    store = PatchStore.open(out / "patches")
    assert (store.size, len(store.planes)) == (3, 2)
    told = Run.open(out).manifest()["provenance"]
    assert told["patches"]["patches"] == len(store) <= 120
    assert "patches" in told["stage_seconds"]

    rows = pd.read_parquet(out / "assessment/rows.parquet")
    found = pd.read_parquet(out / "assessment/predictions.parquet")
    assert np.isfinite(found["mean"]).all()
    world = open_map(out)["soc_mean"].isel(depth=0, year=0)
    cell = {"x": rows["lon"].to_xarray(), "y": rows["lat"].to_xarray()}
    mapped = world.sel(**cell, method="nearest").to_numpy()
    # each fold has a scale of its own: within a fold map and patches differ by one factor
    for _, fold in found.groupby(["split", "fold"]):
        ratio = fold["mean"].to_numpy() / mapped[fold["row"].to_numpy()]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)

    about = json.loads((out / "patches/patches.json").read_text())
    about["digest"] = "of another cube"
    (out / "patches/patches.json").write_text(json.dumps(about))
    run(country, out)  # all have learned: nothing is cut
    assert PatchStore.open(out / "patches").digest == "of another cube"
    shutil.rmtree(out / "model")
    run(country, out)
    assert PatchStore.open(out / "patches").digest == store.digest
    stamp = (out / "patches/values.npy").stat().st_mtime_ns
    shutil.rmtree(out / "model")
    run(country, out)
    assert (out / "patches/values.npy").stat().st_mtime_ns == stamp
