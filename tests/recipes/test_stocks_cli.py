"""``edaphos stocks`` on a run: from a file of zones to a table, a report, and words that help."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from typer.testing import CliRunner, Result

from edaphos.engine.grid import Grid
from edaphos.engine.map_view import open_map
from edaphos.kernels.pedotransfer import bulk_density
from edaphos.recipes.cli import app

from .small import make_country

pytestmark = pytest.mark.usefixtures("one_worker_here")


def edaphos(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("country")
    country = make_country(folder / "c", resolution=0.25, tile_size=48, trees=5)
    done = edaphos("run", country.recipe, "--out", folder / "run", "--workers", 1, "--quiet")
    assert done.exit_code == 0, done.output
    shapes = [shapely.box(10, 40, 14, 50), shapely.box(14, 40, 20, 50)]
    table = geopandas.GeoDataFrame({"NAME": ["west", "east"]}, geometry=shapes, crs=4326)
    table.to_file(folder / "lands.geojson", driver="GeoJSON")
    return folder / "run"


def test_content_is_refused_with_a_hint(run):
    done = edaphos("stocks", run, "--zones", run.parent / "lands.geojson")
    assert done.exit_code == 2
    assert "--density" in done.output
    assert "soc_mean (g kg-1)" in done.output


def test_totals_with_a_density_go_into_table_and_report(run):
    words = ("--zones", run.parent / "lands.geojson", "--out", run.parent / "out" / "t.csv")
    done = edaphos("stocks", run, *words, "--density", "drew", "--fragments", 0.1, "--quiet")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(run.parent / "out" / "t.csv")
    assert (run / "stocks" / "lands.csv").read_text() == (run.parent / "out" / "t.csv").read_text()
    ds = open_map(run)
    soc = ds["soc_mean"].values[0, 0].astype(np.float64)  # 0-5 cm
    stock = soc * bulk_density("drew", soc)[0] * 0.9 * 5 / 100
    grid = Grid.from_bounds("EPSG:4326", (10, 40, 20, 50), 0.25)
    areas = np.broadcast_to(grid.cell_areas(grid.whole), stock.shape)
    west = np.isfinite(stock) & (ds["x"].values < 14)[None, :]
    row = table[(table["zone"] == "west") & (table["depth"] == "0-5cm")].iloc[0]
    assert row["total_pg"] == pytest.approx((areas * stock)[west].sum() * 1e-12, rel=1e-7)
    assert row["area_km2"] == pytest.approx(areas[west].sum() * 1e-6, rel=1e-9)
    assert "By lands.geojson, NAME: Soil carbon stock, 0–5cm, " in done.output
    # a report written later shows them
    assert edaphos("report", run, "--quiet").exit_code == 0
    page = (run / "report.html").read_text()
    assert "By lands.geojson, NAME: Soil carbon stock, 0–5cm" in page
    assert '<th scope="row">west</th>' in page
    # and one that is there is written again
    words = ("--zones", run.parent / "lands.geojson", "--density", 1.3, "--quiet")
    done = edaphos("stocks", run, *words, "--variable", "stock")
    assert f"report: {run / 'report.html'}" in done.output


def test_content_with_spread_of_density_gives_intervals(run):
    words = ("--zones", run.parent / "lands.geojson", "--density", "drew", "--no-report", "--quiet")
    done = edaphos("stocks", run, *words, "--density-sd", 0.25, "--error-range", 40000, "--json")
    assert done.exit_code == 0, done.output
    row = next(r for r in json.loads(done.output)["table"] if r["depth"] == "0-5cm")
    assert row["zone"] == "whole map"
    ds = open_map(run)
    values = [ds[f"soc_{n}"].values[0, 0].astype(float) for n in ("q05", "mean", "q95")]
    grid = Grid.from_bounds("EPSG:4326", (10, 40, 20, 50), 0.25)
    areas = np.broadcast_to(grid.cell_areas(grid.whole), grid.shape)
    # with all errors one the interval is that of an average cell: by plain random draws
    rng = np.random.default_rng(0)
    spread = np.log(values[2] / values[0]) / (2 * 1.645)
    z, error = rng.standard_normal((2, 4000, 1, 1))
    ends = []
    for at in (0.05, 0.95):
        cells = np.empty(grid.shape)
        for i in range(grid.shape[0]):
            center = np.log(values[1][i]) - spread[i] ** 2 / 2
            soc = np.exp(center + spread[i] * z[:, 0])
            cells[i] = np.quantile(soc * (bulk_density("drew", soc)[0] + 0.25 * error[:, 0]), at, 0)
        ends.append((cells * areas).sum() * 5 / 100 * 1e-12)
    assert row["total_high"] - row["total_low"] == pytest.approx(ends[1] - ends[0], rel=0.15)


def test_json_is_for_scripts(run):
    words = ("--zones", run.parent / "lands.geojson", "--density", 1.3, "--no-report", "--json")
    done = edaphos("stocks", run, *words)
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert {row["zone"] for row in told["table"]} == {"whole map", "west", "east"}
    assert any("No intervals" in note or "no bounds" in note for note in told["notes"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--zones", "nowhere.gpkg"), "no such file of zones"),
        (("--zones", "cube:koppen"), "no variable"),
        (("--density", "drow"), 'did you mean "drew"'),
        (("--density", "1300"), "1300 kg/m3 is 1.3"),
        (("--fragments", "0.1"), "go with --density"),
        (("--density", "1.3", "--nugget", "0.5"), "--nugget goes with --error-range"),
        (("--density", "1.3", "--error-range", "-3"), "above 0"),
    ],
)
def test_mistakes_are_named(run, words, expected):
    zones = () if "--zones" in words else ("--zones", run.parent / "lands.geojson")
    done = edaphos("stocks", run, *zones, *words)
    assert done.exit_code == 2
    assert expected in " ".join(done.output.split())
