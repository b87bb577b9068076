"""The course of stocks in time: a level of each place, a common trend, and what is trusted beside.

The guard against a process model that is wrong. A process that is let run sets the trend; here
observations alone set the mean trend, and the process adds to it what it says of differences
between places and of the shape in between, as far as these agree with observed changes (see
:mod:`.trust`). Its response to weather and its response to input are trusted apart: a driver of the
input with the wrong sign then ends at no trust and takes nothing else with it. What was learned of
local change from places and how their covariates changed, without any process, is a third term.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .inner_folds import inner_folds
from .learners import ForestLearner, Learner
from .process import Process
from .seen import PlaceAndTime
from .site_years import Floats, SiteYears
from .trust import PRIOR, Trusted, trusted

#: Years that are one unit of the clock.
DECADE = 10.0
#: Of a trend, kept from one year to the next beyond the sampled years (a damped trend: Gardner &
#: McKenzie 1985, Management Science 31, 1237-1246).
DAMPING = 0.9
#: Trees of forests that only take levels out, and rows in a leaf where local change is learned:
#: changes are mostly noise, so many make one.
INNER_TREES, CHANGE_LEAF = 50, 20
#: Rounds of levels given trust, trust given levels.
ROUNDS = 2
#: Rows of less than this share of the longest time from their site's middle tell no change.
LEAST_CLOCK = 0.1


@dataclass
class TrustedCourse:
    """Level, trend, process and local change, each as far as it is trusted.

    Parameters
    ----------
    process
        None for none: with `local` False too, a learned level and a linear trend remain.
    learner
        Learns levels from what tells places apart (:class:`.seen.PlaceAndTime`).
    local
        Whether to learn local change, too.
    calibrate
        Whether to calibrate the process, too. Trend and trust already fit it to observations: in
        trials parameters that were calibrated beside them made the mean course worse.
    prior
        Mean and standard deviation of each trust before data.
    folds, seed
        Inner folds, by place, for what is to be judged at places not seen.
    """

    process: Process | None
    learner: Learner
    local: bool = True
    calibrate: bool = False
    prior: tuple[float, float] = PRIOR
    folds: int = 5
    seed: int = 0
    learned: Learner | None = field(default=None, init=False, repr=False)
    change: Learner | None = field(default=None, init=False, repr=False)
    calibrated: Process | None = field(default=None, init=False, repr=False)
    found: Trusted | None = field(default=None, init=False, repr=False)

    name: ClassVar[str] = "trusted"
    needs_start: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self._sees: PlaceAndTime | None = None
        self._dates = (0, 0, 0.0)  # first and last sampled year, mean of all

    @property
    def terms(self) -> tuple[str, ...]:
        """What is trusted more or less, in the order of ``found.trust``."""
        return (
            *(("weather", "input") if self.process else ()),
            *(("local",) if self.local else ()),
        )

    @property
    def trust(self) -> dict[str, float]:
        """Trust in each term, 0..1; of a term that data could not be fitted to, 0."""
        found = self._found.trust.tolist()
        return dict(zip(self.terms, [*found, 0.0], strict=False))

    @property
    def _found(self) -> Trusted:
        if self.found is None:
            raise InputError("this course is not fitted yet; call fit() first")
        return self.found

    # -- learning -------------------------------------------------------------------------------

    def fit(self, data: SiteYears) -> Self:
        """Learn from the observations of `data`; return self."""
        data = data.take(np.flatnonzero(data.sampled.any(axis=1)))
        self._sees = PlaceAndTime.of(data)
        place = self._sees.place(data)
        data = data.take(np.flatnonzero(np.isfinite(place).all(axis=1)))
        place = place[np.isfinite(place).all(axis=1)]
        if not len(place):
            raise InputError("nothing to learn from: no sampled site has all of its covariates")
        site, year = np.nonzero(data.sampled)
        sampled = data.years[year]
        self._dates = (int(sampled.min()), int(sampled.max()), float(sampled.mean()))
        self.calibrated = self._calibrated(data)
        self.change = None
        folds = inner_folds(data, self.folds, self.seed)
        rows = _Rows(self, data, place, site, year, folds)
        explained = np.zeros(len(site))
        for _ in range(ROUNDS):
            explained = rows.explain(explained)
        self.learned = rows.teach(self.learner, rows.stock - explained)
        return self

    def _calibrated(self, data: SiteYears) -> Process | None:
        if self.process is None or not self.calibrate:
            return self.process
        return self.process.calibrate(data.drivers, data.stock)

    def clock(self, years: NDArray[Any]) -> Floats:
        """Return decades since the mean date, ``(Y,)``; slowing beyond the sampled years."""
        first, last, mean = self._dates
        beyond = np.maximum(years - last, 0) + np.maximum(first - years, 0)
        slowed = DAMPING * (1 - DAMPING**beyond) / (1 - DAMPING)
        inside = np.clip(years, first, last)
        return np.asarray((inside - mean + np.sign(years - inside) * slowed) / DECADE)

    def responses(self, process: Process | None, data: SiteYears, level: Floats) -> Floats:
        """Return what the process adds from the first sampled year on, ``(2, S, Y)`` kg/m².

        Its response to weather, the input being held, and what the input adds to that. Without a
        process ``(0, S, Y)``; 0 before the first year, and where there is no simulation.
        """
        if process is None:
            return np.empty((0, *data.stock.shape))
        at = self._dates[0] - int(data.years[0])
        if not 0 <= at < len(data.years):
            raise InputError(
                f"the process begins in {self._dates[0]}, the first year sampled in training, but "
                f"drivers to predict with run from {data.years[0]} to {data.years[-1]}"
            )
        start = np.full(len(level), at)
        drivers = data.drivers
        held = np.repeat(drivers.input_driver[at : at + 1], len(data.years), axis=0)
        weather = process.simulate(replace(drivers, input_driver=held), start, level)
        both = process.simulate(drivers, start, level)
        return np.nan_to_num(np.stack([weather - level[:, None], both - weather]))

    # -- prediction -----------------------------------------------------------------------------

    def predict(self, data: SiteYears) -> Floats:
        """Return stocks ``(S, Y)`` kg/m²; NaN at places without all covariates."""
        found, sees = self._found, self._sees
        assert self.learned is not None  # fitted, as is what was found
        assert sees is not None
        out = np.full(data.stock.shape, np.nan)
        place = sees.place(data)
        fine = np.isfinite(place).all(axis=1)
        place, data = place[fine], data.take(np.flatnonzero(fine))
        if not len(place):
            return out
        level, clock = self.learned.predict(place), self.clock(data.years)
        begun = level + found.trend * self.clock(np.array([self._dates[0]]))
        terms = self.responses(self.calibrated, data, begun)
        stock = level[:, None] + found.trend * clock
        stock = stock + np.tensordot(found.trust[: len(terms)], terms, 1)
        if self.change is not None:
            stock += found.trust[-1] * self.change.predict(place)[:, None] * clock
        out[fine] = stock
        return out


@dataclass
class ForestTrend(TrustedCourse):
    """A learned level of each place and a linear trend common to all: no process, no local change.

    ``ForestTrend(None, learner)``.
    """

    local: bool = False

    name: ClassVar[str] = "forest_trend"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.process is not None or self.local:
            raise InputError("a forest with a trend has no process and no local change")


class _Rows:
    """Observations of a course that is being fitted, and what is predicted of them out of fold."""

    def __init__(
        self,
        course: TrustedCourse,
        data: SiteYears,
        place: NDArray[np.float32],
        site: NDArray[np.intp],
        year: NDArray[np.intp],
        folds: list[tuple[NDArray[np.intp], NDArray[np.intp]]],
    ) -> None:
        self.course, self.data, self.place, self.folds = course, data, place, folds
        self.site, self.year = site, year
        self.stock, self.weight = data.stock[site, year], data.weight[site]
        self.clock = course.clock(data.years[year])
        self.trend = 0.0
        # judged at places not seen, so calibrated without them
        self.processes = [course._calibrated(data.take(seen)) for seen, _ in folds]
        self.small = _fewer_trees(course.learner)
        # of one date alone, as where the others are hidden, no change can be learned
        self.coarse = _coarse(course.learner, len(site)) if np.ptp(year) else None

    def teach(
        self, learner: Learner, rows: Floats, seen: NDArray[np.intp] | None = None
    ) -> Learner:
        """Return `learner` fitted to the means of `rows` over the dates of each site."""
        count = np.bincount(self.site)
        mean = np.bincount(self.site, weights=rows) / count
        among = np.arange(len(count)) if seen is None else seen
        weight = self.data.weight[among] * count[among]
        return deepcopy(learner).fit(self.place[among], mean[among], weight)

    def unseen(self, rows: Floats) -> Floats:
        """Return what the other folds predict of each site's mean of `rows`, ``(S,)``."""
        out = np.empty(len(self.place))
        for seen, held in self.folds:
            out[held] = self.teach(self.small, rows, seen).predict(self.place[held])
        return out

    def explain(self, explained: Floats) -> Floats:
        """Fit trend and trust, given what was explained before; return what now is."""
        course, site = self.course, self.site
        level = self.unseen(self.stock - explained)
        begun = level + self.trend * course.clock(np.array([course._dates[0]]))
        responses = self.simulated(begun)[:, site, self.year]
        terms = np.array([r - self.unseen(r)[site] for r in responses]).reshape(-1, len(site))
        left = self.stock - level[site]
        course.change, change = None, np.empty((0, len(site)))
        course.found = self.trusted(left, terms)
        if course.local and self.coarse is not None:
            change = self.local(course.found)[None, site] * self.clock
            course.change = self.teach_change(course.found, np.arange(len(self.place)))
            course.found = self.trusted(left, np.concatenate([terms, change]))
        found = course.found
        self.trend = found.trend
        return found.trend * self.clock + found.trust @ np.concatenate([responses, change])

    def trusted(self, left: Floats, terms: Floats) -> Trusted:
        return trusted(left, self.site, self.weight, self.clock, terms, self.course.prior)

    def simulated(self, begun: Floats) -> Floats:
        """Return responses of each site by the process of the fold that had not seen it."""
        if self.course.process is None:
            return np.empty((0, *self.data.stock.shape))
        out = np.empty((2, *self.data.stock.shape))
        for process, (_, held) in zip(self.processes, self.folds, strict=True):
            out[:, held] = self.course.responses(process, self.data.take(held), begun[held])
        return out

    def local(self, found: Trusted) -> Floats:
        """Return the local change that the other folds predict of each site, kg/m² a decade."""
        out = np.zeros(len(self.place))
        for seen, held in self.folds:
            out[held] = self.teach_change(found, seen).predict(self.place[held])
        return out

    def teach_change(self, found: Trusted, seen: NDArray[np.intp]) -> Learner:
        """Return a learner of what is left over time, as in the R-learner (Nie & Wager 2021)."""
        moved = np.abs(found.clock) > LEAST_CLOCK * np.abs(found.clock).max()
        rows = np.flatnonzero(np.isin(self.site, seen) & moved)
        clock = found.clock[rows]
        weight = self.weight[rows] * clock**2
        return deepcopy(self.coarse).fit(  # type: ignore[union-attr]  # asked for only if there
            self.place[self.site[rows]], found.unexplained[rows] / clock, weight
        )


def _fewer_trees(learner: Learner) -> Learner:
    if isinstance(learner, ForestLearner):
        return replace(learner, trees=min(learner.trees, INNER_TREES))
    return learner


def _coarse(learner: Learner, rows: int) -> Learner | None:
    """Return a learner of change; None if rows are too few for its leaves in every fold."""
    if not isinstance(learner, ForestLearner):
        return learner
    return replace(learner, min_samples_leaf=CHANGE_LEAF) if rows >= 4 * CHANGE_LEAF else None
