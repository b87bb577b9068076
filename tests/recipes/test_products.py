"""What a recipe asks to be made of a map is made, and left alone when the run is continued."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from typer.testing import CliRunner

from edaphos.engine.map_store import MAP
from edaphos.engine.map_view import open_map
from edaphos.engine.store import list_objects
from edaphos.recipes.cli import app

from .small import make_country

pytestmark = pytest.mark.usefixtures("one_worker_here")


def edaphos(*words: object) -> None:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output


def test_exports_and_pyramid_of_a_run_outlive_its_continuation(tmp_path: Path) -> None:
    country, run = make_country(tmp_path / "c", resolution=1 / 60, tile_size=256), tmp_path / "run"
    country.replace("small.toml", "cog = false", "cog = true\npyramid = true")
    words = ("run", country.recipe, "--out", run, "--workers", 1, "--quiet")
    edaphos(*words)
    made = {path: path.stat().st_mtime_ns for path in (run / "products").glob("*.tif")}
    level = xr.open_zarr(run / MAP, group="pyramid/1", consolidated=False, chunks=None)
    fine = open_map(run)["soc_mean"].values[0, 0].reshape(300, 2, 300, 2)
    np.testing.assert_allclose(level["soc_mean"].values[0, 0], fine.mean(axis=(1, 3)), atol=0.006)
    with rasterio.open(run / "products/soc_0-5cm_mean.tif") as file:
        found = file.read(1) * file.scales[0]
    np.testing.assert_allclose(found.reshape(fine.shape), fine, atol=0.0501)
    objects = list_objects(run / MAP)
    edaphos(*words)
    assert list_objects(run / MAP) == objects
    assert {path: path.stat().st_mtime_ns for path in made} == made, "kept, not made again"
    edaphos("map", "verify", run)
