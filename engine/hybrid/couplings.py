"""Ways of joining a process model and a learner, and each of them alone, by name.

An arm keeps the learner and the process it was made with as they were; what it fitted stands in
``learned`` and ``calibrated``.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal, Self

import numpy as np

from ..errors import InputError, did_you_mean
from .alone import ForestOnly, Persistence, ProcessFromForest, ProcessOnly
from .arm import Arm, fitted
from .fair_start import ProcessAsCovariate, ProcessResidual
from .first_samples import first_year, from_first
from .learners import Learner
from .net_learner import NetLearner
from .process import Process
from .rows import Mask, TrainingRows, between, hybrid_rows, predict_grid
from .seen import PlaceAndTime
from .site_years import Floats, SiteYears
from .trusted_course import ForestTrend, TrustedCourse
from .tuning import Attempt, Tuning, tune

__all__ = [
    "ForestOnly",
    "ForestTrend",
    "Hybrid",
    "Persistence",
    "ProcessAsCovariate",
    "ProcessFromForest",
    "ProcessNet",
    "ProcessOnly",
    "ProcessResidual",
    "TrustedCourse",
    "first_year",
    "from_first",
    "make_arm",
]


@dataclass
class Hybrid:
    """A learner of observations and of simulations beside them ("POML").

    Parameters
    ----------
    process, learner
        What is joined.
    w_p
        Share of the weight that simulations get, 0..1, or ``tuned`` by inner folds.
    rows
        ``paper``: simulations of the years between, begun from each site's first observation, as
        in Zhang L. et al. (2024). ``guarded``: in all years, those of a :class:`TrustedCourse`
        moved so as to meet the mean of each site's observations; and the learner sees means and
        slopes over the years, and the calendar year, instead of the covariates of single years
        (:class:`.seen.PlaceAndTime`). The observations alone then set the mean trend, and drivers
        that contradict them are not followed. The process is taken as it is.
    folds, seed
        Inner folds, by place, for tuning and trust.
    """

    process: Process
    learner: Learner
    w_p: float | Literal["tuned"] = 0.5
    rows: Literal["paper", "guarded"] = "paper"
    folds: int = 5
    seed: int = 0
    learned: Learner | None = field(default=None, init=False, repr=False)
    calibrated: Process | None = field(default=None, init=False, repr=False)
    w_p_found: float | None = field(default=None, init=False)
    tuning: Tuning | None = field(default=None, init=False, repr=False)
    course: TrustedCourse | None = field(default=None, init=False, repr=False)
    taught: TrainingRows | None = field(default=None, init=False, repr=False)
    view: PlaceAndTime | None = field(default=None, init=False, repr=False)

    name: ClassVar[str] = "poml"
    needs_start: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.rows not in ("paper", "guarded"):
            raise InputError(f'rows of a hybrid are "paper" or "guarded", found "{self.rows}"')
        if isinstance(self.w_p, str) and self.w_p != "tuned":
            raise InputError(f'w_p of a hybrid is a number or "tuned", found "{self.w_p}"')

    def fit(self, data: SiteYears) -> Self:
        """Calibrate, simulate and learn on `data`; return self."""
        self.tuning = None
        if self.w_p == "tuned":
            self.tuning = tune(data, self._attempt, folds=self.folds, seed=self.seed)
        self.w_p_found = self.tuning.chosen if self.tuning else float(self.w_p)
        made = self._simulations(data)
        self.calibrated, self.course, self.view = made.process, made.course, made.view
        self.taught, self.learned = made.teach(self.learner, data, self.w_p_found)
        return self

    def sees(self, data: SiteYears) -> SiteYears:
        """Return `data` with the covariates that the learner sees, in the order it sees them."""
        return data if self.view is None else self.view(data)

    def predict(self, data: SiteYears) -> Floats:
        """Return stocks ``(S, Y)`` kg/m²; NaN where a covariate is missing."""
        return predict_grid(fitted(self.learned), self.sees(data))

    def _simulations(self, data: SiteYears) -> _Simulations:
        if self.rows == "paper":
            process = self.process.calibrate(data.drivers, data.stock)
            return _Simulations(process, from_first(process, data), between(data))
        course = TrustedCourse(self.process, self.learner, folds=self.folds, seed=self.seed)
        paths = anchored(course.fit(data), data)
        everywhere = np.ones(data.stock.shape, bool)
        process = fitted(course.calibrated)
        return _Simulations(process, paths, everywhere, course, PlaceAndTime.of(data))

    def _attempt(self, data: SiteYears) -> Attempt:
        made = self._simulations(data)

        def predicted(w_p: float, held: SiteYears) -> Floats:
            _, learned = made.teach(self.learner, data, w_p)
            return predict_grid(learned, held if made.view is None else made.view(held))

        return predicted


@dataclass
class ProcessNet(Hybrid):
    """The same with a net, whose loss weighs observations and process (:class:`.NetLearner`)."""

    learner: Learner = field(default_factory=NetLearner)

    name: ClassVar[str] = "net"


@dataclass(frozen=True, eq=False)
class _Simulations:
    """Simulated stocks ``(S, Y)``, where they are rows, and what they come from."""

    process: Process
    stock: Floats
    where: Mask
    course: TrustedCourse | None = None
    view: PlaceAndTime | None = None

    def teach(self, learner: Learner, data: SiteYears, w_p: float) -> tuple[TrainingRows, Learner]:
        seen = data if self.view is None else self.view(data)
        rows = hybrid_rows(seen, self.stock, w_p, self.where)
        return rows, rows.teach(deepcopy(learner), seen)


def anchored(course: TrustedCourse, data: SiteYears) -> Floats:
    """Return a fitted course at each sampled site, moved to its own level, ``(S, Y)`` kg/m².

    By the mean difference from its observations, whose errors the mean evens out; NaN where a site
    has none.
    """
    stock = course.predict(data)
    off = np.where(data.sampled, data.stock - stock, 0.0).sum(axis=1)
    count = data.sampled.sum(axis=1)
    moved = np.where(count > 0, off / np.maximum(count, 1), np.nan)
    return stock + moved[:, None]


def make_arm(name: str, process: Process, learner: Learner, **options: Any) -> Arm:
    """Return an arm by its name, with its options.

    ``ml`` the learner alone; ``persistence`` its stock of the first sampled year, for ever;
    ``forest_trend`` a learned level and a linear trend; ``po`` the process from each site's first
    sample; ``po_fair`` the process from the learner's stock; ``poml`` the paper's hybrid;
    ``guarded`` the same with guarded rows; ``trusted`` the course behind these, alone;
    ``no_process`` that without a process; ``covariate``, ``residual`` and ``net`` (a net in place
    of `learner`) other couplings.

    Raises
    ------
    InputError
        For an unknown name or option.
    """
    makers: dict[str, Callable[..., Arm]] = {
        "ml": partial(ForestOnly, learner),
        "persistence": partial(Persistence, learner),
        "forest_trend": partial(ForestTrend, None, learner),
        "po": partial(ProcessOnly, process),
        "po_fair": partial(ProcessFromForest, process, learner),
        "poml": partial(Hybrid, process, learner),
        "guarded": partial(Hybrid, process, learner, rows="guarded"),
        "trusted": partial(TrustedCourse, process, learner),
        "no_process": partial(TrustedCourse, None, learner),
        "covariate": partial(ProcessAsCovariate, process, learner),
        "residual": partial(ProcessResidual, process, learner),
        "net": partial(ProcessNet, process, NetLearner(seed=getattr(learner, "seed", 0))),
    }
    if name not in makers:
        raise InputError(f'unknown arm "{name}": {did_you_mean(name, makers)}')
    try:
        return makers[name](**options)
    except TypeError as error:
        raise InputError(f'arm "{name}": {error}') from error
