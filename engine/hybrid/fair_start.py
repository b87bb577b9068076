"""Couplings that run the process where they predict: its stock as a covariate, or what it leaves.

Both take the process from the stock that the learner predicts for the first sampled year, at places
to be mapped and in training alike. A training site's simulation comes from a learner and a
calibration that had not seen it (inner folds by place): begun from its own observation, or from a
forest that knows it, the process would be far better in training than anywhere else, and would be
trusted for it.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np

from .alone import ProcessFromForest
from .arm import fitted
from .first_samples import position
from .inner_folds import inner_folds
from .learners import Learner
from .process import Process
from .rows import observed_rows, predict_grid
from .site_years import Floats, SiteYears

#: Name of the simulated stock among covariates.
COLUMN = "simulated stock"


def carried(arm: ProcessFromForest, data: SiteYears) -> Floats:
    """Return the process's stock, that of the start year also before it, ``(S, Y)`` kg/m²."""
    found = arm.predict(data)
    at = position(data, fitted(arm.start_year))
    found[:, :at] = found[:, at : at + 1]
    return found


def carried_unseen(arm: ProcessFromForest, data: SiteYears, folds: int, seed: int) -> Floats:
    """Return the same of each site by an arm fitted to the other folds, ``(S, Y)`` kg/m².

    All begin in the start year of `arm`, which is fitted to all of `data`.
    """
    out = np.full(data.stock.shape, np.nan)
    for seen, held in inner_folds(data, folds, seed):
        other = ProcessFromForest(arm.process, arm.learner).fit(data.take(seen))
        other.start_year = arm.start_year
        out[held] = carried(other, data.take(held).without_stock())
    return out


@dataclass
class _BesideProcess:
    """A learner beside the process from the forest's start; ``folds`` and ``seed`` are inner."""

    process: Process
    learner: Learner
    folds: int = 5
    seed: int = 0
    learned: Learner | None = field(default=None, init=False, repr=False)
    fair: ProcessFromForest | None = field(default=None, init=False, repr=False)

    needs_start: ClassVar[bool] = False

    @property
    def calibrated(self) -> Process | None:
        """The process, calibrated on all training sites."""
        return None if self.fair is None else self.fair.calibrated


@dataclass
class ProcessAsCovariate(_BesideProcess):
    """The simulated stock of a site and year as one more covariate of the learner."""

    name: ClassVar[str] = "covariate"

    def fit(self, data: SiteYears) -> Self:
        """Learn from the observations of `data`; return self."""
        self.fair = ProcessFromForest(self.process, self.learner).fit(data)
        more = _with(data, carried_unseen(self.fair, data, self.folds, self.seed))
        self.learned = observed_rows(more).teach(deepcopy(self.learner), more)
        return self

    def predict(self, data: SiteYears) -> Floats:
        """Return stocks ``(S, Y)`` kg/m²; NaN without a covariate or a simulation."""
        return predict_grid(fitted(self.learned), _with(data, carried(fitted(self.fair), data)))


@dataclass
class ProcessResidual(_BesideProcess):
    """The process, and a learner of what it leaves of observations."""

    name: ClassVar[str] = "residual"

    def fit(self, data: SiteYears) -> Self:
        """Learn from the observations of `data`; return self."""
        self.fair = ProcessFromForest(self.process, self.learner).fit(data)
        left = data.stock - carried_unseen(self.fair, data, self.folds, self.seed)
        less = replace(data, stock=left)
        self.learned = observed_rows(less).teach(deepcopy(self.learner), less)
        return self

    def predict(self, data: SiteYears) -> Floats:
        """Return stocks ``(S, Y)`` kg/m²; NaN without a covariate or a simulation."""
        return carried(fitted(self.fair), data) + predict_grid(fitted(self.learned), data)


def _with(data: SiteYears, simulated: Floats) -> SiteYears:
    """Return the same sites with simulated stocks as a last yearly covariate."""
    column = simulated[..., None].astype(np.float32)
    return replace(
        data,
        yearly=np.concatenate([data.yearly, column], axis=2),
        yearly_names=(*data.yearly_names, COLUMN),
    )
