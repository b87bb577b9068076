"""Errors learned from residuals, against the worlds that made the residuals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.hybrid.error_parts import fit_spread
from edaphos.engine.hybrid.held_out import HeldOut, HiddenDate, pairs_of
from edaphos.engine.hybrid.residuals import ErrorModel

YEARS = np.arange(1980, 2001)


def held_out(
    seed: int = 0,
    sites: int = 600,
    dates: tuple[int, ...] = (0, 20),
    power: float = 0.0,
    scale: float = 0.3,
    kept: float = 0.7,
    noise: float = 0.0,
    revisits: bool = True,
    blocks: int = 60,
) -> HeldOut:
    """Return residuals of known spread, of which a share stays with the site, all dates alike."""
    rng = np.random.default_rng(seed)
    mean = rng.uniform(2, 9, sites)[:, None] * np.ones(len(YEARS))
    stays = np.sqrt(kept) * rng.standard_normal((sites, 1))
    goes = np.sqrt(1 - kept) * rng.standard_normal(mean.shape)
    truth = mean + scale * mean**power * (stays + goes)
    stock = np.full(mean.shape, np.nan)
    for place, date in enumerate(dates):
        rows = slice(None) if revisits else slice(place, None, len(dates))
        stock[rows, date] = truth[rows, date] + noise * rng.standard_normal(sites)[rows]
    return HeldOut(YEARS, stock, mean, np.arange(sites) % blocks)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_spread_finds_the_power_and_the_scale(power: float) -> None:
    model = ErrorModel.fit(held_out(power=power, scale=0.2))
    assert model.spread.power == power
    assert model.spread.scale == pytest.approx(0.2, rel=0.06)


def test_spread_leaves_to_members_what_they_tell() -> None:
    rng = np.random.default_rng(0)
    mean, told = rng.uniform(2, 9, 5000), rng.uniform(0.01, 0.2, 5000)
    residual = np.sqrt(told + 0.3**2) * rng.standard_normal(5000)
    weight = np.full(5000, 1 / 5000)
    assert fit_spread(residual, mean, told, weight).variance(mean[:1]) == pytest.approx(
        0.09, rel=0.08
    )
    assert (
        fit_spread(np.sqrt(told) * rng.standard_normal(5000), mean, told, weight)
        .variance(mean)
        .max()
        < 0.01
    )


def test_blocks_count_alike() -> None:
    """A crowded block of small errors must not make errors look small."""
    rng = np.random.default_rng(1)
    block = np.concatenate([np.repeat(np.arange(1, 41), 10), np.zeros(4000, int)])
    scale = np.where(block == 0, 0.05, 0.5)
    mean = np.full((4400, 21), 5.0)
    stock = np.full((4400, 21), np.nan)
    stock[:, 0] = 5 + scale * rng.standard_normal(4400)
    model = ErrorModel.fit(HeldOut(YEARS, stock, mean, block))
    low, high = model.interval(mean[:, 0], np.zeros(4400), (0.05, 0.95), 1980)
    inside = (stock[:, 0] >= low) & (stock[:, 0] <= high)
    assert 0.88 < inside[block > 0].mean() < 0.96
    alike = ErrorModel.fit(HeldOut(YEARS, stock, mean, np.arange(4400)))
    low, high = alike.interval(mean[:, 0], np.zeros(4400), (0.05, 0.95), 1980)
    assert ((stock[:, 0] >= low) & (stock[:, 0] <= high))[block > 0].mean() < 0.4


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.9])
def test_correlation_is_that_of_revisited_sites(kept: float) -> None:
    model = ErrorModel.fit(held_out(kept=kept, sites=2000))
    assert model.correlation.at(20) == pytest.approx(kept, abs=0.06)
    assert model.correlation.at(20) <= kept + 0.02  # one standard error is taken off
    assert model.correlation.at(5) == model.correlation.at(20)
    assert model.correlation.at(40) == pytest.approx(float(model.correlation.at(20)) ** 2)


def test_correlation_falls_with_the_lag_to_a_floor() -> None:
    rng = np.random.default_rng(2)
    sites, length, floor = 4000, 8.0, 0.4
    lag = np.abs(YEARS[:, None] - YEARS)
    moving = np.linalg.cholesky(np.exp(-lag / length) + 1e-9 * np.eye(len(YEARS)))
    residual = np.sqrt(floor) * rng.standard_normal((sites, 1)) + np.sqrt(1 - floor) * (
        rng.standard_normal((sites, len(YEARS))) @ moving.T
    )
    stock = np.full((sites, len(YEARS)), np.nan)
    dates = [0, 2, 5, 10, 15, 20]
    stock[:, dates] = 5 + 0.3 * residual[:, dates]
    model = ErrorModel.fit(HeldOut(YEARS, stock, np.full(stock.shape, 5.0), np.arange(sites) % 80))
    for years in (2, 5, 10, 20):
        expected = floor + (1 - floor) * np.exp(-years / length)
        assert model.correlation.at(years) == pytest.approx(expected, abs=0.05)


def test_without_revisits_errors_count_as_independent_and_it_is_said() -> None:
    model = ErrorModel.fit(held_out(revisits=False))
    assert model.correlation.at(20) == 0
    assert model.change_factor == 1
    assert any("sampled twice" in note for note in model.notes())
    sd = model.change(np.full(3, 5.0), np.full(3, 5.5), np.zeros(3), (1980, 2000)).sd
    assert sd == pytest.approx(np.sqrt(2) * 0.3, rel=0.1)


def test_intervals_hold_what_they_promise() -> None:
    """Skewed errors too, which no normal distribution would cover on both sides."""
    rng = np.random.default_rng(3)
    made, fresh = held_out(sites=1200, blocks=100), held_out(seed=9, sites=4000)
    skewed = (rng.exponential(size=made.stock.shape) - 1) * 0.4
    stock = np.where(made.known, made.mean + skewed, np.nan)
    model = ErrorModel.fit(HeldOut(YEARS, stock, made.mean, made.block))
    new = fresh.mean[:, 0] + (rng.exponential(size=4000) - 1) * 0.4
    low, high = model.interval(fresh.mean[:, 0], np.zeros(4000), (0.05, 0.95), 1980)
    assert (new < low).mean() == pytest.approx(0.05, abs=0.02)
    assert (new > high).mean() == pytest.approx(0.05, abs=0.02)


def test_p_values_of_no_change_are_uniform_or_larger() -> None:
    """The prediction's own error is all there is: predicted changes about a truth of none."""
    model = ErrorModel.fit(held_out(kept=0.6, sites=3000, blocks=100))
    rng = np.random.default_rng(4)
    sd = 0.3 * np.sqrt(2 * (1 - 0.6))
    later = 5 + sd * rng.standard_normal(20_000)
    found = model.change(np.full(20_000, 5.0), later, np.zeros(20_000), (1980, 2000))
    for level in (0.01, 0.05, 0.2, 0.5):
        assert 0.4 * level < (found.p <= level).mean() < level + 0.01
    assert ((found.low <= 0) & (found.high >= 0)).mean() == pytest.approx(0.9, abs=0.03)
    np.testing.assert_array_equal(found.p < 0.1, (found.low > 0) | (found.high < 0))


def test_error_of_measurement_is_taken_off_changes_only_where_it_is_told() -> None:
    noisy = held_out(kept=0.9, noise=0.2, sites=3000)
    blind = ErrorModel.fit(noisy)
    told = ErrorModel.fit(noisy, measurement_error=0.2)
    earlier, later = np.full(1, 5.0), np.full(1, 5.4)
    none = np.zeros(1)
    sd = [m.change(earlier, later, none, (1980, 2000)).sd[0] for m in (blind, told)]
    true = 0.3 * np.sqrt(2 * 0.1)
    assert sd[0] == pytest.approx(np.sqrt(true**2 + 2 * 0.2**2), rel=0.08)
    assert true * 0.97 < sd[1] < true * 1.35  # less a standard error of the correlation
    np.testing.assert_array_equal(
        blind.interval(earlier, none, (0.1, 0.9), 1980),
        told.interval(earlier, none, (0.1, 0.9), 1980),
    )
    square = np.sqrt(np.mean(noisy.mean[:, 0] ** 2))
    relative = ErrorModel.fit(noisy, measurement_percent=100 * 0.2 / square)
    found = [relative.change(np.full(1, x), np.full(1, x), none, (1980, 2000)).sd for x in (2, 9)]
    assert found == pytest.approx([sd[1], sd[1]], rel=1e-3)


def test_members_and_their_number_enter_changes() -> None:
    model = ErrorModel.fit(held_out())
    one = np.ones(1)
    few = model.change(5 * one, 6 * one, 0.5 * one, (1980, 2000), members=4)
    many = model.change(5 * one, 6 * one, 0.5 * one, (1980, 2000), members=400)
    assert few.p > many.p
    rest = model.change(5 * one, 6 * one, 0 * one, (1980, 2000)).sd ** 2
    assert few.sd**2 == pytest.approx(rest + model.change_factor**2 * 0.5)


def test_hidden_dates_widen_years_that_were_not_sampled() -> None:
    held = held_out()
    n = len(held.mean)
    date = HiddenDate(
        2000, 20, held.mean[:, 20] + 0.6, held.mean[:, 20], np.zeros(len(held.mean)), held.block
    )
    model = ErrorModel.fit(held, [date])
    assert model.course.rate == pytest.approx(0.6 / 20 / model.spread.scale, rel=1e-6)
    at = np.full(n, 5.0), np.full(n, 5.2), np.zeros(n)
    sd = {year: model.change(*at, (1980, year)).sd[0] for year in (1990, 1999, 2000)}
    assert sd[2000] < sd[1999] < sd[1990]
    assert sd[1999] ** 2 - sd[2000] ** 2 == pytest.approx(
        model.change_factor**2 * (0.6 / 20) ** 2, rel=1e-6
    )
    carried = ErrorModel.fit(held, [], [date])
    sd = {year: carried.change(*at, (1980, year)).sd[0] for year in (1990, 1999, 2000)}
    assert sd[2000] < sd[1990] < sd[1999]
    assert sd[1999] ** 2 - sd[2000] ** 2 == pytest.approx(
        carried.change_factor**2 * (0.6 * 19 / 20) ** 2, rel=1e-6
    )
    assert carried.course.distances(2003) == (3, 3)
    assert carried.course.distances(1995) == (5, 15)
    assert carried.course.distances(1978) == (2, 2)
    assert ErrorModel.fit(held).course.rate is None
    assert any("hidden" in note for note in ErrorModel.fit(held).notes())


def test_what_single_sites_are_off_by_at_hidden_dates_is_no_shared_error() -> None:
    held = held_out(kept=0.8, sites=2000)
    own = 0.45 * np.random.default_rng(7).standard_normal(2000)
    rest = held.stock[:, 0] - held.mean[:, 0]
    date = HiddenDate(2000, 20, held.stock[:, 20], held.mean[:, 20] + own, rest, held.block)
    course = ErrorModel.fit(held, [date]).course
    assert course.away == pytest.approx((0.45 / 0.3) ** 2, rel=0.1)
    assert course.rate == pytest.approx(0, abs=0.01)
    same = HiddenDate(2000, 20, held.stock[:, 20], held.mean[:, 20], rest, held.block)
    assert ErrorModel.fit(held, [same]).course.away < 0.02
    assert course.excess(1990) == pytest.approx(course.away, rel=0.05)
    assert course.excess(1980) == course.excess(2000) == 0


def test_jumps_of_predictions_between_samplings_are_errors() -> None:
    held = held_out(sites=2000)
    jump = np.random.default_rng(8).normal(0, 0.4, 2000)
    slope = np.random.default_rng(9).normal(0, 0.05, 2000)
    mean = held.mean + slope[:, None] * np.arange(21)
    stock = held.stock + slope[:, None] * np.arange(21)
    straight = ErrorModel.fit(HeldOut(YEARS, stock, mean, held.block)).course
    assert max(straight.rough) < 1e-20
    mean[:, 7] += jump
    course = ErrorModel.fit(HeldOut(YEARS, stock, mean, held.block)).course
    assert course.excess(1987) == pytest.approx((0.4 / 0.3) ** 2, rel=0.12)
    assert course.excess(1990) < 0.02
    assert course.excess(2000) == 0
    assert course.excess(2020) >= course.excess(1987)


def test_beyond_samplings_a_course_that_stops_may_go_on_as_well() -> None:
    """All gain 0.03 a year until 1995; the prediction stands still from then on, or goes on."""
    held = held_out(sites=1500, dates=(5, 15))
    gain = 0.03 * np.arange(21)
    stock = held.stock + gain
    stops = held.mean + np.minimum(gain, gain[15])
    course = ErrorModel.fit(HeldOut(YEARS, stock, stops, held.block)).course
    assert course.astray[20] == pytest.approx(0.15 / 0.3, rel=0.15)
    assert max(course.astray[5:16]) == 0
    assert course.excess(2000) >= course.astray[20] ** 2
    assert course.excess(2010) >= (3 * course.astray[20]) ** 2
    goes_on = ErrorModel.fit(HeldOut(YEARS, stock, held.mean + gain, held.block)).course
    assert max(goes_on.astray) < 0.07
    alone = held_out(sites=1500, dates=(5, 15), revisits=False)
    assert set(ErrorModel.fit(alone).course.astray) == {0.0}


def test_a_bias_of_all_dates_is_no_error_of_the_course() -> None:
    fair = held_out()
    moved = ErrorModel.fit(HeldOut(YEARS, fair.stock + 0.4, fair.mean, fair.block))
    assert moved.course.sampled < 0.005


def test_a_bias_of_one_date_counts_for_all() -> None:
    fair, off = held_out(), held_out()
    moved = np.where(np.arange(21) == 20, off.stock + 0.5, off.stock)
    biased = ErrorModel.fit(HeldOut(YEARS, moved, off.mean, off.block))
    at = np.full(1, 5.0), np.full(1, 5.2), np.zeros(1)
    assert biased.course.sampled > 50 * ErrorModel.fit(fair).course.sampled
    assert (
        biased.change(*at, (1980, 2000)).sd
        > 1.3 * ErrorModel.fit(fair).change(*at, (1980, 2000)).sd
    )


def test_the_first_year_has_not_changed() -> None:
    found = ErrorModel.fit(held_out()).change(
        np.array([4.0, np.nan]), np.array([4.0, np.nan]), np.zeros(2), (1980, 1980)
    )
    np.testing.assert_array_equal(found.p, [1.0, np.nan])
    np.testing.assert_array_equal(found.low, [0.0, np.nan])


def test_survives_json() -> None:
    held = held_out()
    date = HiddenDate(
        2000, 20, held.mean[:, 20] + 0.6, held.mean[:, 20], np.zeros(len(held.mean)), held.block
    )
    model = ErrorModel.fit(held, [date], measurement_percent=2.0)
    again = ErrorModel.from_json(json.loads(json.dumps(model.to_json())))
    assert again == model


def test_refuses_what_cannot_be_learned_from() -> None:
    with pytest.raises(InputError, match="at least 10"):
        ErrorModel.fit(held_out(sites=4))
    with pytest.raises(InputError, match="not both"):
        ErrorModel.fit(held_out(), measurement_error=0.1, measurement_percent=2.0)
    with pytest.raises(InputError, match="negative"):
        ErrorModel.fit(held_out(), measurement_error=-0.1)


def test_members_of_held_out_sites_are_paired() -> None:
    rng = np.random.default_rng(5)
    held = held_out()
    shift = rng.standard_normal((10, 1, 1, 1))
    parts = held.mean + shift + 0.01 * rng.standard_normal((10, 4, *held.mean.shape))
    told = HeldOut(YEARS, held.stock, held.mean, held.block, parts)
    assert told.variance().mean() == pytest.approx(shift.var(ddof=1), rel=0.05)
    pairs = pairs_of(told)
    assert pairs.member_variance.max() < 1e-3
    assert len(pairs) == 600
    assert set(pairs.lag) == {20.0}


def test_quantiles_are_conservative_where_blocks_are_few() -> None:
    """With 9 blocks, the 95 % quantile of a tenth is the largest score there is."""
    model = ErrorModel.fit(held_out(sites=9, dates=(0, 20), blocks=9))
    assert model.quantiles[-10] == max(model.quantiles)
