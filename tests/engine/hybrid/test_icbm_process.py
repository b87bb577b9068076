"""ICBM as a process model, and process models by name."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.hybrid import cohorts
from edaphos.engine.hybrid.icbm_process import ICBMProcess
from edaphos.engine.hybrid.process import Process
from edaphos.engine.hybrid.registry import process_class, process_named
from edaphos.engine.hybrid.rothc_process import RothCProcess
from edaphos.engine.hybrid.site_years import Climate, Drivers

from . import worlds


def steady(sites: int = 12) -> Drivers:
    """Return a climate and a driver that are the same in every year."""
    told = worlds.drivers(sites)
    year = Climate(*(array[:12] for array in vars(told.climate).values()))
    return replace(told, climate=year, input_driver=np.ones_like(told.input_driver))


def stocks(sites: int = 12) -> np.ndarray:
    return np.linspace(2, 9, sites)


def begin(sites: int = 12, at: int = 0) -> np.ndarray:
    return np.full(sites, at)


def test_nothing_changes_where_climate_and_driver_do_not() -> None:
    found = ICBMProcess().simulate(steady(), begin(), stocks())
    np.testing.assert_allclose(found, np.repeat(stocks()[:, None], 21, axis=1), rtol=1e-11)


def test_a_step_in_the_input_has_a_closed_form() -> None:
    told = steady()
    driver = told.input_driver.copy()
    driver[1:] = 1.5
    found = ICBMProcess().simulate(replace(told, input_driver=driver), begin(), stocks())
    # what is added stands alone, as the model is linear: half the input, from nothing
    t, k1, k2, h = np.arange(21), 0.8, 0.00605, 0.125
    i = 0.5 * stocks()[:, None] / (1 / k1 + h / k2)
    young = i / k1 * (1 - np.exp(-k1 * t))
    old = h * i * ((1 - np.exp(-k2 * t)) / k2 - (np.exp(-k2 * t) - np.exp(-k1 * t)) / (k1 - k2))
    np.testing.assert_allclose(found, stocks()[:, None] + young + old, rtol=1e-11)
    same = ICBMProcess(input_factor=1.5).simulate(told, begin(), stocks())
    np.testing.assert_allclose(same, found, rtol=1e-13)


def test_warmth_takes_carbon_away_and_drought_keeps_it() -> None:
    """Relative to the climate of the spin-up; the same ratio at all sites of even climate."""
    told = steady(4)
    normals = told.climate
    warm = replace(normals, temperature=normals.temperature + 3)
    dry = replace(normals, rain=normals.rain * 0.3)
    for climate, sign in ((warm, -1), (dry, 1)):
        changed = replace(told, climate=climate, normals=normals)
        found = ICBMProcess().simulate(changed, begin(4), stocks(4))
        assert (sign * np.diff(found, axis=1) > 0).all()


def test_starts_order_and_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    told, process = worlds.drivers(20), ICBMProcess()
    start = np.arange(20) % 7 * 3 - 1
    start[start == 17] = 20
    whole = process.simulate(told, start, stocks(20))
    for site, first in enumerate(start):
        if first < 0:
            assert np.isnan(whole[site]).all()
            continue
        assert whole[site, first] == stocks(20)[site]
        assert np.isnan(whole[site, :first]).all()
        one = np.array([site])
        alone = process.simulate(told.take(one), start[one], stocks(20)[one])
        np.testing.assert_array_equal(whole[site], alone[0])
    monkeypatch.setattr(cohorts, "BLOCK", 2)
    np.testing.assert_array_equal(process.simulate(told, start, stocks(20)), whole)


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
    for process in (ICBMProcess(), RothCProcess()):
        found = process.simulate(told, begin(6), stock)
        assert np.isnan(found[[0, 2, 3, 4]]).all()
        assert np.isfinite(found[1, :7]).all()
        assert np.isnan(found[1, 7:]).all()
        assert np.isfinite(found[5]).all()
        late = process.simulate(told, begin(6, 20), stock)
        assert np.isnan(late[[2, 3, 4]]).all()
        assert late[5, 20] == stock[5]


def calibrated(noise: float = 0.02) -> tuple[ICBMProcess, Drivers, np.ndarray]:
    told, truth = worlds.drivers(60), ICBMProcess(k2=0.012, h=0.2)
    simulated = truth.simulate(told, begin(60), stocks(60))
    stock = np.full(simulated.shape, np.nan)
    stock[:, [0, 8, 20]] = simulated[:, [0, 8, 20]]
    stock[:, 1:] += noise * np.random.default_rng(0).standard_normal((60, 20))
    return ICBMProcess(input_sd=0.1).calibrate(told, stock), told, stock


def test_calibration_finds_what_made_the_stocks() -> None:
    found, told, stock = calibrated(noise=0.002)
    assert (found.k2, found.h) == pytest.approx((0.012, 0.2), rel=0.05)
    simulated = found.simulate(told, begin(60), stock[:, 0])
    assert (simulated - stock)[:, [8, 20]].std() == pytest.approx(0.002, rel=0.2)


def test_draws_travel_and_hold_the_truth() -> None:
    found, _, _ = calibrated()
    assert found.report is not None
    again = ICBMProcess.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    models = again.draws(100, seed=2)
    assert models == found.draws(100, seed=2)
    for name, truth in (("k2", 0.012), ("h", 0.2)):
        drawn = np.array([getattr(model, name) for model in models])
        assert drawn.min() < truth < drawn.max()
    assert np.std(np.log([m.input_factor for m in models])) == pytest.approx(0.1, rel=0.3)


def test_too_few_revisits_leave_the_model_as_it_is() -> None:
    _, told, stock = calibrated()
    stock[4:, 1:] = np.nan
    found = ICBMProcess().calibrate(told, stock)
    assert found == ICBMProcess()
    assert found.report is not None
    assert "4 sites" in found.report["note"]
    assert found.draws(2, seed=0) == [found] * 2


@pytest.mark.parametrize("settings", [{"k2": 0.0}, {"h_bounds": (0.5, 0.1)}, {"input_sd": -1.0}])
def test_refuses_what_makes_no_sense(settings) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        ICBMProcess(**settings)


# -- by name --------------------------------------------------------------------------------------


class Still:
    """A process of one's own: nothing ever changes."""

    kind = "still"

    def simulate(self, drivers, start, stock):
        years = np.arange(len(drivers.years))
        return np.where((years >= start[:, None]) & (start[:, None] >= 0), stock[:, None], np.nan)

    def calibrate(self, drivers, stock):
        return self

    def draws(self, count, seed):
        return [self] * count


def test_processes_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert process_named("rothc", {"mu_anchor": "start"}) == RothCProcess(mu_anchor="start")
    made = process_named("icbm")
    assert made == ICBMProcess()
    assert isinstance(made, Process)
    monkeypatch.setattr("builtins.Still", Still, raising=False)
    assert isinstance(process_named("builtins:Still"), Still)
    assert process_class("icbm") is ICBMProcess


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("rotc", {}, "expected rothc, icbm"),
        ("nowhere:Thing", {}, "imported"),
        ("builtins:Thing", {}, "imported"),
        ("builtins:dict", {}, "lacks simulate"),
        ("icbm", {"mu_max": 1}, "settings"),
    ],
)
def test_refuses_unknown_processes(kind, settings, said) -> None:
    with pytest.raises(InputError, match=said):
        process_named(kind, settings)
