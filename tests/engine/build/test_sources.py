"""Every kind of file is read in one order; what could be read in two ways is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edaphos.engine.build.native import Rect
from edaphos.engine.build.sources import hash_file, open_source, source_files
from edaphos.engine.build.spec import LayerSpec
from edaphos.engine.errors import InputError

from ..build_sources import centres, dataset, globe, layer, opened, whole, write_tif

GLOBE = Affine(10, 0, -180, 0, -10, 90)
GLOBAL = {"bounds": (-180.0, -90.0, 180.0, 90.0), "crs": "EPSG:4326"}
VALUES = globe()
LON, LAT = centres(VALUES)


def write(folder: Path, kind: str) -> LayerSpec:
    """Write the same globe in a format or oddity, and return the layer that declares it."""
    if kind == "geotiff":
        write_tif(folder / "g.tif", VALUES)
        return layer("g.tif")
    if kind == "geotiff-nodata":
        write_tif(folder / "g.tif", np.nan_to_num(VALUES, nan=-9999), nodata=-9999)
        return layer("g.tif")
    if kind == "geotiff-second-band":
        write_tif(folder / "g.tif", np.stack([VALUES * 0, VALUES]))
        return layer("g.tif", band=2)
    if kind == "geotiff-360":
        write_tif(folder / "g.tif", np.roll(VALUES, 18, axis=1), Affine(10, 0, 0, 0, -10, 90))
        return layer("g.tif", longitudes="0-360")
    if kind == "geotiff-south-up":
        write_tif(folder / "g.tif", VALUES[::-1].copy(), Affine(10, 0, -180, 0, 10, -90))
        return layer("g.tif", rows="south-up")
    if kind == "geotiff-no-crs":
        write_tif(folder / "g.tif", VALUES, crs=None)
        return layer("g.tif", crs="EPSG:4326")
    if kind == "geotiff-bounds":
        write_tif(folder / "g.tif", VALUES, Affine(10, 0, -175, 0, -10, 85))
        return layer("g.tif", **GLOBAL)
    if kind == "csv":
        np.savetxt(folder / "g.csv", np.nan_to_num(VALUES, nan=99999), delimiter=",")
        return layer("g.csv", **GLOBAL)
    if kind == "zarr2":
        dataset(VALUES).to_zarr(folder / "g.zarr", zarr_format=2)
        return layer("g.zarr")
    if kind == "zarr3":
        dataset(VALUES).to_zarr(folder / "g.zarr", zarr_format=3, consolidated=False)
        return layer("g.zarr")
    made, declared = {
        "netcdf": (dataset(VALUES), {}),
        "netcdf-ascending": (dataset(VALUES[::-1], lat=LAT[::-1]), {}),
        "netcdf-descending-longitudes": (dataset(VALUES[:, ::-1], lon=LON[::-1]), {}),
        "netcdf-360": (
            dataset(np.roll(VALUES, 18, axis=1), lon=LON + 180),
            {"longitudes": "0-360"},
        ),
        "netcdf-shifted-and-repeated": (
            dataset(
                np.concatenate([VALUES[:, 20:], VALUES[:, :21]], axis=1),
                lon=25.0 + 10 * np.arange(37),
                lat=LAT,
            ),
            {"longitudes": "shifted"},
        ),
        "netcdf-lower-left": (
            dataset(VALUES, lon=LON - 5, lat=LAT - 5),
            {"cells": "corner-lower-left"},
        ),
        "netcdf-upper-left": (
            dataset(VALUES, lon=LON - 5, lat=LAT + 5),
            {"cells": "corner-upper-left"},
        ),
        "netcdf-lon-lat-order": (dataset(VALUES).transpose("lon", "lat"), {}),
        "netcdf-swapped": (
            dataset(VALUES.T, lon=LAT, lat=LON, dims=("lat", "lon")),
            {"swapped_axes": True},
        ),
    }[kind.removesuffix("-3")]
    form = "NETCDF3_64BIT" if kind.endswith("-3") else "NETCDF4"
    made.to_netcdf(folder / "g.nc", format=form)
    return layer("g.nc", **declared)


KINDS = [
    "geotiff", "geotiff-nodata", "geotiff-second-band", "geotiff-360", "geotiff-south-up",
    "geotiff-no-crs", "geotiff-bounds", "csv", "zarr2", "zarr3", "netcdf", "netcdf-3",
    "netcdf-ascending", "netcdf-ascending-3", "netcdf-descending-longitudes", "netcdf-360",
    "netcdf-shifted-and-repeated", "netcdf-lower-left", "netcdf-upper-left",
    "netcdf-lon-lat-order", "netcdf-swapped",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_all_files_show_the_same_globe(tmp_path: Path, kind: str) -> None:
    source = opened(tmp_path, write(tmp_path, kind))
    assert source.geobox.shape == (18, 36)
    np.testing.assert_allclose(source.geobox.affine[:6], GLOBE[:6], atol=1e-9)
    expected = np.nan_to_num(VALUES, nan=99999) if kind == "csv" else VALUES
    np.testing.assert_allclose(whole(source), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "kind",
    ["geotiff-360", "geotiff-south-up", "netcdf-shifted-and-repeated", "netcdf-swapped", "csv",
     "netcdf-descending-longitudes", "zarr3"],
)  # fmt: skip
def test_windows_are_parts_of_the_whole(tmp_path: Path, kind: str) -> None:
    source = opened(tmp_path, write(tmp_path, kind))
    full = whole(source)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 17), st.integers(1, 18), st.integers(0, 35), st.integers(1, 36))
    def check(row: int, height: int, col: int, width: int) -> None:
        rect = Rect(row, min(row + height, 18), col, min(col + width, 36))
        part = source.read(0, rect)
        assert part.dtype == np.float32
        assert part.shape == rect.shape
        np.testing.assert_array_equal(part, full[rect.row0 : rect.row1, rect.col0 : rect.col1])

    check()


def test_reordering_is_noted(tmp_path: Path) -> None:
    def notes(kind: str) -> tuple[str, ...]:
        folder = tmp_path / kind
        folder.mkdir()
        return opened(folder, write(folder, kind)).layout.notes

    assert notes("netcdf-ascending") == ("rows stored from south to north: reordered",)
    turned = notes("netcdf-shifted-and-repeated")
    assert any("1 column(s) that repeat the first" in note for note in turned)
    assert any("rolled to start at -180" in note for note in turned)
    assert notes("geotiff") == ()


UNDECLARED = {
    "geotiff-360": 'longitudes run from 5 to 355.*longitudes = "0-360"',
    "netcdf-360": 'longitudes run from 5 to 355.*longitudes = "0-360"',
    "netcdf-shifted-and-repeated": 'longitudes run from 25 to 385.*longitudes = "shifted"',
    "geotiff-south-up": 'rows run from south to north.*rows = "south-up"',
    "geotiff-no-crs": "no CRS found.*EPSG:4326",
    "netcdf-lower-left": "corners of cells.*beyond the south pole.*corner-lower-left",
    "netcdf-upper-left": "corners of cells.*beyond the north pole.*corner-upper-left",
    "netcdf-swapped": "latitude runs from -175 to 175.*swapped_axes = true",
    "csv": "no georeference; declare bounds",
}


@pytest.mark.parametrize("kind", UNDECLARED)
def test_an_undeclared_oddity_is_named(tmp_path: Path, kind: str) -> None:
    spec = write(tmp_path, kind)
    plain = layer(spec.file)
    with pytest.raises(InputError, match=f'layer "t", {spec.file}.*{UNDECLARED[kind]}'):
        open_source(plain, tmp_path)


@pytest.mark.parametrize(
    ("kind", "declared", "message"),
    [
        ("geotiff", {"longitudes": "0-360"}, "declared longitudes.*remove the line"),
        ("geotiff", {"rows": "south-up"}, "declared rows.*remove the line"),
        ("geotiff", {"crs": "EPSG:3857"}, "declared crs.*remove the line"),
        ("geotiff", {"cells": "corner-lower-left"}, "cells .* is declared.*remove the line"),
        ("geotiff", {"band": 2}, "band = 2, but the file has 1"),
        ("geotiff", {"crs": "nonsense"}, "not a known CRS"),
        ("geotiff", {"time": "monthly"}, 'time = "monthly" expects 12 step.*found 1'),
        ("netcdf", {"variable": "temp"}, "no variable \"temp\".*the file holds t"),
        ("netcdf", {"variable": ""}, "variable is not declared.*the file holds t"),
        ("netcdf", {"select": (("depth", 1.0),)}, "select names depth; found lat, lon"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_named(tmp_path, kind, declared, message) -> None:
    spec = write(tmp_path, kind)
    with pytest.raises(InputError, match=message):
        open_source(layer(spec.file, **declared), tmp_path)


def test_a_geotiff_half_a_cell_off_is_named(tmp_path: Path) -> None:
    write_tif(tmp_path / "g.tif", VALUES, Affine(10, 0, -185, 0, -10, 95))
    with pytest.raises(InputError, match=r"beyond one pole.*Declare bounds"):
        open_source(layer("g.tif"), tmp_path)


def test_corner_labels_of_a_projected_file_are_honoured(tmp_path: Path) -> None:
    x, y = 500_000 + 1000.0 * np.arange(4), 6e6 + 1000.0 * np.arange(3)
    made = xr.Dataset(
        {"t": (("y", "x"), np.arange(12, dtype="f4").reshape(3, 4))},
        coords={
            "x": ("x", x, {"standard_name": "projection_x_coordinate", "units": "m"}),
            "y": ("y", y, {"standard_name": "projection_y_coordinate", "units": "m"}),
        },
    ).rio.write_crs("EPSG:32633")
    made.to_netcdf(tmp_path / "g.nc")
    centred = opened(tmp_path, layer("g.nc"))
    assert centred.geobox.crs.to_epsg() == 32633
    assert centred.geobox.affine[:6] == (1000, 0, 499_500, 0, -1000, 6_002_500)
    corner = opened(tmp_path, layer("g.nc", cells="corner-lower-left"))
    assert corner.geobox.affine[:6] == (1000, 0, 500_000, 0, -1000, 6_003_000)
    np.testing.assert_array_equal(whole(corner), np.arange(12).reshape(3, 4)[::-1])


def test_regional_longitudes_beyond_180_are_moved(tmp_path: Path) -> None:
    values = np.arange(12, dtype="f4").reshape(3, 4)
    write_tif(tmp_path / "g.tif", values, Affine(1, 0, 200, 0, -1, 10))
    moved = opened(tmp_path, layer("g.tif", longitudes="0-360"))
    assert moved.geobox.affine[:6] == (1, 0, -160, 0, -1, 10)
    np.testing.assert_array_equal(whole(moved), values)
    write_tif(tmp_path / "h.tif", values, Affine(1, 0, 178, 0, -1, 10))
    with pytest.raises(InputError, match="across the antimeridian"):
        open_source(layer("h.tif", longitudes="0-360"), tmp_path)


def test_an_unevenly_spaced_axis_is_refused(tmp_path: Path) -> None:
    lat = LAT.copy()
    lat[3] += 1
    dataset(VALUES, lat=lat).to_netcdf(tmp_path / "g.nc")
    with pytest.raises(InputError, match=r"lat is not evenly spaced.*warp"):
        open_source(layer("g.nc"), tmp_path)


def test_coordinates_rounded_to_float32_are_made_exact(tmp_path: Path) -> None:
    step = np.float32(1 / 3)
    lon = (np.float32(-180) + step * (np.arange(1080) + np.float32(0.5))).astype("f4")
    lat = (np.float32(90) - step * (np.arange(540) + np.float32(0.5))).astype("f4")
    dataset(np.zeros((540, 1080), "f4"), lon=lon, lat=lat).to_netcdf(tmp_path / "g.nc")
    source = opened(tmp_path, layer("g.nc"))
    np.testing.assert_allclose(source.geobox.affine[:6], (1 / 3, 0, -180, 0, -1 / 3, 90), rtol=0)
    assert source.layout.wraps


# -- files that are absent or broken --------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"g\.tif does not exist"):
        open_source(layer("g.tif"), tmp_path)


@pytest.mark.parametrize("kind", ["geotiff", "netcdf", "netcdf-3", "csv"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, kind: str, kept: float) -> None:
    spec = write(tmp_path, kind)
    path = tmp_path / spec.file
    data = path.read_bytes()
    path.write_bytes(data[: round(kept * len(data))])
    with pytest.raises(InputError, match=f'layer "t".*{spec.file}'):
        whole(opened(tmp_path, spec))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    for name in ("g.tif", "g.nc"):
        (tmp_path / name).write_text("no raster at all\n" * 100)
        with pytest.raises(InputError, match="cannot be read"):
            open_source(layer(name), tmp_path)


def test_a_csv_of_words_or_ragged_rows_is_refused(tmp_path: Path) -> None:
    for text in ("1,2\n3\n", "a,b\n1,2\n"):
        (tmp_path / "g.csv").write_text(text)
        with pytest.raises(InputError, match="rows of comma-separated numbers"):
            open_source(layer("g.csv", **GLOBAL), tmp_path)


# -- time -----------------------------------------------------------------------------------------

MONTHS = globe(months=12, seed=1)


def test_twelve_months_from_bands_files_and_a_time_axis(tmp_path: Path) -> None:
    write_tif(tmp_path / "all.tif", MONTHS)
    for month in range(12):
        write_tif(tmp_path / f"m{month + 1:02d}.tif", MONTHS[month])
        dataset(MONTHS[month]).to_netcdf(tmp_path / f"m{month + 1:02d}.nc")
    dataset(MONTHS).to_netcdf(tmp_path / "all.nc")
    named = tuple(f"m{month:02d}.tif" for month in range(1, 13))
    specs = [
        layer("all.tif", time="monthly"),
        layer("m{month:02d}.tif", time="monthly"),
        layer(named[0], time="monthly", files=named),
        layer("all.nc", time="monthly"),
        layer("m{month:02d}.nc", time="monthly"),
    ]
    for spec in specs:
        source = opened(tmp_path, spec)
        assert source.steps == 12
        for month in (0, 6, 11):
            np.testing.assert_array_equal(whole(source, month), MONTHS[month])


def test_years_from_a_pattern(tmp_path: Path) -> None:
    for year in (1990, 2000):
        write_tif(tmp_path / f"y{year}.tif", VALUES + year)
    source = opened(tmp_path, layer("y{year}.tif", time="yearly", years=(1990, 2000)))
    np.testing.assert_array_equal(whole(source, 1), VALUES + 2000)
    with pytest.raises(InputError, match=r"y2010\.tif does not exist"):
        open_source(layer("y{year}.tif", time="yearly", years=(1990, 2010)), tmp_path)


@pytest.mark.parametrize(
    ("file", "known"),
    [
        ("y{year}.tif", {}),
        ("y{year}.tif", {"time": "monthly"}),
        ("m{month:02d}.tif", {}),
        ("m{month}_{year}.tif", {"time": "monthly"}),
    ],
)
def test_a_pattern_that_does_not_fit_the_time_axis_is_named(tmp_path, file, known) -> None:
    with pytest.raises(InputError, match=r'layer "t": file = .*time = '):
        open_source(layer(file, **known), tmp_path)


@pytest.mark.parametrize("months", [11, 13])
def test_a_wrong_number_of_months_is_named(tmp_path: Path, months: int) -> None:
    values = globe(months=months)
    write_tif(tmp_path / "g.tif", values)
    dataset(values).to_netcdf(tmp_path / "g.nc")
    for name in ("g.tif", "g.nc"):
        with pytest.raises(InputError, match=f"expects 12 step.*found {months}"):
            open_source(layer(name, time="monthly"), tmp_path)


def test_months_that_do_not_begin_in_january_are_named(tmp_path: Path) -> None:
    dates = pd.date_range("2000-12-01", periods=12, freq="MS")
    dataset(MONTHS, time=dates).to_netcdf(tmp_path / "dates.nc")
    dataset(MONTHS, time=np.roll(np.arange(1, 13), 1)).to_netcdf(tmp_path / "numbers.nc")
    for name in ("dates.nc", "numbers.nc"):
        with pytest.raises(InputError, match=r"time holds months .*expected .1, 2"):
            open_source(layer(name, time="monthly"), tmp_path)
    dataset(MONTHS, time=pd.date_range("2000-01-01", periods=12, freq="MS")).to_netcdf(
        tmp_path / "good.nc"
    )
    assert open_source(layer("good.nc", time="monthly"), tmp_path).steps == 12


def test_years_that_the_file_does_not_hold_are_named(tmp_path: Path) -> None:
    dataset(MONTHS[:2], time=np.array([1990, 2000])).to_netcdf(tmp_path / "g.nc")
    assert open_source(layer("g.nc", time="yearly", years=(1990, 2000)), tmp_path).steps == 2
    with pytest.raises(InputError, match=r"time holds years \[1990, 2000\], expected \[1991, 2001"):
        open_source(layer("g.nc", time="yearly", years=(1991, 2001)), tmp_path)


def test_steps_on_other_grids_are_refused(tmp_path: Path) -> None:
    write_tif(tmp_path / "y1990.tif", VALUES)
    write_tif(tmp_path / "y2000.tif", VALUES, Affine(10, 0, -170, 0, -10, 90))
    with pytest.raises(InputError, match="all steps must share one grid"):
        open_source(layer("y{year}.tif", time="yearly", years=(1990, 2000)), tmp_path)


def test_a_further_dimension_must_be_selected(tmp_path: Path) -> None:
    values = np.stack([VALUES, VALUES + 1])
    made = dataset(values, dims=("depth", "lat", "lon"), depth=[5.0, 15.0])
    made.to_netcdf(tmp_path / "g.nc")
    with pytest.raises(InputError, match="besides lat and lon the variable has depth"):
        open_source(layer("g.nc"), tmp_path)
    chosen = opened(tmp_path, layer("g.nc", select=(("depth", 15.0),)))
    np.testing.assert_array_equal(whole(chosen), VALUES + 1)
    with pytest.raises(InputError, match=r"select depth = 1, found \[5.0, 15.0\]"):
        open_source(layer("g.nc", select=(("depth", 1.0),)), tmp_path)
    made.drop_vars("depth").to_netcdf(tmp_path / "bare.nc")
    with pytest.raises(InputError, match="expected a position from 0 to 1"):
        open_source(layer("bare.nc", select=(("depth", 2.0),)), tmp_path)


def test_soil_layers_are_averaged_by_weight(tmp_path: Path) -> None:
    values = np.stack([VALUES, VALUES + 3, VALUES + 100, VALUES + 6])
    values[1, 4, 5] = np.nan
    made = dataset(values, dims=("depth", "lat", "lon"), depth=[5.0, 10.0, 100.0, 30.0])
    made.to_netcdf(tmp_path / "g.nc")
    known = {"select": (("depth", (5.0, 10.0, 30.0)),), "weights": (5.0, 5.0, 20.0)}
    mean = whole(opened(tmp_path, layer("g.nc", **known)))
    expected = VALUES + (3 * 5 + 6 * 20) / 30
    expected[4, 5] = np.nan  # missing in one of them
    np.testing.assert_allclose(mean, expected, rtol=1e-5, atol=1e-5)
    wrong = {**known, "select": (("depth", (5.0, 10.0, 20.0)),)}
    with pytest.raises(InputError, match=r"select depth = 20, found"):
        open_source(layer("g.nc", **wrong), tmp_path)


def test_months_of_averaged_layers(tmp_path: Path) -> None:
    values = np.stack([MONTHS, MONTHS + 8], axis=1)
    made = dataset(MONTHS).isel(time=0, drop=True)
    made["t"] = (("time", "depth", "lat", "lon"), values)
    made.to_netcdf(tmp_path / "g.nc")
    known = {"select": (("depth", (0.0, 1.0)),), "weights": (3.0, 1.0), "time": "monthly"}
    source = open_source(layer("g.nc", **known), tmp_path)
    np.testing.assert_allclose(whole(source, 7), MONTHS[7] + 2, rtol=1e-5, atol=1e-5)


CROPS = ["geotiff", "geotiff-360", "netcdf-ascending", "netcdf-swapped"]


@pytest.mark.parametrize("kind", CROPS)
def test_a_crop_is_a_part_of_the_whole(tmp_path: Path, kind: str) -> None:
    full = write(tmp_path, kind)
    part = opened(tmp_path, replace(full, crop=(-100.0, -45.0, 20.5, 31.0)))
    assert tuple(part.geobox.affine[:6]) == (10, 0, -100, 0, -10, 30)
    rows, columns = slice(6, 13), slice(8, 20)  # by centres: -40 to 30 north, -100 to 20 east
    np.testing.assert_array_equal(whole(part), VALUES[rows, columns])
    np.testing.assert_array_equal(part.read(0, Rect(2, 4, 1, 6)), VALUES[8:10, 9:14])


def test_a_crop_beside_the_grid_is_refused(tmp_path: Path) -> None:
    write_tif(tmp_path / "g.tif", VALUES)
    with pytest.raises(InputError, match=r"leaves 1 rows and 36 columns .* from -85 to 85"):
        open_source(layer("g.tif", crop=(-180.0, 80.0, 180.0, 120.0)), tmp_path)


# -- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["g.nc", "g.zarr"])
def test_the_files_own_packing_and_nodata(tmp_path: Path, name: str) -> None:
    made = dataset(VALUES)
    made["t"].encoding = {
        "dtype": "int16", "scale_factor": 0.1, "add_offset": 5.0, "_FillValue": -999,
    }  # fmt: skip
    made.to_zarr(tmp_path / name, consolidated=False) if name == "g.zarr" else made.to_netcdf(
        tmp_path / name
    )
    read = whole(opened(tmp_path, layer(name)))
    np.testing.assert_allclose(read, VALUES, atol=0.051)
    assert np.isnan(read[2, 3])
    ignored = whole(opened(tmp_path, layer(name, ignore_file_nodata=True)))
    assert ignored[2, 3] == pytest.approx(-999 * 0.1 + 5, abs=1e-3)
    np.testing.assert_array_equal(np.delete(ignored, 75), np.delete(read, 75))


def test_a_geotiffs_own_packing_and_nodata(tmp_path: Path) -> None:
    import rasterio

    stored = np.nan_to_num(np.round(VALUES * 10), nan=-999).astype("int16")
    path = write_tif(tmp_path / "g.tif", stored, nodata=-999)
    with rasterio.open(path, "r+") as raster:
        raster.scales, raster.offsets = (0.1,), (5.0,)
    np.testing.assert_allclose(whole(opened(tmp_path, layer("g.tif"))), VALUES + 5, atol=0.051)
    ignored = whole(opened(tmp_path, layer("g.tif", ignore_file_nodata=True)))
    assert ignored[2, 3] == pytest.approx(-94.9, abs=1e-3)


def test_hash_of_a_folder_tells_files_and_names_apart(tmp_path: Path) -> None:
    import hashlib

    (tmp_path / "a.tif").write_bytes(b"abc")
    assert hash_file(tmp_path / "a.tif") == hashlib.sha256(b"abc").hexdigest()
    digests = set()
    for number, files in enumerate([{"x": b"1"}, {"y": b"1"}, {"x": b"2"}, {"x": b"1", "y": b""}]):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        digests.add(hash_file(folder))
    assert len(digests) == 4
    assert source_files(layer("a.tif"), tmp_path) == [tmp_path / "a.tif"]
