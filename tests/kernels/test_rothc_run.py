"""What RothC's months must keep to in any world: balance, linearity, bounds, missing values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edaphos.kernels.rothc import RATES, largest_deficit
from edaphos.kernels.rothc_arrays import Forcing, Microbial, Soil, State, packed
from edaphos.kernels.rothc_run import Trajectory, rate_modifiers, simulate
from edaphos.kernels.rothc_year import year_map

from ..strategies import World, forcing_like, scaled, seeds, world, worlds

MU = Microbial(2.0, 0.5)
VARIANTS = pytest.mark.parametrize("microbial", [None, MU], ids=["standard", "microbial"])


def run(at: World, months: int = 24, **options) -> Trajectory:
    return simulate(at.forcing, at.soil, at.state, months, **options)


def equal(one: Trajectory, other: Trajectory) -> None:
    """Every bit of every output."""
    for name in ("pools", "co2", "deficit"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.state.pools, other.state.pools)
    np.testing.assert_array_equal(one.state.deficit, other.state.deficit)


# -- carbon ---------------------------------------------------------------------------------------


@VARIANTS
@given(at=worlds, every=st.sampled_from([1, 12]), factor=seeds)
@settings(max_examples=25)
def test_no_carbon_is_lost_or_made(microbial, at: World, every: int, factor: int) -> None:
    factors = np.random.default_rng(factor).uniform(0, 3, (2, at.pixels))
    found = run(at, 24, every=every, input_factor=factors, microbial=microbial)
    entering = at.forcing.plant_input + (0 if at.forcing.manure is None else at.forcing.manure)
    entered = (entering.sum(axis=0) * factors).sum(axis=0)
    change = found.state.pools.sum(axis=0) - at.state.pools.sum(axis=0)
    np.testing.assert_allclose(entered, change + found.co2.sum(axis=0), rtol=0, atol=1e-10)


@given(worlds, st.floats(1e-3, 1e3))
@settings(max_examples=25)
def test_linear_in_the_carbon(at: World, factor: float) -> None:
    """Twice the carbon, there and entering, is twice the outcome; the input's share adds to it."""
    whole = run(at)
    more = World(scaled(at.forcing, factor), at.soil, scaled_state(at.state, factor))
    rounding = 1e-13 * max(factor, 1)  # of DPM that is nearly gone
    np.testing.assert_allclose(run(more).pools, factor * whole.pools, rtol=1e-12, atol=rounding)
    of_state = run(replace(at, forcing=scaled(at.forcing, 0)))
    of_input = run(replace(at, state=scaled_state(at.state, 0)))
    np.testing.assert_allclose(of_state.pools + of_input.pools, whole.pools, 1e-12, 1e-13)
    np.testing.assert_allclose(of_state.co2 + of_input.co2, whole.co2, rtol=1e-12, atol=1e-14)


def scaled_state(state: State, factor: float) -> State:
    return State(state.pools * factor, state.deficit)


@VARIANTS
def test_a_factor_on_the_input_is_its_multiplication(microbial) -> None:
    at = world(1, months=36)
    factors = np.random.default_rng(2).uniform(0, 2, (3, at.pixels))
    monthly = np.repeat(factors, 12, axis=0)
    multiplied = replace(at, forcing=scaled(at.forcing, monthly))
    found = run(at, 36, input_factor=factors, microbial=microbial)
    np.testing.assert_allclose(found.pools, run(multiplied, 36, microbial=microbial).pools, 1e-12)
    same_for_all = run(at, 36, input_factor=factors[:, :1], microbial=microbial)
    np.testing.assert_array_equal(same_for_all.pools[:, :, 0], found.pools[:, :, 0])


@VARIANTS
@given(at=worlds)
@settings(max_examples=25)
def test_bounds(microbial, at: World) -> None:
    found = run(at, microbial=microbial)
    most = np.vectorize(largest_deficit)(at.soil.clay, at.soil.depth)
    assert (found.deficit <= 0).all()
    assert (found.deficit >= most * (1 + 1e-15)).all()
    assert np.isfinite(found.pools).all()
    assert (found.pools >= 0).all()
    assert (found.co2 >= 0).all()


@VARIANTS
@pytest.mark.parametrize("clay", [0.0, 100.0])
@pytest.mark.parametrize("depth", [1.0, 100.0])
@pytest.mark.parametrize("celsius", [-5.0, -5.001, -18.27, -18.2701, -90.0, 60.0])
def test_edges(microbial, clay: float, depth: float, celsius: float) -> None:
    rows = {"temperature": celsius, "rain": 0.0, "evaporation": 500.0, "cover": 1.0}
    rows |= {"plant_input": 0.0, "dpm_rpm": 1.44}
    forcing = Forcing(**{name: np.full((1, 1), value) for name, value in rows.items()})
    begun = State(np.array([[1.0], [5.0], [1.0], [30.0]]), np.zeros(1))
    soil = Soil(np.array([clay]), np.array([depth]))
    found = simulate(forcing, soil, begun, 240, microbial=microbial)
    assert np.isfinite(found.pools).all()
    assert (found.pools >= 0).all()
    active = celsius >= -5
    assert (found.state.pools[:2] < begun.pools[:2]).all() == active
    assert (found.co2 > 0).any() == active
    assert found.deficit.min() == pytest.approx(largest_deficit(clay, depth), rel=1e-12)


def test_a_rate_factor_scales_every_rate_constant() -> None:
    at = world(4)
    pixels = at.forcing.pixels
    tilled = replace(at.forcing, rate_factor=np.full((1, pixels), 1.2))
    faster = simulate(at.forcing, at.soil, at.state, 24, rates=(12.0, 0.36, 0.792, 0.024))
    found = simulate(tilled, at.soil, at.state, 24)
    np.testing.assert_allclose(found.pools, faster.pools, rtol=1e-12, atol=1e-12)
    months = np.where(np.arange(24)[:, None] < 12, 1.0, 1.2) * np.ones((1, pixels))
    later = simulate(replace(at.forcing, rate_factor=months), at.soil, at.state, 24)
    plain = simulate(at.forcing, at.soil, at.state, 24)
    np.testing.assert_array_equal(later.pools[:12], plain.pools[:12])
    assert (later.pools[12:] != plain.pools[12:]).any()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_packed_forcing_is_the_forcing_to_its_steps(dtype) -> None:
    at = world(8).of(dtype)
    small = packed(at.forcing)
    assert small.temperature.dtype == small.plant_input.dtype == np.int16
    names = ("temperature", "rain", "evaporation", "plant_input")
    wide = {
        name: (getattr(small, name) * np.float64(scale)).astype(np.float64)
        for name, scale in zip(names, small.scales, strict=True)
    }
    for name in names:
        given = getattr(at.forcing, name)
        assert np.abs(wide[name] - given).max() <= np.abs(given).max() / 32767
    same = replace(at.forcing, **wide)
    here, there = (simulate(f, at.soil, at.state, 24) for f in (small, same))
    close = 1e-10 if dtype == np.float64 else 1e-3
    np.testing.assert_allclose(here.pools, there.pools, rtol=close, atol=close)
    held, equal = (year_map(f, at.soil, dtype=dtype).table for f in (small, same))
    np.testing.assert_allclose(held, equal, rtol=close, atol=close)
    with pytest.raises(ValueError, match="rain has missing"):
        packed(replace(at.forcing, rain=np.full_like(at.forcing.rain, np.nan)))


@VARIANTS
def test_frozen_ground_keeps_what_it_has(microbial) -> None:
    at = world(3, manure=False)
    frozen = forcing_like(at.forcing, lambda n, a: np.full_like(a, -6) if n == "temperature" else a)
    bare = forcing_like(frozen, lambda n, a: np.zeros_like(a) if n == "plant_input" else a)
    found = run(replace(at, forcing=bare), microbial=microbial)
    np.testing.assert_array_equal(found.pools, np.broadcast_to(at.state.pools, found.pools.shape))
    fed = run(replace(at, forcing=frozen), 12, microbial=microbial)
    assert (fed.co2 == 0).all()
    gained = fed.state.pools.sum(axis=0) - at.state.pools.sum(axis=0)
    np.testing.assert_allclose(gained, at.forcing.plant_input.sum(axis=0), atol=1e-12)


# -- numbers --------------------------------------------------------------------------------------


@given(seeds)
@settings(max_examples=10)
def test_float32_stays_near_for_twenty_years(seed: int) -> None:
    """In cold ground as well, where much DPM loses little."""
    at = world(seed, 1000)
    pools = at.state.pools * np.array([10.0, 1.0, 1.0, 1.0])[:, None]
    at = replace(at, state=State(pools, at.state.deficit))
    high, low = run(at, 240, every=240), run(at.of(np.float32), 240, every=240)
    assert low.pools.dtype == low.co2.dtype == low.deficit.dtype == np.float32
    wanted, found = (r.state.pools.sum(axis=0, dtype=np.float64) for r in (high, low))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-3)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_microbes_that_change_nothing() -> None:
    """With km 0 and mu_max 1 every rate is the standard one, by libm instead of series."""
    at = world(4, 300)
    microbial = run(at, 240, microbial=Microbial(1.0, 0.0))
    np.testing.assert_allclose(microbial.pools, run(at, 240).pools, rtol=0, atol=1e-10)


def test_rates_of_ones_own() -> None:
    at = world(5)
    nearly = (*RATES[:3], np.nextafter(RATES[3], 1))
    np.testing.assert_allclose(run(at, rates=nearly).pools, run(at).pools, rtol=0, atol=1e-11)
    still = run(replace(at, forcing=scaled(at.forcing, 0)), rates=(10.0, 0.3, 0.0, 0.02))
    assert (still.pools[-1, 2] >= at.state.pools[2]).all()  # BIO only gains


def test_rates_of_ones_own_from_empty_pools() -> None:
    at = replace(world(5, warm=True), state=State(np.zeros((4, 40)), np.zeros(40)))
    nearly = (*RATES[:3], np.nextafter(RATES[3], 1))
    np.testing.assert_allclose(run(at, rates=nearly).pools, run(at).pools, rtol=0, atol=1e-11)


# -- rows, records, types -------------------------------------------------------------------------


def test_records_of_a_year_are_those_of_its_months() -> None:
    at = world(6)
    monthly, yearly = run(at, 48), run(at, 48, every=12)
    np.testing.assert_array_equal(yearly.pools, monthly.pools[11::12])
    np.testing.assert_array_equal(yearly.deficit, monthly.deficit[11::12])
    summed = monthly.co2.reshape(4, 12, -1).sum(axis=1)
    np.testing.assert_allclose(yearly.co2, summed, rtol=1e-13)


def test_a_run_may_be_cut_in_two() -> None:
    at = world(7)
    first = run(at, 12)
    second = run(replace(at, state=first.state), 12)
    whole = run(at, 24)
    np.testing.assert_array_equal(np.concatenate([first.pools, second.pools]), whole.pools)
    np.testing.assert_array_equal(second.state.deficit, whole.state.deficit)


def test_rows_of_one_month_one_year_and_all_months_agree() -> None:
    at = world(8)
    level = forcing_like(at.forcing, lambda _, a: a[:1])
    for short, months in ((level, 1), (at.forcing, 12)):
        some = run(replace(at, forcing=short), 24)
        copies = 24 // months
        long = forcing_like(short, lambda _, a, n=copies: np.tile(a, (n, 1)))
        equal(some, run(replace(at, forcing=long), 24))
        mixed = replace(long, temperature=short.temperature, dpm_rpm=short.dpm_rpm)
        equal(some, run(replace(at, forcing=mixed), 24))


@pytest.mark.parametrize("packed", [np.int16, np.float32])
def test_packed_forcing(packed: type) -> None:
    at = world(9)
    stored = ("temperature", "rain", "evaporation", "plant_input")
    many = forcing_like(at.forcing, lambda n, a: a * 20 if n == "plant_input" else a)  # not all 0
    small = forcing_like(many, lambda n, a: a.astype(packed) if n in stored else a)
    wide = forcing_like(small, lambda n, a: a.astype(np.float64))
    found = run(replace(at, forcing=small))
    assert found.pools.dtype == np.float64
    equal(found, run(replace(at, forcing=wide)))


def test_any_memory_layout_is_read_and_none_is_written() -> None:
    at = world(10)
    wanted = run(at)

    def strange(a: np.ndarray) -> np.ndarray:
        backward = np.asfortranarray(np.repeat(a, 2, axis=-1))[..., ::-1]
        view = backward[..., ::2][..., ::-1]
        assert not view.flags.c_contiguous
        view.flags.writeable = False
        return view

    odd = World(
        forcing_like(at.forcing, lambda _, a: strange(a)),
        Soil(strange(at.soil.clay), strange(at.soil.depth)),
        State(strange(at.state.pools), strange(at.state.deficit)),
    )
    before = [a.copy() for a in (odd.state.pools, odd.state.deficit, odd.forcing.temperature)]
    equal(run(odd), wanted)
    after = (odd.state.pools, odd.state.deficit, odd.forcing.temperature)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    rate_modifiers(odd.forcing, odd.soil, odd.state.deficit, 3)
    np.testing.assert_array_equal(odd.state.deficit, at.state.deficit)


def test_soil_may_be_one_number() -> None:
    at = world(11)
    flat = Soil(np.full(at.pixels, 20.0), np.full(at.pixels, 30.0))
    number = Soil(np.array(20.0), np.array(30.0))
    equal(run(replace(at, soil=flat)), run(replace(at, soil=number)))


# -- missing values -------------------------------------------------------------------------------

MISSING = ["temperature", "rain", "evaporation", "cover", "plant_input", "dpm_rpm", "manure"]
MISSING += ["rate_factor", "clay", "depth", "pools", "deficit"]


@VARIANTS
@pytest.mark.parametrize("name", MISSING)
@given(seed=seeds, row=st.integers(0, 11), pixel=st.integers(0, 39))
@settings(max_examples=5)
def test_missing_stays_in_its_pixel_and_makes_it_missing(microbial, name, seed, row, pixel) -> None:
    at = world(seed, tilled=True)
    assume((at.forcing.temperature[:, pixel] >= -5).any())
    wanted, found = (
        run(w, 25, microbial=microbial) for w in (at, at.changed(name, row, pixel, np.nan))
    )
    others = np.arange(40) != pixel
    for field in ("pools", "co2", "deficit"):
        one, other = (getattr(r, field)[..., others] for r in (wanted, found))
        np.testing.assert_array_equal(one, other)
    total = found.pools.sum(axis=1)[:, pixel]
    assert np.isnan(total[row if name in MISSING[:8] else 0 :]).all()
    if name in ("rain", "evaporation", "clay", "depth", "deficit", "cover"):
        assert np.isnan(found.state.deficit[pixel])


@pytest.mark.parametrize("name", ["temperature", "rain", "evaporation", "cover", "clay", "depth"])
def test_modifiers_of_missing_values(name: str) -> None:
    at = world(12)
    wanted, found = (
        rate_modifiers(w.forcing, w.soil, w.state.deficit, 12)
        for w in (at, at.changed(name, 4, 7, np.nan))
    )
    others = np.arange(40) != 7
    for field in ("temperature", "moisture", "cover", "deficit"):
        one, other = (getattr(r, field)[:, others] for r in (wanted, found))
        np.testing.assert_array_equal(one, other)
    assert np.isnan((found.temperature * found.moisture * found.cover)[4, 7])


# -- refusals -------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused() -> None:
    at = world(13)
    with pytest.raises(ValueError, match="multiple of every"):
        run(at, 13, every=12)
    with pytest.raises(ValueError, match=r"state must be \(4, 40\)"):
        run(replace(at, state=world(13, 41).state))
    with pytest.raises(ValueError, match="float32 or float64"):
        run(at.of(np.int64))
    with pytest.raises(ValueError, match="float32 or float64"):
        rate_modifiers(at.forcing, at.soil, np.zeros(40, int), 12)
    with pytest.raises(ValueError, match=r"deficit must be \(40,\)"):
        rate_modifiers(at.forcing, at.soil, np.zeros(50), 12)
    with pytest.raises(ValueError, match=r"input_factor must be .* found \(40,\)"):
        run(at, input_factor=np.ones(40))
    with pytest.raises(ValueError, match="km must be 0 or more"):
        run(at, microbial=Microbial(2.0, -0.5))
    with pytest.raises(ValueError, match="same pixels"):
        replace(at.forcing, rain=np.zeros((12, 41)))
