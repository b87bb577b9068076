"""Total nitrogen is read in its units, from WoSIS too, and blanked where it cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from edaphos.engine.profiles.profiles import ProfileFile, check_profiles, load_profiles


def layers(**more: object) -> pd.DataFrame:
    told = {"profile_id": list("abcd"), "lon": [5.0, 6, 7, 8], "lat": 50.0, "top": 0, "bottom": 20}
    return pd.DataFrame({**told, "soc": [20.0, 10, 30, 15], **more})


@pytest.mark.parametrize("name", ["nitrogen_g_kg", "TN", "total_nitrogen", "nitkjd_value_avg"])
def test_it_is_found_under_the_names_it_has(tmp_path: Path, name: str) -> None:
    layers(**{name: [2.0, 1.1, 2.9, np.nan]}).to_csv(tmp_path / "p.csv", index=False)
    found = check_profiles([tmp_path / "p.csv"]).table
    np.testing.assert_array_equal(found["nitrogen_g_kg"], [2.0, 1.1, 2.9, np.nan])


def test_per_cent_is_turned_into_g_kg_where_declared(tmp_path: Path) -> None:
    layers(n_total=[0.2, 0.11, 0.29, 0.15]).to_csv(tmp_path / "p.csv", index=False)
    file = ProfileFile(
        tmp_path / "p.csv", columns={"nitrogen_g_kg": "n_total"}, units={"nitrogen": "%"}
    )
    np.testing.assert_allclose(load_profiles([file]).table["nitrogen_g_kg"], [2.0, 1.1, 2.9, 1.5])


def test_what_no_soil_holds_is_blanked_and_the_layer_kept(tmp_path: Path) -> None:
    layers(TN=[2.0, -1, 290, 1.5]).to_csv(tmp_path / "p.csv", index=False)
    found = check_profiles([tmp_path / "p.csv"])
    np.testing.assert_array_equal(found.table["nitrogen_g_kg"], [2.0, np.nan, np.nan, 1.5])
    assert any(line.rule == "nitrogen_out_of_range" for line in found.report.lines)


def test_it_stands_beside_organic_carbon_in_wosis_2023(tmp_path: Path) -> None:
    keys = {"profile_id": [1, 1], "upper_depth": [0, 20], "lower_depth": [20, 40]}
    place = {"longitude": 5.0, "latitude": 50.0, "date": "2001-??-??"}
    for name, values in (("orgc", [20.0, 10.0]), ("nitkjd", [1.8, 0.9])):
        table = pd.DataFrame({**keys, "value_avg": values, **place})
        table.to_csv(tmp_path / f"wosis_202312_{name}.tsv", sep="\t", index=False)
    found = check_profiles([tmp_path]).table
    np.testing.assert_array_equal(found["nitrogen_g_kg"], [1.8, 0.9])
