"""Thornthwaite and Hargreaves against published numbers and packages nobody here wrote."""

from __future__ import annotations

from typing import get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edaphos.kernels import evapotranspiration, penman
from edaphos.kernels.evapotranspiration import (
    LEAST_HEAT,
    OpenPan,
    Pet,
    hargreaves,
    pan_from_pet,
    pet_from_pan,
    thornthwaite,
    thornthwaite_of_days,
)
from edaphos.kernels.sun import MONTH_DAYS, day_length_by_month

# The documentation of PyETo (BSD-3) works out Aberdeen, 57.1526° N, in 2014.
ABERDEEN = 57.1526
ABERDEEN_T = [3.1, 3.5, 5.0, 6.7, 9.3, 12.1, 14.3, 14.1, 11.8, 8.9, 5.5, 3.8]
ABERDEEN_PET = [
    11.04590543317501, 14.225860424373405, 27.802870598091953, 43.178869424774305,
    70.47694909766452, 93.99420906995957, 109.69881616481408, 95.24491684988213,
    64.9945211942068, 41.06371810827504, 19.562094545836995, 12.090183352107148,
]  # fmt: skip

# A textbook example with given day lengths, months of 30 days and rounded steps, as the tests of
# PyETo cite it: °C, hours, mm.
BOOK_T = [2.1, 2.5, 4.8, 7.1, 8.3, 10.7, 13.4, 14.5, 11.1, 8.2, 5.4, 3.7]
BOOK_HOURS = [9.4, 10.6, 11.9, 13.4, 14.6, 15.2, 14.9, 13.9, 12.6, 11.1, 9.8, 9.1]
BOOK_PET = [
    10.67, 14.08, 28.49, 45.85, 57.47, 75.20, 89.91, 90.29, 64.26, 43.34, 26.24, 17.31,
]  # fmt: skip

# climate-indices 3.1.0 (BSD-3), common year: latitude, °C, mm.
CLIMATE_INDICES = {
    "Tromsø": (
        69.65,
        [-3.8, -4.0, -1.9, 1.4, 5.4, 9.6, 12.3, 11.5, 7.7, 3.5, 0.1, -2.4],
        [0.0, 0.0, 0.0, 21.019913, 79.282203, 130.759847,
         156.219489, 111.553834, 58.893827, 22.033062, 0.468743, 0.0],
    ),
    "Nairobi": (
        -1.29,
        [19.1, 20.2, 20.6, 19.9, 18.8, 17.4, 16.6, 17.1, 18.7, 19.6, 18.9, 18.7],
        [73.700952, 74.128533, 85.044492, 76.684215, 70.716156, 58.742512,
         55.389685, 58.829905, 68.025402, 77.299795, 69.835441, 70.756136],
    ),
    "Hobart": (
        -42.9,
        [17.3, 17.3, 15.8, 13.4, 11.0, 8.9, 8.5, 9.5, 11.2, 12.8, 14.4, 15.9],
        [98.21531, 82.281676, 72.584875, 49.708393, 35.004287, 23.940027,
         24.10749, 31.262094, 42.827419, 59.409463, 73.44167, 90.027404],
    ),
}  # fmt: skip

# Thornthwaite's own table for hot months of 30 days of 12 hours (1948, p. 94): °C, mm.
HOT_T = np.arange(26.5, 38.1, 0.5)
HOT_PET = [
    135.0, 139.5, 143.7, 147.8, 151.7, 155.4, 158.9, 162.1, 165.2, 168.0, 170.7, 173.1,
    175.3, 177.2, 179.0, 180.5, 181.8, 182.9, 183.7, 184.3, 184.7, 184.9, 185.0, 185.0,
]  # fmt: skip

YEARS = arrays(np.float64, (12, 3), elements=st.floats(-40, 45, width=32))
LATITUDES = arrays(np.float64, (3,), elements=st.floats(-90, 90))


def test_thornthwaite_equals_pyeto() -> None:
    np.testing.assert_allclose(thornthwaite(ABERDEEN_T, ABERDEEN), ABERDEEN_PET, rtol=1e-12)


@pytest.mark.parametrize("place", CLIMATE_INDICES)
def test_thornthwaite_equals_climate_indices(place: str) -> None:
    latitude, temperature, expected = CLIMATE_INDICES[place]
    np.testing.assert_allclose(thornthwaite(temperature, latitude), expected, atol=1e-6)


def test_thornthwaite_textbook() -> None:
    """At the equator days are of 12 hours; the book's hours can then be multiplied in."""
    equator = thornthwaite(BOOK_T, 0.0, days=np.full(12, 30))
    pet = equator / day_length_by_month(0.0) * BOOK_HOURS
    np.testing.assert_allclose(pet, BOOK_PET, atol=0.3)


def test_hot_branch_follows_thornthwaites_table_within_2_percent() -> None:
    for temperature, expected in zip(HOT_T, HOT_PET, strict=True):
        pet = thornthwaite(np.full(12, temperature), 0.0, days=np.full(12, 30))
        np.testing.assert_allclose(pet, expected, rtol=0.02)


def test_hot_branch_never_falls() -> None:
    hot = np.tile(np.linspace(26.5, 60, 100), (12, 1))
    assert (np.diff(thornthwaite(hot, 10.0), axis=1) >= 0).all()


@given(YEARS, LATITUDES)
def test_thornthwaite_is_finite_and_never_negative(temperature, latitude) -> None:
    pet = thornthwaite(temperature, latitude)
    assert np.isfinite(pet).all()
    assert (pet >= 0).all()
    assert (pet[temperature <= 0] == 0).all()


@given(YEARS, LATITUDES, st.floats(0, 20))
def test_hargreaves_grows_with_warmth_and_range(low, latitude, swing) -> None:
    pet = hargreaves(low, low + swing, latitude)
    assert (pet >= 0).all()
    warmer = hargreaves(low + 1, low + swing + 1, latitude)
    wider = hargreaves(low - 1, low + swing + 1, latitude)
    assert (warmer >= pet - 1e-5).all()
    assert (wider >= pet - 1e-5).all()


def test_fao56_example_20_by_hargreaves() -> None:
    lyon_july = hargreaves(np.full(12, 14.8), np.full(12, 26.6), 45 + 43 / 60)[6] / 31
    assert lyon_july == pytest.approx(5.0, abs=0.05)


def test_hargreaves_equals_pyet() -> None:
    """Pyet 1.5.0 (MIT), with its latent heat of 2.501 - 0.002361 T put in place of 2.45."""
    centre = np.array(CLIMATE_INDICES["Hobart"][1]) + 0.5
    pyet = [4.5525, 3.9454, 2.9931, 1.9326, 1.2126, 0.884,
            0.9624, 1.4283, 2.2397, 3.1617, 4.0056, 4.5087]  # fmt: skip
    expected = np.array(pyet) * (2.501 - 0.002361 * centre) * 0.408 * MONTH_DAYS
    pet = hargreaves(centre - 5, centre + 5, -42.9)
    np.testing.assert_allclose(pet, expected, atol=2e-3)
    same = hargreaves(centre - 5, centre + 5, -42.9, centre)
    np.testing.assert_allclose(same, pet, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_stays_in_its_cell_and_type_stays(dtype: type) -> None:
    rng = np.random.default_rng(4)
    clean = rng.normal(12, 10, (12, 5, 7)).astype(dtype)
    holed = clean.copy()
    holed[3, 2, 4] = np.nan
    latitude = np.linspace(-60, 80, 5)[:, None]
    for pet in (thornthwaite, lambda t, lat: hargreaves(t - 4, t + 4, lat)):
        whole, part = pet(clean, latitude), pet(holed, latitude)
        assert whole.dtype == part.dtype == dtype
        differs = ~((whole == part) | (np.isnan(whole) & np.isnan(part)))
        differs[:, 2, 4] = False
        assert not differs.any()
        assert np.isnan(part[3, 2, 4])
    assert np.isnan(thornthwaite(holed, latitude)[:, 2, 4]).all()


def test_float32_is_close_and_tiles_equal_the_whole() -> None:
    t = np.random.default_rng(5).normal(15, 12, (12, 33, 29))
    latitude = np.linspace(60, 20, 33)[:, None]
    whole = thornthwaite(t, latitude)
    single = thornthwaite(t.astype(np.float32), latitude)
    np.testing.assert_allclose(single, whole, rtol=2e-5, atol=1e-3)
    tile = thornthwaite(t[:, 7:20, 3:10], latitude[7:20])
    np.testing.assert_array_equal(tile, whole[:, 7:20, 3:10])
    one_latitude = thornthwaite(t, 41.0)
    np.testing.assert_array_equal(one_latitude, thornthwaite(t, np.full((33, 29), 41.0)))


def test_pan_and_pet() -> None:
    pet = Pet(np.array([0.0, 75.0, np.nan]))
    np.testing.assert_array_equal(pan_from_pet(pet), [0, 100, np.nan])
    np.testing.assert_array_equal(pet_from_pan(OpenPan(np.array([0.0, 100.0]))), [0, 75])


def test_every_function_declares_which_water_it_returns() -> None:
    returned = {
        function: get_type_hints(function)["return"]
        for function in (thornthwaite, hargreaves, penman.penman_monteith, pet_from_pan)
    }
    assert set(returned.values()) == {Pet}
    assert get_type_hints(pan_from_pet)["return"] is OpenPan


def test_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"shape \(12, \.\.\.\), months first; found \(11,\)"):
        thornthwaite(np.ones(11), 0.0)
    with pytest.raises(ValueError, match="t_max must have the shape"):
        hargreaves(np.ones((12, 2)), np.ones((12, 3)), 0.0)
    with pytest.raises(ValueError, match="twelve months"):
        thornthwaite(np.ones(12), 0.0, days=[30])
    assert np.isnan(hargreaves(np.full(12, 9.0), np.full(12, 5.0), 0.0)).all()
    assert evapotranspiration.PAN_FACTOR == 0.75


# -- where all months are near freezing ----------------------------------------------------------

#: A tundra north of 70° N whose July reaches 0.3, 1, 3 or 5 °C, the months around it less.
SUMMERS = np.array([0.3, 1.0, 3.0, 5.0])
TUNDRA = np.array([-25, -26, -24, -18, -9, -2, 0, -1, -5, -13, -19, -23.0])[:, None] + SUMMERS


def test_a_least_heat_index_bounds_the_thaw_of_the_arctic() -> None:
    """Hargreaves, with a daily range of 10 °C, is the witness: energy there sets the bound."""
    hours = day_length_by_month(np.full(len(SUMMERS), 72.0))
    july = hargreaves(TUNDRA - 5, TUNDRA + 5, 72.0)[6]
    plain = thornthwaite_of_days(TUNDRA, hours)[6]
    bounded = thornthwaite_of_days(TUNDRA, hours, least_heat=LEAST_HEAT)[6]
    assert (plain[:2] > 4 * july[:2]).all()
    assert ((0.2 * july < bounded) & (bounded < 2 * july)).all()
    assert (np.diff(bounded) > 0).all()  # the warmer, the more; the plain formula falls
    assert np.diff(plain)[0] < 0
    frost = thornthwaite_of_days(TUNDRA[:, :1] - 0.299, hours[:, :1], least_heat=LEAST_HEAT)
    assert frost.max() < 2  # nothing leaps at 0 °C


def test_a_least_heat_index_leaves_warmer_climates_alone() -> None:
    for latitude, celsius, _ in CLIMATE_INDICES.values():
        hours = day_length_by_month(np.array([latitude]))
        t = np.array(celsius)[:, None]
        np.testing.assert_array_equal(
            thornthwaite_of_days(t, hours, least_heat=LEAST_HEAT), thornthwaite_of_days(t, hours)
        )
    gap = np.full((12, 1), np.nan)
    assert np.isnan(thornthwaite_of_days(gap, hours, least_heat=LEAST_HEAT)).all()
