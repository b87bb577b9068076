from __future__ import annotations

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.profiles.profiles import ProfileFile, QARules, check_profiles, load_profiles

from ..profile_tables import layers, write

GOOD = {"profile": "good"}

DROPPED = [
    ({"lon": np.nan}, "coordinates_missing"),
    ({"lon": "inf"}, "coordinates_missing"),
    ({"lat": 120.0}, "coordinates_swapped"),
    ({"lon": 200.0}, "coordinates_out_of_range"),
    ({"lat": -9999.0}, "coordinates_out_of_range"),
    ({"lon": 0.0, "lat": 0.0}, "coordinates_zero"),
    ({"top": np.nan}, "depth_missing"),
    ({"bottom": np.nan}, "bottom_missing"),
    ({"top": 30, "bottom": 10}, "depth_reversed"),
    ({"top": 10, "bottom": 10}, "zero_thickness"),
    ({"top": -3, "bottom": 0}, "surface_organic_layer"),
    ({"top": 3, "bottom": 0}, "surface_organic_layer"),
    ({"top": 16, "bottom": 2, "soc": 400}, "surface_organic_layer"),
    ({"soc": np.nan}, "soc_missing"),
    ({"soc": "<0.5"}, "soc_missing"),
    ({"soc": -1.0}, "soc_negative"),
    ({"soc": 581.0}, "soc_too_high"),
]


@pytest.mark.parametrize(("bad", "rule"), DROPPED)
def test_bad_rows_are_dropped_by_name_and_written_down(tmp_path, bad, rule):
    rows = [{**GOOD, "top": t, "bottom": t + 10} for t in range(0, 100, 10)]
    path = write(tmp_path / "x.csv", layers(*rows, {"profile": "bad", **bad}))
    profiles = check_profiles([path])
    assert len(profiles) == 10
    assert profiles.rejected["rule"].tolist() == [rule]
    row = profiles.rejected.iloc[0]
    assert (row["row"], row["file"], row["profile_id"]) == (11, "x.csv", "A:bad")
    assert row["reason"]
    assert profiles.report.count(rule) == 1


@pytest.mark.parametrize(
    ("bad", "rule", "column"),
    [
        ({"bd": 2.5}, "bulk_density_out_of_range", "bulk_density_g_cm3"),
        ({"bd": 0.01}, "bulk_density_out_of_range", "bulk_density_g_cm3"),
        ({"clay": 130.0}, "texture_out_of_range", "clay_pct"),
        ({"sand": -5.0}, "texture_out_of_range", "sand_pct"),
        ({"year": 1850}, "year_out_of_range", "year"),
        ({"year": 2999}, "year_out_of_range", "year"),
    ],
)
def test_impossible_properties_become_missing_and_the_row_stays(tmp_path, bad, rule, column):
    table = layers(GOOD, {**GOOD, "top": 10, "bottom": 20}, {"profile": "bad", "lon": 12.0, **bad})
    profiles = check_profiles([write(tmp_path / "x.csv", table)])
    assert len(profiles) == 3
    assert profiles.table.set_index("profile_id").loc["A:bad", column] is not None
    assert np.isnan(profiles.table.set_index("profile_id").loc["A:bad", column])
    assert profiles.report.count(rule) == 1


@pytest.mark.parametrize(
    ("rows", "rule", "count"),
    [
        ([{"soc": 0.0}], "soc_zero", 1),
        ([{"soc": 150.0}], "organic_soil", 1),
        ([{"year": np.nan}], "undated", 1),
        ([{"clay": 70.0, "sand": 60.0}], "texture_sum", 1),
        ([{"bottom": 400}], "very_thick_layer", 1),
        ([{"bottom": 1}], "very_shallow_profile", 1),
        ([{}, {"top": 5, "bottom": 20}], "overlapping_layers", 1),
        ([{}, {"top": 15, "bottom": 20}], "gap_above", 1),
        ([{}, {"soc": 21.0}], "replicates", 2),
        ([{}, {"year": 2001}], "profile_in_several_years", 2),
        ([{}, {"lon": 11.0, "top": 10, "bottom": 20}], "profile_at_several_places", 2),
        ([{"profile": None}], "profile_id_made", 1),
    ],
)
def test_doubtful_rows_are_flagged_and_kept(tmp_path, rows, rule, count):
    far = {"profile": "far", "lon": 30.0, "soc": 20.0}
    path = write(tmp_path / "x.csv", layers(far, *rows))
    profiles = check_profiles([path])
    assert len(profiles) == 1 + len(rows)
    flagged = profiles.table["flags"].str.split().map(lambda names: rule in names)
    assert flagged.sum() == count == profiles.report.count(rule)
    assert not flagged[profiles.table["profile_id"] == "A:far"].any()


def test_a_sequence_of_touching_layers_has_neither_overlap_nor_gap(tmp_path):
    rows = [{"top": t, "bottom": t + 10} for t in (0, 10, 20)]
    profiles = check_profiles([write(tmp_path / "x.csv", layers(*rows))])
    assert profiles.table["flags"].eq("").all()


def test_choices_turn_flags_into_drops_and_back(tmp_path):
    table = layers({"soc": 0.0}, {"top": 3, "bottom": 0, "soc": 300.0}, {"top": 10, "bottom": 20})
    file = ProfileFile(write(tmp_path / "x.csv", table))
    profiles = load_profiles([file], QARules(zero_soc="drop", surface_organic="flag"))
    assert profiles.rejected["rule"].tolist() == ["soc_zero"]
    assert profiles.table[["top_cm", "bottom_cm"]].to_numpy().tolist() == [[-3, 0], [10, 20]]
    assert profiles.table["flags"].str.contains("surface_organic_layer").tolist() == [True, False]


def test_replicates_can_be_averaged(tmp_path):
    rows = [{"soc": 10.0}, {"soc": 20.0}, {"soc": 60.0, "bd": np.nan}, {"top": 10, "bottom": 30}]
    path = write(tmp_path / "x.csv", layers(*rows))
    profiles = load_profiles([ProfileFile(path)], QARules(replicates="mean"))
    assert profiles.table["soc_g_kg"].tolist() == [30.0, 20.0]
    assert profiles.table["bulk_density_g_cm3"].iloc[0] == pytest.approx(1.3)
    assert profiles.table["replicates"].tolist() == [1, 1]
    assert profiles.report.count("replicate_merged") == 2
    assert profiles.report.rows_in == len(profiles) + len(profiles.rejected)


def test_a_place_where_all_topsoil_is_almost_carbon_free_is_suspect(tmp_path):
    low = [{"profile": f"p{i}", "soc": 0.2 + 0.01 * i} for i in range(20)]
    desert = [{"profile": f"d{i}", "lon": 20.0 + i, "soc": 0.3} for i in range(7)]
    path = write(tmp_path / "x.csv", layers(*low, *desert, {"lon": 50.0}))
    profiles = check_profiles([path])
    assert profiles.report.count("suspect_place") == 20
    assert profiles.report.count("suspect_place", "A") == 20
    kept = load_profiles([ProfileFile(path)], QARules(suspect_places="flag"))
    assert len(kept) == 28


def test_excluded_sources_are_counted_and_their_units_not_judged(tmp_path):
    table = layers({}, {"source": "B", "profile": "q", "lon": 30.0})
    profiles = load_profiles(
        [ProfileFile(write(tmp_path / "x.csv", table))], QARules(exclude_sources=("B",))
    )
    assert set(profiles.table["source"]) == {"A"}
    assert profiles.rejected["rule"].tolist() == ["source_excluded"]


def test_nothing_left_is_an_error_with_the_report(tmp_path):
    path = write(tmp_path / "x.csv", layers({"soc": -1.0}))
    with pytest.raises(InputError, match=r"none of 1 layers[\s\S]*soc_negative"):
        check_profiles([path])


def test_rules_that_cannot_be_meant_are_refused(tmp_path):
    with pytest.raises(InputError, match='zero_soc = "ignore": expected flag or drop'):
        QARules(zero_soc="ignore")
    with pytest.raises(InputError, match="exclude_sources: a list"):
        QARules(exclude_sources="MangroveDB")
    file = ProfileFile(write(tmp_path / "x.csv", layers({"source": "MangroveDB"})))
    with pytest.raises(InputError, match='did you mean "MangroveDB"'):
        load_profiles([file], QARules(exclude_sources=("mangrovedb",)))
    assert len(load_profiles([file], QARules(exclude_sources=("SoDaH",)))) == 1
