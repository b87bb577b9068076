from __future__ import annotations

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.profiles.coordinates import swapped_by_land
from edaphos.engine.profiles.profiles import ProfileFile, check_profiles
from edaphos.engine.profiles.readers import read_profiles

from ..profile_tables import country, layers, write


def box_land(lon, lat):
    """Return a virtual land from 0 to 20 degrees east, 40 to 60 north."""
    return (lon >= 0) & (lon <= 20) & (lat >= 40) & (lat <= 60)


def test_a_swapped_file_is_told_by_latitudes_beyond_90(tmp_path):
    table = country().assign(lon=lambda t: t["lon"] + 100)
    path = write(tmp_path / "x.csv", table.rename(columns={"lon": "lat", "lat": "lon"}))
    with pytest.raises(InputError, match=r'Set columns.lon = "lat" and columns.lat = "lon"'):
        check_profiles([path])
    fixed = check_profiles([ProfileFile(path, columns={"lon": "lat", "lat": "lon"})])
    assert fixed.table["lon"].between(100, 120).all()


def test_a_swapped_file_is_told_by_land(tmp_path):
    path = write(tmp_path / "x.csv", country().rename(columns={"lon": "lat", "lat": "lon"}))
    assert len(check_profiles([path])) == 120  # without land both orders are possible
    with pytest.raises(InputError, match="open sea"):
        check_profiles([path], land=box_land)


def test_single_swapped_rows_are_dropped(tmp_path):
    odd = layers({"profile": "odd", "lon": 52.0, "lat": 11.0})
    profiles = check_profiles([write(tmp_path / "x.csv", country(), odd)], land=box_land)
    assert profiles.rejected["rule"].tolist() == ["coordinates_swapped"]
    assert profiles.rejected["profile_id"].tolist() == ["A:odd"]


def test_points_near_the_coast_are_not_suspected():
    lon, lat = np.array([-0.2, -3.0, 50.0]), np.array([50.0, 50.0, 10.0])
    assert swapped_by_land(lon, lat, box_land).tolist() == [False, False, True]


def test_longitudes_to_360_are_named(tmp_path):
    table = country().assign(lon=lambda t: t["lon"] + 300)
    path = write(tmp_path / "x.csv", table)
    with pytest.raises(InputError, match=r'units.lon = "0..360"'):
        check_profiles([path])
    profiles = check_profiles([ProfileFile(path, units={"lon": "0..360"})])
    assert profiles.table["lon"].between(-60, -40).all()


def test_metres_of_a_projected_crs_are_named(tmp_path):
    table = country().assign(lon=lambda t: 1e5 * t["lon"], lat=lambda t: 1e5 * t["lat"])
    with pytest.raises(InputError, match="metres of a projected CRS"):
        check_profiles([write(tmp_path / "x.csv", table)])
    few = country()
    few.loc[0, "lon"] = 5e5  # one row is dropped, not the file
    assert len(check_profiles([write(tmp_path / "y.csv", few)])) == 119


def test_real_profiles_are_not_suspected(shared_data):
    mask = pytest.importorskip("global_land_mask")
    raw = read_profiles(ProfileFile(shared_data / "profiles/profiles.csv.gz")).table
    raw = raw.drop_duplicates(["lon", "lat"]).iloc[::4]
    lon, lat = raw["lon"].to_numpy(), raw["lat"].to_numpy()

    def land(x, y):
        return mask.globe.is_land(y, x)

    assert swapped_by_land(lon, lat, land).sum() <= 5
    europe = (lon > -10) & (lon < 30) & (lat > 36)
    assert swapped_by_land(lat[europe], lon[europe], land).mean() > 0.2
