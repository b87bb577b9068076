from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edaphos.engine.errors import InputError
from edaphos.engine.profiles.profiles import (
    COLUMNS,
    ProfileFile,
    QARules,
    check_profiles,
    load_profiles,
)

from ..profile_tables import country, layers, write

MAPPING = {
    "profile_id": "profile",
    "source": "source",
    "lon": "lon",
    "lat": "lat",
    "year": "year",
    "top_cm": "top_cm",
    "bottom_cm": "bot_cm",
    "soc_g_kg": "soc_gkg",
    "bulk_density_g_cm3": "bd_kgm3",
    "clay_pct": "clay",
    "sand_pct": "sand",
}


@pytest.fixture(scope="module")
def real(shared_data):
    file = ProfileFile(shared_data / "profiles/profiles.csv.gz", columns=MAPPING)
    return load_profiles([file], QARules(exclude_sources=("MangroveDB",)))


def _number(usual, far=1e9):
    return st.one_of(usual, st.sampled_from([np.nan, np.inf, -1.0, 0.0, far]))


LAYER = st.fixed_dictionaries(
    {
        "source": st.sampled_from(["A", "B"]),
        "profile": st.sampled_from(["p", "q", None]),
        "lon": _number(st.sampled_from([10.0, 10.002])),
        "lat": _number(st.just(50.0), far=400.0),  # no degrees, but no metres either
        "year": _number(st.sampled_from([2000, 2001])),
        "top": _number(st.sampled_from([0, 10, 20])),
        "bottom": _number(st.sampled_from([10, 20, 30])),
        "soc": _number(st.sampled_from([5.0, 20.0, 300.0])),
        "bd": _number(st.sampled_from([1.2, 1.4])),
        "clay": _number(st.just(20.0)),
    }
)
CHOICES = st.fixed_dictionaries(
    {
        "duplicates": st.sampled_from(["drop", "flag"]),
        "replicates": st.sampled_from(["keep", "mean"]),
        "surface_organic": st.sampled_from(["drop", "flag"]),
        "zero_soc": st.sampled_from(["drop", "flag"]),
    }
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(LAYER, max_size=12), choices=CHOICES)
def test_every_row_read_is_kept_or_rejected_once(tmp_path, rows, choices):
    path = write(tmp_path / "x.csv", layers({"profile": "sure", "lat": 51.0}, *rows))
    profiles = load_profiles([ProfileFile(path)], QARules(**choices))
    report = profiles.report
    assert report.rows_in == len(rows) + 1
    assert report.rows_kept == len(profiles)
    assert report.rows_dropped == len(profiles.rejected)
    everything = sorted([*profiles.table["row"], *profiles.rejected["row"]])
    assert everything == list(range(1, len(rows) + 2))
    table = profiles.table
    assert table["soc_g_kg"].between(0, 580).all()
    assert (table["top_cm"] < table["bottom_cm"]).all()


def test_the_order_of_rows_in_the_file_does_not_matter(tmp_path):
    table = country()
    first = check_profiles([write(tmp_path / "x.csv", table)]).table
    mixed = check_profiles(
        [write(tmp_path / "x.csv", table.sample(frac=1.0, random_state=3))]
    ).table
    pd.testing.assert_frame_equal(first.drop(columns="row"), mixed.drop(columns="row"))
    assert [*first.columns[: len(COLUMNS)]] == [*COLUMNS]


def test_several_files_keep_the_first_one_s_copy(tmp_path):
    rows = ({"soc": 31.4}, {"top": 10, "bottom": 30, "soc": 12.3})
    a = write(tmp_path / "a.csv", layers(*rows).drop(columns="source"))
    b = write(tmp_path / "b.csv", layers(*rows).drop(columns="source"))
    for order in ((a, b), (b, a)):
        profiles = check_profiles(order)
        assert set(profiles.table["source"]) == {order[0].stem}
        assert set(profiles.rejected["file"]) == {order[1].name}
    with pytest.raises(InputError, match="at least one file"):
        load_profiles([])


def test_same_place_in_two_sources_has_one_location(tmp_path):
    table = layers({"lon": 151.633}, {"source": "B", "lon": 151.63333, "soc": 90.0}, lat=-30.5)
    profiles = check_profiles([write(tmp_path / "x.csv", table)])
    assert set(profiles.table["location_id"]) == {"151.633,-30.500"}


def test_real_counts_add_up(real):
    report = real.report
    assert report.rows_in == 111_252
    assert report.rows_in == len(real) + len(real.rejected)
    assert report.rows_dropped == len(real.rejected)
    assert report.count("source_excluded") == 12_188
    assert report.count("bottom_missing") == 433
    assert real.rejected["row"].is_unique
    assert not set(real.rejected["row"]) & set(real.table["row"])


def test_real_bulk_density_is_in_two_units(real):
    units = {s.source: s for s in real.report.lines if s.rule == "bulk_density_unit"}
    assert {name: line.why.split(" (")[0] for name, line in units.items()} == {
        "WISE3": "taken as kg/m3",
        "SoDaH": "taken as kg/m3",
        "MangroveDB": "taken as kg/m3",
        "AfSP": "taken as g/cm3",
        "ISIS": "taken as g/cm3",
    }
    median = real.table.groupby("source")["bulk_density_g_cm3"].median()
    # The eight bulk densities of ISIS go with profiles that WISE3 has too.
    assert median.drop("ISIS").between(0.9, 1.5).all()


def test_real_duplicates_within_and_across_sources(real):
    report = real.report
    assert report.count("duplicate_layer", "AfSP") == 411
    assert report.count("duplicate_layer", "ISIS") == 8
    assert report.count("duplicate_layer", "SoDaH") == 0  # plots without names: flagged
    assert report.count("repeated_value", "SoDaH") > 1500
    assert report.count("shared_profile", "AfSP") > 4500  # WISE3 stands first in the file
    assert report.count("shared_profile", "ISIS") > 2500
    dated = real.table[(real.table["source"] == "WISE3") & real.table["year"].notna()]
    assert len(dated) > 5000  # WISE3 has no years of its own


def test_real_oddities_are_found(real):
    report = real.report
    assert report.count("soc_too_high", "WISE3") == 21
    assert report.count("texture_out_of_range", "ISIS") == 2
    assert report.count("surface_organic_layer", "SoDaH") > 3000
    assert report.count("suspect_place", "SoDaH") == 134
    assert report.count("profile_id_made", "SoDaH") == 14_811


def test_real_weights_level_crowded_places(real):
    weight = real.weights(2.0)
    assert weight.mean() == pytest.approx(1.0)
    assert (weight > 0).all()
    # A site with thousands of replicates weighs no more than a few lonely layers (mean 1).
    site = ((real.table["lon"] == -93.2) & (real.table["lat"] == 45.4)).to_numpy()
    assert site.sum() > 4000
    assert weight[site].sum() < 15
