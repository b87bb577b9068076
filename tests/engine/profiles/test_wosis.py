from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.profiles.profiles import ProfileFile, check_profiles, load_profiles

ORGC_2023 = (
    "profile_id\tlayer_id\tupper_depth\tlower_depth\tlitter\tvalue_avg\tlongitude\tlatitude\t"
    "positional_uncertainty\tdate\tcountry_name\tcontinent\n"
    "36897\t1\t0\t20\tfalse\t21.5\t5.25\t52.1\tCirca 100 m\t1984-07-01\tNetherlands\tEurope\n"
    "36897\t2\t20\t50\tfalse\t8.0\t5.25\t52.1\tCirca 100 m\t1984-07-01\tNetherlands\tEurope\n"
    "40001\t3\t0\t10\ttrue\t410\t6.0\t50.5\t1 km - 10 km\t\tGermany\tEurope\n"
    "40001\t4\t10\t30\tfalse\t14.5\t6.0\t50.5\t1 km - 10 km\t\tGermany\tEurope\n"
    "50002\t5\t0\t15\tfalse\t9.1\t-60.5\t-33.2\tOver 10 km\t2001-??-??\tArgentina\tSouth America\n"
)


def _property(rows: str) -> str:
    head = "profile_id\tlayer_id\tupper_depth\tlower_depth\tvalue_avg\tlongitude\tlatitude\n"
    return head + rows


@pytest.fixture
def wosis2023(tmp_path):
    """Write per-property tables as of December 2023."""
    tables = {
        "orgc": ORGC_2023,
        "bdfiod": _property("36897\t1\t0\t20\t1.31\t5.25\t52.1\n"),
        "bdfi33": _property(
            "36897\t1\t0\t20\t1.99\t5.25\t52.1\n36897\t2\t20\t50\t1.45\t5.25\t52.1\n"
        ),
        "cfvo": _property("36897\t1\t0\t20\t5\t5.25\t52.1\n40001\t4\t10\t30\t40\t6.0\t50.5\n"),
        # Two samples of one layer, which must not double the row of organic carbon.
        "clay": _property("36897\t1\t0\t20\t20\t5.25\t52.1\n36897\t1\t0\t20\t24\t5.25\t52.1\n"),
        "bdwsod": _property("50002\t5\t0\t15\t1.2\t-60.5\t-33.2\n"),
    }
    for name, text in tables.items():
        (tmp_path / f"wosis_202312_{name}.tsv").write_text(text)
    return tmp_path


@pytest.mark.parametrize("given", ["folder", "file"])
def test_2023_tables_are_joined(wosis2023, given):
    path = wosis2023 if given == "folder" else wosis2023 / "wosis_202312_orgc.tsv"
    profiles = check_profiles([path])
    table = profiles.table
    assert profiles.report.files[0].format == "wosis2023"
    assert set(table["source"]) == {"WoSIS"}
    assert len(table) == 4  # the litter layer is apart
    top = table[(table.profile_id == "WoSIS:36897") & (table.top_cm == 0)].iloc[0]
    assert (top.soc_g_kg, top.bulk_density_g_cm3, top.clay_pct) == (21.5, 1.31, 22.0)
    assert top.coarse_fraction == pytest.approx(0.05)
    assert (top.lon, top.lat, top.year) == (5.25, 52.1, 1984.0)
    deep = table[(table.profile_id == "WoSIS:36897") & (table.top_cm == 20)].iloc[0]
    assert deep.bulk_density_g_cm3 == 1.45  # the next bulk density of the fine earth
    south = table[table.profile_id == "WoSIS:50002"].iloc[0]
    assert south.year == 2001.0
    assert np.isnan(south.bulk_density_g_cm3)  # whole soil is not fine earth
    assert south.positional_uncertainty == "Over 10 km"
    assert profiles.report.count("surface_organic_layer") == 1
    assert profiles.report.count("undated") == 1


def test_vague_positions_can_be_excluded(wosis2023):
    from edaphos.engine.profiles.profiles import QARules

    rules = QARules(exclude_positions=("Over 10 km",))
    profiles = load_profiles([ProfileFile(wosis2023)], rules)
    assert profiles.report.count("position_excluded") == 1
    assert "Over 10 km" not in set(profiles.table["positional_uncertainty"])


WIDE = (
    "X,Y,profile_id,profile_layer_id,country_name,upper_depth,lower_depth,layer_name,litter,"
    "orgc_value,orgc_value_avg,orgc_method,orgc_date\n"
    "20.5,-10.25,7001,1,Zambia,0,12,A,f,{1:9.5},9.5,wet,1978-??-??\n"
    "20.5,-10.25,7001,2,Zambia,12,40,B,f,{1:4.0},4.0,wet,1978-??-??\n"
    "21.5,-11.25,7002,3,Zambia,0,30,A,t,{1:300},300,wet,?\n"
    "21.5,-11.25,7002,4,Zambia,30,60,A,f,{1:3},3,wet,?\n"
)


@pytest.mark.parametrize("separator", [",", "\t"])
def test_wide_form_of_2019_and_latest(tmp_path, separator):
    path = tmp_path / "wosis_latest_orgc.csv"
    path.write_text(WIDE.replace(",", separator))
    profiles = check_profiles([path])
    assert profiles.report.files[0].format == "wosis"
    table = profiles.table
    assert table["profile_id"].tolist() == ["WoSIS:7001", "WoSIS:7001", "WoSIS:7002"]
    assert table["soc_g_kg"].tolist() == [9.5, 4.0, 3.0]
    assert table["lon"].tolist() == [20.5, 20.5, 21.5]
    assert table["lat"].tolist() == [-10.25, -10.25, -11.25]
    assert table["year"].tolist()[:2] == [1978.0, 1978.0]
    assert np.isnan(table["year"].iloc[2])
    assert profiles.report.count("surface_organic_layer") == 1


def test_a_folder_without_organic_carbon_is_named(tmp_path):
    (tmp_path / "wosis_202312_clay.tsv").write_text(_property("1\t1\t0\t20\t10\t0\t1\n"))
    with pytest.raises(InputError, match=r"orgc\.tsv was expected, found none"):
        check_profiles([tmp_path])


def test_a_table_that_lacks_columns_is_named(wosis2023):
    (wosis2023 / "wosis_202312_clay.tsv").write_text("profile_id\tvalue\n1\t2\n")
    with pytest.raises(InputError, match=r"clay\.tsv.*lacks upper_depth, lower_depth, value_avg"):
        check_profiles([wosis2023])


def test_row_order_and_count_are_those_of_organic_carbon(wosis2023):
    from edaphos.engine.profiles.readers import read_profiles

    raw = read_profiles(ProfileFile(wosis2023))
    expected = pd.read_csv(wosis2023 / "wosis_202312_orgc.tsv", sep="\t")
    assert raw.table["soc_g_kg"].tolist() == expected["value_avg"].tolist()
    assert raw.table["row"].tolist() == [1, 2, 3, 4, 5]
