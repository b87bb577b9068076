"""RothC calibrated: the truth comes back through the real kernel, or a warning that it cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edaphos.engine.calibrate import Parameter
from edaphos.engine.errors import InputError
from edaphos.engine.rothc_calibration import (
    MeasuredSite,
    StockRun,
    calibrate_rothc,
    scores_by_site,
)
from edaphos.kernels.equilibrium import equilibrium
from edaphos.kernels.rothc_arrays import Forcing, Soil, State

from ..rothc_cases import POOLS, golden

# Rothamsted, long-term means.
TEMPERATURE = [3.4, 3.6, 5.1, 7.3, 11.0, 13.9, 16.0, 16.0, 13.5, 10.2, 6.1, 4.6]
RAIN = [74, 59, 62, 51, 52, 57, 34, 55, 58, 56, 75, 71]
PAN = [8, 10, 27, 49, 83, 99, 103, 91, 69, 34, 16, 8]
COVER = [0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0]
IOM = 2.7
YEARS = np.arange(1855, 1950, 10)

MU_MAX, KM = Parameter("mu_max", 0.1, 20), Parameter("km", 0.01, 20)
TRUTH = {"mu_max": 1.6, "km": 0.5}


def forcing(carbon: float, warmer: float = 0.0) -> Forcing:
    """A year, with `carbon` t C/ha entering in it."""
    column = lambda values: np.asarray(values, float)[:, None]  # noqa: E731
    return Forcing(
        temperature=column(TEMPERATURE) + warmer,
        rain=column(RAIN),
        evaporation=column(PAN),
        cover=column(COVER),
        plant_input=np.full((12, 1), carbon / 12),
        dpm_rpm=np.array([[1.44]]),
    )


def site(name: str, carbon: float, then: float, clay: float = 23.4, warmer: float = 0.0):
    """A site in equilibrium with one input in 1849, under another from 1850 on."""
    soil = Soil(np.array([clay]), np.array([23.0]))
    start = equilibrium(forcing(carbon, warmer), soil)
    later = forcing(then, warmer)
    return MeasuredSite(name, later, soil, start, IOM, 1850, YEARS, np.zeros(YEARS.size))


def measure(sites, truth, sd: float = 0.0, seed: int = 0) -> list[MeasuredSite]:
    """Return sites with the stocks that RothC gives at `truth`, and noise."""
    stocks = StockRun(sites).stocks(truth)
    stocks = stocks + np.random.default_rng(seed).normal(0, sd, stocks.size)
    parts = np.split(stocks, len(sites))
    return [replace(one, stock=part) for one, part in zip(sites, parts, strict=True)]


@pytest.fixture(scope="module")
def levels() -> list[MeasuredSite]:
    """Sites of low, middling and high carbon, staying, gaining and losing."""
    return [
        site("low", 1.0, 1.0),
        site("gaining", 2.0, 4.0, clay=40),
        site("losing", 6.0, 1.8, warmer=5),
    ]


def test_recovers_microbial_rates_from_several_levels(levels) -> None:
    exact = calibrate_rothc(measure(levels, TRUTH), [MU_MAX, KM], starts=3, profile_points=5)
    assert exact.values == pytest.approx(TRUTH, rel=1e-6)
    assert exact.identifiable
    sites = measure(levels, TRUTH, sd=0.5)
    fit = calibrate_rothc(sites, [MU_MAX, KM], starts=3, profile_points=9)
    assert fit.identifiable
    for estimate in fit.estimates:
        assert estimate.low < TRUTH[estimate.name] < estimate.high
        assert estimate.high / estimate.low < 1.5
    assert fit.rmse == pytest.approx(0.5, abs=0.15)
    scores = scores_by_site(sites, fit)
    assert [(s.name, s.n) for s in scores] == [("low", 10), ("gaining", 10), ("losing", 10)]
    assert np.mean([s.rmse**2 for s in scores]) == pytest.approx(fit.rmse**2)
    assert np.mean([s.bias for s in scores]) == pytest.approx(fit.bias)


def test_one_level_of_stock_cannot_tell_them_apart() -> None:
    sites = measure([site("alone", 1.7, 1.7)], TRUTH, sd=0.5)
    fit = calibrate_rothc(sites, [MU_MAX, KM], starts=3, profile_points=7)
    assert not fit.identifiable
    assert any("mu_max and km cannot be told apart" in warning for warning in fit.warnings)
    # With km known, mu_max is not in doubt, whatever the search did before.
    held = calibrate_rothc(sites, [MU_MAX], fixed={"km": 0.5}, starts=2, profile_points=7)
    assert held.identifiable
    assert held["mu_max"].low < 1.6 < held["mu_max"].high


def test_recovers_inputs_and_rate_constants_with_known_errors(levels) -> None:
    truth = {"input_factor": 1.4, "k_hum": 0.03, "initial_factor": 0.9}
    sites = [replace(one, error=0.3) for one in measure(levels, truth, sd=0.3, seed=2)]
    bounds = [
        Parameter("input_factor", 0.2, 5),
        Parameter("k_hum", 0.002, 0.2),
        Parameter("initial_factor", 0.3, 3),
    ]
    fit = calibrate_rothc(sites, bounds, starts=2, profile_points=7)
    assert fit.error_given
    for estimate in fit.estimates:
        assert estimate.low < truth[estimate.name] < estimate.high
        assert estimate.value == pytest.approx(truth[estimate.name], rel=0.1)


def test_ratio_of_plant_material_is_a_knob(levels) -> None:
    run = StockRun(levels)
    np.testing.assert_array_equal(run.stocks({"dpm_rpm": 1.44}), run.stocks({}))
    assert (run.stocks({"dpm_rpm": 0.25}) > run.stocks({"dpm_rpm": 1.44})).all()


@pytest.mark.parametrize("name", ["g01_hoosfield_unmanured", "g02_hoosfield_fym"])
def test_stocks_are_those_of_the_official_program(name: str) -> None:
    one = official(name, [0, 3, 40])
    np.testing.assert_allclose(StockRun([one]).stocks({}), one.stock, rtol=0, atol=1e-9)


def official(name: str, which: list[int]) -> MeasuredSite:
    """A golden case, its own stocks at the end of some years being what was measured."""
    case = golden(name)
    start = State(np.array([[case.start[pool]] for pool in POOLS]), np.array([case.start["SMD"]]))
    ends = case.monthly[case.monthly["month"] == 12].iloc[which]
    years, stock = ends["year"].to_numpy(), ends["SOC"].to_numpy()
    return MeasuredSite.from_input(name, case.site(), start, years, stock)


def test_sites_side_by_side_are_as_each_alone(levels) -> None:
    """One manured, one tilled, though the others are neither."""
    tilled = replace(levels[0].forcing, rate_factor=np.full((12, 1), 1.2))
    sites = [*levels, official("g02_hoosfield_fym", [9]), replace(levels[0], forcing=tilled)]
    alone = [StockRun([one]).stocks(TRUTH) for one in sites]
    np.testing.assert_array_equal(StockRun(sites).stocks(TRUTH), np.concatenate(alone))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"years": [1849], "stock": [1.0]}, "site x: stock measured in 1849, but its forcing"),
        ({"years": [1855.5], "stock": [1.0]}, "years must be whole"),
        ({"years": [1855, 1856], "stock": [1.0]}, r"found shapes \(2,\) and \(1,\)"),
        ({"years": [], "stock": []}, "with something in them"),
        ({"years": [1855], "stock": [np.nan]}, "leave missing out"),
        ({"years": [1855], "stock": [-1.0]}, "not below 0"),
    ],
)
def test_bad_measurements_are_refused(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        StockRun([replace(site("x", 1.0, 1.0), **change)])


def test_bad_sites_are_refused(levels) -> None:
    with pytest.raises(InputError, match="no sites"):
        StockRun([])
    with pytest.raises(InputError, match="not for gaining, losing"):
        StockRun([replace(levels[0], error=1.0), *levels[1:]])
    two = State(np.ones((4, 2)), np.zeros(2))
    with pytest.raises(InputError, match="must be of one pixel"):
        StockRun([replace(levels[0], state=two)])
    one = levels[0].forcing
    months = replace(one, rain=np.tile(one.rain, (3, 1)))
    with pytest.raises(InputError, match="covers 1850 to 1852"):
        StockRun([replace(levels[0], forcing=months)])


@pytest.mark.parametrize(
    ("names", "fixed", "message"),
    [
        (["mu_maxx"], {}, 'did you mean "mu_max"'),
        (["mu_max"], {}, "mu_max and km belong together"),
        (["mu_max", "km"], {"km": 1.0}, "km is given twice"),
        (["k_hum"], {"speed": 1.0}, "no parameter 'speed'"),
    ],
)
def test_bad_parameters_are_refused(levels, names, fixed, message) -> None:
    with pytest.raises(InputError, match=message):
        calibrate_rothc(levels, [Parameter(name, 0.1, 1) for name in names], fixed=fixed)
