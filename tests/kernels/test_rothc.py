"""RothC's formulas one by one, compiled and as plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edaphos.kernels.rothc import (
    RATES,
    inert,
    largest_deficit,
    losses,
    moisture_factor,
    moisture_slope,
    next_deficit,
    pedotransfer_pools,
    retained,
    strong_losses,
    temperature_factor,
)

BOTH = pytest.mark.parametrize("plain", [False, True], ids=["compiled", "python"])
NAN = float("nan")


def form(function, plain: bool):
    return function.py_func if plain else function


# -- losses ---------------------------------------------------------------------------------------


@BOTH
@given(exposure=st.one_of(st.floats(0, 4), st.floats(-9, 0).map(lambda power: 10**power)))
def test_losses_keep_their_digits(plain: bool, exposure: float) -> None:
    """Up to the largest possible exposure, 47.91/12."""
    for found, rate in zip(form(losses, plain)(exposure), RATES, strict=True):
        assert found == pytest.approx(-math.expm1(-rate * exposure), rel=1e-13, abs=1e-300)


@given(st.floats(4, 10))
def test_losses_far_beyond_what_occurs(exposure: float) -> None:
    for found, rate in zip(losses(exposure), RATES, strict=True):
        assert found == pytest.approx(-math.expm1(-rate * exposure), rel=1e-11, abs=0)


@given(st.one_of(st.floats(0, 4, width=32), st.floats(-6, 0).map(lambda power: 10**power)))
def test_losses_keep_the_digits_of_float32(exposure: float) -> None:
    low = np.float32(exposure)
    for found, rate in zip(losses(low), RATES, strict=True):
        assert found == pytest.approx(-math.expm1(-rate * float(low)), rel=8e-7, abs=1e-37)


@BOTH
@given(exposure=st.one_of(st.floats(0, 1e6), st.floats(-9, 6).map(lambda power: 10**power)))
def test_strong_losses_keep_their_digits_at_any_exposure(plain: bool, exposure: float) -> None:
    for found, rate in zip(form(strong_losses, plain)(exposure), RATES, strict=True):
        assert found == pytest.approx(-math.expm1(-rate * exposure), rel=3e-11, abs=1e-300)


@pytest.mark.parametrize("share_lost", [losses, strong_losses])
def test_nothing_is_lost_where_nothing_decomposes(share_lost) -> None:
    assert share_lost(0.0) == (0.0, 0.0, 0.0, 0.0)
    assert all(math.isnan(share) for share in share_lost(NAN))


@given(st.floats(0, 10), st.floats(0, 10))
def test_losses_are_shares_that_grow(one: float, other: float) -> None:
    less, more = losses(min(one, other)), losses(max(one, other))
    for a, b in zip(less, more, strict=True):
        assert 0 <= a <= b * (1 + 1e-15) <= 1 + 1e-15


# -- temperature ----------------------------------------------------------------------------------


@BOTH
@given(celsius=st.floats(-30, 60))
def test_temperature_factor(plain: bool, celsius: float) -> None:
    found = form(temperature_factor, plain)(celsius)
    wanted = 47.91 / (1 + math.exp(106.06 / (celsius + 18.27))) if celsius >= -5 else 0.0
    assert abs(found - wanted) < 1e-12


@BOTH
@pytest.mark.parametrize("celsius", [np.nextafter(-5, -6), -5.001, -18.27, -18.3, -273.15, -1e30])
def test_nothing_decomposes_below_minus_five(plain: bool, celsius: float) -> None:
    assert form(temperature_factor, plain)(float(celsius)) == 0.0


def test_minus_five_itself_is_active_and_missing_stays_missing() -> None:
    assert temperature_factor(-5.0) == pytest.approx(0.01618, abs=1e-5)
    assert math.isnan(temperature_factor(NAN))


def test_the_year_of_rothamsted_is_one() -> None:
    """The equation was fitted to be 1 at Rothamsted's 9.25 °C (model description)."""
    assert temperature_factor(9.25) == pytest.approx(1.0, abs=0.01)


# -- moisture -------------------------------------------------------------------------------------


def test_largest_deficit_of_rothamsted() -> None:
    """The description's worked value: 23.4 % clay, 0-23 cm; and -24.99 mm when bare."""
    most = largest_deficit(23.4, 23.0)
    assert most == pytest.approx(-44.94, abs=0.01)
    assert next_deficit(0.0, -1e3, most, False) == pytest.approx(-24.99, abs=0.01)


@BOTH
@pytest.mark.parametrize(
    ("deficit", "net", "covered", "expected"),
    [
        (0.0, 30.0, True, 0.0),  # never above field capacity
        (-10.0, -15.0, True, -25.0),
        (-10.0, -95.0, True, -100.0),  # just the largest
        (-10.0, -300.0, True, -100.0),
        (-10.0, -300.0, False, -55.6),  # bare soil dries less
        (-80.0, -10.0, False, -80.0),  # and stays where plants left it
        (-80.0, 10.0, False, -70.0),
        (-80.0, 300.0, False, 0.0),
    ],
)
def test_a_month_of_water(plain, deficit, net, covered, expected) -> None:
    found = form(next_deficit, plain)(deficit, net, -100.0, covered)
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("covered", [True, False])
def test_missing_water_stays_missing(covered: bool) -> None:
    assert math.isnan(next_deficit(NAN, 1.0, -50.0, covered))
    assert math.isnan(next_deficit(-1.0, NAN, -50.0, covered))


@given(st.floats(0, 100), st.floats(1, 200), st.floats(0, 1))
def test_moisture_factor(clay: float, depth: float, dry: float) -> None:
    most = largest_deficit(clay, depth)
    slope = moisture_slope(most)
    assert moisture_factor(0.0, most, slope) == 1.0
    assert moisture_factor(most, most, slope) == pytest.approx(0.2, abs=1e-12)
    assert moisture_factor(0.722 * most, most, slope) == pytest.approx(0.6, abs=1e-12)  # half way
    found = moisture_factor(dry * most, most, slope)
    assert 0.2 - 1e-12 <= found <= 1.0 + 1e-12
    assert found <= moisture_factor(0.9 * dry * most, most, slope) + 1e-12


# -- partition ------------------------------------------------------------------------------------


@BOTH
def test_carbon_retained(plain: bool) -> None:
    """CO2 / (BIO + HUM) of sand is 1.67 x 3.45 = 5.7615; of pure clay near 1.67 x 1.85."""
    assert 1 / form(retained, plain)(0.0) - 1 == pytest.approx(5.7615, rel=1e-12)
    assert 1 / form(retained, plain)(100.0) - 1 == pytest.approx(1.67 * 1.8506182, rel=1e-6)


# -- starting points ------------------------------------------------------------------------------


def test_inert_matter_of_hoosfield() -> None:
    """The description gives Hoosfield, 33.8632 t C/ha in all, an IOM of 2.7 t C/ha."""
    assert inert(33.8632) == pytest.approx(2.7, abs=0.01)
    assert inert([0.0, 1.0]).tolist() == [0.0, 0.049]
    assert np.isnan(inert([-1.0, NAN])).all()


def test_pedotransfer_by_hand() -> None:
    """40 t C/ha in a soil of 20 % clay, with a pocket calculator."""
    dpm, rpm, bio, hum, iom = pedotransfer_pools(40.0, 20.0)
    assert rpm == pytest.approx(7.5155 * 0.701831, rel=1e-5)
    assert bio == pytest.approx(0.5675 * 1.210007, rel=1e-5)
    assert hum == pytest.approx(29.0989 * 1.056999, rel=1e-5)
    assert iom == pytest.approx(3.272973, rel=1e-5)
    assert dpm == pytest.approx(40 - rpm - bio - hum - iom, abs=1e-12)


def test_pedotransfer_comes_near_the_equilibrium_of_hoosfield() -> None:
    """Pools of the description's worked example; Weihermüller et al. state errors of this size."""
    _, rpm, bio, hum, _ = pedotransfer_pools(33.8632, 23.4)
    np.testing.assert_allclose([rpm, bio, hum], [4.4852, 0.6671, 25.8576], rtol=0.13)


@given(st.floats(1, 300), st.floats(0, 100))
def test_pedotransfer_pools_sum_to_the_stock(stock: float, clay: float) -> None:
    found = pedotransfer_pools([stock, stock], [clay, 10.0])
    assert found.shape == (5, 2)
    np.testing.assert_allclose(found.sum(axis=0), stock, rtol=1e-12)
    assert (found[1:] > 0).all()
    np.testing.assert_allclose(found[:, 0], pedotransfer_pools(stock, clay), atol=1e-12)
