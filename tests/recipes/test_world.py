"""The real run, small: real profiles and rasters at one degree, few trees, one split."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edaphos.engine.assess.assessment import Assessment
from edaphos.engine.map_view import open_map
from edaphos.engine.status import Status
from edaphos.recipes.cli import app
from edaphos.recipes.templates import builtin_path


@pytest.fixture(scope="module")
def world(shared_data: Path, tmp_path_factory) -> Path:
    """The built-in recipe, coarser and cheaper, through the command."""
    folder = tmp_path_factory.mktemp("world")
    text = builtin_path("world").read_text()
    for old, new in (
        ('preset = "global-0.1deg"\ntile_size = 512', 'preset = "global-1deg"\ntile_size = 256'),
        ("trees = 200", "trees = 12"),
        ("trees = 60\nextra_block_deg = [2.0]", 'trees = 8\nfolds = 3\nsplits = ["block"]'),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "world.toml").write_text(text)
    (folder / "world_cube.toml").write_text(builtin_path("world_cube").read_text())
    arguments = ["run", folder / "world.toml", "--data", shared_data, "--quiet"]
    arguments += ["--cube", folder / "world.zarr", "--out", folder / "run"]
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return folder / "run"


def test_the_map_covers_the_land_with_believable_soils(world: Path) -> None:
    dataset = open_map(world)
    assert dataset.attrs["complete"]
    status = dataset["status"].values
    carried = [Status.SOIL, Status.ORGANIC, Status.IMPUTED_INPUT, Status.OUTSIDE_APPLICABILITY]
    soil = np.isin(status, carried)
    area = np.cos(np.radians(dataset["y"].values))[:, None] * np.ones(status.shape)
    assert 0.24 < area[soil].sum() / area.sum() < 0.28  # ice-free land but for inland water
    mean = dataset["soc_mean"].values[:, 0]
    assert np.isfinite(mean[:, soil]).all()
    by_depth = np.nanmean(mean, axis=(1, 2))
    assert (np.diff(by_depth[:4]) < 0).all()  # carbon falls with depth
    assert by_depth[4:].max() < 0.5 * by_depth[0]  # and stays low below, if not in order
    by_place = {"Sahara": (23.5, 10.5), "Finland": (62.5, 27.5), "Sumatra": (0.5, 102.5)}
    topsoil = {n: float(dataset["soc_mean"][0, 0].sel(y=y, x=x)) for n, (y, x) in by_place.items()}
    assert topsoil["Sahara"] < 15 < 25 < topsoil["Finland"]
    assert topsoil["Sumatra"] > 2 * topsoil["Sahara"]


def test_most_of_the_land_is_like_places_learned_from_and_tibet_is_not(world: Path) -> None:
    dataset = open_map(world)
    unlike = dataset["dissimilarity"].values[0]
    outside = dataset["status"].values == Status.OUTSIDE_APPLICABILITY
    np.testing.assert_array_equal(unlike > 1, outside)
    assert 0.001 < outside.sum() / np.isfinite(unlike).sum() < 0.1
    tibet = dataset["dissimilarity"][0].sel(y=slice(36, 32), x=slice(82, 92)).values
    germany = dataset["dissimilarity"][0].sel(y=slice(53, 49), x=slice(8, 14)).values
    assert np.nanmedian(tibet) > 3 * np.nanmedian(germany)


def test_covariates_add_to_depth_on_blocks_never_seen(world: Path) -> None:
    found = Assessment.load(world / "assessment")
    full = found.table("block", "source", "full").set_index("group")["R2_log1p"]
    depth = found.table("block", "source", "depth_only").set_index("group")["R2_log1p"]
    for source in ("AfSP", "WISE3", "SoDaH"):
        assert full[source] > depth[source] + 0.1, source
        assert full[source] > 0.25, source


def test_hardly_a_profile_is_lost_and_the_sources_are_named(world: Path) -> None:
    manifest = json.loads((world / "manifest.json").read_text())
    samples = manifest["provenance"]["samples"]
    assert samples["kept"] > 0.99 * samples["rows"] > 80_000
    sources = json.loads(open_map(world).attrs["sources"])
    assert all(source["licence"] for source in sources)
    assert open_map(world).attrs["nominal_resolution"] == "1 degree"
    assert "0.5 degrees" in open_map(world).attrs["covariate_resolution"]
    assert "MangroveDB" not in (world / "profiles_locations.csv").read_text()
