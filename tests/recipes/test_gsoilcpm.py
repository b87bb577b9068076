"""The whole chain as one recipe: cube, set, pre-training, two regions, maps, reports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from edaphos.engine.assess.assessment import Assessment
from edaphos.engine.branches.model_file import digest_of_model
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.map_view import open_map
from edaphos.engine.run import Run
from edaphos.recipes.cli import app
from edaphos.recipes.job import Overrides, load_job
from edaphos.recipes.patches import cut_patches
from edaphos.recipes.pipeline import draw, load, run_job
from edaphos.recipes.region_recipes import Region, region_recipe, write_recipe
from edaphos.recipes.regions import run_regions

from .small import Country, make_country, profiles_table

MODEL = """kind = "gsoilcpm"
width = 4
merged = 8
dense = [8, 8]
dropout = [0.1, 0.1]
buffer_km = 20
parts = 4
part_deg = 1.0
licence = "CC0-1.0"
training = { epochs = 4, batch = 64, rate = 0.01 }
fine_tuning = { ways = ["zero_shot", "head"], epochs = 2 }

[[model.groups]]
name = "climate"
covariates = ["rain"]

[[model.groups]]
name = "relief"
covariates = ["elevation"]
window = 3
"""
REGIONS = """
[[regions]]
name = "east"
bounds = [16, 42, 19, 48]

[[regions]]
name = "west"
bounds = [10.5, 41, 13, 49]
resolution = 0.1
block_deg = 0.5
"""


def net_country(folder: Path, regions: str = REGIONS, **made: object) -> Country:
    """A small country whose recipe has a model of the world and regions."""
    country = make_country(folder, resolution=0.2, **made)  # type: ignore[arg-type]
    old = 'kind = "forest"\ncovariates = ["rain", "elevation"]\ntrees = 10\n'
    country.replace("small.toml", old, MODEL)
    country.replace("small.toml", "[products]", f"{regions}\n[products]")
    profiles_table(300).to_csv(country.folder / "profiles.csv", index=False)
    return country


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Country, Path]:
    folder = tmp_path_factory.mktemp("gsoilcpm")
    country = net_country(folder, tile_size=64, assess=True)
    country.replace("small.toml", "folds = 3", 'folds = 2\ntrees = 5\nsplits = ["block"]')
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
        assert set(judged.compared["against"]) == {"forest of the region"}
    west = open_map(run / "regions" / "west")
    assert west.sizes["x"] == 25
    assert west.sizes["y"] == 80


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


def test_a_region_is_fine_tuned_by_one_command(done, tmp_path: Path) -> None:
    country, run = done
    table = pd.read_csv(country.folder / "profiles.csv")
    inside = table[table["lon"].between(12, 18) & table["lat"].between(42, 47)]
    inside.to_csv(tmp_path / "valley.csv", index=False)
    command = ["finetune", str(run / "model"), "--profiles", str(tmp_path / "valley.csv")]
    command += ["--cube", str(country.cube), "--out", str(tmp_path / "valley"), "--no-assess"]
    command += ["--bounds", "12,42,18,47", "--resolution", "0.5", "--way", "zero_shot"]
    done = CliRunner().invoke(app, [*command, "--workers", "1", "--quiet"])
    assert done.exit_code == 0, done.output
    made = open_map(tmp_path / "valley")
    assert (made.sizes["x"], made.sizes["y"]) == (12, 10)
    assert np.isfinite(made["soc_mean"].values).all()
    card = json.loads((tmp_path / "valley" / "model" / "model.json").read_text())
    assert card["summary"]["places that taught the world"] > 20  # and it says so
    assert (tmp_path / "valley" / "report.html").exists()
    shown = CliRunner().invoke(app, ["model", "show", str(tmp_path / "valley" / "model")])
    assert "relief, window of 3 cell(s)" in shown.output
    assert "model of the world that it began with" in shown.output


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t[t["profile_id"].isin(["p1", "p2", "p3", "p4", "p5"])], [], "found 5"),
        (lambda t: t.assign(soc_g_kg=t["soc_g_kg"] / 10), [], "looks like %"),
        (lambda t: t.assign(lon=t["lon"] * 1e5, lat=t["lat"] * 1e5), [], "projected CRS"),
        (lambda t: t, ["--way", "magic"], "Input should be 'zero_shot', 'head'"),
    ],
)
def test_a_region_of_no_use_is_told(done, tmp_path: Path, change, options, message) -> None:
    country, run = done
    change(pd.read_csv(country.folder / "profiles.csv")).to_csv(tmp_path / "r.csv", index=False)
    command = ["finetune", str(run / "model"), "--profiles", str(tmp_path / "r.csv")]
    command += ["--cube", str(country.cube), "--out", str(tmp_path / "r"), "--no-assess"]
    recipe = tmp_path / "r.toml"
    if message == "found 5":  # what the engine says, without a cluster
        with pytest.raises(InputError, match="needs 10 locations or more"):
            _fit_here(country, run, tmp_path / "r.csv", tmp_path)
        return
    said = CliRunner().invoke(app, [*command, *options, "--workers", "1", "--quiet"])
    assert said.exit_code == 2
    assert message in said.output
    assert recipe.exists()


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
