"""Ways of joining a process model and a learner, and each of them alone.

An arm keeps the learner and the process it was made with as they were; what it fitted stands in
``learned`` and ``calibrated``.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from ..errors import InputError, did_you_mean
from .arm import Arm
from .learners import Learner
from .process import Process
from .rows import TrainingRows, hybrid_rows, observed_rows, predict_grid
from .site_years import Floats, SiteYears

T = TypeVar("T")


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
        stock = predict_grid(fitted(self.learned), data)[:, at]
        start = np.where(np.isfinite(stock), at, -1)
        return fitted(self.calibrated).simulate(data.drivers, start, stock)


@dataclass
class Hybrid:
    """The paper's hybrid ("POML"): the learner on observations and on simulations between them.

    Parameters
    ----------
    process, learner
        What is joined.
    w_p
        Share of the weight that simulations get, 0..1.
    """

    process: Process
    learner: Learner
    w_p: float = 0.5
    learned: Learner | None = field(default=None, init=False, repr=False)
    calibrated: Process | None = field(default=None, init=False, repr=False)
    rows: TrainingRows | None = field(default=None, init=False, repr=False)

    name: ClassVar[str] = "poml"
    needs_start: ClassVar[bool] = False

    def fit(self, data: SiteYears) -> Self:
        """Calibrate, simulate and learn on `data`; return self."""
        self.calibrated = self.process.calibrate(data.drivers, data.stock)
        self.rows = hybrid_rows(data, from_first(self.calibrated, data), self.w_p)
        self.learned = self.rows.teach(deepcopy(self.learner), data)
        return self

    def predict(self, data: SiteYears) -> Floats:
        """Return stocks ``(S, Y)`` kg/m²; NaN where a covariate is missing."""
        return predict_grid(fitted(self.learned), data)


def from_first(process: Process, data: SiteYears) -> Floats:
    """Simulate every site from its own first observation, ``(S, Y)`` kg/m²; NaN before it."""
    first = data.first
    stock = data.stock[np.arange(len(first)), first]
    return process.simulate(data.drivers, first, np.where(first >= 0, stock, np.nan))


def first_year(data: SiteYears) -> int:
    """Return the first calendar year in which any site was sampled.

    Raises
    ------
    InputError
        If none was.
    """
    sampled = np.flatnonzero(np.any(data.sampled, axis=0))
    if not len(sampled):
        raise InputError("nothing to learn from: no site was sampled in any of the years")
    return int(data.years[sampled[0]])


def position(data: SiteYears, year: int) -> int:
    """Return where a calendar year stands in `data`.

    Raises
    ------
    InputError
        If it is not among the years.
    """
    at = year - int(data.years[0])
    if not 0 <= at < len(data.years):
        raise InputError(
            f"the process begins in {year}, the first year sampled in training, but drivers to "
            f"predict with run from {data.years[0]} to {data.years[-1]}: give them from {year} on"
        )
    return at


def fitted(state: T | None) -> T:
    """Return what a fit left behind.

    Raises
    ------
    InputError
        If there was no fit.
    """
    if state is None:
        raise InputError("this arm is not fitted yet; call fit() first")
    return state


def make_arm(name: str, process: Process, learner: Learner, **options: Any) -> Arm:
    """Return an arm by its name: ``ml``, ``po``, ``po_fair`` or ``poml``, with its options.

    Raises
    ------
    InputError
        For an unknown name or option.
    """
    makers: dict[str, Callable[..., Arm]] = {
        "ml": partial(ForestOnly, learner),
        "po": partial(ProcessOnly, process),
        "po_fair": partial(ProcessFromForest, process, learner),
        "poml": partial(Hybrid, process, learner),
    }
    if name not in makers:
        raise InputError(f'unknown arm "{name}": {did_you_mean(name, makers)}')
    try:
        return makers[name](**options)
    except TypeError as error:
        raise InputError(f'arm "{name}": {error}') from error
