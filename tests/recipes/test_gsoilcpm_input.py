"""What a user of a region may give and may not: each is told by name, with what to do."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from pyproj import CRS, Transformer
from rasterio.transform import from_origin
from shapely.geometry import box
from typer.testing import CliRunner

from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.map_view import open_map
from edaphos.engine.place import place
from edaphos.recipes.cli import app
from edaphos.recipes.job import load_job, sketched_model
from edaphos.recipes.patches import cut_patches
from edaphos.recipes.pipeline import draw, load
from edaphos.recipes.region_recipes import Region, region_recipe, write_recipe
from edaphos.recipes.regions import check_regions

from .small import CUBE_TOML, GROUPS_TOML, make_country, profiles_table

pytestmark = pytest.mark.usefixtures("one_worker_here")

#: Metres: west and north of a region in UTM zone 33, its side, and its cells.
WEST, NORTH, SIDE, CELL = 450_000, 5_100_000, 90_000, 3_000
MODEL = (
    """kind = "gsoilcpm"
width = 4
merged = 8
dense = [8, 8]
parts = 4
part_deg = 1.0
licence = "CC0-1.0"
training = { epochs = 4, batch = 64, rate = 0.01 }
"""
    + GROUPS_TOML
)
CUBE = (
    CUBE_TOML
    + """
[[layer]]
name = "clay"
file = "clay.tif"
kind = "amount"
units = "%"
"""
)


def edaphos(*words: object) -> tuple[int, str]:
    """Return exit code and output of a command."""
    made = CliRunner().invoke(app, [str(word) for word in words])
    assert made.exception is None or isinstance(made.exception, SystemExit), made.output
    return made.exit_code, " ".join(made.output.split())


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model of a small world, on cells of 0.2 degrees."""
    country = make_country(tmp_path_factory.mktemp("world"), resolution=0.2)
    old = 'kind = "forest"\ncovariates = ["rain", "elevation"]\ntrees = 10\n'
    country.replace("small.toml", old, MODEL)
    code, said = edaphos("cube", "build", country.folder / "cube.toml", "--out", country.cube, "-q")
    assert code == 0, said
    job, cube = load_job(country.recipe), Cube.open(country.cube)
    assert job.recipe.profiles is not None
    samples, _ = draw(job, cube, load(job, job.recipe.profiles, cube))
    cut = cut_patches(job, cube, samples, country.folder / "set")
    job.model.build().fit(cut).save(country.folder / "model")
    return country.folder / "model"


@pytest.fixture(scope="module")
def region(tmp_path_factory) -> Path:
    """A folder with a region's profiles, and its cube of finer cells in UTM; rain is constant."""
    folder = tmp_path_factory.mktemp("region")
    rng = np.random.default_rng(4)
    cells = SIDE // CELL
    held = {"rain": np.full((cells, cells), 700.0), "elevation": rng.gamma(2, 200, (cells, cells))}
    held["clay"] = np.linspace(5, 45, cells)[None].repeat(cells, 0)
    for name, values in held.items():
        with rasterio.open(
            folder / f"{name}.tif", "w", driver="GTiff", height=cells, width=cells, count=1,
            dtype="float32", crs="EPSG:32633", transform=from_origin(WEST, NORTH, CELL, CELL),
        ) as file:  # fmt: skip
            file.write(values.astype("float32"), 1)
    (folder / "cube.toml").write_text(CUBE)
    assert edaphos("cube", "build", folder / "cube.toml", "--out", folder / "c", "-q")[0] == 0
    to = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    table = profiles_table(40)
    who = table["profile_id"].str[1:].astype(int).to_numpy()
    x, y = rng.uniform(0.1, 0.9, (2, 40)) * SIDE
    lon, lat = to.transform(WEST + x, NORTH - y)
    carbon = table["soc_g_kg"] * np.exp((x[who] / SIDE - 0.5) * 2)
    table.assign(lon=lon[who], lat=lat[who], soc_g_kg=carbon.round(2)).to_csv(
        folder / "profiles.csv", index=False
    )
    return folder


def finetune(model: Path, region: Path, out: Path, *more: object) -> tuple[int, str]:
    words = ["--profiles", region / "profiles.csv", "--cube", region / "c", "--out", out]
    quick = ["--workers", 1, "--way", "zero_shot", "--quiet"]
    return edaphos("finetune", model, *words, *quick, *more)


def test_a_small_region_of_finer_cells_is_mapped(model, region, tmp_path) -> None:
    """Windows keep their ground, blocks suit the extent, its own covariates have a branch."""
    more = ("--own", "clay", "--way", "zero_shot", "--way", "all", "--no-assess")
    words = ["--profiles", region / "profiles.csv", "--cube", region / "c", "--workers", 1]
    code, said = edaphos("finetune", model, *words, "--out", tmp_path / "r", *more)
    assert code == 0, said
    assert "Windows reach 21 km: in about 72 % of the map they reach beyond the cube" in said
    recipe = load_job(tmp_path / "r.toml").recipe
    assert recipe.model.stride == round(0.2 * 111_320 / CELL) == 7
    assert recipe.assess.block_deg == recipe.model.fine_tuning.part_deg == 0.1
    assert recipe.assess.compare[0].model["covariates"] == ["rain", "elevation", "clay"]
    assert Path(recipe.cube.path).is_absolute()
    made = open_map(tmp_path / "r")
    assert np.isfinite(made["soc_mean"].values).all()
    assert CRS.from_wkt(made["spatial_ref"].attrs["crs_wkt"]).to_epsg() == 32633
    assert {s["role"]: s["licence"] for s in json.loads(made.attrs["sources"])}[
        "model that was fine-tuned"
    ] == "CC0-1.0"
    assert "7 apart" in made.attrs["method"]
    assert "intervals of all together, calibrated on spatial blocks" in made.attrs["method"]
    assert "a forest of the region's profiles" in made.attrs["method"]
    assert "branches learned clay here" in made.attrs["support"]


def test_a_region_is_fine_tuned_further(model, region, tmp_path) -> None:
    """Its own covariates keep their branch beside new ones; the rate is a share of the world's."""
    code, said = finetune(model, region, tmp_path / "r", "--own", "clay", "--no-assess")
    assert code == 0, said
    card = json.loads((tmp_path / "r" / "model" / "model.json").read_text())
    assert card["settings"]["training"]["rate"] == 0.01
    sand = CUBE[CUBE.index('[[layer]]\nname = "clay"') - 1 :].replace('"clay"', '"sand"')
    (region / "more.toml").write_text(CUBE + sand)
    assert edaphos("cube", "build", region / "more.toml", "--out", tmp_path / "c", "-q")[0] == 0
    told = Region(
        name="more",
        title="",
        model=tmp_path / "r" / "model",
        profiles={"files": [{"path": str(region / "profiles.csv")}]},
        cube=Cube.open(tmp_path / "c"),
        own=("sand",),
    )
    write_recipe(region_recipe(told), tmp_path / "more.toml")
    again = load_job(tmp_path / "more.toml").model.build()
    assert [g.covariates for g in again.groups] == [("rain",), ("elevation",), ("clay",), ("sand",)]
    assert again.told.tuned.rate == 0.01 * again.told.fine_tuning.rate_share


def test_planning_needs_no_workers_to_train_together(tmp_path) -> None:
    country = make_country(tmp_path, resolution=0.2)
    old = 'kind = "forest"\ncovariates = ["rain", "elevation"]\ntrees = 10\n'
    country.replace("small.toml", old, MODEL.replace("epochs = 4", "epochs = 4, processes = 2"))
    job = load_job(country.recipe)
    assert job.model.build().told.training.processes == 2
    assert sketched_model(job.recipe).build().told.training.processes == 1
    assert job.model.build().told.training.processes == 2


def _begun(more: str, compared: str = "") -> str:
    return f"""name = "r"
title = "r"
grid = {{ preset = "global-1deg" }}
cube = {{ path = "c" }}
profiles = {{ files = [{{ path = "p.csv" }}] }}
[model]
kind = "gsoilcpm"
start = "world/model"
{more}
{compared}"""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("members = 1\nwidth = 32", r"width, members \(decided by the recipe that start"),
        ("kept_places = 40", r"kept_places \(decided by the recipe that start"),
        ("without = [[1, 2, 3, 4]]", r"without \(of a model of the world alone\)"),
        ("unlabelled = { places = 200 }", r"unlabelled \(of a model of the world alone\)"),
        ("part_deg = 1.0", r"part_deg \(give fine_tuning.part_deg\)"),
        ("training = { epochs = 3 }", r"training.epochs \(give fine_tuning.epochs\)"),
    ],
)
def test_what_a_start_decides_is_refused(tmp_path, more: str, message: str) -> None:
    (tmp_path / "r.toml").write_text(_begun(more))
    with pytest.raises(InputError, match="with a start these would change nothing: " + message):
        load_job(tmp_path / "r.toml")


def test_what_a_start_leaves_open_is_taken(tmp_path) -> None:
    """In a model beside it, too, which takes over what is told of the model alone."""
    compared = """[[assess.compare]]
name = "other"
model = { fine_tuning = { rank = 2 } }"""
    (tmp_path / "r.toml").write_text(
        _begun('training = { rate = 0.02 }\naugment = false\nlicence = "CC0-1.0"', compared)
    )
    recipe = load_job(tmp_path / "r.toml").recipe
    other = recipe.compared()["other"]
    assert (other.training.rate, other.augment, other.fine_tuning.rank) == (0.02, False, 2)
    assert recipe.model.fine_tuning.rank == 4


def test_windows_may_keep_their_cells(model, region, tmp_path) -> None:
    code, said = finetune(model, region, tmp_path / "r", "--windows", "cells", "--no-assess")
    assert code == 0, said
    assert "of another piece of ground" in open_map(tmp_path / "r").attrs["support"]


def test_a_region_of_polygons(model, region, tmp_path) -> None:
    """In metres, as its cube is; the map is no larger than the polygons, blocks suit them."""
    outline = box(WEST + 10_000, NORTH - SIDE + 10_000, WEST + SIDE - 10_000, NORTH - 10_000)
    area = outline.difference(box(WEST, NORTH - 20_000, WEST + 20_000, NORTH))
    geopandas.GeoSeries([area], crs=32633).to_file(tmp_path / "area.geojson")
    code, said = finetune(
        model, region, tmp_path / "r", "--boundary", tmp_path / "area.geojson", "--no-assess"
    )
    assert code == 0, said
    made = open_map(tmp_path / "r")
    assert made.sizes["x"] == made.sizes["y"] == 24
    x, y = np.meshgrid(made["x"], made["y"])
    inside = shapely.contains_xy(area, x, y)
    found = np.isfinite(made["soc_mean"].isel(depth=0, year=0).values)
    np.testing.assert_array_equal(found, inside)
    locations = pd.read_csv(tmp_path / "r" / "profiles_locations.csv")
    to = Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True)
    where = to.transform(locations["lon"], locations["lat"])
    assert 10 < len(locations) < 40
    assert shapely.contains_xy(area, *where).all()
    assert load_job(tmp_path / "r.toml").recipe.assess.block_deg == 0.1


def test_polygons_of_no_use(model, region, tmp_path) -> None:
    far = tmp_path / "far.gpkg"
    geopandas.GeoSeries([box(100, 0, 101, 1)], crs=4326).to_file(far)
    both = ("--boundary", far, "--bounds", "14,45,15,46")
    for more, message in (
        (both, "--bounds and --boundary both say where the region is"),
        (("--boundary", tmp_path / "no.gpkg"), "no such file of polygons"),
        (("--boundary", far), "the region has no extent in EPSG:32633"),
        (("--bounds", "14,45"), '--bounds "14,45": expected west,south,east,north'),
    ):
        code, said = finetune(model, region, tmp_path / "r", *more)
        assert code == 2
        assert message in said
    corner = box(WEST, NORTH - 6_000, WEST + 6_000, NORTH)
    geopandas.GeoSeries([corner], crs=32633).to_file(tmp_path / "corner.gpkg")
    code, said = finetune(model, region, tmp_path / "r", "--boundary", tmp_path / "corner.gpkg")
    assert code == 2
    assert "soil layers lies inside the polygons" in said


def test_a_cube_and_an_output_in_a_bucket(
    model, region, tmp_path, moto_folder, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = edaphos(
        "cube", "build", region / "cube.toml", "--out", f"{moto_folder}/cube", "-q"
    )
    assert code == 0, said
    out = f"{moto_folder}/valley"
    code, said = finetune(model, region, out, "--cube", f"{moto_folder}/cube", "--no-assess")
    assert code == 0, said
    assert [path.name for path in tmp_path.iterdir()] == ["valley.toml"]
    assert load_job(tmp_path / "valley.toml").recipe.cube.path == f"{moto_folder}/cube"
    assert np.isfinite(open_map(place(out))["soc_mean"].values).all()


@pytest.mark.parametrize(
    ("told", "groups", "message"),
    [
        ('own = ["clay"]', "", "no cube of its own; give cube"),
        ('cube = "CUBE"\nown = ["sand"]', "", 'own: the cube has no variable "sand"'),
        ('cube = "CUBE"\nown = ["rain"]', "", 'reads "rain" already'),
        (
            'cube = "CUBE"',
            "group_dropout = 0",
            "lacks the group cover, and model.group_dropout = 0",
        ),
        ('profiles = "none.csv"', "", "no such file, named by region east"),
        ("resolution = 0.8", "", "cells of east are of 89,056 m, and windows of the model"),
        ('cube = "CUBE"\nresolution = 90000', "", "cells of east are of 90,000 m, and windows"),
        (
            'cube = "CUBE"\nown = ["clay"]',
            "kept_places = 40\nfine_tuning = { adversarial = 1.0 }",
            "east names covariates of its own, and fine_tuning.adversarial",
        ),
    ],
)
def test_regions_of_a_recipe_are_checked_before_the_world_is_learned(
    region, tmp_path, told, groups, message
) -> None:
    country = make_country(tmp_path, resolution=0.2)
    old = 'kind = "forest"\ncovariates = ["rain", "elevation"]\ntrees = 10\n'
    new = MODEL.replace("width = 4", f"width = 4\n{groups}")
    if "group_dropout" in groups:
        new += '\n[[model.groups]]\nname = "cover"\ncovariates = ["cover"]\n'
    country.replace("small.toml", old, new)
    table = f'[[regions]]\nname = "east"\nbounds = [14.5, 45.3, 15.4, 46]\n{told}\n'
    table = table.replace("CUBE", str(region / "c"))
    country.replace("small.toml", "[products]", f"{table}\n[products]")
    with pytest.raises(InputError, match=re.escape(message)):
        check_regions(load_job(country.recipe), tmp_path / "run")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--bounds", "15,45.9,14.6,45.2"), "bounds are west, south, east, north in degrees"),
        (("--bounds", "45.2,14.6,45.9,15"), "they do not overlap"),
        (("--own", "sand"), 'own: the cube has no variable "sand"'),
        (("--own", "rain"), 'reads "rain" already'),
        (("--resolution", "90000"), "a finer grid, of cells of 22,264 m or less, keeps the ground"),
        (("--way", "some"), "'zero_shot', 'head', 'all', 'gradual' or 'adapters', found 'some'"),
        (("--cube", "nowhere"), "no such cube; build it"),
        (("--profiles", "nowhere.csv"), "no such profile file"),
    ],
)
def test_a_command_that_cannot_be_followed(model, region, tmp_path, more, message) -> None:
    code, said = finetune(model, region, tmp_path / "r", *more)
    assert code == 2, said
    assert message in said


def _lose_net(folder: Path) -> None:
    (folder / "net_0.safetensors").unlink()


def _cut_net(folder: Path) -> None:
    path = folder / "net_0.safetensors"
    path.write_bytes(path.read_bytes()[:900])


def _lose_places(folder: Path) -> None:
    (folder / "places.npy").unlink()


def _told(text: str):
    def change(folder: Path) -> None:
        (folder / "model.json").write_text(text)

    return change


def _lose_card(folder: Path) -> None:
    (folder / "model.json").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_lose_net, "net_0.safetensors missing, the folder is not whole"),
        (_cut_net, "net_0.safetensors: not readable"),
        (_lose_places, "places.npy missing"),
        (_lose_card, "there is no model here; name the folder of a model"),
        (_told("[]"), "no description of a model"),
        (_told('{"kind": "conv"}'), 'a model of kind "conv"; only models of kind "gsoilcpm"'),
        (_told('{"kind": "gsoilcpm"}'), "tells no settings, quantiles"),
        (_told('{"kind": "gsoil'), "model.json: not readable"),
    ],
)
def test_a_folder_that_is_no_whole_model(model, region, tmp_path, change, message) -> None:
    shutil.copytree(model, tmp_path / "model")
    change(tmp_path / "model")
    code, said = finetune(tmp_path / "model", region, tmp_path / "r")
    assert code in (1, 2), said
    assert message in said.replace("\n", "")


def test_a_runs_folder_is_told_where_its_model_lies(model, region, tmp_path) -> None:
    code, said = finetune(model.parent, region, tmp_path / "r")
    assert code == 2
    assert f"such as {model}" in said
    for words in (("model", "show", "s3://b/m"), ("finetune", "s3://b/m", "--profiles", "p")):
        more = ("--cube", region / "c") if words[0] == "finetune" else ()
        code, said = edaphos(*words, *more)
        assert code == 2
        assert "the folder of a model lies on a disk; copy it here first" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(lon=t["lon"].iloc[0], lat=t["lat"].iloc[0]), "10 locations or more"),
        (lambda t: t.assign(lon=t["lon"] + 30), "check the grid's bounds"),
        (lambda t: t.assign(lon=t["lat"], lat=t["lon"]), "whether lon and lat are swapped"),
        (lambda t: t.drop(columns="soc_g_kg"), "no column for soc_g_kg"),
        (lambda t: t[:0], "a profile table with rows was expected"),
    ],
)
def test_profiles_of_no_use_are_told(model, region, tmp_path, change, message) -> None:
    table = change(pd.read_csv(region / "profiles.csv"))
    table.to_csv(tmp_path / "profiles.csv", index=False)
    more = ("--profiles", tmp_path / "profiles.csv", "--no-assess")
    code, said = finetune(model, region, tmp_path / "r", *more)
    assert code == 2, said
    assert message in said
