"""Penman-Monteith against the worked examples and the station table of FAO-56, and pyet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edaphos.kernels.penman import (
    atmospheric_pressure,
    penman_monteith,
    psychrometric_constant,
    saturation_pressure,
    sunshine_share,
    wind_at_2m,
)
from edaphos.kernels.sun import MONTH_DAYS, radiation_by_month

BANGKOK, LYON, CABINDA = 13 + 44 / 60, 45 + 43 / 60, -5.33
APRIL, JULY = 3, 6

# FAO-56, figure 18: Cabinda (20 m) by month. Minimum and maximum temperature, humidity %, wind
# km/day, sun hours, radiation MJ m⁻² day⁻¹, reference evapotranspiration mm/day (CROPWAT 7.0).
CABINDA_TABLE = np.array([
    (22.8, 29.6, 81, 78, 4.0, 15.7, 3.4), (22.7, 30.3, 82, 69, 4.6, 16.9, 3.7),
    (23.0, 30.6, 80, 78, 5.1, 17.4, 3.8), (23.0, 30.2, 82, 69, 5.0, 16.4, 3.5),
    (22.0, 28.6, 84, 69, 3.8, 13.5, 2.9), (19.2, 26.5, 81, 69, 3.3, 12.2, 2.6),
    (17.6, 25.1, 78, 78, 3.2, 12.3, 2.6), (18.6, 25.3, 78, 78, 2.6, 12.4, 2.6),
    (20.5, 26.5, 78, 104, 2.0, 12.4, 2.8), (22.5, 28.0, 79, 130, 2.2, 12.9, 3.1),
    (23.0, 28.7, 80, 104, 3.2, 14.4, 3.3), (23.0, 29.1, 82, 95, 3.8, 15.2, 3.4),
]).T  # fmt: skip

# pyet 1.5.0 (MIT), `pm_fao56`: °C ± 5, 75 % humidity, wind 3 m/s, 90 m, G = 0.1, n/N = 0.45.
PYET = {
    51.81: (
        [3.4, 3.6, 5.1, 8.0, 11.1, 14.2, 16.1, 15.9, 13.3, 9.8, 6.2, 4.1],
        [0.6544, 0.9085, 1.352, 2.0491, 2.7601, 3.3206,
         3.4324, 2.975, 2.1264, 1.3411, 0.8131, 0.6155],
    ),
    -1.29: (
        [19.1, 20.2, 20.6, 19.9, 18.8, 17.4, 16.6, 17.1, 18.7, 19.6, 18.9, 18.7],
        [3.5248, 3.7352, 3.7987, 3.6079, 3.3164, 3.063,
         3.015, 3.2079, 3.5198, 3.6521, 3.511, 3.4422],
    ),
}  # fmt: skip


def year(value: float) -> np.ndarray:
    return np.full(12, value)


def bangkok(**more) -> float:
    """Reference evapotranspiration of April, mm/day."""
    pet = penman_monteith(year(25.6), year(34.8), BANGKOK, 2, soil_heat=0.14, wind=2.0, **more)
    return pet[APRIL] / 30


def test_example_17_with_monthly_data() -> None:
    sunshine = sunshine_share(year(8.5), BANGKOK)
    assert sunshine[APRIL] == pytest.approx(0.69, abs=0.005)
    assert bangkok(vapour_pressure=2.85, sunshine=sunshine) == pytest.approx(5.72, abs=0.01)
    # The same weather told otherwise: net or solar radiation, humidity or dew point.
    assert bangkok(vapour_pressure=2.85, net_radiation=14.33) == pytest.approx(5.72, abs=0.01)
    assert bangkok(vapour_pressure=2.85, solar_radiation=22.65) == pytest.approx(5.72, abs=0.01)
    humidity = 100 * 2.85 / 4.42
    same = bangkok(relative_humidity=humidity, net_radiation=14.33)
    assert same == pytest.approx(5.72, abs=0.01)
    dew = 237.3 * np.log(2.85 / 0.6108) / (17.27 - np.log(2.85 / 0.6108))
    assert bangkok(dew_point=dew, net_radiation=14.33) == pytest.approx(5.72, abs=0.01)


@pytest.mark.parametrize(("wind", "expected"), [(1.0, 4.2), (2.0, 4.56), (3.0, 4.8)])
def test_example_20_with_missing_data(wind: float, expected: float) -> None:
    pet = penman_monteith(year(14.8), year(26.6), LYON, 200, soil_heat=0, wind=wind)
    assert pet[JULY] / 31 == pytest.approx(expected, abs=0.05)


def test_example_18_of_one_day() -> None:
    """Uccle, 6 July; the month's middle is close to it, so its radiation is given."""
    pressure = (saturation_pressure(12.3) * 0.84 + saturation_pressure(21.5) * 0.63) / 2
    pet = penman_monteith(
        year(12.3), year(21.5), 50.8, 100, vapour_pressure=pressure, net_radiation=13.28,
        wind=wind_at_2m(10 / 3.6, 10), soil_heat=0,
    )  # fmt: skip
    assert pet[JULY] / 31 == pytest.approx(3.88, abs=0.01)


def test_station_of_figure_18() -> None:
    """CROPWAT 7.0 took vapour pressure from humidity otherwise, worth up to 0.15 mm/day."""
    low, high, humidity, wind, hours, solar, expected = CABINDA_TABLE
    sunshine = sunshine_share(hours, CABINDA)
    np.testing.assert_allclose(
        (0.25 + 0.5 * sunshine) * radiation_by_month(CABINDA), solar, atol=0.16
    )
    pet = penman_monteith(
        low, high, CABINDA, 20, relative_humidity=humidity, wind=wind / 86.4, sunshine=sunshine
    )
    np.testing.assert_allclose(pet / MONTH_DAYS, expected, atol=0.15)


@pytest.mark.parametrize("latitude", PYET)
def test_equals_pyet(latitude: float) -> None:
    mean, expected = PYET[latitude]
    mean = np.array(mean) + 0.5
    pet = penman_monteith(
        mean - 5, mean + 5, latitude, 90, relative_humidity=75, wind=3, sunshine=0.45, soil_heat=0.1
    )
    np.testing.assert_allclose(pet / MONTH_DAYS, expected, atol=6e-5)


def test_worked_parts() -> None:
    assert atmospheric_pressure(np.array(1800.0)) == pytest.approx(81.8, abs=0.05)  # example 2
    assert psychrometric_constant(np.array(1800.0)) == pytest.approx(0.054, abs=5e-4)
    both = (saturation_pressure(15.0) + saturation_pressure(24.5)) / 2  # example 3
    assert both == pytest.approx(2.39, abs=0.005)
    assert wind_at_2m(3.2, 10) == pytest.approx(2.4, abs=0.05)  # example 14


def test_soil_heat_follows_the_months_around() -> None:
    """Example 13: March 14.1, April 16.1, May 18.8 °C take up 0.33 MJ m⁻² day⁻¹ in April."""
    mean = np.array([12, 13, 14.1, 16.1, 18.8, 20, 20, 20, 18, 16, 14, 13])
    air = {"vapour_pressure": 1.0, "net_radiation": 10.0}
    by_itself = penman_monteith(mean, mean, 36.0, 0, **air)
    told = penman_monteith(mean, mean, 36.0, 0, soil_heat=0.33, **air)
    assert by_itself[APRIL] == pytest.approx(told[APRIL], rel=1e-3)
    assert by_itself[0] != pytest.approx(told[0], rel=1e-3)


@given(st.floats(-40, 35), st.floats(0, 20), st.floats(-90, 90), st.floats(0, 1), st.floats(0, 6))
def test_finite_never_negative_and_growing_with_sun(low, swing, latitude, sunshine, wind) -> None:
    extremes = year(low), year(low + swing)
    air = {"relative_humidity": 60, "wind": wind, "soil_heat": 0}
    pet = penman_monteith(*extremes, latitude, 0, sunshine=sunshine, **air)
    assert np.isfinite(pet).all()
    assert (pet >= 0).all()
    dim = penman_monteith(*extremes, latitude, 0, net_radiation=5.0, **air)
    bright = penman_monteith(*extremes, latitude, 0, net_radiation=6.0, **air)
    assert (bright >= dim).all()


def test_nan_type_and_shape() -> None:
    rng = np.random.default_rng(8)
    low = rng.normal(8, 9, (12, 4, 6)).astype(np.float32)
    latitude = np.linspace(70, -40, 4, dtype=np.float32)[:, None]
    height = rng.uniform(0, 3000, (4, 6)).astype(np.float32)
    whole = penman_monteith(low, low + 9, latitude, height)
    assert whole.dtype == np.float32
    assert np.isfinite(whole).all()
    holed = low.copy()
    holed[5, 1, 2] = np.nan
    part = penman_monteith(holed, low + 9, latitude, height, soil_heat=None)
    # A missing month is felt by its neighbours through the heat that soil takes up.
    assert np.isnan(part[:, 1, 2]).tolist() == [False] * 4 + [True] * 3 + [False] * 5
    part[:, 1, 2] = whole[:, 1, 2]
    np.testing.assert_array_equal(part, whole)


def test_sunshine_share_of_polar_night_is_nothing() -> None:
    share = sunshine_share(year(0.0), 85.0)
    assert (share == 0).all()
    assert sunshine_share(year(30.0), 0.0).max() == 1


def test_refuses_what_contradicts() -> None:
    with pytest.raises(ValueError, match="found vapour_pressure and dew_point"):
        penman_monteith(year(1), year(2), 0.0, 0, vapour_pressure=1.0, dew_point=1.0)
    with pytest.raises(ValueError, match="found net_radiation and sunshine"):
        penman_monteith(year(1), year(2), 0.0, 0, net_radiation=1.0, sunshine=1.0)
    with pytest.raises(ValueError, match="wind of shape"):
        penman_monteith(year(1), year(2), 0.0, 0, wind=np.ones(5))
    with pytest.raises(ValueError, match=r"0\.1 m or more"):
        wind_at_2m(1.0, 0.05)
