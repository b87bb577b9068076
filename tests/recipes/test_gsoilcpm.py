"""The whole chain as one recipe: cube, set, pre-training, two regions, maps, reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from shapely.geometry import Polygon
from typer.testing import CliRunner

from edaphos.engine.assess.assessment import Assessment
from edaphos.engine.branches.model_file import card_text, digest_of_model, read_card
from edaphos.engine.branches.regions_out import distance_km
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.map_view import open_map
from edaphos.engine.run import Run
from edaphos.engine.status import Status
from edaphos.kernels.blend import border_weight
from edaphos.recipes.cli import app
from edaphos.recipes.job import Overrides, load_job
from edaphos.recipes.patches import cut_patches
from edaphos.recipes.pipeline import draw, load, run_job
from edaphos.recipes.region_recipes import Region, region_recipe, write_recipe
from edaphos.recipes.regions import run_regions

from .small import GROUPS_TOML, Country, make_country, profiles_table

#: Its one worker is a thread: processes have their own tests.
pytestmark = pytest.mark.usefixtures("one_worker_here")

MODEL = (
    """kind = "gsoilcpm"
width = 4
merged = 8
dense = [8, 8]
dropout = [0.1, 0.1]
buffer_km = 20
parts = 4
part_deg = 1.0
licence = "CC0-1.0"
training = { epochs = 4, batch = 64, rate = 0.01 }
unlabelled = { places = 200, epochs = 2 }
kept_places = 40
kept_rows = 60
fine_tuning = { ways = ["zero_shot", "head"], epochs = 2, adversarial = 0.1, forests = 6 }
"""
    + GROUPS_TOML
)
REGIONS = """
[[regions]]
name = "east"
bounds = [16, 42, 19, 48]

[[regions]]
name = "west"
boundary = "west.gpkg"
resolution = 0.1
block_deg = 0.5
"""
#: The boundary of the west: a corner is missing.
WEST = Polygon([(10.5, 41), (13, 41), (13, 49), (11.5, 49), (11.5, 45), (10.5, 45)])


def net_country(folder: Path, **made: object) -> Country:
    """A small country whose recipe has a model of the world and regions."""
    country = make_country(folder, resolution=0.2, **made)  # type: ignore[arg-type]
    old = 'kind = "forest"\ncovariates = ["rain", "elevation"]\ntrees = 10\n'
    country.replace("small.toml", old, MODEL)
    country.replace("small.toml", "[products]", f"{REGIONS}\n[products]")
    profiles_table(300).to_csv(country.folder / "profiles.csv", index=False)
    geopandas.GeoSeries([WEST], crs=4326).to_file(country.folder / "west.gpkg")
    return country


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Country, Path]:
    folder = tmp_path_factory.mktemp("gsoilcpm")
    country = net_country(folder, tile_size=64, assess=True)
    told = 'folds = 2\ntrees = 5\nsplits = ["block"]\nkoeppen_legend = "alphabetical-32"'
    country.replace("small.toml", "folds = 3", told)
    run_job(load_job(country.recipe, Overrides(workers=1)), folder / "run")
    return country, folder / "run"


def test_the_world_and_two_regions_are_mapped_and_judged(done) -> None:
    _, run = done
    card = json.loads((run / "model" / "model.json").read_text())
    assert card["licence"] == "CC0-1.0"
    assert card["summary"]["left out"] > 100
    assert card["parameters"] < 2000
    for name, cell in (("east", 0.2), ("west", 0.1)):
        made = open_map(run / "regions" / name)
        assert made.attrs["complete"] in (True, "true", 1)
        assert np.isclose(abs(np.diff(made["x"])[0]), cell)
        assert np.isfinite(made["soc_mean"].values).any()
        told = json.loads((run / "regions" / name / "model" / "model.json").read_text())
        assert told["summary"]["places that taught the world"] == 0
        assert {way["way"] for way in told["ways"]} == {"zero_shot", "head"}
        judged = Assessment.load(run / "regions" / name / "assessment")
        recipe = load_job(run / "regions" / f"{name}.toml").recipe
        assert recipe.assess.koeppen_legend == "alphabetical-32"
        assert set(judged.compared["against"]) == {"forest of the region"}
    west = open_map(run / "regions" / "west")
    assert west.sizes["x"] == 25
    assert west.sizes["y"] == 80
    x, y = np.meshgrid(west["x"], west["y"])
    inside = shapely.contains_xy(WEST, x, y)
    assert np.isfinite(west["soc_mean"].isel(depth=0, year=0).values)[inside].all()
    assert not np.isfinite(west["soc_mean"].values[..., ~inside]).any()
    assert (west["status"].values[~inside] == Status.OUTSIDE_BOUNDARY).all()


def test_profiles_of_a_region_are_those_inside_its_boundary_and_teach_no_world(done) -> None:
    country, run = done
    table = pd.read_csv(country.folder / "profiles.csv")
    inside = shapely.contains_xy(WEST, table["lon"], table["lat"])
    qa = pd.read_csv(run / "regions" / "west" / "profiles_locations.csv")
    kept = table[inside][["lon", "lat"]].drop_duplicates()
    assert sorted(map(tuple, qa[["lon", "lat"]].values)) == sorted(map(tuple, kept.values))
    model = load_job(country.recipe).model.build()
    away = [distance_km(table["lon"].values, table["lat"].values, b) for b in model.told.without]
    left = np.min(away, axis=0) <= model.told.buffer_km
    assert left[inside].all()
    # the corner that is missing does teach, but for the buffer of 20 km
    corner = table["lon"].between(10.1, 11) & table["lat"].between(45.6, 49)
    assert corner.sum() > 5
    assert not left[corner].any()


def test_a_region_passes_into_the_world_at_its_boundary(done, tmp_path: Path) -> None:
    """At the border of its polygons, not at that of its grid; outside there is nothing."""
    _, run = done
    region = run / "regions" / "west"
    command = ["map", "blend", str(run), str(region), "--out", str(tmp_path), "--width-km", "40"]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 0, said.output
    ours = open_map(region)["soc_mean"].isel(depth=0, year=0).values.astype(float)
    with rasterio.open(tmp_path / "soc_0-5cm_blended.tif") as file:
        made = file.read(1)
    np.testing.assert_array_equal(np.isfinite(made), np.isfinite(ours))
    off = np.abs(made / ours - 1)
    # x 11.5 is column 10: cells beside the corner are the world's, those in the middle the region's
    assert np.nanmean(off[5:30, 10]) > 10 * np.nanmean(off[5:30, 16:18])
    assert np.nanmean(off[45:70, 10:14]) < 0.1 * np.nanmean(off[5:30, 10])


def test_places_without_samples_are_drawn_once_and_teach_the_world(done) -> None:
    _, run = done
    noted = Run.open(run).manifest()["provenance"]["unlabelled"]
    assert 150 < noted["places"] <= 200
    lon, lat = np.load(run / "patches-unlabelled" / "places.npy")
    assert len(lon) == len(lat) == noted["places"]
    told = json.loads((run / "model" / "model.json").read_text())
    summary = told["summary"]
    assert 100 <= summary["places without samples"] < noted["places"]  # no regions
    assert summary["error of hidden covariates"] > 0
    assert told["settings"]["kept_places"] == 40
    assert (run / "model" / "kept_places.safetensors").is_file()
    for name in ("east", "west"):
        assert not (run / "regions" / name / "patches-unlabelled").exists()


def test_regions_have_forests_beside_their_nets(done) -> None:
    """One of their own profiles, one of these and of rows that the model of the world keeps."""
    _, run = done
    assert (run / "model" / "kept_rows.safetensors").is_file()
    for name in ("east", "west"):
        card = read_card(run / "regions" / name / "model")
        weights = card["mapped is the mean of"]
        assert list(weights) == ["nets", "region", "region and world"]
        assert sum(weights.values()) == pytest.approx(1)
        assert "mapped is the mean of nets" in card_text(card)
        told = open_map(run / "regions" / name).attrs
        assert "a forest of the region's profiles" in " ".join(map(str, told.values()))


def test_finished_regions_are_named_by_their_recipes(done) -> None:
    """The model of the world is named with its digest, the grid is part of the world's."""
    country, run = done
    job = load_job(country.recipe)
    asked: list[Path] = []

    def runner(own, folder):
        asked.append(folder)
        assert own.recipe.model.start == str(run / "model")
        assert own.recipe.model.start_digest == digest_of_model(run / "model")
        assert (np.array(own.grid.origin) / own.grid.resolution[0]) % 1 == pytest.approx(
            0, abs=1e-6
        )
        return Run.open(folder)

    assert [r.path for r in run_regions(job, Run.open(run), runner)] == asked
    assert asked == [run / "regions" / "east", run / "regions" / "west"]


def test_a_region_passes_into_the_world_at_its_border(done, tmp_path: Path) -> None:
    _, run = done
    region = run / "regions" / "east"  # on the world's own cells: nothing is between them
    command = ["map", "blend", str(run), str(region), "--out", str(tmp_path), "--width-km", "60"]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 0, said.output
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["soc_0-5cm_blended.tif", "soc_30-60cm_blended.tif"]
    ours, theirs = (open_map(r)["soc_mean"].isel(depth=0, year=0) for r in (region, run))
    theirs = theirs.sel(x=ours["x"], y=ours["y"], method="nearest").values
    with rasterio.open(tmp_path / names[0]) as file:
        made, bounds = file.read(1), file.bounds
        assert file.units == ("g kg-1",)
        assert "arithmetic mean" in file.descriptions[0]
    assert bounds == (16, 42, 19, 48)
    share = border_weight(np.arange(30), 15, 30, 60 / (0.2 * 111.2 * np.sqrt(np.cos(np.pi / 4))))
    np.testing.assert_allclose(made, share * ours + (1 - share) * theirs, rtol=2e-3)
    np.testing.assert_allclose(made[10:20, 6:9], ours[10:20, 6:9], rtol=1e-5)


def test_the_passage_takes_a_fifth_of_a_small_region(done, tmp_path: Path) -> None:
    """Of its shorter side, where that is less than 50 km: its middle is its own."""
    _, run = done
    passages = {}
    for name in ("east", "west"):
        command = ["map", "blend", str(run), str(run / "regions" / name), "--out"]
        assert CliRunner().invoke(app, [*command, str(tmp_path / name)]).exit_code == 0
        with rasterio.open(tmp_path / name / "soc_0-5cm_blended.tif") as file:
            passages[name] = float(file.tags()["passage_km"])
    across = 25 * 0.1 * 111.2 * np.sqrt(np.cos(np.pi / 4))  # by square cells of the same area
    assert passages == {"east": 50.0, "west": pytest.approx(0.2 * across, rel=0.01)}


def test_maps_that_do_not_meet_are_not_blended(done, tmp_path: Path) -> None:
    regions = done[1] / "regions"
    command = ["map", "blend", str(regions / "west"), str(regions / "east"), "--out", str(tmp_path)]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 2
    assert "no cell with a value in common" in " ".join(said.output.split())
    assert not list(tmp_path.iterdir())


def test_one_command_writes_the_recipe_of_a_region_and_runs_it(
    done, tmp_path: Path, monkeypatch
) -> None:
    """What it runs is what [[regions]] run; here it is looked at instead."""
    country, run = done
    ran: list[Any] = []

    def look(job, out, reporter):
        ran.append((job, out))
        return Run.open(run / "regions" / "east"), None

    monkeypatch.setattr("edaphos.recipes.pipeline.run_job", look)
    command = ["finetune", str(run / "model"), "--profiles", str(country.folder / "profiles.csv")]
    command += ["--cube", str(country.cube), "--out", str(tmp_path / "valley"), "--no-assess"]
    command += ["--bounds", "12.01,42,18,47", "--way", "zero_shot", "--unit", "soc=%"]
    said = CliRunner().invoke(app, [*command, "--quiet"])
    assert said.exit_code == 0, said.output
    ((job, out),) = ran
    assert out == tmp_path / "valley"
    assert job.grid.resolution == pytest.approx((0.05, 0.05))  # of elevation, the finest
    assert job.grid.origin == pytest.approx((12.0, 47.0))
    assert job.recipe.model.start_digest == digest_of_model(run / "model")
    assert job.recipe.model.fine_tuning.ways == ("zero_shot",)
    assert job.recipe.profiles.files[0].units == {"soc": "%"}
    assert not job.recipe.assess.enabled
    assert job.recipe.map.depths == ((0, 5), (30, 60))
    model = job.model.build()
    assert model.covariates == ("rain", "elevation")
    shown = CliRunner().invoke(app, ["model", "show", str(run / "regions" / "east" / "model")])
    assert "relief, window of 3 cell(s)" in shown.output
    assert "model of the world that it began with" in shown.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[t["profile_id"].isin(["p1", "p2", "p3", "p4", "p5"])], "10 locations or more"),
        (lambda t: t.assign(soc_g_kg=t["soc_g_kg"] / 10), "looks like %"),
        (lambda t: t.assign(lon=t["lon"] * 1e5, lat=t["lat"] * 1e5), "projected CRS"),
    ],
)
def test_a_region_of_no_use_is_told(done, tmp_path: Path, change, message) -> None:
    country, run = done
    change(pd.read_csv(country.folder / "profiles.csv")).to_csv(tmp_path / "r.csv", index=False)
    with pytest.raises(InputError, match=message):
        _fit_here(country, run, tmp_path / "r.csv", tmp_path)


def _fit_here(country: Country, run: Path, profiles: Path, folder: Path) -> None:
    """Fit the model of a region as a run does."""
    cube = Cube.open(country.cube)
    region = Region("r", "r", run / "model", {"files": [{"path": str(profiles)}]}, cube)
    write_recipe(region_recipe(region), folder / "r.toml")
    job = load_job(folder / "r.toml")
    assert job.recipe.profiles is not None
    samples, _ = draw(job, cube, load(job, job.recipe.profiles, cube))
    job.model.build().fit(cut_patches(job, cube, samples, folder / "set"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "gsoilcpm"', 'kind = "gsoilcpm"\nstart = "nowhere"', "either groups"),
        ("window = 3", "window = 2", 'window of group "relief" must be odd'),
        ('["elevation"]', '["rain"]', "covariate rain is named twice"),
        ('name = "west"', 'name = "east"', "regions: each needs a name of its own"),
        ("bounds = [16, 42, 19, 48]", "bounds = [19, 42, 16, 48]", "in this order"),
        ("bounds = [16, 42, 19, 48]", "", "give either bounds or boundary"),
        ('boundary = "west.gpkg"', 'boundary = "no.gpkg"', "correct boundary of region west"),
        ("dense = [8, 8]", "dense = [8]", "one for each of 1 hidden"),
        ("buffer_km = 20", "faithful = true", 'it needs transform = "none"'),
    ],
)
def test_what_fits_no_model_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    country = net_country(tmp_path)
    country.replace("small.toml", old, new)
    with pytest.raises(InputError, match=message):
        load_job(country.recipe)


def test_regions_need_a_model_of_the_world(tmp_path: Path) -> None:
    country = make_country(tmp_path)
    country.replace("small.toml", "[products]", f"{REGIONS}\n[products]")
    with pytest.raises(InputError, match="only a model of the world is fine-tuned"):
        load_job(country.recipe)
