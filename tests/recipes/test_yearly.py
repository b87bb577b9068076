"""Maps of several years from yearly covariates: of dated profiles, and not of sources alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from edaphos.engine.samples import Samples
from edaphos.recipes import pipeline
from edaphos.recipes.cli import app

from .small import Country, make_country, profiles_table, write_raster

pytestmark = pytest.mark.usefixtures("one_worker_here")

GREEN = """
[[layer]]
name = "green"
files = { 1990 = "green_1990.tif", 2010 = "green_2010.tif" }
time = "yearly"
kind = "amount"
units = "1"
"""


def run(country: Country, out: Path, *more: str) -> Result:
    command = ["run", str(country.recipe), "--out", str(out), "--workers", "1", *more]
    return CliRunner().invoke(app, command)


def noted(out: Path) -> dict:
    return json.loads((out / "manifest.json").read_text())["provenance"]


@pytest.fixture
def country(tmp_path: Path) -> Country:
    """Return a country mapped for two years, with profiles of many years and two sources."""
    made = make_country(tmp_path)
    rng = np.random.default_rng(1)
    for year in (1990, 2010):
        write_raster(tmp_path / f"green_{year}.tif", rng.uniform(0, 1, (100, 100)))
    cube = tmp_path / "cube.toml"
    cube.write_text(cube.read_text() + GREEN)
    made.replace("small.toml", '"elevation"]', '"elevation", "green"]')
    made.replace("small.toml", "depths = [[0, 5], [30, 60]]", "years = [1990, 2010]")
    made.replace("small.toml", 'source = "survey"\n', "")
    made.replace("small.toml", "folds = 3", "folds = 3\nblock_deg = 1.0")
    table = profiles_table()
    who = np.repeat(np.arange(120), 3)
    table["source"] = np.where(who % 2, "old", "new")
    table["year"] = np.repeat(rng.integers(1988, 2013, 120), 3)
    table.to_csv(tmp_path / "profiles.csv", index=False)
    return made


def retold(country: Country, confounded: bool, undated: int = 0) -> None:
    """Let each source have years of its own, or take the first profiles' years away."""
    import pandas as pd

    table = pd.read_csv(country.folder / "profiles.csv")
    if confounded:
        old = table["source"] == "old"
        table["year"] = np.where(old, 1990, 2010) + np.arange(len(table)) // 3 % 3
    table["year"] = table["year"].astype(float)
    table.loc[: 3 * undated - 1, "year"] = np.nan
    table.to_csv(country.folder / "profiles.csv", index=False)


def test_years_within_sources_are_mapped(country: Country, tmp_path: Path) -> None:
    made = run(country, tmp_path / "out")
    assert made.exit_code == 0, made.output
    found = noted(tmp_path / "out")["years_within_sources"]
    assert found["verdict"] in ("yes", "hardly")
    assert found["explained"] < 0.1
    assert found["sources"] == 2
    assert found["text"] in " ".join(made.output.split())


def test_sources_in_the_place_of_years_are_refused(country: Country, tmp_path: Path) -> None:
    retold(country, confounded=True)
    made = run(country, tmp_path / "out", "--quiet")
    assert made.exit_code == 2
    words = " ".join(made.stderr.split())
    assert "cannot be told apart within sources" in words
    assert 'years_within_sources = "warn"' in words
    again = run(country, tmp_path / "out", "--quiet")
    assert again.exit_code == 2
    country.replace("small.toml", "folds = 3", 'folds = 3\nyears_within_sources = "warn"')
    made = run(country, tmp_path / "other")
    assert made.exit_code == 0, made.output
    assert "cannot be told apart within sources" in " ".join(made.output.split())


def test_one_year_needs_no_such_check(country: Country, tmp_path: Path) -> None:
    retold(country, confounded=True, undated=40)
    country.replace("small.toml", "years = [1990, 2010]", "year = 2010")
    made = run(country, tmp_path / "out", "--quiet")
    assert made.exit_code == 0, made.output
    assert "years_within_sources" not in noted(tmp_path / "out")
    assert noted(tmp_path / "out")["samples"]["kept"] == 360


def test_undated_profiles_do_not_train_a_map_of_several_years(
    country: Country, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    retold(country, confounded=False, undated=90)  # more than may lack a covariate
    seen: list[Samples] = []
    fit = pipeline.fit
    monkeypatch.setattr(
        pipeline, "fit", lambda j, r, s, *more: (seen.append(s), fit(j, r, s, *more))
    )
    made = run(country, tmp_path / "out")
    assert made.exit_code == 0, made.output
    assert "270 layers without a year are left out" in " ".join(made.output.split())
    assert len(seen[0]) == 90
    assert seen[0].table["year"].notna().all()
    retold(country, confounded=False, undated=120)
    made = run(country, tmp_path / "none", "--quiet")
    assert made.exit_code == 2
    assert "none of the 360 soil layers has a year" in " ".join(made.stderr.split())
