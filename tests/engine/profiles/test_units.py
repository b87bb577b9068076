from __future__ import annotations

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.profiles.profiles import ProfileFile, check_profiles, load_profiles
from edaphos.engine.profiles.readers import read_profiles
from edaphos.engine.profiles.units import infer_bulk_density_unit, percent_evidence

from ..profile_tables import country, layers, write


def test_per_cent_in_a_column_of_g_per_kg_is_one_clear_error(tmp_path):
    table = country()
    path = write(tmp_path / "percent.csv", table.assign(soc=table["soc"] / 10))
    with pytest.raises(InputError) as error:
        check_profiles([path])
    message = str(error.value)
    for part in ("percent.csv", "source A", "g/kg", "looks like %", "median", 'units.soc = "%"'):
        assert part in message
    assert error.value.exit_code == 2


def test_per_cent_declared_gives_the_same_table(tmp_path):
    table = country()
    right = check_profiles([write(tmp_path / "a.csv", table)])
    percent = write(tmp_path / "b.csv", table.assign(soc=table["soc"] / 10))
    declared = load_profiles([ProfileFile(percent, units={"soc": "%"})])
    np.testing.assert_allclose(declared.table["soc_g_kg"], right.table["soc_g_kg"], rtol=1e-12)
    believed = load_profiles([ProfileFile(percent, assume_units=True)])
    assert believed.table["soc_g_kg"].median() < 4


def test_organic_matter_becomes_organic_carbon(tmp_path):
    table = country()
    right = check_profiles([write(tmp_path / "a.csv", table)]).table["soc_g_kg"]
    for unit, factor in (("SOM %", 0.1), ("SOM g/kg", 1.0)):
        matter = write(tmp_path / "m.csv", table.assign(soc=table["soc"] * factor * 1.724))
        declared = load_profiles([ProfileFile(matter, units={"soc": unit})])
        np.testing.assert_allclose(declared.table["soc_g_kg"], right, rtol=1e-12)
        assert declared.report.files[0].units["soc"] == unit
    matter = write(tmp_path / "m.csv", table.assign(soc=table["soc"] * 0.1724))
    with pytest.raises(InputError, match=r'SOM is declared in g/kg but looks like %.*"SOM %"'):
        load_profiles([ProfileFile(matter, units={"soc": "SOM g/kg"})])
    wrong = write(tmp_path / "w.csv", table.assign(soc=150.0))
    with pytest.raises(InputError, match=r'above 100 .* more than soil holds.*"SOM g/kg"'):
        load_profiles([ProfileFile(wrong, units={"soc": "SOM %"})])


def test_per_cent_in_the_name_of_the_column_is_understood(tmp_path):
    table = country()
    path = write(
        tmp_path / "c.csv", table.assign(soc=table["soc"] / 10).rename(columns={"soc": "SOC %"})
    )
    profiles = check_profiles([path])
    assert profiles.report.files[0].units["soc"] == "%"
    assert profiles.table["soc_g_kg"].median() > 10


def test_g_per_kg_declared_as_per_cent_is_an_error(tmp_path):
    path = write(tmp_path / "g.csv", country().assign(soc=80.0))
    with pytest.raises(InputError, match=r"declared in %, but 120 of 120 values are above 60"):
        load_profiles([ProfileFile(path, units={"soc": "%"})])


def test_the_error_is_per_source(tmp_path):
    percent = country(seed=1).assign(source="B")
    percent["soc"] /= 10
    path = write(tmp_path / "two.csv", country(), percent)
    with pytest.raises(InputError, match="source B"):
        check_profiles([path])


def test_poor_soils_of_dry_belts_are_not_suspected(tmp_path):
    table = country()
    dry = table.assign(lat=table["lat"] - 27.0, soc=table["soc"] / 7)
    profiles = check_profiles([write(tmp_path / "dry.csv", dry)])
    assert profiles.table["soc_g_kg"].median() < 4


def test_no_part_of_the_real_collections_is_taken_for_per_cent(shared_data):
    table = read_profiles(ProfileFile(shared_data / "profiles/profiles.csv.gz")).table
    found, cells = 0, 0
    by_cell = table.groupby(["source", table["lon"] // 10, table["lat"] // 10])
    for (source, *_), part in by_cell:
        assert percent_evidence(part) == "", source
        if len(part) >= 300 and source in ("AfSP", "WISE3"):
            cells += 1
            found += percent_evidence(part.assign(soc_g_kg=part["soc_g_kg"] / 10)) != ""
    assert found > 0.9 * cells > 20
    for source, part in table.groupby("source"):
        assert percent_evidence(part) == "", source
        divided = percent_evidence(part.assign(soc_g_kg=part["soc_g_kg"] / 10))
        # Mangrove soils are so rich that their per cent look like g/kg elsewhere.
        assert (divided != "") == (source != "MangroveDB")


def test_bulk_density_units_are_inferred_by_source_not_by_row(tmp_path):
    a = layers(
        {"bd": 1350.0},
        {"top": 10, "bottom": 30, "bd": 1450.0},
        {"top": 30, "bottom": 50, "bd": 2.1},
    )
    b = layers({"bd": 1.35}, {"top": 10, "bottom": 30, "bd": 1.45}, source="B", lon=20.0)
    profiles = check_profiles([write(tmp_path / "x.csv", a, b)])
    bd = profiles.table.set_index(["source", "top_cm"])["bulk_density_g_cm3"]
    assert bd["A", 0.0] == pytest.approx(1.35)
    assert bd["B", 0.0] == pytest.approx(1.35)
    assert np.isnan(bd["A", 30.0])  # 2.1 kg/m3: out of range, not silently another unit
    units = {
        line.source: line for line in profiles.report.lines if line.rule == "bulk_density_unit"
    }
    assert units["A"].action == "converted"
    assert units["B"].action == "noted"


def test_a_wrong_declaration_of_bulk_density_is_reported(tmp_path):
    path = write(tmp_path / "x.csv", layers({"bd": 1350.0}))
    profiles = load_profiles([ProfileFile(path, units={"bulk_density": "g/cm3"})])
    line = next(line for line in profiles.report.lines if line.rule == "bulk_density_unit")
    assert "though declared g/cm3" in line.why
    assert profiles.table["bulk_density_g_cm3"].iloc[0] == pytest.approx(1.35)


def test_a_unit_that_fits_nothing_is_not_guessed():
    assert infer_bulk_density_unit(np.array([10.0, 12.0, 8.0]))[0] is None


def test_coarse_fragments_and_texture(tmp_path):
    table = layers({}, {"top": 10, "bottom": 20}).assign(cf=[35.0, 0.0], clay=[200, 250])
    path = write(tmp_path / "x.csv", table.drop(columns="sand"))
    profiles = load_profiles([ProfileFile(path, units={"texture": "g/kg"})])
    assert profiles.table["coarse_fraction"].tolist() == [0.35, 0.0]
    assert profiles.table["clay_pct"].tolist() == [20.0, 25.0]
    fraction = write(
        tmp_path / "y.csv", layers({}, {"top": 10, "bottom": 20}).assign(cf=[0.35, 1.0])
    )
    kept = check_profiles([fraction]).table["coarse_fraction"]
    assert kept.iloc[0] == 0.35
    assert np.isnan(kept.iloc[1])
