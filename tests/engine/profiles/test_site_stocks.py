"""Stocks of one layer at places and dates: closed forms, gaps, and what is left out and why."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.profiles.site_stocks import layer_stock, site_stocks


def layers(**changes: object) -> pd.DataFrame:
    """Return one profile of two layers, 0-10 and 10-30 cm."""
    table = {
        "profile_id": "a",
        "source": "s",
        "lon": 10.0,
        "lat": 50.0,
        "year": 1980.0,
        "top_cm": [0.0, 10.0],
        "bottom_cm": [10.0, 30.0],
        "soc_g_kg": [20.0, 10.0],
        "bulk_density_g_cm3": [1.2, 1.5],
        "coarse_fraction": [0.0, 0.2],
    }
    return pd.DataFrame({**table, **changes})


def stock(table: pd.DataFrame, depth: float = 20.0) -> pd.DataFrame:
    return site_stocks(table, depth, 1970, 2010)[0]


def test_a_stock_is_the_sum_of_layers_and_the_share_of_the_last() -> None:
    """20 x 1.2 x 10 cm + 10 x 1.5 x 0.8 x 10 cm of 20 = 240 + 120, in hundredths of kg/m²."""
    found, counts = site_stocks(layers(), 20.0, 1970, 2010)
    assert found["stock"].tolist() == pytest.approx([3.6])
    assert found["year"].tolist() == [1980]
    assert found["site"].tolist() == ["10.0000,50.0000"]
    assert (counts.profiles, counts.observations, counts.sites, counts.without_fragments) == (
        1, 1, 1, 0,
    )  # fmt: skip


def test_layers_cut_finer_hold_the_same_stock() -> None:
    rng = np.random.default_rng(0)
    edges = np.sort(rng.uniform(0, 40, 6))
    top, bottom = np.array([0.0, *edges]), np.array([*edges, 50.0])
    carbon = rng.uniform(5, 40, 7)
    fine = np.unique(np.concatenate([top, bottom, np.linspace(0, 50, 11)]))
    inner = np.searchsorted(top, fine[:-1], side="right") - 1
    whole, _ = layer_stock(top, bottom, carbon, 30.0)
    cut, _ = layer_stock(fine[:-1], fine[1:], carbon[inner], 30.0)
    assert whole == pytest.approx(cut)
    parts = np.clip(bottom, 0, 30) - np.clip(top, 0, 30)
    assert whole == pytest.approx((carbon * parts).sum() / 100)


@pytest.mark.parametrize(("bottom", "kept"), [(19.5, True), (19.0, True), (18.9, False)])
def test_a_centimetre_may_be_missing_and_is_made_up_for(bottom: float, kept: bool) -> None:
    one, why = layer_stock(np.array([0.0]), np.array([bottom]), np.array([30.0]), 20.0)
    if kept:
        assert one == pytest.approx(30.0 * 20 / 100)
    else:
        assert np.isnan(one)
        assert why == "not_covered"


def test_a_gap_inside_is_a_gap() -> None:
    top, bottom = np.array([0.0, 12.0]), np.array([10.0, 30.0])
    assert layer_stock(top, bottom, np.array([24.0, 12.0]), 20.0)[1] == "not_covered"


def test_overlapping_layers_are_averaged() -> None:
    top, bottom = np.array([0.0, 0.0]), np.array([20.0, 20.0])
    assert layer_stock(top, bottom, np.array([20.0, 30.0]), 20.0)[0] == pytest.approx(5.0)


def test_reasons_are_counted_and_told() -> None:
    parts = [
        layers(),
        layers(profile_id="undated", year=np.nan, lon=11.0),
        layers(profile_id="late", year=2015.0, lon=12.0),
        layers(profile_id="light", bulk_density_g_cm3=[1.2, np.nan], lon=13.0),
        layers(profile_id="short", bottom_cm=[5.0, 30.0], lon=14.0),
        layers(profile_id="stony", coarse_fraction=np.nan, year=1990.0, lon=15.0),
    ]
    found, counts = site_stocks(pd.concat(parts), 20.0, 1970, 2010)
    assert len(found) == 2
    assert (counts.undated, counts.outside, counts.lacking_density, counts.not_covered) == (
        1, 1, 1, 1,
    )  # fmt: skip
    assert counts.without_fragments == 1
    assert counts.by_year == {1980: 1, 1990: 1}
    text = counts.to_text()
    assert "1 lack bulk density" in text
    assert "1 are undated" in text
    assert "upper bounds" in text


def test_a_place_is_revisited_and_profiles_of_a_date_are_averaged() -> None:
    near = layers(profile_id="b", lon=10.00001, soc_g_kg=[40.0, 20.0])
    later = layers(profile_id="c", year=2000.0)
    found, counts = site_stocks(pd.concat([layers(), near, later]), 20.0, 1970, 2010)
    assert found["year"].tolist() == [1980, 2000]
    assert found["stock"].tolist() == pytest.approx([(3.6 + 7.2) / 2, 3.6])
    assert found["profiles"].tolist() == [2, 1]
    assert (counts.sites, counts.revisited) == (1, 1)


@pytest.mark.parametrize(("off", "sites"), [(0.0003, 1), (0.01, 1), (0.02, 2)])
def test_a_profile_found_again_beside_its_place_is_a_revisit(off: float, sites: int) -> None:
    """Satellites find a place again to some metres; kilometres away it is another."""
    again = layers(year=2000.0, lon=10.0 + off, soc_g_kg=[22.0, 11.0])
    found, counts = site_stocks(pd.concat([layers(), again]), 20.0, 1970, 2010)
    assert found["site"].nunique() == sites
    assert (counts.sites, counts.revisited, counts.found_again) == (sites, 2 - sites, 2 - sites)
    assert ("found again beside" in counts.to_text()) == (sites == 1)
    assert sorted(found["stock"]) == pytest.approx([3.6, 3.96])
    if sites == 1:
        assert found["lon"].tolist() == [10.0, 10.0]
        assert found["site"].unique().tolist() == ["10.0000,50.0000"]


def test_without_density_the_error_says_what_is_missing() -> None:
    with pytest.raises(InputError, match=r"1 lack bulk density.*profiles\.files\.columns"):
        stock(layers(bulk_density_g_cm3=np.nan))
