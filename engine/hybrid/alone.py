"""Learner and process model alone, with what each can do where nothing was sampled."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np

from .arm import fitted
from .first_samples import first_year, from_first, position
from .learners import Learner
from .process import Process
from .rows import observed_rows, predict_grid
from .site_years import Floats, SiteYears


@dataclass
class ForestOnly:
    """The learner alone, on the sampled years ("ML")."""

    learner: Learner
    learned: Learner | None = field(default=None, init=False, repr=False)

    name: ClassVar[str] = "ml"
    needs_start: ClassVar[bool] = False

    def fit(self, data: SiteYears) -> Self:
        """Learn from the observations of `data`; return self."""
        self.learned = observed_rows(data).teach(deepcopy(self.learner), data)
        return self

    def predict(self, data: SiteYears) -> Floats:
        """Return stocks ``(S, Y)`` kg/m²; NaN where a covariate is missing."""
        return predict_grid(fitted(self.learned), data)


@dataclass
class Persistence:
    """The learner's stock of the first year sampled in the training data, in every year."""

    learner: Learner
    learned: Learner | None = field(default=None, init=False, repr=False)
    start_year: int | None = field(default=None, init=False)

    name: ClassVar[str] = "persistence"
    needs_start: ClassVar[bool] = False

    def fit(self, data: SiteYears) -> Self:
        """Learn from the observations of `data`; return self."""
        self.start_year = first_year(data)
        self.learned = observed_rows(data).teach(deepcopy(self.learner), data)
        return self

    def predict(self, data: SiteYears) -> Floats:
        """Return stocks ``(S, Y)`` kg/m²; NaN where a covariate of the start year is missing."""
        at = position(data, fitted(self.start_year))
        start = predict_grid(fitted(self.learned), data, np.array([at]))
        return np.repeat(start, len(data.years), axis=1)


@dataclass
class ProcessOnly:
    """The process model alone, from each site's own first observation ("PO")."""

    process: Process
    calibrated: Process | None = field(default=None, init=False, repr=False)

    name: ClassVar[str] = "po"
    needs_start: ClassVar[bool] = True

    def fit(self, data: SiteYears) -> Self:
        """Calibrate the process on `data`; return self."""
        self.calibrated = self.process.calibrate(data.drivers, data.stock)
        return self

    def predict(self, data: SiteYears) -> Floats:
        """Return stocks ``(S, Y)`` kg/m² from each site's first observation on; NaN before."""
        return from_first(fitted(self.calibrated), data)


@dataclass
class ProcessFromForest:
    """The process model where nothing was observed ("PO" made fair).

    It begins everywhere, sampled or not, from the stock that the learner predicts for the first
    year sampled in the training data. Before that year there is no prediction.
    """

    process: Process
    learner: Learner
    learned: Learner | None = field(default=None, init=False, repr=False)
    calibrated: Process | None = field(default=None, init=False, repr=False)
    start_year: int | None = field(default=None, init=False)

    name: ClassVar[str] = "po_fair"
    needs_start: ClassVar[bool] = False

    def fit(self, data: SiteYears) -> Self:
        """Learn the stock and calibrate the process on `data`; return self."""
        self.start_year = first_year(data)
        self.learned = observed_rows(data).teach(deepcopy(self.learner), data)
        self.calibrated = self.process.calibrate(data.drivers, data.stock)
        return self

    def predict(self, data: SiteYears) -> Floats:
        """Return stocks ``(S, Y)`` kg/m² from the start year on; NaN before."""
        at = position(data, fitted(self.start_year))
        stock = predict_grid(fitted(self.learned), data, np.array([at]))[:, 0]
        start = np.where(np.isfinite(stock), at, -1)
        return fitted(self.calibrated).simulate(data.drivers, start, stock)
