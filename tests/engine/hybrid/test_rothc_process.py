"""RothC as a process model: against runs of single sites, closed forms, and what must hold."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.hybrid import cohorts
from edaphos.engine.hybrid.icbm_process import ICBMProcess
from edaphos.engine.hybrid.process import Process
from edaphos.engine.hybrid.rothc_process import RothCProcess
from edaphos.engine.hybrid.site_years import Climate, Drivers, InputBase
from edaphos.engine.rothc_input import SiteInput
from edaphos.engine.rothc_site import SiteOptions, run_site
from edaphos.engine.rothc_stock import hold_site_stock
from edaphos.kernels.rothc_arrays import Microbial

from . import worlds


def steady(sites: int = 12, seasonal: bool = True) -> Drivers:
    """Return a climate and a driver that are the same in every year."""
    told = worlds.drivers(sites)
    year = [array[:12] for array in vars(told.climate).values()]
    if not seasonal:
        year = [np.broadcast_to(array.mean(axis=0), array.shape) for array in year]
        told = replace(told, cover=np.ones_like(told.cover))
    return replace(told, climate=Climate(*year), input_driver=np.ones_like(told.input_driver))


def stocks(sites: int = 12) -> np.ndarray:
    return np.linspace(2, 9, sites)


def begin(sites: int = 12, at: int = 0) -> np.ndarray:
    return np.full(sites, at)


def test_follows_the_protocol() -> None:
    assert isinstance(RothCProcess(), Process)


@pytest.mark.parametrize("seasonal", [True, False])
def test_nothing_changes_where_climate_and_driver_do_not(seasonal: bool) -> None:
    found = RothCProcess().simulate(steady(seasonal=seasonal), begin(), stocks())
    np.testing.assert_allclose(found, np.repeat(stocks()[:, None], 21, axis=1), rtol=1e-10)


def test_the_start_is_the_stock_and_nothing_is_before_it() -> None:
    start = np.array([0, 4, 20, -1])
    found = RothCProcess().simulate(worlds.drivers(4), start, stocks(4))
    for site, first in enumerate(start[:3]):
        assert found[site, first] == stocks(4)[site]
        assert np.isnan(found[site, :first]).all()
        assert np.isfinite(found[site, first:]).all()
    assert np.isnan(found[3]).all()


def test_one_site_equals_its_run_as_an_official_input_file() -> None:
    """Through the tables, checks and solver of the command that runs single sites."""
    told = worlds.drivers(5)
    site, stock = 3, 4.2
    monthly = {name: a[:, site] for name, a in vars(told.climate).items()}
    years = len(told.years)
    normal = {name: a.reshape(years, 12)[:10].mean(axis=0) for name, a in monthly.items()}
    usual = (a.reshape(years, 12, 5)[:10].mean(axis=0) for a in vars(told.climate).values())
    told = replace(told, normals=Climate(*usual))
    ratio = told.input_driver[3:, site] / told.input_driver[2, site]
    plant = np.concatenate([np.full(12, 1 / 12), np.repeat(ratio, 12) / 12])

    def site_input(scale: float) -> SiteInput:
        months = 12 * (years - 3)
        rows = {name: np.concatenate([normal[name], a[36:]]) for name, a in monthly.items()}
        return SiteInput(
            clay=float(told.clay[site]),
            depth=told.depth_cm,
            iom=0.049 * (10 * stock) ** 1.139,
            year=np.concatenate([np.full(12, 1), np.repeat(told.years[3:], 12)]),
            month=np.tile(np.arange(1, 13), years - 2),
            modern=np.full(12 + months, 100.0),
            temperature=rows["temperature"],
            rain=rows["rain"],
            evaporation=rows["evapotranspiration"],
            cover=np.tile(told.cover[:, site], years - 2),
            plant_input=plant * scale,
            manure=np.zeros(12 + months),
            dpm_rpm=np.full(12 + months, told.dpm_rpm[site]),
        )

    held = hold_site_stock(site_input(1.0), 10 * stock, evaporation="pet", inert="falloon")
    # the command scales the first year only; here later years follow it
    wanted = run_site(site_input(held.factor), SiteOptions(spin_up="exact", evaporation="pet"))
    found = RothCProcess().simulate(told, begin(5, 2), np.full(5, stock))[site]
    assert wanted.start.sum() + wanted.site.iom == pytest.approx(10 * stock, rel=1e-12)
    np.testing.assert_allclose(10 * found[3:], wanted.soc[11::12], rtol=1e-11)

    moved = run_site(
        site_input(held.factor),
        SiteOptions(spin_up="exact", evaporation="pet", microbial=Microbial(1.4, 0.3)),
    )
    printed = RothCProcess(1.4, 0.3).simulate(told, begin(5, 2), np.full(5, stock))[site]
    np.testing.assert_allclose(10 * printed[3:], moved.soc[11::12], rtol=1e-11)
    assert abs(printed[-1] - found[-1]) > 0.01


def test_sites_of_several_starts_equal_their_own_runs() -> None:
    told, start = worlds.drivers(30), np.arange(30) % 4 * 5 - 1
    start[start == 14] = 20
    together = RothCProcess(1.2, 0.5).simulate(told, start, stocks(30))
    for site in range(30):
        one = np.array([site])
        alone = RothCProcess(1.2, 0.5).simulate(told.take(one), start[one], stocks(30)[one])
        np.testing.assert_allclose(together[site], alone[0], rtol=1e-12)


def test_order_and_blocks_of_sites_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    told, process = worlds.drivers(30), RothCProcess(1.2, 0.5, "start")
    start = np.arange(30) % 7
    whole = process.simulate(told, start, stocks(30))
    order = np.random.default_rng(0).permutation(30)
    turned = process.simulate(told.take(order), start[order], stocks(30)[order])
    np.testing.assert_allclose(turned, whole[order], rtol=1e-12)
    monkeypatch.setattr(cohorts, "BLOCK", 3)
    np.testing.assert_allclose(process.simulate(told, start, stocks(30)), whole, rtol=1e-12)


def test_more_input_is_more_carbon() -> None:
    told = steady()
    driver = told.input_driver.copy()
    driver[1:] *= 2
    doubled = RothCProcess().simulate(replace(told, input_driver=driver), begin(), stocks())
    driver[1:] /= 4
    halved = RothCProcess().simulate(replace(told, input_driver=driver), begin(), stocks())
    same = RothCProcess(input_factor=2.0).simulate(told, begin(), stocks())
    assert (np.diff(doubled, axis=1) > 0).all()
    assert (np.diff(halved, axis=1) < 0).all()
    np.testing.assert_allclose(same, doubled, rtol=1e-13)
    # linear in the input: half as much is lost as twice as much gains
    np.testing.assert_allclose(doubled + 2 * halved, 3 * np.repeat(stocks()[:, None], 21, axis=1))


def test_only_the_ratio_of_the_driver_to_the_start_counts() -> None:
    told = worlds.drivers(6)
    scaled = replace(told, input_driver=told.input_driver * 37.0)
    one, other = (RothCProcess().simulate(d, begin(6, 2), stocks(6)) for d in (told, scaled))
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_the_anchor_decides_whether_mu_moves_equilibrium() -> None:
    told = steady()
    for mu_max in (0.7, 3.0):
        anchored = RothCProcess(mu_max, 0.4, "start").simulate(told, begin(), stocks())
        np.testing.assert_allclose(anchored, np.repeat(stocks()[:, None], 21, axis=1), rtol=1e-10)
    slower = RothCProcess(0.5, 0.4).simulate(told, begin(), stocks())
    faster = RothCProcess(3.0, 0.1).simulate(told, begin(), stocks())
    assert (slower[:, -1] > stocks() * 1.01).all()
    assert (faster[:, -1] < stocks() * 0.99).all()


def test_anchored_rates_change_with_the_biomass_alone() -> None:
    """With much biomass to km they saturate; with little they follow it, whatever mu_max."""
    told = replace(steady(8), input_driver=worlds.drivers(8).input_driver)
    plain = RothCProcess().simulate(told, begin(8), stocks(8))
    saturated = RothCProcess(5.0, 1e-9, "start").simulate(told, begin(8), stocks(8))
    np.testing.assert_allclose(saturated, plain, rtol=1e-7)
    one, other = (RothCProcess(m, 2.0, "start").simulate(told, begin(8), stocks(8)) for m in (1, 9))
    np.testing.assert_allclose(one, other, rtol=1e-12)
    # input grows, so does biomass, and with it decomposition: less is gained
    assert (one[:, -1] < plain[:, -1]).all()


def test_normals_are_the_climate_of_the_spin_up() -> None:
    told = worlds.drivers(4)
    weather = (a.reshape(21, 12, 4)[:10].mean(axis=0) for a in vars(told.climate).values())
    twelve = Climate(*weather)
    stated = replace(told, normals=twelve)
    one, other = (RothCProcess().simulate(d, begin(4), stocks(4)) for d in (told, stated))
    assert (np.abs(one - other)[:, -1] > 1e-3).all()
    repeated = replace(stated, climate=twelve, input_driver=np.ones((21, 4)))
    held = RothCProcess().simulate(repeated, begin(4, 0), stocks(4))
    np.testing.assert_allclose(held, np.repeat(stocks(4)[:, None], 21, axis=1), rtol=1e-10)


@pytest.mark.parametrize(("start", "years"), [(12, 13), (9, 10), (0, 10)])
def test_the_spin_up_takes_the_years_up_to_the_start_or_ten(start: int, years: int) -> None:
    """What comes later does not matter to it."""
    told = worlds.drivers(4)
    short = [a[: 12 * years] for a in vars(told.climate).values()]
    until = replace(
        told,
        years=told.years[:years],
        climate=Climate(*short),
        input_driver=told.input_driver[:years],
    )
    one = next(cohorts.cohorts(told, begin(4, start)))
    other = next(cohorts.cohorts(until, begin(4, start)))
    for name in ("temperature", "rain", "evaporation", "rate_factor"):
        np.testing.assert_array_equal(getattr(one.spin_up, name), getattr(other.spin_up, name))
    mean = told.climate.rain.reshape(21, 12, 4)[:years].mean(axis=0)
    np.testing.assert_allclose(one.spin_up.rain, mean)


@pytest.mark.parametrize(
    "process", [RothCProcess(), RothCProcess(1.0, 0.5, "start"), ICBMProcess()]
)
def test_weather_that_comes_back_moves_no_stock(process: Process) -> None:
    """Ten years over and over: wet and dry ones, whose mean climate would move it."""
    sites, cycle = 12, 10
    rng = np.random.default_rng(3)
    season = np.cos(2 * np.pi * (np.arange(12) - 6.5) / 12)[None, :, None]
    temperature = rng.uniform(8, 20, sites) + 9 * season + rng.normal(0, 1.2, (cycle, 12, 1))
    rain = rng.uniform(30, 80, sites) * rng.lognormal(0, 0.4, (cycle, 12, 1))
    demand = np.maximum(4.5 * temperature, 2.0)
    once = Climate(*(a.reshape(12 * cycle, sites) for a in (temperature, rain, demand)))
    told = replace(
        worlds.drivers(sites, np.arange(1900, 1900 + 12 * cycle)),
        climate=Climate(*(np.tile(a, (12, 1)) for a in vars(once).values())),
        input_driver=np.ones((12 * cycle, sites)),
    )
    mean = Climate(*(a.reshape(cycle, 12, sites).mean(axis=0) for a in vars(once).values()))

    def drift(drivers: Drivers) -> np.ndarray:
        found = process.simulate(drivers, begin(sites, cycle - 1), np.full(sites, 5.0))
        by_cycle = found[:, cycle:].reshape(sites, 11, cycle).mean(axis=2)
        return by_cycle[:, -1] - by_cycle[:, 0]

    assert np.abs(drift(told)).max() < 0.06  # kg/m² in a century
    assert np.abs(drift(replace(told, normals=mean))).max() > 0.3


def test_where_no_run_is_possible_all_is_missing() -> None:
    told, stock = worlds.drivers(6), stocks(6)
    driver = told.input_driver.copy()
    driver[0, 0] = 0.0
    driver[7, 1] = np.nan
    temperature = told.climate.temperature.copy()
    temperature[:, 2] = -20.0
    stock[3], stock[4] = 0.0, np.nan
    told = replace(
        told, input_driver=driver, climate=replace(told.climate, temperature=temperature)
    )
    found = RothCProcess().simulate(told, begin(6), stock)
    assert np.isnan(found[[0, 2, 3, 4]]).all()
    assert np.isfinite(found[1, :7]).all()
    assert np.isnan(found[1, 7:]).all()
    assert np.isfinite(found[5]).all()


@pytest.mark.parametrize("process", [RothCProcess(), ICBMProcess()])
def test_a_driver_that_begins_near_nothing_is_not_followed(process: Process) -> None:
    told = worlds.drivers(3)
    driver = told.input_driver.copy()
    driver[0] = driver.max(axis=0) / [0.9 * cohorts.MOST_GROWTH, 1.1 * cohorts.MOST_GROWTH, 1000]
    told = replace(told, input_driver=driver)
    found = process.simulate(told, begin(3), stocks(3))
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1:]).all()
    later = process.simulate(told, begin(3, 1), stocks(3))  # whose own start is in order
    assert np.isfinite(later[:, 1:]).all()


@pytest.mark.parametrize("process", [RothCProcess(), ICBMProcess()])
def test_a_bad_year_at_the_start_moves_what_follows_only_if_it_is_the_base(
    process: Process,
) -> None:
    told = replace(worlds.drivers(6), input_driver=np.ones((21, 6)))
    bad = told.input_driver.copy()
    bad[12] = 0.7

    def ends(base: InputBase, driver: np.ndarray) -> np.ndarray:
        one = replace(told, input_driver=driver, input_base=base)
        return process.simulate(one, begin(6, 12), stocks(6))[:, -1]

    as_ever = ends("start", told.input_driver)
    np.testing.assert_array_equal(ends("mean", told.input_driver), as_ever)
    assert (ends("start", bad) > 1.03 * as_ever).all()
    np.testing.assert_allclose(ends("mean", bad), as_ever, rtol=0.01)
    # the mean is that of the years up to the start, 13 here
    scaled = replace(told, input_driver=told.input_driver * 13 / 12.7)
    by_hand = process.simulate(
        replace(
            scaled, input_driver=np.where(np.arange(21)[:, None] == 12, 1, scaled.input_driver)
        ),
        begin(6, 12),
        stocks(6),
    )
    np.testing.assert_allclose(ends("mean", bad), by_hand[:, -1], rtol=1e-12)
    with pytest.raises(InputError, match="input_base"):
        replace(told, input_base="first")  # type: ignore[arg-type]


def test_takes_float32() -> None:
    told = worlds.drivers(6)
    single = replace(
        told,
        climate=Climate(*(a.astype(np.float32) for a in vars(told.climate).values())),
        **{n: getattr(told, n).astype(np.float32) for n in ("input_driver", "cover", "clay")},
    )
    one, other = (RothCProcess().simulate(d, begin(6), stocks(6)) for d in (told, single))
    np.testing.assert_allclose(other, one, rtol=1e-5)


# -- calibration ----------------------------------------------------------------------------------


def observed(process: RothCProcess, sites: int = 120, noise: float = 0.1) -> tuple:
    """Return drivers, and stocks of the process at the first, a middle and the last year."""
    told = worlds.drivers(sites)
    truth = process.simulate(told, begin(sites), stocks(sites))
    rng = np.random.default_rng(7)
    stock = np.full(truth.shape, np.nan)
    for year in (0, 11, 20):
        stock[:, year] = truth[:, year] + noise * rng.standard_normal(sites) * (year > 0)
    return told, stock


def mu(process: RothCProcess, biomass: float) -> float:
    assert process.mu_max is not None
    assert process.km is not None
    return process.mu_max * biomass / (process.km + biomass)


@pytest.mark.parametrize("anchor", ["printed", "start"])
def test_calibration_finds_what_made_the_stocks(anchor) -> None:
    truth = RothCProcess(1.3, 0.4, anchor)
    told, stock = observed(truth, noise=0.002)
    found = RothCProcess(mu_anchor=anchor).calibrate(told, stock)
    assert found.km == pytest.approx(0.4, rel=0.03)
    if anchor == "printed":
        assert found.mu_max == pytest.approx(1.3, rel=0.01)
    simulated = found.simulate(told, begin(120), stock[:, 0])
    off = simulated[:, [11, 20]] - stock[:, [11, 20]]
    assert off.std() == pytest.approx(0.002, rel=0.1)
    assert abs(off.mean()) < 0.0005


def test_errors_of_the_starts_do_not_pass_for_rates() -> None:
    """Soils alike, measured with errors: high ones fall by chance the next time."""
    sites, truth, told = 300, RothCProcess(1.3, 0.4), worlds.drivers(300)
    rng = np.random.default_rng(4)
    real = 5 + 0.8 * rng.standard_normal(sites)
    stock = np.full((sites, 21), np.nan)
    stock[:, 0] = real + 0.4 * rng.standard_normal(sites)
    stock[:, 20] = truth.simulate(told, begin(sites), real)[:, 20]
    stock[:, 20] += 0.1 * rng.standard_normal(sites)
    regressed = RothCProcess().calibrate(told, stock)
    ignored = RothCProcess(start_errors="ignored").calibrate(told, stock)
    assert mu(regressed, 1.0) == pytest.approx(mu(truth, 1.0), abs=0.06)
    assert mu(ignored, 1.0) < mu(truth, 1.0) - 0.08
    assert ignored.km is not None
    assert ignored.km > 1


def test_draws_agree_with_the_truth_and_with_the_interval() -> None:
    truth = RothCProcess(1.3, 0.4)
    told, stock = observed(truth)
    found = RothCProcess().calibrate(told, stock)
    models = found.draws(200, seed=3)
    assert models == found.draws(200, seed=3)
    assert models != found.draws(200, seed=4)
    # mu at usual biomass is known well, though neither parameter is
    drawn = np.array([mu(model, 0.8) for model in models])
    low, high = np.quantile(drawn, [0.01, 0.99])
    assert low < mu(truth, 0.8) < high
    assert drawn.std() < 0.04
    logs = np.log([[model.mu_max, model.km] for model in models])
    assert np.corrcoef(logs.T)[0, 1] > 0.8
    # 240 stocks of 120 sites count as 120: intervals are wider by the root of two
    (_, km) = found.report["parameters"]
    width = np.diff(np.log(km["interval_95"]))[0] * np.sqrt(2) / (2 * 1.96)
    assert logs[:, 1].std() == pytest.approx(width, rel=0.2)
    for name, row in zip(("mu_max_bounds", "km_bounds"), np.exp(logs).T, strict=True):
        bounds = getattr(found, name)
        assert row.min() >= bounds[0] * (1 - 1e-12)
        assert row.max() <= bounds[1] * (1 + 1e-12)


def test_draws_keep_to_the_ridge_where_only_a_ratio_is_known() -> None:
    """With one soil's stock there is one biomass, and any mu_max goes with some km."""
    sites = 40
    told = steady(sites)
    same = np.zeros(sites, int)
    told = replace(told.take(same), clay=np.full(sites, 20.0))
    truth = RothCProcess(1.2, 0.5)
    stock = np.full((sites, 21), np.nan)
    stock[:, 0] = 5.0
    stock[:, 3] = truth.simulate(told, begin(sites), stock[:, 0])[:, 3]
    stock[:, 3] += 0.02 * np.random.default_rng(1).standard_normal(sites)
    found = RothCProcess().calibrate(told, stock)
    assert not found.report["identifiable"]
    models = found.draws(100, seed=0)
    assert np.ptp(np.log([model.km for model in models])) > 1.5
    ends = [m.simulate(told.take(same[:1]), begin(1), np.array([5.0]))[0, 3] for m in models]
    assert np.std(ends) == pytest.approx(0.02 / np.sqrt(sites), rel=0.35)


def test_sites_that_cannot_be_run_are_left_out_of_the_calibration() -> None:
    told, stock = observed(RothCProcess(1.3, 0.4), noise=0.002)
    driver = told.input_driver.copy()
    driver[0, 5] = 0.0
    stock[6, 1:] = np.nan  # never visited again
    found = RothCProcess().calibrate(replace(told, input_driver=driver), stock)
    assert found.report["sites"] == 118
    assert found.report["n"] == 236
    assert found.km == pytest.approx(0.4, rel=0.05)


def test_sites_of_several_starts_are_calibrated_together() -> None:
    told, truth = worlds.drivers(60), RothCProcess(0.8, 0.2)
    start = np.arange(60) % 3
    simulated = truth.simulate(told, start, stocks(60))
    stock = np.full(simulated.shape, np.nan)
    stock[np.arange(60), start] = stocks(60)
    stock[:, 17] = simulated[:, 17] + 0.002 * np.random.default_rng(2).standard_normal(60)
    found = RothCProcess().calibrate(told, stock)
    assert (found.mu_max, found.km) == pytest.approx((0.8, 0.2), rel=0.05)


def test_too_few_revisits_leave_the_model_as_it_is() -> None:
    told, stock = observed(RothCProcess(1.3, 0.4), sites=20)
    stock[4:, 1:] = np.nan
    found = RothCProcess().calibrate(told, stock)
    assert found == RothCProcess()
    assert "4 sites" in found.report["note"]
    assert found.draws(3, seed=0) == [found] * 3
    held = RothCProcess(1.1, 0.3, calibrates=False)
    assert held.calibrate(told, stock) is held


def test_input_may_be_drawn() -> None:
    models = RothCProcess(input_sd=0.2, input_factor=1.5).draws(4000, seed=0)
    logs = np.log([model.input_factor for model in models])
    assert logs.mean() == pytest.approx(np.log(1.5), abs=0.01)
    assert logs.std() == pytest.approx(0.2, rel=0.05)


def test_travels_as_json() -> None:
    told, stock = observed(RothCProcess(1.3, 0.4), sites=30)
    found = RothCProcess(input_sd=0.1).calibrate(told, stock)
    again = RothCProcess.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    assert again.report == found.report
    assert again.draws(5, seed=1) == found.draws(5, seed=1)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"mu_max": 1.0}, "belong together"),
        ({"mu_max": 1.0, "km": 0.0}, "km"),
        ({"mu_anchor": "middle"}, "middle"),
        ({"start_errors": "none"}, "ignored or regressed"),
        ({"input_factor": -1.0}, "input_factor"),
        ({"input_sd": -0.1}, "input_sd"),
        ({"km_bounds": (2.0, 1.0)}, "km_bounds"),
    ],
)
def test_refuses_what_makes_no_sense(settings, named) -> None:
    with pytest.raises(InputError, match=named):
        RothCProcess(**settings)
