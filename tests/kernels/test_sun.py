"""Sun against FAO-56's worked examples and tables, pyet 1.5.0, the equinox and the poles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edaphos.kernels import sun
from edaphos.kernels.sun import (
    day_length,
    day_length_by_month,
    extraterrestrial_radiation,
    radiation_by_month,
)

JANUARY, FEBRUARY, APRIL, JULY = 0, 1, 3, 6
LATITUDES = st.floats(-90, 90)

# From pyet 1.5.0 (MIT), on the fifteenth of each month: MJ m⁻² day⁻¹, and hours.
PYET_RADIATION = {
    69.65: [0.0, 2.7922, 10.642, 23.1848, 35.2035, 42.4195,
            39.2061, 27.9738, 15.0343, 5.0009, 0.182, 0.0],
    -42.9: [43.2343, 37.4688, 29.7176, 20.689, 14.0761, 11.0762,
            12.2431, 17.5004, 25.8182, 34.5191, 41.5293, 44.6306],
}  # fmt: skip
PYET_HOURS = {
    69.65: [0.0, 6.772, 11.0203, 15.5766, 20.9221, 24.0,
            24.0, 17.4744, 12.7615, 8.347, 2.6923, 0.0],
    -42.9: [14.8187, 13.678, 12.3368, 10.807, 9.5352, 8.8531,
            9.1429, 10.2554, 11.7379, 13.2168, 14.5165, 15.1501],
}  # fmt: skip


def test_fao56_examples() -> None:
    third_of_september = 246
    assert extraterrestrial_radiation(-20.0, third_of_september) == pytest.approx(32.2, abs=0.05)
    assert day_length(-20.0, third_of_september) == pytest.approx(11.7, abs=0.05)
    # Examples 17 (Bangkok, April), 18 (Uccle, 6 July) and 20 (Lyon, July).
    assert radiation_by_month(13 + 44 / 60)[APRIL] == pytest.approx(38.06, abs=0.01)
    assert day_length_by_month(13 + 44 / 60, "middle")[APRIL] == pytest.approx(12.31, abs=0.005)
    assert extraterrestrial_radiation(50.80, 187) == pytest.approx(41.09, abs=0.01)
    assert day_length(50.80, 187) == pytest.approx(16.1, abs=0.05)
    assert radiation_by_month(45 + 43 / 60)[JULY] == pytest.approx(40.55, abs=0.02)


@pytest.mark.parametrize(
    ("month", "latitude", "hours"),
    [
        (FEBRUARY, 50, 9.8), (FEBRUARY, 40, 10.5), (FEBRUARY, -40, 13.5), (FEBRUARY, 30, 11.0),
        (FEBRUARY, 20, 11.3), (JULY, 40, 14.6), (JULY, 42, 14.8),
    ],
)  # fmt: skip
def test_fao56_table_of_daylight(month: int, latitude: float, hours: float) -> None:
    assert day_length_by_month(latitude, "middle")[month] == pytest.approx(hours, abs=0.1)


@pytest.mark.parametrize("latitude", PYET_HOURS)
def test_equals_pyet_in_the_middle_of_each_month(latitude: float) -> None:
    np.testing.assert_allclose(radiation_by_month(latitude), PYET_RADIATION[latitude], atol=6e-5)
    hours = day_length_by_month(latitude, "middle")
    np.testing.assert_allclose(hours, PYET_HOURS[latitude], atol=6e-5)


def test_monthly_means_are_those_of_their_days() -> None:
    latitudes = np.array([[-67.0], [0.0], [52.0]])
    months = day_length_by_month(latitudes, "mean")
    assert months.shape == (12, 3, 1)
    july = np.mean([day_length(latitudes, day) for day in range(182, 213)], axis=0)
    np.testing.assert_allclose(months[JULY], july, rtol=1e-13)
    year = np.mean([day_length(52.0, day) for day in range(1, 366)])
    weighted = np.average(months[:, 2, 0], weights=sun.MONTH_DAYS)
    np.testing.assert_allclose(weighted, year, rtol=1e-13)


@given(LATITUDES, st.integers(1, 366))
def test_bounds_hold_everywhere(latitude: float, day: int) -> None:
    hours, energy = day_length(latitude, day), extraterrestrial_radiation(latitude, day)
    assert 0 <= hours <= 24
    assert 0 <= energy <= 50
    if hours == 0:
        assert energy == pytest.approx(0, abs=1e-9)
    # Opposite hemispheres share a day.
    assert hours + day_length(-latitude, day) == pytest.approx(24, abs=1e-6)


def test_polar_night_and_midnight_sun() -> None:
    for latitude in (-90.0, -80.0, 80.0, 90.0):
        hours = day_length_by_month(latitude)
        assert hours.min() == 0
        assert hours.max() == 24
        assert np.isfinite(radiation_by_month(latitude, "mean")).all()


def test_nan_and_types_stay() -> None:
    latitudes = np.array([10.0, np.nan, 10.0], np.float32)
    months = radiation_by_month(latitudes)
    assert months.dtype == np.float32
    assert np.isnan(months).tolist() == [[False, True, False]] * 12
    assert radiation_by_month(10).dtype == np.float64


def test_refuses_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="longitude and latitude swapped"):
        day_length([10.0, 120.0], 1)
    with pytest.raises(ValueError, match="over must be"):
        day_length_by_month(10.0, "median")  # type: ignore[arg-type]
