"""How sure an arm is, in worlds whose truth is known: one stands still, one changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.hybrid.couplings import ForestOnly, Hybrid, ProcessOnly
from edaphos.engine.hybrid.evidence import (
    Trial,
    blocks_of,
    fold_of_blocks,
    held_out,
    hidden_dates,
)
from edaphos.engine.hybrid.learners import ForestLearner
from edaphos.engine.hybrid.members import MemberSpec
from edaphos.engine.hybrid.site_years import Drivers, Floats, SiteYears
from edaphos.engine.hybrid.time_uncertainty import TimeSpec, TimeUncertainty
from edaphos.kernels.discovery import p_histogram, threshold

from .worlds import drivers

NOISE = 0.06


@dataclass(frozen=True)
class Driven:
    """A process whose stock follows the driver; calibrated, it knows by how much."""

    slope: float = 1.0
    kind: ClassVar[str] = "driven"

    def simulate(self, told: Drivers, start: Any, stock: Floats) -> Floats:
        driver = np.log(told.input_driver.T)
        rows = np.arange(len(stock))
        moved = stock[:, None] * (1 + self.slope * (driver - driver[rows, start][:, None]))
        return np.where(np.arange(driver.shape[1]) >= start[:, None], moved, np.nan)

    def calibrate(self, told: Drivers, stock: Floats) -> Driven:
        return self

    def draws(self, count: int, seed: int) -> list[Driven]:
        rng = np.random.default_rng(seed)
        return [replace(self, slope=self.slope + 0.1 * z) for z in rng.standard_normal(count)]


def world(
    seed: int,
    change: float = 0.0,
    sites: int = 160,
    cells: int = 200,
    dates: tuple[int, ...] = (0, 10, 20),
) -> tuple[SiteYears, SiteYears, Floats]:
    """Return sampled sites, cells, and the true stocks of the cells.

    Stocks depend on clay and on a field that nobody knows; by 2000 all have grown by `change`. The
    driver rises by two percent a year, whatever the stocks do.
    """
    rng = np.random.default_rng(seed)
    total = sites + cells
    lon, lat = rng.uniform(0, 10, total), rng.uniform(0, 10, total)
    told = drivers(total, seed=seed)
    level = 4 + 0.04 * told.clay + 0.5 * np.sin(lon + rng.uniform(0, 6)) * np.cos(lat)
    course = change * (told.years - told.years[0]) / 20
    truth = level[:, None] + course + 0.05 * rng.standard_normal((total, 1)) * course
    stock = np.full(truth.shape, np.nan)
    noisy = truth * (1 + NOISE * rng.standard_normal(truth.shape))
    stock[:, list(dates)] = noisy[:, list(dates)]
    mean = told.climate.temperature.reshape(len(told.years), 12, total).mean(axis=1)
    data = SiteYears(
        drivers=told,
        stock=stock,
        static=np.stack([told.clay, lon, lat], axis=1).astype(np.float32),
        yearly=np.stack([mean.T, told.input_driver.T], axis=2).astype(np.float32),
        static_names=("clay", "x", "y"),
        yearly_names=("temperature", "driver"),
        lon=lon,
        lat=lat,
    )
    known, rest = np.arange(sites), np.arange(sites, total)
    return data.take(known), data.take(rest).without_stock(), truth[rest]


def learner(trees: int = 40) -> ForestLearner:
    return ForestLearner(trees=trees, min_samples_leaf=2, max_features=0.7)


def forest_arm(_: Any, own: Any) -> ForestOnly:
    return ForestOnly(own)


SPEC = TimeSpec(members=MemberSpec(members=10, parts=2), folds=4, measurement_percent=100 * NOISE)


def sure_of(data: SiteYears, make: Any = Hybrid, spec: TimeSpec = SPEC) -> TimeUncertainty:
    return TimeUncertainty.fit(data, make, Driven(), learner(), spec=spec)


@pytest.fixture(scope="module")
def fitted() -> tuple[SiteYears, SiteYears, Floats, TimeUncertainty, Hybrid]:
    data, cells, truth = world(0)
    return data, cells, truth, sure_of(data), Hybrid(Driven(), learner()).fit(data)


def test_layers_of_the_first_year_say_that_nothing_has_changed(fitted: Any) -> None:
    _, cells, _, sure, arm = fitted
    mean = arm.predict(cells)
    found = sure.predict(cells, mean)
    assert set(found) == {"q05", "q95", "change_mean", "change_q05", "change_q95", "change_p"}
    assert {a.shape for a in found.values()} == {(200, 21)}
    assert (found["change_p"][:, 0] == 1).all()
    assert (found["change_q05"][:, 0] == 0).all()
    assert (found["q05"] < mean).all()
    assert (mean < found["q95"]).all()
    np.testing.assert_allclose(found["change_mean"], mean - mean[:, :1])
    assert ((found["change_p"] > 0) & (found["change_p"] <= 1)).all()


def test_cells_and_years_do_not_see_each_other(fitted: Any) -> None:
    _, cells, _, sure, arm = fitted
    years = np.array([0, 7, 20])
    mean = arm.predict(cells)
    whole = sure.predict(cells, mean)
    some = sure.predict(cells.take(np.arange(3, 9)), mean[3:9][:, years], years)
    for name, values in some.items():
        np.testing.assert_array_equal(values, whole[name][3:9][:, years])
    later = sure.predict(cells, mean[:, years], years, reference=1)
    np.testing.assert_allclose(later["change_mean"][:, 2], mean[:, 20] - mean[:, 7])
    assert (later["change_p"][:, 1] == 1).all()


def test_saved_and_loaded_it_says_the_same(fitted: Any, tmp_path: Path) -> None:
    _, cells, _, sure, arm = fitted
    sure.save(tmp_path / "sure")
    again = TimeUncertainty.load(tmp_path / "sure")
    mean = arm.predict(cells)
    for one, other in zip(
        sure.predict(cells, mean).values(), again.predict(cells, mean).values(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match="no saved uncertainty"):
        TimeUncertainty.load(tmp_path)


def test_no_site_predicts_itself() -> None:
    """Neither its observations nor simulations from them reach the arm that is asked for it."""
    data, _, _ = world(1, sites=60)
    block = blocks_of(data.lon, data.lat, 2.0)
    seen: list[set[float]] = []
    asked: list[set[float]] = []

    class Spy(ForestOnly):
        def fit(self, own: SiteYears) -> Any:
            seen.append(set(own.lon))
            return super().fit(own)

        def predict(self, own: SiteYears) -> Floats:
            assert not own.sampled.any()
            asked.append(set(own.lon))
            return super().predict(own)

    trial = Trial(data, lambda _, own: Spy(own), Driven(), learner(8), block, folds=3)
    held, _ = held_out(trial, MemberSpec(members=2, parts=1))
    fold = fold_of_blocks(block, 3, 0)
    for sites in seen:
        assert any(sites <= set(data.lon[fold != k]) for k in range(3))
    assert np.isfinite(held.mean).all()
    assert np.isfinite(held.parts).all()
    assert len({frozenset(a) for a in asked if len(a) < 60}) >= 3


def test_hidden_dates_tell_of_a_course_that_goes_wrong() -> None:
    """Two percent more a year of a stock of five, by the forest's driver and by the process."""
    data, _, _ = world(2)
    block = blocks_of(data.lon, data.lat, 1.0)

    class Drifting(ForestOnly):
        def predict(self, own: SiteYears) -> Floats:
            return super().predict(own) + 0.02 * (np.arange(21) - 10) * (self.last < 20)

        def fit(self, own: SiteYears) -> Any:
            self.last = np.flatnonzero(own.sampled.any(axis=0)).max()
            return super().fit(own)

    trial = Trial(data, lambda _, own: Drifting(own), Driven(), learner(), block, folds=4)
    found = hidden_dates(trial)
    assert [(date.year, date.since) for date in found] == [(1990, 10), (2000, 10)]
    off = np.nanmean(found[1].stock - found[1].mean) - np.nanmean(found[1].rest)
    assert off == pytest.approx(-0.02 * (10 - (-10 + 0) / 2), abs=0.06)
    errors = sure_of(data, Hybrid).errors
    size = np.sqrt(errors.spread.variance(np.full(1, 5.0)))[0]
    assert 0.05 < errors.course.carried * size < 0.15  # the process drifts by 0.1 a year
    alone = sure_of(data, forest_arm).errors.course
    assert alone.carried is None
    assert alone.rate < errors.course.carried / 2


@pytest.mark.parametrize("make", [forest_arm, Hybrid], ids=["forest", "hybrid of a wrong process"])
def test_a_world_that_stands_still_does_not_light_up(make: Any) -> None:
    lit, inside = [], []
    for seed in range(2):
        data, cells, _ = world(10 + seed, sites=120)
        mean = make(Driven(), learner()).fit(data).predict(cells)
        found = sure_of(data, make).predict(cells, mean)
        for year in (5, 10, 15, 20):
            p = found["change_p"][:, year]
            lit.append(np.mean(p <= threshold(p_histogram(p), 0.1)))
            inside.append(np.mean((found["change_q05"] <= 0) & (found["change_q95"] >= 0)))
    assert np.mean(lit) <= 0.05
    assert np.mean(inside) > 0.85


def test_a_large_change_is_found() -> None:
    data, cells, truth = world(20, change=1.5)
    mean = ForestOnly(learner()).fit(data).predict(cells)
    found = sure_of(data, forest_arm).predict(cells, mean)
    p = found["change_p"][:, 20]
    sure = p <= threshold(p_histogram(p), 0.1)
    assert sure.mean() > 0.5
    assert (found["change_mean"][sure, 20] > 0).all()
    true = truth[:, 20] - truth[:, 0]
    inside = (found["change_q05"][:, 20] <= true) & (true <= found["change_q95"][:, 20])
    assert inside.mean() > 0.85


def test_intervals_hold_fresh_samples(fitted: Any) -> None:
    _, cells, truth, sure, arm = fitted
    found = sure.predict(cells, arm.predict(cells))
    fresh = truth * (1 + NOISE * np.random.default_rng(99).standard_normal(truth.shape))
    inside = (found["q05"] <= fresh) & (fresh <= found["q95"])
    assert 0.85 < inside[:, [0, 10, 20]].mean() < 0.99


def test_blocks_are_halved_until_there_are_enough() -> None:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(5, 6, 50), rng.uniform(45, 46, 50)
    assert len(np.unique(blocks_of(lon, lat, 5.0))) >= 10
    wide = blocks_of(lon * 10, lat, 5.0)
    assert 10 <= len(np.unique(wide)) <= 30
    assert len(np.unique(blocks_of(np.full(9, 5.0), np.full(9, 45.0), 1.0))) == 1
    with pytest.raises(InputError, match="two spatial blocks"):
        fold_of_blocks(np.zeros(9, int), 3, 0)


def test_refuses_an_arm_that_needs_its_sites_own_start() -> None:
    data, _, _ = world(3, sites=40)
    with pytest.raises(InputError, match="own start"):
        sure_of(data, lambda process, _: ProcessOnly(process))
    with pytest.raises(InputError, match="2 folds"):
        TimeSpec(folds=1)
