from __future__ import annotations

import gzip

import geopandas
import numpy as np
import pandas as pd
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.profiles.columns import SYNONYMS
from edaphos.engine.profiles.readers import parse_year, read_profiles
from edaphos.engine.profiles.schema import COLUMNS, ProfileFile

PLAIN = """Site;Long;Lat;Sampling date;Upper depth (cm);Lower depth (cm);SOC (g/kg);BD
a;10.5;48.25;12/05/1998;0;10;21,5;1,2
a;10.5;48.25;12/05/1998;10;30;<1;1,4
b;11;49;;0;10;30;
"""


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "plain.csv"
    path.write_text(PLAIN)
    return path


def test_well_known_columns_semicolons_and_decimal_commas(plain):
    raw = read_profiles(ProfileFile(plain, columns={"soc_g_kg": "SOC (g/kg)"}))
    table = raw.table
    assert raw.summary.columns["top_cm"] == "Upper depth (cm)"
    assert raw.summary.columns["profile_id"] == "Site"
    assert table["soc_g_kg"].tolist()[::2] == [21.5, 30.0]
    assert table["bulk_density_g_cm3"].tolist()[:2] == [1.2, 1.4]
    assert table["year"].tolist()[:2] == [1998.0, 1998.0]
    assert np.isnan(table["year"].iloc[2])
    assert table["unreadable"].tolist() == ["", "soc_g_kg", ""]
    assert set(table["source"]) == {"plain"}
    assert table["row"].tolist() == [1, 2, 3]


def test_missing_depth_names_columns_and_mapping(tmp_path):
    path = tmp_path / "nodepth.csv"
    path.write_text("id,lon,lat,soc,uper_depth,horizon_end\n1,2,3,4,0,10\n")
    with pytest.raises(InputError) as error:
        read_profiles(ProfileFile(path))
    message = str(error.value)
    assert "nodepth.csv" in message
    assert "without depth" in message
    assert 'columns.top_cm = "uper_depth"' in message
    assert "horizon_end" in message
    assert error.value.exit_code == 2


def test_mapping_mistakes_have_a_hint(plain):
    with pytest.raises(InputError, match='did you mean "soc_g_kg"'):
        ProfileFile(plain, columns={"soc_gkg": "x"})
    with pytest.raises(InputError, match='did you mean "Lat"'):
        read_profiles(ProfileFile(plain, columns={"lat": "Latt"}))
    with pytest.raises(InputError, match='did you mean "soc"'):
        ProfileFile(plain, units={"sok": "%"})
    with pytest.raises(InputError, match="g/kg, %"):
        ProfileFile(plain, units={"soc": "mg/g"})


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(InputError, match="no such profile file"):
        read_profiles(ProfileFile(tmp_path / "absent.csv"))
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    with pytest.raises(InputError, match="the file is empty"):
        read_profiles(ProfileFile(empty))
    bare = tmp_path / "bare.csv"
    bare.write_text("lon,lat,top,bottom,soc\n")
    with pytest.raises(InputError, match="it has none"):
        read_profiles(ProfileFile(bare))
    rng = np.random.default_rng(0)
    rows = "".join(f"{x:.6f},{y:.6f},0,10,5\n" for x, y in rng.uniform(-80, 80, (30_000, 2)))
    whole = gzip.compress(("lon,lat,top,bottom,soc\n" + rows).encode())
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.csv\.gz: cannot be read"):
        read_profiles(ProfileFile(cut))
    fake = tmp_path / "fake.parquet"
    fake.write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match=r"fake\.parquet: cannot be read as parquet"):
        read_profiles(ProfileFile(fake))


def test_parquet_and_csv_agree(tmp_path, plain):
    raw = read_profiles(ProfileFile(plain, columns={"soc_g_kg": "SOC (g/kg)"}))
    path = tmp_path / "plain.parquet"
    raw.table[["profile_id", "lon", "lat", "year", "top_cm", "bottom_cm", "soc_g_kg"]].to_parquet(
        path
    )
    again = read_profiles(ProfileFile(path))
    assert again.summary.format == "parquet"
    for name in ("lon", "lat", "year", "top_cm", "bottom_cm", "soc_g_kg"):
        pd.testing.assert_series_equal(again.table[name], raw.table[name])


def _points(crs):
    return geopandas.GeoDataFrame(
        {"profile": ["a", "b"], "top": [0, 10], "bottom": [10, 20], "soc": [12.0, 5.0]},
        geometry=geopandas.points_from_xy([10.0, 20.0], [50.0, -30.0], crs=4326),
    ).to_crs(crs)


@pytest.mark.parametrize("crs", [4326, 3857])
def test_geopackage_points_in_any_crs(tmp_path, crs):
    path = tmp_path / "points.gpkg"
    _points(crs).to_file(path, layer="soil")
    table = read_profiles(ProfileFile(path)).table
    assert table["lon"].tolist() == pytest.approx([10.0, 20.0])
    assert table["lat"].tolist() == pytest.approx([50.0, -30.0])
    assert table["soc_g_kg"].tolist() == [12.0, 5.0]


def test_geopackage_layers_and_crs_are_asked_for(tmp_path):
    path = tmp_path / "two.gpkg"
    _points(4326).to_file(path, layer="soil")
    _points(4326).to_file(path, layer="other")
    with pytest.raises(InputError, match="say which"):
        read_profiles(ProfileFile(path))
    with pytest.raises(InputError, match='no layer "x"'):
        read_profiles(ProfileFile(path, layer="x"))
    assert len(read_profiles(ProfileFile(path, layer="soil")).table) == 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["2001-??-??", "?", "1984-07-01"], [2001, np.nan, 1984]),
        ([1999, 2001.5, np.nan], [1999, 2001.5, np.nan]),
        ([19840701, 1984], [1984, 1984]),
        (pd.to_datetime(["1990-03-01", None]), [1990, np.nan]),
        (["05.06.1973", "n/a", "1973"], [1973, np.nan, 1973]),
    ],
)
def test_years_from_dates(given, expected):
    np.testing.assert_array_equal(parse_year(pd.Series(given)), np.array(expected, float))


def test_declared_depth_and_longitude_units(tmp_path):
    path = tmp_path / "metres.csv"
    path.write_text("lon,lat,top,bottom,soc\n350,1,0,0.3,5\n20,1,0.3,1,5\n")
    table = read_profiles(ProfileFile(path, units={"depth": "m", "lon": "0..360"})).table
    assert table["bottom_cm"].tolist() == [30.0, 100.0]
    assert table["lon"].tolist() == [-10.0, 20.0]


def test_every_column_has_well_known_names():
    assert set(SYNONYMS) == set(COLUMNS)


def test_text_in_latin_1(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes("profile,lon,lat,top,bottom,soc\nÉtang,1,2,0,10,5\n".encode("latin-1"))
    assert read_profiles(ProfileFile(path)).table["profile_id"].tolist() == ["Étang"]
