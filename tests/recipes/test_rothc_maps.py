"""RothC maps through the command: closure, statuses, tiles, workers, grids, drivers, clay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

from edaphos.engine.assess.assessment import Assessment
from edaphos.engine.map_view import open_map
from edaphos.engine.products.totals import map_totals
from edaphos.engine.status import MAPPED, Status
from edaphos.recipes.cli import app

from ..engine.models.rothc_land import SHAPE, make_land
from .rothc_country import OWN_DOMAIN, RothCLand, make_rothc_land

pytestmark = pytest.mark.usefixtures("one_worker_here")

#: Half a step of the map's stocks, kg/m².
HALF_STEP = 0.001
ENSEMBLE = "\n[model.ensemble]\nmembers = 4\n"


def edaphos(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def mapped(land: RothCLand, name: str = "run", workers: int = 1) -> xr.Dataset:
    out = land.folder / name
    made = edaphos("run", land.recipe, "--out", out, "--workers", workers)
    assert made.exit_code == 0, made.output
    (land.folder / f"{name}.log").write_text(made.output + made.stderr)
    return open_map(out)


# -- statuses, closure, report --------------------------------------------------------------------

#: What is put into cells of the first row, and the status it is to have.
ODD = [
    ({"stock": 250.0}, Status.ORGANIC_OUTSIDE),
    ({"landcover": 11}, Status.WETLAND),
    ({"peat": 1}, Status.WETLAND),
    ({"peat": 1, "landcover": 12}, Status.SOIL),
    ({"temperature": -5.0}, Status.FROZEN),
    ({"coast": 3}, Status.MANGROVE),
    ({"crop": 27}, Status.PADDY),
    ({"rain": np.nan}, Status.INVALID_CLIMATE),
    ({"clay": 120.0}, Status.INVALID_CLAY),
    ({"stock": np.nan}, Status.INVALID_STOCK),
    ({"landcover": 0}, Status.INVALID_INPUT),
    ({"crop": 27}, Status.PADDY),
    ({"soil_mask": int(Status.ICE), "rain": np.nan}, Status.ICE),
    ({"soil_mask": int(Status.SEA)}, Status.SEA),
]
DOMAIN = """[model.domain]
input_over_npp = 0
wetland = { landcover = [11], peat = [1] }
drained = { landcover = [12] }
mangrove = { coast = [3] }
paddy = { crop = [27] }
"""


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> tuple[RothCLand, xr.Dataset, np.ndarray]:
    made = make_land()
    for name in ("peat", "coast", "crop"):
        made.values[name] = np.zeros(SHAPE, np.float32)
    made.values["soil_mask"] = np.full(SHAPE, int(Status.SOIL), np.float32)
    expected = np.full(SHAPE, int(Status.SOIL))
    for i, (changes, status) in enumerate(ODD):
        cell = tuple(int(n) for n in np.unravel_index(3 * i, SHAPE))
        expected[cell] = status
        for name, value in changes.items():
            made.put(name, cell, value)
    kinds = dict.fromkeys(("peat", "coast", "crop"), "class")
    folder = tmp_path_factory.mktemp("odd")
    land = make_rothc_land(folder, made.values, kinds=kinds)
    land.replace(OWN_DOMAIN, DOMAIN)
    land.replace("report = false", "report = true")
    land.replace("warm_up = 2010", 'warm_up = 2010\nemit = ["input", "co2"]')
    return land, mapped(land), expected


def test_reasons_are_told_and_counted(odd) -> None:
    land, ds, expected = odd
    np.testing.assert_array_equal(ds["status"].values, expected)
    counts = json.loads((land.folder / "run" / "manifest.json").read_text())["provenance"]
    codes, cells = np.unique(expected, return_counts=True)
    told = {Status(int(c)).meaning: int(n) for c, n in zip(codes, cells, strict=True)}
    assert counts["cells_by_status"] == told
    held = np.isin(expected, list(MAPPED))
    for name in ds.data_vars:
        if name.endswith("_mean"):
            values = ds[name].values[0]
            assert (np.isfinite(values) == held).all(), name


def test_the_map_begins_with_the_initial_map_and_so_does_its_total(odd) -> None:
    _, ds, expected = odd
    held = np.isin(expected, list(MAPPED))
    initial = ds["stock_bau_mean"].copy()
    stock = make_land().values["stock"] / 10
    for name in ("bau", "plus20"):
        error = ds[f"stock_{name}_mean"].values[0, 0] - stock
        assert np.nanmax(np.abs(error)) <= HALF_STEP * 1.001
        assert np.isfinite(error).sum() == held.sum()
    initial.values[0, 0] = np.where(held, stock, np.nan)
    ours, theirs = (
        map_totals(ds.assign(stock_bau_mean=s)) for s in (ds["stock_bau_mean"], initial)
    )
    (total,), (wanted,) = (t.select("all", "stock_bau_mean", 2000) for t in (ours, theirs))
    assert total.total_pg == pytest.approx(wanted.total_pg, rel=1e-4)
    assert total.cells == held.sum()
    areas = np.cos(np.radians(ds["y"].values))[:, None] * (8 * 111.2e3) ** 2 * np.ones(SHAPE)
    about = np.nansum(np.where(held, stock, np.nan) * areas) * 1e-12
    assert total.total_pg == pytest.approx(about, rel=0.01)


def test_totals_come_with_and_without_paddy(odd) -> None:
    _, ds, expected = odd
    totals = map_totals(ds)
    (whole,) = totals.select("all", "stock_bau_mean", 2000)
    (without,) = totals.select("unflagged", "stock_bau_mean", 2000)
    assert whole.cells - without.cells == (expected == Status.PADDY).sum() == 2
    assert whole.total_pg > without.total_pg


def test_nothing_changes_but_by_scenario(odd) -> None:
    _, ds, _ = odd
    bau, plus = ds["stock_bau_mean"].values[0], ds["stock_plus20_mean"].values[0]
    np.testing.assert_array_equal(bau[1], bau[0])
    np.testing.assert_array_equal(bau[2], bau[0])
    np.testing.assert_array_equal(plus[1], bau[0])
    held = np.isfinite(bau[0])
    assert (plus[2][held] > bau[2][held]).all()
    entered = ds["input_plus20_mean"].values[0] / ds["input_bau_mean"].values[0]
    np.testing.assert_allclose(entered[2][held], 1.2, rtol=1e-6)
    np.testing.assert_allclose(entered[:2, held], 1.0, rtol=1e-6)
    np.testing.assert_allclose(ds["co2_bau_mean"].values, ds["input_bau_mean"].values, rtol=1e-4)


def test_the_report_says_scenario_and_totals(odd) -> None:
    land, ds, _ = odd
    text = (land.folder / "run" / "report.html").read_text()
    assert "Scenario runs, no hindcast and no forecast" in text
    assert "The map of 2000 equals the initial stock map by construction" in text
    assert "plus20 (input x 1.2)" in text
    assert "without flagged cells" in text
    for status in (Status.ORGANIC_OUTSIDE, Status.FROZEN, Status.PADDY, Status.INVALID_STOCK):
        assert status.words in text, status
    (total,) = map_totals(ds).select("all", "stock_bau_mean", 2000)
    assert f"{total.total_pg:.1f}" in text
    assert ds.attrs["scenario"].startswith("Scenario runs")


# -- tiles and workers ----------------------------------------------------------------------------

FINE = """
[model.driver]
kind = "miami"

[model.change]
temperature_per_decade = 0.3
"""


@pytest.fixture(scope="module")
def fine(tmp_path_factory) -> RothCLand:
    """The land in half degrees, with coasts and gaps: tiles of 64, unless told otherwise."""
    made = make_land()
    rng = np.random.default_rng(4)
    mask = np.full(SHAPE, int(Status.SOIL), np.float32)
    mask[rng.random(SHAPE) < 0.2] = Status.SEA
    made.values["soil_mask"] = mask
    made.values["clay"][3:6, 2:6] = np.nan
    land = make_rothc_land(tmp_path_factory.mktemp("fine"), made.values)
    land.replace("resolution = 8.0", "resolution = 0.5")
    land.replace("tile_size = 16", "tile_size = 64")
    land.replace("warm_up = 2010", 'warm_up = 2010\nemit = ["input"]')
    land.add(FINE + ENSEMBLE)
    return land


@pytest.fixture(scope="module")
def one_worker(fine: RothCLand) -> xr.Dataset:
    return mapped(fine, "one")


def objects(run: Path) -> dict[str, bytes]:
    folder = run / "map.zarr"
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_two_workers_write_the_same_bytes(fine: RothCLand, one_worker: xr.Dataset) -> None:
    mapped(fine, "two", workers=2)
    ours, theirs = (objects(fine.folder / name) for name in ("one", "two"))
    assert len([key for key in ours if "/c/" in key]) > 9 * 20
    assert ours == theirs


def test_tiles_of_another_size_hold_the_same_values(fine: RothCLand, one_worker) -> None:
    text = fine.recipe.read_text()
    wide = RothCLand(fine.folder / "wide")
    wide.folder.mkdir()
    wide.recipe.write_text(text.replace("tile_size = 64", "tile_size = 128"))
    other = mapped(wide)
    assert len(one_worker.data_vars) == len(other.data_vars) >= 8
    for name in one_worker.data_vars:
        np.testing.assert_array_equal(one_worker[name].values, other[name].values, err_msg=name)
    assert (one_worker["status"] == Status.INVALID_CLAY).sum() > 0
    assert (one_worker["status"] == Status.SEA).sum() > 0


def test_the_interval_holds_the_mean(one_worker: xr.Dataset) -> None:
    low, mean, high = (one_worker[f"stock_bau_{s}"].values for s in ("q05", "mean", "q95"))
    held = np.isfinite(mean)
    assert (low[held] <= mean[held]).all()
    assert (mean[held] <= high[held]).all()
    assert (low[held] < high[held] - 0.1 * mean[held]).all()
    assert one_worker["stock_bau_q05"].attrs["statistic"] == "Q0.05"


def test_warming_loses_carbon_that_input_brings_back(one_worker: xr.Dataset) -> None:
    bau, plus = (
        one_worker[f"stock_{s}_mean"].mean(["y", "x"]).values[0] for s in ("bau", "plus20")
    )
    assert bau[2] < plus[2]
    assert plus[0] == bau[0]


def test_a_plan_without_profiles(fine: RothCLand) -> None:
    planned = edaphos("plan", fine.recipe, "--workers", 1, "--json")
    assert planned.exit_code == 0, planned.output
    found = json.loads(planned.stdout)
    assert found["tiles"] == 9
    assert 20_000 < found["cells"] < 30_720
    assert found["sampled_cells_per_second"] > 0
    outputs = 2 * (3 * 2 + 4)  # three stocks of 2 bytes, the input of 4, in two scenarios
    assert found["bytes_written"] == 30_720 * (outputs * 3 + 1)


# -- other grids, drivers -------------------------------------------------------------------------


def test_a_projected_grid(tmp_path: Path) -> None:
    land = make_rothc_land(tmp_path)
    land.replace('crs = "EPSG:4326"', 'crs = "ESRI:54034"')  # an equal-area cylinder, in metres
    land.replace("bounds = [0, -36, 80, 60]", "bounds = [0, -3700000, 8900000, 5500000]")
    land.replace("resolution = 8.0", "resolution = 100000")
    ds = mapped(land)
    assert ds["stock_bau_mean"].shape == (1, 3, 92, 89)
    assert np.isfinite(ds["stock_bau_mean"].values).mean() > 0.97
    (total,) = map_totals(ds).select("all", "stock_bau_mean", 2000)
    cosine = np.cos(np.radians(np.arange(56, -36, -8)))[:, None] * np.ones(SHAPE)
    stock = make_land().values["stock"] / 10
    assert total.mean == pytest.approx(np.average(stock, weights=cosine), rel=0.02)


def test_a_yearly_driver_takes_its_nearest_year_and_says_so(tmp_path: Path) -> None:
    """It covers 2000 to 2014, and doubles in 2005; no input follows where it starts from 0."""
    npp = np.full((15, *SHAPE), 300.0, np.float32)
    npp[5:] = 600.0
    npp[0, 2, 2] = 0.0
    npp[9, 3, 3] = np.nan
    npp[:, 4, 4] *= np.float32(7.5)  # its size does not matter
    land = make_rothc_land(tmp_path, {"npp": npp})
    land.replace("years = [2000, 2010, 2040]", "years = [2000, 2004, 2005, 2040]")
    land.replace("warm_up = 2010", 'warm_up = 2010\nemit = ["input"]')
    land.add('\n[model.driver]\nkind = "variable"\nvariable = "npp"\n')
    ds = mapped(land)
    assert '"npp" lacks 2015-2040; the map takes its 2014' in (tmp_path / "run.log").read_text()
    ratio = (ds["input_bau_mean"] / ds["input_bau_mean"].isel(year=0)).values[0]
    held = np.isfinite(ratio[0])
    assert held.sum() == held.size - 2
    for k, factor in enumerate((1, 1, 2, 2)):
        np.testing.assert_allclose(ratio[k][held], factor, rtol=1e-6)
    assert ds["status"].values[2, 2] == ds["status"].values[3, 3] == Status.INVALID_INPUT
    counts = json.loads((tmp_path / "run" / "manifest.json").read_text())["provenance"]
    assert counts["cells_by_status"] == {"soil": held.size - 2, "invalid_input": 2}


# -- clay from profiles ---------------------------------------------------------------------------

PROFILES = """
[profiles]
[[profiles.files]]
path = "profiles.csv"
source = "survey"
licence = "CC0-1.0"
"""


def survey(folder: Path) -> None:
    """Clay that rises with relief; half of the layers have no carbon measured."""
    rng = np.random.default_rng(6)
    relief = np.add.outer(np.arange(12), np.arange(10)) * 10.0
    row, col = rng.integers(0, 12, 300), rng.integers(0, 10, 300)
    table = pd.DataFrame(
        {
            "profile_id": [f"p{i}" for i in range(300)],
            "lon": (col * 8 + rng.uniform(0.5, 7.5, 300)).round(3),
            "lat": (60 - row * 8 - rng.uniform(0.5, 7.5, 300)).round(3),
            "year": 1990,
            "top_cm": 0,
            "bottom_cm": 30,
            "soc_g_kg": np.where(np.arange(300) % 2, np.nan, 15.0),
            "clay_pct": (8 + relief[row, col] / 5 + rng.normal(0, 2, 300)).round(1),
        }
    )
    table.to_csv(folder / "profiles.csv", index=False)


def test_a_clay_forest_is_planned_validated_as_clay_and_mapped_from(tmp_path: Path) -> None:
    values = make_land().values
    values["clay"] = np.zeros(SHAPE, np.float32)  # named as the target, and not to be read
    values["relief"] = np.add.outer(np.arange(12), np.arange(10)).astype(np.float32) * 10
    land = make_rothc_land(tmp_path, values)
    survey(tmp_path)
    land.replace('variable = "clay"', 'covariates = ["relief"]\ntrees = 20')
    land.add(PROFILES + ENSEMBLE)
    land.add('\n[assess]\nfolds = 3\nsplits = ["profile"]\nbootstrap = 20\ntrees = 10\n')
    planned = edaphos("plan", land.recipe, "--workers", 1, "--json")
    assert planned.exit_code == 0, planned.output
    ds = mapped(land)
    assessed = Assessment.load(tmp_path / "run" / "assessment")
    assert assessed.settings["target"] == {"name": "clay", "units": "%"}
    assert assessed.table("profile")["R2"].iloc[0] > 0.8
    samples = json.loads((tmp_path / "run" / "manifest.json").read_text())["provenance"]["samples"]
    assert samples["kept"] == 300
    assert not list((tmp_path / "run" / "model").rglob("*.pkl"))
    assert (ds["status"] == Status.SOIL).all()
    error = ds["stock_bau_mean"].values[0, 0] - values["stock"] / 10
    assert np.abs(error).max() <= HALF_STEP * 1.001
