"""How sure an arm is of stocks and of their changes: members and errors together.

A model of the map uses it so::

    make = lambda process, learner: make_arm("poml", process, learner, w_p=0.5)
    arm = make(process, learner).fit(data)
    sure = TimeUncertainty.fit(data, make, arm.calibrated, learner)
    ...
    mean = arm.predict(cells)[:, years]                 # (S, Y), the arm's own
    layers = sure.predict(cells, mean, years)           # q05, q95, change_mean, …, change_p

``make`` must give an arm that is fitted from scratch, with everything tuned that is to be tuned
already set (a weight ``"tuned"`` would be tuned again for each member).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..assess.splits import block_ids
from ..errors import InputError
from .arm import Arm
from .couplings import from_first
from .held_out import HeldOut, HiddenDate, Ints
from .learners import Learner
from .members import Maker, Members, MemberSpec
from .process import Process
from .residuals import ErrorModel
from .site_years import Floats, SiteYears
from .trusted_course import TrustedCourse

#: Levels of the mapped interval.
LEVELS = (0.05, 0.95)
#: Dates that are hidden from training, one after the other, at most.
MOST_HIDDEN = 4
#: Fewest spatial blocks that sites are put in, unless there are fewer sites.
FEWEST_BLOCKS = 10


@dataclass(frozen=True)
class TimeSpec:
    """How uncertainty is learned.

    Parameters
    ----------
    members
        How members differ.
    folds
        Inner folds, by spatial block, from which residuals come.
    block_deg
        Side of the blocks, degrees; halved until there are :data:`FEWEST_BLOCKS`.
    measurement_error, measurement_percent
        Standard deviation of measuring a stock, kg/m² or %, where it is known; see
        :class:`~.residuals.ErrorModel`.
    """

    members: MemberSpec = field(default_factory=MemberSpec)
    folds: int = 5
    block_deg: float = 1.0
    measurement_error: float = 0.0
    measurement_percent: float = 0.0

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise InputError(f"uncertainty: expected 2 folds or more, found {self.folds}")


@dataclass(frozen=True, eq=False)
class TimeUncertainty:
    """Fitted members and errors of an arm. :meth:`fit` makes one."""

    members: Members
    errors: ErrorModel

    @classmethod
    def fit(
        cls,
        data: SiteYears,
        make: Maker,
        process: Process,
        learner: Learner,
        *,
        spec: TimeSpec | None = None,
        block: Ints | None = None,
        seed: int = 0,
    ) -> Self:
        """Learn errors from inner folds and hidden dates; fit members on all sites.

        The process is not calibrated again inside the folds' members, but each fold calibrates its
        own from its training sites, as the folds' arms do.

        Parameters
        ----------
        data
            Sites to learn from.
        make
            Makes the arm of a process and a learner.
        process
            Calibrated on `data`.
        learner
            As the arm's own.
        spec
            Folds, members, error of measurement; default :class:`TimeSpec`.
        block
            Spatial block of each site, ``(S,)``; by default from their coordinates.
        seed
            Of folds and members.

        Raises
        ------
        InputError
            Too few sites, or an arm that needs its sites' own start.
        """
        spec = spec or TimeSpec()
        if getattr(make(process, learner), "needs_start", False):
            raise InputError(
                "uncertainty is for arms that predict where nothing was sampled; this one needs "
                "each site's own start"
            )
        if block is None:
            block = blocks_of(data.lon, data.lat, spec.block_deg)
        held, carried = held_out(data, make, process, learner, block, spec, seed)
        errors = ErrorModel.fit(
            held,
            hidden_dates(data, make, process, learner, block, spec, seed, least=1 + bool(carried)),
            carried,
            measurement_error=spec.measurement_error,
            measurement_percent=spec.measurement_percent,
        )
        members = Members.fit(data, make, process, learner, block, spec=spec.members, seed=seed)
        return cls(members, errors)

    # -- prediction -----------------------------------------------------------------------------

    def predict(
        self, data: SiteYears, mean: Floats, years: Ints | None = None, reference: int = 0
    ) -> dict[str, Floats]:
        """Return layers of sites or cells, each ``(S, Y)``.

        Parameters
        ----------
        data
            Sites or cells, of all years of the drivers.
        mean
            The arm's prediction of the years wanted, ``(S, Y)`` kg/m².
        years
            Positions of the years wanted; all by default.
        reference
            Place among `years` of the year that changes are counted from.

        Returns
        -------
        dict
            ``q05`` and ``q95``, the interval of a stock measured at a point; ``change_mean``,
            ``change_q05``, ``change_q95``, the change since the reference year; ``change_p``, its
            two-sided p, 1 in the reference year itself.
        """
        wanted = np.arange(len(data.years)) if years is None else np.asarray(years)
        stock_variance, change_variance = self.members.variance(data, wanted, reference)
        out = {
            name: np.full(mean.shape, np.nan)
            for name in ("q05", "q95", "change_mean", "change_q05", "change_q95", "change_p")
        }
        start, first = mean[:, reference], int(data.years[wanted[reference]])
        for place, position in enumerate(wanted):
            year = int(data.years[position])
            now = mean[:, place]
            out["q05"][:, place], out["q95"][:, place] = self.errors.interval(
                now, stock_variance[:, place], LEVELS, year
            )
            told = self.errors.change(
                start,
                now,
                change_variance[:, place],
                (first, year),
                members=self.members.spec.members,
            )
            out["change_mean"][:, place] = now - start
            out["change_q05"][:, place], out["change_q95"][:, place] = told.low, told.high
            out["change_p"][:, place] = told.p
        return out

    # -- files ----------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write members and errors."""
        self.members.save(folder)
        (folder / "errors.json").write_text(json.dumps(self.errors.to_json(), indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote; trees are memory-mapped."""
        path = folder / "errors.json"
        if not path.exists():
            raise InputError(f"{path}: missing, there is no saved uncertainty here")
        told: Mapping[str, Any] = json.loads(path.read_text())
        return cls(Members.load(folder), ErrorModel.from_json(told))


# -- what errors are learned from ------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Fold:
    """Sites to learn from and sites to predict, by position."""

    number: int
    train: Ints
    test: Ints


def _folds(block: Ints, folds: int, seed: int) -> list[_Fold]:
    fold = fold_of_blocks(block, folds, seed)
    return [
        _Fold(k, np.flatnonzero(fold != k), np.flatnonzero(fold == k))
        for k in range(int(fold.max()) + 1)
    ]


def held_out(
    data: SiteYears,
    make: Maker,
    process: Process,
    learner: Learner,
    block: Ints,
    spec: TimeSpec,
    seed: int = 0,
) -> tuple[HeldOut, list[HiddenDate]]:
    """Predict every site by an arm and members that saw no site of its fold.

    Where the arm has a process, also by that alone from the site's first date: what its later
    dates are off by on average tells how simulated years between samplings err.
    """
    mean = np.full(data.stock.shape, np.nan)
    carried = np.full(data.stock.shape, np.nan)
    parts: Floats | None = None
    for fold in _folds(block, spec.folds, seed):
        own, blind = data.take(fold.train), data.take(fold.test).without_stock()
        fitted = make(process, learner).fit(own)
        mean[fold.test] = fitted.predict(blind)
        drawn_from = calibrated(fitted, process)
        if follows_process(fitted):
            carried[fold.test] = from_first(drawn_from, data.take(fold.test))
        members = Members.fit(
            own, make, drawn_from, learner, block[fold.train],
            spec=spec.members, seed=seed + 1 + fold.number,
        )  # fmt: skip
        found = members.parts(blind)
        if parts is None:
            parts = np.full((*found.shape[:2], *data.stock.shape), np.nan)
        parts[:, :, fold.test] = found
    return HeldOut(data.years, data.stock, mean, block, parts), _carried_dates(data, carried, block)


def _carried_dates(data: SiteYears, carried: Floats, block: Ints) -> list[HiddenDate]:
    """Return the later dates of sites that a process carried from their first."""
    later = np.arange(len(data.years)) > data.first[:, None]
    known = data.sampled & np.isfinite(carried) & later
    return [
        HiddenDate(
            year=int(data.years[date]),
            since=float(np.mean(date - data.first[known[:, date]])),
            stock=np.where(known[:, date], data.stock[:, date], np.nan),
            mean=carried[:, date],
            rest=np.zeros(len(block)),  # at their first dates there is no residual
            block=block,
        )
        for date in np.flatnonzero(known.any(axis=0))
    ]


def hidden_dates(
    data: SiteYears,
    make: Maker,
    process: Process,
    learner: Learner,
    block: Ints,
    spec: TimeSpec,
    seed: int = 0,
    *,
    least: int = 1,
) -> list[HiddenDate]:
    """Predict dates that the arm did not see, at sites that it did not see.

    Of all dates but the first the most sampled ones, :data:`MOST_HIDDEN` at most; none if fewer
    than `least` dates would be left, as an arm with a process that has one date alone to learn from
    says nothing of what it would learn from two.
    """
    sampled = data.sampled
    counts = sampled.sum(axis=0)
    dates = np.flatnonzero(counts)
    if len(dates) - 1 < least:
        return []
    wanted = sorted(dates[1:], key=lambda d: (-counts[d], d))[:MOST_HIDDEN]
    found = []
    for date in sorted(wanted):
        stock = data.stock.copy()
        stock[:, date] = np.nan
        rest = replace(data, stock=stock)
        mean = np.full(stock.shape, np.nan)
        for fold in _folds(block, spec.folds, seed):
            own = rest.take(fold.train)
            if not own.sampled.any():
                continue
            fitted = make(process, learner).fit(own)
            mean[fold.test] = fitted.predict(data.take(fold.test).without_stock())
        if not np.isfinite(data.stock[:, date] - mean[:, date]).any():
            continue
        found.append(
            HiddenDate(
                year=int(data.years[date]),
                since=float(np.abs(dates[dates != date] - date).min()),
                stock=data.stock[:, date],
                mean=mean[:, date],
                rest=_mean_known(stock - mean),
                block=block,
            )
        )
    return found


def _mean_known(values: Floats) -> Floats:
    """Return the mean of what is known in each row, NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def follows_process(arm: Arm) -> bool:
    """Whether an arm takes from a process, unchecked, what happens between samplings.

    A trusted course and a guarded hybrid do not: observations alone set their mean course.
    """
    if isinstance(arm, TrustedCourse) or getattr(arm, "rows", "paper") != "paper":
        return False
    return getattr(arm, "calibrated", None) is not None


def calibrated(arm: Arm, process: Process) -> Process:
    """Return the process that an arm calibrated, the given one where it has none."""
    found = getattr(arm, "calibrated", None)
    return process if found is None else found


def blocks_of(lon: Floats, lat: Floats, degrees: float, fewest: int = FEWEST_BLOCKS) -> Ints:
    """Return the spatial block of each site, ``(S,)``.

    Blocks are made smaller by halves until sites lie in at least `fewest` of them, or in as many
    as there are places.
    """
    places = len(np.unique(np.stack([lon, lat]), axis=1).T)
    while True:
        found = block_ids(lon, lat, degrees)
        if len(np.unique(found)) >= min(fewest, places) or degrees < 1e-4:
            return np.unique(found, return_inverse=True)[1].astype(np.int64)
        degrees /= 2


def fold_of_blocks(block: Ints, folds: int, seed: int) -> Ints:
    """Return the fold of each site, ``(S,)``: whole blocks, dealt at random, large ones first."""
    _, codes, sizes = np.unique(block, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise InputError("uncertainty needs sites in two spatial blocks or more, found one place")
    rng = np.random.default_rng([seed, 0xF01D])
    filled = np.zeros(min(folds, len(sizes)), np.int64)
    fold = np.empty(len(sizes), np.int64)
    for group in np.argsort(-sizes * rng.uniform(0.5, 1.5, len(sizes)), kind="stable"):
        fold[group] = np.argmin(filled)
        filled[fold[group]] += sizes[group]
    return np.asarray(fold[codes])
