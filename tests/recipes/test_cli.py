"""The command line: commands teach, recipes explain themselves, runs leave what they say."""

from __future__ import annotations

import errno
import json
import tomllib

import pytest
import rasterio
import typer
from typer.testing import CliRunner

from edaphos.engine.map_view import open_map
from edaphos.recipes.cli import app
from edaphos.recipes.config import parse
from edaphos.recipes.console import errors
from edaphos.recipes.job import load_job
from edaphos.recipes.schema import Recipe
from edaphos.recipes.templates import builtin_path, builtin_recipes, commented

from .small import make_country

COMMANDS = [
    ("demo",),
    ("run",),
    ("plan",),
    ("report",),
    ("cube", "build"),
    ("cube", "verify"),
    ("cube", "show"),
    ("profiles", "check"),
    ("map", "verify"),
    ("recipe", "list"),
    ("recipe", "new"),
]


def edaphos(*arguments: object, fine: bool = True) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert (result.exit_code == 0) == fine, result.output
    return result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: tuple[str, ...]) -> None:
    assert f"Example: edaphos {' '.join(command)}" in edaphos(*command, "--help")


def test_a_full_disk_ends_a_command_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, errors():
        raise OSError(errno.ENOSPC, "No space left on device", "/maps/model.json")
    assert ended.value.exit_code == 1
    assert "/maps/model.json: No space left on device" in capsys.readouterr().err
    with pytest.raises(OSError, match="odd"), errors():
        raise OSError("odd")


def test_recipes_are_listed_and_explained() -> None:
    assert set(builtin_recipes()) >= {"demo", "world"}
    listed = edaphos("recipe", "list")
    for name in builtin_recipes():
        assert name in listed
        text = edaphos("recipe", "new", name)
        path = builtin_path(name)
        original = parse(tomllib.loads(path.read_text()), Recipe, path)
        assert parse(tomllib.loads(text), Recipe, path) == original
    assert "unknown" not in commented("world")
    for key in ("tile_size", "min_samples_leaf", "decluster_deg", "bootstrap", "workers"):
        assert key in commented("world")


def test_a_new_recipe_finds_the_built_in_cube_unless_one_lies_beside_it(tmp_path) -> None:
    mine = tmp_path / "my.toml"
    mine.write_text(edaphos("recipe", "new", "rothc_world"))
    assert load_job(mine).cube_spec == builtin_path("rothc_world_cube")
    own = tmp_path / "rothc_world_cube.toml"
    own.write_text(builtin_path("rothc_world_cube").read_text())
    assert load_job(mine).cube_spec == own


def test_an_unknown_recipe_names_the_nearest() -> None:
    result = CliRunner().invoke(app, ["recipe", "new", "wrold"])
    assert result.exit_code == 2
    assert 'did you mean "world"?' in result.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of the small country with validation, products and report, as JSON tells it."""
    country = make_country(tmp_path_factory.mktemp("cli"), assess=True)
    country.replace("small.toml", "cog = false\nreport = false", "cog = true\nreport = true")
    planned = json.loads(edaphos("plan", country.recipe, "--workers", 1, "--json"))
    out = country.folder / "run"
    told = json.loads(edaphos("run", country.recipe, "--out", out, "--workers", 1, "--json"))
    return country, planned, out, told


def test_a_run_leaves_what_it_promises(made) -> None:
    country, planned, out, told = made
    assert told["run"] == str(out)
    dataset = open_map(out)
    assert dataset.attrs["complete"]
    assert int(dataset["soc_mean"][0, 0].notnull().sum()) == planned["cells"] == 10_000
    assert (out / "recipe.toml").read_text().startswith(country.recipe.read_text())
    assert json.loads((out / "profiles_qa.json").read_text())
    assert (out / "profiles_rejected.csv").exists()
    assert "survey" in json.loads(dataset.attrs["sources"])[0]["name"]
    with rasterio.open(out / "products" / "soc_0-5cm_mean.tif") as file:
        assert file.crs.to_epsg() == 4326
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert (out / "products" / "collection.json").exists()
    page = (out / "report.html").read_text()
    assert "A small country" in page
    assert "spatial blocks" in page


def test_peak_memory_stays_under_the_plan(made) -> None:
    _, planned, out, _ = made
    manifest = json.loads((out / "manifest.json").read_text())
    assert 0 < manifest["provenance"]["production"]["peak_memory"] < planned["peak_memory"]


def test_the_finished_run_can_be_checked_reported_and_repeated(made) -> None:
    country, _, out, _ = made
    assert "matches its checksum" in edaphos("map", "verify", out)
    assert "matches its checksum" in edaphos("cube", "verify", country.cube)
    assert "elevation" in edaphos("cube", "show", country.cube)
    (out / "report.html").unlink()
    edaphos("report", out, "--quiet")
    assert (out / "report.html").exists()
    shard = next((out / "map.zarr" / "soc_mean" / "c").rglob("0"))
    before = shard.stat().st_mtime_ns if shard.is_file() else None
    edaphos("run", country.recipe, "--out", out, "--workers", 1, "--quiet")
    assert before is None or shard.stat().st_mtime_ns == before


def test_a_map_that_was_damaged_is_found_out(made) -> None:
    _, _, out, _ = made
    shard = sorted(p for p in (out / "map.zarr" / "soc_q05" / "c").rglob("*") if p.is_file())[0]
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(bytes(data))
    result = CliRunner().invoke(app, ["map", "verify", str(out)])
    assert result.exit_code == 1
    assert "does not match its checksum" in result.stderr
