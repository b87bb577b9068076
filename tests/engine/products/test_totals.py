from __future__ import annotations

import json
import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from edaphos.engine.grid import Grid
from edaphos.engine.products.report_head import key_numbers
from edaphos.engine.products.report_tables import status_table, totals_tables
from edaphos.engine.products.totals import map_totals, stock_by_status
from edaphos.engine.status import Status

from ..maps import fake_map, homolosine_patch

TWO = ((0, 5), (5, 15))
GRIDS = {
    "geographic": Grid.preset("global-1deg"),
    "homolosine": homolosine_patch(),
    "mercator": Grid.from_bounds("EPSG:3857", (0, 4e6, 2e6, 6e6), 20_000.0),
}


def plain_mean(ds: xr.Dataset, grid: Grid, keep: np.ndarray | None = None) -> tuple[float, float]:
    """Area in km² and area-weighted mean by one floating-point sum over everything."""
    values = ds["soc_mean"].values[0, 0].astype(float)
    areas = np.broadcast_to(grid.cell_areas(grid.whole), values.shape)
    use = np.isfinite(values) & (True if keep is None else keep)
    return math.fsum(areas[use]) / 1e6, math.fsum(areas[use] * values[use]) / math.fsum(areas[use])


@pytest.mark.parametrize("name", GRIDS)
def test_equal_to_a_plain_weighted_mean(name: str) -> None:
    grid = GRIDS[name]
    ds = fake_map(grid, depths=TWO)
    row = map_totals(ds).select("all")[0]
    area, mean = plain_mean(ds, grid)
    assert row.depth == "0-5cm"
    assert row.cells == int(np.isfinite(ds["soc_mean"].values[0, 0]).sum())
    assert row.area_km2 == pytest.approx(area, rel=1e-6)
    assert row.mean == pytest.approx(mean, rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(block=st.integers(1, 200).filter(lambda b: b > 11), name=st.sampled_from(sorted(GRIDS)))
def test_cutting_the_map_does_not_change_a_digit(block: int, name: str) -> None:
    ds = fake_map(GRIDS[name], depths=TWO[:1])
    assert map_totals(ds, block=block) == map_totals(ds, block=4096)


def test_statuses_and_zones_partition_the_whole() -> None:
    grid = GRIDS["geographic"]
    ds = fake_map(grid, depths=TWO)
    zones = np.broadcast_to((np.arange(360) // 90)[None, :], grid.shape)
    totals = map_totals(ds, zones=zones, zone_names={0: "A", 1: "B", 2: "C", 3: "D"})
    for by in ("status", "zone"):
        for whole in totals.select("all"):
            parts = [r for r in totals.select(by) if r.depth == whole.depth]
            assert sum(p.cells for p in parts) == whole.cells
            assert sum(p.area_km2 for p in parts) == pytest.approx(whole.area_km2, rel=1e-12)
            weighted = sum(p.area_km2 * p.mean for p in parts) / whole.area_km2
            assert weighted == pytest.approx(whole.mean, rel=1e-12)
    _, expected = plain_mean(ds, grid, zones == 2)
    assert next(r for r in totals.select("zone") if r.group == "C").mean == pytest.approx(expected)


def test_the_area_of_a_small_map_is_told_in_a_unit_that_suits_it() -> None:
    grid = Grid.from_bounds("EPSG:32633", (0, 0, 90_000, 60_000), 3_000.0)
    ds = fake_map(grid, depths=TWO)
    ds["soc_mean"].values[:] = 20.0
    totals = map_totals(ds)
    whole = totals_tables(totals)[0]
    assert whole.columns[2] == "area, km²"
    assert whole.rows[0][2] == f"{totals.rows[0].area_km2:,.0f}"
    said = next(n for n in key_numbers(ds, None, {}, totals) if n.label == "Land cells mapped")
    assert said.about == f"{whole.rows[0][2]} km²"


def test_unnamed_zones_are_left_out() -> None:
    ds = fake_map(GRIDS["geographic"], depths=TWO[:1])
    zones = np.zeros(GRIDS["geographic"].shape, int)
    zones[:, 180:] = 99
    totals = map_totals(ds, zones=zones, zone_names={0: "west"})
    assert [r.group for r in totals.select("zone")] == ["west"]


def test_content_has_no_total_and_quantiles_are_never_summed() -> None:
    totals = map_totals(fake_map(GRIDS["geographic"], depths=TWO))
    assert all(r.total_pg is None for r in totals.rows)
    assert {r.variable for r in totals.rows} == {"soc_mean"}
    assert "no total" in totals.note


def test_a_uniform_stock_times_the_area_of_the_earth() -> None:
    ds = fake_map(GRIDS["geographic"], depths=((0, 30),))
    stock = ds.drop_vars(["soc_q05", "soc_q95"]).rename({"soc_mean": "stock_mean"})
    stock["stock_mean"].values[:] = 2.0
    stock["stock_mean"].attrs["units"] = "kg m-2"
    stock["stock_mean"].encoding["scale_factor"] = 0.002
    row = map_totals(stock).select("all")[0]
    earth_km2 = 510_065_621.724  # WGS 84, Moritz 2000, Geodetic Reference System
    assert row.area_km2 == pytest.approx(earth_km2, rel=1e-9)
    assert row.total_pg == pytest.approx(2.0 * earth_km2 * 1e6 / 1e12, rel=1e-9)


def test_totals_become_json() -> None:
    totals = map_totals(fake_map(GRIDS["geographic"], depths=TWO[:1]))
    assert json.loads(json.dumps(totals.to_json()))["rows"][0]["depth"] == "0-5cm"


@pytest.mark.parametrize("name", GRIDS)
def test_a_given_stock_by_status(name: str) -> None:
    """With and without the cells that a map leaves out, equal to plain sums."""
    grid = GRIDS[name]
    ds = fake_map(grid, depths=TWO[:1])
    given = np.random.default_rng(5).uniform(0, 20, grid.shape).astype(np.float32)
    given[::7] = np.nan
    found = stock_by_status(ds, lambda where: given[where], block=50)
    assert found == stock_by_status(ds, lambda where: given[where], block=4096)
    areas = np.broadcast_to(grid.cell_areas(grid.whole), grid.shape)
    status = ds["status"].values
    for code in np.unique(status):
        use = np.isfinite(given) & (status == code)
        plain = math.fsum(areas[use] * given[use]) * 1e-12
        assert found[Status(int(code)).words] == pytest.approx(plain, rel=1e-3)
    assert found["all"] == pytest.approx(math.fsum(v for k, v in found.items() if k != "all"))
    table = status_table({s.meaning: 1 for s in (Status.SOIL, Status.WATER)}, found)
    assert table is not None
    assert f"{found['soil']:,.2f} Pg with the soils left out" in table.note
