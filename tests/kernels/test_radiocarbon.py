"""Radiocarbon of RothC's pools: conventions by hand, then what no decay or no air would do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edaphos.kernels import radiocarbon
from edaphos.kernels.radiocarbon import DECAY, delta14c, trace_radiocarbon
from edaphos.kernels.rothc import RATES
from edaphos.kernels.rothc_run import rate_modifiers, simulate

from ..strategies import World, forcing_like, scaled, seeds, world, worlds

MONTHS = 24


def trace(at: World, modern: object, activity: np.ndarray, iom: object = 0.0):
    """Radiocarbon of a run, and its pools."""
    run = simulate(at.forcing, at.soil, at.state, MONTHS)
    rates = rate_modifiers(at.forcing, at.soil, at.state.deficit, MONTHS)
    if at.forcing.rate_factor is not None:
        tilled = np.tile(at.forcing.rate_factor, (MONTHS // 12, 1))
        rates = replace(rates, cover=rates.cover * tilled)
    found = trace_radiocarbon(
        at.forcing, at.soil, rates, modern, run.pools, activity, iom, np.array(RATES)
    )
    return found, run.pools


def of_no_age(months: int = MONTHS) -> np.ndarray:
    return np.full(months, 100.0)


# -- conventions ----------------------------------------------------------------------------------


def test_delta_by_hand() -> None:
    """Modern carbon has 0; carbon as old as one half-life of 5568 years, by the convention."""
    pools = np.array([[1.0], [2.0], [3.0], [4.0]])
    assert delta14c(pools, pools, 0.0)[0] == 0.0
    old = 1000 * (np.exp(-5568 / 8035) - 1)
    assert old == pytest.approx(-499.9, abs=0.1)
    assert delta14c(pools, pools / 2, 0.0)[0] == pytest.approx(old, abs=1e-9)
    assert delta14c(0 * pools, 0 * pools, 1.0)[0] == pytest.approx(
        1000 * (np.exp(-50_000 / 8035) - 1), abs=1e-9
    )
    assert delta14c(0 * pools, 0 * pools, 0.0)[0] == 0.0  # no carbon, as the official program
    bomb = delta14c(pools, 1.8 * pools, 0.0)[0]
    assert bomb == pytest.approx(1000 * (1.8 ** (1 / DECAY / 8035) - 1), abs=1e-9)


@given(seeds, st.floats(1e-3, 1e3), st.floats(0.01, 20))
@settings(max_examples=25)
def test_delta_is_of_the_carbon_not_of_its_amount(seed: int, factor: float, iom: float) -> None:
    rng = np.random.default_rng(seed)
    pools = rng.uniform(0.1, 50, (4, 6))
    activity = pools * rng.uniform(0.3, 1.5, (4, 6))
    found = delta14c(pools, activity, iom)
    np.testing.assert_allclose(
        delta14c(factor * pools, factor * activity, factor * iom), found, atol=1e-9
    )
    assert (found < delta14c(pools, activity, 0.0)).all()  # IOM is old
    assert (found < delta14c(pools, 1.01 * activity, iom)).all()


# -- a run ----------------------------------------------------------------------------------------


@given(worlds)
@settings(max_examples=20)
def test_without_decay_modern_carbon_stays_modern(at: World) -> None:
    """Then activity goes where carbon goes: into every pool, through every month, with manure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(radiocarbon, "DECAY", 0.0)
        found, pools = trace(at, of_no_age(), at.state.pools)
    np.testing.assert_allclose(found.activity, pools, rtol=1e-11, atol=1e-12)


@given(worlds)
@settings(max_examples=20)
def test_decay_only_ages(at: World) -> None:
    found, pools = trace(at, of_no_age(), at.state.pools)
    total, alive = pools.sum(axis=1), found.activity.sum(axis=1)
    assert (alive <= total * (1 + 1e-12)).all()
    assert (alive >= total * np.exp(-DECAY * MONTHS / 12) * (1 - 1e-12)).all()
    assert (found.delta <= 1e-9).all()
    np.testing.assert_array_equal(found.delta, delta14c(pools, found.activity, 0.0))


def test_frozen_ground_ages_a_month_a_month() -> None:
    at = world(1, manure=False)
    frozen = forcing_like(at.forcing, lambda n, a: np.full_like(a, -9) if n == "temperature" else a)
    at = replace(at, forcing=scaled(frozen, 0))
    found, _ = trace(at, of_no_age(), at.state.pools)
    left = np.exp(-DECAY * np.arange(1, MONTHS + 1) / 12)[:, None, None]
    np.testing.assert_allclose(found.activity, at.state.pools * left, rtol=1e-12)


@given(worlds, seeds)
@settings(max_examples=20)
def test_activity_of_the_air_and_of_the_soil_add(at: World, seed: int) -> None:
    rng = np.random.default_rng(seed)
    modern = rng.uniform(80, 190, (MONTHS, at.pixels))
    begun = at.state.pools * rng.uniform(0.3, 1.2, at.state.pools.shape)
    whole, _ = trace(at, modern, begun)
    soil, _ = trace(at, 0 * modern, begun)
    air, _ = trace(at, modern, 0 * begun)
    np.testing.assert_allclose(soil.activity + air.activity, whole.activity, 1e-12, 1e-13)
    double, _ = trace(at, 2 * modern, 0 * begun)
    np.testing.assert_allclose(double.activity, 2 * air.activity, rtol=1e-12)


def test_air_may_be_the_same_for_all_pixels() -> None:
    at = world(2)
    course = np.linspace(100, 180, MONTHS)
    one, _ = trace(at, course, at.state.pools, 3.0)
    each, _ = trace(at, np.repeat(course[:, None], at.pixels, axis=1), at.state.pools, 3.0)
    np.testing.assert_array_equal(one.activity, each.activity)
    np.testing.assert_array_equal(one.delta, each.delta)
    later = np.where(np.arange(MONTHS) < 12, course, course + 50)
    other, _ = trace(at, later, at.state.pools, 3.0)
    np.testing.assert_array_equal(one.activity[:12], other.activity[:12])
    fed = at.forcing.plant_input.sum(axis=0) + at.forcing.manure.sum(axis=0) > 0
    assert (other.delta[-1] > one.delta[-1])[fed].all()


def test_missing_stays_in_its_pixel() -> None:
    at = world(3, warm=True)
    wanted, _ = trace(at, of_no_age(), at.state.pools)
    found, _ = trace(at.changed("plant_input", 2, 7, np.nan), of_no_age(), at.state.pools)
    others = np.arange(40) != 7
    np.testing.assert_array_equal(found.activity[..., others], wanted.activity[..., others])
    assert np.isnan(found.delta[2:, 7]).all()
