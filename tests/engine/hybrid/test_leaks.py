"""No row of a held-out site reaches training, in any arm, inner folds included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from edaphos.engine.hybrid.alone import ProcessFromForest
from edaphos.engine.hybrid.couplings import make_arm
from edaphos.engine.hybrid.fair_start import carried_unseen
from edaphos.engine.hybrid.learners import ForestLearner
from edaphos.engine.hybrid.site_years import SiteYears

from .stand_ins import PowerProcess
from .worlds import site_years

ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "ml": ("ml", {}),
    "persistence": ("persistence", {}),
    "forest_trend": ("forest_trend", {}),
    "po": ("po", {}),
    "po_fair": ("po_fair", {}),
    "poml": ("poml", {}),
    "poml tuned": ("poml", {"w_p": "tuned"}),
    "guarded": ("guarded", {}),
    "guarded tuned": ("guarded", {"w_p": "tuned"}),
    "trusted": ("trusted", {}),
    "trusted calibrated": ("trusted", {"calibrate": True}),
    "covariate": ("covariate", {}),
    "residual": ("residual", {}),
}
#: Arms that, while they learn, predict only places that what predicts has not seen.
UNSEEN_ONLY = ("ml", "persistence", "poml tuned", "covariate", "residual", "trusted")


@dataclass
class Log:
    """Who learned from which sites, and predicted which."""

    fits: list[set[int]] = field(default_factory=list)
    calibrations: list[set[int]] = field(default_factory=list)
    simulations: list[set[int]] = field(default_factory=list)
    predictions: list[tuple[set[int], set[int]]] = field(default_factory=list)

    def reached(self) -> Iterator[set[int]]:
        yield from self.fits
        yield from self.calibrations
        yield from self.simulations


LOG = Log()


@dataclass
class SpyLearner:
    """Predicts the mean; its first covariate is the number of the site."""

    sites: set[int] = field(default_factory=set)
    mean: float = 0.0

    def fit(self, rows: Any, y: Any, weight: Any, /) -> SpyLearner:
        self.sites, self.mean = {int(v) for v in rows[:, 0]}, float(np.average(y, weights=weight))
        LOG.fits.append(self.sites)
        return self

    def predict(self, rows: Any, /) -> Any:
        LOG.predictions.append((self.sites, {int(v) for v in rows[:, 0]}))
        return np.full(len(rows), self.mean) + 1e-3 * rows[:, 0]


@dataclass(frozen=True)
class SpyProcess(PowerProcess):
    """Its clay is the number of the site."""

    kind: ClassVar[str] = "spy"

    def simulate(self, drivers: Any, start: Any, stock: Any) -> Any:
        LOG.simulations.append({int(v) for v in drivers.clay[start >= 0]})
        return super().simulate(drivers, start, stock)

    def calibrate(self, drivers: Any, stock: Any) -> Any:
        LOG.calibrations.append({int(v) for v in drivers.clay[np.isfinite(stock).any(axis=1)]})
        return self


def numbered(sites: int) -> SiteYears:
    data = site_years(sites)
    static = data.static.copy()
    static[:, 0] = np.arange(sites)
    return replace(data, static=static, drivers=replace(data.drivers, clay=np.arange(sites) * 1.0))


@pytest.fixture(autouse=True)
def _fresh() -> None:
    global LOG
    LOG = Log()


@pytest.mark.parametrize("name", ARMS)
def test_nothing_of_a_held_out_site_is_learned_simulated_or_calibrated(name: str) -> None:
    data, train = numbered(60), np.flatnonzero(np.arange(60) % 3 > 0)
    key, options = ARMS[name]
    arm = make_arm(key, SpyProcess(), SpyLearner(), **options).fit(data.take(train))
    seen = list(LOG.reached())
    assert seen
    assert set().union(*seen) == set(train.tolist())
    before = len(LOG.fits), len(LOG.calibrations)
    arm.predict(data)
    assert (len(LOG.fits), len(LOG.calibrations)) == before


@pytest.mark.parametrize("name", UNSEEN_ONLY)
def test_inner_folds_predict_only_what_they_have_not_seen(name: str) -> None:
    data = numbered(60)
    key, options = ARMS[name]
    make_arm(key, SpyProcess(), SpyLearner(), **options).fit(data)
    assert all(learned.isdisjoint(asked) for learned, asked in LOG.predictions)
    if name not in ("ml", "persistence"):
        asked = set().union(*(asked for _, asked in LOG.predictions))
        assert asked == set(range(60))
        assert len(LOG.fits) > 5


@pytest.mark.parametrize("name", ["poml tuned", "guarded tuned", "covariate", "trusted calibrated"])
def test_the_process_is_calibrated_inside_each_inner_fold(name: str) -> None:
    data = numbered(60)
    key, options = ARMS[name]
    make_arm(key, SpyProcess(), SpyLearner(), **options).fit(data)
    inner = [sites for sites in LOG.calibrations if len(sites) < 60]
    if name == "guarded tuned":  # takes its process as it is
        assert LOG.calibrations == []
        inner = [sites for sites in LOG.fits if len(sites) < 60]
    assert len(inner) >= 5
    left_out = [set(range(60)) - sites for sites in inner]
    assert set().union(*left_out) == set(range(60))


@pytest.mark.parametrize("name", [n for n in ARMS if n != "po"])
def test_predictions_do_not_look_at_stocks(name: str) -> None:
    data, learner = site_years(45), ForestLearner(trees=8)
    key, options = ARMS[name]
    arm = make_arm(key, PowerProcess(), learner, **options).fit(data.take(np.arange(30)))
    assert not arm.needs_start
    blank = arm.predict(data.without_stock())
    assert np.isfinite(blank).any()
    np.testing.assert_array_equal(arm.predict(data), blank)


def test_simulations_that_train_a_coupling_do_not_know_the_sites_own_stock() -> None:
    data, learner = site_years(40), ForestLearner(trees=8)
    poisoned = replace(data, stock=data.stock.copy())
    poisoned.stock[7] *= 50
    clean, other = (
        carried_unseen(ProcessFromForest(PowerProcess(), learner).fit(d), d, 5, 0)
        for d in (data, poisoned)
    )
    np.testing.assert_array_equal(clean[7], other[7])
    changed = (clean != other).any(axis=1)
    assert changed.mean() > 0.3
    assert np.isfinite(clean).all()
