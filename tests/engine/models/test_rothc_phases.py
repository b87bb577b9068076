"""The phases of a RothC map against the whole chain in plain Python, month by month."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from edaphos.engine.models import rothc_phases
from edaphos.engine.models.rothc import RothCModel
from edaphos.engine.models.rothc_cells import gather
from edaphos.engine.models.rothc_phases import Cells, Outcome, disturbances, disturbed, outcomes
from edaphos.engine.models.rothc_settings import Ensemble, from_plain
from edaphos.kernels.evapotranspiration import thornthwaite_of_days

from ...kernels import rothc_oracle as oracle
from .rothc_land import SHAPE, make_land, make_model

#: Cells that the plain chain follows: spread over the land.
SOME = (3, 38, 64, 99, 118)
CHANGE = {"temperature_per_decade": 0.4, "rain_percent_per_decade": -3.0}
RESULTS = ("stock", "pools", "co2", "input")


def cells_of(model: RothCModel, land=None) -> Cells:
    land = land or make_land()
    inputs = land.inputs(model.told.years)
    clay = inputs.values["clay"]
    found = gather(model.told, inputs, np.arange(np.prod(SHAPE)), clay, clay * np.float32(0.1))
    assert found.at.size == np.prod(SHAPE)
    return found.cells


def ran(model: RothCModel, cells: Cells) -> dict[str, Outcome]:
    return dict(outcomes(cells, model.told))


# -- the chain in plain Python --------------------------------------------------------------------


@dataclass
class PlainChain:
    """One cell from its stock to its scenarios, by the oracle's months and no kernel but PET."""

    cells: Cells
    i: int
    model: RothCModel

    def months(self, years_on: int, carbon: float) -> list[oracle.Month]:
        change, i = self.model.told.change, self.i
        t = self.cells.temperature[:, [i]] + np.float32(
            change.temperature_per_decade * years_on / 10
        )
        rain = self.cells.rain[:, i] * np.float32(
            1 + change.rain_percent_per_decade * years_on / 1000
        )
        given = self.cells.evapotranspiration
        pet = thornthwaite_of_days(t, self.cells.day_length[:, [i]]) if given is None else None
        evaporation = pet[:, 0] if given is None else given[:, i]
        cover, ratio = self.cells.cover[:, i], float(self.cells.dpm_rpm[i])
        columns = (t[:, 0], rain, evaporation, cover)
        return [
            oracle.Month(*(float(c[m]) for c in columns), carbon / 12, 0.0, ratio)
            for m in range(12)
        ]

    def site(self) -> oracle.Site:
        told, stock = self.model.told, float(self.cells.stock[self.i])
        pan = 0.75 if told.evaporation.pan else 1.0
        iom = 0.049 * stock**1.139
        return oracle.Site(float(self.cells.clay[self.i]), told.depth_cm, iom, pan)

    def equilibrium(self) -> tuple[float, oracle.OracleState]:
        """Solve (1 - A) y = b, with A and b read off years that the oracle simulates."""
        site, deficit = self.site(), 0.0
        for _ in range(60):
            state = oracle.OracleState(deficit=deficit)
            deficit = oracle.simulate(site, self.months(0, 0.0), state)[-1].deficit

        def year(pools: tuple[float, ...], carbon: float) -> np.ndarray:
            state = oracle.OracleState(pools, deficit)  # type: ignore[arg-type]
            return np.array(oracle.simulate(site, self.months(0, carbon), state)[-1].pools)

        kept = np.stack([year(tuple(unit), 0.0) for unit in np.eye(4)], axis=1)
        pools = np.linalg.solve(np.eye(4) - kept, year((0.0,) * 4, 1.0))
        factor = (float(self.cells.stock[self.i]) - site.iom) / pools.sum()
        return factor, oracle.OracleState(tuple(pools * factor), deficit)  # type: ignore[arg-type]

    def driver(self, year: int) -> float:
        told = self.model.told
        if told.driver.kind == "variable":
            assert self.cells.driver is not None
            return float(self.cells.driver[year - told.stock.start - 1, self.i])
        if told.driver.kind == "none":
            return 1.0
        return self.npp(year) / self.npp(told.stock.start)

    def npp(self, year: int) -> float:
        """Lieth's Miami model, written out."""
        months = self.months(year - self.model.told.stock.start, 0.0)
        t, p = sum(m.temperature for m in months) / 12, sum(m.rain for m in months)
        by_heat = 3000 / (1 + np.exp(1.315 - 0.119 * t))
        return float(min(by_heat, 3000 * (1 - np.exp(-0.000664 * p))))

    def run(self, scenario: float) -> dict[int, tuple[float, np.ndarray, float, float]]:
        """Return stock, pools, CO2 and input of each year."""
        told, site = self.model.told, self.site()
        factor, state = self.equilibrium()
        pools = np.array(state.pools)
        found = {told.stock.start: (pools.sum() + site.iom, pools, factor, factor)}
        for year in told.run_years:
            carbon = factor * self.driver(year) * (scenario if year > told.last_warm_up else 1.0)
            states = oracle.simulate(site, self.months(year - told.stock.start, carbon), state)
            state, co2 = states[-1], sum(s.co2 for s in states)
            found[year] = (state.carbon + site.iom, np.array(state.pools), co2, carbon)
        return found


def yearly(kind: str = "variable") -> dict:
    return {"driver": {"kind": kind, "variable": "npp"}}


CHAINS = {
    "one climate": {},
    "a changing climate": {"change": CHANGE},
    "Miami": {"change": CHANGE, "driver": {"kind": "miami"}},
    "a yearly driver": yearly(),
    "a yearly driver in a changing climate": {**yearly(), "change": CHANGE},
    "open-pan evaporation": {
        "evaporation": {"method": "given", "variable": "pan", "pan": True},
    },
    "stocks of December, mapped late": {"stock": {"start": 1995}, "years": (1995, 2021, 2022)},
}


@pytest.mark.parametrize("name", CHAINS)
def test_the_whole_chain_equals_plain_python(name: str) -> None:
    model, land = make_model(CHAINS[name]), make_land()
    rng = np.random.default_rng(5)
    years = 1 + len(model.told.run_years)
    land.values["npp"] = rng.uniform(200, 900, (years, *SHAPE)).astype(np.float32)
    land.values["pan"] = rng.uniform(5, 180, (12, *SHAPE)).astype(np.float32)
    cells = cells_of(model, land)
    ours = ran(model, cells)
    for i in SOME:
        chain = PlainChain(cells, i, model)
        for scenario, factor in model.told.scenarios.items():
            plain = chain.run(factor)
            for k, year in enumerate(model.told.years):
                for name_, value in zip(RESULTS, plain[year], strict=True):
                    found = getattr(ours[scenario], name_)[k, ..., i]
                    words = f"{name_} {year}"
                    np.testing.assert_allclose(found, value, rtol=0, atol=1e-8, err_msg=words)


@pytest.mark.parametrize(
    "how", [{"change": {"temperature_per_decade": 1e-12}}, {"steps": "months"}]
)
def test_years_at_once_equal_months_one_by_one(how: dict) -> None:
    """So does a change that is next to nothing, which takes a year's months at a time."""
    short = make_model()
    cells = cells_of(short)
    long_way = make_model(how)
    for scenario, outcome in ran(short, cells).items():
        other = ran(long_way, cells)[scenario]
        for name in RESULTS:
            np.testing.assert_allclose(getattr(outcome, name), getattr(other, name), atol=1e-9)


# -- closure, scenarios ---------------------------------------------------------------------------


def test_nothing_changes_under_one_climate_and_input() -> None:
    model = make_model({"years": (2000, 2001, 2050, 2099), "scenarios": {"bau": 1.0}})
    cells = cells_of(model)
    stock = ran(model, cells)["bau"].stock
    np.testing.assert_allclose(stock, np.broadcast_to(cells.stock, stock.shape), rtol=1e-9)


def test_carbon_balances_from_year_to_year() -> None:
    years = tuple(range(2000, 2031))
    model = make_model({"years": years, "change": CHANGE, "driver": {"kind": "miami"}})
    for outcome in ran(model, cells_of(model)).values():
        gain = np.diff(outcome.stock, axis=0)
        np.testing.assert_allclose(gain, outcome.input[1:] - outcome.co2[1:], atol=1e-9)
        np.testing.assert_allclose(outcome.input[0], outcome.co2[0], rtol=1e-12)
        assert outcome.pools.min() > 0


@pytest.mark.parametrize("change", [{}, {"change": CHANGE}])
def test_stocks_follow_the_scenarios_factor_in_a_line(change: dict) -> None:
    factors = {"none": 0.0, "half": 0.5, "bau": 1.0, "twice": 2.0}
    model = make_model({"scenarios": factors, **change})
    found = ran(model, cells_of(model))
    for k, year in enumerate(model.told.years):
        at = {name: outcome.stock[k] for name, outcome in found.items()}
        if year <= 2020:
            assert all(np.array_equal(stock, at["bau"]) for stock in at.values())
            continue
        slope = (at["twice"] - at["none"]) / 2
        assert (slope > 0).all()
        for name, factor in factors.items():
            np.testing.assert_allclose(at[name], at["none"] + slope * factor, rtol=1e-12)
    late = {name: outcome.input[-1] for name, outcome in found.items()}
    np.testing.assert_allclose(late["half"], late["bau"] / 2, rtol=1e-12)


def test_warmer_loses_and_drier_keeps_carbon_at_equal_input() -> None:
    land = make_land()
    cells = cells_of(make_model(), land)
    land.values["rain"] = np.full_like(land.values["rain"], 500.0)
    wet = cells_of(make_model(), land)  # never dry, so that warmth does not also dry
    warmth = {"change": {"temperature_per_decade": 0.5}}
    still, warmer = (ran(make_model(c), wet)["bau"].stock for c in ({}, warmth))
    assert (warmer[1:] < 0.999 * still[1:]).all()
    assert (np.diff(warmer, axis=0) < 0).all()
    cooler = ran(make_model({"change": {"temperature_per_decade": -0.5}}), wet)["bau"].stock
    assert (cooler[1:] > 1.001 * still[1:]).all()
    drought = {"change": {"rain_percent_per_decade": -10}}
    still, drier = (ran(make_model(c), cells)["bau"].stock[-1] for c in ({}, drought))
    assert (drier >= still - 1e-9).all()
    assert (drier > still + 1e-6).mean() > 0.5


@pytest.mark.parametrize("warm_up", [2000, 2020])
def test_a_years_forcing_is_reckoned_once_for_all_scenarios(warm_up: int, monkeypatch) -> None:
    reckoned = []
    plain = rothc_phases.forcing_of

    def counted(cells: Cells, told: object, years_on: int = 0) -> object:
        reckoned.append(years_on)
        return plain(cells, told, years_on)

    monkeypatch.setattr(rothc_phases, "forcing_of", counted)
    model = make_model({"change": CHANGE, "warm_up": warm_up})
    ran(model, cells_of(model))
    assert sorted(reckoned) == list(range(41))


def test_rain_never_falls_below_nothing() -> None:
    model = make_model({"change": {"rain_percent_per_decade": -50.0}, "driver": {"kind": "miami"}})
    outcome = ran(model, cells_of(model))["bau"]
    assert np.isfinite(outcome.stock).all()
    np.testing.assert_array_equal(outcome.input[-1], 0)  # Miami: nothing grows without rain


def test_a_driver_that_doubles_is_a_scenario_that_doubles() -> None:
    land, model = make_land(), make_model({**yearly(), "scenarios": {"bau": 1.0}})
    years = 1 + len(model.told.run_years)
    npp = np.full((years, *SHAPE), 350.0, np.float32)
    npp[21:] = 700.0
    land.values["npp"] = npp
    driven = ran(model, cells_of(model, land))["bau"]
    twice = make_model({"scenarios": {"twice": 2.0}})
    scaled = ran(twice, cells_of(twice))["twice"]
    np.testing.assert_allclose(driven.stock, scaled.stock, rtol=1e-12)


# -- ensemble -------------------------------------------------------------------------------------


@given(st.integers(1, 30), st.integers(0, 2**31))
@settings(max_examples=25)
def test_disturbances_are_mirrored_normal_and_those_of_the_seed(half: int, seed: int) -> None:
    ensemble = Ensemble(members=2 * half)
    scores = disturbances(ensemble, seed)
    assert scores.shape == (2 * half, 4)
    np.testing.assert_array_equal(scores[:half], -scores[half:])
    np.testing.assert_array_equal(scores, disturbances(ensemble, seed))
    assert np.isfinite(scores).all()
    assert not np.array_equal(scores, disturbances(ensemble, seed + 1))
    strata = np.floor((2 * norm.cdf(np.abs(scores[:half])) - 1) * half + 1e-9)
    np.testing.assert_array_equal(np.sort(strata, axis=0), np.arange(half)[:, None].repeat(4, 1))


def test_no_ensemble_runs_once_undisturbed() -> None:
    model = make_model()
    scores = disturbances(model.told.ensemble, 0)
    np.testing.assert_array_equal(scores, np.zeros((1, 4)))
    cells = cells_of(model)
    assert disturbed(cells, model.told.ensemble, scores[0]) is cells


def test_each_score_disturbs_its_own_input() -> None:
    cells = cells_of(make_model())
    ensemble = Ensemble(members=2, temperature=0.5, rain=10, clay=10, stock=20)
    moved = disturbed(cells, ensemble, np.array([1.0, -1.0, 2.0, -0.5]))
    np.testing.assert_allclose(moved.temperature, cells.temperature + 0.5, atol=1e-5)
    np.testing.assert_allclose(moved.rain, cells.rain * 0.9, rtol=1e-6)
    np.testing.assert_allclose(moved.clay, cells.clay * 1.2, rtol=1e-6)
    np.testing.assert_allclose(moved.stock, cells.stock * 0.9, rtol=1e-12)
    assert moved.temperature.dtype == moved.rain.dtype == np.float32


@pytest.mark.parametrize("sd", [5.0, 20.0, 50.0])
def test_disturbed_stocks_average_to_the_stock(sd: float) -> None:
    """Even where some scores would take more than there is."""
    cells = cells_of(make_model())
    ensemble = Ensemble(members=40, stock=sd)
    scores = disturbances(ensemble, 1)
    stocks = [disturbed(cells, ensemble, one).stock for one in scores]
    np.testing.assert_allclose(np.mean(stocks, axis=0), cells.stock, rtol=1e-12)
    assert np.min(stocks) > 0


def test_inputs_stay_possible_however_disturbed() -> None:
    cells = cells_of(make_model())
    cells = replace(cells, clay=np.full_like(cells.clay, 95.0), clay_sd=np.full(120, 40.0))
    ensemble = Ensemble(members=2, rain=50)
    for sign in (1, -1):
        moved = disturbed(cells, ensemble, np.full(4, 3.0 * sign))
        assert 0 <= moved.clay.min() <= moved.clay.max() <= 100
        assert moved.rain.min() >= 0


def test_settings_come_back_from_plain_data() -> None:
    told = make_model(yearly()).told
    assert from_plain(type(told), vars(told)) == told
    with pytest.raises(TypeError, match="no warmup"):
        from_plain(type(told), {"warmup": 3})
