from __future__ import annotations

import numpy as np
import pytest

from edaphos.engine.profiles.duplicates import shared_profiles
from edaphos.engine.profiles.profiles import ProfileFile, QARules, load_profiles
from edaphos.engine.profiles.readers import read_profiles

from ..profile_tables import layers, write

TWO = ({"soc": 31.4}, {"top": 10, "bottom": 30, "soc": 12.3})
THREE = (*TWO, {"top": 30, "bottom": 60, "soc": 4.7})


def _load(tmp_path, *tables, **rules):
    path = write(tmp_path / "x.csv", *tables)
    return load_profiles([ProfileFile(path)], QARules(**rules))


def test_repeated_layers_are_dropped_and_the_first_is_kept(tmp_path):
    profiles = _load(tmp_path, layers(*TWO), layers(*TWO))
    assert profiles.rejected["row"].tolist() == [3, 4]
    assert set(profiles.rejected["rule"]) == {"duplicate_layer"}


def test_equal_values_without_identifier_are_flagged_only(tmp_path):
    profiles = _load(tmp_path, layers({}, {}, profile=None))
    assert len(profiles) == 2
    assert profiles.report.count("repeated_value") == 1


def test_a_copy_under_another_name_is_dropped(tmp_path):
    profiles = _load(tmp_path, layers(*TWO), layers(*TWO, profile="copy"))
    assert set(profiles.rejected["rule"]) == {"duplicate_profile"}
    assert profiles.rejected["profile_id"].tolist() == ["A:copy"] * 2
    assert profiles.rejected["reason"].str.endswith(": A:p").all()


@pytest.mark.parametrize(
    "change", [{"soc": 31.5}, {"bd": 1.2}, {"year": 2001}, {"lon": 10.01}, {"bottom": 9}]
)
def test_a_profile_that_differs_is_not_a_copy(tmp_path, change):
    other = layers({**TWO[0], **change}, {**TWO[1], **change, "bottom": 30, "soc": 12.3})
    profiles = _load(tmp_path, layers(*TWO), other.assign(profile="other"))
    assert profiles.report.count("duplicate_profile") == 0


def test_a_single_shared_value_is_not_a_copy(tmp_path):
    profiles = _load(tmp_path, layers({}), layers({}, profile="plot 2"))
    assert len(profiles) == 2
    assert profiles.table["location_id"].nunique() == 1


def _rounded(**change):
    """Return the profile as another source holds it: rounded SOC, coordinates a little off."""
    rows = [{**row, "soc": float(f"{row['soc']:.2g}")} for row in THREE]
    base = {"source": "B", "profile": "b", "lon": 10.004, "lat": 50.003, "year": 1987, "bd": np.nan}
    return layers(*[{**base, **row, **change} for row in rows])


@pytest.mark.parametrize(("prefer", "kept"), [((), "A:p"), (("B",), "B:b")])
def test_a_profile_in_two_sources_is_kept_once_by_preference(tmp_path, prefer, kept):
    profiles = _load(tmp_path, layers(*THREE, year=np.nan), _rounded(), prefer=prefer)
    assert set(profiles.table["profile_id"]) == {kept}
    assert profiles.report.count("shared_profile") == 3
    assert profiles.rejected["reason"].str.endswith(f": {kept}").all()
    # What only the other source knows is taken over.
    assert profiles.table["year"].tolist() == [1987.0] * 3
    assert profiles.table["bulk_density_g_cm3"].tolist() == [1.3] * 3
    assert profiles.report.count("completed") == 3


def test_completing_can_be_switched_off(tmp_path):
    profiles = _load(tmp_path, layers(*THREE, year=np.nan), _rounded(), complete=False)
    assert profiles.table["year"].isna().all()
    assert profiles.report.count("undated") == 3


@pytest.mark.parametrize("change", [{"lon": 10.05}, {"lat": 50.05}, {"soc": 55.0}, {"top": 2}])
def test_profiles_that_differ_in_place_or_values_are_two(tmp_path, change):
    profiles = _load(tmp_path, layers(*THREE), _rounded(**change))
    assert profiles.table["profile_id"].nunique() == 2


def test_flagging_keeps_all(tmp_path):
    profiles = _load(tmp_path, layers(*THREE), _rounded(), duplicates="flag")
    assert len(profiles) == 6
    assert profiles.table["flags"].str.contains("shared_profile").sum() == 3


def test_pairs_across_the_edges_of_search_cells_are_found(tmp_path):
    rng = np.random.default_rng(0)
    tables = []
    for i, (lon, lat) in enumerate(rng.uniform(-60, 60, (40, 2))):
        dx, dy = rng.uniform(-0.0099, 0.0099, 2)
        tables.append(layers(*THREE, profile=f"a{i}", lon=lon, lat=lat))
        tables.append(_rounded(profile=f"b{i}", lon=lon + dx, lat=lat + dy))
    table = read_profiles(ProfileFile(write(tmp_path / "x.csv", *tables))).table
    shared = shared_profiles(table, ["A", "B"], 0.01)
    assert shared["profile_id"].str[1:].tolist() == shared["kept"].str[1:].tolist()
    assert len(shared) == 40


def test_real_collections_share_profiles_as_their_names_say(shared_data):
    """AfSP names the profiles it took from WISE3 ``AO W3_0016``, which there are ``AO0016``."""
    table = read_profiles(ProfileFile(shared_data / "profiles/profiles.csv.gz")).table
    table = table[table["source"].isin(["WISE3", "AfSP"])]
    twin = table["profile_id"].str.replace(r"^(\w\w) W3_(\d+)$", r"\1\2", regex=True)
    named = table.assign(twin=twin)[twin != table["profile_id"]].drop_duplicates("profile_id")
    named = named[named["twin"].isin(set(table["profile_id"]))].set_index("profile_id")["twin"]
    found = shared_profiles(table, ["WISE3", "AfSP"], 0.01).set_index("profile_id")["kept"]
    both = named[named.index.isin(found.index)]
    assert len(named) > 900
    assert len(both) > 0.95 * len(named)
    assert (found[both.index] == both).mean() > 0.98
    # Moved by a degree, hardly any profile finds a partner: agreement is not by chance.
    moved = table.assign(lon=table["lon"] + (table["source"] == "AfSP"))
    assert len(shared_profiles(moved, ["WISE3", "AfSP"], 0.01)) <= 2
