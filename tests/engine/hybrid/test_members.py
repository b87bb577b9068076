"""Members of an ensemble: what differs between them, and what does not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.hybrid import members as members_module
from edaphos.engine.hybrid.couplings import ForestOnly, Hybrid, ProcessFromForest
from edaphos.engine.hybrid.learners import ForestLearner, Learner
from edaphos.engine.hybrid.members import Members, MemberSpec, disturbed, resampled
from edaphos.engine.hybrid.process import Process
from edaphos.engine.hybrid.site_years import Drivers

from .worlds import drivers, site_years

STILL = MemberSpec(temperature=0, rain=0, follows=0, input_trend=0)


@dataclass(frozen=True)
class Steady:
    """A process that adds a fixed amount a year, and knows it to a tenth."""

    per_year: float = 0.05
    kind: ClassVar[str] = "steady"
    calibrations: list[int] = field(default_factory=list, compare=False)

    def simulate(self, drivers: Drivers, start: Any, stock: Any) -> Any:
        years = np.arange(len(drivers.years)) - start[:, None]
        grown = stock[:, None] + self.per_year * years * drivers.input_driver.T
        return np.where((years >= 0) & (start[:, None] >= 0), grown, np.nan)

    def calibrate(self, drivers: Drivers, stock: Any) -> Steady:
        self.calibrations.append(len(stock))
        return self

    def draws(self, count: int, seed: int) -> list[Steady]:
        rng = np.random.default_rng(seed)
        return [
            replace(self, per_year=self.per_year * (1 + 0.1 * z)) for z in rng.normal(size=count)
        ]


@dataclass
class ProcessAlone:
    """From the same stock everywhere: nothing but the process speaks."""

    process: Process
    learner: Learner

    def fit(self, data: Any) -> ProcessAlone:
        self.process = self.process.calibrate(data.drivers, data.stock)
        return self

    def predict(self, data: Any) -> Any:
        sites = data.drivers.sites
        return self.process.simulate(data.drivers, np.zeros(sites, int), np.full(sites, 5.0))


def forest(trees: int = 80) -> ForestLearner:
    return ForestLearner(trees=trees, min_samples_leaf=2)


def fitted(make: Any, spec: MemberSpec | None = None, sites: int = 60, seed: int = 0) -> tuple:
    data = site_years(sites, seed=seed)
    process = Steady()
    return (
        Members.fit(data, make, process, forest(), np.arange(sites) % 15, spec=spec, seed=seed),
        data,
        process,
    )


def test_members_of_a_hybrid_speak_by_their_trees_alone(tmp_path: Path) -> None:
    members, data, process = fitted(Hybrid)
    assert members.trees is not None
    assert members.trees.trees == 80
    assert process.calibrations == []  # calibrated before, and never again
    parts = members.parts(data)
    assert parts.shape == (10, 4, 60, 21)
    np.testing.assert_allclose(members.predict(data), parts.mean(axis=1))
    some = members.parts(data.take(np.arange(7)), np.array([3, 20]))
    np.testing.assert_array_equal(some, parts[:, :, :7, [3, 20]])
    members.save(tmp_path / "members")
    again = Members.load(tmp_path / "members")
    assert again.spec == members.spec
    np.testing.assert_array_equal(again.parts(data), parts)


@pytest.mark.parametrize("rows", ["paper", "guarded"])
def test_trees_say_what_the_arms_said(rows: Any, tmp_path: Path) -> None:
    """The short way over joined trees is that over arms, predicted one by one."""
    data, block = site_years(40), np.arange(40) % 10
    arms: list[Any] = []

    def make(process: Process, learner: Learner) -> Any:
        arms.append(Hybrid(process, learner, rows=rows))
        return arms[-1]

    members = Members.fit(data, make, Steady(), forest(), block)
    for own, arm in zip(members.predict(data), arms, strict=True):
        np.testing.assert_allclose(own, arm.predict(data), rtol=1e-12)
    members.save(tmp_path / "members")
    again = Members.load(tmp_path / "members")
    np.testing.assert_array_equal(again.predict(data), members.predict(data))
    assert {arm.learned.trees for arm in arms} == {8}
    assert len({arm.learned.seed for arm in arms}) == 10


def test_members_with_other_dates_see_what_they_learned_from(tmp_path: Path) -> None:
    """One site alone was sampled first, one last: not every resample has them."""
    data, arms = site_years(60, dates=(1985, 1995)), []
    stock = data.stock.copy()
    stock[0, 0], stock[1, -1] = stock[0, 5], stock[1, 15]
    data = replace(data, stock=stock)

    def make(process: Process, learner: Learner) -> Hybrid:
        arms.append(Hybrid(process, learner, rows="guarded"))
        return arms[-1]

    spec = MemberSpec(members=6)
    found = Members.fit(data, make, Steady(), forest(48), np.arange(60), spec=spec, seed=1)
    assert len({arm.view for arm in arms}) > 1
    said = found.predict(data.without_stock())
    for arm, by_trees in zip(arms, said, strict=True):
        np.testing.assert_allclose(by_trees, arm.predict(data.without_stock()), rtol=1e-12)
    found.save(tmp_path / "m")
    again = Members.load(tmp_path / "m").predict(data)
    np.testing.assert_array_equal(again, said)


def test_calibration_alone_makes_the_variance_of_the_process() -> None:
    members, data, _ = fitted(ProcessAlone, replace(STILL, members=200))
    assert members.trees is None
    stock, change = members.variance(data)
    driver = data.drivers.input_driver[20]
    np.testing.assert_allclose(np.sqrt(stock[:, 20]), 0.1 * 0.05 * 20 * driver, rtol=0.15)
    np.testing.assert_allclose(stock, change, atol=1e-12)  # all begin with the same stock
    with pytest.raises(InputError, match="cannot be saved"):
        members.save(Path("never"))


def test_errors_of_the_mean_course_are_in_every_cell_of_a_member() -> None:
    spec = replace(STILL, members=40, input_trend=20)
    members, data, _ = fitted(ProcessAlone, spec)
    found = members.predict(data)[..., 20]
    course = found.mean(axis=1)
    apart = np.corrcoef(np.concatenate([course[:, None], found], axis=1).T)[0, 1:]
    assert apart.min() > 0.99


def test_differences_between_years_are_paired() -> None:
    members, data, _ = fitted(lambda _, learner: ForestOnly(learner))
    stock, change = members.variance(data, np.array([0, 20]))
    np.testing.assert_array_equal(change[:, 0], 0)
    assert np.median(change[:, 1]) < 0.7 * np.median(2 * stock)


def test_chunks_do_not_change_the_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    members, data, _ = fitted(Hybrid)
    whole = members.variance(data, np.array([2, 9, 20]), reference=1)
    monkeypatch.setattr(members_module, "CHUNK_ROWS", 21)
    for one, other in zip(members.variance(data, np.array([2, 9, 20]), 1), whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_few_trees_do_not_overstate_variance() -> None:
    """With nothing to tell members apart, hardly any variance is left of that of few trees."""
    data = site_years(80)
    spec = replace(STILL, members=20)
    block = np.zeros(80, int)

    class Same(ForestOnly):
        def fit(self, own: Any) -> Any:
            return super().fit(data)  # no resample

    members = Members.fit(
        data, lambda _, learner: Same(learner), Steady(0.0), forest(160), block, spec=spec
    )
    corrected = members.variance(data)[0].mean()
    plain = members.predict(data).var(axis=0, ddof=1).mean()
    assert corrected < 0.35 * plain


def test_resample_draws_whole_blocks_and_counts_them_as_weights() -> None:
    data = replace(site_years(40), weight=np.linspace(0.5, 1.5, 40))
    block = np.arange(40) // 4
    own = resampled(data, block, np.random.default_rng(0))
    where = np.array([np.flatnonzero(data.lon == lon)[0] for lon in own.lon])
    times = own.weight / data.weight[where]
    assert len(own.lon) < 40
    for code in np.unique(block[where]):
        mine = block[where] == code
        assert mine.sum() == 4
        assert np.unique(times[mine].round(9)).size == 1
    assert times.sum() == pytest.approx(40)
    alone = resampled(data, np.zeros(40, int), np.random.default_rng(0))
    assert 15 < len(alone.lon) < 40


def test_disturbances_move_what_they_say() -> None:
    told = drivers(5)
    spec = MemberSpec(temperature=0.5, rain=10, follows=0.5, input_trend=5)
    moved = disturbed(told, spec, np.array([1.0, -2.0, 1.0, 0.0]))
    np.testing.assert_allclose(moved.climate.temperature, told.climate.temperature + 0.5)
    np.testing.assert_allclose(moved.climate.rain, told.climate.rain * 0.8)
    ratio = told.input_driver / told.input_driver[0]
    np.testing.assert_allclose(moved.input_driver, told.input_driver[0] * ratio**1.5)
    rising = disturbed(told, spec, np.array([0.0, 0.0, 0.0, 1.0]))
    np.testing.assert_allclose(rising.input_driver[10], told.input_driver[10] * 1.05)
    same = disturbed(told, STILL, np.ones(4))
    np.testing.assert_allclose(same.input_driver, told.input_driver, rtol=1e-14)
    bare = replace(told, input_driver=np.where(np.arange(5) == 1, 0.0, told.input_driver))
    kept = disturbed(bare, spec, np.ones(4)).input_driver
    np.testing.assert_array_equal(kept[:, 1], 0)
    assert np.isfinite(kept).all()


def test_an_arm_that_runs_the_process_on_the_map_speaks_by_itself() -> None:
    members, data, _ = fitted(ProcessFromForest, MemberSpec(members=4, parts=2), sites=30)
    assert members.trees is None
    parts = members.parts(data)
    assert parts.shape == (4, 2, 30, 21)
    growth = (parts[..., 20] - parts[..., 0]).mean(axis=(1, 2))
    assert growth.std() > 0.02  # calibration and input
    first = parts[..., 0]
    assert np.ptp(first, axis=1).max() > 0  # parts of the forest differ


def test_refuses_members_that_have_no_mirror_image() -> None:
    with pytest.raises(InputError, match="even"):
        MemberSpec(members=5)
    with pytest.raises(InputError, match="parts"):
        MemberSpec(parts=0)
    with pytest.raises(InputError, match="rain"):
        MemberSpec(rain=-1)
