"""Maps of several years and scenarios: their totals, tables, pictures, report and products."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

from edaphos.engine.assess.assess import AssessSpec, assess
from edaphos.engine.grid import Grid
from edaphos.engine.models.protocol import ModelSpec
from edaphos.engine.products.cog import export_cogs
from edaphos.engine.products.layers import map_grid
from edaphos.engine.products.report import ReportInputs, render, write_report
from edaphos.engine.products.report_pictures import ReportPictures
from edaphos.engine.products.series_tables import changes, series_tables, total_lines
from edaphos.engine.products.stac import write_stac
from edaphos.engine.products.totals import Totals, map_totals
from edaphos.engine.status import Status

from ..assess_world import make_samples
from ..maps import fake_map, fake_scenarios
from .test_report import Page, text_of

YEARS = (1960, 2010, 2030)
MANIFEST = {
    "identity": {"recipe": {"name": "process", "profiles": None}},
    "provenance": {"cells_by_status": {"sea": 30_000, "paddy": 120, "soil": 9_000, "frozen": 11}},
}


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return fake_scenarios(Grid.preset("global-1deg"))


@pytest.fixture(scope="module")
def totals(ds: xr.Dataset) -> Totals:
    zones = np.broadcast_to((np.arange(360) // 180)[None, :], (180, 360))
    return map_totals(ds, zones=zones, zone_names={0: "west", 1: "east"})


@pytest.fixture(scope="module")
def report(ds: xr.Dataset, totals: Totals, tmp_path_factory) -> Path:
    inputs = ReportInputs(ds, manifest=MANIFEST, totals=totals)
    return write_report(tmp_path_factory.mktemp("process-run"), inputs)


def plain_total(ds: xr.Dataset, variable: str, year: int, keep: np.ndarray | None = None) -> float:
    """Pg by one floating-point sum over everything."""
    grid = map_grid(ds)
    values = ds[variable].sel(year=year).values[0].astype(float)
    areas = np.broadcast_to(grid.cell_areas(grid.whole), values.shape)
    use = np.isfinite(values) & (True if keep is None else keep)
    return math.fsum(areas[use] * values[use]) * 1e-12


def test_totals_by_scenario_and_year_with_and_without_flagged_cells(ds, totals: Totals) -> None:
    paddy = ds["status"].values == Status.PADDY
    assert paddy.sum() > 500
    for variable in ("stock_bau_mean", "stock_plus10_mean", "co2_bau_mean"):
        for year in YEARS:
            (whole,) = totals.select("all", variable, year)
            (rest,) = totals.select("unflagged", variable, year)
            assert whole.total_pg == pytest.approx(plain_total(ds, variable, year), rel=1e-6)
            assert rest.total_pg == pytest.approx(plain_total(ds, variable, year, ~paddy), rel=1e-6)
            assert whole.cells - rest.cells == paddy.sum()
    assert totals.rows[0].variable == "stock_bau_mean"
    assert not map_totals(fake_scenarios(paddy=False)).select("unflagged")


def test_changes_are_those_that_were_put_in(totals: Totals) -> None:
    found = {change.quantity: change for change in changes(totals)}
    assert list(found) == ["stock_bau", "stock_plus10"]
    for quantity, share in (("stock_bau", -0.035), ("stock_plus10", 0.035)):
        change = found[quantity]
        assert (change.start.year, change.end.year) == (1960, 2030)
        grown = change.end.total_pg / change.start.total_pg - 1
        assert grown == pytest.approx(share, abs=2e-4)
        assert change.unflagged is not None
        assert 0 < change.unflagged[0].total_pg < change.start.total_pg
    starts = {change.start.total_pg for change in found.values()}
    assert len(starts) == 1


def test_tables_and_lines_say_the_same(totals: Totals) -> None:
    stock, co2 = series_tables(totals)
    assert stock.title.startswith("Soil carbon stock, 0–30 cm")
    assert len(stock.rows) == 6
    assert all(len(row) == len(stock.columns) == 10 for row in stock.rows)
    assert stock.rows[0][:2] == ("business as usual", "1960")
    assert stock.rows[0][4:6] == ("–", "–")
    assert stock.rows[2][5] == "−3.50"
    assert stock.rows[5][:2] == ("input +10 %", "2030")
    assert stock.rows[5][5] == "+3.50"
    assert "Flagged cells" in stock.note
    assert "total, Pg a year" in co2.columns
    lines, respired = total_lines(totals)
    assert list(lines.values) == ["business as usual", "input +10 %"]
    shown = float(stock.rows[2][3].replace(",", ""))
    assert lines.values["business as usual"][2030] == pytest.approx(shown, abs=0.06)
    assert respired.units == "Pg a year"


def test_the_report_shows_scenarios_and_says_what_they_are(report: Path, totals: Totals) -> None:
    html = report.read_text(encoding="utf-8")
    page, text = Page(html), text_of(html)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    for words in (
        "Scenario runs. Carbon input held, or raised by 10 %",
        "no hindcast of what happened and no forecast",
        "The total at the start (1960) equals the initial map by construction",
        "closure, not validation",
        "2 scenarios: business as usual and input +10 %",
        "This map has not been validated",
        "Stocks by a made-up process. ",
        "Maps by scenario and year",
        "frozen soil no 11",
    ):
        assert words in text
    head = text[: text.index("Maps by scenario and year Stocks by")]
    start = totals.select("all", "stock_bau_mean", 1960)[0].total_pg
    assert f"Soil carbon stock, 1960 {start:,.1f} Pg" in head
    assert "+3.50 %; without flagged cells +" in head
    assert "SOC" not in head
    assert "0-5 cm" not in text
    assert "profiles" not in page.ids
    assert "no table of profile locations" not in text
    assert "west" in text
    assert text.count("Soil carbon stock, business as usual, 2030. By climate zone") == 1


def test_its_pictures(report: Path) -> None:
    names = {p.stem for p in (report.parent / "pictures").iterdir()}
    for scenario in ("bau", "plus10"):
        name = f"stock_{scenario}_0-30cm"
        assert {f"{name}_1960", f"{name}_2030", f"{name}_change", f"{name}_width_2030"} <= names
    assert {"total_stock_0-30cm", "total_co2_0-30cm", "overview", "co2_bau_0-30cm_change"} <= names
    assert "co2_bau_0-30cm_width_2030" not in names
    svg = re.findall(r"<svg.*?</svg>", report.read_text(), flags=re.DOTALL)
    assert all("scenario run, no hindcast or forecast" in one for one in svg)


def test_an_assessment_of_an_input_does_not_pass_for_one_of_the_map(ds) -> None:
    spec = ModelSpec("test-linear", {"covariates": ("wet",)})
    found = assess(make_samples(), spec, AssessSpec(bootstrap=0, splits=("profile",)))
    found = replace(found, settings={**found.settings, "target": {"name": "clay", "units": "%"}})
    html = render("run", ReportInputs(ds, found), ReportPictures())
    text = text_of(html)
    assert "What is validated here is clay" in text
    assert "the mapped soil carbon stock itself is not validated" in text
    assert "Clay: R², by profile" in text
    assert "RMSE, %" in text
    assert "soil carbon data" not in text


@pytest.mark.parametrize("years", [(2020,), (1990, 2020)])
def test_one_scenario_or_one_year(years: tuple[int, ...], tmp_path: Path) -> None:
    ds = fake_scenarios(years=years, scenarios=("bau",), paddy=False).drop_vars("co2_bau_mean")
    text = text_of(write_report(tmp_path, ReportInputs(ds, totals=map_totals(ds))).read_text())
    assert "1 scenario: business as usual" in text
    assert "unflagged" not in text
    names = {p.stem for p in (tmp_path / "pictures").iterdir()}
    assert ("stock_bau_0-30cm_change" in names) == (len(years) > 1)
    assert ("total_stock_0-30cm" in names) == (len(years) > 1)


def test_a_content_of_several_years_has_changes_and_no_totals(tmp_path: Path) -> None:
    ds = fake_map(depths=((0, 5), (5, 15)), years=(2000, 2010), banner="")
    totals = map_totals(ds)
    tables = series_tables(totals)
    assert [t.columns for t in tables] == [
        ("<scenario", "year", "mean, g/kg", "change, g/kg", "change, %")
    ] * 2
    assert total_lines(totals) == changes(totals) == []
    html = write_report(tmp_path, ReportInputs(ds, totals=totals)).read_text()
    assert "Soil organic carbon, 5–15 cm" in html
    assert "Scenario runs" not in html


def test_products_are_named_by_scenario_and_year(tmp_path: Path) -> None:
    ds = fake_scenarios(years=(1960, 2030))
    products = export_cogs(ds, tmp_path)
    names = {p.name for p in products}
    assert {"stock_bau_0-30cm_mean_2030", "stock_plus10_0-30cm_Q0.05_1960", "status"} <= names
    with rasterio.open(tmp_path / "stock_plus10_0-30cm_mean_2030.tif") as file:
        expected = ds["stock_plus10_mean"].sel(year=2030).values[0]
        np.testing.assert_array_equal(file.read(1), expected)
        assert file.tags()["scenario"].startswith("Carbon input held")
        assert file.tags(1)["year"] == "2030"
    collection = json.loads(write_stac(ds, products, tmp_path, name="process").read_text())
    assert "no hindcast or forecast" in collection["description"]
    assert collection["edaphos:scenario"].startswith("Carbon input held")
    items = [link for link in collection["links"] if link["rel"] == "item"]
    found = {}
    for link in items:
        item = json.loads((tmp_path / link["href"]).read_text())
        found[item["properties"]["start_datetime"][:4]] = set(item["assets"])
    assert set(found) == {"1960", "2030"}
    assert "stock_bau_0-30cm_mean_2030" in found["2030"] - found["1960"]
