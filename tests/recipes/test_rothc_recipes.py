"""The RothC recipes on the real data, small: one degree, few trees and members."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

from edaphos.engine.assess.assessment import Assessment
from edaphos.engine.cube.cube import Cube
from edaphos.engine.map_view import open_map
from edaphos.engine.products.totals import map_totals
from edaphos.engine.run import Run
from edaphos.engine.status import Status
from edaphos.recipes.cli import app
from edaphos.recipes.templates import builtin_path

pytestmark = pytest.mark.usefixtures("one_worker_here")

#: Half a step of the map's stocks, kg/m².
HALF_STEP = 0.001


def edaphos(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def real(name: str, folder: Path, *changes: tuple[str, str]) -> Path:
    """Write a built-in recipe with changes, and its cube TOML beside it."""
    text = builtin_path(name).read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = folder / f"{name}.toml"
    path.write_text(text)
    (folder / f"{name}_cube.toml").write_text(builtin_path(f"{name}_cube").read_text())
    return path


def made_real(recipe: Path, data: Path) -> xr.Dataset:
    folder = recipe.parent
    arguments = ["run", recipe, "--data", data, "--cube", folder / "cube.zarr", "--workers", 1]
    made = edaphos(*arguments, "--out", folder / "run", "--quiet")
    assert made.exit_code == 0, made.output
    return open_map(folder / "run")


@pytest.fixture(scope="module")
def america(shared_data: Path, tmp_path_factory) -> xr.Dataset:
    recipe = real(
        "rothc_south_america",
        tmp_path_factory.mktemp("america"),
        ("resolution = 0.08333333333333333\ntile_size = 256", "resolution = 1.0\ntile_size = 64"),
        ("members = 16", "members = 4"),
        ("years = [1960, 1990, 2020, 2030, 2040]", "years = [1960, 2020, 2040]"),
    )
    return made_real(recipe, shared_data)


def run_of(ds: xr.Dataset) -> Path:
    return Path(ds.encoding["source"]).parent


def test_south_america_begins_where_its_stock_map_does(america: xr.Dataset) -> None:
    run = Run.open(run_of(america))
    stock = Cube.open(run.cube_path).read(run.grid.whole, ["stock_1960"])["stock_1960"] / 10
    mean = america["stock_bau_mean"].values[0]
    held = np.isfinite(mean[0])
    assert held.sum() > 900
    assert np.abs(mean[0] - stock)[held].max() <= HALF_STEP * 1.001
    for year in (1, 2):  # Miami sees no change where the climate has none
        np.testing.assert_allclose(mean[year][held], mean[0][held], atol=2 * HALF_STEP)
    totals = map_totals(america)
    pg = {
        name: totals.select("all", f"stock_{name}_mean", 2040)[0].total_pg
        for name in ("bau", "plus05", "plus10", "plus20")
    }
    gains = np.diff([pg[n] for n in pg]) / np.array([5, 5, 10])
    assert gains.min() > 0
    np.testing.assert_allclose(gains, gains[0], rtol=0.02)  # linear in the input
    assert 60 < pg["bau"] < 110  # of 0-30 cm, most of the continent
    assert 0.01 < pg["plus20"] / pg["bau"] - 1 < 0.1


def test_south_america_needs_believable_inputs_and_tells_its_reasons(america: xr.Dataset) -> None:
    entering = america["input_bau_mean"].values[0, 0] * 10
    assert 0.5 < np.nanmedian(entering) < 15  # t C/ha in a year
    counts = json.loads((run_of(america) / "manifest.json").read_text())["provenance"]
    counts = counts["cells_by_status"]
    assert counts["soil"] + counts["input_above_npp"] > 900
    assert counts["input_above_npp"] < 0.5 * counts["soil"]
    assert sum(counts.values()) == 40 * 40
    assert counts["wetland"] > 10
    mean, low, high = (america[f"stock_bau_{s}"].values for s in ("mean", "q05", "q95"))
    held = np.isfinite(mean)
    assert (low[held] < mean[held]).all()
    assert (mean[held] < high[held]).all()


def test_south_americas_report(america: xr.Dataset) -> None:
    text = (run_of(america) / "report.html").read_text()
    assert "Scenario runs, no hindcast and no forecast" in text
    assert "The map of 1960 equals the initial stock map by construction" in text
    (total,) = map_totals(america).select("all", "stock_bau_mean", 1960)
    assert f"{total.total_pg:.1f}" in text
    assert "Sanderman" in text
    assert "IBIS" in text
    assert "Coleman" in america.attrs["references"]
    assert "1 degree" in america.attrs["nominal_resolution"]
    assert "climate and clay of 1 degree" in text


@pytest.fixture(scope="module")
def world(shared_data: Path, tmp_path_factory) -> xr.Dataset:
    folder = tmp_path_factory.mktemp("world")
    with gzip.open(shared_data / "profiles" / "profiles.csv.gz", "rt") as file:
        table = pd.read_csv(file, low_memory=False)
    few = (table["lon"] * 1e4).round() % 8 == 0  # whole profiles
    table[few].to_csv(folder / "few.csv", index=False)
    recipe = real(
        "rothc_world",
        folder,
        ('preset = "global-0.1deg"\ntile_size = 512', 'preset = "global-1deg"\ntile_size = 256'),
        ('path = "profiles/profiles.csv.gz"', f'path = "{folder / "few.csv"}"'),
        ("trees = 100", "trees = 10"),
        ("trees = 60\nextra_block_deg = [2.0]", 'trees = 8\nfolds = 3\nsplits = ["block"]'),
        ("members = 8", "members = 2"),
        ("years = [1960, 2020, 2030, 2040]", "years = [1960, 2040]"),
    )
    return made_real(recipe, shared_data)


def test_the_world_begins_where_its_stock_map_does(world: xr.Dataset) -> None:
    totals = map_totals(world)
    (start,) = totals.select("all", "stock_bau_mean", 1960)
    assert 450 < start.total_pg < 870  # the whole map holds 870, organic and frozen soils included
    (end,) = totals.select("all", "stock_plus20_mean", 2040)
    assert 1.01 < end.total_pg / start.total_pg < 1.1
    counts = json.loads((run_of(world) / "manifest.json").read_text())["provenance"]
    counts = counts["cells_by_status"]
    for reason, least in {"organic_outside": 100, "wetland": 500, "frozen": 2000}.items():
        assert counts[reason] > least, reason
    assert counts["imputed_input"] > 20  # polar night in January's NDVI
    assert counts["soil"] + counts["input_above_npp"] > 8000
    assert counts["bare"] > 1000  # deserts
    assert "invalid_climate" not in counts
    assert counts["invalid_input"] < 300  # water and ice in 2011 that the land mask calls land
    status = world["status"]
    where = {"Hudson Bay lowland": (54.5, -84.5), "Yakutia": (66.5, 129.5), "Iowa": (42.5, -93.5)}
    found = {n: Status(int(status.sel(y=y, x=x))) for n, (y, x) in where.items()}
    assert found["Yakutia"] in (Status.FROZEN, Status.ORGANIC_OUTSIDE)
    assert found["Hudson Bay lowland"] in (Status.WETLAND, Status.ORGANIC_OUTSIDE)
    assert found["Iowa"] == Status.SOIL


def test_the_worlds_clay_is_validated_as_clay(world: xr.Dataset) -> None:
    found = Assessment.load(run_of(world) / "assessment")
    assert found.settings["target"] == {"name": "clay", "units": "%"}
    assert found.table("block")["R2"].iloc[0] > 0.05
    assert "clay" in (run_of(world) / "report.html").read_text()
