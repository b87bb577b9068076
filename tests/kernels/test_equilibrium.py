"""What equilibrium, inverse, projection and spin-up must keep to in any world."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edaphos.kernels.equilibrium import (
    equilibrium,
    equilibrium_of,
    hold_stock,
    inverse_input,
    project,
    spin_up,
)
from edaphos.kernels.rothc import largest_deficit
from edaphos.kernels.rothc_arrays import Forcing, Microbial, Soil, State
from edaphos.kernels.rothc_run import simulate
from edaphos.kernels.rothc_year import BIO_BIO, BIO_HUM, HUM_BIO, HUM_HUM, year_map

from ..strategies import World, forcing_like, scaled, seeds, warm_worlds, world

MU = Microbial(1.5, 0.3)
LEVEL = {"temperature": 10.0, "rain": 60.0, "evaporation": 40.0, "cover": 1.0}
LEVEL |= {"plant_input": 0.2, "dpm_rpm": 1.44}


def level(pixels: int = 1, **rows: object) -> Forcing:
    """A year without seasons, but for the rows given."""
    size = (12, pixels)
    given = {n: np.broadcast_to(rows.get(n, value), size) for n, value in LEVEL.items()}
    return Forcing(**{n: np.array(a, np.float64) for n, a in given.items()})


def loam(pixels: int = 1) -> Soil:
    return Soil(np.full(pixels, 20.0), np.full(pixels, 23.0))


# -- equilibrium ----------------------------------------------------------------------------------


@given(warm_worlds)
@settings(max_examples=25)
def test_a_year_leads_back_to_it(at: World) -> None:
    steady = equilibrium(at.forcing, at.soil)
    after = simulate(at.forcing, at.soil, steady, 12, every=12)
    assert (steady.pools >= 0).all()
    np.testing.assert_allclose(after.state.pools, steady.pools, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(after.state.deficit, steady.deficit, rtol=0, atol=1e-9)
    entering = at.forcing.plant_input + (0 if at.forcing.manure is None else at.forcing.manure)
    np.testing.assert_allclose(after.co2[0], entering.sum(axis=0), rtol=1e-9, atol=1e-9)


@given(warm_worlds, st.integers(0, 11), st.floats(1e-3, 5))
@settings(max_examples=25)
def test_more_carbon_in_any_month_is_more_at_equilibrium(
    at: World, month: int, more: float
) -> None:
    """In every pool, but for DPM that is gone by December."""
    plant = at.forcing.plant_input.copy()
    plant[month] += more
    less = equilibrium(at.forcing, at.soil).pools
    found = equilibrium(replace(at.forcing, plant_input=plant), at.soil).pools
    assert (found >= less * (1 - 1e-13)).all()
    assert (found[1:] > less[1:]).all()


@given(warm_worlds, st.floats(1e-3, 1e3))
@settings(max_examples=25)
def test_linear_in_the_input(at: World, factor: float) -> None:
    one = equilibrium(at.forcing, at.soil).pools
    found = equilibrium(scaled(at.forcing, factor), at.soil).pools
    np.testing.assert_allclose(found, factor * one, rtol=1e-12)


def test_no_input_no_carbon() -> None:
    found = equilibrium(level(plant_input=0.0), loam())
    assert (found.pools == 0).all()


def test_frozen_all_year_has_none() -> None:
    """Not infinity, and neither does what is next to it suffer."""
    cold = np.array([-5.001, 10.0, -40.0])
    forcing, soil = level(3, temperature=cold), loam(3)
    found = equilibrium(forcing, soil)
    np.testing.assert_array_equal(np.isnan(found.pools[:, [0, 2]]), True)
    assert np.isfinite(found.deficit).all()
    np.testing.assert_array_equal(found.pools[:, 1], equilibrium(level(), loam()).pools[:, 0])
    empty = equilibrium(level(3, temperature=cold, plant_input=0.0), soil)
    np.testing.assert_array_equal(np.isnan(empty.pools[:, [0, 2]]), True)


@pytest.mark.parametrize("celsius", [-5.0, 60.0])
@pytest.mark.parametrize("clay", [0.0, 100.0])
@pytest.mark.parametrize("depth", [1.0, 100.0])
def test_edges(celsius: float, clay: float, depth: float) -> None:
    soil = Soil(np.array([clay]), np.array([depth]))
    forcing = level(temperature=celsius, rain=0.0, evaporation=500.0)
    found = equilibrium(forcing, soil)
    assert np.isfinite(found.pools).all()
    assert (found.pools > 0).all()
    assert found.deficit[0] == pytest.approx(largest_deficit(clay, depth), rel=1e-12)
    after = simulate(forcing, soil, found, 12).state
    np.testing.assert_allclose(after.pools, found.pools, rtol=1e-9)


def test_rows_of_one_month_and_of_twelve_agree() -> None:
    forcing, soil = level(5), loam(5)
    wanted = year_map(forcing, soil)
    short = year_map(forcing_like(forcing, lambda _, a: a[:1]), soil)
    np.testing.assert_array_equal(short.table, wanted.table)
    np.testing.assert_array_equal(short.inputs, wanted.inputs)


def test_float32_stays_near() -> None:
    """Farthest where the deficit drifts for centuries: it stops once a year's drift rounds to 0."""
    at = world(1, 2000, warm=True)
    wanted = equilibrium(at.forcing, at.soil).pools
    found = equilibrium_of(year_map(at.forcing, at.soil, dtype=np.float32)).pools
    assert found.dtype == np.float32
    apart = np.abs(found / wanted - 1).max(axis=0)
    assert apart.max() < 1e-3
    assert np.quantile(apart, 0.998) < 1e-4


# -- water ----------------------------------------------------------------------------------------

#: Rain less evapotranspiration over a year, mm: none, and drifts of decades and centuries.
NET = (0.0, -0.1, -1.0, -7.3, 0.1, 4.0, -400.0, 400.0)


@pytest.mark.parametrize("cover", [1.0, 0.0, "winter bare"])
@pytest.mark.parametrize("wet", ["first", "last"])
def test_a_deficit_that_drifts_settles_as_cycling_does(cover: object, wet: str) -> None:
    """Six months that wet and six that dry, not quite in balance."""
    rows = (np.arange(12) < 6) == (wet == "first")
    rain = np.where(rows[:, None], 15.0, 0.0) + np.maximum(NET, 0) / 12
    dry = np.where(rows[:, None], 0.0, 15.0) - np.minimum(NET, 0) / 12
    green = (np.arange(12) > 3)[:, None] if cover == "winter bare" else cover
    n = len(NET)
    forcing = level(n, rain=rain, evaporation=dry / 0.75, cover=green)
    soil, empty = loam(n), State(np.zeros((4, n)), np.zeros(n))
    cycled = simulate(forcing, soil, empty, 12 * 1000, every=12 * 500)
    np.testing.assert_allclose(cycled.deficit[1], cycled.deficit[0], atol=1e-9)
    steady = equilibrium(forcing, soil)
    np.testing.assert_allclose(steady.deficit, cycled.deficit[1], rtol=0, atol=1e-9)
    again = simulate(forcing, soil, steady, 12).state
    np.testing.assert_allclose(again.pools, steady.pools, rtol=1e-10)


# -- inverse --------------------------------------------------------------------------------------


@given(warm_worlds, seeds)
@settings(max_examples=25)
def test_the_input_found_holds_the_stock(at: World, seed: int) -> None:
    rng = np.random.default_rng(seed)
    iom = rng.uniform(0, 10, at.pixels) * (rng.random(at.pixels) < 0.9)
    stock = iom + rng.uniform(1, 200, at.pixels)
    found = inverse_input(at.forcing, at.soil, stock, iom)
    np.testing.assert_allclose(found.state.pools.sum(axis=0) + iom, stock, rtol=0, atol=1e-9)
    steady = equilibrium(scaled(at.forcing, found.factor), at.soil)
    np.testing.assert_allclose(steady.pools.sum(axis=0) + iom, stock, rtol=0, atol=1e-9)
    np.testing.assert_allclose(steady.pools, found.state.pools, rtol=0, atol=1e-9)


def test_the_size_of_the_input_given_does_not_matter() -> None:
    at = world(2, warm=True)
    stock, iom = np.full(at.pixels, 50.0), np.full(at.pixels, 4.0)
    one = inverse_input(at.forcing, at.soil, stock, iom)
    ten = inverse_input(scaled(at.forcing, 10.0), at.soil, stock, iom)
    np.testing.assert_allclose(ten.state.pools, one.state.pools, rtol=1e-12)
    np.testing.assert_allclose(ten.factor * 10, one.factor, rtol=1e-12)


def test_stocks_that_no_input_holds() -> None:
    """Frozen; nothing enters; no more than inert; missing; and one that can be held."""
    celsius = np.array([-10.0, 10.0, 10.0, 10.0, 10.0, 10.0])
    plant = np.array([0.2, 0.0, 0.2, 0.2, 0.2, 0.2])
    year = year_map(level(6, temperature=celsius, plant_input=plant), loam(6))
    stock = np.array([50.0, 50.0, 4.0, 3.0, np.nan, 50.0])
    found = hold_stock(year, stock, np.full(6, 4.0))
    assert np.isnan(found.factor).tolist() == [True] * 5 + [False]
    assert np.isnan(found.state.pools).all(axis=0).tolist() == [True] * 5 + [False]
    assert found.state.pools[:, 5].sum() == pytest.approx(46.0, abs=1e-9)


def test_microbial_rates_cannot_be_inverted() -> None:
    with pytest.raises(ValueError, match="not linear"):
        inverse_input(level(), loam(), np.array([50.0]), np.zeros(1), microbial=MU)


# -- projection -----------------------------------------------------------------------------------


@given(warm_worlds, seeds, st.booleans())
@example(world(67477, manure=False, warm=True), 0, False)  # a deficit drifts for millennia
@settings(max_examples=20)
def test_years_projected_are_months_simulated(at: World, seed: int, alike: bool) -> None:
    factors = np.random.default_rng(seed).uniform(0, 2, (7, 1 if alike else at.pixels))
    year = year_map(at.forcing, at.soil)
    begun = State(at.state.pools, year.table[-1].copy())
    before = begun.pools.copy()
    wanted = simulate(at.forcing, at.soil, begun, 84, every=12, input_factor=factors)
    pools, co2, end = project(year, begun, factors)
    np.testing.assert_allclose(pools, wanted.pools, rtol=0, atol=1e-9)
    np.testing.assert_allclose(co2, wanted.co2, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(end.pools, pools[-1])
    np.testing.assert_allclose(end.deficit, wanted.state.deficit, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(begun.pools, before)
    for keep in ([0, 3, 6], [2], [], np.array([1, 4])):
        some = project(year, begun, factors, keep)
        np.testing.assert_array_equal(some[0], pools[list(keep)])
        np.testing.assert_array_equal(some[1], co2[list(keep)])
        np.testing.assert_array_equal(some[2].pools, end.pools)


def test_nothing_changes_at_equilibrium() -> None:
    at = world(3, warm=True)
    year = year_map(at.forcing, at.soil)
    steady = equilibrium_of(year)
    pools, co2, _ = project(year, steady, np.ones((240, 1)), [239])
    np.testing.assert_allclose(pools[0], steady.pools, rtol=0, atol=1e-9)
    np.testing.assert_allclose(co2[0], year.inputs, rtol=0, atol=1e-9)


def test_what_does_not_fit_is_refused() -> None:
    year, state = year_map(level(3), loam(3)), State(np.ones((4, 3)), np.zeros(3))
    for factors in (np.ones((2, 4)), np.ones(3), np.ones((2, 2))):
        with pytest.raises(ValueError, match=r"factors must be \(years, 3\)"):
            project(year, state, factors)
    with pytest.raises(ValueError, match=r"pools must be \(4, 3\)"):
        project(year, State(np.ones((4, 2)), np.zeros(2)), np.ones((2, 1)))
    for keep in ([1, 1], [1, 0], [2], [-1]):
        with pytest.raises(ValueError, match="ascending"):
            project(year, state, np.ones((2, 1)), keep)
    two_years = forcing_like(level(3), lambda _, a: np.tile(a, (2, 1)))
    for function in (year_map, spin_up):
        with pytest.raises(ValueError, match=r"12 rows \(or 1\), found \[24\]"):
            function(two_years, loam(3))


# -- spin-up --------------------------------------------------------------------------------------


def slowest(year: np.ndarray) -> np.ndarray:
    """What is left of the slowest mode after a year: an eigenvalue of BIO and HUM's block."""
    a, b, c, d = 1 + year[BIO_BIO], year[BIO_HUM], year[HUM_BIO], 1 + year[HUM_HUM]
    return (a + d) / 2 + np.sqrt(((a - d) / 2) ** 2 + b * c)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4])
def test_spin_up_comes_as_near_as_its_rule_says(tolerance: float) -> None:
    """From below, stopping when what is still to come is a geometric series of the last step."""
    at = world(4, 30, warm=True)
    year = year_map(at.forcing, at.soil)
    wanted = equilibrium_of(year)
    found = spin_up(at.forcing, at.soil, tolerance=tolerance, most_years=3000)
    left = (wanted.pools - found.state.pools).sum(axis=0)
    rate = slowest(year.table)
    assert (left > -1e-9).all()
    settled = found.months < 12 * 3000
    assert settled.sum() > 15
    assert (left <= 1.01 * tolerance * rate / (1 - rate) + 1e-9)[settled].all()
    np.testing.assert_allclose(found.state.deficit, wanted.deficit, rtol=0, atol=1e-9)


def test_a_pixel_spins_up_as_it_would_alone() -> None:
    at = world(5, 12, warm=True)
    together = spin_up(at.forcing, at.soil, tolerance=1e-2)
    for pixel in range(at.pixels):
        part = at.part(slice(pixel, pixel + 1))
        alone = spin_up(part.forcing, part.soil, tolerance=1e-2)
        assert alone.months[0] == together.months[pixel]
        np.testing.assert_array_equal(alone.state.pools[:, 0], together.state.pools[:, pixel])


def test_spin_up_that_never_settles_is_given_back() -> None:
    found = spin_up(level(temperature=-10.0), loam(), most_years=30)
    assert found.months.tolist() == [360]
    assert found.state.pools.sum() == pytest.approx(30 * 12 * 0.2, rel=1e-12)


def test_microbial_spin_up_leads_back_to_itself() -> None:
    forcing, soil = level(3, plant_input=np.array([0.1, 0.2, 0.4])), loam(3)
    found = spin_up(forcing, soil, microbial=MU, tolerance=1e-8)
    assert (found.state.pools[2] > 0.01).all()
    after = simulate(forcing, soil, found.state, 12, microbial=MU).state
    np.testing.assert_allclose(after.pools, found.state.pools, rtol=0, atol=1e-7)
    standard = equilibrium(forcing, soil).pools
    assert (np.abs(found.state.pools.sum(axis=0) / standard.sum(axis=0) - 1) > 0.03).all()


# -- missing values -------------------------------------------------------------------------------

MISSING = ["temperature", "rain", "evaporation", "cover", "plant_input", "dpm_rpm", "manure"]
MISSING += ["rate_factor"]


@pytest.mark.parametrize("name", [*MISSING, "clay", "depth"])
def test_missing_stays_in_its_pixel_and_makes_it_missing(name: str) -> None:
    at, others = world(6, tilled=True, warm=True), np.arange(40) != 7
    at = at.changed(name, 4, 7, 1.0)  # which sets the type as well: others round otherwise
    put = at.changed(name, 4, 7, np.nan)
    wanted, found = (year_map(w.forcing, w.soil) for w in (at, put))
    np.testing.assert_array_equal(found.table[:, others], wanted.table[:, others])
    np.testing.assert_array_equal(found.inputs[others], wanted.inputs[others])
    one, other = equilibrium_of(wanted).pools, equilibrium_of(found).pools
    np.testing.assert_array_equal(one[:, others], other[:, others])
    assert np.isnan(other[:, 7]).all()
    if name in ("rain", "evaporation", "cover", "clay", "depth"):
        assert np.isnan(found.table[-1, 7])
    spun = [spin_up(w.forcing, w.soil, tolerance=1.0) for w in (at, put)]
    np.testing.assert_array_equal(spun[0].state.pools[:, others], spun[1].state.pools[:, others])
    assert np.isnan(spun[1].state.pools[:, 7]).any()


def test_spin_up_with_a_missing_iom() -> None:
    found = spin_up(level(3), loam(3), iom=np.array([1.0, np.nan, 1.0]), tolerance=1e-3)
    assert np.isnan(found.state.pools).all(axis=0).tolist() == [False, True, False]
    assert found.months[0] == found.months[2] > 12
