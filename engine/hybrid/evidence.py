"""Trying an arm at sites and in years that it has not seen, to learn how it errs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..assess.block_ids import block_ids
from ..assess.splits import assign_groups
from ..errors import InputError
from .arm import Arm
from .first_samples import from_first
from .held_out import HeldOut, HiddenDate, Ints
from .learners import Learner
from .members import Maker, Members, MemberSpec
from .process import Process
from .site_years import Floats, SiteYears
from .trusted_course import TrustedCourse

#: Dates that are hidden from training, one after the other, at most.
MOST_HIDDEN = 4
#: Fewest spatial blocks that sites are put in, unless there are fewer places.
FEWEST_BLOCKS = 10


@dataclass(frozen=True, eq=False)
class Trial:
    """An arm and the sites it is tried on, fold by fold.

    Parameters
    ----------
    data
        All sites.
    make
        Makes the arm of a process and a learner.
    process, learner
        What it is made of.
    block
        Spatial block of each site, ``(S,)``; blocks stay together.
    folds, seed
        Number of folds, and of their dealing and of members.
    """

    data: SiteYears
    make: Maker
    process: Process
    learner: Learner
    block: Ints
    folds: int = 5
    seed: int = 0

    def splits(self) -> list[tuple[Ints, Ints]]:
        """Return positions of sites to learn from and of sites to predict, fold by fold."""
        fold = fold_of_blocks(self.block, self.folds, self.seed)
        return [
            (np.flatnonzero(fold != k), np.flatnonzero(fold == k))
            for k in range(int(fold.max()) + 1)
        ]

    def fit(self, data: SiteYears) -> Arm:
        """Return the arm fitted to some data."""
        return self.make(self.process, self.learner).fit(data)


def held_out(trial: Trial, spec: MemberSpec) -> tuple[HeldOut, list[HiddenDate]]:
    """Predict every site by an arm and members that saw no site of its fold.

    Where the arm has a process, also by that alone from the site's first date: what its later
    dates are off by on average tells how simulated years between samplings err.
    """
    data, block = trial.data, trial.block
    mean = np.full(data.stock.shape, np.nan)
    carried = np.full(data.stock.shape, np.nan)
    parts: Floats | None = None
    for number, (train, test) in enumerate(trial.splits()):
        own, blind = data.take(train), data.take(test).without_stock()
        fitted = trial.fit(own)
        mean[test] = fitted.predict(blind)
        process = calibrated(fitted, trial.process)
        if follows_process(fitted):
            carried[test] = from_first(process, data.take(test))
        seed = trial.seed + 1 + number
        members = Members.fit(
            own, trial.make, process, trial.learner, block[train], spec=spec, seed=seed
        )
        found = members.parts(blind)
        if parts is None:
            parts = np.full((*found.shape[:2], *data.stock.shape), np.nan)
        parts[:, :, test] = found
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


def hidden_dates(trial: Trial, *, least: int = 1) -> list[HiddenDate]:
    """Predict dates that the arm did not see, at sites that it did not see.

    Of all dates but the first the most sampled ones, :data:`MOST_HIDDEN` at most; none if fewer
    than `least` dates would be left, as an arm with a process that has one date alone to learn from
    says nothing of what it would learn from two.
    """
    data = trial.data
    counts = data.sampled.sum(axis=0)
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
        for train, test in trial.splits():
            own = rest.take(train)
            if own.sampled.any():
                mean[test] = trial.fit(own).predict(data.take(test).without_stock())
        if not np.isfinite(data.stock[:, date] - mean[:, date]).any():
            continue
        found.append(
            HiddenDate(
                year=int(data.years[date]),
                since=float(np.abs(dates[dates != date] - date).min()),
                stock=data.stock[:, date],
                mean=mean[:, date],
                rest=_mean_known(stock - mean),
                block=trial.block,
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
    """Return the fold of each site, ``(S,)``: whole blocks, no more folds than blocks.

    Raises
    ------
    InputError
        With one block alone.
    """
    codes = np.unique(block, return_inverse=True)[1].astype(np.int64)
    blocks = int(codes.max()) + 1
    if blocks < 2:
        raise InputError("uncertainty needs sites in two spatial blocks or more, found one place")
    rng = np.random.default_rng([seed, 0xF01D])
    return assign_groups(codes, min(folds, blocks), rng, "block", np.nan)
