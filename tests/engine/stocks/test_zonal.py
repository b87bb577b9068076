"""Totals by zone against direct sums, areas, and zones whose shape is known."""

from __future__ import annotations

import math

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.stocks.content import with_stocks
from edaphos.engine.stocks.error_range import ErrorRange
from edaphos.engine.stocks.zonal import NOWHERE, WHOLE, zonal_totals
from edaphos.engine.stocks.zones import open_zones

from ..maps import fake_arms, fake_map, fake_scenarios, homolosine_patch

GLOBE = Grid.preset("global-1deg")


def write(path, shapes, names, crs="EPSG:4326", column="country"):
    table = geopandas.GeoDataFrame({column: names}, geometry=shapes, crs=crs)
    table.to_file(path, driver="GPKG" if path.suffix == ".gpkg" else "GeoJSON")
    return path


@pytest.fixture
def quarters(tmp_path):
    """Four quarters of the world but for a strip, which is in no zone."""
    shapes = [
        shapely.box(w, s, w + 180, s + 85) for w, s in ((-180, -85), (-180, 0), (0, -85), (0, 0))
    ]
    return write(tmp_path / "quarters.geojson", shapes, ["sw", "nw", "se", "ne"])


def stored(values: np.ndarray) -> np.ndarray:
    """Return what the map stores, whole steps of 0.002, of which float32 is a rounding."""
    return np.rint(values.astype(np.float64) / 0.002) * 0.002


def direct(values: np.ndarray, grid: Grid, where: np.ndarray) -> tuple[float, float]:
    """Area (km²) and total (Pg) by one sum in floating point."""
    areas = np.broadcast_to(grid.cell_areas(grid.whole), values.shape)
    use = np.isfinite(values) & where
    return math.fsum(areas[use]) / 1e6, math.fsum(areas[use] * values[use]) * 1e-12


def test_quarters_agree_with_direct_sums(quarters):
    ds = fake_scenarios(GLOBE, paddy=False)
    table = zonal_totals(ds, open_zones(quarters, GLOBE), variables=["stock_bau"]).table
    lon, lat = np.meshgrid(GLOBE.whole.x, GLOBE.whole.y)
    where = {
        WHOLE: np.ones(lon.shape, bool),
        "sw": (lon < 0) & (lat < 0) & (lat > -85),
        "ne": (lon > 0) & (lat > 0) & (lat < 85),
        NOWHERE: abs(lat) > 85,
    }
    for t, year in enumerate((1960, 2010, 2030)):
        values = stored(ds["stock_bau_mean"].values[0, t])
        for zone, here in where.items():
            rows = table[(table["zone"] == zone) & (table["year"] == year)]
            rows = rows[rows["depth"] == rows["depth"].iloc[0]] if len(rows) else rows
            area, total = direct(values, GLOBE, here)
            if not total:
                assert rows.empty
                continue
            row = rows.iloc[0]
            assert row["area_km2"] == pytest.approx(area, rel=1e-9)
            assert row["total_pg"] == pytest.approx(total, rel=1e-9)
            assert row["mean_kg_m2"] == pytest.approx(total / area * 1e6, rel=1e-9)
    whole = table[table["zone"] == WHOLE]["total_pg"].to_numpy()
    parts = table[table["zone"] != WHOLE].groupby(["depth", "year"])["total_pg"].sum()
    assert sorted(parts) == pytest.approx(sorted(whole), rel=1e-12)


@pytest.mark.parametrize("grid", [GLOBE, homolosine_patch()], ids=["degrees", "homolosine"])
def test_one_kilogram_everywhere_is_the_area_of_the_land(grid, quarters):
    ds = fake_scenarios(grid, years=(2000,), scenarios=("one",))
    land = np.isfinite(ds["stock_one_mean"].values)
    ones = xr.where(land, np.float32(1.0), np.float32(np.nan))
    ds["stock_one_mean"] = ds["stock_one_mean"].copy(data=ones)
    ds = ds.drop_vars([v for v in ds if "co2" in str(v)])
    row = zonal_totals(ds, open_zones(quarters, grid)).table.iloc[0]
    areas = np.broadcast_to(grid.cell_areas(grid.whole), land.shape[-2:])[land[0, 0]]
    assert row["total_pg"] * 1e6 == pytest.approx(row["area_km2"], rel=1e-12)
    assert row["area_km2"] == pytest.approx(math.fsum(areas) / 1e6, rel=1e-9)


@settings(max_examples=3, deadline=None)
@given(block=st.integers(40, 400), name=st.sampled_from(["degrees", "homolosine", "mercator"]))
def test_cutting_the_map_changes_nothing(block, name, tmp_path_factory):
    grid = {
        "degrees": GLOBE,
        "homolosine": homolosine_patch(),
        "mercator": Grid.from_bounds("EPSG:3857", (0, 4e6, 2e6, 6e6), 20_000.0),
    }[name]
    file = tmp_path_factory.mktemp("zones") / "blobs.gpkg"
    rng = np.random.default_rng(1)
    spots = [shapely.Point(*rng.uniform(-40, 60, 2)).buffer(rng.uniform(3, 12)) for _ in range(9)]
    write(file, spots, [f"z{i % 5}" for i in range(9)])
    ds = fake_arms(grid, years=(1990, 2000))
    found = [
        zonal_totals(
            ds, open_zones(file, grid), reach=ErrorRange.of(300, 0.3), draws=20, block=size
        )
        for size in (block, 4096)
    ]
    assert found[0].table.equals(found[1].table)
    assert found[0].notes == found[1].notes


def test_a_country_has_the_area_that_geodesy_gives_it(tmp_path):
    """A cell centre decides; on a fine grid the area is that of the polygon."""
    spot = shapely.Point(12.3, 47.1).buffer(2.0)
    file = write(tmp_path / "spot.gpkg", [spot], ["spot"])
    grid = Grid.from_bounds("EPSG:4326", (9, 44, 16, 50), 1 / 60)
    zones = open_zones(file, grid)
    inside = zones.codes[slice(0, 360), slice(0, 420)] == 0
    areas = np.broadcast_to(grid.cell_areas(grid.whole), grid.shape)
    exact = geopandas.GeoSeries([spot], crs=4326).to_crs("+proj=cea +datum=WGS84").area[0]
    assert areas[inside].sum() == pytest.approx(exact, rel=1e-3)


def test_polygons_of_another_crs_hold_the_same_cells(tmp_path):
    spots = [shapely.Point(x, 10.2).buffer(4.0) for x in (0.0, 12.0)]
    near = write(tmp_path / "a.gpkg", spots, ["a", "b"])
    dense = [shapely.segmentize(spot, 0.05) for spot in spots]
    projected = geopandas.GeoSeries(dense, crs=4326).to_crs("+proj=cea +datum=WGS84")
    far = write(tmp_path / "b.gpkg", list(projected), ["a", "b"], crs=projected.crs)
    grid = Grid.from_bounds("EPSG:4326", (-10, 0, 20, 20), 0.25)
    whole = (slice(0, 80), slice(0, 120))
    one, other = open_zones(near, grid).codes[whole], open_zones(far, grid).codes[whole]
    assert (one != other).mean() < 2e-4  # centres within a hair of a border
    assert (one == 1).sum() > 500


def test_overlapping_zones_are_told_and_the_first_has_the_cell(tmp_path):
    shapes = [shapely.box(0, 0, 10, 10), shapely.box(5, 0, 15, 10), shapely.box(0, 0, 3, 3)]
    file = write(tmp_path / "over.gpkg", shapes, ["a", "b", "a"])
    zones = open_zones(file, GLOBE)
    codes = zones.codes[slice(80, 90), slice(180, 196)]
    assert (codes == 0).sum() == 100
    assert (codes == 1).sum() == 50
    assert "50 cells lie in more than one zone" in zones.note


def write_classes(path, values: np.ndarray, nodata: float) -> None:
    height, width = values.shape
    profile = {"driver": "GTiff", "count": 1, "height": height, "width": width, "nodata": nodata}
    at = from_origin(-180, 90, 360 / width, 180 / height)
    with rasterio.open(
        path, "w", dtype=values.dtype, crs="EPSG:4326", transform=at, **profile
    ) as out:
        out.write(values, 1)


def test_classes_of_a_raster(tmp_path):
    file, legend = tmp_path / "classes.tif", tmp_path / "legend.csv"
    classes = np.repeat(np.arange(4, dtype=np.uint8), 180)[None, :].repeat(360, 0)
    write_classes(file, classes, 0)
    legend.write_text("code,name\n1,one\n2,two\n3,three\n")
    ds = fake_scenarios(GLOBE, years=(2000,), scenarios=("a",), paddy=False)
    table = zonal_totals(ds, open_zones(file, GLOBE, legend=legend), variables=["stock_a"]).table
    values, lon = stored(ds["stock_a_mean"].values[0, 0]), GLOBE.whole.x[None, :]
    first = table[table["depth"] == table["depth"].iloc[0]].set_index("zone")
    for zone, west in (("one", -90), ("two", 0), ("three", 90)):
        _, total = direct(values, GLOBE, (lon > west) & (lon < west + 90) & (values == values))
        assert first.loc[zone, "total_pg"] == pytest.approx(total, rel=1e-9)
    assert "class 1" in set(zonal_totals(ds, open_zones(file, GLOBE)).table["zone"])
    # the same in floats, as some are published; amounts are refused
    real = classes.astype("float32")
    real[classes == 0] = np.nan
    write_classes(tmp_path / "real.tif", real, np.nan)
    block = (slice(0, 180), slice(0, 360))
    codes = open_zones(tmp_path / "real.tif", GLOBE).codes[block]
    np.testing.assert_array_equal(codes, open_zones(file, GLOBE).codes[block])
    write_classes(tmp_path / "amounts.tif", real + 0.5, np.nan)
    with pytest.raises(InputError, match="raster of amounts"):
        open_zones(tmp_path / "amounts.tif", GLOBE).codes[block]


def test_change_between_two_years_with_its_interval(quarters):
    ds = fake_arms(GLOBE, years=(1990, 1995, 2000))
    zones = open_zones(quarters, GLOBE)
    found = zonal_totals(ds, zones, years=(1990, 2000), reach=ErrorRange.of(500, 0.2), draws=150)
    table = found.table.set_index(["quantity", "zone", "year"]).sort_index()
    then, now = (table.loc[("stock_poml", "ne", y)]["total_pg"] for y in (1990, 2000))
    change = table.loc[("change_poml", "ne", 2000)]
    assert change["since"] == 1990
    assert change["total_pg"] == pytest.approx(now - then, abs=1e-3)
    assert change["total_low"] < change["total_pg"] < change["total_high"]
    # bounds of cells, added, are the interval of wholly dependent errors: far too wide
    low = ds["change_poml_mean"].values[0, 2] - ds["change_poml_q05"].values[0, 2]
    lon, lat = np.meshgrid(GLOBE.whole.x, GLOBE.whole.y)
    _, added = direct(low.astype(float), GLOBE, (lon > 0) & (lat > 0) & (lat < 85))
    assert 0.05 * added < change["total_pg"] - change["total_low"] < 0.6 * added
    forest = table.loc[("change_ml", "ne", 2000)]
    assert math.isnan(forest["total_low"])  # the map has no bounds of it
    later = zonal_totals(ds, zones, years=(1995, 2000), reach=ErrorRange.of(500, 0.2), draws=20)
    rows = later.table[later.table["since"].notna()]
    assert rows["total_low"].isna().all()
    assert any("Changes have no interval" in note for note in later.notes)


def test_layers_add_up_to_the_column(quarters):
    ds = with_stocks(fake_map(GLOBE, depths=((0, 5), (5, 15))), "1.3", density_sd=0.1)
    zones, reach = open_zones(quarters, GLOBE), ErrorRange.of(500)
    table = zonal_totals(ds, zones, reach=reach, draws=50).table.set_index(["zone", "depth"])
    for zone in ("ne", WHOLE):
        column = table.loc[(zone, "0-15cm")]
        parts = [table.loc[(zone, depth)] for depth in ("0-5cm", "5-15cm")]
        for name in ("total_pg", "total_low", "total_high"):
            assert column[name] == pytest.approx(sum(part[name] for part in parts), rel=1e-12)
        mean = column["total_high"] / column["area_km2"] * 1e6
        assert column["mean_high"] == pytest.approx(mean, rel=1e-12)
    bare = zonal_totals(ds, zones).table
    assert bare[["total_low", "total_high"]].isna().all(axis=None)


def test_a_column_whose_depths_differ_in_area_has_the_sum_of_their_means(quarters):
    ds = with_stocks(fake_map(GLOBE, depths=((0, 5), (5, 15))), "1.3")
    ds["soc_mean"][1, :, :, 90:] = np.nan
    ds = with_stocks(ds.drop_vars("stock_mean"), "1.3")
    table = zonal_totals(ds, open_zones(quarters, GLOBE)).table.set_index(["zone", "depth"])
    column, *parts = (table.loc[("whole map", d)] for d in ("0-15cm", "0-5cm", "5-15cm"))
    assert parts[1]["area_km2"] < 0.7 * parts[0]["area_km2"]
    assert column["mean_kg_m2"] == pytest.approx(sum(p["mean_kg_m2"] for p in parts))
    assert column["total_pg"] == pytest.approx(sum(p["total_pg"] for p in parts))


def test_wholly_dependent_errors_add_up_to_the_bounds(quarters):
    ds = fake_arms(GLOBE, years=(1990, 2000))
    zones = open_zones(quarters, GLOBE)
    wide = zonal_totals(
        ds, zones, variables=["stock_poml"], reach=ErrorRange.of(40_000), draws=600
    ).table.iloc[0]
    values = {n: ds[f"stock_poml_{n}"].values[0, 0].astype(float) for n in ("mean", "q05", "q95")}
    everywhere = np.ones(GLOBE.shape, bool)
    width = (
        direct(values["q95"], GLOBE, everywhere)[1] - direct(values["q05"], GLOBE, everywhere)[1]
    )
    assert wide["total_high"] - wide["total_low"] == pytest.approx(width, rel=0.2)


def test_what_cannot_be_totalled_is_said(quarters, tmp_path):
    zones = open_zones(quarters, GLOBE)
    with pytest.raises(InputError, match="--density"):
        zonal_totals(fake_map(GLOBE), zones)
    ds = fake_arms(GLOBE, years=(1990, 2000))
    pole = write(tmp_path / "pole.gpkg", [shapely.box(0, -90, 9, -85)], ["pole"])
    notes = zonal_totals(ds, open_zones(pole, GLOBE)).notes
    assert "do they overlap the map?" in notes[0]
    with pytest.raises(InputError, match="no variable of means"):
        zonal_totals(ds, zones, variables=["stok_poml"])
    with pytest.raises(InputError, match="no year 1991"):
        zonal_totals(ds, zones, years=(1991, 2000))
    with pytest.raises(InputError, match="earlier first"):
        zonal_totals(ds, zones, years=(2000, 1990))
    with pytest.raises(InputError, match='no column "land"'):
        open_zones(quarters, GLOBE, column="land")
    with pytest.raises(InputError, match="no such file"):
        open_zones(tmp_path / "none.gpkg", GLOBE)
    points = write(tmp_path / "points.gpkg", [shapely.Point(0, 0)], ["a"])
    with pytest.raises(InputError, match="expected polygons"):
        open_zones(points, GLOBE)
