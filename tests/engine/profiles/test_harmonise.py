"""Layers turned into depths: against the kernels, closed forms, and counts that add up."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edaphos.engine.errors import InputError
from edaphos.engine.profiles.harmonise import choose_lambda, harmonise
from edaphos.engine.profiles.harmonise_report import HarmoniseReport
from edaphos.engine.profiles.profiles import ProfileFile, load_profiles
from edaphos.kernels.depth import bounded, fit_spline
from edaphos.kernels.depth_means import interval_means

DEPTHS = [(0.0, 5.0), (5.0, 15.0), (15.0, 30.0), (30.0, 60.0), (60.0, 100.0), (100.0, 200.0)]


def layers(**changes: object) -> pd.DataFrame:
    """One profile of four layers down to 90 cm, with its bulk density and clay."""
    table = {
        "profile_id": "s:a",
        "source": "s",
        "lon": 10.0,
        "lat": 50.0,
        "year": 1980.0,
        "top_cm": [0.0, 10.0, 25.0, 50.0],
        "bottom_cm": [10.0, 25.0, 50.0, 90.0],
        "soc_g_kg": [30.0, 12.0, 9.0, 2.0],
        "bulk_density_g_cm3": [1.1, 1.2, 1.4, 1.5],
        "clay_pct": [20.0, np.nan, 30.0, np.nan],
        "litter": False,
        "flags": ["", "undated", "", "organic_soil replicates"],
        "replicates": 1,
        "file": "x.csv",
        "row": [7, 8, 9, 10],
    }
    return pd.DataFrame({**table, **changes})


def one(**changes: object) -> pd.DataFrame:
    """A profile of one layer, 0-20 cm."""
    single = layers().iloc[:1].assign(bottom_cm=20.0, row=1)
    return single.assign(**changes)


def by_hand(table: pd.DataFrame, column: str, lam: float) -> np.ndarray:
    """Means of one profile straight from the kernels."""
    known = table.dropna(subset=[column])
    curve = fit_spline(known["top_cm"], known["bottom_cm"], known[column], [0, len(known)], lam)
    return interval_means(bounded(curve), *zip(*DEPTHS, strict=True)).value[0]


def test_a_profile_becomes_its_spline_at_each_depth_it_fills() -> None:
    table, report = harmonise(layers(), DEPTHS)
    # 60-100 cm is sampled to three quarters, 100-200 cm not at all.
    assert table["top_cm"].tolist() == [0, 5, 15, 30, 60]
    assert table["bottom_cm"].tolist() == [5, 15, 30, 60, 100]
    for column in ("soc_g_kg", "bulk_density_g_cm3"):
        np.testing.assert_allclose(table[column], by_hand(layers(), column, 0.1)[:5], rtol=1e-12)
    assert table["sampled"].tolist() == [1, 1, 1, 1, 0.75]
    assert set(table["profile_id"]) == {"s:a"}
    assert set(table["row"]) == {7}
    assert [c for c in table if c != "sampled"] == list(layers().columns)
    assert (report.layers, report.profiles, report.rows) == (4, 1, 5)


def test_flags_come_from_the_layers_of_a_depth_and_from_this_step() -> None:
    table, _ = harmonise(layers(), DEPTHS)
    # The last layer's spline would swing below zero.
    assert table["flags"].tolist() == [
        "", "undated", "undated", "organic_soil replicates limited",
        "organic_soil replicates partly_sampled limited",
    ]  # fmt: skip


def test_other_properties_keep_their_own_gaps() -> None:
    """Clay, known in 0-10 and 25-50 cm, is told where half of a depth or more was sampled."""
    table, report = harmonise(layers(), DEPTHS)
    known = by_hand(layers(), "clay_pct", 0.1)
    expected = [known[0], known[1], np.nan, known[3], np.nan]
    np.testing.assert_allclose(table["clay_pct"], expected, rtol=1e-12)
    assert report.values == {"soc_g_kg": 5, "bulk_density_g_cm3": 5, "clay_pct": 3}
    alone, _ = harmonise(layers(), DEPTHS, also=())
    assert alone["clay_pct"].isna().all()  # not a layer's value at another depth


def test_overlap_is_the_mean_weighted_by_thickness() -> None:
    table, report = harmonise(layers(), DEPTHS, method="overlap")
    assert table["soc_g_kg"].tolist() == pytest.approx(
        [30, 21, (10 * 12 + 5 * 9) / 15, (20 * 9 + 10 * 2) / 30, 2]
    )
    assert report.moved_p95 == 0
    assert "by the share of each layer" in report.summary()


def test_exact_mass_keeps_the_mean_of_each_layer() -> None:
    ends = list(zip(layers()["top_cm"], layers()["bottom_cm"], strict=True))
    exact, report = harmonise(layers(), ends, mass="exact")
    np.testing.assert_allclose(exact["soc_g_kg"], layers()["soc_g_kg"], rtol=1e-13)
    assert report.lam == report.moved_median == report.moved_p95 == 0
    smooth, report = harmonise(layers(), ends)
    moved = np.abs(smooth["soc_g_kg"] / layers()["soc_g_kg"] - 1)
    assert report.moved_median == pytest.approx(np.median(moved), rel=1e-9)
    assert 0.01 < report.moved_p95 < 0.3
    assert f"{report.moved_median:.1%} (median" in report.summary()


@pytest.mark.parametrize(("share", "deepest"), [(0.75, 60), (0.76, 30), (0.0, 60)])
def test_a_depth_needs_a_share_that_was_sampled(share: float, deepest: float) -> None:
    table, report = harmonise(layers(), DEPTHS, min_cover=share)
    assert table["top_cm"].max() == deepest
    count = report.depths[4]
    assert (count.rows, count.partly) == ((1, 1) if deepest == 60 else (0, 0))
    assert (count.too_little, count.not_reached) == ((0, 0) if deepest == 60 else (1, 0))
    assert report.depths[5].not_reached == 1


def test_gaps_are_bridged_only_if_asked() -> None:
    gap = layers(top_cm=[0, 10, 60, 80], bottom_cm=[10, 25, 80, 100])
    table, report = harmonise(gap, DEPTHS)
    assert table["top_cm"].tolist() == [0, 5, 15, 60]
    assert report.count("sampled_too_little") == 1
    bridged, report = harmonise(gap, DEPTHS, min_cover=0)
    assert bridged["top_cm"].tolist() == [0, 5, 15, 30, 60]
    assert bridged["flags"].iloc[3] == "bridged"
    assert report.count("bridged") == 1
    # a straight line between the layers: its value at the middle of the depth
    found = by_hand(gap, "soc_g_kg", 0.1)
    assert bridged["soc_g_kg"].iloc[3] == pytest.approx(found[3])


def test_a_single_layer_is_constant_and_counted() -> None:
    table, report = harmonise(one(), DEPTHS)
    assert table["top_cm"].tolist() == [0, 5]  # a third of 15-30 cm is too little
    assert table["soc_g_kg"].tolist() == [30, 30]
    assert set(table["flags"]) == {"one_layer"}
    assert report.count("one_layer") == 2
    assert "2 rows repeat the only layer of their profile" in report.summary()


def test_dates_of_a_profile_stay_apart() -> None:
    later = layers(year=2000.0, soc_g_kg=[20.0, 11.0, 9.0, 2.0])
    undated = layers(year=np.nan, soc_g_kg=[10.0, 10.0, 10.0, 10.0])
    table, report = harmonise(pd.concat([undated, later, layers()]), DEPTHS)
    assert report.profiles == 3
    for year, part in ((1980, layers()), (2000, later)):
        found = table[table["year"] == year]["soc_g_kg"]
        np.testing.assert_allclose(found, by_hand(part, "soc_g_kg", 0.1)[:5], rtol=1e-12)
    np.testing.assert_allclose(table[table["year"].isna()]["soc_g_kg"], 10, rtol=1e-12)


def test_layers_above_the_mineral_soil_stay_as_they_are() -> None:
    humus = one(top_cm=-4.0, bottom_cm=0.0, soc_g_kg=400.0)
    litter = one(top_cm=0.0, bottom_cm=2.0, soc_g_kg=450.0, litter=True)
    table, report = harmonise(pd.concat([layers(), humus, litter]), DEPTHS)
    kept = table[table["soc_g_kg"] >= 400]
    assert kept[["top_cm", "bottom_cm"]].to_numpy().tolist() == [[-4, 0], [0, 2]]
    assert report.surface == report.count("surface_layer") == 2
    without, _ = harmonise(layers(), DEPTHS)
    pd.testing.assert_frame_equal(
        table[table["soc_g_kg"] < 400].reset_index(drop=True), without, check_dtype=False
    )


def test_layers_that_overlap_are_averaged_where_they_coincide() -> None:
    double = pd.concat([layers(), layers(soc_g_kg=[10.0, 8.0, 9.0, 4.0])])
    mean, _ = harmonise(layers(soc_g_kg=[20.0, 10.0, 9.0, 3.0]), DEPTHS)
    table, report = harmonise(double, DEPTHS)
    np.testing.assert_allclose(table["soc_g_kg"], mean["soc_g_kg"], rtol=1e-12)
    assert table["replicates"].tolist() == [1] * 5
    assert report.count("overlap_averaged") == 8
    shifted = layers(top_cm=[0.0, 8.0, 25.0, 50.0])
    table, report = harmonise(shifted, DEPTHS, method="overlap")
    assert table["soc_g_kg"].tolist()[1] == pytest.approx((3 * 30 + 2 * 21 + 5 * 12) / 10)
    assert report.count("overlap_averaged") == 4


def test_what_is_lost_is_counted_by_source() -> None:
    parts = [
        layers(),
        one(profile_id="t:shallow", source="t", bottom_cm=2.0),
        one(profile_id="t:empty", source="t", soc_g_kg=np.nan),
        one(profile_id="t:deep", source="t", top_cm=210.0, bottom_cm=230.0),
    ]
    table, report = harmonise(pd.concat(parts), DEPTHS)
    assert set(table["source"]) == {"s"}
    assert report.count("no_value", "t") == 1
    assert report.count("profile_without_depth", "t") == 3
    assert report.count("outside_depths", "t") == 1
    assert report.count("sampled_too_little", "t") == 1  # 2 of 5 cm
    assert "3 profiles fill no depth to 50%" in report.summary()
    text = report.to_text()
    for words in ("profile_without_depth", "no value of organic carbon", "not reached"):
        assert words in text
    again = HarmoniseReport.from_json(json.loads(json.dumps(report.to_json())))
    assert again == report


def test_depth_counts_add_up() -> None:
    parts = [layers(profile_id=f"s:{i}").iloc[: 1 + i % 4] for i in range(9)]
    table, report = harmonise(pd.concat(parts), DEPTHS)
    for count in report.depths:
        assert count.rows + count.too_little + count.not_reached == report.profiles == 9
        assert count.rows == (table["top_cm"] == count.top_cm).sum()
    assert report.rows == len(table) == sum(count.rows for count in report.depths)


def test_a_sharp_drop_stays_possible_and_is_flagged() -> None:
    peat = layers(soc_g_kg=[500.0, 4.0, 3.0, 1.0])
    table, report = harmonise(peat, DEPTHS)
    assert (table["soc_g_kg"] >= 0).all()
    raw = fit_spline(peat["top_cm"], peat["bottom_cm"], peat["soc_g_kg"], [0, 4], 0.1)
    assert (interval_means(raw, *zip(*DEPTHS[:5], strict=True)).value < 0).any()
    assert report.count("limited") + report.count("clipped") > 0
    assert table["flags"].str.contains("limited|clipped").any()


@given(st.randoms(use_true_random=False), st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_order_and_company_do_not_matter(random, profiles: int) -> None:
    rng = np.random.default_rng(random.randrange(2**32))
    parts = [
        layers(profile_id=f"s:{i}", soc_g_kg=rng.lognormal(2, 1, 4), row=range(4 * i, 4 * i + 4))
        for i in range(profiles)
    ]
    together, _ = harmonise(pd.concat(parts), DEPTHS)
    shuffled, _ = harmonise(pd.concat(parts).sample(frac=1, random_state=1), DEPTHS)
    pd.testing.assert_frame_equal(together, shuffled)
    alone = pd.concat([harmonise(part, DEPTHS)[0] for part in parts], ignore_index=True)
    pd.testing.assert_frame_equal(together, alone)


def test_lambda_is_chosen_by_layers_left_out() -> None:
    """Noise about a straight line asks for more smoothing than the line itself."""
    rng = np.random.default_rng(3)
    edges = np.arange(0, 110, 10.0)
    parts = [
        pd.DataFrame(
            {
                "profile_id": f"s:{i}", "source": "s", "year": 1980.0,
                "top_cm": edges[:-1], "bottom_cm": edges[1:],
                "soc_g_kg": 40 - 0.3 * edges[:-1] + rng.normal(0, noise, 10),
            }
        )
        for i, noise in ((0, 4.0), (1, 4.0), (2, 4.0), (3, 4.0))
    ]  # fmt: skip
    noisy = choose_lambda(pd.concat(parts))
    clean = choose_lambda(parts[0].assign(soc_g_kg=40 * np.exp(-edges[:-1] / 20)))
    assert noisy.layers == 32
    assert noisy.lam >= 1
    assert clean.lam < 0.1
    assert noisy.errors[noisy.lam] == min(noisy.errors.values())
    with pytest.raises(InputError, match="no profile has three layers"):
        choose_lambda(one())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"column": "soc_gkg"}, 'no column "soc_gkg": did you mean "soc_g_kg"'),
        ({"depths": [(5, 5)]}, "5 to 5 cm is no depth"),
        ({"depths": []}, "at least one was expected"),
        ({"method": "linear"}, 'method = "linear": expected spline or overlap'),
        ({"mass": "all"}, 'mass = "all": expected smoothed or exact'),
        ({"lam": -1}, "lam = -1: expected 0 or more"),
        ({"min_cover": 1.5}, "min_cover = 1.5: expected a share"),
        ({"depths": [(150, 200)]}, 'none of 1 profiles has "soc_g_kg" over 50% of any .* 150-200'),
        ({"table": layers().iloc[:0]}, "no soil layer to harmonise"),
        (
            {"table": layers(bottom_cm=[10.0, 10.0, 50.0, 90.0])},
            r"profile s:a \(x.csv, 8\): a layer from 10 to 10 cm has no thickness",
        ),
    ],
)
def test_bad_input_is_named(options: dict, message: str) -> None:
    given_ = {"table": layers(), "depths": DEPTHS, **options}
    with pytest.raises(InputError, match=message):
        harmonise(given_.pop("table"), given_.pop("depths"), **given_)


def test_a_checked_table_goes_through_whole(tmp_path) -> None:
    """As :func:`load_profiles` returns it: all columns and their types."""
    path = tmp_path / "survey.csv"
    columns = ["profile_id", "lon", "lat", "year", "top_cm", "bottom_cm", "soc_g_kg"]
    pd.concat([layers(), layers(profile_id="s:b", lon=11.0)])[columns].to_csv(path, index=False)
    profiles = load_profiles([ProfileFile(path)])
    table, _ = harmonise(profiles.table, DEPTHS)
    assert list(table) == [*profiles.table, "sampled"]
    for name in profiles.table:
        assert table[name].dtype == profiles.table[name].dtype
    assert len(table) == 10
