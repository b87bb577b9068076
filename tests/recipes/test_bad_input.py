"""Bad input: one clear error, exit code 2, and nothing half-written, each through the command."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from edaphos.recipes.cli import app

from .small import Country, make_country, profiles_table, write_raster

pytestmark = pytest.mark.usefixtures("one_worker_here")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Country:
    """A country whose cube is built."""
    country = make_country(tmp_path_factory.mktemp("country"))
    made = edaphos("cube", "build", country.folder / "cube.toml", "--out", country.cube)
    assert made.exit_code == 0, made.output
    return country


@pytest.fixture
def country(built: Country, tmp_path: Path) -> Country:
    """A copy of it to spoil."""
    shutil.copytree(built.folder, tmp_path / "country")
    copy = Country(tmp_path / "country")
    copy.replace("small.toml", str(built.folder), str(copy.folder))
    return copy


def edaphos(*arguments: object) -> Result:
    options = ["--workers", "1"] if arguments[0] in ("run", "cube") else []
    return CliRunner().invoke(app, [str(a) for a in arguments] + options)


def refused(country: Country, *words: str) -> str:
    """Run the recipe; it must be refused with these words and leave no run behind."""
    out = country.folder / "run"
    result = edaphos("run", country.recipe, "--out", out, "--quiet")
    message = result.stderr
    assert result.exit_code == 2, message
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert message.startswith("error: ")
    assert "Traceback" not in message
    for word in words:
        assert word in message
    assert not out.exists()
    return message


def test_a_missing_recipe(tmp_path: Path) -> None:
    result = edaphos("run", tmp_path / "none.toml")
    assert result.exit_code == 2
    assert "none.toml: no such file" in result.stderr


def test_a_missing_profile_file(country: Country) -> None:
    (country.folder / "profiles.csv").unlink()
    refused(country, "profiles.csv: no such profile file", "--data")


def test_a_missing_raster(country: Country) -> None:
    shutil.rmtree(country.cube)
    (country.folder / "rain.tif").unlink()
    refused(country, "rain.tif", "rain")
    assert not (country.cube / "cube.json").exists()


def test_a_truncated_raster(country: Country) -> None:
    shutil.rmtree(country.cube)
    path = country.folder / "elevation.tif"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(country, "elevation.tif", "elevation")
    assert not (country.cube / "cube.json").exists()


def test_a_raster_without_crs(country: Country) -> None:
    shutil.rmtree(country.cube)
    write_raster(country.folder / "rain.tif", np.ones((100, 100)), crs=None)
    refused(country, "rain.tif", "CRS", 'crs = "EPSG:4326"')


def test_an_empty_raster(country: Country) -> None:
    shutil.rmtree(country.cube)
    write_raster(country.folder / "rain.tif", np.full((100, 100), np.nan))
    refused(country, "rain.tif", '"rain"', "no value")
    assert not (country.cube / "cube.json").exists()


def test_rasters_that_do_not_overlap_the_grid(country: Country) -> None:
    country.replace("small.toml", "bounds = [10, 40, 20, 50]", "bounds = [60, 40, 70, 50]")
    refused(country, '"rain"', "10.00 to 20.00 E", "60.00 to 70.00 E", "do not overlap")


def test_profiles_with_swapped_coordinates(country: Country) -> None:
    table = profiles_table()
    table["lon"], table["lat"] = table["lat"] + 60, table["lon"]  # 100-110 E written as latitude
    table = table.rename(columns={"lon": "lat", "lat": "lon"})
    table.to_csv(country.folder / "profiles.csv", index=False)
    refused(country, "profiles.csv", "swapped", "columns")


def test_profiles_off_the_grid(country: Country) -> None:
    table = profiles_table()
    table["lon"], table["lat"] = table["lat"], table["lon"]  # both plausible, elsewhere
    table.to_csv(country.folder / "profiles.csv", index=False)
    result = edaphos("run", country.recipe, "--out", country.folder / "run", "--quiet")
    assert result.exit_code == 2
    assert "swapped" in result.stderr
    assert not (country.folder / "run" / "map.zarr").exists()


def test_an_unknown_key(country: Country) -> None:
    country.replace("small.toml", "trees = 10", "treees = 10")
    refused(country, "small.toml: model.treees: unknown key", 'did you mean "trees"?')


def test_an_unknown_rule(country: Country) -> None:
    country.replace("small.toml", "[model]", "[profiles.qa]\nmax_soc = 500\n[model]")
    refused(country, "profiles.qa.max_soc", "max_soc_g_kg")


def test_a_band_that_the_cube_lacks(country: Country) -> None:
    country.replace("small.toml", '"elevation"]', '"elevatoin"]')
    refused(country, 'the model needs "elevatoin"', 'did you mean "elevation"?')


def test_profiles_without_depth(country: Country) -> None:
    table = profiles_table().drop(columns=["top_cm", "bottom_cm"])
    table.to_csv(country.folder / "profiles.csv", index=False)
    refused(country, "profiles.csv", "top_cm")


def test_percent_where_grams_are_declared(country: Country) -> None:
    table = profiles_table()
    table["soc_g_kg"] /= 10
    table.to_csv(country.folder / "profiles.csv", index=False)
    refused(country, "profiles.csv", "%", 'units.soc = "%"')


def test_a_covariate_that_most_profiles_lack(country: Country) -> None:
    shutil.rmtree(country.cube)
    values = np.full((100, 100), np.nan)
    values[:10] = 1.0
    write_raster(country.folder / "rain.tif", values)
    result = edaphos("run", country.recipe, "--out", country.folder / "run", "--quiet")
    assert result.exit_code == 2
    assert 'covariate "rain"' in result.stderr
    assert not (country.folder / "run" / "map.zarr").exists()


def test_an_output_folder_with_other_files(country: Country) -> None:
    out = country.folder / "run"
    out.mkdir()
    (out / "thesis.doc").write_text("precious")
    result = edaphos("run", country.recipe, "--out", out, "--quiet")
    assert result.exit_code == 2
    assert "holds no run" in result.stderr
    assert [p.name for p in out.iterdir()] == ["thesis.doc"]


def test_an_output_folder_with_another_run_and_a_changed_cube(country: Country) -> None:
    out = country.folder / "run"
    first = edaphos("run", country.recipe, "--out", out, "--quiet")
    assert first.exit_code == 0, first.output
    country.replace("small.toml", "seed = 3", "seed = 4")
    other = edaphos("run", country.recipe, "--out", out, "--quiet")
    assert other.exit_code == 2
    assert "another run: recipe.seed is 3 there and 4 here" in other.stderr
    country.replace("small.toml", "seed = 4", "seed = 3")
    chunk = next(p for p in sorted((country.cube / "stacks").rglob("c/**/*")) if p.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-1])
    changed = edaphos("run", country.recipe, "--out", out, "--quiet")
    assert changed.exit_code == 2
    assert "cube" in changed.stderr
    assert "changed" in changed.stderr


def test_a_cube_of_other_settings_than_its_toml(country: Country) -> None:
    country.replace("cube.toml", 'units = "mm"', 'units = "mm"\nscale = 0.1')
    message = refused(country, "country/cube.zarr", "other layers or settings than its TOML")
    assert "delete the folder" in message


def test_depths_out_of_order(country: Country) -> None:
    country.replace("small.toml", "[[0, 5], [30, 60]]", "[[30, 60], [0, 5]]")
    refused(country, "map.depths", "from the top down")


def test_a_model_of_ones_own_that_cannot_be_validated(country: Country, monkeypatch) -> None:
    monkeypatch.syspath_prepend(country.folder)
    (country.folder / "silent.py").write_text(
        "from edaphos.engine.models.protocol import Emits, Reads\n"
        "class Silent:\n    kind = 'silent'\n    reads = Reads(('rain',))\n"
        "    emits = Emits((), ())\n    def fit(self, samples):\n        return self\n"
    )
    text = country.recipe.read_text().replace("enabled = false", "enabled = true")
    start, rest = text.split("[model]")
    country.recipe.write_text(
        f'{start}[model]\nkind = "silent:Silent"\n[map]{rest.split("[map]")[1]}'
    )
    refused(country, "predict_rows", "assess.enabled = false")


def test_profiles_changed_in_place_are_another_run(country: Country) -> None:
    out = country.folder / "run"
    assert edaphos("run", country.recipe, "--out", out, "--quiet").exit_code == 0
    path = country.folder / "profiles.csv"
    path.write_text(path.read_text().replace(",2005,", ",2006,"))
    result = edaphos("run", country.recipe, "--out", out, "--quiet")
    assert result.exit_code == 2
    assert "profiles.sha256" in result.stderr


def test_profiles_check_tells_what_it_found(country: Country) -> None:
    table = pd.concat([profiles_table(), profiles_table().head(6)])
    table.to_csv(country.folder / "profiles.csv", index=False)
    rejected = country.folder / "rejected.csv"
    result = edaphos("profiles", "check", country.folder / "profiles.csv", "--rejected", rejected)
    assert result.exit_code == 0, result.output
    assert "360" in result.stdout
    assert len(pd.read_csv(rejected)) == 6
